"""The strip on top: a verdict for each question, the checks that a CI job reads, the finding in one sentence."""

from __future__ import annotations

from ..schema.text import count, joule, quantity
from ..schema.values import Item, Missing, State
from .accuracy import Accuracy, loss
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


def overflows(layers: tuple[Layer, ...] | Missing) -> int | None:
    """How often the arithmetic left its range; None if nobody counted."""
    if isinstance(layers, Missing):
        return None
    counts = [q.value for layer in layers for q in (layer.v_saturations, layer.u_wraps, layer.drive_wraps)]
    return None if any(c is None for c in counts) else int(sum(c for c in counts if c is not None))


def verdicts(
    accuracy: Accuracy | Missing,
    proof: Proof | Missing,
    layers: tuple[Layer, ...] | Missing,
    mapping: Mapping | Missing,
    energy: Energy | Missing,
) -> tuple[Verdict, ...]:
    return (_exact(proof), _drop(accuracy), _overflow(layers), _fit(mapping), _energy(energy))


def _exact(proof: Proof | Missing) -> Verdict:
    if isinstance(proof, Missing):
        return Verdict(id="bit-exact", title="Bit-exact", word="not checked", state="unknown", detail=proof.missing)
    word, state = ("yes", "ok") if proof.bit_exact else ("no", "error")
    return Verdict(id="bit-exact", title="Bit-exact", word=word, state=_state(state), detail=proof.words)


def _drop(accuracy: Accuracy | Missing) -> Verdict:
    lost = loss(accuracy)
    if isinstance(accuracy, Missing) or lost.value is None:
        return Verdict(
            id="accuracy", title="Accuracy", word="unknown", state="unknown", detail=lost.reason or "not measured"
        )
    deployed = next(r for r in accuracy.rungs if r.stage == "deployed").accuracy
    state = "ok" if lost.value <= DROP_WARNS_PP else "warning"
    change = f"{-lost.value:+.2f}".replace("-", "\N{MINUS SIGN}") if round(lost.value, 2) else "±0"
    return Verdict(
        id="accuracy",
        title="Accuracy",
        word=f"{deployed.value:.2f} %",
        state=_state(state),
        detail=f"{change} pp against the float student; 95 % interval {deployed.low:.1f} to {deployed.high:.1f} %, "
        f"n = {accuracy.n_samples:,}",
    )


def _overflow(layers: tuple[Layer, ...] | Missing) -> Verdict:
    n = overflows(layers)
    if n is None:
        reason = layers.missing if isinstance(layers, Missing) else "a layer's events were not counted"
        return Verdict(id="overflow", title="Overflow", word="unknown", state="unknown", detail=reason)
    if n == 0:
        return Verdict(
            id="overflow",
            title="Overflow",
            word="none",
            state="ok",
            detail="no value of v, u or drive left its range",
        )
    assert not isinstance(layers, Missing), "counted above"
    worst = max(layers, key=lambda e: sum(q.value or 0 for q in (e.v_saturations, e.u_wraps, e.drive_wraps)))
    return Verdict(
        id="overflow",
        title="Overflow",
        word=count(n),
        state="warning",
        detail=f"values left their range, most in {worst.name}",
    )


def _fit(mapping: Mapping | Missing) -> Verdict:
    if isinstance(mapping, Missing):
        return Verdict(id="fit", title="Fits", word="not checked", state="unknown", detail=mapping.missing)
    if not mapping.fits:
        return Verdict(id="fit", title="Fits", word="no", state="error", detail=mapping.words)
    detail = f"{quantity(mapping.n_cores)} of {mapping.target}; {binding(mapping.cores, mapping.layers)}"
    return Verdict(id="fit", title="Fits", word="yes", state="ok", detail=detail)


def _energy(energy: Energy | Missing) -> Verdict:
    if isinstance(energy, Missing):
        return Verdict(id="energy", title="Energy", word="unknown", state="unknown", detail=energy.missing)
    limits = energy_range(energy)
    if limits is None:
        return Verdict(id="energy", title="Energy", word="unknown", state="unknown", detail=energy.words)
    statuses = "/".join(sorted({status for s in energy.sets for status in s.statuses}))
    total = next(b.energy_j for b in energy.boundaries if b.name == WITH_STATIC)
    detail = (
        f"on-chip dynamic per inference, {statuses}; {joule(float(total.low or 0), float(total.high or 0))} "
        f"with static power at {quantity(energy.step_s)} a step"
    )
    state = "ok" if energy.placeholder is None else "warning"
    return Verdict(
        id="energy", title="Energy", word=joule(*limits), state=_state(state), detail=energy.placeholder or detail
    )


def _state(state: str) -> State:
    known_states: dict[str, State] = {"ok": "ok", "warning": "warning", "error": "error"}
    return known_states[state]


CODES = {"bit-exact": "REP-001", "accuracy": "REP-002", "overflow": "REP-003", "fit": "REP-004", "energy": "REP-005"}


def checks(verdicts: tuple[Verdict, ...]) -> tuple[Check, ...]:
    return tuple(
        Check(id=v.id, code=CODES[v.id], state=v.state, message=f"{v.title}: {v.word}; {v.detail}") for v in verdicts
    )


def headline(accuracy: Accuracy | Missing, proof: Proof | Missing) -> str:
    """The finding in one sentence."""
    if isinstance(proof, Missing):
        return f"Whether the student is the program was not checked: {proof.missing}."
    if not proof.bit_exact:
        return "The student is not the program the chip runs."
    if isinstance(accuracy, Accuracy) and any(r.stage == "deployed" for r in accuracy.rungs):
        return "The student you trained is the program the chip runs."
    return "All compared runs of the program are the same, spike for spike."
