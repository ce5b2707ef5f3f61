"""The accuracy ladder: what each stage answers, what it loses against the one before, and whether that is chance."""

from __future__ import annotations

import numpy as np

from seamount.errors import InputError, plural

from ..evidence import Answers, Evidence
from ..schema.quantities import known, mcnemar, percent, unknown
from ..schema.values import Item, Missing, Quantity, Stage


class Rung(Item):
    """One row of the accuracy ladder. ``lost_pp`` and ``agreement`` are against the rung before."""

    stage: Stage
    title: str
    accuracy: Quantity
    n_correct: int
    lost_pp: Quantity | None
    agreement: Quantity | None


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
    n_samples: int
    n_classes: int
    rungs: tuple[Rung, ...]
    absent: tuple[str, ...]
    mcnemar: McNemar | Missing
    classes: tuple[ClassDrop, ...] | Missing


TITLES: dict[Stage, str] = {
    "teacher": "Teacher (ANN)",
    "float": "Student, float",
    "quantised": "Student, quantised",
    "deployed": "Deployed program",
}


def accuracy(evidence: Evidence) -> Accuracy | Missing:
    if not evidence.answers:
        return Missing(missing=evidence.reason("accuracy", "no stage answered a test set"))
    answers = {a.stage: a for a in evidence.answers}
    labels = np.asarray(evidence.answers[0].labels)
    for answer in evidence.answers:
        if len(answer.predictions) != len(labels) or not np.array_equal(answer.labels, labels):
            raise InputError(
                f"{evidence.name}: {answer.stage} answered {len(answer.predictions)} samples, "
                f"{evidence.answers[0].stage} {len(labels)}, or their labels differ; let all answer the same test set"
            )
    if len(labels) == 0:
        return Missing(missing="the test set is empty")
    rungs: list[Rung] = []
    before: Answers | None = None
    for stage, title in TITLES.items():
        if stage not in answers:
            continue
        answer = answers[stage]
        n_correct = int(np.sum(answer.predictions == labels))
        rungs.append(
            Rung(
                stage=stage,
                title=title,
                accuracy=percent(n_correct, len(labels)),
                n_correct=n_correct,
                lost_pp=_lost(before, answer),
                agreement=None
                if before is None
                else known(
                    100 * float(np.mean(answer.predictions == before.predictions)), "%", "measured", len(labels)
                ),
            )
        )
        before = answer
    pair = (answers.get("float"), answers.get("deployed"))
    return Accuracy(
        n_samples=len(labels),
        n_classes=int(labels.max()) + 1,
        rungs=tuple(rungs),
        absent=tuple(title for stage, title in TITLES.items() if stage not in answers),
        mcnemar=_mcnemar(*pair),
        classes=_classes(*pair),
    )


def _lost(before: Answers | None, answer: Answers) -> Quantity | None:
    if before is None:
        return None
    right = np.mean(before.predictions == answer.labels) - np.mean(answer.predictions == answer.labels)
    return known(100 * float(right), "pp", "measured", len(answer.labels))


def _mcnemar(float_: Answers | None, deployed: Answers | None) -> McNemar | Missing:
    if float_ is None or deployed is None:
        return Missing(missing="needs the answers of the float student and of the deployed program")
    float_right, deployed_right = (np.asarray(a.predictions) == a.labels for a in (float_, deployed))
    only_float = int(np.sum(float_right & ~deployed_right))
    only_deployed = int(np.sum(deployed_right & ~float_right))
    p = mcnemar(only_float, only_deployed)
    if only_float + only_deployed == 0:
        words = "Float student and deployed program are right on exactly the same samples."
    else:
        sides = (
            f"{only_float} {plural(only_float, 'sample')} only the float student gets right, "
            f"{only_deployed} only the deployed program"
        )
        verdict = "more than chance explains" if p < 0.05 else "no more than chance explains"
        words = f"{sides}: {verdict} (exact McNemar p = {p:.2g})."
    n = len(float_right)
    return McNemar(
        only_float_correct=only_float,
        only_deployed_correct=only_deployed,
        p=known(p, "1", "measured", n),
        words=words,
    )


def _classes(float_: Answers | None, deployed: Answers | None) -> tuple[ClassDrop, ...] | Missing:
    if float_ is None or deployed is None:
        return Missing(missing="needs the answers of the float student and of the deployed program")
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


def loss(report_accuracy: Accuracy | Missing) -> Quantity:
    """What deployment loses: float student (else the first rung there is) minus deployed program, in points."""
    if isinstance(report_accuracy, Missing):
        return unknown("pp", report_accuracy.missing)
    rungs = {r.stage: r for r in report_accuracy.rungs}
    deployed = rungs.get("deployed")
    first = rungs.get("float") or rungs.get("quantised") or rungs.get("teacher")
    if deployed is None or first is None or deployed.accuracy.value is None or first.accuracy.value is None:
        return unknown("pp", "needs the answers of a student and of the deployed program")
    return known(first.accuracy.value - deployed.accuracy.value, "pp", "measured", report_accuracy.n_samples)
