"""Biases as spikes: a neuron that fires at every step brings them, one synapse a neuron.

What a bias adds while the pipeline fills is there before the first input is. A clock's spikes wait for the sample as
those of other sources do, so that nothing happens before. The price is a weight's precision instead of a bias's, so
only populations get one whose start cannot be aligned otherwise (``align_startup``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from ..network.network import Connection, Network, Population, clock, reals, ticks


def clock_biases(network: Network, names: Collection[str]) -> Network:
    """The same network, with clocks for the biases of these populations."""
    chosen = [p for p in network.populations if p.name in names and (np.any(p.bias) or np.any(p.late_bias))]
    if not chosen:
        return network
    clocks = {p.name: clocks_of(p) for p in chosen}
    told = [
        f"{p.name}: a neuron that fires at every step brings its bias, which would act while the pipeline fills"
        for p in chosen
    ]
    return network.with_(
        populations=tuple(
            part
            for p in network.populations
            for part in (*(clock for clock, _ in clocks.get(p.name, ())), without_bias(p) if p in chosen else p)
        ),
        connections=(*network.connections, *(tick for found in clocks.values() for _, tick in found)),
        assumptions=(*network.assumptions, *told),
    )


def without_bias(p: Population) -> Population:
    return replace(p, bias=reals(0.0), late_bias=reals(0.0))


def clocks_of(p: Population) -> list[tuple[Population, Connection]]:
    """Neurons that fire at every step, and how they drive the population.

    One starts at step 0, one at step 1 for the part of the bias that is missing at step 0.
    """
    found = []
    for part, values, first in (("clock", p.bias - p.late_bias, 0), ("late_clock", p.late_bias, 1)):
        if np.any(values):
            name = f"{p.name}.{part}"
            found.append((clock(name, first), Connection(f"{name}.bias", name, p.name, ticks(values, p.shape))))
    return found
