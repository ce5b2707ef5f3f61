"""The one rounding: every place where a real number becomes an integer of the program.

Pure functions on numpy arrays, shared with the quantised student:

    decay_grid(a)                -> du or dv, the nearest k/4096
    sign_mode_of(w)              -> "mixed" | "excitatory" | "inhibitory"
    nearest_on_grid(w, mode)     -> nearest weight that the chip keeps unchanged (even -256..254 where mixed)
    round_weights(w, exponents)  -> grid weights and the exponent with the smaller error
    Rounder(w, exponents).at(s)  -> that exponent and its error alone, at many scales
    exact_weights(w)             -> the same where the numbers lie on the grid already; refuses otherwise
    split_bias(b)                -> mantissa and exponent, as large as the target holds
    exact_bias(b)                -> the same without any loss; refuses otherwise
    whole_pieces(w)              -> whole numbers of one sign as a sum of grid weights and exponents

Units: with the scale s of a population, weights are s * gain * W (in units of v_th_mant) and biases 64 * s * bias
(in units of v). Rounding is to nearest, halves to even.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from seamount.errors import InputError

from ..formats import LOIHI, NumberFormats, grid_ends, grid_step
from ..network.network import Reals
from ..numbers import FULL_SCALE_BITS, UNITY, Ints, ints
from ..numbers import sign_mode_of as sign_mode_of

EXACT = 1e-6
"""How far a number may be from a whole one and still be taken for it."""

FLOAT32 = 2.0**-22
"""How far, of its size, a weight may be from the grid: files hold float32, and weights are products of some."""

EXACT_BIAS_EXP = 15
"""Biases that came as integers may have larger exponents than the chip; whether it holds them, verify says."""

LARGEST = 1e30
BLOCK = 1 << 14
"""Weights that are rounded at once: they stay in the cache."""

MAX_PIECES = 8


@dataclass(frozen=True)
class Rounded:
    """Weights on the grid: the chip adds ``weights << exponent`` (floored sum where the exponent is negative).

    Attributes:
        relative_error: of the weights. sum_error: of the sums that they make of calibration data; None without.
    """

    weights: Ints
    exponent: int
    mode: str
    n_clipped: int
    relative_error: float
    sum_error: float | None = None

    @property
    def effective(self) -> Reals:
        """weights * 2**exponent."""
        return np.asarray(self.weights * 2.0**self.exponent, dtype=np.float64)

    def folded(self, weight_bits: int) -> Rounded:
        """The same products with fewer shifts to the right: the low bits that the grid leaves empty take them.

        Sums of a convolution are never shifted right, and sums that are cut must not be rounded.
        """
        spare = min(max(0, -self.exponent), FULL_SCALE_BITS - weight_bits)
        return replace(self, weights=ints(self.weights >> spare), exponent=self.exponent + spare)


def decay_grid(a: Reals) -> tuple[Ints, float]:
    """(rate, largest error of a): the state keeps 1 - rate / 4096 a step."""
    rate = np.rint(np.asarray(a) * UNITY)
    error = float(np.max(np.abs(rate / UNITY - a), initial=0.0))
    return ints(rate), error


def real_sign_mode(weights: Reals) -> str:
    """The sign mode of a group that is not rounded yet."""
    return _sign_mode_between(float(np.min(weights, initial=0.0)), float(np.max(weights, initial=0.0)))


def _sign_mode_between(low: float, high: float) -> str:
    if low >= 0:
        return "excitatory"
    return "inhibitory" if high <= 0 else "mixed"


def nearest_on_grid(weights: Reals, mode: str, weight_bits: int = FULL_SCALE_BITS) -> Ints:
    """The nearest weight that ``numbers.weight_grid`` leaves as it is; clipped at the ends.

    weight_bits below 8 keep the top bits only: steps of 2**(8 - weight_bits), twice that where mixed.
    """
    return ints(_to_grid(np.asarray(weights) / grid_step(mode, weight_bits), mode, weight_bits))


def _to_grid(in_steps: Reals, mode: str, weight_bits: int) -> Reals:
    """``nearest_on_grid`` of weights counted in steps of the grid, in their place: doubles hold it exactly."""
    np.rint(in_steps, out=in_steps)
    in_steps *= grid_step(mode, weight_bits)
    return in_steps.clip(*grid_ends(mode, weight_bits), out=in_steps)


def _fitting_exponent(low: float, high: float, mode: str, weight_bits: int) -> int:
    """Smallest exponent with which no weight between these is clipped (by more than half a step)."""
    lowest, highest = grid_ends(mode, weight_bits)
    ratios = [x / limit for x, limit in ((high, highest), (low, lowest)) if limit and x]
    largest = max((r for r in ratios if r > 0), default=0.0)
    if largest == 0:
        return 0
    return int(np.ceil(np.log2(largest) - 1e-9))


@dataclass(frozen=True)
class Nearest:
    """The exponent with the smaller squared error, before anything is made an integer.

    Attributes:
        off: what the products of the grid's weights have more than the real ones; the next scale overwrites it.
        error: sum of its squares.
    """

    mode: str
    exponent: int
    off: Reals
    error: float


class Rounder:
    """Rounds one group's weights at any number of scales, in memory that is taken once and block by block, because a
    search spends its time on memory otherwise.

    Args:
        weights, exponents, weight_bits, importance: see ``round_weights``.
    """

    def __init__(
        self, weights: Reals, exponents: tuple[int, int], weight_bits: int, importance: Reals | None = None
    ) -> None:
        self.weights, self.exponents, self.weight_bits, self.importance = weights, exponents, weight_bits, importance
        self._ends = float(np.min(weights, initial=0.0)), float(np.max(weights, initial=0.0))
        self._off = np.empty((2, *weights.shape))
        self._squared = np.empty(weights.shape)

    def at(self, s: float) -> Nearest:
        """Of ``s * weights``, s above 0."""
        low, high = (s * end for end in self._ends)  # as of the products: rounding keeps their order
        if not -LARGEST < low <= high < LARGEST:  # NaN is neither
            raise InputError(
                f"weights up to {max(-low, high):.3g} of the grid's unit; the network's units are absurd"
            )
        mode = _sign_mode_between(low, high)
        fit, (least, most) = _fitting_exponent(low, high, mode, self.weight_bits), self.exponents
        candidates = sorted({min(max(e, least), most) for e in (fit, fit - 1)}, reverse=True)
        self._round(s, mode, candidates)
        found = [
            Nearest(mode, exponent, off, self.summed(off))
            for exponent, off in zip(candidates, self._off, strict=False)
        ]
        return min(found, key=lambda nearest: nearest.error)

    def _round(self, s: float, mode: str, exponents: Sequence[int]) -> None:
        step = grid_step(mode, self.weight_bits)
        flat, offs = self.weights.reshape(-1), [off.reshape(-1) for off in self._off]
        for first in range(0, flat.size, BLOCK):
            block = slice(first, first + BLOCK)
            scaled = flat[block] * s
            for exponent, off in zip(exponents, (off[block] for off in offs), strict=False):
                # a step is a power of two, so that one product is as exact as two
                np.multiply(scaled, 2.0**-exponent / step, out=off)
                _to_grid(off, mode, self.weight_bits)
                off *= 2.0**exponent
                off -= scaled

    def summed(self, off: Reals) -> float:
        """Squares of what is lost, each as important as its weight, summed."""
        np.multiply(off, off, out=self._squared)
        return float(np.sum(self._squared if self.importance is None else self._squared * self.importance))


def round_weights(
    weights: Reals,
    exponents: tuple[int, int] = LOIHI.weight_exponent,
    weight_bits: int = FULL_SCALE_BITS,
    importance: Reals | None = None,
) -> Rounded:
    """The grid weights and exponent with the smallest squared error; clipping the largest may be the better of two.

    Args:
        weights: real, in units of v_th_mant.
        exponents: lowest and highest possible.
        importance: of each weight's squared error, broadcasts; None: all alike.
    """
    best = Rounder(weights, exponents, weight_bits, importance).at(1.0)
    step, (low, high) = grid_step(best.mode, weight_bits), grid_ends(best.mode, weight_bits)
    scaled = weights * 2.0**-best.exponent
    clipped = int(np.sum((scaled > high + step / 2) | (scaled < low - step / 2)))
    norm = float(np.sum(weights**2 if importance is None else weights**2 * importance))
    return Rounded(
        nearest_on_grid(scaled, best.mode, weight_bits),
        best.exponent,
        best.mode,
        clipped,
        float(np.sqrt(best.error / norm)) if norm else 0.0,
    )


def exact_weights(
    weights: Reals,
    exponents: tuple[int, int] = LOIHI.weight_exponent,
    where: str = "weights",
    weight_bits: int = FULL_SCALE_BITS,
) -> Rounded:
    """Weights that lie on the grid already, with the exponent nearest to 0 that holds them, 0 and above first.

    Raises:
        InputError: some weight is more than 1e-6 from the grid, or no exponent fits.
    """
    found = on_grid(weights, exponents, weight_bits)
    if found is not None:
        return found
    mode = _told_sign_mode(weights)
    off = float(np.max(np.abs(weights - np.rint(weights))))
    told = f", up to {off:.3g} off whole numbers" if off > EXACT else ""
    low, high = grid_ends(mode, weight_bits)
    raise InputError(
        f"with the given scale the weights lie between {weights.min():.9g} and {weights.max():.9g}{told}",
        where=where,
        possible=f"on no {mode} {weight_bits}-bit grid (steps of {grid_step(mode, weight_bits)}, {low} to {high}, "
        "times a power of two)",
        ways_out="the file's scales do not fit its weights",
    )


def on_grid(weights: Reals, exponents: tuple[int, int], weight_bits: int) -> Rounded | None:
    """As ``exact_weights``; None where no exponent holds them."""
    mode = _told_sign_mode(weights)
    low, high = exponents
    for exponent in (*range(max(0, low), high + 1), *range(min(-1, high), low - 1, -1)):
        scaled = weights * 2.0**-exponent
        grid = nearest_on_grid(scaled, mode, weight_bits)
        if np.all(np.abs(grid - scaled) <= np.maximum(EXACT, FLOAT32 * np.abs(scaled))):
            return Rounded(grid, exponent, mode, 0, 0.0)
    return None


def is_whole(values: Reals) -> NDArray[np.bool_]:
    """Which values are whole numbers, as far as a file's float32 can say."""
    whole: NDArray[np.bool_] = np.abs(np.rint(values) - values) <= np.maximum(EXACT, FLOAT32 * np.abs(values))
    return whole


