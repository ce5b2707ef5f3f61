"""Synapses as runs of consecutive weights per source neuron, for spikes that are few: each spike adds its runs.

A convolution's targets are laid out (group, H, W, C_out / group), so that the taps of one kernel row are one run. A
``Layout`` says where each neuron of a population stands; programs and recordings always have C order of its shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from seamount.compile.numbers import Ints
from seamount.compile.synapses.fan_out import conv_fan_out
from seamount.compile.synapses.kinds import Conv, Dense, Kind, OneToOne, Sparse, Wire

from .kernels import LANES
from .lanes import LANES as WIDE

Int32s = NDArray[np.int32]


@dataclass(frozen=True)
class Layout:
    """Neuron ``order[i]`` (C order of the shape) stands at place i; ``groups`` 0 means: in C order."""

    shape: tuple[int, ...]
    groups: int = 0

    @cached_property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def order(self) -> NDArray[np.int64]:
        plain = np.arange(self.size)
        if self.groups == 0:
            return plain
        c, h, w = self.shape
        return plain.reshape(self.groups, c // self.groups, h, w).transpose(0, 2, 3, 1).ravel()

    def places(self) -> NDArray[np.int64]:
        """Place of each neuron: the inverse of ``order``."""
        order = self.order
        inverse = np.empty_like(order)
        inverse[order] = np.arange(order.size)
        return inverse


@dataclass(frozen=True)
class Runs:
    """Source place j has the runs first[j] .. first[j + 1]; fan_out[j] counts its synapses without zeros, and all.

    ``whole``: each source has one run, to all targets.
    """

    first: Int32s
    target: Int32s
    start: Int32s
    length: Int32s
    weights: Int32s
    fan_out: NDArray[np.int64]
    whole: bool = False


@dataclass(frozen=True)
class Lines:
    """Runs as ``kernels.scatter`` reads them: all that it needs of a source stands side by side.

    Attributes:
        first, lines: source j's counts and runs, lines[first[j]] .. lines[first[j + 1]].
        weights: int32, or int16 where that holds every sum.
        reach: places that a row of drives must have; behind the targets, runs add zeros.
    """

    first: NDArray[np.int64]
    lines: Int32s
    weights: NDArray[Any]
    reach: int


@dataclass(frozen=True)
class Rows:
    """Runs as ``kernels.add_rows`` reads them: one a source, to all targets, whose sums 16 bits hold.

    Attributes:
        weights: (n_source, reach); in bytes where they fit, which are half of what is read.
        shift: what the sums of these weights are doubled by.
    """

    weights: NDArray[Any]
    shift: int

    @property
    def reach(self) -> int:
        return int(self.weights.shape[1])


def packed(found: Runs, counted: NDArray[np.int64], narrow: bool) -> Lines | Rows:
    """``counted`` (n_source, 2): what a spike counts; ``narrow``: 16 bits hold every sum."""
    if found.whole and narrow:
        return _rows_of(found.weights.reshape(len(counted), -1))
    found = _even(found)
    n_runs = np.diff(found.first)
    first = np.concatenate([[0], np.cumsum(2 + 3 * n_runs)]).astype(np.int64)
    lines = np.empty(first[-1], np.int32)
    lines[first[:-1]], lines[first[:-1] + 1] = counted[:, 0], counted[:, 1]
    source = np.repeat(np.arange(len(n_runs)), n_runs)
    at = first[source] + 2 + 3 * (np.arange(len(source)) - found.first[source])
    for place, values in enumerate((found.target, found.start, found.length)):
        lines[at + place] = values
    weights = aligned(found.weights.shape, np.int16 if narrow else np.int32)
    weights[:] = found.weights
    return Lines(first, lines, weights, int((found.target + found.length).max(initial=0)))


def _rows_of(weights: Int32s) -> Rows:
    """A chip's weights are bytes times a power of two, which all of a layer share."""
    every_bit = int(np.bitwise_or.reduce(weights, axis=None))
    shift = max(0, (every_bit & -every_bit).bit_length() - 1)
    fits = np.abs(weights >> shift).max(initial=0) <= 127
    held = aligned(weights.shape, np.int8 if fits else np.int16)
    held[:] = weights >> shift
    return Rows(held, shift)


MOST_ZEROS = 3
"""How many times as much work even runs may be."""


