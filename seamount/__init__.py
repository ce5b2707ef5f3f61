"""Seamount: the student you train is the program the chip runs."""

import os

__version__ = "0.1.0"

if not os.path.isdir(FOLDER := os.path.dirname(__file__)):
    raise ImportError(f"{FOLDER}: targets and templates are files, which an archive does not give; unpack it")
