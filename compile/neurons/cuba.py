"""Current-based leaky integration: what ``Lif`` and ``TernaryLif`` have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from seamount.errors import Unsupported

from ..numbers import STATE_BITS, UNITY, V_MAX, Ints, decay, ints, wrap
from .model import Arriving, Doubles, NeuronModel, State, StateRange


@dataclass(frozen=True)
class Integrated:
    """The new u and v, and the exact sums that they would be without limits."""

    u: Ints
    v: Ints
    u_exact: Ints
    v_exact: Ints


@dataclass(frozen=True)
class Limits:
    """What keeps v from going further; arrays broadcast to the population's shape.

    Attributes:
        begins_low, begins_high: no step begins with a v beyond these, except the first.
        cut_below, cut_above: v may saturate there, because that changes neither spike nor what is left of v.
    """

    begins_low: Ints | float
    begins_high: Ints | Doubles
    cut_below: NDArray[np.bool_] | bool
    cut_above: NDArray[np.bool_]


class Cuba(NeuronModel):
    """Two leaky states: the current u gathers the drive, the membrane v gathers u and the bias."""

    states: ClassVar[tuple[str, ...]] = ("u", "v")

    du: Ints
    dv: Ints
    bias_mant: Ints
    bias_exp: Ints
    u_init: Ints
    v_init: Ints

    @property
    def bias(self) -> Ints:
        """What is added to v at every step. The mantissa is an int16, as in Lava: 40000 means -25536."""
        mantissa, exponent = np.broadcast_arrays(wrap(self.bias_mant, 16), self.bias_exp)
        up, down = np.maximum(exponent, 0), np.maximum(-exponent, 0)
        bias: Ints = np.where(exponent >= 0, mantissa << up, mantissa >> down)
        return bias

    def rest_state(self, shape: tuple[int, ...]) -> State:
        u, v = np.broadcast_to(self.u_init, shape), np.broadcast_to(self.v_init, shape)
        return {"u": u.copy(), "v": v.copy()}

    def integrate(self, state: State, drive: Ints) -> Integrated:
        """u gathers the drive, v gathers u and the bias.

        u wraps once around 24 bits: the range is (-2**23, 2**23], +2**23 stays and -2**23 becomes +2**23; what lies
        further than one turn away stays outside, held by 32 bits. v saturates.
        """
        u_exact = decay(state["u"], self.du) + (drive << 6)
        u = wrap(u_exact, 32)
        turn = 1 << STATE_BITS
        u = np.where(u > V_MAX + 1, u - turn, np.where(u <= -(V_MAX + 1), u + turn, u))
        v_exact = decay(state["v"], self.dv) + u + self.bias
        v = np.clip(wrap(v_exact, 32), -V_MAX, V_MAX)
        return Integrated(u, v, u_exact, v_exact)

    def solved_back(self, name: str, n_steps: int) -> Self:
        shape = self._shape()
        state = self.rest_state(shape)
        u, v = state["u"], state["v"]
        bias = np.broadcast_to(self.bias, shape)
        du, dv = np.broadcast_to(self.du, shape), np.broadcast_to(self.dv, shape)
        for _ in range(n_steps):
            v = np.where(dv == UNITY, u + bias, v)  # the state at rest of a v without memory is no constraint
            if np.any(self.spikes_at(v)):
                raise Unsupported("it fires while the pipeline fills, before the first input is there", where=name)
            v_before, u_before = _before(v - bias - u, dv), _before(u, du)
            if v_before is None or u_before is None:
                raise Unsupported(
                    f"no initial state leads to its state at rest after {n_steps} steps of pipeline fill within "
                    f"{STATE_BITS} bits",
                    where=name,
                )
            v, u = v_before, u_before
        return replace(self, u_init=ints(u), v_init=ints(v))  # type: ignore[type-var]

    @abstractmethod
    def spikes_at(self, v: Ints) -> Ints:
        """What is sent where v compares with the threshold."""


LARGEST_BIAS = (1 << 31) - (1 << 25)
"""With it, u and v of 24 bits each add up within 32."""


@dataclass(frozen=True)
class Reach:
    """How far u and v of each neuron go, as long as u does not wrap.

    Attributes:
        step_low, step_high: of what one step adds to v.
    """

    u_low: Doubles
    u_high: Doubles
    v_low: Doubles
    v_high: Doubles
    step_low: Doubles
    step_high: Doubles


def leaky_reach(neuron: Cuba, drive: Arriving, fall: Doubles, n_steps: int | None, limits: Limits) -> Reach:
    """Worst cases of u and v, neuron by neuron.

    Args:
        fall: how far below the drive's own bound u can be taken besides.
        limits: what the neuron does to a v that goes far.
    """
    bias = neuron.bias.astype(np.float64)
    u_low, u_high = _settled(drive.low * 64, drive.high * 64, neuron.du / UNITY, neuron.u_init, n_steps)
    u_low = u_low - fall
    # v is cut only after 32 bits held the sum; where they may not, nothing is known of it
    fits = np.abs(bias) < LARGEST_BIAS
    low, high = np.where(fits, u_low + bias, -np.inf), np.where(fits, u_high + bias, np.inf)
    settled_low, settled_high = _settled(low, high, neuron.dv / UNITY, neuron.v_init, n_steps)
    begins_low = np.minimum(0, np.minimum(limits.begins_low, neuron.v_init))
    begins_high = np.maximum(0, np.maximum(limits.begins_high, neuron.v_init))
    decays = (neuron.dv >= 0) & (neuron.dv <= UNITY)
    v_low = np.where(decays, np.maximum(settled_low, begins_low + np.minimum(0, low)), -np.inf)
    v_high = np.where(decays, np.minimum(settled_high, begins_high + np.maximum(0, high)), np.inf)
    return Reach(u_low, u_high, v_low, v_high, low, high)


def leaky_bounds(neuron: Cuba, reach: Reach, limits: Limits) -> Mapping[str, StateRange]:
    """Worst cases over all neurons of u, which wraps, and of v, which saturates."""
    u_proven = bool(reach.u_low.min() > -V_MAX and reach.u_high.max() < V_MAX)
    in_range = ((reach.v_low >= -V_MAX) | limits.cut_below) & ((reach.v_high <= V_MAX) | limits.cut_above)
    in_range &= np.abs(neuron.bias) < LARGEST_BIAS
    return {
        "u": StateRange(float(reach.u_low.min()), float(reach.u_high.max()), u_proven),
        "v": StateRange(float(reach.v_low.min()), float(reach.v_high.max()), u_proven and bool(in_range.all())),
    }


def _settled(low: Doubles, high: Doubles, rate: Doubles, start: Ints, n_steps: int | None) -> tuple[Doubles, Doubles]:
    """Bounds of x = (1 - rate) x + (low .. high): after n steps, or for ever."""
    steps = np.inf if n_steps is None else float(n_steps)
    kept = 1 - rate
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        factor = np.where(rate == 0, steps, (1 - kept**steps) / np.where(rate == 0, 1, rate))
        factor = np.where((rate < 0) | (rate > 1), np.inf, factor)  # no rate that the chip has: nothing is known
        lowest = np.where(low < 0, low * factor, low)
        highest = np.where(high > 0, high * factor, high)
    lowest, highest = np.nan_to_num(lowest, neginf=-np.inf), np.nan_to_num(highest, posinf=np.inf)
    return np.minimum(0, lowest) + np.minimum(0, start), np.maximum(0, highest) + np.maximum(0, start)


def _before(after: Ints, rate: Ints) -> Ints | None:
    """The state of smallest magnitude that decays to ``after``; None where there is none within 24 bits."""
    kept = UNITY - rate
    if np.any((kept == 0) & (after != 0)):
        return None
    magnitude = np.where(kept == 0, 0, -(-np.abs(after) * UNITY // np.maximum(kept, 1)))
    state = np.sign(after) * magnitude
    return None if np.any(np.abs(state) > V_MAX) or np.any(decay(state, rate) != after) else state
