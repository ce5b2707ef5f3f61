"""CUBA leaky integrate-and-fire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from seamount.errors import Reason

from ..numbers import UNITY, V_MAX, Ints, ints
from .cuba import Cuba, Limits, Reach, leaky_bounds, leaky_reach
from .model import SPIKES, Arriving, Doubles, Message, Sending, Settings, State, StateRange, Step

NEVER_FIRES = 1 << 17
"""A threshold mantissa that v (at most 2**23 - 1) cannot exceed: the population only integrates."""


@dataclass(frozen=True)
class Lif(Cuba):
    """CUBA leaky integrate-and-fire, hard reset to 0; u and v as ``cuba.integrate`` has them.

    Every parameter is one integer, or an array that broadcasts to the population's shape.

    Attributes:
        du: decay of u: it keeps 1 - du/4096 a step; 4096 forgets, 0 keeps. (Lava writes du - 1.)
        dv: decay of v, likewise. (Lava writes dv.)
        v_th_mant: fires where v > v_th_mant << 6; ``NEVER_FIRES`` makes a readout integrator.
        bias_mant, bias_exp: bias_mant << bias_exp is added to v at every step (>> for a negative exponent).
        u_init, v_init: state before the first step.
        refractory_steps: steps without integration or spike after a spike; 0 is the only value Lava has.
        v_floor: v is raised to it, 0 or below, before it is compared: the vmin of nengo-loihi, the min_v_mem of
            sinabs; None, the only value Lava has: no floor but the end of v's range.
    """

    states: ClassVar[tuple[str, ...]] = ("u", "v", "rest")
    hidden: ClassVar[tuple[str, ...]] = ("rest",)
    message: ClassVar[Message | None] = SPIKES
    always_told: ClassVar[tuple[str, ...]] = ("du", "dv", "v_th_mant")

    du: Ints
    dv: Ints
    v_th_mant: Ints
    bias_mant: Ints = field(default_factory=lambda: ints(0))
    bias_exp: Ints = field(default_factory=lambda: ints(0))
    u_init: Ints = field(default_factory=lambda: ints(0))
    v_init: Ints = field(default_factory=lambda: ints(0))
    refractory_steps: int = 0
    v_floor: Ints | None = None

    def rest_state(self, shape: tuple[int, ...]) -> State:
        return {**super().rest_state(shape), "rest": np.zeros(shape, np.int64)}

    @property
    def never_sends(self) -> bool:
        return bool(np.all(self.v_th_mant >= NEVER_FIRES))

    def step(self, state: State, drives: Sequence[Ints]) -> Step:
        """Integrate, compare (strictly), reset v to 0 where it fired. u does not notice."""
        (drive,) = drives
        now = self.integrate(state, drive)
        # Hardware's refractory period: v rests at 0 and integrates nothing; u goes on. Lava has none.
        v = np.where(state["rest"] > 0, 0, now.v)
        saturates = np.where(state["rest"] > 0, False, now.v != now.v_exact)
        v = v if self.v_floor is None else np.maximum(v, self.v_floor)
        spikes = np.where(state["rest"] == 0, self.spikes_at(v), 0)
        rest = np.where(spikes, self.refractory_steps, np.maximum(state["rest"] - 1, 0))
        after = {"u": now.u, "v": np.where(spikes, 0, v), "rest": rest}
        return Step(after, spikes, {"u": now.u, "v": v}, now.u != now.u_exact, saturates)

    def spikes_at(self, v: Ints) -> Ints:
        fires: Ints = (v > self.v_th_mant << 6).astype(np.int64)
        return fires

    def nearest_to_sending(self, states: State) -> float | None:
        v, threshold = states["v"], self.v_th_mant << 6
        return float((v / threshold).max()) if v.size and np.all(threshold > 0) else None

    def sends(self, arriving: Sequence[Message]) -> Message:
        return SPIKES

    @property
    def inhibition_follows_spikes(self) -> bool:
        # v must hold u and the bias alone, neither raised by a floor nor turned over by 32 bits
        whole = self.v_floor is None and bool(np.all((self.dv == UNITY) & (np.abs(self.bias) <= V_MAX)))
        return whole and bool(np.all(self.v_th_mant >= 0))

    def bounds(self, arriving: Sequence[Arriving], n_steps: int | None) -> Mapping[str, StateRange]:
        (drive,) = arriving
        ranges = leaky_bounds(self, self._reach(drive, n_steps), self._limits())
        if self.v_floor is None:
            return ranges
        v = ranges["v"]
        raised = StateRange(max(v.low, float(self.v_floor.min())), max(v.high, float(self.v_floor.max())), v.proven)
        return {**ranges, "v": raised}

    def sending(self, arriving: Sequence[Arriving], n_steps: int | None) -> Sending:
        """A neuron that fires at every step begins every step at 0."""
        (drive,) = arriving
        reach, threshold = self._reach(drive, n_steps), self.v_th_mant << 6
        highest = reach.v_high if self.v_floor is None else np.maximum(reach.v_high, self.v_floor)
        can = self.v_th_mant < NEVER_FIRES
        from_rest = (self.v_init >= 0) & (self.refractory_steps == 0)
        return Sending((highest <= threshold) | ~can, (reach.step_low > threshold) & can & from_rest)

    def _reach(self, drive: Arriving, n_steps: int | None) -> Reach:
        return leaky_reach(self, drive, self._fall(drive), n_steps, self._limits())

    def _limits(self) -> Limits:
        """A spike takes v back to 0, and a floor raises it, however far it was beyond."""
        threshold, floor = self.v_th_mant << 6, self.v_floor
        fires = self.v_th_mant < NEVER_FIRES
        return Limits(
            -np.inf if floor is None else floor,
            np.where(fires, threshold, np.inf),
            cut_below=floor is not None,
            cut_above=fires,
        )

    def _fall(self, drive: Arriving) -> Doubles:
        """How far a neuron's own inhibition can take u below what it would be without.

        It follows a spike, so the u before was above the threshold less the bias (v holds nothing else), and of it
        (1 - du / 4096), rounded down, is left, unless a reset took it. Never again: behind the fall u decays, or
        falls from above the threshold.
        """
        left = (1 - self.du / UNITY) * ((self.v_th_mant << 6) - self.bias) - 1
        left = np.minimum(left, 0) if drive.own_meets_reset else left
        return np.where(drive.own > 0, np.maximum(0, 64 * drive.own - left), 0.0)

    def settings(self) -> Settings:
        return Settings((self.du, self.dv), (self.v_th_mant,), (self.bias_mant,))

    def reasons(self, name: str, shape: tuple[int, ...]) -> Iterator[Reason]:
        yield from super().reasons(name, shape)
        if self.refractory_steps < 0:
            yield Reason(f"a refractory period of {self.refractory_steps} steps", name, "at least 0 is possible")
        if self.v_floor is not None and not (self.v_floor.min() >= -V_MAX and self.v_floor.max() <= 0):
            # a floor above 0 would move a neuron that was just reset
            low, high = self.v_floor.min(), self.v_floor.max()
            yield Reason(f"a floor of v at {low} to {high}", name, f"{-V_MAX} to 0 is possible")
