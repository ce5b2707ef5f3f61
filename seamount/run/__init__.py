"""A run: its folder, its stages in order, their report, and grids of runs."""
