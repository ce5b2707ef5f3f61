"""Resonate-and-fire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..numbers import Ints
from .model import State, Step
from .resonator import DECAY_BITS, Resonator


@dataclass(frozen=True)
class Rf(Resonator):
    """Lava's RF: fires where the imaginary part rises through 0 while the real one is at least v_th. No reset.

    Attributes:
        sin_decay, cos_decay: of the turn and the decay of one step, in 2**-decay_bits (``resonator.resonance``).
        v_th: in units of the state. (Lava takes v_th >> state_exp.)
        state_exp: what arrives is added ``<< state_exp``.
    """

    sin_decay: Ints
    cos_decay: Ints
    v_th: Ints
    state_exp: int = 0
    decay_bits: int = DECAY_BITS

    def step(self, state: State, drives: Sequence[Ints]) -> Step:
        now = self.turned(state, drives)
        fires = (now.real >= self.v_th) & (now.imag >= 0) & (state["imag"] < 0)
        after = {"real": now.real, "imag": now.imag}
        return Step(after, fires.astype(np.int64), after, np.zeros(now.cut.shape, np.bool_), now.cut)