def _even(found: Runs) -> Runs:
    """The same number of runs for every source, all of one length, filled up with zeros.

    A processor foretells such loops; a wrong guess costs as much as ten additions of a vector.
    """
    n_source, length = len(found.first) - 1, int(found.length.max(initial=0))
    n_runs = np.diff(found.first)
    most = int(n_runs.max(initial=0))
    if n_source * most * length > MOST_ZEROS * int(found.length.sum(dtype=np.int64)):
        return found
    starts, place = np.unique(found.start, return_inverse=True)
    lengths = np.zeros(len(starts), np.int64)
    lengths[place] = found.length
    inside = np.arange(length) < lengths[:, None]
    table = np.zeros((len(starts) + 1, length), np.int32)  # the last row is of zeros alone
    table[:-1][inside] = found.weights[(starts[:, None] + np.arange(length))[inside]]
    there = np.arange(most) < n_runs[:, None]
    target, start = np.zeros((n_source, most), np.int32), np.full((n_source, most), len(starts) * length, np.int32)
    target[there], start[there] = found.target, place * length
    return Runs(
        first=np.arange(n_source + 1, dtype=np.int32) * most,
        target=target.ravel(),
        start=start.ravel(),
        length=np.full(n_source * most, length, np.int32),
        weights=table.ravel(),
        fan_out=found.fan_out,
        whole=found.whole,
    )


def layout_for(kind: Kind, shape: tuple[int, ...]) -> Layout:
    """The layout of a population that suits synapses of this kind into it."""
    return Layout(shape, kind.window.groups) if isinstance(kind, Conv) else Layout(shape)


def runs(kind: Kind, source: Layout, target: Layout) -> Runs | None:
    """Runs of these synapses between two layouts; None where this layout would leave nothing but single synapses."""
    match kind:
        case Dense(weights=weights):
            return _rows(weights[np.ix_(target.order, source.order)].T)
        case Sparse():
            column, row = source.places()[kind.columns], target.places()[kind.rows]
            return _singles(column, row, kind.weights, source.size)
        case OneToOne(weights=weights):
            single = np.broadcast_to(weights, source.shape).ravel()
            return _singles(source.places(), target.places(), single, source.size)
        case Wire():
            single = np.ones(source.size, np.int64)
            return _singles(source.places(), target.places(), single, source.size)
        case Conv():
            return _convolution(kind, source, target) if target.groups == kind.window.groups else None
        case _:
            assert_never(kind)


