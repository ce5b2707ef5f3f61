"""Emulates a reset by subtraction on chips that reset v to one value: the membrane moves into u.

A neuron without a synaptic current keeps m = (1 - a) m + a v_leak + x, fires where m > v_th, then m = m - v_th. With
w = m - v_leak, taken before the subtraction, and the neuron's spikes z,

    w[t] = (1 - a) (w[t-1] - v_th z[t-1]) + x[t] = (1 - a) w[t-1] + x[t] - (1 - a) v_th z[t-1]

which is a current that decays by a, with a synapse of weight -(1 - a) v_th from each neuron to itself: a synapse
takes one step, as the formula asks. The potential follows the current without memory (a_m = 1: v = v_leak + w), so
the chip's own reset of v, which leaves u alone, takes nothing away. snnTorch's late subtraction acts behind the
decay: there the weight is -v_th. Both are the same network in real arithmetic.

A synaptic current must then be outside of the neuron, as its membrane has taken u. What a spike leaves of it k steps
later is (1 - a_s)**k, so every connection becomes one synapse group for each k, delayed by k steps: exact in samples
of no more steps than groups, else without the tail below TAIL.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from seamount.errors import Reason, Unsupported

from ..network.network import Connection, Delay, Network, Population, Reals, Scale, reals
from .clock_biases import clocks_of, without_bias

SOFT_RESETS = ("subtract", "subtract-next-step")

TAIL = 2.0**-12
"""What may be left of a spike's current when it is dropped: as fine as the chip's rates of decay."""

MAX_TAPS = 63
"""A synapse delays by up to 62 steps."""


def emulate_soft_reset(network: Network) -> Network:
    """The same spikes with a hard reset; networks without a soft reset are left as they are.

    Raises:
        Unsupported: a population that cannot be emulated exactly, with the reason.
    """
    soft = [p for p in network.populations if p.v_th is not None and p.reset in SOFT_RESETS]
    if not soft:
        return network
    _refuse(soft, network)
    emulated = {p.name: _hard(p, network) for p in soft}
    parts = [emulated.get(p.name, _Part((p,), (), ())) for p in network.populations]
    others = [c for c in network.connections if c.target not in emulated]
    return network.with_(
        populations=tuple(p for part in parts for p in part.populations),
        connections=(*others, *(c for part in parts for c in part.connections)),
        assumptions=(*network.assumptions, *(line for part in parts for line in part.told)),
    )


@dataclass(frozen=True)
class _Part:
    """What stands for one population: it and its clocks, all connections into them, and what to tell."""

    populations: tuple[Population, ...]
    connections: tuple[Connection, ...]
    told: tuple[str, ...]


def _hard(p: Population, network: Network) -> _Part:
    hard, clocks = _emulated(p), []
    if np.any(hard.bias) and (np.any(hard.a_s == 0) or np.any(p.a_s != 1)):
        clocks = clocks_of(p)
        hard = without_bias(hard)
    n_taps = _n_taps(p, network.n_steps)
    driving = [*network.into(p.name), *(tick for _, tick in clocks)]
    told = [f"{p.name}: soft reset emulated, the membrane in u, a synapse from each neuron to itself"]
    if n_taps > 1:
        told.append(f"{p.name}: synaptic current emulated by {n_taps} delayed copies of every synapse")
    return _Part(
        (*(clock for clock, _ in clocks), hard),
        (*(tap for c in driving for tap in _taps(c, 1 - p.a_s, n_taps)), *_self_inhibition(p)),
        tuple(told),
    )


def _refuse(soft: list[Population], network: Network) -> None:
    problems = [reason for p in soft for reason in (*_rule_problems(p, network), *_readout_problems(p, network))]
    if problems:
        raise Unsupported.together(problems)


def _rule_problems(p: Population, network: Network) -> Iterator[Reason]:
    """Why the rule of its spikes and resets cannot be emulated."""
    assert p.v_th is not None
    if p.multi_spike:
        yield Reason(
            "several spikes in one step, the chip sends one",
            where=p.name,
            ways_out=("train with single spikes, or say --set multi_spike=off to compile it as if it had been",),
        )
    if _n_taps(p, network.n_steps) > MAX_TAPS:
        kept = float(np.max(1 - p.a_s))
        yield Reason(
            f"reset {p.reset!r} with a synaptic current that keeps {kept:.4g} a step; the membrane takes u, and "
            f"delays of up to {MAX_TAPS - 1} steps cannot stand for so slow a current",
            where=p.name,
            ways_out=(
                "train with a faster one or a reset to v_reset",
                "say --set reset=value if the tool meant that",
            ),
        )
    if np.any(p.v_th <= 0) or np.any(p.gain == 0):
        yield Reason(
            f"reset {p.reset!r} with thresholds down to {p.v_th.min():.6g} and gains down to "
            f"{np.abs(p.gain).min():.6g}",
            where=p.name,
            possible="needed is above 0 to emulate it",
        )


def _readout_problems(p: Population, network: Network) -> Iterator[Reason]:
    if network.readout == p.name and network.readout_quantity != "count":
        yield Reason(
            "its v is the readout, and a soft reset is emulated with another v",
            where=p.name,
            ways_out=(f"read its spikes (--readout {p.name}:count), or make it a readout that never fires",),
        )


def _emulated(p: Population) -> Population:
    """Membrane in u, v without memory, v counted from v_leak where the threshold lies above it."""
    assert p.v_th is not None
    v_reset = reals(np.where(p.v_leak < p.v_th, p.v_leak, p.v_th - 1.0))
    return replace(
        p,
        a_s=p.a_m,
        a_m=reals(1.0),
        u_init=reals(p.v_init - p.v_leak),
        v_reset=v_reset,
        v_init=v_reset,
        reset="value",
    )


def _self_inhibition(p: Population) -> list[Connection]:
    assert p.v_th is not None
    kept = 1.0 if p.reset == "subtract-next-step" else 1 - p.a_m
    weight = reals(-kept * p.v_th / p.gain)
    if not np.any(weight):
        return []
    return [Connection(f"{p.name}.soft_reset", p.name, p.name, (Scale(weight),), previous=True, whole=True)]


def _n_taps(p: Population, n_steps: int | None) -> int:
    """Delayed copies of a synapse until its current is gone, or the sample is over."""
    kept = float(np.max(1 - p.a_s))
    if kept == 0:
        return 1
    needed = np.inf if kept == 1 else np.ceil(np.log(TAIL) / np.log(kept))
    # one more than there are, so that a current that outlasts them is refused
    return int(min(needed, MAX_TAPS + 1 if n_steps is None else n_steps))


def _taps(c: Connection, kept: Reals, n_taps: int) -> list[Connection]:
    """A copy for every step that the current lasts; the first is the connection itself."""
    return [c] + [
        replace(c, name=f"{c.name}.after{k}", ops=(Delay(np.array(k)), *c.ops, Scale(reals(kept**k))), whole=True)
        for k in range(1, n_taps)
    ]
