"""Synapses taken apart and put together anew."""

from __future__ import annotations

from typing import assert_never

import numpy as np

from ..numbers import Ints
from .kinds import Conv, Dense, Kind, OneToOne, Sparse, Synapses, Wire


def with_weights(kind: Kind, weights: Ints) -> Kind:
    """The same connections with other weights."""
    match kind:
        case Dense():
            return Dense(weights)
        case Sparse():
            return Sparse(weights, kind.rows, kind.columns, kind.n_target, kind.n_source)
        case Conv():
            return Conv(weights, kind.window)
        case OneToOne():
            return OneToOne(weights)
        case Wire():
            return kind
        case _:
            assert_never(kind)


def by_delay(synapses: Synapses) -> list[tuple[int, Kind]]:
    """(delay, the synapses that have it): each delay value has its own sum, and its own rounding."""
    if synapses.delay.ndim == 0:
        return [(int(synapses.delay), synapses.kind)]
    assert isinstance(synapses.kind, Dense | Sparse), "Program.check admits delays per synapse for these alone"
    weights = synapses.kind.weights
    return [
        (int(d), with_weights(synapses.kind, np.where(synapses.delay == d, weights, 0)))
        for d in np.unique(synapses.delay)
    ]
