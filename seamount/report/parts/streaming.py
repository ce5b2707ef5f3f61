"""Samples as a stream beside samples alone: what an inference costs, how many a second, and what was allowed."""

from __future__ import annotations

from typing import Literal

from seamount.hardware_targets.energy import EnergyReport

from ..evidence import Evidence
from ..schema.quantities import known
from ..schema.text import count
from ..schema.values import Item, Missing, Quantity
from .energy import Energy, energy_status

Mode = Literal["streamed", "single samples, held", "single samples"]


class Costs(Item):
    """Of one inference. ``latency_s``: from a sample's first step to its answer."""

    mode: Mode
    operations: Quantity
    spikes: Quantity
    spikes_per_synapse: Quantity
    dynamic_j: Quantity
    total_j: Quantity
    throughput_hz: Quantity
    latency_s: Quantity


class Budget(Item):
    """``within``: what was spent, as the verdicts count it, is at most the budget."""

    unit: str
    amount: float
    spent: Quantity
    within: bool


class Streaming(Item):
    """Streamed first, where the program's resets keep samples apart; ``alone``: why they do not.

    Held: of another form of the program, in which neurons are silent outside their windows.
    """

    costs: tuple[Costs, ...]
    alone: str | None
    budget: Budget | None
    words: str


def streaming(evidence: Evidence, energy: Energy | Missing) -> Streaming | Missing:
    found = evidence.energy
    if found is None or isinstance(energy, Missing):
        return Missing(missing=evidence.reason("energy", "energy was not estimated"))
    single, held = evidence.single_energy, evidence.held_energy
    if single is None:
        costs = [_costs("single samples", found, found.sample_s, found.sample_s)]
    else:
        # an answer is as old as the pipeline is long, however many samples are in it
        latency_s = found.step_s * single.n_steps
        costs = [
            _costs("streamed", found, found.sample_s, latency_s),
            *(() if held is None else (_costs("single samples, held", held, held.sample_s, held.sample_s),)),
            _costs("single samples", single, single.sample_s, single.sample_s),
        ]
    return Streaming(
        costs=tuple(costs),
        alone=evidence.reason("streaming", "samples would touch each other") if single is None else None,
        budget=_budget(evidence, found),
        words=_words(costs, single is not None),
    )


def _costs(mode: Mode, found: EnergyReport, period_s: float, latency_s: float) -> Costs:
    n, status = found.n_samples, energy_status(found)
    dynamic, total = found.boundaries["on_chip_dynamic"], found.boundaries["with_static"]
    return Costs(
        mode=mode,
        operations=known(found.counts.n_sops, "SOP", "counted", n),
        spikes=known(found.counts.spikes, "spikes", "counted", n),
        spikes_per_synapse=known(found.spikes_per_synapse, "spikes/synapse", "counted", n),
        dynamic_j=known(dynamic.mid, "J", status, n, low=dynamic.low, high=dynamic.high),
        total_j=known(total.mid, "J", status, n, low=total.low, high=total.high),
        throughput_hz=known(1 / period_s, "inferences/s", "derived"),
        latency_s=known(latency_s, "s", "derived"),
    )


def _budget(evidence: Evidence, found: EnergyReport) -> Budget | None:
    if evidence.budget is None:
        return None
    unit, amount = evidence.budget
    n = found.n_samples
    spent = {
        "per_synapse": known(found.spikes_per_synapse, "spikes/synapse", "counted", n),
        "operations": known(found.counts.n_sops, "SOP", "counted", n),
        "microjoules": known(1e6 * found.boundaries["compute_only"].mid, "µJ", energy_status(found), n),
    }[unit]
    assert spent.value is not None
    return Budget(unit=unit.replace("_", " "), amount=amount, spent=spent, within=spent.value <= amount)


def _words(costs: list[Costs], streamed: bool) -> str:
    first = costs[0]
    rate = f"{count(float(first.throughput_hz.value or 0))} inferences a second"
    if not streamed:
        return f"One sample after the other: {rate}."
    more = [float(c.operations.value or 0) / max(float(first.operations.value or 0), 1e-30) for c in costs[1:]]
    told = (
        f"{rate} streamed; alone, filling and draining included, a sample costs {more[-1]:.1f} times the operations"
    )
    return f"{told}, {more[0]:.1f} with neurons held outside their windows." if len(more) > 1 else f"{told}."
