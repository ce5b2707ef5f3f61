"""When samples pass through a network that runs as one stream of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from seamount.compile.program.program import Program, loops
from seamount.compile.synapses.kinds import Wire

from ..agreement import sample_windows


@dataclass(frozen=True)
class Schedule:
    """How samples follow each other along one run.

    Attributes:
        n_steps: steps of one sample's trace.
        period: steps from the start of a sample to that of the next.
        restart: every process puts its state back to the initial one at the start of a sample.
        windows: population -> first step (relative to its sample) and number of steps in which it shows the sample.
    """

    n_steps: int
    period: int
    restart: bool
    windows: Mapping[str, tuple[int, int]]


def fresh_schedule(program: Program, n_steps: int) -> Schedule:
    """Each sample from the initial state."""
    return Schedule(n_steps, n_steps, True, {p.name: (0, n_steps) for p in program.populations})


def streamed_schedule(program: Program, n_steps: int) -> Schedule:
    """Samples back to back; the program's own resets separate them. Only for programs that can be streamed."""
    period = reset_interval(program)
    assert period is not None, "why_not_streamed admits no other"
    return Schedule(n_steps, period, False, sample_windows(program, n_steps))


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
