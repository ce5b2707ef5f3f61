"""One step of a CUBA neuron: the definition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from ..numbers import STATE_BITS, V_MAX, Ints, decay, wrap
from .lif import Lif
from .ternary_lif import TernaryLif


def bias_of(neuron: Lif | TernaryLif) -> Ints:
    """What is added to v at every step. The mantissa is an int16, as in Lava: 40000 means -25536."""
    mantissa, exponent = np.broadcast_arrays(wrap(neuron.bias_mant, 16), neuron.bias_exp)
    up, down = np.maximum(exponent, 0), np.maximum(-exponent, 0)
    bias: Ints = np.where(exponent >= 0, mantissa << up, mantissa >> down)
    return bias


@dataclass(frozen=True)
class State:
    """u and v after a step, and the steps for which a neuron that fired still rests; each (B, *shape)."""

    u: Ints
    v: Ints
    rest: Ints


@dataclass(frozen=True)
class Step:
    """What one step of a population did.

    Attributes:
        spikes: -1, 0, 1.
        v_before_reset: v that was compared with the threshold.
        u_wraps, v_saturates: where the exact sum did not fit.
    """

    state: State
    spikes: Ints
    v_before_reset: Ints
    u_wraps: NDArray[np.bool_]
    v_saturates: NDArray[np.bool_]


def rest_state(neuron: Lif | TernaryLif, shape: tuple[int, ...]) -> State:
    """The state before the first step, (*shape)."""
    u, v = np.broadcast_to(neuron.u_init, shape), np.broadcast_to(neuron.v_init, shape)
    return State(u.copy(), v.copy(), np.zeros(shape, np.int64))


def integrate(state: State, drive: Ints, neuron: Lif | TernaryLif) -> tuple[Ints, Ints, Ints, Ints]:
    """The new u and v, and the exact sums that they would be without limits.

    u wraps once around 24 bits: the range is (-2**23, 2**23], +2**23 stays and -2**23 becomes +2**23; what lies
    further than one turn away stays outside, held by 32 bits. v saturates.
    """
    u_exact = decay(state.u, neuron.du) + (drive << 6)
    u = wrap(u_exact, 32)
    turn = 1 << STATE_BITS
    u = np.where(u > V_MAX + 1, u - turn, np.where(u <= -(V_MAX + 1), u + turn, u))
    v_exact = decay(state.v, neuron.dv) + u + bias_of(neuron)
    v = np.clip(wrap(v_exact, 32), -V_MAX, V_MAX)
    return u, v, u_exact, v_exact


def neuron_step(state: State, drive: Ints, neuron: Lif | TernaryLif) -> Step:
    """One step of a population: integrate, compare (strictly), reset v to 0 where it fired. u does not notice."""
    u, v, u_exact, v_exact = integrate(state, drive, neuron)
    match neuron:
        case Lif():
            # Hardware's refractory period: v rests at 0 and integrates nothing; u goes on. Lava has none.
            v = np.where(state.rest > 0, 0, v)
            v_exact = np.where(state.rest > 0, 0, v_exact)
            spikes = (v > neuron.v_th_mant << 6) & (state.rest == 0)
            rest = np.where(spikes, neuron.refractory_steps, np.maximum(state.rest - 1, 0))
            spikes = spikes.astype(np.int64)
        case TernaryLif():
            # Lava shifts these two thresholds in 32 bits
            high, low = wrap(neuron.v_th_hi_mant << 6, 32), wrap(neuron.v_th_lo_mant << 6, 32)
            spikes = (v > high).astype(np.int64) - (v < low).astype(np.int64)
            rest = state.rest
        case _:
            assert_never(neuron)
    after = State(u, np.where(spikes != 0, 0, v), rest)
    return Step(after, spikes, v, u != u_exact, v != v_exact)
