"""Methods as weighted sums of terms: the list of all terms, the published sums by name, any other from the config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seamount.errors import ConfigError

from ..config import Method, check_method
from .hard import Hard, HardMean
from .kd import Kd
from .kd_per_step import KdPerStep
from .lesson import Lesson
from .sastc import Sastc, Shape
from .seal_kd import ErrorAwareAlignment, SelectiveAlignment, StaTarget


@dataclass(frozen=True)
class Settings:
    """What terms may depend on.

    Attributes:
        temperature: of every divergence; None for each term's own (3 in SeAl-KD and per-step KD, 4 in KD).
        sta_target: of SeAl-KD's second term: one mixture of logits (the authors' code), or a sum over pairs of steps.
        student_shapes, teacher_shapes: layers whose maps SASTC compares -> (C, H, W).
        exact_batch: SASTC as released, for this batch size alone; None for the repaired embedding.
    """

    temperature: float | None = None
    sta_target: StaTarget = "logit-mixture"
    student_shapes: Mapping[str, Shape] | None = None
    teacher_shapes: Mapping[str, Shape] | None = None
    exact_batch: int | None = None


@dataclass(frozen=True)
class Kind:
    """A term: how it is made, and what it needs beside the student's logits and the labels."""

    make: Callable[[Settings], nn.Module]
    teacher: bool = False
    maps: bool = False


TERMS: dict[str, Kind] = {
    "hard": Kind(lambda s: Hard()),
    "hard-mean": Kind(lambda s: HardMean()),
    "kd": Kind(lambda s: Kd(s.temperature or 4.0), teacher=True),
    "kd-per-step": Kind(lambda s: KdPerStep(s.temperature or 3.0), teacher=True),
    "ela": Kind(lambda s: ErrorAwareAlignment(s.temperature or 3.0), teacher=True),
    "sta": Kind(lambda s: SelectiveAlignment(s.temperature or 3.0, s.sta_target)),
    "sastc": Kind(
        lambda s: Sastc(s.student_shapes or {}, s.teacher_shapes or {}, batch_size=s.exact_batch),
        teacher=True,
        maps=True,
    ),
}

METHODS: dict[Method, dict[str, float]] = {
    "hard": {"hard": 1.0},
    "hard-mean": {"hard-mean": 1.0},
    "kd": {"hard-mean": 1.0, "kd": 1.0},
    "kd-per-step": {"hard": 1.0, "kd-per-step": 0.2},
    "seal-kd": {"hard": 1.0, "ela": 0.6, "sta": 0.15},
    "sastc": {"hard-mean": 1.0, "kd": 1.0, "sastc": 100.0},
    "seal-kd+sastc": {"hard": 1.0, "ela": 0.6, "sta": 0.15, "sastc": 100.0},
}
"""Weights as published: SeAl-KD's README, the default of SASTC's code (its released commands say 800)."""


def weights_of(method: str | Mapping[str, float]) -> dict[str, float]:
    """The terms of a method and their weights."""
    try:
        check_method(method)
    except ValueError as error:
        raise ConfigError(f"method: {error}") from None
    weights = next((w for name, w in METHODS.items() if name == method), method)
    assert not isinstance(weights, str)
    return {name: float(weight) for name, weight in weights.items() if weight > 0}


def needs_teacher(weights: Mapping[str, float]) -> bool:
    return any(TERMS[name].teacher for name in weights)


def needs_maps(weights: Mapping[str, float]) -> bool:
    return any(TERMS[name].maps for name in weights)


class WeightedSum(nn.Module):
    """The loss of a method: every term's value, and their weighted sum."""

    def __init__(self, weights: Mapping[str, float], settings: Settings | None = None) -> None:
        super().__init__()
        self.weights = dict(weights)
        self.terms = nn.ModuleDict({name: TERMS[name].make(settings or Settings()) for name in weights})

    def forward(self, lesson: Lesson) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and each term before its weight, detached."""
        values = {name: term(lesson) for name, term in self.terms.items()}
        total = torch.stack([self.weights[name] * value for name, value in values.items()]).sum()
        return total, {name: value.detach() for name, value in values.items()}
