"""Compares two runs of one program value by value, over the steps in which both must be equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.compile.activity import Activity
from seamount.compile.program import Program

from .schedule import sample_windows

Array = NDArray[Any]


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


def compare_runs(program: Program, a: Activity, b: Activity, *, whole: bool = False) -> Agreement:
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
