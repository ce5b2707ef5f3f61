"""The energy estimate in the report's terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np

from seamount.compile.program.activity import Activity
from seamount.hardware_targets.energy import Constant as ConstantRow
from seamount.hardware_targets.energy import Counts, EnergyReport, Range, SetEstimate
from seamount.hardware_targets.energy import LayerEnergy as EstimatedLayer
from seamount.hardware_targets.latency import StepTime
from seamount.hardware_targets.literature import BandQuantity, BandVerdict, Comparison

from ..evidence import Evidence
from ..schema.quantities import known, series, tidy, unknown
from ..schema.text import joule, si
from ..schema.values import Item, Missing, Quantity, Series, Status


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
    quantity: BandQuantity
    value: Quantity
    low: float
    high: float
    verdict: str
    meaning: str
    source: str
    url: str
    conditions: str


class Energy(Item):
    """``standing`` says what the page shows of it: beside the ANN's arithmetic and the published break-even bands.

    ``step_s`` is the longer of the stated period and the modelled step; ``bound`` what the model says binds."""

    target: str
    words: str
    standing: str = ""
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

    @property
    def mark(self) -> str:
        """What stands beside every energy of constants that are another chip's."""
        return "" if self.placeholder is None else f" ({PLACEHOLDER})"

    @property
    def below_all(self) -> bool:
        """Below every published break-even band."""
        return bool(self.bands) and all(band.verdict == "below" for band in self.bands)


PLACEHOLDER = "placeholder"
STATIC = "energy.static."
"""How the keys of constants of static power begin."""
DYNAMIC = "on-chip dynamic"
WITH_STATIC = "with static power"
BOUNDARIES = {"compute_only": "compute only", "on_chip_dynamic": DYNAMIC, "with_static": WITH_STATIC}
WEAKER: tuple[Status, ...] = ("counted", "measured", "documented", "fitted", "simulated", "derived", "assumed")
"""From the surest on: what is computed from several numbers is as sure as the least sure of them."""


def energy(evidence: Evidence) -> Energy | Missing:
    found = evidence.energy
    if found is None:
        return Missing(missing=evidence.reason("energy", "energy was not estimated"))
    # the answer of a streamed sample comes as late as that of one alone, whose steps are counted with the pipeline's
    alone = evidence.single_energy or found
    status, n = energy_status(found), found.n_samples
    return Energy(
        target=found.target,
        words=_words(found, streamed=evidence.single_energy is not None),
        standing=_standing(found),
        placeholder=found.placeholder or None,
        stated_period_s=_stated_period(found),
        step_s=known(found.step_s, "s", "derived"),
        bound=None if found.step_model is None else found.step_model.bound,
        step_time=() if found.step_model is None else _step_time(found.step_model, n),
        n_steps=alone.n_steps,
        latency_s=known(found.step_s * alone.n_steps, "s", "derived"),
        mid=found.mid,
        boundaries=tuple(
            Boundary(name=BOUNDARIES[key], energy_j=_range(span, status, n)) for key, span in found.boundaries.items()
        ),
        sets=tuple(_set(entry, found.counts, n) for entry in found.sets),
        layers=tuple(_layer(layer, found.mid, status, n) for layer in found.layers),
        static=_static(found),
        sensitivity_s=series([row[0] for row in found.sensitivity], "s", "assumed"),
        sensitivity_low_j=series([row[1] for row in found.sensitivity], "J", status),
        sensitivity_mid_j=series([row[2] for row in found.sensitivity], "J", status),
        sensitivity_high_j=series([row[3] for row in found.sensitivity], "J", status),
        rivals=_rivals(found.comparison),
        bands=tuple(_band(verdict, n) for verdict in found.bands),
        constants=tuple(_constant(row) for row in found.constants),
        notes=(*found.notes, *_bit_planes(found)),
        not_included=found.not_included,
    )


def energy_status(found: EnergyReport) -> Status:
    """How sure its joules are, all sets of constants together."""
    return _weakest([status for entry in found.sets for status in entry.statuses])


def energy_range(energy: Energy) -> tuple[float, float] | None:
    """Lowest and highest on-chip dynamic energy [J] over the source sets."""
    for boundary in energy.boundaries:
        q = boundary.energy_j
        if boundary.name == DYNAMIC and q.low is not None and q.high is not None:
            return float(q.low), float(q.high)
    return None


