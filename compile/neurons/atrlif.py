"""Leaky integrate-and-fire with an adaptive threshold and a refractory state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ..numbers import Ints, decay, ints, wrap
from .cuba import Cuba, Limits, leaky_bounds, leaky_reach
from .graded import held, leaves_24_bits
from .model import SPIKES, Arriving, Message, Settings, State, StateRange, Step


@dataclass(frozen=True)
class Atrlif(Cuba):
    """Lava's ATRLIF: fires where v - r >= theta; there r grows by 2 theta and theta by theta_step. v is not reset.

    u and v are those of ``Lif``. Lava takes the rates as fractions, and makes whole 4096ths of all but ``delta_i``.

    Attributes:
        du, dv, dtheta, dr: decays of u, v, theta (towards theta_0) and r; Lava's delta_i is (du - 1) / 4096, its
            other deltas are rate / 4096.
        theta_0, theta_step: in units of v. (Lava takes them >> 6.)
        u_init, v_init, r_init: state before the first step; theta begins at theta_0.
    """

    states: ClassVar[tuple[str, ...]] = ("u", "v", "theta", "r")
    message: ClassVar[Message | None] = SPIKES
    always_told: ClassVar[tuple[str, ...]] = ("du", "dv", "dtheta", "dr", "theta_0", "theta_step")

    du: Ints
    dv: Ints
    dtheta: Ints
    dr: Ints
    theta_0: Ints
    theta_step: Ints
    bias_mant: Ints = field(default_factory=lambda: ints(0))
    bias_exp: Ints = field(default_factory=lambda: ints(0))
    u_init: Ints = field(default_factory=lambda: ints(0))
    v_init: Ints = field(default_factory=lambda: ints(0))
    r_init: Ints = field(default_factory=lambda: ints(0))

    def rest_state(self, shape: tuple[int, ...]) -> State:
        theta, r = (np.broadcast_to(first, shape).copy() for first in (self.theta_0, self.r_init))
        return {**super().rest_state(shape), "theta": theta, "r": r}

    def cleared(self, state: State) -> State:
        return {**super().cleared(state), "theta": np.broadcast_to(self.theta_0, state["theta"].shape).copy()}

    def step(self, state: State, drives: Sequence[Ints]) -> Step:
        (drive,) = drives
        now = self.integrate(state, drive)
        theta = held(decay(held(state["theta"] - self.theta_0), self.dtheta) + self.theta_0)
        r = held(decay(state["r"], self.dr))
        fires = held(now.v - r) >= theta
        after = {
            "u": now.u,
            "v": now.v,
            "theta": np.where(fires, held(theta + self.theta_step), theta),
            "r": np.where(fires, held(r + wrap(2 * theta, 32)), r),
        }
        compared = {"u": now.u, "v": now.v, "theta": theta, "r": r}
        wraps = (now.u != now.u_exact) | leaves_24_bits(after["theta"], after["r"])
        return Step(after, fires.astype(np.int64), compared, wraps, now.v != now.v_exact)

    def spikes_at(self, v: Ints) -> Ints:
        """While it rests theta is theta_0, and r is 0."""
        fires: Ints = (v >= self.theta_0).astype(np.int64)
        return fires

    def sends(self, arriving: Sequence[Message]) -> Message:
        return SPIKES

    def bounds(self, arriving: Sequence[Arriving], n_steps: int | None) -> Mapping[str, StateRange]:
        (drive,) = arriving
        limits = Limits(-np.inf, np.full((), np.inf), cut_below=False, cut_above=np.zeros((), np.bool_))
        reach = leaky_reach(self, drive, np.zeros_like(drive.low), n_steps, limits)
        unknown = StateRange(-np.inf, np.inf, False)
        return {**leaky_bounds(self, reach, limits), "theta": unknown, "r": unknown}

    def settings(self) -> Settings:
        return Settings((self.du, self.dv, self.dtheta, self.dr), (self.theta_0, self.theta_step), (self.bias_mant,))
