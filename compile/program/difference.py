"""Where two runs part: the first step, population and neuron whose recorded values differ, and what is around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seamount.errors import InputError

from .activity import Activity, Array

AROUND = 3
"""Steps shown before and after the difference."""


@dataclass(frozen=True)
class Difference:
    """The first value that differs.

    Attributes:
        step, sample, population, neuron: where; the neuron as an index into the population's shape.
        trace: the quantity that differs first there: drive, a state or spikes, in the order in which they are
            computed.
        values: trace -> (values of a, values of b) of this neuron and sample, for ``steps``.
        n_differing: differing values per trace, over the whole run.
        n_compared: compared values over the whole run.
    """

    step: int
    sample: int
    population: str
    neuron: tuple[int, ...]
    trace: str
    steps: range
    values: dict[str, tuple[list[int], list[int]]]
    n_differing: dict[str, int]
    n_compared: int

    def __str__(self) -> str:
        index = ", ".join(map(str, self.neuron))
        counts = ", ".join(f"{n} of {trace}" for trace, n in self.n_differing.items() if n)
        lines = [
            f"{self.population}[{index}], sample {self.sample}: {self.trace} differs first at step {self.step} "
            f"(in all {counts}; {self.n_compared} values compared)",
            f"  {'step':>8}" + "".join(f"{k:>10}" for k in self.steps),
        ]
        for trace, (ours, theirs) in self.values.items():
            lines += [
                f"  {trace + ' a':>8}" + "".join(f"{x:>10}" for x in ours),
                f"  {trace + ' b':>8}" + "".join(f"{x:>10}" for x in theirs),
            ]
        return "\n".join(lines)


def first_difference(a: Activity, b: Activity) -> Difference | None:
    """The first difference between two runs, or None if all traces that both recorded are equal.

    Where both say which steps belong to the sample, the others are left out: while a pipeline fills and drains,
    Lava's and our runs may hold other values, which reach nothing.

    Of several populations that part in one step, the earliest in the order of ``a`` is named. Raises ``InputError``
    where nothing can be compared: no common trace, or other numbers of steps or samples.
    """
    common = _in_common(a, b)
    traces = list(a.traces())
    n_differing, n_compared = dict.fromkeys(traces, 0), 0
    found: list[tuple[int, int, int, str, str, NDArray[np.intp]]] = []
    names = list(dict.fromkeys(name for name, _ in common))
    for name, trace in common:
        ours, theirs = _pair(a, b, name, trace)
        window = _window(a, b, name)
        differs = ours[window] != theirs[window]
        n_compared += differs.size
        n_differing[trace] += int(np.count_nonzero(differs))
        steps = np.flatnonzero(differs.any(axis=tuple(range(1, differs.ndim))))
        if len(steps):
            where = np.argwhere(differs[steps[0]])[0]
            first = int(steps[0]) + (window.start or 0)
            found.append((first, names.index(name), traces.index(trace), name, trace, where))
    if not found:
        return None
    step, _, _, name, trace, where = min(found, key=lambda entry: entry[:3])
    shown = range(max(0, step - AROUND), min(a.n_steps, step + AROUND + 1))
    around: tuple[slice | int, ...] = (slice(shown.start, shown.stop), *(int(i) for i in where))
    pairs = {kind: _pair(a, b, name, kind) for kind in traces if (name, kind) in common}
    return Difference(
        step=step,
        sample=int(where[0]),
        population=name,
        neuron=tuple(int(i) for i in where[1:]),
        trace=trace,
        steps=shown,
        values={kind: (x[around].tolist(), y[around].tolist()) for kind, (x, y) in pairs.items()},
        n_differing=n_differing,
        n_compared=n_compared,
    )


def windows_compared(a: Activity, b: Activity) -> bool:
    """Whether only the steps are compared in which populations answer to the sample."""
    return bool(a.windows) and a.windows == b.windows


def _window(a: Activity, b: Activity, name: str) -> slice:
    if not windows_compared(a, b):
        return slice(None)
    start, n = a.windows.get(name, (0, a.n_steps))
    return slice(start, start + n)


def _in_common(a: Activity, b: Activity) -> list[tuple[str, str]]:
    """(population, trace) of what both recorded."""
    if (a.n_steps, a.n_samples) != (b.n_steps, b.n_samples):
        raise InputError(
            f"runs of {a.n_steps} and {b.n_steps} steps, {a.n_samples} and {b.n_samples} samples cannot be compared"
        )
    theirs = b.traces()
    common = [(name, trace) for trace, found in a.traces().items() for name in found if name in theirs.get(trace, {})]
    if not common:
        raise InputError(
            "the runs recorded nothing in common", ways_out="record spikes or states of the same populations in both"
        )
    return common


def _pair(a: Activity, b: Activity, name: str, trace: str) -> tuple[Array, Array]:
    ours, theirs = a.traces()[trace][name], b.traces()[trace][name]
    if ours.shape != theirs.shape:
        raise InputError(f"{trace} has shapes {ours.shape} and {theirs.shape}, which cannot be compared", where=name)
    return ours.astype(np.int64, copy=False), theirs.astype(np.int64, copy=False)
