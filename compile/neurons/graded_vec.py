"""Sends what arrives where it is large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..numbers import Ints, ints
from .graded import magnitude
from .model import Message
from .thresholded import Thresholded


@dataclass(frozen=True)
class GradedVec(Thresholded):
    """Lava's GradedVec: sends the sum of this step where its magnitude is above v_th. No memory."""

    v_th: Ints = field(default_factory=lambda: ints(1))

    def value(self, drives: Sequence[Ints]) -> Ints:
        return drives[0]

    def passes(self, value: Ints) -> NDArray[np.bool_]:
        return magnitude(value) > self.v_th

    def range_of(self, arriving: Sequence[Message]) -> tuple[int, int]:
        return arriving[0].low, arriving[0].high
