"""Worst-case sums of synapses: the one place where they are added up."""

from __future__ import annotations

from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from ..numbers import Ints
from .algebra import by_delay
from .kinds import Conv, Dense, Kind, OneToOne, Sparse, Synapses, Wire

Doubles = NDArray[np.float64]
Shape = tuple[int, ...]


def weight_sums(kind: Kind) -> tuple[Ints, Ints]:
    """(sum of the negative, sum of the positive weights) into each target neuron.

    Flat for matrices, (C, 1, 1) for a convolution, where neurons at the border may have less, and of the weights'
    shape for one to one. A wire weighs 1.
    """
    match kind:
        case Dense(weights=weights):
            return np.minimum(weights, 0).sum(axis=1), np.maximum(weights, 0).sum(axis=1)
        case Sparse(weights=weights):
            low, high = np.zeros(kind.n_target, np.int64), np.zeros(kind.n_target, np.int64)
            np.add.at(low, kind.rows, np.minimum(weights, 0))
            np.add.at(high, kind.rows, np.maximum(weights, 0))
            return low, high
        case Conv(weights=weights):
            axes = (1, 2, 3)
            low, high = np.minimum(weights, 0).sum(axis=axes), np.maximum(weights, 0).sum(axis=axes)
            return low[:, None, None], high[:, None, None]
        case OneToOne(weights=weights):
            return np.minimum(weights, 0), np.maximum(weights, 0)
        case Wire():
            return np.zeros((), np.int64), np.ones((), np.int64)
        case _:
            assert_never(kind)


def largest_sum(kind: Kind, x_bound: int) -> int:
    """The largest |sum| that values of either sign up to ``x_bound`` can make, over all targets.

    No partial sum is larger, in whatever order it is added up.
    """
    low, high = weight_sums(kind)
    return int((high - low).max(initial=0)) * x_bound


def shifted_bound(bound: int, exponent: int) -> int:
    """What a bound of \\|sum\\| becomes by the exponent: a negative one rounds down, so that -1 stays -1."""
    return bound << exponent if exponent >= 0 else (bound >> -exponent) + 1


def reads_payload(synapses: Synapses) -> bool:
    """Whether a message counts by its value; else by 1."""
    return synapses.graded or isinstance(synapses.kind, Wire)


def sum_range(kind: Kind, low: int, high: int, source: Shape, target: Shape) -> tuple[Doubles, Doubles]:
    """(lowest, highest) sum into each target neuron, (*target), of values low .. high, where low <= 0 <= high.

    Every source sends what hurts most. Partial sums lie between the two as well, because silence is 0.
    """
    negative, positive = (np.asarray(part, dtype=np.float64) for part in weight_sums(kind))
    return (
        _spread(kind, negative * high + positive * low, source, target),
        _spread(kind, positive * high + negative * low, source, target),
    )


def _spread(kind: Kind, sums: Doubles, source: Shape, target: Shape) -> Doubles:
    match kind:
        case Dense() | Sparse():
            return sums.reshape(target)
        case Conv():
            return np.broadcast_to(sums, target)
        case OneToOne() | Wire():  # neuron i to neuron i, in C order of either shape
            return np.broadcast_to(sums, source).reshape(target)
        case _:
            assert_never(kind)


def drive_range(synapses: Synapses, low: int, high: int, source: Shape, target: Shape) -> tuple[Doubles, Doubles]:
    """(lowest, highest) drive into each target neuron, (*target), where the source sends low .. high.

    Before it wraps. Each delay value has its own sum, which is rounded down by itself.
    """
    if not reads_payload(synapses):
        low, high = 0, min(1, max(-low, high))
    lowest, highest = np.zeros(target), np.zeros(target)
    for _, kind in by_delay(synapses):
        part_low, part_high = (_shifted(x, synapses) for x in sum_range(kind, low, high, source, target))
        lowest, highest = lowest + part_low, highest + part_high
    return lowest, highest


def may_wrap(synapses: Synapses, low: int, high: int, source: Shape, target: Shape) -> bool:
    """Whether a sum may leave the 32 bits that hold it, or ``wrap_bits`` behind its exponent."""
    if isinstance(synapses.kind, Wire):
        return False
    if not synapses.graded:
        low, high = 0, min(1, max(-low, high))
    for _, kind in by_delay(synapses):
        lowest, highest = sum_range(kind, low, high, source, target)
        shifted = _shifted(lowest, synapses), _shifted(highest, synapses)
        if not (held(lowest, highest, 32) and held(*shifted, synapses.wrap_bits)):
            return True
    return False


def held(low: Doubles, high: Doubles, bits: int) -> bool:
    """Whether two's complement of so many bits holds all that lies between the bounds."""
    return bool(low.min(initial=0) >= -(1 << (bits - 1)) and high.max(initial=0) < 1 << (bits - 1))


def _shifted(sums: Doubles, synapses: Synapses) -> Doubles:
    shifted: Doubles = np.floor(sums * 2.0**synapses.exponent)
    return shifted
