"""The strip on top: a verdict for each question, the checks that a CI job reads, the finding in one sentence."""

from __future__ import annotations

from typing import Literal

import numpy as np

from seamount.compile.program.symptoms import Symptoms, symptoms

from ..evidence import Evidence
from ..schema.text import count, joule, quantity, signed
from ..schema.values import Item, Missing, State
from .accuracy import Accuracy, loss, says_nothing, unanswered
from .energy import WITH_STATIC, Energy, energy_range
from .layers import Layer
from .mapping import Mapping, binding
from .proof import Proof


class Verdict(Item):
    """One cell of the strip on top: a question, its answer in a word, a line that backs it."""

    id: str
    title: str
    word: str
    state: State
    detail: str


class Check(Item):
    id: str
    code: str
    state: State
    message: str


DROP_WARNS_PP = 1.0
"""A larger loss from float student to deployed program is marked; users set their own limit with `seamount check`."""


Question = Literal["bit-exact", "accuracy", "overflow", "fit", "energy"]

TITLES: dict[Question, str] = {
    "bit-exact": "Bit-exact",
    "accuracy": "Accuracy",
    "overflow": "Overflow",
    "fit": "Fits",
    "energy": "Energy",
}
CODES = {"bit-exact": "REP-001", "accuracy": "REP-002", "overflow": "REP-003", "fit": "REP-004", "energy": "REP-005"}
"""Of the checks, for CI jobs: they never change their meaning."""

WORKS = "REP-006"
"""Of the check whether layers are silent or saturated and answers chance; in the strip it makes accuracy red."""


def symptoms_of(evidence: Evidence) -> Symptoms | None:
    """Of the run whose events are counted, and of the deployed program's answers."""
    deployed = next((a for a in evidence.answers if a.stage == "deployed"), None)
    if evidence.counted is None:
        return None
    answers, labels = (None, None) if deployed is None else map(np.asarray, (deployed.predictions, deployed.labels))
    traced = None if evidence.traced is None else evidence.traced.deployed
    return symptoms(evidence.program, evidence.counted, answers, labels, traced)


def verdicts(
    symptoms: Symptoms | None,
    accuracy: Accuracy | Missing,
    proof: Proof | Missing,
    layers: tuple[Layer, ...] | Missing,
    mapping: Mapping | Missing,
    energy: Energy | Missing,
    reference: str,
) -> tuple[Verdict, ...]:
    cost = _energy(energy)
    if symptoms and cost.state == "ok":  # little energy is no merit of a network that does not work
        cost = cost.model_copy(update={"state": "neutral"})
    return (_exact(proof), _accuracy(symptoms, accuracy, reference), _overflow(layers), _fit(mapping), cost)


def checks(symptoms: Symptoms | None, verdicts: tuple[Verdict, ...]) -> tuple[Check, ...]:
    return (
        *(
            # the code is what a CI job matches; the words may become better
            Check(id=v.id, code=CODES[v.id], state=v.state, message=f"{v.title}: {v.word}; {v.detail}")
            for v in verdicts
        ),
        _works(symptoms),
    )


def _works(symptoms: Symptoms | None) -> Check:
    if symptoms is None:
        state, message = "unknown", "Works: unknown; no run of the program was recorded"
    elif symptoms:
        state, message = "error", f"Works: no; {'; '.join(symptoms.lines())}"
    elif symptoms.slight:
        state, message = "warning", f"Works: hardly; {symptoms.slight}"
    else:
        state, message = "ok", "Works: yes; no layer is silent or saturated, and answers are not known to be chance"
    return Check(id="works", code=WORKS, state=state, message=message)


def _verdict(question: Question, word: str, state: State, detail: str) -> Verdict:
    return Verdict(id=question, title=TITLES[question], word=word, state=state, detail=detail)


def _exact(proof: Proof | Missing) -> Verdict:
    if isinstance(proof, Missing):
        return _verdict("bit-exact", "not checked", "unknown", proof.missing)
    if not proof.bit_exact:
        return _verdict("bit-exact", "no", "error", proof.words)
    if not proof.on_lava:  # no tick: what was compared is all ours
        return _verdict("bit-exact", "not on Lava", "unknown", f"{proof.words} {proof.compared()}")
    return _verdict("bit-exact", "yes", "ok", f"{proof.words} {proof.compared()}")


def _accuracy(symptoms: Symptoms | None, accuracy: Accuracy | Missing, reference: str) -> Verdict:
    """Red where the network does not work, whatever is lost against a student that does not either."""
    found = _drop(accuracy, reference)
    if not symptoms:
        return found if symptoms is None or not symptoms.slight else _hardly(found, symptoms.slight)
    word = found.word if found.state != "unknown" else "does not work"
    details = [found.detail] if found.state == "error" else []
    return _verdict("accuracy", word, "error", "; ".join((*details, *symptoms.lines())))


def _hardly(found: Verdict, slight: str) -> Verdict:
    """Of a network that is better than chance, and not by much; a student that is no better hides nothing."""
    word = found.word if found.state != "unknown" else "hardly works"
    state: State = "error" if found.state == "error" else "warning"
    return _verdict("accuracy", word, state, f"{slight}; {found.detail}")


