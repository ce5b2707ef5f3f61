"""Integer arithmetic, NIR to Network to Program, verified and placed on cores."""

if __name__ != "seamount.compile":
    raise ImportError("import seamount.compile (after: pip install -e .)")
