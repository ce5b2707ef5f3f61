"""Answers as soon as they are sure: what a rule of confidence saves, and what it costs.

The rule: answer after the first step at which the largest value read leads the second by a threshold, in the chip's
integers; else after the last. The threshold is the one of fewest steps that costs no more than half a point of
accuracy on the validation part. Nothing else runs than a prefix of the run that the proof is about.
"""

from __future__ import annotations

import numpy as np

from seamount.compile.program.activity import Activity
from seamount.compile.program.symptoms import Symptoms

from ..evidence import Answers, Array, Evidence
from ..schema.quantities import known, percent, unknown
from ..schema.values import Item, Missing, Quantity, Status
from .anytime import NEARLY, NO_USE, steps_before
from .energy import energy_per_step

N_THRESHOLDS = 64


class EarlyPoint(Item):
    """Means over the test set; ``threshold`` None: all steps.

    Operations and energy are those of the mean sample's steps until the answer: which samples are sure early, and
    whether these cost less, is not counted.
    """

    threshold: int | None
    steps: Quantity
    accuracy: Quantity
    operations: Quantity
    energy_j: Quantity


class Early(Item):
    """``chosen`` on the validation part; ``curve``: other thresholds, from the boldest on."""

    chosen: EarlyPoint
    full: EarlyPoint
    curve: tuple[EarlyPoint, ...]
    n_validation: int
    validation_accuracy: Quantity
    words: str


def early(evidence: Evidence, symptoms: Symptoms | None = None) -> Early | Missing:
    test = next((a for a in evidence.answers if a.stage == "deployed"), None)
    validation = evidence.validation
    if test is None or validation is None or test.margins is None or validation.margins is None:
        return Missing(missing=evidence.reason("early", "needs a validation part to choose a threshold on"))
    if len(test.margins) == 1:
        return Missing(missing="one step is all there is")
    thresholds = candidates(validation.margins)
    chosen = choose(validation, thresholds)
    full = _point(evidence, test, None)
    best = _point(evidence, test, chosen)
    shown = thresholds[np.linspace(0, len(thresholds) - 1, min(9, len(thresholds))).astype(int)]
    return Early(
        chosen=best,
        full=full,
        curve=tuple(_point(evidence, test, int(threshold)) for threshold in shown),
        n_validation=len(validation.labels),
        validation_accuracy=percent(_right(validation, chosen), len(validation.labels)),
        words=NO_USE if symptoms else _words(best, full),
    )


def candidates(margins: Array) -> Array:
    """Thresholds that differ in what they let through, from 0 on."""
    leads = np.quantile(margins[:-1], np.linspace(0, 1, N_THRESHOLDS), method="higher")
    return np.unique(np.concatenate([[0], leads, [leads.max() + 1]]).astype(np.int64))


def choose(validation: Answers, thresholds: Array) -> int:
    """The lowest threshold whose accuracy is within half a point of that of all steps."""
    needed = _right(validation, None) - NEARLY * len(validation.labels)
    return next(int(threshold) for threshold in thresholds if _right(validation, int(threshold)) >= needed)


def exits(margins: Array, threshold: int | None) -> Array:
    """The step, from 0, after which each sample is answered: (T, n) -> (n,)."""
    sure = np.zeros(margins.shape, bool) if threshold is None else margins >= threshold
    sure[-1] = True
    first: Array = sure.argmax(axis=0)
    return first


def _right(answers: Answers, threshold: int | None) -> int:
    assert answers.per_step is not None, "stands beside the margins"
    assert answers.margins is not None, "asked only of answers that have them"
    steps = exits(answers.margins, threshold)
    given = np.asarray(answers.per_step)[steps, np.arange(len(steps))]
    return int((given == answers.labels).sum())


def _point(evidence: Evidence, test: Answers, threshold: int | None) -> EarlyPoint:
    assert test.margins is not None, "recorded"
    steps, n = exits(test.margins, threshold), len(test.labels)
    wait = steps_before(evidence, len(test.margins))
    run = evidence.counted
    status: Status = "counted" if threshold is None else "derived"
    operations = None if run is None else (_operations(run), status)
    return EarlyPoint(
        threshold=threshold,
        steps=known(float(steps.mean()) + 1, "steps", "counted", n),
        accuracy=percent(_right(test, threshold), n),
        operations=_until("SOP", operations, steps + wait, n),
        energy_j=_until("J", energy_per_step(evidence), steps + wait, n),
    )


def _operations(run: Activity) -> list[float]:
    """Of an inference, in each step of a run."""
    total = np.sum([events.sops for events in run.events.values()], axis=0) / run.n_samples
    return [float(x) for x in total]


def _until(unit: str, per_step: tuple[list[float], Status] | None, last: Array, n: int) -> Quantity:
    """Mean over samples of what is spent up to a step, itself included."""
    if per_step is None:
        return unknown(unit, "needs the energy estimate")
    spent, status = np.cumsum(per_step[0]), per_step[1]
    return known(float(spent[np.minimum(last, len(spent) - 1)].mean()), unit, status, n)


def _words(chosen: EarlyPoint, full: EarlyPoint) -> str:
    if chosen.steps.value == full.steps.value:
        return "No threshold answers earlier without losing half a point on the validation part."
    lost = (full.accuracy.value or 0) - (chosen.accuracy.value or 0)
    return (
        f"A lead of {chosen.threshold:,} answers after {chosen.steps.value:.2f} of {full.steps.value:.0f} steps on "
        f"average, {'at no loss' if lost <= 0 else f'{lost:.2f} pp lower'}."
    )
