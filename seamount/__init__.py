"""Seamount: the student you train is the program the chip runs."""

__version__ = "0.1.0"
