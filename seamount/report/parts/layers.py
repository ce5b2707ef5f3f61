"""The entry of each population: what the float student did there, what the program does, and what to know about it.

The parts of an entry have files of their own: ``divergence``, ``rates``, ``ranges``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from seamount.compile.numbers import FULL_SCALE_BITS, PerNeuron
from seamount.compile.program.program import Population
from seamount.compile.synapses.kinds import Wire

from ..evidence import Evidence
from ..schema.quantities import known, unknown
from ..schema.values import Item, Missing, Quantity, Series
from . import divergence, rates
from .divergence import Sides, sides
from .ranges import StateRange, Weights, state, weight_words, weights


class Layer(Item):
    """One population: what the float student did there and what the deployed program does."""

    name: str
    kind: str
    shape: tuple[int, ...]
    n_neurons: int
    parameters: str
    arrival: int
    scale: Quantity
    weights: tuple[Weights, ...]
    rounding: tuple[str, ...]
    spikes_float: Quantity
    spikes_deployed: Quantity
    change_percent: Quantity
    agreement: Quantity
    first_divergent_step: Quantity
    membrane_rmse: Quantity
    rate_distance: Quantity = unknown(divergence.RATE, "the report was written before it was measured")
    v_saturations: Quantity
    u_wraps: Quantity
    drive_wraps: Quantity
    sops: Quantity
    damage: Quantity
    words: str
    rate_float: Series | Missing
    rate_deployed: Series | Missing
    agreement_per_step: Series | Missing
    rates: Series | Missing
    rate_edges: tuple[float, ...]
    n_dead: Quantity
    n_always: Quantity
    v: StateRange | Missing
    u: StateRange | Missing

    @property
    def n_overflows(self) -> int | None:
        """How often a value left its range here; None if nobody counted."""
        counts = [q.value for q in (self.v_saturations, self.u_wraps, self.drive_wraps)]
        return None if any(c is None for c in counts) else int(sum(c for c in counts if c is not None))


def layers(evidence: Evidence) -> tuple[Layer, ...] | Missing:
    """Sorted by damage, the largest first; populations that cannot diverge follow in the program's order."""
    if evidence.traced is None and evidence.full_run is None:
        return Missing(missing=evidence.reason("traced", "no run of the program was recorded"))
    both = {p.name: sides(evidence, p) for p in evidence.program.populations}
    made = {p.name: _layer(evidence, p, both[p.name]) for p in evidence.program.populations}
    damage = {name: float(layer.damage.value) for name, layer in made.items() if layer.damage.value is not None}
    # words last: they tell of the damage that came in with the sources' spikes
    told = [
        layer.model_copy(update={"words": _words(evidence, layer, both[name], _inherited(evidence, name, damage))})
        for name, layer in made.items()
    ]
    return tuple(sorted(told, key=lambda layer: -damage.get(layer.name, -1)))


def _inherited(evidence: Evidence, name: str, damage: dict[str, float]) -> tuple[str, float] | None:
    """The source whose spikes differ most already, and by how much."""
    sources = [s.source for s in evidence.program.into(name) if s.source in damage]
    worst = max(sources, key=lambda source: damage[source], default=None)
    return None if worst is None else (worst, damage[worst])


def _scale(scale: PerNeuron | None) -> Quantity:
    """The middle one, between the lowest and the highest, where neurons or channels have scales of their own."""
    unit = "chip units per real unit"
    if scale is None:
        return unknown(unit, "the program names no scale here")
    if np.ndim(scale) == 0:
        return known(float(scale), unit, "derived")
    low, middle, high = (float(q) for q in np.percentile(scale, (0, 50, 100)))
    return known(middle, unit, "derived", low=low, high=high)


