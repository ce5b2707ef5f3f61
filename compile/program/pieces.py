"""Which populations of a split program are pieces of one population of the original."""

from __future__ import annotations

import re

from .program import Program

KEY = "pieces of "
"""Before a population's name in the provenance of a program in which it was cut."""


def whole_of(program: Program) -> dict[str, str]:
    """Population -> what it is a piece of; itself, where it was not cut. Pieces may have been cut again."""
    cut = {key.removeprefix(KEY) for key in program.provenance if key.startswith(KEY)}

    def whole(name: str) -> str:
        before, _, number = name.rpartition(".")
        return whole(before) if before in cut and re.fullmatch(r"[0-9]+", number) else name

    return {p.name: whole(p.name) for p in program.populations}
