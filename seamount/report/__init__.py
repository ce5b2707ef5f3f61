"""The report: one data object, drawn in the terminal and as one self-contained page."""
