"""The stages by name, in their order, for those who ask before anything is loaded that stages work with."""

from __future__ import annotations

import shlex
from pathlib import Path

IN_FLOATS = ("teacher", "distill")
"""After these the student need not be one that a chip holds."""

TRAINING = (*IN_FLOATS, "quantise", "export")
"""What ``seamount distill`` does: all that it takes to have a student."""

EVERY = (*TRAINING, "compile", "simulate", "lava")


def going_on(folder: Path) -> str:
    """The command, as it stands, by which a run goes on in its folder."""
    return shlex.join(["seamount", "run", str(folder / "resolved.toml"), "--out", str(folder), "--resume"])
