"""A placed program and a run of it, as SANA-FE takes them: neurons on its cores that replay the spikes of the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from seamount.compile.fit.place import Placement
from seamount.compile.fit.place.rules import Group, flat_indices, groups, on_chip
from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import Ints
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Population, Program
from seamount.compile.synapses.fan_out import fan_out
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Sparse, Wire
from seamount.compile.synapses.matrix import diagonal, unrolled
from seamount.errors import Reason, Unsupported

from ..energy import Encoding, encoding
from ..target import Target

Flags = NDArray[np.uint8]

COLUMNS, ROWS, CORES_PER_TILE, NEURONS_PER_CORE = 8, 4, 4, 1024
"""SANA-FE's Loihi (its loihi.yaml)."""
N_CORES = COLUMNS * ROWS * CORES_PER_TILE
INPUTS_PER_CORE = 256
"""Of its inputs each is a unit that all cores have: few on a core keep the model small."""
MOST_CONNECTIONS = 4_000_000
"""It keeps each as an object of about 900 bytes, in 10 us (measured, sanafe 2.2.9)."""


@dataclass(frozen=True)
class Senders:
    """An input of the chip or a population, its neurons flat in C order.

    Attributes:
        cores: SANA-FE's core of each neuron, (n,).
        fired: (samples x steps, n) 0/1, the samples one after the other.
        awake: likewise, whether v was not 0 after the step before, or there is a bias: then SANA-FE's neuron is
            updated though nothing arrives. None of an input.
    """

    name: str
    cores: Ints
    fired: Flags
    awake: Flags | None


@dataclass(frozen=True)
class Bundle:
    """The synapses of one group whose sources fire in the run, by numbers of senders and of their neurons."""

    source: int
    target: int
    encoding: Encoding
    sources: Ints
    targets: Ints


@dataclass(frozen=True)
class Replay:
    senders: tuple[Senders, ...]
    bundles: tuple[Bundle, ...]


def make_replay(
    program: Program, inputs: Mapping[str, NDArray[Any]], activity: Activity, placement: Placement, target: Target
) -> Replay:
    """
    Args:
        inputs: integers (T, B, *shape) by input; any value but 0 counts as a spike, as in ``activity``.
        activity: the run of these inputs, with spikes and v.

    Raises:
        Unsupported: SANA-FE's Loihi cannot hold it; all reasons are named.
    """
    reasons = list(_reasons(program, placement, target))
    if reasons:
        raise Unsupported.together(reasons)
    prepared = [g for g in groups(program, target.chip) if not isinstance(g.synapses.kind, Wire)]
    outside = list(dict.fromkeys(g.synapses.source for g in prepared if g.external))
    fired = {name: _fired(program, name, inputs, activity) for name in (*outside, *on_chip(program))}
    _require_few(prepared, fired)
    senders = [*_outside(program, outside, fired, placement), *_populations(program, fired, activity, placement)]
    numbers = {one.name: n for n, one in enumerate(senders)}
    return Replay(tuple(senders), tuple(_bundle(group, numbers, fired) for group in prepared))


def core_of(core: int) -> int:
    """SANA-FE's number of a core: it counts its tiles down the columns, we along the rows."""
    tile, place = divmod(core, CORES_PER_TILE)
    row, column = divmod(tile, COLUMNS)
    return (column * ROWS + row) * CORES_PER_TILE + place


# ------------------------------------------------------------------------------------------------ what it can hold


def _reasons(program: Program, placement: Placement, target: Target) -> Iterator[Reason]:
    chip = target.chip
    if chip.mesh != (COLUMNS, ROWS) or chip.cores_per_tile != CORES_PER_TILE or chip.compartments > NEURONS_PER_CORE:
        possible = (
            f"its only Loihi has {N_CORES} cores of {NEURONS_PER_CORE:,} neurons, by {CORES_PER_TILE} on "
            f"{COLUMNS} x {ROWS} routers"
        )
        yield Reason(f"{target.name} is another chip", "SANA-FE", possible, ("--target loihi1",))
    elif placement.n_chips > 1:
        yield Reason(f"the network takes {placement.n_chips} chips", "SANA-FE", "its Loihi is one")
    others = [p for name in on_chip(program) if not isinstance((p := program.population(name)).neuron, Lif)]
    for population in others:
        found = f"{type(population.neuron).__name__} neurons"
        yield Reason(found, population.name, "SANA-FE's Loihi has LIF neurons with spikes of one bit")


