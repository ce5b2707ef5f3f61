"""The runs of a sweep, and those that none of the others beats."""

from __future__ import annotations

from collections.abc import Sequence

from ..evidence import Evidence, Trial
from ..schema.quantities import known, percent, unknown
from ..schema.values import Item, Missing, Quantity, Status

NOT_COMPUTED = "not computed for this point"


class SweepPoint(Item):
    """One run of a sweep.

    ``front``, ``front_spikes``, ``front_cores``: no other is at least as accurate for less energy, spikes per synapse
    or cores. ``label``: the values of the axes, by which figures call it.
    """

    name: str
    settings: str
    label: str = ""
    target: str = ""
    accuracy: Quantity
    energy_j: Quantity
    placeholder: bool = False
    spikes: Quantity
    spikes_per_synapse: Quantity = unknown("spikes/synapse", NOT_COMPUTED)
    cores: Quantity
    early_steps: Quantity = unknown("steps", NOT_COMPUTED)
    early_accuracy: Quantity = unknown("%", NOT_COMPUTED)
    front: bool
    front_spikes: bool = False
    front_cores: bool = False
    current: bool


def sweep(evidence: Evidence) -> tuple[SweepPoint, ...] | Missing:
    """The points of the sweep that the run belongs to."""
    if not evidence.sweep:
        return Missing(missing=evidence.reason("sweep", "this run is not part of a sweep"))
    return sweep_points(evidence.sweep)


def sweep_points(trials: Sequence[Trial]) -> tuple[SweepPoint, ...]:
    """As the report holds them; on the front: nobody is at least as accurate for less energy (or else fewer spikes).

    A point that lacks what the others are compared by is never on the front.
    """
    # one cost for all: joules and spikes do not compare
    priced = all(t.energy_j is not None for t in trials)
    energy = _front(trials, [t.energy_j if priced else t.spikes for t in trials], one_target=priced)
    spikes = _front(trials, [t.spikes_per_synapse for t in trials], one_target=False)
    cores = _front(trials, [t.cores for t in trials], one_target=True)
    return tuple(
        SweepPoint(
            name=t.name,
            settings=t.settings,
            label=t.label or t.name,
            target=t.target,
            accuracy=percent(round(t.accuracy * t.n_samples), t.n_samples),
            energy_j=_or_unknown(t.energy_j, "J", "assumed" if t.placeholder else "derived"),
            placeholder=t.placeholder,
            spikes=_or_unknown(t.spikes, "spikes/sample", "counted"),
            spikes_per_synapse=_or_unknown(t.spikes_per_synapse, "spikes/synapse", "counted"),
            cores=_or_unknown(t.cores, "cores", "counted"),
            early_steps=_or_unknown(t.early_steps, "steps", "counted"),
            early_accuracy=_early_accuracy(t),
            front=energy[i],
            front_spikes=spikes[i],
            front_cores=cores[i],
            current=t.current,
        )
        for i, t in enumerate(trials)
    )


def _front(trials: Sequence[Trial], costs: Sequence[float | None], *, one_target: bool) -> list[bool]:
    """Of each point whether no other beats it.

    Args:
        one_target: only points of the same target compare: another's constants come from other papers, and its cores
            are of another size.
    """

    def beaten(i: int) -> bool:
        mine, cost = trials[i], costs[i]
        if cost is None:
            return True
        return any(
            other is not None
            and (t.target == mine.target or not one_target)
            and t.accuracy >= mine.accuracy
            and other <= cost
            and (t.accuracy > mine.accuracy or other < cost)
            for t, other in zip(trials, costs, strict=True)
        )

    return [not beaten(i) for i in range(len(trials))]


def _early_accuracy(trial: Trial) -> Quantity:
    if trial.early_accuracy is None:
        return _or_unknown(None, "%", "unknown")
    return percent(round(trial.early_accuracy * trial.n_samples), trial.n_samples)


def _or_unknown(value: float | None, unit: str, status: Status) -> Quantity:
    if value is None:
        return Quantity(value=None, unit=unit, status="unknown", reason=NOT_COMPUTED)
    return known(value, unit, status)
