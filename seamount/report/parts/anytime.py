"""What an answer after fewer steps is worth."""

from __future__ import annotations

import numpy as np

from seamount.compile.program.symptoms import Symptoms

from ..evidence import Array, Evidence
from ..schema.quantities import series, tidy, wilson
from ..schema.values import Item, Missing, Series
from .energy import energy_per_step


class Anytime(Item):
    """Accuracy and energy if the answer is read after 1 .. T steps; ``enough`` comes within 0.5 points of T."""

    steps: tuple[int, ...]
    enough: int
    accuracy: Series
    low: Series
    high: Series
    energy_j: Series | Missing
    latency_s: Series | Missing
    words: str


NO_USE = "The network does not work: fewer steps of it are of no use."
NEARLY = 0.005
"""A share of answers this near to the full run's is enough."""


def anytime(evidence: Evidence, symptoms: Symptoms | None) -> Anytime | Missing:
    """What an answer after each of the steps is worth; energy and time are those spent until it is there."""
    answer = next((a for a in evidence.answers if a.stage == "deployed"), None)
    if answer is None or answer.per_step is None:
        return Missing(
            missing=evidence.reason("anytime", "the deployed program's answers after each step were not recorded")
        )
    right = (np.asarray(answer.per_step) == np.asarray(answer.labels)).sum(axis=1)
    n = len(answer.labels)
    bounds = [wilson(int(k), n) for k in right]
    early = next(t for t, k in enumerate(right, start=1) if k / n >= right[-1] / n - NEARLY)
    return Anytime(
        steps=tuple(range(1, len(right) + 1)),
        enough=early,
        accuracy=series(100 * right / n, "%", "measured", n),
        low=series([100 * b[0] for b in bounds], "%", "measured", n),
        high=series([100 * b[1] for b in bounds], "%", "measured", n),
        energy_j=_energy(evidence, len(right)),
        latency_s=_latency(evidence, len(right)),
        words=NO_USE if symptoms else _words(early, right / n),
    )


def _words(early: int, accuracy: Array) -> str:
    """``accuracy``: share of right answers after each step."""
    n_steps = len(accuracy)
    if n_steps == 1:
        return "One step is all there is."
    if early == n_steps:
        return f"All {n_steps} steps are needed: one step fewer costs {100 * (accuracy[-1] - accuracy[-2]):.1f} pp."
    return f"{early} of {n_steps} steps already {'comes' if early == 1 else 'come'} within 0.5 pp of the full run."


def _energy(evidence: Evidence, n_steps: int) -> Series | Missing:
    per_step = energy_per_step(evidence)
    if per_step is None:
        return Missing(missing="needs the energy estimate")
    joules, status = per_step
    spent, wait = np.cumsum(joules), steps_before(evidence, n_steps)
    at = [min(t + wait, len(spent)) - 1 for t in range(1, n_steps + 1)]
    return series(spent[at], "J", status)


def _latency(evidence: Evidence, n_steps: int) -> Series | Missing:
    if evidence.energy is None:
        return Missing(missing="needs the energy estimate's step time")
    step_s, wait = tidy(evidence.energy.step_s), steps_before(evidence, n_steps)
    return series([(t + wait) * step_s for t in range(1, n_steps + 1)], "s", "derived")


def steps_before(evidence: Evidence, n_steps: int) -> int:
    """Steps of a run before the readout's first: until a spike is through, time and energy are spent."""
    program = evidence.program
    return program.steps_per_run() - n_steps if program.readout is not None else 0