def _layer(evidence: Evidence, population: Population, both: Sides) -> Layer:
    """All but the words, which need the other populations' damage."""
    program, name = evidence.program, population.name
    of_neurons = rates.neuron_rates(both)
    return Layer(
        name=name,
        kind=kind_of(population),
        shape=population.shape,
        n_neurons=population.n_neurons,
        parameters=parameters(population),
        arrival=program.arrivals()[name],
        scale=_scale(program.scales.get(name)),
        weights=tuple(
            weights(s, evidence.weight_bits.get(s.name, FULL_SCALE_BITS), evidence.target.chip)
            for s in program.into(name)
            if not isinstance(s.kind, Wire)
        ),
        rounding=tuple(evidence.rounding.get(name, ())),
        spikes_float=rates.per_sample(both, both.float, both.unpaired),
        spikes_deployed=rates.per_sample(both, both.deployed, both.unpaired),
        change_percent=divergence.change_percent(both),
        agreement=divergence.agreement(both),
        first_divergent_step=divergence.first_divergent_step(both),
        membrane_rmse=divergence.membrane_rmse(evidence, population),
        rate_distance=divergence.rate_distance(both),
        v_saturations=_counted(evidence, name, "n_v_saturations"),
        u_wraps=_counted(evidence, name, "n_u_wraps"),
        drive_wraps=_counted(evidence, name, "n_drive_wraps"),
        sops=_sops(evidence, name),
        damage=divergence.damage(both),
        words="",
        rate_float=rates.per_step(both, None if both.pair is None else both.float, both.unpaired),
        rate_deployed=rates.per_step(both, both.deployed, both.unpaired),
        agreement_per_step=divergence.agreement_per_step(both),
        rates=rates.histogram(both, of_neurons),
        rate_edges=rates.edges(),
        n_dead=rates.neurons_at(both, of_neurons, 0.0),
        n_always=rates.neurons_at(both, of_neurons, 1.0),
        v=state(evidence, population, "v"),
        u=state(evidence, population, "u"),
    )


def _counted(evidence: Evidence, name: str, event: str) -> Quantity:
    run = evidence.counted
    if run is None or name not in run.events:
        return unknown("events", "the run counted no events of this population")
    return known(int(getattr(run.events[name], event)), "events", "counted", run.n_samples)


def _sops(evidence: Evidence, name: str) -> Quantity:
    run = evidence.counted
    if run is None or name not in run.events:
        return unknown("SOP/sample", "the run counted no events of this population")
    return known(float(np.sum(run.events[name].sops)) / run.n_samples, "SOP/sample", "counted", run.n_samples)


def kind_of(population: Population) -> str:
    """What a population is to a reader: what only integrates is no spiking neuron."""
    neuron = population.neuron
    if neuron.passes_on:
        return "relay"
    name = type(neuron).__name__
    return "integrator" if neuron.never_sends else {"Lif": "LIF"}.get(name, name)


def parameters(population: Population) -> str:
    """The integers of the neuron in a line."""
    neuron = population.neuron
    if neuron.passes_on:
        return "relay, no state"
    facts = []
    for name, value in neuron.told().items():
        low, high = int(np.min(value)), int(np.max(value))
        if name.startswith("v_th") and neuron.never_sends:
            facts.append("never fires")
        else:
            facts.append(f"{name} {low}" if low == high else f"{name} {low}..{high}")
    return ", ".join(facts)


# --------------------------------------------------------------------------------------------------- words


def _words(evidence: Evidence, layer: Layer, both: Sides, inherited: tuple[str, float] | None) -> str:
    """What a reader should know about this population, the gravest first."""
    has_u = "u" in evidence.program.population(layer.name).neuron.states
    readout = evidence.program.readout
    read = "nothing reads it"
    if readout is not None and readout.population == layer.name:
        read = f"the answer is read from {readout.quantity}"
    sentences = [*_divergence_words(layer, both, inherited, read), *_overflow_words(layer, has_u)]
    for group in layer.weights:
        sentences += weight_words(group)
    return " ".join(sentences)


def _divergence_words(layer: Layer, both: Sides, inherited: tuple[str, float] | None, read: str) -> Iterator[str]:
    damage = layer.damage.value
    if damage is None:
        if not both.fires:  # of others the reason is ``damage``'s, which the page gives once for all of them
            yield f"Integrates its input; {read}."
        return
    if damage == 0:
        yield f"Every spike equals the {both.reference}'s."
        return
    change, drift = layer.change_percent.value, ""
    if change is not None and abs(change) >= 0.05:
        drift = f"; it fires {abs(change):.1f} % {'more' if change > 0 else 'less'}"
    yield (
        f"{damage:.1f} % of the spikes have no partner in the {both.reference}, "
        f"the first at step {layer.first_divergent_step.value}{drift}."
    )
    if inherited is not None and inherited[1] > 0:
        source, before = inherited
        added = "; this layer adds nothing" if before >= damage else ""
        yield f"Its input {source} already differs by {before:.1f} %{added}."


def _overflow_words(layer: Layer, has_u: bool) -> Iterator[str]:
    for words, q in (
        ("v saturated", layer.v_saturations),
        ("u wrapped around" if has_u else "A state left its 24 bits", layer.u_wraps),
        ("The drive wrapped around", layer.drive_wraps),
    ):
        if q.value:
            yield f"{words} {q.value} times."
