"""Shapes of what synapses produce."""

from __future__ import annotations

from typing import assert_never

import numpy as np

from seamount.errors import InputError

from .kinds import Conv, Dense, Kind, OneToOne, Sparse, Wire


def target_shape(kind: Kind, source: tuple[int, ...], where: str) -> tuple[int, ...] | int:
    """Shape that the synapses produce, or their number of targets where only that is fixed."""
    n_source = int(np.prod(source, dtype=np.int64))
    match kind:
        case Dense(weights=weights):
            if weights.ndim != 2 or weights.shape[1] != n_source:
                raise InputError(
                    f"dense weights {weights.shape} need (targets, {n_source}) for source {source}", where=where
                )
            return int(weights.shape[0])
        case Sparse():
            _check_entries(kind, n_source, where)
            return kind.n_target
        case Conv():
            return _behind(kind, source, where)
        case OneToOne(weights=weights):
            if np.broadcast_shapes(weights.shape, source) != source:
                raise InputError(f"weights {weights.shape} do not broadcast to {source}", where=where)
            return source
        case Wire():
            return source
        case _:
            assert_never(kind)


def _check_entries(kind: Sparse, n_source: int, where: str) -> None:
    if kind.n_source != n_source:
        raise InputError(f"sparse weights take {kind.n_source} sources, the source has {n_source}", where=where)
    if not kind.weights.shape == kind.rows.shape == kind.columns.shape or kind.weights.ndim != 1:
        raise InputError("weights, rows and columns differ in length", where=where)
    # numpy takes an index below 0 from the end, so that a damaged file would connect other neurons
    if kind.weights.size and (
        min(kind.rows.min(), kind.columns.min()) < 0
        or kind.rows.max() >= kind.n_target
        or kind.columns.max() >= kind.n_source
    ):
        raise InputError(f"an entry lies outside of {kind.n_target} x {kind.n_source}", where=where)


def _behind(kind: Conv, source: tuple[int, ...], where: str) -> tuple[int, ...]:
    if len(source) != 3 or kind.weights.ndim != 4:
        raise InputError(f"convolution needs source (C, H, W) and 4-d weights, found {source}", where=where)
    c_out, c_in, *kernel = kind.weights.shape
    if source[0] != c_in * kind.window.groups or c_out % kind.window.groups:
        raise InputError(
            f"weights {kind.weights.shape} in {kind.window.groups} groups do not fit {source[0]} channels",
            where=where,
        )
    size = kind.window.size(source[1:], tuple(kernel))
    if min(size) < 1:
        raise InputError(f"kernel {tuple(kernel)} is larger than the padded map of {source}", where=where)
    return (int(c_out), *size)