def _told_sign_mode(weights: Reals) -> str:
    return real_sign_mode(np.where(np.abs(weights) < EXACT, 0.0, weights))


def split_bias(
    bias: Reals,
    mant_max: int = LOIHI.bias_mant_max,
    exp_max: int = LOIHI.bias_exp_max,
    where: str = "bias",
) -> tuple[Ints, Ints]:
    """(mantissa, exponent) per neuron, the smallest exponent that holds it; mantissa << exponent is near ``bias``."""
    values = np.asarray(bias, dtype=np.float64)
    exponent = _smallest_exponents(values, mant_max)
    if np.any(exponent > exp_max):
        raise InputError(
            f"bias {np.abs(values).max():.6g} (units of v) needs exponent {exponent.max()}",
            where=where,
            possible=f"possible are mantissas to {mant_max} and exponents 0 to {exp_max}",
            ways_out="choose a smaller scale",
        )
    return ints(np.rint(values / 2.0**exponent)), ints(exponent)


def _smallest_exponents(values: Reals, mant_max: int) -> Ints:
    exponent = np.zeros(values.shape, dtype=np.int64)
    for _ in range(64):
        too_large = np.abs(np.rint(values / 2.0**exponent)) > mant_max
        if not np.any(too_large):
            break
        exponent = exponent + too_large
    return exponent


