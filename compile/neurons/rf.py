"""Resonate-and-fire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..numbers import Ints
from .model import State, Step
from .resonator import Resonator


@dataclass(frozen=True)
class Rf(Resonator):
    """Lava's RF: fires where the imaginary part rises through 0 while the real one is at least v_th. No reset."""

    def step(self, state: State, drives: Sequence[Ints]) -> Step:
        now = self.turned(state, drives)
        fires = (now.real >= self.v_th) & (now.imag >= 0) & (state["imag"] < 0)
        after = {"real": now.real, "imag": now.imag}
        return Step(after, fires.astype(np.int64), after, np.zeros(now.cut.shape, np.bool_), now.cut)
