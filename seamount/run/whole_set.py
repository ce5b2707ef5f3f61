"""Runs a program on more samples than traces have room for: counts and answers of all, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.compile.program.activity import Activity, Events
from seamount.compile.program.program import Program
from seamount.compile.program.readout import classes, readout_so_far
from seamount.distill.progress import Progress
from seamount.hardware_targets.simulator import simulate
from seamount.report.evidence import window

Array = NDArray[Any]
Inputs = Array | Mapping[str, Array]


@dataclass(frozen=True)
class WholeRun:
    """What a program did with a whole set of samples.

    Attributes:
        counts: the run without its traces.
        per_step: class if read after step 1 .. T, (T, n); the last row is the answer. None without a readout.
        margins: by how much the largest value read leads the second after each step, (T, n).
    """

    counts: Activity
    per_step: Array | None
    margins: Array | None


def run_all(
    program: Program, batches: Iterable[Inputs], n_samples: int, *, device: str = "cpu", progress: Progress
) -> WholeRun:
    """Counts always, answers after each step where the program is read.

    Args:
        batches: what enters the chip, integers (T, B, *shape) each; ``n_samples`` in all.
    """
    read = () if program.readout is None else (program.readout.population,)
    parts: list[Activity] = []
    per_step: list[Array] = []
    margins: list[Array] = []
    progress.begin("simulate all samples", n_samples)
    for inputs in batches:
        part = simulate(program, inputs, record=("v", "spikes"), populations=read, device=device)
        if program.readout is not None:
            read_then = _read_per_step(program, part)
            answered = classes(read_then)
            assert (part.predictions() == answered[-1]).all(), "the answer is what is read after the last step"
            per_step.append(answered)
            margins.append(_leads(read_then))
        parts.append(part)
        progress.advance(part.n_samples)
    progress.end()
    both = (np.concatenate(found, axis=1) if found else None for found in (per_step, margins))
    return WholeRun(joined(parts), *both)


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


def joined(parts: Sequence[Activity]) -> Activity:
    """Runs of consecutive samples as one, counts only."""
    names = list(parts[0].events)
    counts = [field.name for field in fields(Events)]
    events = {
        name: Events(**{count: sum(getattr(part.events[name], count) for part in parts) for count in counts})
        for name in names
    }
    readouts = [part.readout for part in parts if part.readout is not None]
    return Activity(
        n_steps=parts[0].n_steps,
        n_samples=sum(part.n_samples for part in parts),
        readout=np.concatenate(readouts) if readouts else None,
        spike_counts={name: np.concatenate([part.spike_counts[name] for part in parts]) for name in names},
        events=events,
    )