def aligned(shape: tuple[int, ...], dtype: type = np.int32) -> NDArray[Any]:
    """An uninitialised array that begins on a cache line, so that no vector crosses one."""
    n = int(np.prod(shape, dtype=np.int64))
    per_line = 64 // np.dtype(dtype).itemsize
    raw: NDArray[Any] = np.empty(n + per_line, dtype)
    start = -(raw.ctypes.data // raw.itemsize) % per_line
    return raw[start : start + n].reshape(shape)


def _padded(length: int, lanes: int = LANES) -> int:
    return -(-length // lanes) * lanes


def _rows(weights: Ints) -> Runs:
    """One run for every source: (n_source, n_target)."""
    n_source, n_target = weights.shape
    length = _padded(n_target, WIDE)
    table = np.zeros((n_source, length), np.int32)
    table[:, :n_target] = weights
    return Runs(
        first=np.arange(n_source + 1, dtype=np.int32),
        target=np.zeros(n_source, np.int32),
        start=np.arange(n_source, dtype=np.int32) * length,
        length=np.full(n_source, length, np.int32),
        weights=table.ravel(),
        fan_out=np.stack([(weights != 0).sum(axis=1), np.full(n_source, n_target)], axis=1).astype(np.int64),
        whole=True,
    )


def _singles(column: Ints, row: Ints, weights: Ints, n_source: int) -> Runs:
    """A run for every synapse."""
    by_source = np.argsort(column, kind="stable")
    n = len(by_source)
    table = np.zeros((n, LANES), np.int32)
    table[:, 0] = weights[by_source]
    counts = np.bincount(column, minlength=n_source)
    return Runs(
        first=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        target=row[by_source].astype(np.int32),
        start=np.arange(n, dtype=np.int32) * LANES,
        length=np.full(n, LANES, np.int32),
        weights=table.ravel(),
        fan_out=np.stack([np.bincount(column[weights != 0], minlength=n_source), counts], axis=1).astype(np.int64),
    )


def _convolution(kind: Conv, source: Layout, target: Layout) -> Runs:
    """For each source neuron and kernel row: the taps that it reaches in one target row, side by side.

    Which taps these are depends on its column alone, so there is one table of weights for every distinct set of taps.
    """
    c_out, c_in, k_h, k_w = kind.weights.shape
    channels, height, width = source.shape
    _, out_height, out_width = target.shape
    per_group = c_out // kind.window.groups
    # (group, source channel, kernel row, kernel column, target channel)
    grouped = kind.weights.reshape(kind.window.groups, per_group, c_in, k_h, k_w).transpose(0, 2, 3, 4, 1)
    rows = [kind.window.taps(0, y, k_h, out_height) for y in range(height)]
    columns = [kind.window.taps(1, x, k_w, out_width) for x in range(width)]
    pieces = [_side_by_side(taps) for taps in columns]
    tables, weights = _tables(grouped.reshape(channels * k_h, k_w, per_group), pieces)
    table = _lines(rows, pieces, tables, out_width, per_group)
    counts = np.bincount(table[:, 0], minlength=height * width)

    channel = np.arange(channels)[:, None]
    neuron = channel * height * width + table[:, 0]
    place = (channel // c_in) * out_height * out_width * per_group + table[:, 2]
    start = table[:, 3] + (channel * k_h + table[:, 1]) * table[:, 4]
    length = np.broadcast_to(table[:, 4], start.shape)

    all_counts = np.tile(counts, channels)[source.order]
    by_place = np.argsort(source.places()[neuron.ravel()], kind="stable")
    return Runs(
        first=np.concatenate([[0], np.cumsum(all_counts)]).astype(np.int32),
        target=place.ravel()[by_place].astype(np.int32),
        start=start.ravel()[by_place].astype(np.int32),
        length=length.ravel()[by_place].astype(np.int32),
        weights=weights,
        fan_out=conv_fan_out(kind, source.shape)[source.order],
    )


Piece = list[tuple[int, int]]
"""(kernel column, target column) pairs whose targets lie side by side."""


def _tables(grouped: Ints, pieces: list[list[Piece]]) -> tuple[dict[tuple[int, ...], int], NDArray[np.int32]]:
    """Where the weights of each set of taps begin, and all of them; grouped (channel x kernel row, column, C_out)."""
    tables: dict[tuple[int, ...], int] = {}
    blocks: list[Ints] = []
    size = 0
    for piece in (piece for x in pieces for piece in x):
        taps = tuple(k for k, _ in piece)
        if taps not in tables:
            block = grouped[:, list(taps)].reshape(len(grouped), len(taps) * grouped.shape[2])
            # whole vectors, so that the loops add without a rest
            padded = np.zeros((len(grouped), _padded(block.shape[1])), np.int64)
            padded[:, : block.shape[1]] = block
            tables[taps] = size
            blocks.append(padded.ravel())
            size += padded.size
    return tables, np.concatenate(blocks).astype(np.int32) if blocks else np.zeros(LANES, np.int32)


def _lines(
    rows: list[Piece], pieces: list[list[Piece]], tables: dict[tuple[int, ...], int], out_width: int, per_group: int
) -> Ints:
    """One line per (row tap, column piece) of a source position, of one channel; the others follow by arithmetic.

    A line: y * width + x, kernel row, place at the target, table, length.
    """
    lines: list[tuple[int, int, int, int, int]] = []
    for y, row_taps in enumerate(rows):
        for k, out_y in row_taps:
            for x, x_pieces in enumerate(pieces):
                for piece in x_pieces:
                    taps = tuple(j for j, _ in piece)
                    place = (out_y * out_width + piece[0][1]) * per_group
                    lines.append((y * len(pieces) + x, k, place, tables[taps], _padded(len(taps) * per_group)))
    return np.array(sorted(lines), dtype=np.int64).reshape(-1, 5)


def _side_by_side(taps: Piece) -> list[Piece]:
    pieces: list[Piece] = []
    for tap in taps:
        if pieces and pieces[-1][-1][1] + 1 == tap[1]:
            pieces[-1].append(tap)
        else:
            pieces.append([tap])
    return pieces
