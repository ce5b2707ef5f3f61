"""lava-dl's .net files (HDF5), read as programs."""
