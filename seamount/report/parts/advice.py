"""What follows from the findings: the verdict strip, the checks a CI job reads, and what to try next."""

from __future__ import annotations

from ..evidence import Evidence
from ..report import (
    Accuracy,
    Anytime,
    Check,
    Comparison,
    Energy,
    Layer,
    Mapping,
    Missing,
    Opportunity,
    Proof,
    Quantity,
    Series,
    State,
    SweepPoint,
    Verdict,
)
from ..schema.quantities import known, percent
from ..schema.text import count, joule, quantity, si
from .accuracy import loss
from .energy import DYNAMIC, WITH_STATIC
from .mapping import binding

DROP_WARNS_PP = 1.0
"""A larger loss from float student to deployed program is marked; users set their own limit with `seamount check`."""


def proof(evidence: Evidence) -> Proof | Missing:
    if not evidence.proof:
        return Missing(missing=evidence.reason("proof", "no two runs were compared"))
    comparisons = tuple(
        Comparison(
            a=c.a,
            b=c.b,
            n_samples=c.n_samples,
            spikes_compared=c.spikes_compared,
            spikes_differing=c.spikes_differing,
            membrane_compared=c.membrane_compared,
            membrane_differing=c.membrane_differing,
            first_difference=c.first_difference,
        )
        for c in evidence.proof
    )
    exact = all(c.equal for c in comparisons)
    with_lava = any("lava" in f"{c.a} {c.b}".lower() for c in comparisons)
    spikes = sum(c.spikes_compared for c in comparisons)
    membranes = sum(c.membrane_compared for c in comparisons)
    if exact:
        words = f"0 of {spikes:,} spikes and 0 of {membranes:,} membrane values differ."
        if not with_lava:
            words += f" Lava itself was not run: {evidence.reason('oracle', 'nobody asked for it')}."
    else:
        wrong = next(c for c in comparisons if not c.equal)
        words = (
            f"{wrong.a} and {wrong.b} differ in {wrong.spikes_differing:,} of {wrong.spikes_compared:,} spikes and "
            f"{wrong.membrane_differing:,} of {wrong.membrane_compared:,} membrane values"
            f"{'' if wrong.first_difference is None else '; first: ' + wrong.first_difference}."
        )
    return Proof(bit_exact=exact and spikes > 0, comparisons=comparisons, words=words)


def overflows(layers: tuple[Layer, ...] | Missing) -> int | None:
    """How often the arithmetic left its range; None if nobody counted."""
    if isinstance(layers, Missing):
        return None
    counts = [q.value for layer in layers for q in (layer.v_saturations, layer.u_wraps, layer.drive_wraps)]
    return None if any(c is None for c in counts) else int(sum(c for c in counts if c is not None))


def energy_range(energy: Energy) -> tuple[float, float] | None:
    """Lowest and highest on-chip dynamic energy [J] over the source sets."""
    for boundary in energy.boundaries:
        q = boundary.energy_j
        if boundary.name == DYNAMIC and q.low is not None and q.high is not None:
            return float(q.low), float(q.high)
    return None


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


# ------------------------------------------------------------------------------------------------- checks

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


# ------------------------------------------------------------------------------------------ opportunities


def opportunities(
    evidence: Evidence,
    layers: tuple[Layer, ...] | Missing,
    mapping: Mapping | Missing,
    energy: Energy | Missing,
    early: Anytime | Missing,
) -> tuple[Opportunity, ...]:
    """What to try, the most promising first. A gain is a bound or an estimate and says which."""
    found: list[Opportunity] = []
    if isinstance(mapping, Mapping):
        found += _relieve(evidence, mapping)
    if isinstance(layers, tuple):
        for layer in layers:
            found += _of_layer(evidence, layer)
    if isinstance(energy, Energy):
        found += _of_energy(evidence, energy)
    if isinstance(early, Anytime):
        found += _of_time(evidence, early)
    if all("lava" not in f"{c.a} {c.b}".lower() for c in evidence.proof):
        found.append(
            Opportunity(
                id="prove-lava",
                title="Prove it against Lava",
                gain="The verdict bit-exact then rests on an implementation that is not ours.",
                command=f"seamount run-lava runs/{evidence.name} --samples 20",
            )
        )
    return tuple(found)


def _relieve(evidence: Evidence, mapping: Mapping) -> list[Opportunity]:
    tight = sorted((m for m in mapping.layers if m.share >= 0.9 and m.n_cores > 1), key=lambda m: -m.share)
    return [
        Opportunity(
            id=f"relieve-{m.name}",
            title=f"{m.name} fills {100 * m.share:.0f} % of its {m.binding}",
            gain=m.relief,
            command=f"{_sweep(evidence)} target.placement=cores,load,crossings",
        )
        for m in tight[:3]
    ]


def _sweep(evidence: Evidence) -> str:
    return f"seamount sweep runs/{evidence.name}/resolved.toml --over"


