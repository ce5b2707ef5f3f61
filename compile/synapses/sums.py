"""Weighted sums of arriving values: the definition, in int64."""

from __future__ import annotations

from typing import assert_never

import numpy as np

from ..numbers import Ints, shift, wrap
from .algebra import with_weights
from .kinds import Conv, Dense, Kind, OneToOne, Sparse, Synapses, Wire


def weighted_sum(kind: Kind, x: Ints, target: tuple[int, ...]) -> Ints:
    """Exact sums of weight times value: (B, *source) -> (B, *target)."""
    batch = x.shape[0]
    match kind:
        case Dense(weights=weights):
            total = x.reshape(batch, -1) @ weights.T
        case Sparse():
            total = np.zeros((kind.n_target, batch), np.int64)
            np.add.at(total, kind.rows, kind.weights[:, None] * x.reshape(batch, -1).T[kind.columns])
            total = total.T
        case Conv():
            total = convolution(kind, x)
        case OneToOne(weights=weights):
            total = weights * x
        case Wire():
            total = x
        case _:
            assert_never(kind)
    return total.reshape(batch, *target)


def convolution(kind: Conv, x: Ints) -> Ints:
    """Cross-correlation as torch defines it: (B, C, H, W) -> (B, C_out, H_out, W_out)."""
    c_out, c_in, k_h, k_w = kind.weights.shape
    (s_h, s_w), (p_h, p_w), (d_h, d_w), _ = kind.window
    padded = np.pad(x, ((0, 0), (0, 0), (p_h, p_h), (p_w, p_w)))
    height, width = kind.window.size(x.shape[2:], (k_h, k_w))
    weights = kind.weights.reshape(kind.window.groups, c_out // kind.window.groups, c_in, k_h, k_w)
    total = np.zeros((x.shape[0], kind.window.groups, c_out // kind.window.groups, height, width), np.int64)
    for i in range(k_h):
        for j in range(k_w):
            seen = padded[
                :,
                :,
                i * d_h : i * d_h + s_h * (height - 1) + 1 : s_h,
                j * d_w : j * d_w + s_w * (width - 1) + 1 : s_w,
            ]
            seen = seen.reshape(x.shape[0], kind.window.groups, c_in, height, width)
            total += np.einsum("goc,bgchw->bgohw", weights[..., i, j], seen)
    return total.reshape(x.shape[0], c_out, height, width)


def payload(x: Ints, synapses: Synapses) -> Ints:
    """What a message counts: its value in graded synapses, else 1 for every value other than 0."""
    if synapses.graded or isinstance(synapses.kind, Wire):
        return x
    spikes: Ints = (x != 0).astype(np.int64)
    return spikes


def synapse_drive(synapses: Synapses, kind: Kind, x: Ints, target: tuple[int, ...]) -> tuple[Ints, int]:
    """Drive of the synapses of one delay value, and how many of its values wrapped.

    32 bits hold the sum (of a ``wide`` group each product); it is shifted by the exponent and wraps to ``wrap_bits``.
    Where those are fewer than 32, what 32 bits do not hold becomes 0: Lava adds up a convolution in float64, and cast
    to int32 that is -2**31 (x86).
    """
    sent = payload(x, synapses)
    exact = weighted_sum(kind, sent, target)
    if isinstance(kind, Wire):
        return exact, 0
    held = wide_sum(kind, sent, exact) if synapses.wide else wrap(exact, 32)
    shifted = shift(held, synapses.exponent)
    drive = wrap(shifted, synapses.wrap_bits)
    if synapses.wrap_bits < 32:
        drive = np.where((held == exact) & (wrap(shifted, 32) == shifted), drive, 0)
    return drive, int(np.count_nonzero((drive != shifted) | (held != exact)))


def wide_sum(kind: Kind, x: Ints, exact: Ints) -> Ints:
    """The sum of products that wrap at 32 bits one by one; ``exact``, of the same shape, where none does."""
    assert isinstance(kind, Dense), "Synapses.wide admits no others"
    if int(np.abs(kind.weights).max(initial=0)) * int(np.abs(x).max(initial=0)) < 1 << 31:
        return exact
    total = np.zeros((len(x), len(kind.weights)), np.int64)
    for column, values in zip(kind.weights.T, x.reshape(len(x), -1).T, strict=True):
        total += wrap(values[:, None] * column, 32)
    return total.reshape(exact.shape)


def operations(kind: Kind, x: Ints, target: tuple[int, ...]) -> tuple[int, int]:
    """Synaptic operations that these messages cause, without and with stored zero weights: counted one by one."""
    if isinstance(kind, Wire):
        return 0, 0
    sent = (x != 0).astype(np.int64)
    non_zero = with_weights(kind, (kind.weights != 0).astype(np.int64))
    stored = with_weights(kind, np.ones_like(kind.weights))
    return int(weighted_sum(non_zero, sent, target).sum()), int(weighted_sum(stored, sent, target).sum())
