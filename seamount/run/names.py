"""The stages by name, in their order, for those who ask before anything is loaded that stages work with."""

from __future__ import annotations

IN_FLOATS = ("teacher", "distill")
"""After these the student need not be one that a chip holds."""

TRAINING = (*IN_FLOATS, "quantise", "export")
"""What ``seamount distill`` does: all that it takes to have a student."""

EVERY = (*TRAINING, "compile", "simulate", "lava")
