"""Energy of an inference: events that were counted, times constants that say where they come from.

Nothing here is measured by us. Three boundaries are kept apart (compute only, on-chip dynamic, plus static power at a
stated step period), every published set of constants is evaluated, and what is left out is listed. docs/energy.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from math import ceil
from statistics import median_low
from typing import Any, Literal, assert_never

import numpy as np

from seamount.compile.fit.place import Placement
from seamount.compile.fit.place.load import NeuronLoads, connections, neuron_loads
from seamount.compile.fit.place.rules import Group, groups, on_chip
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Program
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Sparse, Wire
from seamount.errors import ConfigError, InputError

from .latency import StepTime, step_time
from .literature import BandVerdict, Comparison, band_verdicts, compare, literature
from .target import Energy, EnergySet, Target

Encoding = Literal["dense", "sparse", "conv"]

NOT_INCLUDED = (
    "host: encoding of the input, decoding of the answer",
    "link to the host and its messages",
    "legs of messages between chips (no published energy; their number is given)",
    "DRAM, board, regulators",
    "learning",
    "clearing the state between samples",
    "temperature, supply voltage other than the constants' own",
)
PERIODS_S = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)


# ------------------------------------------------------------------------------------------- counts and prices


@dataclass(frozen=True)
class Counts:
    """Events of one inference (mean over the samples of a run).

    Attributes:
        sops: synaptic operations by the encoding of their synapses; weights that are zero not counted.
        sops_with_zeros: all, stored zeros counted.
        messages, hops_ew, hops_ns: None without a placement.
    """

    sops: Mapping[Encoding, float]
    sops_with_zeros: float
    updates: float
    active_updates: float
    spikes: float
    messages: float | None = None
    hops_ew: float | None = None
    hops_ns: float | None = None

    @property
    def n_sops(self) -> float:
        return sum(self.sops.values())


def price(counts: Counts, constants: EnergySet) -> dict[str, float]:
    """Joules per term; terms whose events are unknown are left out."""
    per_sop = {
        "dense": constants.sop_dense.value,
        "sparse": constants.sop_sparse.value,
        "conv": constants.sop_conv.value,
    }
    idle = counts.updates - counts.active_updates
    terms = {
        "sops": sum(n * per_sop[encoding] for encoding, n in counts.sops.items()),
        "updates": counts.active_updates * constants.update_active.value + idle * constants.update_idle.value,
        "spikes": counts.spikes * constants.spike.value,
    }
    if counts.messages is not None:
        terms["messages"] = counts.messages * constants.message.value
    if counts.hops_ew is not None and counts.hops_ns is not None:
        terms["hops"] = counts.hops_ew * constants.hop_ew.value + counts.hops_ns * constants.hop_ns.value
    return terms


COMPUTE = ("sops", "updates")
"""Terms inside the boundary "compute only"."""


def compute_only(terms: Mapping[str, float]) -> float:
    return sum(terms[name] for name in COMPUTE)


# ------------------------------------------------------------------------------------------------- the report


@dataclass(frozen=True)
class SetEstimate:
    """One set of constants applied to the run; ``statuses`` of its constants, e.g. ("simulated",)."""

    name: str
    description: str
    statuses: tuple[str, ...]
    terms: Mapping[str, float]
    compute_only_j: float
    on_chip_dynamic_j: float
    with_static_j: float


@dataclass(frozen=True)
class Range:
    low: float
    mid: float
    high: float


@dataclass(frozen=True)
class LayerEnergy:
    population: str
    counts: Counts
    dynamic_j: Mapping[str, float]


@dataclass(frozen=True)
class Constant:
    """A row of the provenance table."""

    key: str
    value: float
    unit: str
    source: str
    url: str
    grade: str
    status: str
    conditions: str


@dataclass(frozen=True)
class EnergyReport:
    """All of it, per inference. Energies in joules, times in seconds.

    Attributes:
        placeholder: says that the constants are another chip's; not empty for loihi2.
        sets: every set of constants; ``low``, ``mid``, ``high`` name the least, median and largest of them.
        boundaries: "compute_only", "on_chip_dynamic", "with_static", each over the sets.
        static_terms: static power of the cores in use, of idle cores, of embedded processors, over ``sample_s``.
        step_s: the longer of the stated period and the model; ``step_model`` None: no model, the period as stated.
        sensitivity: (step period, with_static low, mid, high), no step shorter than the model allows.
        bit_planes_at_most_j: for each set, what graded inputs could cost more as bit planes; in no total.
    """

    program: str
    target: str
    target_digest: str
    placeholder: str
    n_samples: int
    n_steps: int
    counts: Counts
    sets: tuple[SetEstimate, ...]
    low: str
    mid: str
    high: str
    boundaries: Mapping[str, Range]
    static_terms: Mapping[str, float]
    n_cores: int | None
    n_chips: int
    step_period_s: float | None
    step_s: float
    sample_s: float
    step_model: StepTime | None
    sensitivity: tuple[tuple[float, float, float, float], ...]
    layers: tuple[LayerEnergy, ...]
    n_synapses: int
    spikes_per_synapse: float
    spike_rate: float
    bands: tuple[BandVerdict, ...]
    comparison: Comparison
    state_reset_j: float
    bit_planes_at_most_j: Mapping[str, float]
    message_crossings: float | None
    notes: tuple[str, ...]
    not_included: tuple[str, ...]
    constants: tuple[Constant, ...] = field(repr=False, default=())

    def to_dict(self) -> dict[str, Any]:
        plain = asdict(self)
        plain["step_model"] = None if self.step_model is None else self.step_model.to_dict()
        return plain


def estimate_energy(
    program: Program,
    activity: Activity,
    placement: Placement | None,
    target: Target,
    step_period_s: float | None = None,
    *,
    passes: int = 1,
) -> EnergyReport:
    """Energy of one inference, mean over the samples of a run.

    Args:
        activity: a run of the program; its counts are used, not its rates.
        placement: of the program, judged with the same run, for messages, hops, cores and the step time; without one
            these terms are missing and the report says so.
        step_period_s: [s]; the chip is throttled to it where it could be faster. None: as fast as the model says.
        passes: of the ANN that it is compared with, for one sample: of a sequence as many as it has frames.

    Raises:
        ConfigError: the target has no constants, or neither a period nor times to make one from.
    """
    energy = _constants(program, placement, target, step_period_s)
    prepared = groups(program, target.chip)
    loads = neuron_loads(program, prepared, activity)
    layers = _layer_counts(program, prepared, activity, loads, placement)
    counts = _total(list(layers.values()), placement)
    model = None if placement is None else step_time(placement, activity, target)
    step_s = _step_s(target, model, step_period_s)
    n_chips = _n_chips(program, placement, target)
    power = _static_power(target, placement, n_chips)
    static = {name: watts * step_s * activity.n_steps for name, watts in power.items()}
    sets = tuple(_estimate(name, constants, counts, sum(static.values())) for name, constants in energy.sets.items())
    low, mid, high = ranked = _ranked(sets)
    # what published break-evens are stated in: operations per stored synapse, spikes per neuron and step
    n_synapses = sum(connections(program, g.synapses, zeros=False) for g in prepared if g.synapses.target in layers)
    per_synapse = counts.n_sops / n_synapses if n_synapses else 0.0
    rate = counts.spikes / counts.updates if counts.updates else 0.0
    return EnergyReport(
        program=program.name,
        target=target.name,
        target_digest=target.digest,
        placeholder=energy.placeholder,
        n_samples=activity.n_samples,
        n_steps=activity.n_steps,
        counts=counts,
        sets=sets,
        low=low.name,
        mid=mid.name,
        high=high.name,
        boundaries=_boundaries(sets),
        static_terms=static,
        n_cores=None if placement is None else placement.n_cores,
        n_chips=n_chips,
        step_period_s=step_period_s,
        step_s=step_s,
        sample_s=step_s * activity.n_steps,
        step_model=model,
        sensitivity=_sensitivity(ranked, sum(power.values()), model, activity.n_steps),
        layers=tuple(_layer_energy(name, one, energy.sets) for name, one in layers.items()),
        n_synapses=n_synapses,
        spikes_per_synapse=per_synapse,
        spike_rate=rate,
        bands=band_verdicts(per_synapse / passes, rate),
        comparison=compare(program, counts.n_sops, passes),
        state_reset_j=energy.static.state_reset.value * n_chips,
        bit_planes_at_most_j=_bit_planes(prepared, loads, energy.sets),
        message_crossings=None if placement is None else placement.message_crossings,
        notes=(*_notes(target, placement, model, prepared), *_of_passes(passes)),
        not_included=NOT_INCLUDED,
        constants=tuple(constant_table(target)),
    )


def _constants(program: Program, placement: Placement | None, target: Target, step_period_s: float | None) -> Energy:
    if target.energy is None:
        ways = "name a target that has them, or add them to its file"
        raise ConfigError("no energy constants", where=target.name, ways_out=ways)
    if step_period_s is not None and not 0 < step_period_s < 3600:
        raise ConfigError("it must be above 0 (1e-3 is a millisecond)", where=f"step period {step_period_s} s")
    if placement is not None and placement.program != program.name:
        raise InputError(f"the placement is of {placement.program}", where=program.name)
    return target.energy


def _step_s(target: Target, model: StepTime | None, stated: float | None) -> float:
    """The stated period, or what the model needs where that is longer."""
    if model is None and stated is None:
        why = "the target has no times per event" if target.timing is None else "no placement with this run"
        found = f"no step period given, and none can be computed ({why})"
        raise ConfigError(found, where=target.name, ways_out="state one, e.g. 1e-3")
    return max(stated or 0.0, 0.0 if model is None else model.step_s)


def _n_chips(program: Program, placement: Placement | None, target: Target) -> int:
    if placement is not None:
        return placement.n_chips
    n_neurons = sum(program.population(name).n_neurons for name in on_chip(program))
    return max(1, ceil(n_neurons / target.limits.neurons_per_chip.value))


Ranked = tuple[SetEstimate, SetEstimate, SetEstimate]
"""The sets of least, median and largest dynamic energy on the run: the spread of what is published."""


def _ranked(sets: tuple[SetEstimate, ...]) -> Ranked:
    ranked = sorted(sets, key=lambda s: s.on_chip_dynamic_j)
    # the lower median, so that "mid" is one of the published sets and not a mean of two
    return ranked[0], ranked[median_low(range(len(ranked)))], ranked[-1]


def _boundaries(sets: tuple[SetEstimate, ...]) -> dict[str, Range]:
    """Each with its own least, (lower) median and largest: the sets' order in one need not be that in another."""
    found = {}
    for boundary in ("compute_only", "on_chip_dynamic", "with_static"):
        values = [getattr(s, f"{boundary}_j") for s in sets]
        found[boundary] = Range(min(values), median_low(values), max(values))
    return found


