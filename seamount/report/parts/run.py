"""What was run: the program, its target, its work per sample."""

from __future__ import annotations

import numpy as np

from seamount.compile.synapses.kinds import Wire
from seamount.hardware_targets.neurobench import footprint

from ..evidence import Evidence
from ..schema.quantities import known, unknown
from ..schema.values import Item, Quantity


class Fact(Item):
    name: str
    value: str


class Run(Item):
    """``reference``: what the program is compared with; ``facts``: what a reviewer asks first."""

    name: str
    target: str
    target_version: str
    reference: str = "float student"
    facts: tuple[Fact, ...] = ()
    n_steps: int | None
    timestep_s: float | None
    n_neurons: Quantity
    n_weights: Quantity
    footprint_bytes: Quantity
    spikes: Quantity
    sops: Quantity
    readout: str


def run(evidence: Evidence) -> Run:
    program = evidence.program
    stored = [s.kind.weights.size for s in program.synapses if not isinstance(s.kind, Wire)]
    readout = program.readout
    return Run(
        name=evidence.name,
        target=evidence.target.name,
        target_version=f"{evidence.target.version} ({evidence.target.digest[:12]})",
        reference=evidence.reference,
        facts=tuple(Fact(name=name, value=value) for name, value in evidence.facts),
        n_steps=program.n_steps,
        timestep_s=program.timestep_s,
        n_neurons=known(sum(p.n_neurons for p in program.populations), "neurons", "counted"),
        n_weights=known(int(sum(stored)), "weights", "counted"),
        footprint_bytes=known(footprint(program)[0], "B", "derived"),
        spikes=_per_sample(evidence, "n_spikes", "spikes/sample"),
        sops=_per_sample(evidence, "sops", "SOP/sample"),
        readout="none" if readout is None else f"{readout.quantity} of {readout.population}",
    )


def _per_sample(evidence: Evidence, name: str, unit: str) -> Quantity:
    run = evidence.counted
    if run is None or not run.events:
        return unknown(unit, evidence.reason("traced", "no run of the program was recorded"))
    total = sum(int(np.sum(getattr(events, name))) for events in run.events.values())
    return known(total / run.n_samples, unit, "counted", run.n_samples)
