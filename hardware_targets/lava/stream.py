"""When samples pass through a network that runs as one stream of steps, and which values two runs must share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.compile.activity import Activity
from seamount.compile.program import Program, Relay, Wire, loops

Array = NDArray[Any]


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


def sample_windows(program: Program, n_steps: int) -> dict[str, tuple[int, int]]:
    """Population -> first step and number of steps, of ``n_steps``, in which it answers to a sample."""
    if program.n_steps is None:
        return {p.name: (0, n_steps) for p in program.populations}
    found = {}
    for name, start in program.arrivals().items():
        start = min(start, n_steps)
        found[name] = (start, min(program.n_steps, n_steps - start))
    return {p.name: found[p.name] for p in program.populations}


def reset_interval(program: Program) -> int | None:
    """The one interval with which all populations that have a state are reset, if there is one."""
    found = {
        p.reset.interval if p.reset is not None else None
        for p in program.populations
        if not isinstance(p.neuron, Relay)
    }
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


# ------------------------------------------------------------------------------------------------ comparing


@dataclass(frozen=True)
class Agreement:
    """What a comparison found.

    Attributes:
        n_compared, n_differing: values, of all traces and the readout.
        first: the first difference in words; None if there is none.
    """

    n_compared: int
    n_differing: int
    first: str | None = None

    @property
    def is_exact(self) -> bool:
        return self.n_differing == 0 and self.n_compared > 0


def compare_runs(a: Activity, b: Activity, program: Program, *, whole: bool = False) -> Agreement:
    """Compare all traces that both runs recorded, their readouts, and (``whole``) their final states and counts.

    Args:
        whole: every step; else of each population the steps in which it answers to the sample: outside of them a
            streamed run shows other samples.
    """
    windows = {p.name: (0, min(a.n_steps, b.n_steps)) for p in program.populations}
    if not whole:
        windows = sample_windows(program, min(a.n_steps, b.n_steps))
    found = [_compare_readout(a.readout, b.readout)]
    for quantity in ("spikes", "v", "u"):
        left: Mapping[str, Array] = getattr(a, quantity)
        right: Mapping[str, Array] = getattr(b, quantity)
        for name in windows:
            if name in left and name in right:
                start, length = windows[name]
                part = slice(start, start + length)
                found.append(_compare(f"{quantity} of {name}", left[name][part], right[name][part], start))
    if whole:
        for quantity in ("spike_counts", "final_v", "final_u"):
            left, right = getattr(a, quantity), getattr(b, quantity)
            found += [_compare(f"{quantity} of {n}", left[n], right[n], None) for n in left if n in right]
    first = next((f.first for f in found if f.first), None)
    return Agreement(sum(f.n_compared for f in found), sum(f.n_differing for f in found), first)


def _compare_readout(a: Array | None, b: Array | None) -> Agreement:
    return Agreement(0, 0) if a is None or b is None else _compare("readout", a, b, None)


def _compare(what: str, a: Array, b: Array, start: int | None) -> Agreement:
    if a.shape != b.shape:
        return Agreement(a.size, max(a.size, 1), f"{what}: shapes {a.shape} and {b.shape}")
    differing = np.asarray(a != b)
    n = int(np.count_nonzero(differing))
    if n == 0:
        return Agreement(a.size, 0)
    index = tuple(int(i) for i in np.argwhere(differing)[0])
    where = f"sample {index[0]}, neuron {index[1:]}"
    if start is not None:
        where = f"step {start + index[0]}, sample {index[1]}, neuron {index[2:]}"
    return Agreement(a.size, n, f"{what}: {int(a[index])} against {int(b[index])} at {where}")
