"""Leaky integrate-and-fire with spikes of both signs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ..numbers import V_MAX, Ints, ints, wrap
from .cuba import Cuba, Limits, Reach, leaky_bounds, leaky_reach
from .model import SIGNED_SPIKES, Arriving, Message, Sending, Settings, State, StateRange, Step


@dataclass(frozen=True)
class TernaryLif(Cuba):
    """As ``Lif``, with spikes -1, 0, 1: +1 where v > hi << 6, -1 where v < lo << 6; both reset v to 0."""

    message: ClassVar[Message | None] = SIGNED_SPIKES
    always_told: ClassVar[tuple[str, ...]] = ("du", "dv", "v_th_hi_mant", "v_th_lo_mant")

    du: Ints
    dv: Ints
    v_th_hi_mant: Ints
    v_th_lo_mant: Ints
    bias_mant: Ints = field(default_factory=lambda: ints(0))
    bias_exp: Ints = field(default_factory=lambda: ints(0))
    u_init: Ints = field(default_factory=lambda: ints(0))
    v_init: Ints = field(default_factory=lambda: ints(0))

    @property
    def thresholds(self) -> tuple[Ints, Ints]:
        """(low, high) of v. Lava shifts these two in 32 bits."""
        return wrap(self.v_th_lo_mant << 6, 32), wrap(self.v_th_hi_mant << 6, 32)

    def step(self, state: State, drives: Sequence[Ints]) -> Step:
        (drive,) = drives
        now = self.integrate(state, drive)
        spikes = self.spikes_at(now.v)
        after = {"u": now.u, "v": np.where(spikes, 0, now.v)}
        return Step(after, spikes, {"u": now.u, "v": now.v}, now.u != now.u_exact, now.v != now.v_exact)

    def spikes_at(self, v: Ints) -> Ints:
        low, high = self.thresholds
        return (v > high).astype(np.int64) - (v < low).astype(np.int64)

    def nearest_to_sending(self, states: State) -> float | None:
        v, (low, high) = states["v"], self.thresholds
        return float(np.maximum(v / low, v / high).max()) if v.size and np.all((low < 0) & (high > 0)) else None

    def sends(self, arriving: Sequence[Message]) -> Message:
        return SIGNED_SPIKES

    def bounds(self, arriving: Sequence[Arriving], n_steps: int | None) -> Mapping[str, StateRange]:
        (drive,) = arriving
        return leaky_bounds(self, self._reach(drive, n_steps), self._limits())

    def sending(self, arriving: Sequence[Arriving], n_steps: int | None) -> Sending:
        (drive,) = arriving
        reach, (low, high) = self._reach(drive, n_steps), self.thresholds
        never = (reach.v_low >= low) & (reach.v_high <= high)
        return Sending(never, np.zeros((), np.bool_))

    def _reach(self, drive: Arriving, n_steps: int | None) -> Reach:
        return leaky_reach(self, drive, np.zeros_like(drive.low), n_steps, self._limits())

    def _limits(self) -> Limits:
        """Either spike takes v back to 0, so that it does not matter how far beyond the threshold v was."""
        low, high = self.thresholds
        # where the thresholds overlap the two spikes cancel between them, and v stays
        return Limits(
            np.minimum(low, high),
            np.maximum(low, high),
            cut_below=np.minimum(low, high) > -V_MAX,
            cut_above=np.maximum(low, high) < V_MAX,
        )

    def settings(self) -> Settings:
        return Settings((self.du, self.dv), (self.v_th_hi_mant, self.v_th_lo_mant), (self.bias_mant,))
