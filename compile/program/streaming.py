"""Samples that follow each other without a pause: whether a program keeps them apart, and what of a run is whose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from seamount.errors import Unsupported

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
    step by step, so they are exact (operations but for populations of ``sent_from`` None: shared out as the spikes of
    their sources); spikes per neuron too where spikes were recorded, else they are shared out as in the whole run.
    Active updates have no steps: those of the whole run, at most all of the window.

    Args:
        run: at least ``program.steps_per_run()`` steps of a program that ``why_not_streamed`` admits.
    """
    assert program.n_steps is not None, "why_not_streamed admits no other"
    n_steps, arrivals = program.n_steps, program.arrivals()
    spans = {p.name: slice(arrivals[p.name], arrivals[p.name] + n_steps) for p in program.populations}

    def cut(traces: dict[str, Array]) -> dict[str, Array]:
        return {name: trace[spans[name]] for name, trace in traces.items()}

    starts = sent_from(program)
    events = {}
    for name, one in run.events.items():
        share = _share_of_window(program, run, name, n_steps) if starts[name] is None else None
        events[name] = _cut(one, spans[name], run.n_steps, starts[name] or 0, share)
    spikes = cut(dict(run.spikes))
    counts = {}
    for name, total in run.spike_counts.items():
        if name in spikes:
            counts[name] = np.count_nonzero(spikes[name], axis=0)
        else:
            whole = int(run.events[name].n_spikes.sum())
            counts[name] = total * (int(events[name].n_spikes.sum()) / whole if whole else 0.0)
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


def _share_of_window(program: Program, run: Activity, name: str, n_steps: int) -> float:
    """Of the operations into a population, by its sources' spikes; inputs send in their window alone."""
    arrivals, own, whole = program.arrivals(), 0, 0
    for source in {s.source for s in program.into(name)} & set(run.events):
        sent = run.events[source].n_spikes
        own += int(sent[arrivals[source] : arrivals[source] + n_steps].sum())
        whole += int(sent.sum())
    return own / whole if whole else 1.0


def _cut(events: Events, span: slice, n_steps: int, start: int, share: float | None) -> Events:
    """
    Args:
        start: step at which the operations begin.
        share: of all operations that is the window's; None: they are cut out.
    """
    length = span.stop - span.start
    updates = events.n_updates // n_steps * length

    def cut(operations: Array) -> Array:
        if share is None:
            return operations[start : start + length]
        return np.full(length, operations.sum() * share / length)

    return replace(
        events,
        n_spikes=events.n_spikes[span],
        n_updates=updates,
        n_active_updates=min(events.n_active_updates, updates),
        sops=cut(events.sops),
        sops_with_zeros=cut(events.sops_with_zeros),
    )
