"""Sends what arrives where it is large and positive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..numbers import Ints, ints
from .model import Message
from .thresholded import Thresholded


@dataclass(frozen=True)
class GradedReluVec(Thresholded):
    """Lava's GradedReluVec: sends the sum of this step where it is above v_th. No memory."""

    v_th: Ints = field(default_factory=lambda: ints(1))

    def value(self, drives: Sequence[Ints]) -> Ints:
        return drives[0]

    def passes(self, value: Ints) -> NDArray[np.bool_]:
        return value > self.v_th

    def range_of(self, arriving: Sequence[Message]) -> tuple[int, int]:
        # v_th may be below 0, and then some of what is sent
        return max(arriving[0].low, min(0, int(self.v_th.min()))), arriving[0].high
