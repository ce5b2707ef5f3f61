"""Adds up the changes that it is sent, and sends how its activation changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from seamount.errors import Reason

from ..numbers import Ints, ints
from .delta_coding import DeltaCoding
from .graded import HIGHEST, LOWEST, beyond, held, in_24_bits
from .model import Arriving, Message, Settings, State, StateRange, Step
from .sigma import added_up


@dataclass(frozen=True)
class SigmaDelta(DeltaCoding):
    """Lava's SigmaDelta: act = max(sigma + bias, 0), where sigma is the sum of all that ever arrived.

    Attributes:
        v_th: sends where the change of act is at least that; in units of the state. (Lava takes v_th >> spike_exp +
            state_exp, and the bias likewise.)
        bias: of the activation, in units of the state.
        spike_exp: an activation of 1 stands as 2**spike_exp in messages, 2**(spike_exp + state_exp) in the state:
            nothing is computed with it here, thresholds and biases of Lava and ``.net`` files are given in that unit.
        state_exp: the state holds so many bits below the messages.
        cum_error: compares the changes since the last message, added up, not the last change.
        rectified: False: act = sigma + bias (Lava's UNIT in place of RELU).
    """

    states: ClassVar[tuple[str, ...]] = ("sigma", "act", "residue", "error")
    always_told: ClassVar[tuple[str, ...]] = ("v_th",)

    v_th: Ints = field(default_factory=lambda: ints(1))
    bias: Ints = field(default_factory=lambda: ints(0))
    spike_exp: int = 0
    state_exp: int = 0
    cum_error: bool = False
    rectified: bool = True

    def step(self, state: State, drives: Sequence[Ints]) -> Step:
        (drive,) = drives
        sigma = held(state["sigma"] + drive)
        act = held(sigma + self.bias)
        return self.coded(state, np.maximum(act, 0) if self.rectified else act, drive, sigma=sigma)

    def sends(self, arriving: Sequence[Message]) -> Message:
        # for how long it adds up is not known here
        return self.change((0 if self.rectified else LOWEST, HIGHEST))

    def bounds(self, arriving: Sequence[Arriving], n_steps: int | None) -> Mapping[str, StateRange]:
        (drive,) = arriving
        sigma = added_up(drive, n_steps)
        low, high = sigma.low + float(self.bias.min()), sigma.high + float(self.bias.max())
        act = in_24_bits(max(0.0, low) if self.rectified else low, max(0.0, high) if self.rectified else high)
        return {"sigma": sigma, **self.coding_bounds(act)}

    def settings(self) -> Settings:
        return Settings(thresholds=(self.v_th,), biases=(self.bias,))

    def reasons(self, name: str, shape: tuple[int, ...]) -> Iterator[Reason]:
        yield from super().reasons(name, shape)
        if found := beyond("a bias", self.bias, LOWEST, HIGHEST):
            yield Reason(found, name, f"{LOWEST} to {HIGHEST} are possible, in units of the state")
