"""NeuroBench's complexity metrics, by its definitions and under its names, from integer traces.

Definitions: NeuroBench 2.3.0 as its code has them (arXiv:2304.04640; the package's own hooks see torch modules, not a
program, so they are implemented here and compared with the package in an optional test). Of every population only the
steps in which it works on the sample are looked at, [arrival, arrival + n_steps): a chip's pipeline is not part of
the definitions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seamount.compile.fit.place.load import connections, received_by
from seamount.compile.program.activity import Activity
from seamount.compile.program.messages import messages
from seamount.compile.program.program import Population, Program
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Sparse, Synapses, Wire
from seamount.errors import InputError

Operation = Literal["mac", "ac", "none"]
"""What a synapse group's operations count as; one-to-one synapses are no layer of NeuroBench's."""

VERSION = "2.3.0"
"""Of the package whose definitions these are."""


@dataclass(frozen=True)
class NeuroBench:
    """Values per sample where NeuroBench has them so.

    Attributes:
        footprint_bytes: parameters x bytes each as deployed (weights 1, rates 2, thresholds 4, biases 3, delays 1).
        footprint_fp32_bytes: the same parameters at 4 bytes, what the package counts on a float module.
        connection_sparsity: zero weights / weights of matrices and convolutions; 4 digits, as the package rounds.
        activation_sparsity: 1 - spikes / (neurons x steps x samples), spiking populations.
        effective_macs, effective_acs: operations of non-zero inputs with non-zero weights; accumulates where the
            inputs are spikes.
        dense: operations were every input and weight non-zero.
        membrane_updates: neurons at the first step, later those whose potential changed; None: it was not recorded.
    """

    footprint_bytes: int
    footprint_fp32_bytes: int
    connection_sparsity: float
    activation_sparsity: float
    effective_macs: float
    effective_acs: float
    dense: float
    membrane_updates: float | None

    def flat(self) -> dict[str, float]:
        """One number a name; without the membrane updates where they were not counted."""
        plain = self.to_dict()
        operations = plain.pop("SynapticOperations")
        return {k: float(v) for k, v in (plain | operations).items() if isinstance(v, int | float)}

    def to_dict(self) -> dict[str, Any]:
        """Under NeuroBench's names."""
        return {
            "Footprint": self.footprint_bytes,
            "FootprintFp32": self.footprint_fp32_bytes,
            "ConnectionSparsity": self.connection_sparsity,
            "ActivationSparsity": self.activation_sparsity,
            "SynapticOperations": {
                "Effective_MACs": self.effective_macs,
                "Effective_ACs": self.effective_acs,
                "Dense": self.dense,
            },
            "MembraneUpdates": self.membrane_updates,
            "version": VERSION,
        }


def neurobench_metrics(program: Program, activity: Activity) -> NeuroBench:
    """The metrics of one run, of single samples (not of a stream).

    Args:
        activity: with "v" recorded for the membrane updates, or "states" where neurons have others; with "spikes"
            where branches of different kind or delay meet, unless nothing spikes outside of the windows.

    Raises:
        InputError: no n_steps, or operations that cannot be told apart without recorded spikes.
    """
    if program.n_steps is None:
        raise InputError(
            "the program names no number of steps, so there are no samples to count by", where=program.name
        )
    layers = [s for s in program.synapses if isinstance(s.kind, Dense | Sparse | Conv)]
    totals: dict[Operation, float] = {"mac": 0.0, "ac": 0.0, "none": 0.0}
    for population in program.populations:
        for operation, n in _operations(program, activity, population.name).items():
            totals[operation] += n
    spiking = [p for p in program.populations if _spikes(p)]
    fired = sum(float(np.sum(activity.events[p.name].n_spikes[_window(program, p.name)])) for p in spiking)
    possible = sum(p.n_neurons for p in spiking) * program.n_steps
    small, wide = footprint(program)
    return NeuroBench(
        footprint_bytes=small,
        footprint_fp32_bytes=wide,
        connection_sparsity=connection_sparsity(layers),
        activation_sparsity=1 - fired / (possible * activity.n_samples) if possible else 0.0,
        effective_macs=totals["mac"],
        effective_acs=totals["ac"],
        dense=float(sum(connections(program, s, zeros=True) for s in layers) * program.n_steps),
        membrane_updates=membrane_updates(program, activity),
    )


def connection_sparsity(layers: list[Synapses]) -> float:
    total = zero = 0
    for s in layers:
        kind = s.kind
        assert isinstance(kind, Dense | Sparse | Conv), "chosen by the caller"
        # NeuroBench counts entries of torch's tensors, so a sparse matrix is one whose other weights are zero
        size = kind.n_target * kind.n_source if isinstance(kind, Sparse) else kind.weights.size
        total += size
        zero += size - int(np.count_nonzero(kind.weights))
    return round(zero / total, 4) if total else 0.0


