"""The report drawn: in the terminal and as one self-contained page."""