def energy_per_step(evidence: Evidence) -> tuple[list[float], Status] | None:
    """Dynamic energy [J] of each step of a run, middle set: its terms as its events fall on the steps."""
    found, run = evidence.single_energy or evidence.energy, evidence.counted
    if found is None or run is None or not run.events:
        return None
    mid = next(s for s in found.sets if s.name == found.mid)
    sops, spikes = _share(run, "sops"), _share(run, "n_spikes")
    # the chip services every neuron at every step; messages and hops come with the spikes
    shares = {"sops": sops, "updates": np.full(run.n_steps, 1 / run.n_steps)}
    total = sum(joules * shares.get(name, spikes) for name, joules in mid.terms.items())
    return [float(j) for j in np.asarray(total)], energy_status(found)


def _share(run: Activity, name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    counts = np.sum([getattr(events, name) for events in run.events.values()], axis=0).astype(np.float64)
    total = counts.sum()
    # a silent run has no shape of its own
    return counts / total if total else np.full(run.n_steps, 1 / run.n_steps)


def _weakest(statuses: Sequence[str]) -> Status:
    """The status a result has that rests on numbers of these statuses."""
    unknown_ones = set(statuses) - set(get_args(Status))
    assert not unknown_ones, f"statuses {unknown_ones} have no place in the report"
    return max((s for s in WEAKER if s in statuses), key=WEAKER.index, default="derived")


def _standing(found: EnergyReport) -> str:
    """In one sentence; the ANN's price is of arithmetic alone, so that a share of it has one digit and a half."""
    dynamic, ann = found.boundaries["on_chip_dynamic"].mid, found.comparison.ann_fp32_j
    parts = []
    if ann > 0 and dynamic > 0:
        ratio = dynamic / ann
        times = f"{ratio:.2g}" if ratio < 100 else f"{ratio:.0f}"
        passes = found.comparison.passes
        of = f" in {_passes(passes)}" if passes > 1 else ""
        parts.append(f"about {times} × the {si(ann, 'J')} of the ANN's arithmetic alone{of}")
    if found.bands:
        counts = {v: sum(b.verdict == v for b in found.bands) for v in ("above", "inside", "below")}
        told = [f"{verdict} {n}" for verdict, n in counts.items() if n]
        advice = ": fewer spikes or a smaller T would be needed" if counts["above"] else ""
        parts.append(f"{', '.join(told)} of {len(found.bands)} break-even bands{advice}")
    return "; ".join(parts)


def _words(found: EnergyReport, *, streamed: bool) -> str:
    dynamic, static = found.boundaries["on_chip_dynamic"], found.boundaries["with_static"]
    known_as = "/".join(sorted({s for entry in found.sets for s in entry.statuses}))
    return (
        f"{joule(dynamic.low, dynamic.high)} on-chip dynamic per{' streamed' if streamed else ''} inference "
        f"({known_as} constants, not measured"
        f"{'; ' + PLACEHOLDER + 's of another chip' if found.placeholder else ''}); "
        f"{joule(static.low, static.high)} with static power at {si(found.step_s, 's')} a step."
    )


def _stated_period(found: EnergyReport) -> Quantity:
    if found.step_period_s is None:
        return unknown("s", "no step period was stated: as fast as the model says")
    return known(found.step_period_s, "s", "assumed")


def _step_time(model: StepTime, n: int) -> tuple[StepTerm, ...]:
    terms = (("busiest core", model.core_s), ("busiest link", model.link_s), ("barrier", model.barrier_s))
    return tuple(StepTerm(name=name, time_s=known(seconds, "s", "derived", n)) for name, seconds in terms)


def _layer(layer: EstimatedLayer, mid: str, status: Status, n: int) -> LayerEnergy:
    """Over the sets: the middle one's energy, with the least and the largest beside it."""
    of_sets = layer.dynamic_j
    low, high = min(of_sets.values()), max(of_sets.values())
    return LayerEnergy(
        name=layer.population,
        sops=known(layer.counts.n_sops, "SOP", "counted", n),
        energy_j=known(of_sets[mid], "J", status, n, low=low, high=high),
    )


def _static(found: EnergyReport) -> tuple[EnergyTerm, ...]:
    time = known(found.sample_s, "s", "derived")
    status = _weakest(["derived", *(row.status for row in found.constants if row.key.startswith(STATIC))])
    return tuple(
        EnergyTerm(name=name, count=time, energy_j=known(joules, "J", status))
        for name, joules in found.static_terms.items()
    )


def _constant(row: ConstantRow) -> Constant:
    return Constant(
        key=row.key,
        value=float(tidy(row.value)),
        unit=row.unit,
        grade=row.grade,
        status=_weakest([row.status]),
        source=row.source,
        url=row.url,
        conditions=row.conditions,
    )


def _range(span: Range, status: Status, n: int) -> Quantity:
    return known(span.mid, "J", status, n, low=span.low, high=span.high)


def _set(entry: SetEstimate, counts: Counts, n: int) -> EnergySet:
    status = _weakest(entry.statuses)
    events = _events(counts)
    return EnergySet(
        name=entry.name,
        description=entry.description,
        statuses=entry.statuses,
        terms=tuple(
            EnergyTerm(name=name, count=_count(*events[name], n), energy_j=known(joules, "J", status, n))
            for name, joules in entry.terms.items()
        ),
        compute_j=known(entry.compute_only_j, "J", status, n),
        dynamic_j=known(entry.on_chip_dynamic_j, "J", status, n),
        total_j=known(entry.with_static_j, "J", status, n),
    )


def _events(counts: Counts) -> dict[str, tuple[float | None, str]]:
    """Term -> how often what it pays for happened, and the unit."""
    hops = None if counts.hops_ew is None or counts.hops_ns is None else counts.hops_ew + counts.hops_ns
    return {
        "sops": (counts.n_sops, "SOP"),
        "updates": (counts.updates, "updates"),
        "spikes": (counts.spikes, "spikes"),
        "messages": (counts.messages, "messages"),
        "hops": (hops, "hops"),
    }


def _count(value: float | None, unit: str, n: int) -> Quantity:
    if value is None:
        return unknown(unit, "placed without a run")
    return known(value, unit, "counted", n)


def _rivals(other: Comparison) -> tuple[Rival, ...]:
    """``ordering only``: the prices are of 45 nm arithmetic without any memory access."""
    return (
        Rival(
            name="ANN, fp32 MACs alone",
            energy_j=known(other.ann_fp32_j, "J", "ordering only"),
            note=f"{other.macs:,} multiply-accumulates of {_passes(other.passes)}; no memory access",
        ),
        *(() if other.qnn_bits is None else (_quantised(other, other.qnn_bits),)),
        Rival(
            name="this network, fp32 additions alone",
            energy_j=known(other.snn_ac_fp32_j, "J", "ordering only"),
            note="the accounting most papers use; no memory access, no updates, no routing",
        ),
        Rival(
            name="this network, int8 additions alone",
            energy_j=known(other.snn_ac_int8_j, "J", "ordering only"),
            note="the same with 8-bit additions",
        ),
    )


def _quantised(other: Comparison, bits: int) -> Rival:
    steps = "T" if other.passes == 1 else "T / passes"
    priced = unknown("J", f"no published price for {bits} bits")
    if other.qnn_j is not None:
        priced = known(other.qnn_j, "J", "ordering only")
    return Rival(
        name=f"ANN at {bits} bit{'s' if bits > 1 else ''}, MACs alone",
        energy_j=priced,
        note=f"the fair opponent: ceil(log2({steps} + 1)) bits; priced as 8 bits, an upper bound",
    )


def _passes(n: int) -> str:
    return "one pass" if n == 1 else f"{n} passes, one for each frame"


def _band(verdict: BandVerdict, n: int) -> Band:
    unit = "spikes/synapse" if verdict.quantity == "spikes_per_synapse" else "spikes/neuron/step"
    return Band(
        name=verdict.name.replace("_", " "),
        quantity=verdict.quantity,
        value=known(verdict.value, unit, "counted", n),
        low=verdict.low,
        high=verdict.high,
        verdict=verdict.verdict,
        meaning=verdict.meaning,
        source=verdict.source,
        url=verdict.url,
        conditions=verdict.conditions,
    )


def _bit_planes(found: EnergyReport) -> tuple[str, ...]:
    if not found.bit_planes_at_most_j:
        return ()
    extra = found.bit_planes_at_most_j.values()
    return (f"graded inputs sent as bit planes cost at most {joule(min(extra), max(extra))} more; in no total",)
