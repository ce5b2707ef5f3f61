"""The one definition of the chip's integer arithmetic, and fast forms that must equal it bit for bit."""