def membrane_updates(program: Program, activity: Activity) -> float | None:
    """Per sample; what has no state has no membrane, a neuron of several states updates when any but u changes."""
    count = 0
    for population in program.populations:
        name, states = population.name, [state for state in population.neuron.shown if state != "u"]
        if not states:
            continue
        if any(name not in activity.states.get(state, {}) for state in states):
            return None
        traces = [activity.states[state][name][_window(program, name)] for state in states]
        # of a population that the run ends before, no step is looked at
        changed = np.any([x[1:] != x[:-1] for x in traces], axis=0)
        count += traces[0][:1].size + int(np.count_nonzero(changed))
    return count / activity.n_samples


def footprint(program: Program) -> tuple[int, int]:
    """Bytes of all parameters, as deployed and at 4 bytes each."""
    small = elements = 0
    for s in program.synapses:
        if hasattr(s.kind, "weights"):
            delays = s.delay.size if s.delay.any() else 0
            small += s.kind.weights.size + delays
            elements += s.kind.weights.size + delays
    for population in program.populations:
        held = population.neuron.settings()
        biases = [array for array in held.biases if array.any()]
        for width, arrays in ((2, held.rates), (4, held.thresholds), (3, biases)):
            small += width * sum(array.size for array in arrays)
            elements += sum(array.size for array in arrays)
    return small, 4 * elements


def _spikes(population: Population) -> bool:
    """Whether it is an activation: not a relay, nor an integrator that never fires."""
    return not (population.neuron.passes_on or population.neuron.never_sends)


def _window(program: Program, name: str) -> slice:
    start = program.arrivals()[name]
    assert program.n_steps is not None, "checked by the caller"
    return slice(start, start + program.n_steps)


def _operations(program: Program, activity: Activity, target: str) -> dict[Operation, float]:
    """Operations per sample of the synapses into one population, windows of their sources only."""
    incoming = [s for s in program.into(target) if not isinstance(s.kind, Wire)]
    kinds = {s.name: _operation(program, s) for s in incoming}
    windows = {_window(program, s.source).start for s in incoming}
    total: float | None = None
    if len(windows) == 1:
        # a run books operations in the step in which the source sends
        per_step = np.asarray(activity.events[target].sops, dtype=np.float64)
        total = float(per_step[_window(program, incoming[0].source)].sum()) / activity.n_samples
        if len(set(kinds.values())) == 1:
            return {kinds[incoming[0].name]: total}
    inputs = {i.name for i in program.inputs}
    outside = [s for s in incoming if s.source in inputs]
    found: dict[Operation, float] = {"mac": 0.0, "ac": 0.0, "none": 0.0}
    for s in incoming:
        if s not in outside:
            found[kinds[s.name]] += float(received_by(s, _nonzeros(program, activity, s.source)).sum())
    if outside:
        if len({kinds[s.name] for s in outside}) > 1:
            raise InputError("the operations of several inputs cannot be told apart", where=target)
        # an input is silent outside of its window: over all steps, too, it is what the other sources leave
        rest = _others(activity, target, incoming, outside) if total is None else total - sum(found.values())
        found[kinds[outside[0].name]] += rest
    return found


def _others(activity: Activity, target: str, incoming: list[Synapses], outside: list[Synapses]) -> float:
    """Operations per sample, over all steps, but for those of the populations among the sources."""
    every = float(np.sum(activity.events[target].sops)) / activity.n_samples
    for s in incoming:
        if s not in outside:
            every -= float(received_by(s, np.mean(activity.spike_counts[s.source], axis=0)).sum())
    return every


def _operation(program: Program, synapses: Synapses) -> Operation:
    if isinstance(synapses.kind, OneToOne):
        return "none"
    return "mac" if synapses.graded and messages(program)[synapses.source].bits > 2 else "ac"


def _nonzeros(program: Program, activity: Activity, source: str) -> NDArray[np.float64]:
    """Non-zero values per source neuron and sample, inside the source's window."""
    window = _window(program, source)
    if source in activity.spikes:
        counted = (activity.spikes[source][window] != 0).sum(axis=0)
        return np.asarray(counted.mean(axis=0), dtype=np.float64)
    per_step = np.asarray(activity.events[source].n_spikes)
    if per_step.sum() != per_step[window].sum():
        raise InputError(
            f"its spikes lie partly outside of the sample's steps {window.start} to {window.stop - 1} and "
            "were not recorded; run with record=('spikes', 'v')",
            where=source,
        )
    return np.asarray(np.mean(activity.spike_counts[source], axis=0), dtype=np.float64)
