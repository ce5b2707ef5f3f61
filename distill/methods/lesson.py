"""What one batch teaches: everything a distillation term may look at."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, assert_never

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamount.errors import ConfigError

from ..config import Divergence, StaTarget
from .hta_kl import hta_divergence


@dataclass(frozen=True)
class Lesson:
    """One batch seen by student and teacher.

    Attributes:
        logits: (T, B, K), each step's own output of the student, not accumulated.
        labels: (B,) class numbers.
        teacher_logits: (B, K), one forward of the teacher, shared by all steps; None for methods without a teacher.
        student_maps: population -> (T, B, C, H, W), outermost layer first.
        teacher_maps: layer -> (B, C, H, W), outermost layer first; none in a step that does without.
    """

    logits: Tensor
    labels: Tensor
    teacher_logits: Tensor | None = None
    student_maps: Mapping[str, Tensor] = field(default_factory=dict)
    teacher_maps: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def teacher(self) -> Tensor:
        """The teacher's logits without gradient, in the student's precision (at least float32)."""
        assert self.teacher_logits is not None, "a term that needs a teacher got none"
        return full(self.teacher_logits.detach())

    @property
    def student(self) -> Tensor:
        """The student's logits in at least float32: the 1e-8 of the losses is lost in bf16."""
        return full(self.logits)


Shape = tuple[int, int, int]
"""Of a layer's maps: (C, H, W)."""


@dataclass(frozen=True)
class Settings:
    """What terms may depend on.

    Attributes:
        temperature: of every divergence; None for each term's own (3 in SeAl-KD and per-step KD, 4 in KD).
        divergence: of the terms in which the teacher's logits teach.
        sta_target: of SeAl-KD's second term: one mixture of logits (the authors' code), or a sum over pairs of steps.
        student_shapes, teacher_shapes: layers whose maps SASTC compares -> (C, H, W).
        exact_batch: SASTC as released, for this batch size alone; None for the repaired embedding.
        sastc_every, sastc_side: see ``Sastc``.
        options: arguments of one's own loss.
        label_smoothing: share of the hard labels that is spread evenly over all classes.
    """

    temperature: float | None = None
    divergence: Divergence = "kl"
    sta_target: StaTarget = "logit-mixture"
    student_shapes: Mapping[str, Shape] | None = None
    teacher_shapes: Mapping[str, Shape] | None = None
    exact_batch: int | None = None
    sastc_every: int = 1
    sastc_side: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if self.temperature is not None and not 0 < self.temperature < math.inf:
            raise ConfigError(f"{self.temperature}", where="temperature", possible="more than 0 is possible")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(
                f"{self.label_smoothing}", where="label_smoothing", possible="0 to less than 1 is possible"
            )


class Term(Protocol):
    """One summand of a method: a module, because some terms have parameters of their own."""

    @classmethod
    def of(cls, settings: Settings) -> nn.Module:
        """The term under these settings."""

    def __call__(self, lesson: Lesson) -> Tensor: ...


def full(values: Tensor) -> Tensor:
    """At least float32."""
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


def soft_divergence(target_logits: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """KL(target || logits) of softmaxes at one temperature, times its square: (..., K) -> (...)."""
    target = F.log_softmax(target_logits / temperature, -1)
    own = F.log_softmax(logits / temperature, -1)
    return temperature**2 * (target.exp() * (target - own)).sum(-1)


def divergence_of(kind: Divergence) -> Callable[[Tensor, Tensor, float], Tensor]:
    """As ``soft_divergence``, by name."""
    match kind:
        case "kl":
            return soft_divergence
        case "hta-kl":
            return hta_divergence
        case _:
            assert_never(kind)
