"""Sends how its input changes: the input layer of a sigma-delta network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from ..numbers import Ints, ints
from .delta_coding import DeltaCoding
from .graded import held, in_24_bits
from .model import Arriving, Message, Settings, State, StateRange, Step


@dataclass(frozen=True)
class Delta(DeltaCoding):
    """Lava's Delta: the activation is what arrives, ``<< spike_exp + state_exp``.

    Attributes:
        v_th: sends where the change is at least that; in units of the state. (Lava takes v_th >> spike_exp +
            state_exp.)
        spike_exp: a change of 1 of the input is sent as 2**spike_exp.
        state_exp: the state holds so many bits below that.
        cum_error: compares the changes since the last message, added up, not the last change.
    """

    states: ClassVar[tuple[str, ...]] = ("act", "residue", "error")
    always_told: ClassVar[tuple[str, ...]] = ("v_th",)

    v_th: Ints = field(default_factory=lambda: ints(1))
    spike_exp: int = 0
    state_exp: int = 0
    cum_error: bool = False

    def step(self, state: State, drives: Sequence[Ints]) -> Step:
        (drive,) = drives
        return self.coded(state, held(drive << self.shift), drive)

    @property
    def shift(self) -> int:
        return self.spike_exp + self.state_exp

    def sends(self, arriving: Sequence[Message]) -> Message:
        (drive,) = arriving
        return self.change((drive.low << self.shift, drive.high << self.shift))

    def bounds(self, arriving: Sequence[Arriving], n_steps: int | None) -> Mapping[str, StateRange]:
        (drive,) = arriving
        unit = float(1 << self.shift)
        return self.coding_bounds(in_24_bits(float(drive.low.min()) * unit, float(drive.high.max()) * unit))

    def settings(self) -> Settings:
        return Settings(thresholds=(self.v_th,))
