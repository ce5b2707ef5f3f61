"""Samples that follow each other without a pause: whether a program keeps them apart, and what of a run is whose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from seamount.errors import Unsupported

from ..synapses.fan_out import fan_out
from ..synapses.kinds import Wire
from .activity import Activity, Array, Events
from .program import Program, loops


def reset_interval(program: Program) -> int | None:
    """The one interval with which all populations that have a state are reset, if there is one."""
    found = {p.reset.interval if p.reset is not None else None for p in program.populations if p.neuron.states}
    return found.pop() if len(found) == 1 else None


def why_not_streamed(program: Program) -> str | None:
    """Why samples would touch each other if they followed back to back; None if they do not.

    They do not if every population forgets (u = v = 0) exactly when its first input of a sample arrives, and every
    path to it is equally long: then nothing that it hears in its window was sent before the sample began.
    """
    if program.n_steps is None:
        return "the program names no number of steps"
    interval = reset_interval(program)
    if interval is None:
        return "not all populations are reset, with one interval"
    if interval < program.n_steps:
        return f"the reset interval {interval} is shorter than a sample of {program.n_steps} steps"
    if loops(program):
        return f"{', '.join(loops(program)[0])} feed back into themselves, and feedback is never reset"
    arrivals = program.arrivals()
    for population in program.populations:
        reset = population.reset
        if reset is not None and (arrivals[population.name] + 1 - reset.offset) % interval:
            return (
                f"{population.name} is reset at offset {reset.offset} of {interval}, "
                f"its input arrives at step {arrivals[population.name]}"
            )
    for synapses in program.synapses:
        longest = 0 if isinstance(synapses.kind, Wire) else 1 + int(synapses.delay.max(initial=0))
        for latency in {synapses.latency, longest}:
            if arrivals[synapses.source] + latency != arrivals[synapses.target]:
                return f"{synapses.name} brings spikes at another step than the longest path into {synapses.target}"
    return None


def require_streamed(program: Program) -> int:
    """Steps from one sample to the next.

    Raises:
        Unsupported: samples would touch each other, or a pause would part them.
    """
    why = why_not_streamed(program)
    if why is None and reset_interval(program) != program.n_steps:
        why = f"it is reset every {reset_interval(program)} steps, a sample has {program.n_steps}"
    if why is not None:
        raise Unsupported(f"cannot be streamed: {why}", where=program.name, ways_out="run single samples")
    assert program.n_steps is not None, "why_not_streamed refuses others"
    return program.n_steps


def windows_of(program: Program, run: Activity) -> Activity:
    """What a run of single samples does while a sample passes: no filling, no draining; T steps from each arrival.

    Samples that are streamed cost just this, because nothing else happens then. Spikes and operations are counted
    step by step, so they are exact. Spikes per neuron, and with them the operations into populations of ``sent_from``
    None, are so where spikes were recorded; else every neuron has as large a share of its spikes in the window as its
    population has. Active updates have no steps: those of the whole run, at most all of the window.

    Args:
        run: at least ``program.steps_per_run()`` steps of a program that ``why_not_streamed`` admits.
    """
    assert program.n_steps is not None, "why_not_streamed admits no other"
    n_steps, arrivals = program.n_steps, program.arrivals()
    spans = {p.name: slice(arrivals[p.name], arrivals[p.name] + n_steps) for p in program.populations}

    def cut(traces: dict[str, Array]) -> dict[str, Array]:
        return {name: trace[spans[name]] for name, trace in traces.items()}

    spikes = cut(dict(run.spikes))
    events, counts = {}, {}
    starts = sent_from(program)
    for name, one in run.events.items():
        events[name] = _cut(one, spans[name], run.n_steps, starts[name])
        if name in spikes:
            counts[name] = np.count_nonzero(spikes[name], axis=0)
        else:
            share = int(events[name].n_spikes.sum()) / max(int(one.n_spikes.sum()), 1)
            counts[name] = run.spike_counts[name] * share
    for name, start in starts.items():
        if start is None:
            events[name] = _shared(events[name], run.events[name], _outside(program, run, counts, name))
    return replace(
        run,
        n_steps=n_steps,
        spikes=spikes,
        states={state: cut(dict(traces)) for state, traces in run.states.items()},
        drive=cut(dict(run.drive)),
        spike_counts=counts,
        events=events,
        final_states={},
    )


def sent_from(program: Program) -> dict[str, int | None]:
    """Population -> the step at which what reaches it of a sample is first sent; None if its sources differ in it.

    Operations are counted in the steps in which their sources send.
    """
    arrivals = program.arrivals()
    found: dict[str, int | None] = {}
    for population in program.populations:
        starts = {arrivals[s.source] for s in program.into(population.name) if not isinstance(s.kind, Wire)}
        found[population.name] = None if len(starts) > 1 else next(iter(starts), 0)
    return found


def _outside(program: Program, run: Activity, own: Mapping[str, Array], name: str) -> Array:
    """Operations into a population that its sources' spikes outside of their windows cause, (2,) as ``fan_out``.

    Inputs send in their window alone.

    Args:
        own: spikes per neuron in the windows.
    """
    found = np.zeros(2)
    for s in program.into(name):
        if s.source in run.events:
            spikes = np.mean(run.spike_counts[s.source], axis=0) - np.mean(own[s.source], axis=0)
            found += run.n_samples * (spikes.ravel() @ fan_out(s.kind, program.shape(s.source)))
    return found


def _shared(events: Events, whole: Events, outside: Array) -> Events:
    """With the operations of the whole run but for those outside of the window, spread evenly over its steps."""
    n_steps = len(events.n_spikes)

    def spread(operations: Array, without: float) -> Array:
        return np.full(n_steps, (operations.sum() - without) / n_steps)

    return replace(
        events,
        sops=spread(whole.sops, outside[0]),
        sops_with_zeros=spread(whole.sops_with_zeros, outside[1]),
    )


def _cut(events: Events, span: slice, n_steps: int, start: int | None) -> Events:
    """``start``: step at which the operations begin, if there is one."""
    length = span.stop - span.start
    updates, sent = events.n_updates // n_steps * length, start or 0
    return replace(
        events,
        n_spikes=events.n_spikes[span],
        n_updates=updates,
        n_active_updates=min(events.n_active_updates, updates),
        sops=events.sops[sent : sent + length],
        sops_with_zeros=events.sops_with_zeros[sent : sent + length],
    )
