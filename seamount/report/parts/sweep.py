"""The runs of a sweep, and those that none of the others beats."""

from __future__ import annotations

from ..evidence import Evidence, Trial
from ..schema.quantities import known, percent, unknown
from ..schema.values import Item, Missing, Quantity

NOT_COMPUTED = "not computed for this point"


class SweepPoint(Item):
    name: str
    settings: str
    accuracy: Quantity
    energy_j: Quantity
    placeholder: bool = False
    spikes: Quantity
    cores: Quantity
    early_steps: Quantity = unknown("steps", NOT_COMPUTED)
    early_accuracy: Quantity = unknown("%", NOT_COMPUTED)
    front: bool
    current: bool


def sweep(evidence: Evidence) -> tuple[SweepPoint, ...] | Missing:
    """The sweep's points; on the front: nobody is at least as accurate for less energy (or else fewer spikes).

    A point that lacks what the others are compared by is never on the front.
    """
    if not evidence.sweep:
        return Missing(missing=evidence.reason("sweep", "this run is not part of a sweep"))
    # one cost for all: joules and spikes do not compare
    priced = all(t.energy_j is not None for t in evidence.sweep)
    costs = [t.energy_j if priced else t.spikes for t in evidence.sweep]

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
            placeholder=t.placeholder,
            spikes=_or_unknown(t.spikes, "spikes/sample"),
            cores=_or_unknown(t.cores, "cores"),
            early_steps=_or_unknown(t.early_steps, "steps"),
            early_accuracy=_early_accuracy(t),
            front=not beaten(i),
            current=t.current,
        )
        for i, t in enumerate(evidence.sweep)
    )


def _early_accuracy(trial: Trial) -> Quantity:
    if trial.early_accuracy is None:
        return _or_unknown(None, "%")
    return percent(round(trial.early_accuracy * trial.n_samples), trial.n_samples)


def _or_unknown(value: float | None, unit: str) -> Quantity:
    if value is None:
        return Quantity(value=None, unit=unit, status="unknown", reason=NOT_COMPUTED)
    return known(value, unit, "simulated" if unit == "J" else "counted")
