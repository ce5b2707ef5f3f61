"""Who does the work: a run's operations, spikes and messages, neuron by neuron, summed over tiles and links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from seamount.compile.fit.chip import Chip
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Program
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Sparse, Synapses, Wire
from seamount.errors import InputError

from .placement import Assignment, Load, Routes, Tile
from .rules import Group, on_chip

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NeuronLoads:
    """Means over samples, per neuron: spikes sent, synaptic operations received; and each population's busiest step.

    Attributes:
        by_group: operations of each synapse group.
        peak: operations of the population's busiest step over those of a mean step.
    """

    n_steps: int
    spikes: dict[str, Floats]
    sops: dict[str, Floats]
    by_group: dict[str, float]
    peak: dict[str, float]


def neuron_loads(program: Program, prepared: Sequence[Group], activity: Activity) -> NeuronLoads:
    """Operations per neuron: exact totals of the run, divided by where the sources' spikes went."""
    spikes: dict[str, Floats] = {}
    for name, counts in activity.spike_counts.items():
        spikes[name] = np.asarray(counts, dtype=np.float64).reshape(-1, *program.shape(name)).mean(axis=0)
    sops: dict[str, Floats] = {}
    peak: dict[str, float] = {}
    by_group: dict[str, float] = {}
    for name in on_chip(program):
        if name not in activity.events:
            raise InputError(
                "the run has no event counts of this population", where=name, ways_out="run the same program"
            )
        per_step = np.asarray(activity.events[name].sops, dtype=np.float64) / activity.n_samples
        incoming = [g for g in prepared if g.synapses.target == name]
        received = _received(incoming, spikes, float(per_step.sum()))
        by_group |= {group: float(values.sum()) for group, values in received.items()}
        shape = program.shape(name)
        sops[name] = sum((values.reshape(shape) for values in received.values()), np.zeros(shape))
        peak[name] = float(per_step.max() / per_step.mean()) if per_step.sum() else 1.0
    return NeuronLoads(activity.n_steps, spikes, sops, by_group, peak)


def _received(incoming: Sequence[Group], spikes: dict[str, Floats], total: float) -> dict[str, Floats]:
    """Operations per target neuron of each group, together ``total``, the run's own count.

    Inputs keep no counts per neuron: what the counted sources do not explain came from them, evenly.
    """
    counted = {
        g.name: received_by(g.synapses, spikes[g.synapses.source]) for g in incoming if g.synapses.source in spikes
    }
    even = {
        g.name: received_by(g.synapses, np.ones(g.source_shape)) for g in incoming if g.synapses.source not in spikes
    }
    rest = max(0.0, total - sum(float(v.sum()) for v in counted.values()))
    for parts, share in ((even, rest), (counted, total - (rest if even else 0.0))):
        found = sum(float(v.sum()) for v in parts.values())
        for name in parts:
            parts[name] = parts[name] * (share / found if found else 0.0)
    return counted | even


def received_by(synapses: Synapses, sent: Floats) -> Floats:
    """Synaptic operations at each target neuron, given spikes per source neuron; zero weights not counted."""
    match synapses.kind:
        case Dense(weights=weights):
            return np.asarray((weights != 0) @ sent.reshape(-1), dtype=np.float64)
        case Sparse() as sparse:
            arriving = sent.reshape(-1)[sparse.columns] * (sparse.weights != 0)
            return np.bincount(sparse.rows, arriving, sparse.n_target).astype(np.float64)
        case Conv() as conv:
            return _convolved(conv, sent)
        case OneToOne(weights=weights):
            return np.asarray(sent * np.broadcast_to(weights != 0, sent.shape), dtype=np.float64)
        case Wire():
            return np.zeros(sent.shape)
        case _ as kind:
            assert_never(kind)