def _require_few(prepared: Sequence[Group], fired: Mapping[str, Flags]) -> None:
    n = 0
    for group in prepared:
        senders = _senders(fired[group.synapses.source])
        n += int(fan_out(group.synapses.kind, group.source_shape)[senders, 0].sum())
    if n > MOST_CONNECTIONS:
        possible = f"SANA-FE takes about 1 kB for each, at most {MOST_CONNECTIONS:,} are tried"
        raise Unsupported(f"{n:,} synapses carry spikes", where="SANA-FE", possible=possible)


# ---------------------------------------------------------------------------------------------------- its neurons


def _fired(program: Program, name: str, inputs: Mapping[str, NDArray[Any]], activity: Activity) -> Flags:
    if name not in inputs:
        return _in_a_row(activity.spikes[name])
    sent = np.zeros((activity.n_steps, activity.n_samples, *program.shape(name)), np.uint8)
    given = np.asarray(inputs[name])[: activity.n_steps]
    sent[: len(given)] = given != 0
    return _in_a_row(sent)


def _in_a_row(trace: NDArray[Any]) -> Flags:
    """(T, B, *shape) -> (B x T, n): one sample after the other."""
    n_steps, n_samples = trace.shape[:2]
    return np.ascontiguousarray((trace != 0).swapaxes(0, 1).reshape(n_samples * n_steps, -1).astype(np.uint8))


def _outside(
    program: Program, names: Sequence[str], fired: Mapping[str, Flags], placement: Placement
) -> Iterator[Senders]:
    """Inputs stand on cores that the program leaves free, because they are no neurons of its."""
    used = {core.core for core in placement.cores}
    free = [core for core in range(N_CORES) if core not in used]
    n = sum(fired[name].shape[1] for name in names)
    if n > len(free) * NEURONS_PER_CORE:
        possible = f"the {len(free)} cores that are left hold {len(free) * NEURONS_PER_CORE:,}"
        raise Unsupported(f"{n:,} inputs", where="SANA-FE", possible=possible)
    each = max(INPUTS_PER_CORE, -(-n // max(1, len(free))))
    start = 0
    for name in names:
        at = np.arange(start, start := start + fired[name].shape[1]) // each
        yield Senders(name, np.array([core_of(free[i]) for i in at], dtype=np.int64), fired[name], None)


def _populations(
    program: Program, fired: Mapping[str, Flags], activity: Activity, placement: Placement
) -> Iterator[Senders]:
    cores = {name: np.zeros(program.population(name).n_neurons, np.int64) for name in on_chip(program)}
    for core in placement.cores:
        for tile in core.tiles:
            cores[tile.population][flat_indices(tile.box, program.shape(tile.population))] = core_of(core.core)
    for name, places in cores.items():
        yield Senders(name, places, fired[name], _awake(program.population(name), activity.v[name]))


def _awake(population: Population, v: NDArray[Any]) -> Flags:
    neuron = population.neuron
    assert isinstance(neuron, Lif), "others were refused"
    biased = np.broadcast_to(neuron.bias_mant != 0, population.shape)
    before = np.concatenate([np.broadcast_to(neuron.v_init, (1, *v.shape[1:])), v[:-1]])
    return _in_a_row((before != 0) | biased)


# --------------------------------------------------------------------------------------------------- its synapses


def _bundle(group: Group, numbers: Mapping[str, int], fired: Mapping[str, Flags]) -> Bundle:
    synapses, stored = group.synapses, encoding(group)
    assert stored is not None, "wires were left out"
    sources, targets = _pairs(group)
    carrying = _senders(fired[synapses.source])[sources]
    return Bundle(numbers[synapses.source], numbers[synapses.target], stored, sources[carrying], targets[carrying])


def _senders(fired: Flags) -> NDArray[np.bool_]:
    """Neurons that fire at all."""
    return np.asarray(fired.any(axis=0))


def _pairs(group: Group) -> tuple[Ints, Ints]:
    """(source, target) of every synapse whose weight is not 0."""
    match group.synapses.kind:
        case Dense(weights=weights):
            targets, sources = np.nonzero(weights)
            return sources, targets
        case Sparse() as sparse:
            pass
        case Conv() as conv:
            sparse = unrolled(conv, group.source_shape, group.target_shape, zeros=False)
        case OneToOne() as one:
            sparse = diagonal(one, group.target_shape)
        case Wire():
            raise AssertionError("wires were left out")
        case _ as kind:
            assert_never(kind)
    there = sparse.weights != 0
    return sparse.columns[there], sparse.rows[there]
