"""Whole numbers as the chip holds them: what wraps, decays, shifts, and which weights there are."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seamount.errors import ConfigError, InputError

Ints = NDArray[np.int64]

PerNeuron = float | NDArray[np.float64]
"""One number for all neurons of a population, or an array that broadcasts to its shape."""


def ints(values: ArrayLike, where: str = "values") -> Ints:
    """A read-only int64 copy; refuses what is not a whole number."""
    array = np.asarray(values)
    if array.dtype == object or not np.can_cast(array.dtype, np.int64, "same_kind"):
        whole = np.asarray(array, dtype=np.float64)
        if not np.all(np.isfinite(whole)) or np.any(whole != np.rint(whole)):
            raise InputError(f"whole numbers needed, found {array.dtype} values such as {whole.flat[0]}", where=where)
        array = whole
    result = np.array(array, dtype=np.int64)
    result.setflags(write=False)
    return result


UNITY = 4096
"""A decay rate of 4096/4096 forgets everything in one step."""


STATE_BITS = 24


V_MAX = (1 << (STATE_BITS - 1)) - 1


DRIVE_SHIFT = 6
"""Drives and thresholds stand so many bits above u and v."""


FULL_SCALE_BITS = 8
"""Weights stand on a scale of so many bits, whatever width they are stored in."""


SIGN_MODES = ("mixed", "excitatory", "inhibitory", "null")


def wrap(values: Ints, bits: int) -> Ints:
    """The low ``bits`` bits, read as two's complement."""
    half = 1 << (bits - 1)
    wrapped: Ints = ((values + half) & ((1 << bits) - 1)) - half
    return wrapped


def decay(state: Ints, rate: Ints) -> Ints:
    """What a state keeps of itself in one step: (4096 - rate) / 4096 of it, rounded towards zero."""
    product = state * (UNITY - rate)
    kept: Ints = np.sign(product) * (np.abs(product) >> 12)
    return kept


def shift(values: Ints, exponent: int) -> Ints:
    """values * 2**exponent; a negative exponent rounds down (towards minus infinity)."""
    return values << exponent if exponent >= 0 else values >> -exponent


def weight_grid(weights: ArrayLike, sign_mode: str | None = None, weight_bits: int = 8) -> Ints:
    """What the chip keeps of the weights it is given: of the 8-bit full scale, the top ``weight_bits`` bits.

    Args:
        weights: truncated towards zero first.
        sign_mode: "mixed" (even numbers -256..254 at 8 bits), "excitatory" (0..255), "inhibitory" (-255..0),
            "null" (as excitatory); None: excitatory if no weight is negative, else inhibitory if none is positive,
            else mixed.
        weight_bits: 1..8. Lava 0.10.0 shifts by a negative count for 9 bits of a one-signed matrix, which gives 0
            everywhere; we do what it does.
    """
    whole = np.trunc(np.asarray(weights)).astype(np.int64)
    mode = sign_mode_of(whole) if sign_mode is None else sign_mode.lower()
    if mode not in SIGN_MODES:
        raise ConfigError(f"sign mode {sign_mode!r} does not exist; possible are {', '.join(SIGN_MODES)}")
    magnitude = -whole if mode == "inhibitory" else whole
    clipped = np.clip(magnitude, -256 if mode == "mixed" else 0, 255)
    drop = 8 - weight_bits + (mode == "mixed")
    kept: Ints = (clipped >> drop) << drop if drop >= 0 else np.zeros_like(clipped)
    return -kept if mode == "inhibitory" else kept


def sign_mode_of(weights: Ints) -> str:
    """The sign mode that Lava chooses for a matrix."""
    if weights.size == 0 or weights.min() >= 0:
        return "excitatory"
    return "inhibitory" if weights.max() <= 0 else "mixed"
