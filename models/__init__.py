"""ANN teachers, spiking students of norse cells, and their way into NIR."""

import warnings

if __name__ != "seamount.models":
    raise ImportError("import seamount.models (after: pip install -e .)")

# norse 1.1.0 scripts its functional cells at import, which newer torch announces as deprecated
warnings.filterwarnings("ignore", message=".*torch.jit.script.*", category=FutureWarning)
