"""What a chip allows and costs, the simulator, and Lava."""

if __name__ != "seamount.hardware_targets":
    raise ImportError("import seamount.hardware_targets (after: pip install -e .)")
