"""Drives by matrix products and convolutions, and the operations that they count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from seamount.compile.arithmetic.kernels import count_operations
from seamount.compile.arithmetic.synapses import FLOAT32_EXACT, Lowered, drive

from .plan import EventPart, SumPart
from .running import Running
from .sources import Source, from_plain

MOSTLY = 0.8
"""Share of rows in which something is sent from which on picking them out costs more than it saves."""


class Summed(NamedTuple):
    """Whole numbers of any type, and what none of them exceeds in magnitude."""

    values: torch.Tensor
    bound: int


def summed(run: Running, parts: Sequence[SumPart], sources: Mapping[str, Source], first: int, last: int) -> Summed:
    """Drive of all summed parts, (steps, B, n) in the population's layout."""
    total: torch.Tensor | None = None
    bound = 0
    for part in parts:
        source = sources[part.source]
        row = source.history + first - part.lag
        found, n_wraps = _drive_of_rows(part.lowered, source, row, row + last - first)
        run.n_drive_wraps += n_wraps
        bound += found.bound
        if bound < FLOAT32_EXACT:
            total = found.values if total is None else total + found.values
        else:  # drives are within 32 bits, so that float64 holds the sum of two million groups
            more = found.values.to(torch.float64)
            total = more if total is None else total.to(torch.float64) + more
    assert total is not None
    return Summed(from_plain(total, run.plan.layout).reshape(last - first, run.batch, -1), bound)


def _drive_of_rows(lowered: Lowered, source: Source, first: int, last: int) -> tuple[Summed, int]:
    every_row = source.rows(first, last)
    fitting = lowered.fitting(every_row)
    row_ids = np.arange(last - first) if source.row_ids is None else source.row_ids[first:last]
    ids, inverse, repeats = np.unique(row_ids, return_inverse=True, return_counts=True)
    if len(ids) == last - first:
        values, n_wraps = _drive_where_sent(fitting, every_row)
        return Summed(values, fitting.largest_drive), n_wraps
    rows = first + np.searchsorted(row_ids, ids)
    each = [drive(fitting, source.rows(int(row), int(row) + 1)) for row in rows]
    stacked = torch.stack([values for values, _ in each])
    n_wraps = sum(n * int(times) for (_, n), times in zip(each, repeats, strict=True))
    values = stacked[torch.from_numpy(inverse).to(stacked.device)].flatten(0, 1)
    return Summed(values, fitting.largest_drive), n_wraps


def _drive_where_sent(part: Lowered, rows: torch.Tensor) -> tuple[torch.Tensor, int]:
    """As ``drive``; rows in which nothing is sent are left out where they are many, because they cause nothing."""
    sent = (rows.reshape(len(rows), -1) != 0).any(dim=1)
    sent[0] = True  # so that there is a row that says shape and type
    if int(sent.sum()) > MOSTLY * len(rows):
        return drive(part, rows)
    some, n_wraps = drive(part, rows[sent])
    values = some.new_zeros((len(rows), *some.shape[1:]))
    values[sent] = some
    return values, n_wraps


def count_sums(run: Running, sources: Mapping[str, Source], start: int, n_steps: int) -> None:
    """Synaptic operations of the summed groups, in the steps in which their sources sent."""
    for name, fans in run.plan.counts:
        source = sources[name]
        size = max(1, run.sum_values // (run.batch * source.layout.size))
        for k in range(0, n_steps, size):
            end = min(k + size, n_steps)
            rows = source.rows(source.history + k, source.history + end)
            per_source = (rows.reshape(end - k, run.batch, -1) != 0).sum(dim=1).to(torch.float64)
            run.operations[start + k : start + end] += (per_source @ fans).cpu().numpy().astype(np.int64)


def count_rest(run: Running, sources: Mapping[str, Source], n_steps: int, chunk: int) -> None:
    """Operations of the last spikes, which reach this population after the end of the run."""
    for part in run.plan.events:
        if part.counted.any():
            source = sources[part.source]
            late = min(part.lag, n_steps)
            rows = (0, run.batch, late, source.history + chunk - late, n_steps - late)
            count_operations(rows, source.spikes.numpy(), part.counted, run.operations)


def fires_often(run: Running, part: EventPart, source: Source, first: int, last: int) -> bool:
    """Looks at eight or a few more of the steps, and of the samples.

    By numpy: torch's threads wait for each other, which takes longer than the sum on a busy machine.
    """
    rows = source.spikes.numpy()[source.history + first - part.lag : source.history + last - part.lag]
    looked_at = rows[:: max(1, len(rows) // 8), :: max(1, run.batch // 8), : source.layout.size]
    return bool(np.count_nonzero(looked_at) > part.busy * looked_at.size)
