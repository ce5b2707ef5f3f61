"""The energy part of ``report.json``; see ``schema.py``."""

from __future__ import annotations

from typing import Literal

from ..schema.values import Item, Quantity, Series, Status


class EnergyTerm(Item):
    name: str
    count: Quantity
    energy_j: Quantity


class EnergySet(Item):
    """One set of published constants put to our counts, per inference."""

    name: str
    description: str
    statuses: tuple[str, ...]
    terms: tuple[EnergyTerm, ...]
    compute_j: Quantity
    dynamic_j: Quantity
    total_j: Quantity


class Boundary(Item):
    """What is counted: compute only, all dynamic energy on the chip, that plus static power; over all sets."""

    name: str
    energy_j: Quantity


class LayerEnergy(Item):
    name: str
    sops: Quantity
    energy_j: Quantity


class StepTerm(Item):
    name: str
    time_s: Quantity


class Constant(Item):
    key: str
    value: float
    unit: str
    grade: str
    status: Status
    source: str
    url: str
    conditions: str


class Rival(Item):
    """Something else that computes the same answer, under the name of its accounting."""

    name: str
    energy_j: Quantity
    note: str


class Band(Item):
    """A published break-even band, and where this network stands: below, inside or above."""

    name: str
    quantity: Literal["spikes_per_synapse", "spike_rate"]
    value: Quantity
    low: float
    high: float
    verdict: str
    meaning: str
    source: str
    url: str
    conditions: str


class Energy(Item):
    """``step_s`` is the longer of the stated period and the modelled step; ``bound`` what the model says binds."""

    target: str
    words: str
    placeholder: str | None
    stated_period_s: Quantity
    step_s: Quantity
    bound: str | None
    step_time: tuple[StepTerm, ...]
    n_steps: int
    latency_s: Quantity
    mid: str
    boundaries: tuple[Boundary, ...]
    sets: tuple[EnergySet, ...]
    layers: tuple[LayerEnergy, ...]
    static: tuple[EnergyTerm, ...]
    sensitivity_s: Series
    sensitivity_low_j: Series
    sensitivity_mid_j: Series
    sensitivity_high_j: Series
    rivals: tuple[Rival, ...]
    bands: tuple[Band, ...]
    constants: tuple[Constant, ...]
    notes: tuple[str, ...]
    not_included: tuple[str, ...]