def _sensitivity(
    ranked: Ranked, static_w: float, model: StepTime | None, n_steps: int
) -> tuple[tuple[float, float, float, float], ...]:
    shortest = 0.0 if model is None else model.step_s
    rows = []
    # the point at which the chip waits for the clock instead of the clock for the chip, or the plot would cut it off
    kink = (shortest,) if PERIODS_S[0] < shortest < PERIODS_S[-1] else ()
    for period in sorted({*PERIODS_S, *kink}):
        # no step is shorter than the model allows, so the curve is flat below it
        static_j = static_w * max(period, shortest) * n_steps
        low, mid, high = (s.on_chip_dynamic_j + static_j for s in ranked)
        rows.append((period, low, mid, high))
    return tuple(rows)


# ------------------------------------------------------------------------------------------------- counting


def encoding(group: Group) -> Encoding | None:
    """How a group's synapses are stored, as the constants distinguish them; None: no synapses."""
    match group.synapses.kind:
        case Dense():
            return "dense"
        case Sparse() | OneToOne():
            return "sparse"
        case Conv():
            return "conv"
        case Wire():
            return None
        case _ as kind:
            assert_never(kind)


def _layer_counts(
    program: Program, prepared: list[Group], activity: Activity, loads: NeuronLoads, placement: Placement | None
) -> dict[str, Counts]:
    found, n = {}, activity.n_samples
    for name in on_chip(program):
        events = activity.events[name]
        messages = None
        if placement is not None and placement.layer_messages is not None:
            messages = placement.layer_messages.get(name, 0.0)
        found[name] = Counts(
            sops=_sops([group for group in prepared if group.synapses.target == name], loads),
            sops_with_zeros=float(np.sum(events.sops_with_zeros)) / n,
            updates=events.n_updates / n,
            active_updates=events.n_active_updates / n,
            spikes=float(np.sum(events.n_spikes)) / n,
            messages=messages,
        )
    return found


