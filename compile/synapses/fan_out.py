"""How many synapses leave each source neuron."""

from __future__ import annotations

from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from .kinds import Conv, Dense, Kind, OneToOne, Sparse, Wire


def conv_fan_out(kind: Conv, source: tuple[int, ...]) -> NDArray[np.int64]:
    """Synapses of each source neuron in C order, (n, 2): without stored zeros, and all."""
    c_out, c_in, k_h, k_w = kind.weights.shape
    channels, height, width = source
    reached = [kind.window.meets(0, height, k_h), kind.window.meets(1, width, k_w)]
    grouped = kind.weights.reshape(kind.window.groups, c_out // kind.window.groups, c_in, k_h, k_w)
    non_zero = (grouped != 0).sum(axis=1).reshape(channels, k_h, k_w)
    stored = np.full_like(non_zero, c_out // kind.window.groups)
    both = [np.einsum("cij,yi,xj->cyx", count, *reached).ravel() for count in (non_zero, stored)]
    return np.stack(both, axis=1).astype(np.int64)


def fan_out(kind: Kind, source: tuple[int, ...]) -> NDArray[np.int64]:
    """As ``conv_fan_out`` for every kind; a wire is no synapse."""
    n_source = int(np.prod(source, dtype=np.int64))
    match kind:
        case Dense(weights=weights):
            non_zero, stored = (weights != 0).sum(axis=0), np.full(n_source, weights.shape[0])
        case Sparse():
            non_zero = np.bincount(kind.columns[kind.weights != 0], minlength=n_source)
            stored = np.bincount(kind.columns, minlength=n_source)
        case OneToOne(weights=weights):
            non_zero, stored = np.broadcast_to(weights != 0, source).ravel(), np.ones(n_source)
        case Wire():
            non_zero = stored = np.zeros(n_source)
        case Conv():
            return conv_fan_out(kind, source)
        case _:
            assert_never(kind)
    return np.stack([non_zero, stored], axis=1).astype(np.int64)
