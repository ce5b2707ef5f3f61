"""Whether a chip holds a program, and on which cores."""
