"""What to try next, the most promising first."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from ..evidence import Evidence
from ..schema.text import count, si
from ..schema.values import Item, Missing, Series
from .anytime import Anytime
from .energy import Energy
from .layers import Layer
from .mapping import Mapping


class Opportunity(Item):
    """``command`` tries it, as it stands; empty where no command does."""

    id: str
    title: str
    gain: str
    command: str


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
        found += [told for layer in layers for told in _of_layer(evidence, layer)]
    if isinstance(energy, Energy):
        found += _of_energy(evidence, energy)
    if isinstance(early, Anytime):
        found += _of_time(evidence, early)
    if evidence.oracle is None:
        found.append(
            Opportunity(
                id="prove-lava",
                title="Prove it against Lava",
                gain="The verdict bit-exact then rests on an implementation that is not ours.",
                command=f"seamount run-lava {_folder(evidence)} --samples 20",
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
            command=_sweep(evidence, "target.placement=cores,load,crossings"),
        )
        for m in tight[:3]
    ]


def _folder(evidence: Evidence) -> str:
    return shlex.quote(evidence.folder or f"runs/{evidence.name}")


def _sweep(evidence: Evidence, axis: str) -> str:
    """Nothing for what Seamount did not train: there are no settings to train it anew with."""
    return f"seamount sweep {_folder(evidence)}/resolved.toml --over {axis}" if evidence.trained else ""


def _why(evidence: Evidence, layer: Layer) -> str:
    """Nothing where there is no network in real numbers to explain it with."""
    if layer.damage.value is None:
        return ""
    return f"seamount why {_folder(evidence)} {shlex.quote(layer.name)}"


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
            command=_sweep(evidence, f"student.n_steps={early.enough},{n_steps}"),
        )
    ]


def _of_layer(evidence: Evidence, layer: Layer) -> Iterator[Opportunity]:
    why = _why(evidence, layer)
    dead, always, damage = layer.n_dead.value, layer.n_always.value, layer.damage.value
    if dead is not None and dead / layer.n_neurons > 0.1:
        yield Opportunity(
            id=f"prune-{layer.name}",
            title=f"{layer.name}: {100 * dead / layer.n_neurons:.0f} % of the neurons never fired",
            gain=f"Up to {dead:,} of {layer.n_neurons:,} neurons can go without a change in these "
            f"{layer.n_dead.n:,} samples; confirm on the whole test set.",
            command=why,
        )
    if always is not None and always / layer.n_neurons > 0.05:
        yield Opportunity(
            id=f"calm-{layer.name}",
            title=f"{layer.name}: {always:,} {'neuron fires' if always == 1 else 'neurons fire'} at every step",
            gain="That carries no information; a higher threshold saves spikes and synaptic operations.",
            command=why,
        )
    if layer.n_overflows:
        yield Opportunity(
            id=f"overflow-{layer.name}",
            title=f"{layer.name}: values left their range {count(layer.n_overflows)} times",
            gain="A lower scale of this layer removes it; each wrapped value is an arbitrary error.",
            command=why,
        )
    if damage is not None and damage > 5:
        yield Opportunity(
            id=f"diverge-{layer.name}",
            title=f"{layer.name}: {damage:.1f} % of the spikes have no partner in the {evidence.reference}",
            gain="Names which effect does it: weight rounding, decay grid, threshold or saturation.",
            command=why,
        )


def _of_energy(evidence: Evidence, energy: Energy) -> list[Opportunity]:
    """Static power is paid by the step: where it prevails, shorter steps are what saves most."""
    mid = next((s for s in energy.sets if s.name == energy.mid), None)
    stated = energy.stated_period_s.value
    if mid is None or stated is None or not mid.dynamic_j.value or not mid.total_j.value:
        return []
    static = mid.total_j.value - mid.dynamic_j.value
    shortest = max((t.time_s.value or 0 for t in energy.step_time), default=0)
    if static <= mid.dynamic_j.value or not 0 < shortest < stated:
        return []
    share = 100 * static / mid.total_j.value
    saved = static * (1 - shortest / stated)
    return [
        Opportunity(
            id="step-period",
            title=f"Static power is {share:.0f} % of the total at {si(stated, 's')} a step",
            gain=f"Up to {si(saved, 'J')} per inference less at the modelled step of {si(shortest, 's')} (derived).",
            command=_sweep(evidence, f"target.step_period_s={stated:g},{shortest:.1e}"),
        )
    ]