def _sops(into: list[Group], loads: NeuronLoads) -> dict[Encoding, float]:
    """By how the weights are stored, because a read of a dense list costs less than of a sparse one."""
    sops: dict[Encoding, float] = {}
    for group in into:
        stored = encoding(group)
        if stored is not None:
            sops[stored] = sops.get(stored, 0.0) + loads.by_group[group.name]
    return sops


def _total(layers: list[Counts], placement: Placement | None) -> Counts:
    sops: dict[Encoding, float] = {}
    for counts in layers:
        for stored, n in counts.sops.items():
            sops[stored] = sops.get(stored, 0.0) + n
    return Counts(
        sops=sops,
        sops_with_zeros=sum(c.sops_with_zeros for c in layers),
        updates=sum(c.updates for c in layers),
        active_updates=sum(c.active_updates for c in layers),
        spikes=sum(c.spikes for c in layers),
        messages=None if placement is None else placement.messages,
        hops_ew=None if placement is None else placement.hops_ew,
        hops_ns=None if placement is None else placement.hops_ns,
    )


def _estimate(name: str, constants: EnergySet, counts: Counts, static_j: float) -> SetEstimate:
    terms = price(counts, constants)
    dynamic = sum(terms.values())
    statuses = tuple(sorted({figure.status for _, figure in constants.figures()}))
    return SetEstimate(name, constants.description, statuses, terms, compute_only(terms), dynamic, dynamic + static_j)


