"""ANN teachers, spiking students of norse cells, and their way into NIR."""

if __name__ != "seamount.models":
    raise ImportError("import seamount.models (after: pip install -e .)")
