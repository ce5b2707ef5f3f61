"""The accuracy ladder: what each stage answers, what it loses against the one before, and whether that is chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seamount.compile.program.readout import NO_ANSWER
from seamount.errors import InputError, plural

from ..evidence import STUDENT, Answers, Evidence
from ..schema.quantities import known, mcnemar, percent, unknown
from ..schema.values import Item, Missing, Quantity, Stage


class Rung(Item):
    """One row of the accuracy ladder. ``lost_pp`` and ``agreement`` are against the rung before.

    ``n_unanswered``: samples in which all values of the readout are equal; None in reports that did not count them.
    """

    stage: Stage
    title: str
    accuracy: Quantity
    n_correct: int
    lost_pp: Quantity | None
    agreement: Quantity | None
    n_unanswered: int | None = None


class McNemar(Item):
    """Do float student and program differ by more than chance? Exact two-sided test on the discordant samples."""

    only_float_correct: int
    only_deployed_correct: int
    p: Quantity
    words: str


class ClassDrop(Item):
    label: int
    n_samples: int
    float_accuracy: Quantity
    deployed_accuracy: Quantity
    lost_pp: Quantity


class Accuracy(Item):
    """``n_seen``: classes that the labels of these samples really name, of ``n_classes``."""

    n_samples: int
    n_classes: int
    n_seen: int | None = None
    rungs: tuple[Rung, ...]
    absent: tuple[str, ...]
    mcnemar: McNemar | Missing
    classes: tuple[ClassDrop, ...] | Missing


TITLES: dict[Stage, str] = {
    "teacher": "Teacher (ANN)",
    "original": "Your own network",
    "float": "Student, float",
    "quantised": "Student, quantised",
    "deployed": "Deployed program",
}


ALWAYS: tuple[Stage, ...] = ("float", "deployed")
"""Of which stages answers are missed, if there are none; a run has a teacher and a quantised student besides."""


def accuracy(evidence: Evidence) -> Accuracy | Missing:
    if not evidence.answers:
        return Missing(missing=evidence.reason("accuracy", "no stage answered a test set"))
    _refuse_other_samples(evidence)
    n, answers = len(evidence.answers[0].labels), {a.stage: a for a in evidence.answers}
    if n == 0:
        return Missing(missing="the test set is empty")
    pair = (answers.get("float"), answers.get("deployed"))
    return Accuracy(
        n_samples=n,
        n_classes=int(np.max(evidence.answers[0].labels)) + 1,
        n_seen=len(np.unique(evidence.answers[0].labels)),
        rungs=_ladder([answers[stage] for stage in TITLES if stage in answers], evidence.reference),
        absent=tuple(_title(stage, evidence.reference) for stage in _expected(evidence) if stage not in answers),
        mcnemar=_mcnemar(*pair, evidence.reference),
        classes=_classes(*pair, evidence.reference),
    )


def _title(stage: Stage, reference: str) -> str:
    """Of a row; the float network of a file is nobody's student."""
    return reference.capitalize() if stage == "float" and reference != STUDENT else TITLES[stage]


def _expected(evidence: Evidence) -> tuple[Stage, ...]:
    return ("teacher", "float", "quantised", "deployed") if evidence.reference == STUDENT else ALWAYS


def _refuse_other_samples(evidence: Evidence) -> None:
    first = evidence.answers[0]
    for answer in evidence.answers:
        if len(answer.predictions) != len(first.labels) or not np.array_equal(answer.labels, first.labels):
            raise InputError(
                f"{answer.stage} answered {len(answer.predictions)} samples, "
                f"{first.stage} {len(first.labels)}, or their labels differ",
                where=evidence.name,
                ways_out="let all answer the same test set",
            )


def _ladder(answers: Sequence[Answers], reference: str) -> tuple[Rung, ...]:
    """``answers`` in the order of the stages: each is held against the one before."""
    rungs = []
    for before, answer in zip([None, *answers[:-1]], answers, strict=True):
        n, n_correct = len(answer.labels), int(np.sum(answer.predictions == answer.labels))
        rungs.append(
            Rung(
                stage=answer.stage,
                title=_title(answer.stage, reference),
                accuracy=percent(n_correct, n),
                n_correct=n_correct,
                lost_pp=None if before is None else _lost(before, answer),
                agreement=None if before is None else _same(before, answer),
                n_unanswered=int(np.sum(np.asarray(answer.predictions) == NO_ANSWER)),
            )
        )
    return tuple(rungs)


