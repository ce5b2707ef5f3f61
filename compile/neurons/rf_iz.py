"""Resonate-and-fire with Izhikevich's reset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..numbers import Ints
from .model import State, Step
from .resonator import Resonator


@dataclass(frozen=True)
class RfIz(Resonator):
    """Lava's RF_IZ: fires where the imaginary part is at least v_th; there it becomes v_th - 1 and the real one 0."""

    def step(self, state: State, drives: Sequence[Ints]) -> Step:
        now = self.turned(state, drives)
        fires = now.imag >= self.v_th
        after = {"real": np.where(fires, 0, now.real), "imag": np.where(fires, self.v_th - 1, now.imag)}
        never = np.zeros(now.cut.shape, np.bool_)
        return Step(after, fires.astype(np.int64), {"real": now.real, "imag": now.imag}, never, now.cut)
