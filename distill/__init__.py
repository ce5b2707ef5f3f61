"""Data, methods, training, quantised students."""

if __name__ != "seamount.distill":
    raise ImportError("import seamount.distill (after: pip install -e .)")