def _lost(before: Answers, answer: Answers) -> Quantity:
    lost = np.mean(before.predictions == answer.labels) - np.mean(answer.predictions == answer.labels)
    return known(100 * float(lost), "pp", "measured", len(answer.labels))


def _same(before: Answers, answer: Answers) -> Quantity:
    same = float(np.mean(answer.predictions == before.predictions))
    return known(100 * same, "%", "measured", len(answer.labels))


def _needs_both(reference: str) -> str:
    return f"needs the answers of the {reference} and of the deployed program"


def _mcnemar(float_: Answers | None, deployed: Answers | None, reference: str) -> McNemar | Missing:
    if float_ is None or deployed is None:
        return Missing(missing=_needs_both(reference))
    float_right, deployed_right = (np.asarray(a.predictions) == a.labels for a in (float_, deployed))
    only_float = int(np.sum(float_right & ~deployed_right))
    only_deployed = int(np.sum(deployed_right & ~float_right))
    p = mcnemar(only_float, only_deployed)
    return McNemar(
        only_float_correct=only_float,
        only_deployed_correct=only_deployed,
        p=known(p, "1", "measured", len(float_right)),
        words=_mcnemar_words(only_float, only_deployed, p, reference),
    )


def _mcnemar_words(only_float: int, only_deployed: int, p: float, reference: str) -> str:
    if only_float + only_deployed == 0:
        return f"{reference.capitalize()} and deployed program are right on exactly the same samples."
    verdict = "more than chance explains" if p < 0.05 else "no more than chance explains"
    return (
        f"{only_float} {plural(only_float, 'sample')} only the {reference} gets right, "
        f"{only_deployed} only the deployed program: {verdict} (exact McNemar p = {p:.2g})."
    )


def _classes(float_: Answers | None, deployed: Answers | None, reference: str) -> tuple[ClassDrop, ...] | Missing:
    if float_ is None or deployed is None:
        return Missing(missing=_needs_both(reference))
    labels = np.asarray(float_.labels)
    drops = []
    for label in np.unique(labels).tolist():
        of_class = labels == label
        n = int(of_class.sum())
        right = [int(np.sum(np.asarray(a.predictions)[of_class] == label)) for a in (float_, deployed)]
        drops.append(
            ClassDrop(
                label=int(label),
                n_samples=n,
                float_accuracy=percent(right[0], n),
                deployed_accuracy=percent(right[1], n),
                lost_pp=known(100 * (right[0] - right[1]) / n, "pp", "measured", n),
            )
        )
    return tuple(sorted(drops, key=lambda d: (-(d.lost_pp.value or 0), d.label)))


def unanswered(report_accuracy: Accuracy | Missing) -> str | None:
    """How many samples the deployed program leaves without an answer, in words; None where it answers all."""
    if isinstance(report_accuracy, Missing):
        return None
    deployed = next((r for r in report_accuracy.rungs if r.stage == "deployed"), None)
    if deployed is None or not deployed.n_unanswered:
        return None
    n = report_accuracy.n_samples
    return f"no answer in {deployed.n_unanswered} of {n} {plural(n, 'sample')}: all values of the readout are equal"


def says_nothing(report_accuracy: Accuracy | Missing) -> bool:
    """True where the deployed program leaves every second sample, or more, without an answer: it does not work."""
    if isinstance(report_accuracy, Missing):
        return False
    counts = [r.n_unanswered or 0 for r in report_accuracy.rungs if r.stage == "deployed"]
    return any(2 * n >= report_accuracy.n_samples for n in counts)


def loss(report_accuracy: Accuracy | Missing) -> Quantity:
    """What deployment loses: float student (else the first rung there is) minus deployed program, in points."""
    if isinstance(report_accuracy, Missing):
        return unknown("pp", report_accuracy.missing)
    rungs = {r.stage: r for r in report_accuracy.rungs}
    deployed = rungs.get("deployed")
    first = rungs.get("float") or rungs.get("original") or rungs.get("quantised") or rungs.get("teacher")
    if deployed is None or first is None or deployed.accuracy.value is None or first.accuracy.value is None:
        return unknown("pp", "needs the answers of a student and of the deployed program")
    return known(first.accuracy.value - deployed.accuracy.value, "pp", "measured", report_accuracy.n_samples)