def exact_bias(bias: Reals, where: str = "bias", formats: NumberFormats = LOIHI) -> tuple[Ints, Ints]:
    """As ``split_bias`` for biases that are representable; anything else is refused."""
    mant, exponent = split_bias(bias, formats.bias_mant_max, EXACT_BIAS_EXP, where)
    off = np.abs((mant << exponent) - bias)
    if np.any(off > EXACT * np.maximum(1.0, np.abs(bias))):
        raise InputError(
            f"with the given scale biases are up to {off.max():.6g} (units of v) from a mantissa of "
            f"{formats.bias_mant_max} with an exponent",
            where=where,
            ways_out="the file's scales do not fit its biases",
        )
    return mant, exponent


def exact_ints(values: Reals, where: str) -> Ints:
    """Whole numbers that were given as real ones; others are refused."""
    other = values[~is_whole(values)]
    if other.size:
        raise InputError(f"{other[0]:.9g} with the given scale", where=where, possible="needed is a whole number")
    return ints(np.rint(values))


def whole_pieces(
    whole: Ints, highest: int = LOIHI.weight_exponent[1], weight_bits: int = FULL_SCALE_BITS, where: str = "weights"
) -> list[tuple[Ints, int]]:
    """Whole weights of one sign as a sum of weights of so many bits and exponents, the largest exponent first."""
    assert np.all(whole >= 0) or np.all(whole <= 0), f"{where}: weights of both signs"
    # a weight of fewer bits stands at the top of the scale on the chip, so its exponent there is lower by the rest
    highest += FULL_SCALE_BITS - weight_bits
    rest, found = np.abs(whole), []
    while np.any(rest):
        shift = min(highest, max(0, int(rest.max()).bit_length() - weight_bits))
        part = np.minimum(rest >> shift, (1 << weight_bits) - 1)
        found.append((ints(np.sign(whole) * part), shift))
        rest = rest - (part << shift)
        if len(found) > MAX_PIECES:
            raise InputError(
                f"{int(np.abs(whole).max())} needs more than {MAX_PIECES} synapse groups",
                where=where,
                ways_out="choose a smaller scale",
            )
    return found
