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
SLIGHT = 0.2
"""Who avoids no larger share of the errors that chance makes has hardly learned: the convention of Landis and Koch
(Biometrics 33, 1977, p. 165), who call agreement beyond chance slight up to here."""


@dataclass(frozen=True)
class Symptoms:
    """What a run of ``n_samples`` shows.

    Attributes:
        silent: populations of which no neuron sent anything in any step; of one that was cut, in none of its pieces.
        saturated: populations of which every neuron sent at every step of every sample.
        chance: why the answers are no better than chance; "" where they are, or where nothing can be said.
        slight: why they are hardly better; "" where they are much better, or no better. A warning, no symptom.
        dies: in which silent population the signal ends, and how far it comes there; "" where none is silent.
    """

    n_samples: int
    silent: tuple[str, ...]
    saturated: tuple[str, ...]
    chance: str = ""
    slight: str = ""
    dies: str = ""

    def __bool__(self) -> bool:
        return bool(self.silent or self.saturated or self.chance)

    def lines(self) -> Iterator[str]:
        n = f"{self.n_samples:,} {plural(self.n_samples, 'sample')}"
        if self.chance:
            yield self.chance
        if self.silent:
            yield f"silent: {', '.join(self.silent)} (no spike in {n})"
            yield self.dies
        if self.saturated:
            yield f"saturated: {', '.join(self.saturated)} (every neuron fires at every step of {n})"


def symptoms(
    program: Program,
    run: Activity,
    predictions: NDArray[Any] | None = None,
    labels: NDArray[Any] | None = None,
    traced: Activity | None = None,
) -> Symptoms:
    """What a run and, where they are known, its answers (B,) beside the labels (B,) show.

    Args:
        traced: a run of some of the samples in which states were recorded; None: perhaps ``run`` is one.
    """
    states: dict[str, list[str]] = {}
    arrivals, whole = program.arrivals(), whole_of(program)
    for p in program.populations:
        # what nothing leads into is a clock, a relay is as its sources are, an integrator is read
        if program.into(p.name) and not (p.neuron.passes_on or p.neuron.never_sends) and p.name in run.events:
            states.setdefault(whole[p.name], []).append(_state(program, run, p, arrivals[p.name]))
    silent, saturated = (
        tuple(n for n, of in states.items() if set(of) == {state}) for state in ("silent", "saturated")
    )
    chance, slight = ("", "") if predictions is None or labels is None else beside_chance(predictions, labels)
    pieces = [p for p in program.populations if silent and whole[p.name] == silent[0]]
    dies = _where_it_dies(run, silent[0], pieces, traced or run) if silent else ""
    return Symptoms(run.n_samples, silent, saturated, chance, slight, dies)


FAR = 0.5
"""Below this share of the threshold a scale is likely wrong; above it a little more input makes neurons fire."""


def _where_it_dies(run: Activity, first: str, pieces: list[Population], traced: Activity) -> str:
    """Of the first silent population, in the order in which signals pass: what reaches it, and how far it gets."""
    told = f"the signal ends in {first}"
    if not any(run.events[p.name].sops.any() or any(map(np.any, p.neuron.settings().biases)) for p in pieces):
        return f"{told}, which nothing reaches: are samples all 0, or weights?"
    share = _share_of_threshold(pieces, traced)
    if share is None:
        return told
    if share <= 0:
        return f"{told}: its membrane never rises above 0; are signs of weights and samples those of the training?"
    n = f"{traced.n_samples:,} {plural(traced.n_samples, 'sample')}"
    far = "; look at the scale of samples and weights, thresholds and the time step" if share < FAR else ""
    return f"{told}: its membrane gets to {100 * share:.3g} % of the threshold at most (n = {n}){far}"


def _share_of_threshold(pieces: list[Population], traced: Activity) -> float | None:
    """Of the neuron that came nearest to sending; None where states were not recorded, or there is no threshold."""
    found = []
    for p in pieces:
        states = {name: of[p.name] for name, of in traced.states.items() if p.name in of}
        found.append(p.neuron.nearest_to_sending(states) if set(p.neuron.shown) <= set(states) else None)
    shares = [share for share in found if share is not None]
    return max(shares) if len(shares) == len(pieces) else None


def _state(program: Program, run: Activity, p: Population, start: int) -> str:
    """ "saturated", "silent" or "works", of a population that a sample reaches at step ``start``."""
    n_spikes = run.events[p.name].n_spikes
    window = n_spikes[start : run.n_steps if program.n_steps is None else start + program.n_steps]
    # a number sent at every step is no spike too many: that is what Sigma does
    if p.neuron.message in (SPIKES, SIGNED_SPIKES) and window.size and np.all(window == run.n_samples * p.n_neurons):
        return "saturated"
    return "works" if n_spikes.any() else "silent"


def beside_chance(predictions: NDArray[Any], labels: NDArray[Any]) -> tuple[str, str]:
    """Why the answers are no better than always naming the most frequent class, and why they are hardly better; ""
    where they are.

    Nothing is said of so few samples that even all of them right could be chance.
    """
    from scipy.special import bdtrc

    n = len(labels)
    if n == 0:
        return "", ""
    n_correct, most = int(np.sum(predictions == labels)), int(np.unique(labels, return_counts=True)[1].max())
    share = most / n
    if share**n >= SURE:
        return "", ""
    found = f"accuracy {100 * n_correct / n:.2f} %"
    constant = f"always naming the most frequent class makes {100 * share:.2f} % (n = {n:,})"
    if not n_correct or bdtrc(n_correct - 1, n, share) >= SURE:
        return f"{found} is no better than chance: {constant}", ""
    avoided = (n_correct - most) / (n - most)
    if avoided > SLIGHT:
        return "", ""
    return (
        "",
        f"{found} is hardly better than chance: {constant}, and {100 * avoided:.0f} % of its errors are avoided",
    )