def _layer_energy(name: str, counts: Counts, sets: Mapping[str, EnergySet]) -> LayerEnergy:
    return LayerEnergy(name, counts, {key: sum(price(counts, constants).values()) for key, constants in sets.items()})


def _static_power(target: Target, placement: Placement | None, n_chips: int) -> dict[str, float]:
    """Watts. A chip leaks whether its cores are used or not; the share of those in use is told apart."""
    assert target.energy is not None, "checked by the caller"
    chip = target.energy.static.chip.value
    power = {"embedded processors": target.energy.static.embedded_processors.value * n_chips}
    if placement is None:
        return {"chips": chip * n_chips} | power
    used = placement.n_cores * chip / target.limits.cores_per_chip.value
    return {"cores in use": used, "idle cores": max(0.0, chip * n_chips - used)} | power


def _bit_planes(prepared: list[Group], loads: NeuronLoads, sets: Mapping[str, EnergySet]) -> dict[str, float]:
    """Upper bound: every bit of every graded value set; the run counts a value as one operation."""
    more: dict[Encoding, float] = {}
    for group in prepared:
        stored = encoding(group)
        if group.planes > 1 and stored is not None:
            more[stored] = more.get(stored, 0.0) + loads.by_group.get(group.name, 0.0) * (group.planes - 1)
    extra = Counts(more, 0.0, 0.0, 0.0, 0.0)
    return {name: price(extra, constants)["sops"] for name, constants in sets.items()} if more else {}


def _notes(target: Target, placement: Placement | None, model: StepTime | None, prepared: list[Group]) -> list[str]:
    notes = []
    if target.energy is not None and target.energy.placeholder:
        notes.append(target.energy.placeholder)
    if target.assumed_layout:
        notes.append(f"number of cores under an assumed layout: {target.assumed_layout}")
    if placement is None:
        notes.append("mapping not run: no messages, hops, cores in use; the number of chips is a lower bound")
    elif placement.routes.messages is None:
        notes.append("placement judged without this run: no messages, hops, step time")
    if model is None:
        notes.append("no step-time model: the step period is as stated, and the chip may not reach it")
    else:
        notes.append(f"the busiest step is bound by the {model.bound}; every step is taken to be as long")
    for group in prepared:
        if group.planes > 1:
            notes.append(
                f"{group.name}: a graded value is counted as one operation; as {group.planes} bit planes it is one "
                "for each set bit (bit_planes_at_most_j)"
            )
    notes.append(
        "fitted constants: +-11.7 % energy and +-24.3 % latency are mean errors on the authors' benchmarks, "
        "no confidence intervals"
    )
    return notes


def _of_passes(n: int) -> Iterator[str]:
    if n > 1:
        yield f"a sample is a sequence of {n} frames: the ANN passes once for each, and bands are of spikes per pass"


def constant_table(target: Target) -> list[Constant]:
    """Every constant that a report of this target uses, with its provenance."""
    rows = [(k, f) for k, f in target.figures() if k.startswith(("energy.", "timing."))]
    for name, figure in literature().operations:
        rows.append((f"literature.{name}", figure))
    return [Constant(k, f.value, f.unit, f.source, f.url, f.grade, f.status, f.conditions) for k, f in rows]
