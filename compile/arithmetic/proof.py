"""Proves that a way to sum integers on float hardware is exact: for the shapes and batches that it meets, on the
device at hand, under the settings of torch that decide which algorithm a library takes.

A result is kept for the process. Where one of the settings changes, the proof is made again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from seamount.compile.numbers import Ints
from seamount.windows import Window

WORK = 1 << 26
"""Multiplications of a proof, if they make more than ``LEAST_ROWS`` samples: some milliseconds."""

LEAST_ROWS = 16
"""From so many samples on, torch's libraries take other algorithms (NNPACK does)."""

MOST_ROWS = 64
VALUES = 1 << 22


class Way(Protocol):
    """One way to compute sums: weights (n_target, ...) with values (M, ...). Equal ones compute alike.

    Attributes:
        geometry: of a convolution; None for a matrix product.
        bits: significant bits of weights and values for which it is made.
        unit: what it multiplies the sums with.
    """

    @property
    def geometry(self) -> Window | None: ...

    @property
    def bits(self) -> int: ...

    @property
    def unit(self) -> float: ...

    def __call__(self, x: torch.Tensor, weights: torch.Tensor, /) -> torch.Tensor: ...

    def __hash__(self) -> int: ...


_known: dict[tuple[object, ...], bool] = {}


def is_exact(way: Way, x: torch.Tensor, weights: torch.Tensor) -> bool:
    """Whether a way sums exactly up to the very bound, for tensors such as these; their values do not matter."""
    last = x.ndim == 4 and not x.is_contiguous()
    key = (way, settings(x.device.type), x.shape, x.dtype, last, x.device, weights.shape, weights.dtype)
    found = _known.get(key)
    if found is None:
        rows = _rows(len(x), x.shape[1:].numel(), weights)
        fewer = (*key[:2], (rows, *x.shape[1:]), *key[3:])
        found = _known.get(fewer)
        if found is None:
            found = x.numel() == 0 or weights.numel() == 0 or _prove(way, x, weights, rows)
        _known[key] = _known[fewer] = found
    return found


def settings(device_type: str) -> tuple[object, ...]:
    """What of torch decides which algorithm is taken, beside the precision, which ``exactly`` sets."""
    chosen: tuple[object, ...] = (
        torch._C._get_mkldnn_enabled(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_default_dtype(),
    )
    if device_type == "cuda":
        chosen += (torch.backends.cuda.preferred_blas_library(),)
    return chosen


def _rows(n: int, n_values: int, weights: torch.Tensor) -> int:
    """How many samples are tried: all where that is cheap, and a power of two beyond, so that few numbers occur."""
    if n <= LEAST_ROWS:
        return n
    places = n_values // max(1, weights.shape[1]) if weights.ndim == 4 else 1
    affordable = min(WORK // max(1, weights.numel() * places), VALUES // max(1, n_values, len(weights) * places))
    n = min(n, MOST_ROWS, max(affordable, LEAST_ROWS))
    return 1 << (n.bit_length() - 1)


def _prove(way: Way, x: torch.Tensor, weights: torch.Tensor, rows: int) -> bool:
    last = x.ndim == 4 and not x.is_contiguous()
    for given, held in _cases(way, x, weights):
        expected = way.unit * _sums(given, held, way.geometry).astype(np.float64)
        order = np.arange(rows) % len(given)
        values = torch.from_numpy(given[order]).to(x.device, x.dtype)
        if last:
            values = values.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            found = way(values, torch.from_numpy(held).to(weights.device, weights.dtype)).cpu().numpy()
        # row by row, because all of them in float64 would take several times the memory of the sums
        if not all(np.array_equal(row, expected[k]) for row, k in zip(found, order, strict=True)):
            return False
    return True


def _cases(way: Way, x: torch.Tensor, weights: torch.Tensor) -> Iterator[tuple[Ints, Ints]]:
    """(values (3, *x.shape[1:]), weights) whose sums reach what their type holds, with ones beside the largest."""
    random = np.random.default_rng(0)
    n_target, terms = len(weights), weights[0].numel()
    if weights.dtype == torch.int8:
        held = random.integers(-127, 128, (n_target, terms))
        held[0] = 127
        yield _values(random, x, 1), held.reshape(weights.shape)
        return
    limit = (1 << 24 if weights.dtype == torch.float32 else 1 << 53) - 1
    highest = (1 << min(way.bits, limit.bit_length() // 2)) - 1
    for x_high in dict.fromkeys((1, highest, min(highest, max(1, limit // terms)))):
        room = limit // x_high  # for the sum of a target's |weights|
        held = random.integers(-1, 2, (n_target, terms))
        held[:, room:] = 0
        even, level = room // terms, (1 << way.bits) - 1
        if even:
            held[1::2] = random.integers(-min(even, level), min(even, level) + 1, held[1::2].shape)
        alone = room - min(terms, room) + 1
        if alone > level:  # as many significant bits as there may be
            alone = alone >> (down := alone.bit_length() - way.bits) << down
        held[range(0, n_target, 2), np.arange(0, n_target, 2) * 7 % min(terms, room)] = alone
        yield _values(random, x, x_high), held.reshape(weights.shape)


def _values(random: np.random.Generator, x: torch.Tensor, x_high: int) -> Ints:
    """Three samples: all values the highest; any; ones among the highest, of both signs where there are any."""
    low = 0 if x.dtype in (torch.bool, torch.uint8) else -1
    shape = tuple(x.shape[1:])
    edge = random.choice([low * x_high, low, 0, 1, x_high], shape)
    return np.stack([np.full(shape, x_high), random.integers(low * x_high, x_high + 1, shape), edge])


def _sums(x: Ints, weights: Ints, geometry: Window | None) -> NDArray[Any]:
    """The same sums by numpy: in float64 where they are below 2**24, which is no trouble there, else in int64."""
    largest = int(np.abs(weights).reshape(len(weights), -1).sum(1).max()) * int(np.abs(x).max())
    kind = np.float64 if largest < 1 << 40 else np.int64
    values: NDArray[Any] = x.astype(kind)
    held: NDArray[Any] = weights.astype(kind)
    if geometry is None:
        product: NDArray[Any] = values @ held.T
        return product
    (s_h, s_w), (p_h, p_w), (d_h, d_w), groups = geometry
    (k_h, k_w), c_in, c_out = weights.shape[2:], weights.shape[1], len(weights) // groups
    padded = np.pad(values, ((0, 0), (0, 0), (p_h, p_h), (p_w, p_w)))
    seen = np.lib.stride_tricks.sliding_window_view(padded, (d_h * (k_h - 1) + 1, d_w * (k_w - 1) + 1), (2, 3))
    seen = seen[:, :, ::s_h, ::s_w, ::d_h, ::d_w]
    parts = [
        np.tensordot(seen[:, g * c_in : (g + 1) * c_in], held[g * c_out : (g + 1) * c_out], ((1, 4, 5), (1, 2, 3)))
        for g in range(groups)
    ]
    return np.moveaxis(np.concatenate(parts, axis=-1), -1, 1)


__all__ = ["Way", "is_exact", "settings"]