def _of_time(evidence: Evidence, early: Anytime) -> list[Opportunity]:
    n_steps = len(early.steps)
    if early.enough >= n_steps:
        return []
    saved = ""
    if isinstance(early.energy_j, Series):
        full, part = (float(early.energy_j.values[t - 1] or 0) for t in (n_steps, early.enough))
        saved = f" and saves {si(full - part, 'J')} of {si(full, 'J')} dynamic energy"
    return [
        Opportunity(
            id="fewer-steps",
            title=f"{early.enough} of {n_steps} steps {'is' if early.enough == 1 else 'are'} nearly enough",
            gain=f"Reading the answer then costs at most 0.5 pp{saved}; a student trained for it may lose nothing.",
            command=f"{_sweep(evidence)} student.n_steps={early.enough},{n_steps}",
        )
    ]


def _of_layer(evidence: Evidence, layer: Layer) -> list[Opportunity]:
    found = []
    dead, always = layer.n_dead.value, layer.n_always.value
    if dead is not None and dead / layer.n_neurons > 0.1:
        found.append(
            Opportunity(
                id=f"prune-{layer.name}",
                title=f"{layer.name}: {100 * dead / layer.n_neurons:.0f} % of the neurons never fired",
                gain=f"Up to {dead:,} of {layer.n_neurons:,} neurons can go without a change in these "
                f"{layer.n_dead.n:,} samples; confirm on the whole test set.",
                command=f"seamount why runs/{evidence.name} {layer.name}",
            )
        )
    if always is not None and always / layer.n_neurons > 0.05:
        found.append(
            Opportunity(
                id=f"calm-{layer.name}",
                title=f"{layer.name}: {always:,} {'neuron fires' if always == 1 else 'neurons fire'} at every step",
                gain="That carries no information; a higher threshold saves spikes and synaptic operations.",
                command=f"seamount why runs/{evidence.name} {layer.name}",
            )
        )
    n_overflow = sum(q.value or 0 for q in (layer.v_saturations, layer.u_wraps, layer.drive_wraps))
    if n_overflow:
        found.append(
            Opportunity(
                id=f"overflow-{layer.name}",
                title=f"{layer.name}: values left their range {count(int(n_overflow))} times",
                gain="A lower scale of this layer removes it; each wrapped value is an arbitrary error.",
                command=f"seamount why runs/{evidence.name} {layer.name}",
            )
        )
    if layer.damage.value is not None and layer.damage.value > 5:
        found.append(
            Opportunity(
                id=f"diverge-{layer.name}",
                title=f"{layer.name}: {layer.damage.value:.1f} % of the spikes have no partner in the float student",
                gain="Names which effect does it: weight rounding, decay grid, threshold or saturation.",
                command=f"seamount why runs/{evidence.name} {layer.name}",
            )
        )
    return found


def _of_energy(evidence: Evidence, energy: Energy) -> list[Opportunity]:
    found = []
    mid = next((s for s in energy.sets if s.name == energy.mid), None)
    if mid is not None and mid.dynamic_j.value and mid.total_j.value and energy.step_s.value:
        static = float(mid.total_j.value) - float(mid.dynamic_j.value)
        stated = energy.stated_period_s.value
        shortest = max((float(t.time_s.value or 0) for t in energy.step_time), default=0.0)
        if static > float(mid.dynamic_j.value) and stated is not None and 0 < shortest < float(stated):
            saved = static * (1 - shortest / float(stated))
            found.append(
                Opportunity(
                    id="step-period",
                    title=f"Static power is {100 * static / float(mid.total_j.value):.0f} % of the total at "
                    f"{si(float(stated), 's')} a step",
                    gain=f"Up to {si(saved, 'J')} per inference less at the modelled step of {si(shortest, 's')} "
                    "(derived).",
                    command=f"{_sweep(evidence)} target.step_period_s={stated:g},{shortest:.1e}",
                )
            )
    return found


def front(evidence: Evidence) -> tuple[SweepPoint, ...] | Missing:
    """The sweep's points; on the front: nobody is at least as accurate for less energy (or else fewer spikes)."""
    if not evidence.sweep:
        return Missing(missing=evidence.reason("sweep", "this run is not part of a sweep"))
    costs = [t.energy_j if t.energy_j is not None else t.spikes for t in evidence.sweep]

    def beaten(i: int) -> bool:
        mine, cost = evidence.sweep[i].accuracy, costs[i]
        if cost is None:
            return True
        return any(
            other is not None and t.accuracy >= mine and other <= cost and (t.accuracy > mine or other < cost)
            for t, other in zip(evidence.sweep, costs, strict=True)
        )

    return tuple(
        SweepPoint(
            name=t.name,
            settings=t.settings,
            accuracy=percent(round(t.accuracy * t.n_samples), t.n_samples),
            energy_j=_or_unknown(t.energy_j, "J"),
            spikes=_or_unknown(t.spikes, "spikes/sample"),
            cores=_or_unknown(t.cores, "cores"),
            front=not beaten(i),
            current=t.current,
        )
        for i, t in enumerate(evidence.sweep)
    )


def _or_unknown(value: float | None, unit: str) -> Quantity:
    if value is None:
        return Quantity(value=None, unit=unit, status="unknown", reason="not computed for this point")
    return known(value, unit, "simulated" if unit == "J" else "counted")
