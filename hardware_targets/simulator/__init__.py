"""The simulator: runs any program exactly, layer by layer and batched."""
