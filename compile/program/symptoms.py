"""Signs in a run that a network does not work: layers that are silent or fire at every step, answers by chance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.errors import plural

from ..neurons.model import SIGNED_SPIKES, SPIKES
from .activity import Activity
from .pieces import whole_of
from .program import Population, Program

SURE = 0.025
"""A result that chance reaches with this probability or a larger one is chance's: one side of a 95 % interval."""


@dataclass(frozen=True)
class Symptoms:
    """What a run of ``n_samples`` shows.

    Attributes:
        silent: populations of which no neuron sent anything in any step; of one that was cut, in none of its pieces.
        saturated: populations of which every neuron sent at every step of every sample.
        chance: why the answers are no better than chance; "" where they are, or where nothing can be said.
    """

    n_samples: int
    silent: tuple[str, ...]
    saturated: tuple[str, ...]
    chance: str = ""

    def __bool__(self) -> bool:
        return bool(self.silent or self.saturated or self.chance)

    def lines(self) -> Iterator[str]:
        n = f"{self.n_samples:,} {plural(self.n_samples, 'sample')}"
        if self.chance:
            yield self.chance
        if self.silent:
            yield f"silent: {', '.join(self.silent)} (no spike in {n})"
        if self.saturated:
            yield f"saturated: {', '.join(self.saturated)} (every neuron fires at every step of {n})"


def symptoms(
    program: Program, run: Activity, predictions: NDArray[Any] | None = None, labels: NDArray[Any] | None = None
) -> Symptoms:
    """What a run and, where they are known, its answers (B,) beside the labels (B,) show."""
    states: dict[str, list[str]] = {}
    arrivals, whole = program.arrivals(), whole_of(program)
    for p in program.populations:
        # what nothing leads into is a clock, a relay is as its sources are, an integrator is read
        if program.into(p.name) and not (p.neuron.passes_on or p.neuron.never_sends) and p.name in run.events:
            states.setdefault(whole[p.name], []).append(_state(program, run, p, arrivals[p.name]))
    silent, saturated = (
        tuple(n for n, of in states.items() if set(of) == {state}) for state in ("silent", "saturated")
    )
    chance = "" if predictions is None or labels is None else by_chance(predictions, labels)
    return Symptoms(run.n_samples, silent, saturated, chance)


def _state(program: Program, run: Activity, p: Population, start: int) -> str:
    """ "saturated", "silent" or "works", of a population that a sample reaches at step ``start``."""
    n_spikes = run.events[p.name].n_spikes
    window = n_spikes[start : run.n_steps if program.n_steps is None else start + program.n_steps]
    # a number sent at every step is no spike too many: that is what Sigma does
    if p.neuron.message in (SPIKES, SIGNED_SPIKES) and window.size and np.all(window == run.n_samples * p.n_neurons):
        return "saturated"
    return "works" if n_spikes.any() else "silent"


def by_chance(predictions: NDArray[Any], labels: NDArray[Any]) -> str:
    """Why the answers are no better than always naming the most frequent class; "" where they are.

    Nothing is said of so few samples that even all of them right could be chance.
    """
    from scipy.special import bdtrc

    n = len(labels)
    if n == 0:
        return ""
    n_correct, most = int(np.sum(predictions == labels)), int(np.unique(labels, return_counts=True)[1].max())
    share = most / n
    if share**n >= SURE or (n_correct and bdtrc(n_correct - 1, n, share) < SURE):
        return ""
    return (
        f"accuracy {100 * n_correct / n:.2f} % is no better than chance: always naming the most frequent class makes "
        f"{100 * share:.2f} % (n = {n:,})"
    )
