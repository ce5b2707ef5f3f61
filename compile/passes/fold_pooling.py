"""Folds pooling into the convolution beside it: one convolution with a larger kernel.

Two convolutions in a row are one (``composed``) where the zeros that pad the second stand for what the first would
have computed there; the conditions are checked, and where they do not hold the pooling stays a convolution of its
own, which ``merge_linear`` writes out as a matrix.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from seamount.windows import Window

from ..network.network import (
    Convolution,
    Network,
    Op,
    Pair,
    Reals,
    Scale,
    Shape,
    SumPool,
    chain_shapes,
    op_shape,
    reals,
)
from .fold_scale import per_channel, scaled

Matrix = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

MAX_KERNEL = 1 << 24
"""Weights of a composed kernel, and of each of the two once dilations and groups are written out; more are left to
the matrix."""

MAX_TAP_PAIRS = 1 << 22
"""Taps of the first times taps of the second: half a minute."""


def fold_pooling(network: Network) -> Network:
    """Every pooling as a convolution, composed with a neighbouring convolution where that is exact."""
    return network.with_(
        connections=tuple(
            replace(
                c, ops=compose_neighbours(pools_as_convs(c.ops, network.shape(c.source)), network.shape(c.source))
            )
            if any(isinstance(op, SumPool) for op in c.ops)
            else c
            for c in network.connections
        )
    )


def pools_as_convs(ops: tuple[Op, ...], shape: Shape) -> tuple[Op, ...]:
    """Sum pooling is a convolution of ones, a group per channel."""
    shapes = chain_shapes(ops, shape)
    return tuple(
        Convolution(reals(np.ones((before[0], 1, *op.kernel))), Window(op.stride, op.padding, (1, 1), before[0]))
        if isinstance(op, SumPool)
        else op
        for op, before in zip(ops, shapes, strict=False)
    )


def compose_neighbours(ops: tuple[Op, ...], shape: Shape) -> tuple[Op, ...]:
    """Convolutions in a row become one where that is exact; a scale of channels goes into the one in front of it."""
    i = 0
    while i < len(ops) - 1:
        first, second = ops[i], ops[i + 1]
        if isinstance(first, Convolution) and isinstance(second, Convolution):
            both = composed(first, second, chain_shapes(ops, shape)[i])
            if both is not None:
                ops = (*ops[:i], both, *ops[i + 2 :])
                i = max(0, i - 1)
                continue
        # what an average divides by stands behind its windows
        if isinstance(first, Convolution) and isinstance(second, Scale) and per_channel(second.scale) is not None:
            ops = (*ops[:i], scaled(first, second), *ops[i + 2 :])
            continue
        i += 1
    return ops


def composed(first: Convolution, second: Convolution, shape: Shape) -> Convolution | None:
    """The one convolution that ``second`` after ``first`` is, on inputs of ``shape``; None where there is none."""
    middle = op_shape(first, shape)
    for axis in (0, 1):
        if second.window.padding[axis] and not _zeros_outside(first, axis, shape[axis + 1], middle[axis + 1]):
            return None
    if _reach(first) > MAX_KERNEL or _reach(second) > MAX_KERNEL:
        return None
    w1, g1 = _expanded(first), first.window.groups
    w2, g2 = _expanded(second), second.window.groups
    c_middle = middle[0]
    if g1 == c_middle == shape[0]:  # the first keeps channels apart
        groups, pairs = g2, _depthwise_first
    elif g2 == c_middle == w2.shape[0]:
        groups, pairs = g1, _depthwise_second
    elif max(w1.size * g1, w2.size * g2) > MAX_KERNEL:
        return None
    else:
        w1, w2, groups, pairs = _ungrouped(w1, g1), _ungrouped(w2, g2), 1, _full
    weight = _composed_weight(w1, w2, first.window.stride, lambda a, b: pairs(a, b, groups))
    if weight is None:
        return None
    result = Convolution(weight, _one_after_the_other(first.window, second.window, groups))
    # a window that is not full at the far end is dropped, and the two together may drop another one
    return result if op_shape(result, shape) == op_shape(second, middle) else None


def _one_after_the_other(first: Window, second: Window, groups: int) -> Window:
    (s_h, s_w), (p_h, p_w) = first.stride, first.padding
    return Window(
        (s_h * second.stride[0], s_w * second.stride[1]),
        (p_h + s_h * second.padding[0], p_w + s_w * second.padding[1]),
        groups=groups,
    )


def _composed_weight(w1: Matrix, w2: Matrix, stride: Pair, pairs: Callable[[Matrix, Matrix], Matrix]) -> Reals | None:
    """Every tap of the second moves the first by its stride; ``pairs`` multiplies the channels of two taps."""
    (s_h, s_w), taps1, taps2 = stride, w1.shape[2:], w2.shape[2:]
    kernel = [(taps2[0] - 1) * s_h + taps1[0], (taps2[1] - 1) * s_w + taps1[1]]
    if math.prod(taps1) * math.prod(taps2) > MAX_TAP_PAIRS:
        return None
    channels = pairs(w1[:, :, 0, 0], w2[:, :, 0, 0])
    if channels.size * kernel[0] * kernel[1] > MAX_KERNEL:
        return None
    weight = np.zeros((*channels.shape, *kernel))
    for i, j in np.ndindex(taps2):
        for k, m in np.ndindex(taps1):
            weight[:, :, i * s_h + k, j * s_w + m] += pairs(w1[:, :, k, m], w2[:, :, i, j])
    return reals(weight)


def _zeros_outside(first: Convolution, axis: int, n: int, n_out: int) -> bool:
    """True where ``first``, read beyond its own output, would see nothing but padding."""
    stride, padding, dilation = (pair[axis] for pair in first.window[:3])
    reach = dilation * (first.weight.shape[axis + 2] - 1) + 1
    before = -stride - padding + reach - 1  # last input index of output -1
    behind = n_out * stride - padding  # first input index of output n_out
    return before < 0 and behind >= n


def _reach(conv: Convolution) -> int:
    """Values of the weight with the dilation written out."""
    c_out, c_in, k_h, k_w = conv.weight.shape
    d_h, d_w = conv.window.dilation
    return int(c_out * c_in * (d_h * (k_h - 1) + 1) * (d_w * (k_w - 1) + 1))


def _expanded(conv: Convolution) -> Matrix:
    """Weight with the dilation written out."""
    c_out, c_in, k_h, k_w = conv.weight.shape
    d_h, d_w = conv.window.dilation
    wide = np.zeros((c_out, c_in, d_h * (k_h - 1) + 1, d_w * (k_w - 1) + 1))
    wide[:, :, ::d_h, ::d_w] = conv.weight
    return wide


def _ungrouped(weight: Matrix, groups: int) -> Matrix:
    c_out, c_in = weight.shape[:2]
    wide = np.zeros((c_out, c_in * groups, *weight.shape[2:]))
    for g in range(groups):
        rows = slice(g * c_out // groups, (g + 1) * c_out // groups)
        wide[rows, g * c_in : (g + 1) * c_in] = weight[rows]
    return wide


def _depthwise_first(w1: Matrix, w2: Matrix, groups: int) -> Matrix:
    """w1 (C, 1), w2 (C_out, C / groups): each middle channel comes from its own input channel."""
    per_group = w2.shape[1]
    first = w1[:, 0].reshape(groups, 1, per_group)
    return np.asarray((w2.reshape(groups, -1, per_group) * first).reshape(w2.shape))


def _depthwise_second(w1: Matrix, w2: Matrix, groups: int) -> Matrix:
    """w1 (C, C_in / groups), w2 (C, 1)."""
    return np.asarray(w1 * w2)


def _full(w1: Matrix, w2: Matrix, groups: int) -> Matrix:
    return np.asarray(w2 @ w1)