def _drop(accuracy: Accuracy | Missing, reference: str) -> Verdict:
    lost = loss(accuracy)
    rungs = () if isinstance(accuracy, Missing) else accuracy.rungs
    deployed = next((r.accuracy for r in rungs if r.stage == "deployed"), None)
    if isinstance(accuracy, Missing) or deployed is None:
        return _verdict("accuracy", "unknown", "unknown", lost.reason or "not measured")
    silent = unanswered(accuracy)
    alone = "all samples are of one class, which any constant answer gets right; " if accuracy.n_seen == 1 else ""
    lost_pp, against = lost.value, "no network in real numbers answered beside it"
    good: State = "neutral"  # what it lost, if anything, is not known
    if lost_pp is not None:
        good, against = (
            "ok" if lost_pp <= DROP_WARNS_PP else "warning",
            f"{signed(-lost_pp)} pp against the {reference}",
        )
    if silent is not None or alone:
        good = "warning"
    return _verdict(
        "accuracy",
        f"{deployed.value:.2f} %",
        "error" if says_nothing(accuracy) else good,
        # why there is a warning comes first, because a terminal has room for two lines
        f"{'' if silent is None else f'{silent}; '}{alone}{against}; "
        f"95 % interval {deployed.low:.1f} to {deployed.high:.1f} %, n = {accuracy.n_samples:,}",
    )


def overflows(layers: tuple[Layer, ...] | Missing) -> int | None:
    """How often the arithmetic left its range; None if nobody counted."""
    if isinstance(layers, Missing):
        return None
    counts = [layer.n_overflows for layer in layers]
    return None if None in counts else sum(n for n in counts if n is not None)


def _overflow(layers: tuple[Layer, ...] | Missing) -> Verdict:
    n = overflows(layers)
    if isinstance(layers, Missing) or n is None:
        reason = layers.missing if isinstance(layers, Missing) else "a layer's events were not counted"
        return _verdict("overflow", "unknown", "unknown", reason)
    if n == 0:
        return _verdict("overflow", "none", "ok", "no value of v, u or drive left its range")
    worst = max(layers, key=lambda layer: layer.n_overflows or 0)
    return _verdict("overflow", count(n), "warning", f"values left their range, most in {worst.name}")


def _fit(mapping: Mapping | Missing) -> Verdict:
    if isinstance(mapping, Missing):
        return _verdict("fit", "not checked", "unknown", mapping.missing)
    if not mapping.fits:
        return _verdict("fit", "no", "error", mapping.words)
    detail = f"{quantity(mapping.n_cores)} of {mapping.target}; {binding(mapping.cores, mapping.layers)}"
    return _verdict("fit", "yes", "ok", detail)


def _energy(energy: Energy | Missing) -> Verdict:
    if isinstance(energy, Missing):
        return _verdict("energy", "unknown", "unknown", energy.missing)
    limits = energy_range(energy)
    if limits is None:
        return _verdict("energy", "unknown", "unknown", energy.words)
    if energy.placeholder is not None:
        return _verdict("energy", joule(*limits) + energy.mark, "warning", energy.placeholder)
    total = next(b.energy_j for b in energy.boundaries if b.name == WITH_STATIC)
    detail = (
        f"on-chip dynamic per inference, estimated: {energy.standing}; "
        f"{joule(float(total.low or 0), float(total.high or 0))} with static power at {quantity(energy.step_s)} a "
        "step"
    )
    # an estimate is no success by itself
    return _verdict("energy", joule(*limits), "ok" if energy.below_all else "neutral", detail)


def headline(symptoms: Symptoms | None, accuracy: Accuracy | Missing, proof: Proof | Missing, trained: bool) -> str:
    """The finding in one sentence; ``trained``: there is a student that the program must equal."""
    if not trained:
        return _of_a_network(symptoms, accuracy, proof)
    if isinstance(proof, Missing):
        return f"Whether the student is the program was not checked: {proof.missing}."
    if not proof.bit_exact:
        return "The student is not the program the chip runs."
    if isinstance(accuracy, Accuracy) and any(r.stage == "deployed" for r in accuracy.rungs):
        return "The student you trained is the program the chip runs."
    return "All compared runs of the program are the same, spike for spike."


def _of_a_network(symptoms: Symptoms | None, accuracy: Accuracy | Missing, proof: Proof | Missing) -> str:
    if isinstance(proof, Proof) and not proof.bit_exact:
        return "Simulator and Lava do not compute the same."
    found = []
    if isinstance(accuracy, Accuracy):
        shares = {r.stage: f"{r.accuracy.value:.1f} %" for r in accuracy.rungs}
        beside = next((shares[stage] for stage in ("float", "original") if stage in shares), None)
        words = f"The program answers {shares['deployed']} right"
        found.append(words if beside is None else f"{words}, its network {beside}")
    if symptoms is not None and symptoms.silent:
        found.append(f"{'no' if found else 'No'} spike leaves {symptoms.silent[0]}")
    if isinstance(proof, Proof):
        found.append("Lava computes the same" if found else "Simulator and Lava compute the same")
    return "; ".join(found) + "." if found else "What the program would need of the chip."