def _convolved(conv: Conv, sent: Floats) -> Floats:
    """Operations of a convolution at each target: (C, H, W) -> (C_out, H_out, W_out).

    A matrix product for every place in the kernel: in numpy, because torch takes longer to load than placing takes.
    """
    c_out, c_in, k_h, k_w = conv.weights.shape
    (s_h, s_w), (p_h, p_w), (d_h, d_w), _ = conv.window
    height, width = conv.window.size(sent.shape[1:], (k_h, k_w))
    padded = np.pad(np.asarray(sent, dtype=np.float64), ((0, 0), (p_h, p_h), (p_w, p_w)))
    stored = (
        (conv.weights != 0)
        .astype(np.float64)
        .reshape(conv.window.groups, c_out // conv.window.groups, c_in, k_h, k_w)
    )
    total = np.zeros((conv.window.groups, c_out // conv.window.groups, height * width))
    for i, j in np.ndindex(k_h, k_w):
        rows = slice(i * d_h, i * d_h + s_h * (height - 1) + 1, s_h)
        columns = slice(j * d_w, j * d_w + s_w * (width - 1) + 1, s_w)
        total += stored[..., i, j] @ padded[:, rows, columns].reshape(conv.window.groups, c_in, height * width)
    return total.reshape(c_out, height, width)


def connections(program: Program, synapses: Synapses, *, zeros: bool) -> int:
    """Pairs of neurons that a group connects, true fan-in at borders; with or without weights that are zero."""
    if zeros and not isinstance(synapses.kind, Wire):
        synapses = replace(synapses, kind=replace(synapses.kind, weights=np.ones_like(synapses.kind.weights)))
    return int(np.rint(received_by(synapses, np.ones(program.shape(synapses.source))).sum()))


def core_loads(tiles: Sequence[Tile], index: int, routes: Routes, loads: NeuronLoads | None) -> Load | None:
    if loads is None or routes.messages is None:
        return None

    def total(values: dict[str, Floats], scale: dict[str, float] | None = None) -> float:
        return sum(
            float(values[t.population][tuple(slice(*side) for side in t.box)].sum())
            * (1.0 if scale is None else scale[t.population])
            for t in tiles
            if t.population in values
        )

    return Load(
        sops=total(loads.sops),
        peak_sops=total(loads.sops, loads.peak) / loads.n_steps,
        updates_per_step=sum(t.n_neurons for t in tiles),
        spikes=total(loads.spikes),
        messages_in=float(routes.messages[routes.targets == index].sum()),
        messages_out=float(routes.messages[routes.sources == index].sum()),
    )


@dataclass(frozen=True)
class Traffic:
    """Of one sample: hops within chips, and messages over the busiest link between two routers."""

    hops_ew: float
    hops_ns: float
    busiest_link: float


def mesh_traffic(routes: Routes, assignment: Sequence[Assignment], chip: Chip) -> Traffic | None:
    """Messages go along the row of routers first, then along the column; legs between chips are not counted."""
    if routes.messages is None:
        return None
    columns = chip.mesh[0]
    chips = np.array([a.chip for a in assignment], dtype=np.int64)
    tiles = np.array([a.core // chip.cores_per_tile for a in assignment], dtype=np.int64)
    x, y = tiles % columns, tiles // columns
    here = chips[routes.sources] == chips[routes.targets]
    source, target, weight = routes.sources[here], routes.targets[here], routes.messages[here]
    hops_ew = float((np.abs(x[source] - x[target]) * weight).sum())
    hops_ns = float((np.abs(y[source] - y[target]) * weight).sum())
    n_chips, wide, high = (int(used.max(initial=0)) + 1 for used in (chips, x, y))  # a mesh may be far larger
    eastward, westward = np.zeros((2, n_chips, high, wide + 1))
    southward, northward = np.zeros((2, n_chips, wide, high + 1))
    for links, line, start, stop in (
        (eastward, y[source], x[source], x[target]),
        (westward, y[source], x[target], x[source]),
        (southward, x[target], y[source], y[target]),
        (northward, x[target], y[target], y[source]),
    ):
        along = stop > start
        of = chips[source][along]
        # +1 where a message enters the line of links, -1 where it leaves; the running sum is each link's load
        np.add.at(links, (of, line[along], start[along]), weight[along])
        np.add.at(links, (of, line[along], stop[along]), -weight[along])
    busiest: Any = max(
        float(np.cumsum(links, axis=2).max(initial=0.0)) for links in (eastward, westward, southward, northward)
    )
    return Traffic(hops_ew, hops_ns, float(busiest))
