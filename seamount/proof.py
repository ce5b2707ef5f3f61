"""The proof on every run: two computations of the same samples, value by value, over the steps that are theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.compile.activity import Activity
from seamount.compile.program import Program
from seamount.errors import plural

Array = NDArray[Any]


@dataclass(frozen=True)
class Agreement:
    """How far two computations agree.

    Attributes:
        a, b: what was compared.
        first: the first difference in words; None if there is none.
    """

    a: str
    b: str
    n_samples: int
    spikes_compared: int
    spikes_differing: int
    membranes_compared: int
    membranes_differing: int
    first: str | None = None

    @property
    def exact(self) -> bool:
        return self.spikes_compared > 0 and self.spikes_differing == self.membranes_differing == 0

    def __str__(self) -> str:
        verdict = "bit-exact" if self.exact else "NOT bit-exact"
        text = (
            f"{verdict}: {self.a} = {self.b}, {self.n_samples} {plural(self.n_samples, 'sample')}, "
            f"{self.spikes_differing:,} of {self.spikes_compared:,} spikes and "
            f"{self.membranes_differing:,} of {self.membranes_compared:,} membrane values differ"
        )
        return text if self.first is None else f"{text}\nfirst difference: {self.first}"


Traces = Mapping[str, Array]


def compare(a: tuple[str, Traces, Traces], b: tuple[str, Traces, Traces], order: list[str]) -> Agreement:
    """Compare two computations, each (what, spikes, v) with arrays (T, B, *shape) per population.

    A population that only one side has is a difference: nothing is passed over in silence.
    """
    (what_a, spikes_a, v_a), (what_b, spikes_b, v_b) = a, b
    firsts: list[tuple[int, str]] = []
    counts = {}
    for quantity, left, right in (("spikes", spikes_a, spikes_b), ("v", v_a, v_b)):
        compared = differing = 0
        for name in [n for n in order if n in left or n in right]:
            x, y = left.get(name), right.get(name)
            if x is None or y is None or x.shape != y.shape:
                size = int((x if x is not None else y).size)  # type: ignore[union-attr]
                shapes = " and ".join("nothing" if z is None else str(z.shape) for z in (x, y))
                compared, differing = compared + size, differing + size
                firsts.append((0, f"{quantity} of {name}: {shapes}"))
                continue
            unequal = x != y
            compared, differing = compared + int(x.size), differing + int(np.count_nonzero(unequal))
            if unequal.any():
                step, sample, *neuron = (int(i) for i in np.argwhere(unequal)[0])
                at = (step, sample, *neuron)
                where = f"step {step}, sample {sample}, neuron {tuple(neuron)}"
                firsts.append((step, f"{quantity} of {name}, {where}: {int(x[at])} against {int(y[at])}"))
        counts[quantity] = (compared, differing)
    n_samples = next((x.shape[1] for x in (*spikes_a.values(), *v_a.values())), 0)
    first = min(firsts)[1] if firsts else None
    return Agreement(what_a, what_b, n_samples, *counts["spikes"], *counts["v"], first)


def windowed(program: Program, traces: Traces) -> dict[str, Array]:
    """Of each population the steps that belong to the sample: (n_steps, B, *shape) from its arrival on."""
    arrivals = program.arrivals()
    assert program.n_steps is not None, "only programs with samples have windows"
    return {name: x[arrivals[name] : arrivals[name] + program.n_steps] for name, x in traces.items()}


def compare_activities(program: Program, a: tuple[str, Activity], b: tuple[str, Activity]) -> Agreement:
    """Two runs of one program, over each population's own steps."""
    sides = [(what, windowed(program, run.spikes), windowed(program, run.v)) for what, run in (a, b)]
    return compare(sides[0], sides[1], [p.name for p in program.populations])


def compare_student(program: Program, spikes: Traces, v: Traces, activity: Activity) -> Agreement:
    """The quantised student's own integers, (T, B, *shape), against a run of its program.

    Populations that only the program has (relays) carry copies of others and are left out.
    """
    names = [p.name for p in program.populations if p.name in v or p.name in spikes]
    run_spikes, run_v = windowed(program, activity.spikes), windowed(program, activity.v)
    deployed = (
        "simulator",
        {name: x for name, x in run_spikes.items() if name in spikes},
        {name: x for name, x in run_v.items() if name in v},
    )
    return compare(("quantised student", spikes, v), deployed, names)
