"""Synapses as the matrix that they are, sparse or written out."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..numbers import ints
from .kinds import Conv, Dense, OneToOne, Sparse

Number = TypeVar("Number", bound=np.number[Any])


def as_matrix(kind: Dense | Sparse, values: NDArray[Number]) -> NDArray[Number]:
    """Values of the connections (weights, delays) as (targets, sources), added up where two neurons have several."""
    if isinstance(kind, Dense):
        return values
    matrix = np.zeros((kind.n_target, kind.n_source), values.dtype)
    np.add.at(matrix, (kind.rows, kind.columns), values)
    return matrix


def diagonal(kind: OneToOne, shape: tuple[int, ...]) -> Sparse:
    """Neuron i to neuron i, as a matrix over the flattened shape."""
    n = int(np.prod(shape, dtype=np.int64))
    at = ints(np.arange(n))
    return Sparse(ints(np.broadcast_to(kind.weights, shape).reshape(-1)), at, at, n, n)


def unrolled(kind: Conv, source: tuple[int, ...], target: tuple[int, ...], *, zeros: bool) -> Sparse:
    """A convolution over flattened (C, H, W), its weights of 0 kept or left out."""
    c_out, c_in, k_h, k_w = kind.weights.shape
    o, y, x = (a.reshape(-1) for a in np.indices(target))
    rows, columns, weights = [], [], []
    for c in range(c_in):
        channel = o // (c_out // kind.window.groups) * c_in + c
        for i, j in np.ndindex(k_h, k_w):
            h, w = kind.window.source(0, y, np.asarray(i)), kind.window.source(1, x, np.asarray(j))
            weight = kind.weights[o, c, i, j]
            there = (h >= 0) & (h < source[1]) & (w >= 0) & (w < source[2]) & (zeros | (weight != 0))
            rows.append(np.flatnonzero(there))
            columns.append(((channel * source[1] + h) * source[2] + w)[there])
            weights.append(weight[there])
    row, column = np.concatenate(rows), np.concatenate(columns)
    order = np.lexsort((column, row))
    return Sparse(
        ints(np.concatenate(weights)[order]),
        ints(row[order]),
        ints(column[order]),
        int(np.prod(target, dtype=np.int64)),
        int(np.prod(source, dtype=np.int64)),
    )
