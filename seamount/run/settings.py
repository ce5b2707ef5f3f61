"""Sections of the configuration narrowed to what a stage takes of them, so that the rest does not make it run again.

Each field is one of the section's, by name. One that is left out of the stage's inputs stands there by what it comes
to, see ``contents.py``: settings that come to the same do not make the stage run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import Field

from seamount.distill.config import DataConfig, DistillConfig, Section, StudentConfig, TeacherConfig
from seamount.own import is_own


class Device(Section):
    """Of ``run``."""

    device: str


class Seed(Section):
    """Of ``run``."""

    seed: int


class Teacher(Section):
    """Of ``teacher``: how to build a trained one; its weights come from its stage."""

    arch: str
    options: dict[str, Any]


class Student(Section):
    """Of ``student``: how to build a trained one; its weights come from its stage."""

    arch: str
    n_steps: int
    options: dict[str, Any]


class Steps(Section):
    """Of ``student``: recordings are cut into so many frames."""

    n_steps: int


class Frames(Section):
    """Of ``student``: of how many frames a teacher sees the mean; of a still image there are none."""

    n_steps: int = Field(exclude=True)


class Method(Section):
    """Of ``distill``: whether there is a teacher at all."""

    method: str | dict[str, float] = Field(exclude=True)
    options: dict[str, Any] = Field(exclude=True)


class ChipName(Section):
    """Of ``target``: which one; placement and energy are the report's."""

    name: str


class ChipFormats(Section):
    """Of ``target``: whose number formats; what a core holds is the compiler's."""

    name: str = Field(exclude=True)


class Readout(Section):
    """Of ``compile``."""

    readout: str | None


class WeightBits(Section):
    """Of ``quant``."""

    weight_bits: int | dict[str, int] | None


class LavaSamples(Section):
    """Of ``lava``; whether it is required is asked before the first stage."""

    n_samples: int
    time_limit_s: float


class Compared(Section):
    """Of ``report``."""

    n_compared: int


def own_code(settings: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    """(setting, reference) of all code of one's own that the sections of a configuration, or of a stage, name."""
    for _, section in settings:
        match section:
            case DataConfig(name=name, augment=augment):
                named = [("data.name", name), *((f"data.augment {kind}", kind) for kind in augment)]
            case TeacherConfig(arch=arch) | Teacher(arch=arch):
                named = [("teacher.arch", arch)]
            case StudentConfig(arch=arch) | Student(arch=arch):
                named = [("student.arch", arch)]
            case DistillConfig(method=method):
                terms = [method] if isinstance(method, str) else list(method)
                named = [(f"distill.method {term}", term) for term in terms]
            case _:
                named = []
        yield from ((setting, reference) for setting, reference in named if is_own(reference))
