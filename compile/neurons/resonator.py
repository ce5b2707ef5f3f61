"""Resonate-and-fire: what ``Rf`` and ``RfIz`` have in common, a state that is a complex number and turns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from seamount.errors import InputError, Reason

from ..numbers import V_MAX, Ints
from .graded import HIGHEST, beyond, held
from .model import SPIKES, Arriving, Message, NeuronModel, Settings, State, StateRange

DECAY_BITS = 12
"""As netx has them."""


@dataclass(frozen=True)
class Turned:
    """The state after a step, and where a sum was cut to 24 bits."""

    real: Ints
    imag: Ints
    cut: NDArray[np.bool_]


@dataclass(frozen=True)
class Resonator(NeuronModel):
    """(real, imag) turns and shrinks at every step, and what arrives at the two drives is added.

    Attributes:
        sin_decay, cos_decay: of the turn and the decay of one step, in 2**-decay_bits (``resonance``).
        v_th: in units of the state. (Lava takes v_th >> state_exp.)
        state_exp: what arrives is added ``<< state_exp``.
    """

    states: ClassVar[tuple[str, ...]] = ("real", "imag")
    drives: ClassVar[tuple[str, ...]] = ("real", "imag")
    message: ClassVar[Message | None] = SPIKES
    always_told: ClassVar[tuple[str, ...]] = ("sin_decay", "cos_decay", "v_th")

    sin_decay: Ints
    cos_decay: Ints
    v_th: Ints
    state_exp: int = 0
    decay_bits: int = DECAY_BITS

    def turned(self, state: State, drives: Sequence[Ints]) -> Turned:
        real, imag = state["real"], state["imag"]
        more_real, more_imag = (held(drive << self.state_exp) for drive in drives)  # Lava shifts within 32 bits
        exact_real = self._kept(self.cos_decay * real) - self._kept(self.sin_decay * imag) + more_real
        exact_imag = self._kept(self.sin_decay * real) + self._kept(self.cos_decay * imag) + more_imag
        new_real, new_imag = np.clip(exact_real, -V_MAX, V_MAX), np.clip(exact_imag, -V_MAX, V_MAX)
        return Turned(new_real, new_imag, (new_real != exact_real) | (new_imag != exact_imag))

    def _kept(self, product: Ints) -> Ints:
        """Each product by itself, rounded towards zero."""
        kept: Ints = np.sign(product) * (np.abs(product) >> self.decay_bits)
        return kept

    def sends(self, arriving: Sequence[Message]) -> Message:
        return SPIKES

    def bounds(self, arriving: Sequence[Arriving], n_steps: int | None) -> Mapping[str, StateRange]:
        """Of the length of the complex number, which no turn changes and no reset makes larger than ``v_th``."""
        longest = [np.maximum(-(drive.low - drive.own), drive.high) * 2.0**self.state_exp for drive in arriving]
        # rounding moves each product by less than 1
        step = np.hypot(*longest) + math.sqrt(8)
        kept = np.hypot(self.sin_decay, self.cos_decay) / 2.0**self.decay_bits
        for_ever = np.where(kept < 1, step / np.maximum(1 - kept, 1e-300), np.inf)
        steps = float("inf") if n_steps is None else float(n_steps)
        length = np.where(kept <= 1, np.minimum(for_ever, step * steps), np.inf) + np.abs(self.v_th) + 1
        most = float(length.max())
        return {name: StateRange(-most, most, most <= V_MAX) for name in self.states}

    def settings(self) -> Settings:
        return Settings((self.sin_decay, self.cos_decay), (self.v_th,))

    def reasons(self, name: str, shape: tuple[int, ...]) -> Iterator[Reason]:
        if misfits := list(super().reasons(name, shape)):
            yield from misfits
            return
        if found := beyond("a threshold", self.v_th, -HIGHEST, HIGHEST):  # of which 1 is taken
            yield Reason(found, name, f"{-HIGHEST} to {HIGHEST} are possible, in units of the state")
        if found := beyond("decay_bits", self.decay_bits, 1, 16):
            yield Reason(found, name, "1 to 16 are possible")
            return
        if found := beyond("a state_exp", self.state_exp, 0, 23):
            yield Reason(found, name, "0 to 23 are possible")
        sin, cos = (np.asarray(rate).reshape(-1) for rate in np.broadcast_arrays(self.sin_decay, self.cos_decay))
        unity = 1 << self.decay_bits
        growing = np.flatnonzero(np.hypot(sin, cos) > unity)
        if growing.size:
            found = f"sin_decay {sin[growing[0]]} and cos_decay {cos[growing[0]]}, a state that grows of itself"
            yield Reason(found, name, f"a sum of their squares up to {unity}**2 is possible")


def resonance(where: str, period: float, alpha: float, decay_bits: int = DECAY_BITS) -> tuple[int, int]:
    """(sin_decay, cos_decay) of a period [steps; inf does not turn] and a share alpha that a step loses, as Lava
    truncates them.

    Raises:
        InputError: a period that is not above 0, an alpha outside of 0 .. 1.
    """
    if not period > 0:
        raise InputError(f"a period of {period:g} steps", where=where, possible="more than 0 is possible")
    if not 0 <= alpha <= 1:
        raise InputError(f"an alpha of {alpha:g}", where=where, possible="0 to 1 is possible")
    # in this order, because the last bit of a float64 decides about the integer
    sin, cos = (1 - alpha) * np.sin(np.pi * 2 * 1 / period), (1 - alpha) * np.cos(np.pi * 2 * 1 / period)
    return int(sin * (1 << decay_bits)), int(cos * (1 << decay_bits))
