"""Balances latency: on the chip every synapse group costs a step, so short branches must wait for long ones.

Software evaluates all layers within one step. On the chip population p sees software's step t at step
t + arrival(p). A connection then needs a delay of

    arrival(target) - arrival(source) - 1 + (its own delay in software)      at least 0

The smallest arrivals are the longest paths under these constraints; a loop that would have to be faster than the
chip has none, and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from seamount.errors import Unsupported, plural

from ..graphs import strongly_connected
from ..network.network import Connection, Delay, Ints, Network


@dataclass(frozen=True)
class Schedule:
    """arrival: input or population -> step at which it sees software's step 0. delay: connection -> extra steps."""

    arrival: Mapping[str, int]
    delay: Mapping[str, Ints]


def own_delay(c: Connection) -> Ints:
    """Steps that the connection waits in software."""
    steps = np.array(1 if c.previous else 0)
    for op in c.ops:
        if isinstance(op, Delay):
            steps = steps + op.steps
    return np.asarray(steps, dtype=np.int64)


def balance_latency(network: Network) -> Schedule:
    """Arrivals of all populations and the delays that make every path to a population equally long."""
    arrival = {i.name: 0 for i in network.inputs} | {p.name: 0 for p in network.populations}
    credited = _may_hide_latency(network)
    needed = {c.name: 1 - (int(own_delay(c).min()) if credited(c) else 0) for c in network.connections}
    cause: dict[str, Connection] = {}
    for _ in range(len(arrival) + 1):
        changed = None
        for c in network.connections:
            if arrival[c.source] + needed[c.name] > arrival[c.target]:
                arrival[c.target] = arrival[c.source] + needed[c.name]
                cause[c.target] = c
                changed = c.target
        if changed is None:
            break
    else:
        assert changed is not None
        raise _too_fast(network, changed, cause)
    delay = {c.name: arrival[c.target] - arrival[c.source] - 1 + own_delay(c) for c in network.connections}
    return Schedule(arrival, delay)


def _may_hide_latency(network: Network) -> Callable[[Connection], bool]:
    """Whether a connection's own delay may stand for the chip's step.

    In samples of a number of steps only within loops: elsewhere a population's first step comes a step behind its
    source's, so that a synapse group can mark it (``mark_arrivals``).
    """
    followers: dict[str, list[str]] = {name: [] for name in (p.name for p in network.populations)}
    for c in network.connections:
        if c.source in followers:
            followers[c.source].append(c.target)
    loop = {n: i for i, names in enumerate(strongly_connected(list(followers), followers)) for n in names}
    return lambda c: network.n_steps is None or loop.get(c.source) == loop[c.target]


def _too_fast(network: Network, start: str, cause: Mapping[str, Connection]) -> Unsupported:
    name = start
    for _ in cause:  # walk back far enough to be on the loop
        name = cause[name].source
    loop = [name]
    while (before := cause[loop[-1]].source) != name:
        loop.append(before)
    connections = [cause[n] for n in loop]
    steps = sum(int(own_delay(c).min()) for c in connections)
    told = " -> ".join((*reversed(loop), loop[-1]))
    return Unsupported(
        f"the loop {told} takes {steps} {plural(steps, 'step')} in software, but {len(connections)} on the chip "
        "(one per synapse group)",
        where=network.name,
        ways_out=f"add a Delay of {len(connections) - steps} to the loop before training, or join its populations "
        "into one recurrent population",
    )
