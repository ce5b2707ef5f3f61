"""The values of a layer in a ``.net`` file, as lava-dl's netx and Lava 0.10.0 take them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.errors import InputError
from seamount.foreign.limits import VALUES

from ..numbers import Ints, ints, weight_grid
from .file import Group

Shape = tuple[int, ...]

Note = Callable[[str], None]
"""Takes what a layer loses on the way in."""

LONGEST_DELAY = 62


def shape_of(layer: Group) -> Shape:
    """Of the layer's neurons: (N,) or (C, H, W), as the file says."""
    values = layer.integers("shape").reshape(-1)
    shape = tuple(int(n) for n in values)
    if not 1 <= len(shape) <= 4 or min(shape) < 1:
        raise InputError(f"{shape} is not a shape that can be run", where=f"{layer.where}/shape")
    VALUES.check(math.prod(shape), f"{layer.where}/shape", f"shape {shape}")
    return shape


def matrix(layer: Group, key: str, n_out: int) -> NDArray[Any]:
    """Weights (n_out, n_in); a vector is one row after the other."""
    values = layer.numbers(key)
    if values.ndim == 1 and values.size % n_out == 0:
        values = values.reshape(n_out, -1)
    if values.ndim != 2 or values.shape[0] != n_out:
        raise InputError(
            f"shape {values.shape}", where=f"{layer.where}/{key}", possible=f"({n_out}, inputs) is possible"
        )
    return values


def delays(layer: Group, shape: Shape, note: Note) -> Ints:
    """One number, one per output or input neuron (outputs win where both fit), or one per synapse."""
    values = layer.numbers("delay")
    if values.max() > LONGEST_DELAY:
        note(f"delays beyond {LONGEST_DELAY} are clipped to it, as lava-dl does")
        values = np.clip(values, 0, LONGEST_DELAY)
    steps = np.trunc(values).astype(np.int64)
    if steps.min() < 0:
        raise InputError(
            f"{steps.min()} found", where=f"{layer.where}/delay", possible=f"0 to {LONGEST_DELAY} are possible"
        )
    n_out, n_in = shape
    if steps.ndim == 0:
        return ints(steps)
    if steps.shape == (n_out,):
        steps = steps[:, None]
    elif steps.shape == (n_in,):
        steps = steps[None, :]
    elif steps.shape != shape:
        raise InputError(
            f"shape {steps.shape}",
            where=f"{layer.where}/delay",
            possible=f"({n_out},), ({n_in},) or {shape} are possible",
        )
    return ints(np.broadcast_to(steps, shape))


def bias(layer: Group, shape: Shape) -> Ints:
    """In weight units: one per neuron, or per channel of a map."""
    if not layer.has("bias"):
        return ints(0)
    values = np.trunc(layer.numbers("bias")).astype(np.int64)
    if len(shape) == 1 and values.shape in ((), (1,), shape):
        return ints(values)
    if len(shape) == 3 and values.shape == shape[:1]:
        return ints(values.reshape(-1, 1, 1))
    if len(shape) == 3 and values.shape == shape[::-1]:  # lava-dl keeps maps as (W, H, C)
        return ints(values.T)
    raise InputError(f"shape {values.shape} does not fit neurons of shape {shape}", where=f"{layer.where}/bias")


def parameter(neuron: Group, key: str, shape: Shape) -> Ints:
    """One number, or one per neuron, or per channel of a map, as Lava broadcasts it over (W, H, C)."""
    values = neuron.integers(key)
    try:
        over_map = np.broadcast_to(values, shape[::-1] if len(shape) == 3 else shape)
    except ValueError:
        raise InputError(
            f"shape {values.shape} does not fit neurons of shape {shape}", where=f"{neuron.where}/{key}"
        ) from None
    if values.size == 1:
        return ints(values.reshape(()))
    if len(shape) != 3:
        return ints(over_map)
    return ints(values.reshape(-1, 1, 1) if values.shape == shape[:1] else over_map.T)


def pair(layer: Group, key: str) -> tuple[int, int]:
    """(height, width); one number stands for both."""
    values = layer.integers(key)
    if values.ndim == 0:
        return int(values), int(values)
    if values.shape != (2,):
        raise InputError(
            f"shape {values.shape}",
            where=f"{layer.where}/{key}",
            possible="one number or (height, width) is possible",
        )
    return int(values[0]), int(values[1])


# ------------------------------------------------------------------------------------------ weights


def grids(together: NDArray[Any], parts: Sequence[NDArray[Any]], note: Note) -> tuple[list[Ints], int]:
    """Effective weights of matrices with one exponent, and that: netx's optimiser, then Lava's rounding."""
    whole = truncated(together, note)
    low, high = int(whole.min()), int(whole.max())
    if low < 0 < high and (high > 254 or low < -256):
        note(f"weights {low} to {high} are clipped to -256 to 254, as lava-dl does")
        whole = np.clip(whole, -256, 254)
    if not whole.any():
        note("all weights are 0; lava-dl's loader fails on such a layer")
        return [ints(p * 0) for p in parts], 0
    widths = np.cumsum([p.shape[1] for p in parts])[:-1]
    grids, shift = effective_weights(np.split(whole, widths, axis=1))
    lost = int(np.count_nonzero(np.hstack(grids) != whole * 2.0**shift))
    if lost:
        note(f"{lost} of {whole.size} weights change on the chip's grid, as they do in lava-dl and Lava")
    return grids, -shift


def effective_weights(parts: Sequence[NDArray[np.int64]]) -> tuple[list[Ints], int]:
    """What netx's optimiser and Lava's rounding make of dense matrices that share an exponent, not all of them 0.

    Returns:
        the matrices as they are on the chip, and how far they are shifted left (undone after the sum).
    """
    shift, bits = _optimise(np.hstack(parts))
    scaled = [part << shift if shift >= 0 else part * 0 for part in parts]  # numpy shifts by a negative count to 0
    return [ints(weight_grid(part, None, bits)) for part in scaled], shift


def _optimise(weights: NDArray[np.int64]) -> tuple[int, int]:
    """netx's ``optimize_weight_bits``: how far weights are shifted left, and how many weight bits that leaves."""
    low, high = int(weights.min()), int(weights.max())
    mixed = low < 0 <= high
    if mixed:
        scale = min(127 / high if high else np.inf, -128 / low)
    else:
        scale = -256 / low if high < 0 else 255 / high
    shift = int(np.floor(np.log2(scale))) + mixed
    trailing = next((n for n in range(8, 0, -1) if not np.any(weights % (1 << n))), 0)
    return shift, 8 - shift - (trailing - mixed)


def truncated(values: NDArray[Any], note: Note) -> NDArray[np.int64]:
    """netx reads weights into integers, which drops fractions."""
    whole: NDArray[np.int64] = np.trunc(values).astype(np.int64)
    n = int(np.count_nonzero(whole != values))
    if n:
        note(f"{n} fractional weights are truncated towards zero, as lava-dl does")
    return whole
