"""The proof on every run: two computations of the same samples, value by value, over the steps that are theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Program
from seamount.errors import plural

Array = NDArray[Any]
Traces = Mapping[str, Array]


@dataclass(frozen=True)
class Agreement:
    """How far two computations of the same samples agree, value by value.

    Attributes:
        a, b: what was compared.
        membrane_compared, membrane_differing: values of v, and of the states of neurons that have none.
        others_compared, others_differing: values of u, readouts, answers; in whole runs counts and final states.
        first_difference: in words; None if there is none.
    """

    a: str
    b: str
    n_samples: int
    spikes_compared: int
    spikes_differing: int
    membrane_compared: int
    membrane_differing: int
    others_compared: int = 0
    others_differing: int = 0
    first_difference: str | None = None

    @property
    def n_compared(self) -> int:
        return self.spikes_compared + self.membrane_compared + self.others_compared

    @property
    def n_differing(self) -> int:
        return self.spikes_differing + self.membrane_differing + self.others_differing

    @property
    def equal(self) -> bool:
        """Nothing differs; also true where nothing was compared."""
        return self.n_differing == 0 and self.first_difference is None

    @property
    def exact(self) -> bool:
        """Nothing differs, and spikes were compared: two silent recordings prove nothing."""
        return self.equal and self.spikes_compared > 0

    def __str__(self) -> str:
        verdict = "bit-exact" if self.exact else "NOT bit-exact"
        text = (
            f"{verdict}: {self.a} = {self.b}, {self.n_samples} {plural(self.n_samples, 'sample')}, "
            f"{self.spikes_differing:,} of {self.spikes_compared:,} spikes and "
            f"{self.membrane_differing:,} of {self.membrane_compared:,} membrane values differ"
        )
        if self.others_differing:
            text += f", {self.others_differing:,} of {self.others_compared:,} other values"
        return text if self.first_difference is None else f"{text}\nfirst difference: {self.first_difference}"


def compare_runs(
    program: Program, a: tuple[str, Activity], b: tuple[str, Activity], *, whole: bool = False
) -> Agreement:
    """Compare all that either of two runs of one program recorded: spikes, states, and their readouts.

    Args:
        whole: every step, spike counts and final states; else of each population the steps in which it answers to the
            sample: outside of them a streamed run shows other samples.
    """
    n_steps = min(run.n_steps for _, run in (a, b))
    windows = {p.name: (0, n_steps) for p in program.populations} if whole else sample_windows(program, n_steps)

    def values_of(run: Activity) -> dict[str, Traces]:
        traces = run.traces()
        values: dict[str, Traces] = {q: windowed(windows, found) for q, found in traces.items() if q != "drive"}
        if program.readout is not None:
            values["readout"] = {} if run.readout is None else {program.readout.population: run.readout}
        if whole:
            values |= {"spike_counts": run.spike_counts}
            values |= {f"final_{state}": found for state, found in run.final_states.items()}
        return values

    (what_a, run_a), (what_b, run_b) = a, b
    return _compare((what_a, values_of(run_a)), (what_b, values_of(run_b)), [p.name for p in program.populations])


def compare_traces(a: tuple[str, Traces, Traces], b: tuple[str, Traces, Traces], order: list[str]) -> Agreement:
    """Compare two computations, each (what, spikes, v) with arrays (T, B, *shape) per population."""
    left, right = ((what, {"spikes": spikes, "v": v}) for what, spikes, v in (a, b))
    return _compare(left, right, order)


def compare_student(program: Program, spikes: Traces, v: Traces, activity: Activity) -> Agreement:
    """The quantised student's own integers, (T, B, *shape), against a run of its program.

    Populations that only the program has (relays) carry copies of others and are left out.
    """
    windows = sample_windows(program, activity.n_steps)
    names = [p.name for p in program.populations if p.name in v or p.name in spikes]
    run_spikes, run_v = windowed(windows, activity.spikes), windowed(windows, activity.v)
    deployed = (
        "simulator",
        {name: x for name, x in run_spikes.items() if name in spikes},
        {name: x for name, x in run_v.items() if name in v},
    )
    return compare_traces(("quantised student", spikes, v), deployed, names)


def sample_windows(program: Program, n_steps: int) -> dict[str, tuple[int, int]]:
    """Population -> first step and number of steps, of ``n_steps``, in which it answers to a sample."""
    if program.n_steps is None:
        return {p.name: (0, n_steps) for p in program.populations}
    found = {}
    for name, start in program.arrivals().items():
        start = min(start, n_steps)
        found[name] = (start, min(program.n_steps, n_steps - start))
    return {p.name: found[p.name] for p in program.populations}


def windowed(windows: Mapping[str, tuple[int, int]], traces: Traces) -> dict[str, Array]:
    return {name: x[windows[name][0] : sum(windows[name])] for name, x in traces.items()}


Values = Mapping[str, Traces]
"""Quantity -> population -> array: (T, B, *shape) of a trace, (B, *shape) of what a run leaves behind."""


def _compare(a: tuple[str, Values], b: tuple[str, Values], order: list[str]) -> Agreement:
    """A population that only one side has is a difference: nothing is passed over in silence."""
    (what_a, left), (what_b, right) = a, b
    compared, differing = ({"spikes": 0, "v": 0, "others": 0} for _ in range(2))
    firsts: list[tuple[float, str]] = []
    for quantity in {**left, **right}:
        kind = _kind(quantity)
        ours, theirs = left.get(quantity, {}), right.get(quantity, {})
        for name in [n for n in order if n in ours or n in theirs]:
            size, n_unequal, first = _judged(quantity, name, ours.get(name), theirs.get(name))
            compared[kind] += size
            differing[kind] += n_unequal
            firsts += [] if first is None else [first]
    n_samples = next((x.shape[1] for q in ("spikes", "v") for x in left.get(q, {}).values()), 0)
    return Agreement(
        a=what_a,
        b=what_b,
        n_samples=n_samples,
        spikes_compared=compared["spikes"],
        spikes_differing=differing["spikes"],
        membrane_compared=compared["v"],
        membrane_differing=differing["v"],
        others_compared=compared["others"],
        others_differing=differing["others"],
        first_difference=min(firsts)[1] if firsts else None,
    )


def _kind(quantity: str) -> Literal["spikes", "v", "others"]:
    """As what it is counted: every state but u is a membrane."""
    if quantity == "spikes":
        return "spikes"
    return "others" if quantity == "u" or _has_no_steps(quantity) else "v"


def _has_no_steps(quantity: str) -> bool:
    return quantity in ("spike_counts", "readout") or quantity.startswith("final_")


def _judged(quantity: str, name: str, x: Array | None, y: Array | None) -> tuple[int, int, tuple[float, str] | None]:
    """(values compared, values that differ, the first of them after its step)."""
    if x is None or y is None or x.shape != y.shape:
        size = max(int(z.size) for z in (x, y) if z is not None)
        shapes = " and ".join("nothing" if z is None else str(z.shape) for z in (x, y))
        return size, size, (0, f"{quantity} of {name}: {shapes}")
    unequal = np.asarray(x != y)
    n_unequal = int(np.count_nonzero(unequal))
    return int(x.size), n_unequal, _first(quantity, name, x, y, unequal) if n_unequal else None


def _first(quantity: str, name: str, x: Array, y: Array, unequal: Array) -> tuple[float, str]:
    """The first difference in words, after its step; what has no steps comes last."""
    at = tuple(int(i) for i in np.argwhere(unequal)[0])
    values = f"{int(x[at])} against {int(y[at])}"
    if _has_no_steps(quantity):
        return inf, f"{quantity} of {name}, sample {at[0]}, neuron {at[1:]}: {values}"
    return at[0], f"{quantity} of {name}, step {at[0]}, sample {at[1]}, neuron {at[2:]}: {values}"
