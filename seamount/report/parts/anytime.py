"""What an answer after fewer steps is worth."""

from __future__ import annotations

import numpy as np

from ..evidence import Evidence
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


def anytime(evidence: Evidence) -> Anytime | Missing:
    """What an answer after each of the steps is worth; energy and time are those spent until it is there."""
    answer = next((a for a in evidence.answers if a.stage == "deployed" and a.per_step is not None), None)
    if answer is None or answer.per_step is None:
        return Missing(
            missing=evidence.reason("anytime", "the deployed program's answers after each step were not recorded")
        )
    per_step, labels = np.asarray(answer.per_step), np.asarray(answer.labels)
    n_steps, n = per_step.shape
    right = (per_step == labels).sum(axis=1)
    bounds = [wilson(int(k), n) for k in right]
    latency = evidence.program.steps_per_run() - n_steps if evidence.program.readout is not None else 0
    steps = tuple(range(1, n_steps + 1))
    total = right[-1] / n
    early = next(t for t in steps if right[t - 1] / n >= total - 0.005)
    if n_steps == 1:
        words = "One step is all there is."
    elif early == n_steps:
        words = f"All {n_steps} steps are needed: one step fewer costs {100 * (total - right[-2] / n):.1f} pp."
    else:
        words = (
            f"{early} of {n_steps} steps already {'comes' if early == 1 else 'come'} within 0.5 pp of the full run."
        )
    spent: Missing | list[float] = Missing(missing="needs the energy estimate")
    times: Missing | list[float] = Missing(missing="needs the energy estimate's step time")
    per_step_j = energy_per_step(evidence)
    if per_step_j is not None:
        cumulative = np.cumsum(per_step_j)
        spent = [float(cumulative[min(t + latency, len(cumulative)) - 1]) for t in steps]
    if evidence.energy is not None:
        times = [(t + latency) * tidy(evidence.energy.step_s) for t in steps]
    return Anytime(
        steps=steps,
        enough=early,
        accuracy=series(100 * right / n, "%", "measured", n),
        low=series([100 * b[0] for b in bounds], "%", "measured", n),
        high=series([100 * b[1] for b in bounds], "%", "measured", n),
        energy_j=spent if isinstance(spent, Missing) else series(spent, "J", "simulated"),
        latency_s=times if isinstance(times, Missing) else series(times, "s", "derived"),
        words=words,
    )
