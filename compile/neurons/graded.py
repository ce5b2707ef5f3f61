"""Numbers as graded models hold them: states of 24 bits that Lava keeps in 32, messages with a sign."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..numbers import V_MAX, Ints, wrap
from .model import PAYLOAD_BITS, Message, StateRange

HELD_BITS = 32
"""Lava declares 24 bits for these states and keeps 32: what lies between goes on there, and a chip would lose it."""

LOWEST, HIGHEST = -(1 << (HELD_BITS - 1)), (1 << (HELD_BITS - 1)) - 1


def held(exact: Ints) -> Ints:
    """A sum as Lava holds it."""
    return wrap(exact, HELD_BITS)


def leaves_24_bits(*values: Ints) -> NDArray[np.bool_]:
    """Neurons in which one of the values lies beyond the 24 bits that a chip has for a state."""
    beyond_them: NDArray[np.bool_] = np.any([(x > V_MAX) | (x < -V_MAX - 1) for x in values], axis=0)
    return beyond_them


def magnitude(values: Ints) -> Ints:
    """\\|x\\| in 32 bits, where -2**31 has none and stays negative."""
    return wrap(np.abs(values), HELD_BITS)


def signed_message(low: int, high: int) -> Message:
    """A message of low .. high, as far as 32 bits hold it; with the bits that it needs, a sign among them."""
    if low < LOWEST or high > HIGHEST:
        low, high = LOWEST, HIGHEST
    low, high = min(low, 0), max(high, 0)
    bits = max(high.bit_length(), (-low - 1).bit_length() if low else 0) + (low < 0)
    return Message(low, high, min(max(bits, 1), PAYLOAD_BITS))


def in_24_bits(low: float, high: float) -> StateRange:
    """The range of a state that must stay within 24 bits."""
    return StateRange(low, high, bool(low >= -V_MAX - 1 and high <= V_MAX))


def beyond(name: str, value: int | Ints, low: int, high: int) -> str:
    """ "NAME of VALUES", where values lie outside of low .. high; else empty."""
    array = np.asarray(value)
    if array.size == 0 or (array.min() >= low and array.max() <= high):
        return ""
    least, most = int(array.min()), int(array.max())
    return f"{name} of {least}" if least == most else f"{name} of {least} to {most}"
