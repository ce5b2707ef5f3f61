"""HDF5 files of strangers: opened with limits."""
