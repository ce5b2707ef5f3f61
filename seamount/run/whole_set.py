"""Runs a program on more samples than traces have room for: counts and answers of all, batch by batch.

Batches are shared over the processes that torchrun started; the first one has the results of all, the same as alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.compile.program.activity import Activity, all_events
from seamount.compile.program.program import Program
from seamount.compile.program.readout import classes, readout_so_far
from seamount.distill.parallel import ALONE, World
from seamount.distill.progress import Progress
from seamount.hardware_targets.simulator import simulate
from seamount.report.evidence import window

Array = NDArray[Any]
Inputs = Array | Mapping[str, Array]


@dataclass(frozen=True)
class WholeRun:
    """What a program did with a whole set of samples, or with a batch of it.

    Attributes:
        counts: the run without its traces; its ``spike_counts`` are one row, the mean over all samples, because a row
            a sample would be gigabytes.
        per_step: class if read after step 1 .. T, (T, n); the last row is the answer. None without a readout.
        margins: by how much the largest value read leads the second after each step, (T, n).
        read: what is read after each step, (T, n, K); None where it was not asked for.
    """

    counts: Activity
    per_step: Array | None
    margins: Array | None
    read: Array | None = None


def run_all(
    program: Program,
    batches: Sequence[Callable[[], Inputs]],
    n_samples: int,
    *,
    device: str = "cpu",
    keep_read: bool = False,
    progress: Progress,
    world: World = ALONE,
) -> WholeRun | None:
    """Counts always, answers after each step where the program is read; None in all processes but the first.

    Args:
        batches: each gives what enters the chip, integers (T, B, *shape); ``n_samples`` in all.
        keep_read: fill ``WholeRun.read``.
    """
    progress.begin("simulate all samples", n_samples)
    mine = []
    for k in range(world.rank, len(batches), world.size):
        mine.append(_run(program, batches[k](), device, keep_read))
        # the others are as far
        progress.advance(mine[-1].counts.n_samples * min(world.size, len(batches) - k))
    progress.end()
    shares = world.gathered(mine)
    if shares is None:
        return None
    parts = [shares[k % world.size][k // world.size] for k in range(len(batches))]
    columns = ([part.per_step for part in parts], [part.margins for part in parts], [part.read for part in parts])
    return WholeRun(_joined([part.counts for part in parts]), *map(_side_by_side, columns))


def _side_by_side(parts: Sequence[Array | None]) -> Array | None:
    found = [part for part in parts if part is not None]
    return np.concatenate(found, axis=1) if found else None


def _run(program: Program, inputs: Inputs, device: str, keep_read: bool) -> WholeRun:
    read = () if program.readout is None else (program.readout.population,)
    run = simulate(program, inputs, record=("v", "spikes"), populations=read, device=device)
    totals = {name: counts.sum(axis=0, keepdims=True, dtype=np.int64) for name, counts in run.spike_counts.items()}
    counts = Activity(run.n_steps, run.n_samples, readout=run.readout, spike_counts=totals, events=run.events)
    if program.readout is None:
        return WholeRun(counts, None, None)
    read_then = _read_per_step(program, run)
    answered = classes(read_then)
    assert (run.predictions() == answered[-1]).all(), "the answer is what is read after the last step"
    return WholeRun(counts, answered, _leads(read_then), read_then if keep_read else None)


def _leads(read: Array) -> Array:
    """(..., K) -> (...): the largest less the second; 0 of a single value."""
    if read.shape[-1] < 2:
        return np.zeros(read.shape[:-1], np.int64)
    two = np.partition(read.astype(np.int64), -2, axis=-1)
    found: Array = two[..., -1] - two[..., -2]
    return found


def _read_per_step(program: Program, run: Activity) -> Array:
    """What is read after each step, (T, n, K)."""
    assert program.readout is not None, "asked only of a program that is read"
    name = program.readout.population
    # what has no v is read by what it sends
    spikes, v = (window(program, run, name, trace[name]) for trace in (run.spikes, {**run.spikes, **run.v}))
    read = readout_so_far(program.readout.quantity, spikes, v)
    found: Array = read.reshape(len(read), run.n_samples, -1)
    return found


def _joined(parts: Sequence[Activity]) -> Activity:
    """Runs of consecutive samples as one; of each ``spike_counts`` has the total, of the whole it gets the mean."""
    readouts = [part.readout for part in parts if part.readout is not None]
    n_samples = sum(part.n_samples for part in parts)
    return Activity(
        n_steps=parts[0].n_steps,
        n_samples=n_samples,
        readout=np.concatenate(readouts) if readouts else None,
        spike_counts={
            name: np.sum([part.spike_counts[name] for part in parts], axis=0) / n_samples for name in parts[0].events
        },
        events=all_events(parts),
    )
