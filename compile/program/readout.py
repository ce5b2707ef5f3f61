"""How an answer is read of a population: the closed set of quantities, and the class that a readout means."""

from __future__ import annotations

from typing import Any, Literal, assert_never, get_args

import numpy as np
from numpy.typing import NDArray

from seamount.errors import InputError

Array = NDArray[Any]

Quantity = Literal["v", "count", "sum", "mean", "max"]
"""Over the window of a sample: v after its last step, the number of spikes, the sum of v, its mean, its maximum.

The integers of a mean are those of the sum: a division by the number of steps would round, and changes no class.
"""

QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)

NO_ANSWER = -1
"""In place of a class where all values of a readout are equal: nothing was said, and class 0 would be a guess."""


def as_quantity(text: str, where: object) -> Quantity:
    """The member of the closed set, or a refusal that lists it."""
    for quantity in QUANTITIES:
        if text == quantity:
            return quantity
    possible = f"possible are {', '.join(map(repr, QUANTITIES))}"
    raise InputError(f"readout quantity {text!r}", where=where, possible=possible)


def read_on(quantity: Quantity, so_far: Array | None, values: Array) -> Array:
    """The readout after some steps more, int64 (B, *shape).

    Args:
        so_far: the readout of the steps before; None at the first.
        values: (T, B, *shape) of these steps, T at least 1: spikes for a count, v for the rest.
    """
    match quantity:
        case "v":
            return np.asarray(values[-1], dtype=np.int64)
        case "max":
            part = values.max(axis=0)
            return np.asarray(part if so_far is None else np.maximum(so_far, part), dtype=np.int64)
        case "count":
            part = np.count_nonzero(values, axis=0)
        case "sum" | "mean":
            part = values.sum(axis=0, dtype=np.int64)
        case _:
            assert_never(quantity)
    return np.asarray(part if so_far is None else so_far + part, dtype=np.int64)


def readout_so_far(quantity: Quantity, spikes: Array, v: Array) -> Array:
    """What is read after each step, from the traces of the window: (T, ...) -> (T, ...); real numbers, too."""
    match quantity:
        case "v":
            return v
        case "count":
            return np.cumsum(spikes != 0, axis=0)
        case "sum" | "mean":
            return np.cumsum(v, axis=0, dtype=np.int64 if v.dtype.kind in "iu" else np.float64)
        case "max":
            return np.maximum.accumulate(v, axis=0)
        case _:
            assert_never(quantity)


def classes(read: Array) -> Array:
    """The class of each readout: (..., K) -> (...), the largest value's, the first among some that are equal.

    Where all of several values are equal it is ``NO_ANSWER``. One value alone is class 0.
    """
    largest: Array = np.argmax(read, axis=-1)
    if read.shape[-1] < 2:
        return largest
    return np.where((read == read[..., :1]).all(axis=-1), NO_ANSWER, largest)


def told(quantity: Quantity) -> str:
    """In words."""
    match quantity:
        case "v":
            return "v at the last step"
        case "count":
            return "the spike counts"
        case "sum":
            return "the sum of v over the steps"
        case "mean":
            return "the sum of v over the steps (the mean times their number)"
        case "max":
            return "the largest v of the steps"
        case _:
            assert_never(quantity)
