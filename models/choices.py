"""What a configuration may choose of students and teachers: their names and options.

Importing this costs no torch, so that a wrong one is refused before that is loaded. ``zoo.py`` builds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from seamount.errors import ConfigError, none_of

STUDENTS = (
    "small",
    "vgg8",
    "vgg9",
    "vgg11",
    "vgg11-sastc",
    "resnet18",
    "resnet19",
    "resnet19-sastc",
    "wrn16-2",
    "wrn16-2-sastc",
    "preact-resnet34",
    "recurrent",
    "conv1d",
    "conv1d-recurrent",
)
TEACHERS = ("small-cnn", "small-mlp", "fast", "resnet18", "resnet19", "resnet34", "wrn28-4", "vgg11", "vgg16")

SURROGATES = ("seal", "sastc", "super")


@dataclass(frozen=True)
class StudentOptions:
    """What can be chosen beside the architecture.

    Attributes:
        width: factor on every number of channels: 0.25 gives a narrow net.
        decay: share of itself that v loses a step (SeAl: 0.5; 0.8 is its tau of 1.25).
        surrogate: "seal", "sastc" or "super".
        readout: "sum" (logits of a step = its drive), "li" or "libox" (leaky integrators).
        pooling: of VGGs: "stride" (a convolution of stride 2), "average", or "max" (populations of their own).
        decay_syn: of the recurrent student's current.
        hidden: neurons of the recurrent student, and before the classifier of those for lines.
        input_bits: 8 for images and counts, 0 for spikes.
        input_scale: the chip's input is x * input_scale; None: 255 for 8 bits, 1 for spikes.
    """

    width: float = 1.0
    decay: float = 0.5
    surrogate: str = "seal"
    readout: str = "sum"
    pooling: str = "stride"
    decay_syn: float = 0.5
    hidden: int = 128
    input_bits: int = 8
    input_scale: float | None = None

    def __post_init__(self) -> None:
        choices = {
            "surrogate": SURROGATES,
            "readout": ("sum", "li", "libox"),
            "pooling": ("stride", "average", "max"),
        }
        for option, possible in choices.items():
            if getattr(self, option) not in possible:
                raise ConfigError(f"{option} {none_of(getattr(self, option), possible)}")
        if not 0 < self.width <= 16 or self.hidden < 1:
            raise ConfigError(f"width {self.width}, hidden {self.hidden}: positive numbers are needed")
        if not 0 <= self.input_bits <= 16:
            raise ConfigError(f"input_bits {self.input_bits}", possible="possible are 0 (spikes) to 16")

    def channels(self, n: int) -> int:
        return max(1, round(n * self.width))


@dataclass(frozen=True)
class FastOptions:
    """What can be chosen of the teacher "fast".

    Attributes:
        width: factor on the stages' 64, 256 and 256 channels.
        depth: convolutions of a stage, 2 or 3; of three, the last two stand beside a skip.
    """

    width: float = 1.0
    depth: int = 2

    def __post_init__(self) -> None:
        if not 0 < self.width <= 16 or self.depth not in (2, 3):
            raise ConfigError(
                f"width {self.width}, depth {self.depth}",
                possible="possible are widths up to 16, and depths 2 and 3",
            )

    def channels(self) -> list[int]:
        return [max(1, round(n * self.width)) for n in (64, 256, 256)]


@dataclass(frozen=True)
class NoOptions:
    """Of the other teachers."""


OPTIONS: Mapping[str, type] = {"fast": FastOptions}
"""Of the teachers that have any."""

Options = TypeVar("Options")


def student_options(name: str, given: Mapping[str, Any]) -> StudentOptions:
    """The options of a student of ours.

    Raises:
        ConfigError: there is no such student, option or value.
    """
    if name not in STUDENTS:
        raise ConfigError(f"student {none_of(name, STUDENTS)}")
    return _made(given, StudentOptions, f"student {name}")


def check_teacher(name: str, given: Mapping[str, Any]) -> None:
    """Refuses a teacher, option or value that we do not have."""
    if name not in TEACHERS:
        raise ConfigError(f"teacher {none_of(name, TEACHERS)}")
    _made(given, OPTIONS.get(name, NoOptions), f"teacher {name}")


def _made(given: Mapping[str, Any], kind: type[Options], where: str) -> Options:
    types = get_type_hints(kind)
    for option, value in given.items():
        if option not in types:
            found = f"option {none_of(option, types)}" if types else f"has no option {option}"
            raise ConfigError(found, where=where)
        try:
            TypeAdapter(types[option]).validate_python(value, strict=True)
        except ValidationError as error:
            told = error.errors()[0]["msg"]
            raise ConfigError(f"option {option} is {value!r}", where=where, possible=told) from None
    try:
        return kind(**given)
    except ConfigError as error:
        raise ConfigError.together(reason.inside(where) for reason in error.reasons) from None


def check_classes(name: str, n_classes: int | None) -> None:
    if n_classes is None or n_classes < 2:
        raise ConfigError(f"{n_classes or 'unknown'} classes", where=name, ways_out="at least 2 are needed")


def image_shape(where: str, input_shape: Sequence[int], smallest: int = 1) -> tuple[int, int, int]:
    """(C, H, W), refused where it is none."""
    if len(input_shape) == 3 and min(input_shape[1:]) >= smallest:
        return input_shape[0], input_shape[1], input_shape[2]
    turned = len(input_shape) == 3 and input_shape[2] in (1, 3) and min(input_shape[:2]) >= smallest
    raise ConfigError(
        f"input {tuple(input_shape)}",
        where=where,
        possible=f"needed is (C, H, W), H and W at least {smallest}",
        ways_out="it looks like (H, W, C): x.permute(2, 0, 1) in the data set turns it" if turned else (),
    )
