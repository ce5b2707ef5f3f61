"""From raw results to the report: the one place where its numbers are computed."""

from __future__ import annotations

import numpy as np

from seamount.compile.synapses.kinds import Wire
from seamount.hardware_targets.neurobench import footprint

from .evidence import Evidence
from .parts import advice
from .parts.accuracy import accuracy, anytime
from .parts.energy import energy, energy_per_step
from .parts.graph import graph
from .parts.layers import layers
from .parts.mapping import mapping
from .parts.neurobench import neurobench
from .parts.raster import raster
from .report import Provenance, Quantity, Report, Run, Timing
from .schema.quantities import known, unknown


def assemble(evidence: Evidence) -> Report:
    """The report of one run. Same evidence, same report, byte for byte, ``timing`` apart."""
    rungs = accuracy(evidence)
    proven = advice.proof(evidence)
    populations = layers(evidence)
    placed = mapping(evidence)
    estimate = energy(evidence)
    early = anytime(evidence, estimate, energy_per_step(evidence))
    verdicts = advice.verdicts(rungs, proven, populations, placed, estimate)
    return Report(
        run=_run(evidence),
        headline=advice.headline(rungs, proven),
        verdicts=verdicts,
        checks=advice.checks(verdicts),
        accuracy=rungs,
        proof=proven,
        layers=populations,
        trace_note=evidence.traced.note if evidence.traced is not None else "",
        raster=raster(evidence),
        anytime=early,
        mapping=placed,
        energy=estimate,
        neurobench=neurobench(evidence),
        graph=graph(evidence.program),
        sweep=advice.front(evidence),
        opportunities=advice.opportunities(evidence, populations, placed, estimate, early),
        assumptions=tuple(evidence.assumptions),
        provenance=_provenance(evidence),
        timing=Timing(created=evidence.created, wall_s={k: round(float(v), 3) for k, v in evidence.wall_s.items()}),
    )


def _run(evidence: Evidence) -> Run:
    program = evidence.program
    stored = [s.kind.weights.size for s in program.synapses if not isinstance(s.kind, Wire)]
    readout = program.readout
    return Run(
        name=evidence.name,
        target=evidence.target.name,
        target_version=f"{evidence.target.version} ({evidence.target.digest[:12]})",
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


def _provenance(evidence: Evidence) -> Provenance:
    return Provenance(
        command=evidence.command,
        seeds=dict(sorted(evidence.seeds.items())),
        versions=dict(sorted(evidence.versions.items())),
        hashes=dict(sorted((dict(evidence.program.provenance) | dict(evidence.hashes)).items())),
        hardware=evidence.hardware,
        oracle=evidence.oracle or evidence.reason("oracle", "none: nothing was compared with Lava"),
        deviations=tuple(evidence.deviations),
    )
