"""The stages of a run, in order: each writes a folder, from the settings it reads and what earlier folders hold."""

from __future__ import annotations

from typing import Any

from .. import names
from ..stage import Stage
from .compile import COMPILE
from .distill import DISTILL
from .export import EXPORT
from .lava import LAVA
from .quantise import QUANTISE
from .simulate import SIMULATE
from .teacher import TEACHER

__all__ = [
    "COMPILE",
    "DISTILL",
    "EXPORT",
    "LAVA",
    "QUANTISE",
    "SIMULATE",
    "STAGES",
    "TEACHER",
    "TRAINING",
]

STAGES: tuple[Stage[Any], ...] = (TEACHER, DISTILL, QUANTISE, EXPORT, COMPILE, SIMULATE, LAVA)

TRAINING = STAGES[: len(names.TRAINING)]
