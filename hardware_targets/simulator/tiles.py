"""A population on CPU, tile by tile: its events are scattered, and its steps scanned, while both are in the cache."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from threading import local
from typing import Any, assert_never

import numpy as np
import torch
from numpy.typing import NDArray

from seamount.compile.arithmetic.events import Lines, Rows, aligned
from seamount.compile.arithmetic.kernels import add_rows, scatter
from seamount.compile.arithmetic.neurons import DRIVE_LIMIT
from seamount.compile.arithmetic.scan import Arrays, Part, reset_steps, scan_part

from .plan import EventPart
from .products import Summed
from .running import Running, Span
from .sources import Source

TILE_BYTES = 1 << 20
"""Of the drives that are computed before they are scanned: what stays in a core's second cache."""


def advance_tiles(
    run: Running,
    sources: Mapping[str, Source],
    out: Source,
    span: Span,
    summed: Summed | None,
    scattered: Sequence[EventPart],
) -> None:
    """Scatter into tiles and scan each while it is in the cache: steps ``span``, all samples."""
    plan, table = run.plan, run.plan.table
    assert table is not None, "what has no table is stepped whole"
    start, first, last = span
    n = plan.layout.size
    fast, turns = table.fits_32_bits and plan.drive_bound <= DRIVE_LIMIT, plan.drive_bound > table.turn_free
    no_trace = np.zeros((0, 0, 0), np.int32)
    traces = tuple(run.traces[x].numpy() if x in run.traces else no_trace for x in ("v", "u"))
    arrays = Arrays(
        run.u.numpy(), run.v.numpy(), run.rest.numpy(), out.spikes.numpy(), run.spike_counts.numpy(),
        (*traces, no_trace),
    )  # fmt: skip
    reset = np.zeros(last - first, np.bool_)
    reset[list(reset_steps(plan.population.reset, last - first, start + first))] = True
    dtype = np.dtype(np.int16 if plan.narrow else np.int32)
    at_once = TILE_BYTES // dtype.itemsize
    steps = max(1, min(last - first, at_once // n))
    samples = max(1, at_once // (n * steps))
    for low in range(0, run.batch, samples):
        high = min(low + samples, run.batch)
        tile = _buffer("drive", (steps, high - low, plan.width), dtype)
        for k in range(first, last, steps):
            end = min(k + steps, last)
            tile[:] = 0
            if summed is not None:
                _add_summed(tile, summed.values, k - first, end - first, low, high, n)
            for part in scattered:
                scatter_part(run, part, sources[part.source], tile, (low, high, k, end), start)
            if run.drives is not None:
                run.drives.numpy()[k:end, low:high] = tile[: end - k, :, :n]
            at = Part(low, high, end - k, 0, low, out.history + k, k)
            values = tile if fast else tile.astype(np.int64)
            clear = reset[k - first : end - first]
            per_step, found = scan_part(at, values, arrays, table, clear, fast=fast, turns=turns)
            run.n_spikes[start + k : start + end] += per_step
            run.totals += found


def scatter_part(
    run: Running,
    part: EventPart,
    source: Source,
    tile: NDArray[Any],
    at: tuple[int, int, int, int],
    start: int,
) -> None:
    """Add what a part's spikes make to a tile of samples low .. high and steps k .. end, (steps, samples, >= n)."""
    low, high, k, end = at
    target = tile if part.down == 0 else _buffer("shifted", tile.shape, np.dtype(np.int32))
    if part.down:
        target[:] = 0
    operations = np.zeros((end - k, 2), np.int64)
    where = (low, high, end - k, source.history + k - part.lag, 0)
    spikes = source.spikes.numpy()
    match part.held:
        case Rows(weights=weights, shift=shift):
            add_rows(where, spikes, target, weights, shift, part.counted, operations)
        case Lines(first=first, lines=lines, weights=weights):
            scatter(where, spikes, target, first, lines, weights, operations)
        case _:
            assert_never(part.held)
    if part.down:
        np.add(tile, target >> part.down, out=tile, casting="unsafe")
    sent = start + k - part.lag  # the first step in which these spikes fired; before the run there are none
    if sent < 0:
        operations, sent = operations[-sent:], 0
    run.operations[sent : sent + len(operations)] += operations


_buffers = local()


def _buffer(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """A thread's own buffer, kept between tiles: memory that is new costs a page fault for every 4 KiB."""
    size = math.prod(shape) * dtype.itemsize
    held: NDArray[Any] | None = getattr(_buffers, name, None)
    if held is None or held.size < size:
        held = aligned((size,), np.uint8)
        setattr(_buffers, name, held)
    return held[:size].view(dtype).reshape(shape)


def _add_summed(tile: NDArray[Any], summed: torch.Tensor, first: int, last: int, low: int, high: int, n: int) -> None:
    tile[: last - first, :, :n] = summed.numpy()[first:last, low:high]
