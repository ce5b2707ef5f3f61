"""Integers only: the program that simulator, Lava and student share, its files, and what a run of it did."""
