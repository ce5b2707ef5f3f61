"""A stream of samples: they enter every T steps, so that the pipeline stays full."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from seamount.compile.arithmetic.inputs import check_inputs, n_samples
from seamount.compile.program.activity import EVERY_STATE, Activity, Array, Events
from seamount.compile.program.program import Program
from seamount.compile.program.readout import read_on
from seamount.compile.program.streaming import require_streamed, sent_from

from .simulate import simulate


def simulate_stream(
    program: Program,
    inputs: Any,
    *,
    record: Collection[str] = (),
    populations: Collection[str] | None = None,
    device: str = "cpu",
    memory_limit_bytes: int | None = None,
) -> Activity:
    """All samples as one stream, each handed back as its own: T steps of every population, from its arrival on.

    Args:
        inputs: as for ``simulate``; silence fills samples of fewer than T steps up.

    Returns:
        Traces (T, B, *shape) and readouts as of single samples, which they equal in their windows; events of the
        windows, so that B inferences share all of them. Active updates, what left its range and, where spikes are not
        recorded, spikes per neuron are of the whole stream, its filling and draining included.

    Raises:
        Unsupported: samples would touch each other.
    """
    n_steps = require_streamed(program)
    given = check_inputs(program, inputs, n_steps)
    batch = n_samples(given)
    arrivals, starts = program.arrivals(), sent_from(program)
    total = batch * n_steps + max(arrivals.values())
    stream = {name: _in_a_row(values, n_steps) for name, values in given.items()}
    # the answer is read of traces, because a run reads one sample's alone
    read_of = set() if program.readout is None else {program.readout.population}
    wanted = read_of | ({p.name for p in program.populations} if populations is None else set(populations))
    kinds = set(record) | ({"spikes", "v"} if read_of else set())
    run = simulate(
        program,
        stream,
        n_steps=total,
        record=kinds,
        populations=wanted if record else read_of,
        device=device,
        memory_limit_bytes=memory_limit_bytes,
    )

    def samples_of(traces: Any, kind: str) -> dict[str, Array]:
        asked = kind in record or (EVERY_STATE in record and kind in run.states)
        return {
            name: _apart(trace, arrivals[name], n_steps, batch)
            for name, trace in traces.items()
            if asked and (populations is None or name in populations)
        }

    def counts_of(name: str) -> Array:
        if name in spikes:
            own: Array = np.count_nonzero(spikes[name], axis=0)
            return own
        shared = run.spike_counts[name] / batch
        return np.broadcast_to(shared, (batch, *shared.shape[1:]))

    spikes = samples_of(run.spikes, "spikes")
    return replace(
        run,
        n_steps=n_steps,
        n_samples=batch,
        spikes=spikes,
        states={state: samples_of(traces, state) for state, traces in run.states.items()},
        drive=samples_of(run.drive, "drive"),
        readout=_read(program, run, n_steps, batch),
        spike_counts={name: counts_of(name) for name in run.spike_counts},
        events={name: _folded(one, arrivals[name], starts[name], n_steps, batch) for name, one in run.events.items()},
        final_states={},
    )


def _in_a_row(values: Array, n_steps: int) -> Array:
    """(t, B, *shape) of samples -> (B * T, 1, *shape) of the stream."""
    padded = np.zeros((n_steps, *values.shape[1:]), values.dtype)
    padded[: len(values)] = values
    return padded.swapaxes(0, 1).reshape(-1, 1, *values.shape[2:])


def _apart(trace: Array, arrival: int, n_steps: int, batch: int) -> Array:
    """(total, 1, *shape) of the stream -> (T, B, *shape) of its samples, in the windows of a population."""
    own = trace[arrival : arrival + batch * n_steps, 0]
    return own.reshape(batch, n_steps, *own.shape[1:]).swapaxes(0, 1)


def _read(program: Program, run: Activity, n_steps: int, batch: int) -> Array | None:
    if program.readout is None:
        return None
    name, quantity = program.readout.population, program.readout.quantity
    traces = run.spikes if quantity == "count" or name not in run.v else run.v
    return read_on(quantity, None, _apart(traces[name], program.arrivals()[name], n_steps, batch))


def _folded(events: Events, arrival: int, start: int | None, n_steps: int, batch: int) -> Events:
    """Counts of all samples' windows, by the step in the sample.

    Args:
        start: as ``sent_from`` has it; where sources differ in it, the last samples' operations are a few steps off.
    """

    def fold(counts: Array, first: int) -> Array:
        found: Array = counts[first : first + batch * n_steps].reshape(batch, n_steps).sum(axis=0)
        return found

    sent = arrival - 1 if start is None else start

    updates = events.n_updates // len(events.n_spikes) * n_steps * batch
    return replace(
        events,
        n_spikes=fold(events.n_spikes, arrival),
        n_updates=updates,
        n_active_updates=min(events.n_active_updates, updates),
        sops=fold(events.sops, sent),
        sops_with_zeros=fold(events.sops_with_zeros, sent),
    )
