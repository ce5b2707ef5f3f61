"""Judges a placement by the public rules, whoever made it: every neuron once, every limit of every core."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from seamount.compile.fit.chip import Chip, HasChip
from seamount.compile.fit.finding import Finding
from seamount.compile.numbers import Ints
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Population, Program
from seamount.compile.synapses.kinds import Wire
from seamount.errors import InputError

from .load import NeuronLoads, core_loads, mesh_traffic, neuron_loads
from .placement import Assignment, Core, LayerUse, Placement, Routes, Tile, Use, limits
from .rules import AxonKind, Group, Need, groups, n_neurons, on_chip


def validate_placement(
    program: Program,
    assignment: Sequence[Assignment],
    target: HasChip,
    *,
    axons: Mapping[str, AxonKind] | None = None,
    activity: Activity | None = None,
    objective: str = "given",
) -> Placement:
    """What a placement costs, core by core; ``Placement.violations`` tells what does not fit.

    Args:
        axons: kind of input axon per synapse group; discrete where not named.
        activity: a run of the program, for loads, messages and hops.

    Raises:
        InputError: a neuron without a core or with two, a core used twice or off the chip.
    """
    chip = target.chip
    kinds = dict(axons or {})
    _check_assignment(program, assignment, chip)
    prepared = groups(program, chip)
    places = [(index, tile) for index, entry in enumerate(assignment) for tile in entry.tiles]
    loads = None if activity is None else neuron_loads(program, prepared, activity)
    routes, sent, layer_messages = _routes(prepared, places, kinds, loads)
    tile_uses = [_tile_use(program, prepared, tile, kinds, int(sent[n])) for n, (_, tile) in enumerate(places)]
    uses = [Use() for _ in assignment]
    for (index, _), use in zip(places, tile_uses, strict=True):
        uses[index] = uses[index] + use
    work = [core_loads(entry.tiles, index, routes, loads) for index, entry in enumerate(assignment)]
    cores = tuple(
        Core(entry.chip, entry.core, entry.tiles, use, load)
        for entry, use, load in zip(assignment, uses, work, strict=True)
    )
    chips = np.array([entry.chip for entry in assignment], dtype=np.int64)
    crossing = chips[routes.sources] != chips[routes.targets]
    effort = [c.load.sops if c.load is not None else float(c.use.synapse_words) for c in cores]
    traffic = mesh_traffic(routes, assignment, chip)
    return Placement(
        program=program.name,
        target=chip.name,
        assumed_layout=chip.assumed_layout,
        objective=objective,
        cores=cores,
        layers=tuple(_layers(program, prepared, places, tile_uses, kinds, chip)),
        violations=tuple(_violations(assignment, uses, chip)),
        routes=routes,
        chip_crossings=int(routes.axons[crossing].sum()),
        imbalance=max(effort) / (sum(effort) / len(effort)) if sum(effort) else 1.0,
        cores_per_chip=chip.cores_per_chip,
        layer_messages=None if loads is None else layer_messages,
        message_crossings=None if routes.messages is None else float(routes.messages[crossing].sum()),
        hops_ew=None if traffic is None else traffic.hops_ew,
        hops_ns=None if traffic is None else traffic.hops_ns,
        busiest_link=None if traffic is None else traffic.busiest_link,
        assumptions=tuple(_assumptions(program, prepared, chip)),
    )


def _check_assignment(program: Program, assignment: Sequence[Assignment], chip: Chip) -> None:
    _check_cores(program.name, assignment, chip)
    covered = {name: np.zeros(program.shape(name), dtype=np.int64) for name in on_chip(program)}
    for entry in assignment:
        for tile in entry.tiles:
            if tile.population not in covered:
                raise InputError(f"{tile.population} is not a population that takes cores", where=program.name)
            covered[tile.population][tuple(slice(start, stop) for start, stop in tile.box)] += 1
    for name, times in covered.items():
        if not np.all(times == 1):
            without, several = int((times == 0).sum()), int((times > 1).sum())
            raise InputError(f"{without} neurons without a core and {several} with several", where=name)


def _check_cores(name: str, assignment: Sequence[Assignment], chip: Chip) -> None:
    seen: set[tuple[int, int]] = set()
    for entry in assignment:
        if (entry.chip, entry.core) in seen:
            raise InputError(f"core {entry.core} of chip {entry.chip} is assigned twice", where=name)
        if not 0 <= entry.core < chip.cores_per_chip or not 0 <= entry.chip < chip.max_chips:
            raise InputError(
                f"core {entry.core} of chip {entry.chip} does not exist",
                where=name,
                possible=f"{chip.name} has {chip.cores_per_chip} cores on each of up to {chip.max_chips} chips",
            )
        seen.add((entry.chip, entry.core))


# ------------------------------------------------------------------------------------------------- use of a tile


def _tile_use(
    program: Program, prepared: Sequence[Group], tile: Tile, kinds: Mapping[str, AxonKind], sent: int
) -> Use:
    use = neuron_use(program.population(tile.population), tile) + Use(output_axons=sent)
    for group in prepared:
        if group.synapses.target == tile.population:
            cost = group.use(tile.box, kinds.get(group.name, "discrete"))
            use = use + Use(
                input_axons=cost.input_axons,
                synapse_words=cost.synapse_words,
                synapse_formats=cost.formats,
                longest_list=cost.longest_list,
            )
    return use


def neuron_use(population: Population, tile: Tile) -> Use:
    """Compartments of a tile, and distinct settings among its neurons."""
    neuron = population.neuron
    box = tuple(slice(start, stop) for start, stop in tile.box)

    def kinds_of(*values: Ints) -> int:
        sizes = {v.size for v in values}
        if sizes <= {1}:
            return 1
        columns = [np.broadcast_to(v, population.shape)[box].reshape(-1) for v in values]
        return len(np.unique(np.stack(columns), axis=1).T)

    settings = neuron.settings()
    return Use(
        compartments=tile.n_neurons,
        compartment_configs=kinds_of(*settings.rates),
        threshold_configs=kinds_of(*settings.thresholds),
    )


# ---------------------------------------------------------------------------------------------------- routes


def _routes(
    prepared: Sequence[Group],
    places: Sequence[tuple[int, Tile]],
    kinds: Mapping[str, AxonKind],
    loads: NeuronLoads | None,
) -> tuple[Routes, Ints, dict[str, float]]:
    """Axons between cores, the output axons of every tile, and the messages that each population sends."""
    sent = np.zeros(len(places), dtype=np.int64)
    layer_messages: defaultdict[str, float] = defaultdict(float)
    members: defaultdict[str, list[int]] = defaultdict(list)
    for n, (_, tile) in enumerate(places):
        members[tile.population].append(n)
    home = np.array([core for core, _ in places], dtype=np.int64)
    n_cores = int(home.max(initial=-1)) + 1
    pairs: list[Ints] = [np.zeros(0, dtype=np.int64)]
    axons: list[Ints] = [np.zeros(0, dtype=np.int64)]
    messages: list[NDArray[np.float64]] = [np.zeros(0)]
    for group in prepared:
        if group.external:
            continue
        source = group.synapses.source
        senders = np.array(members[source], dtype=np.int64)
        boxes = np.array([places[n][1].box for n in senders], dtype=np.int64)
        boxes = boxes.reshape(len(senders), len(group.source_shape), 2)
        shared = kinds.get(group.name, "discrete") == "population"
        spikes = None if loads is None or source not in loads.spikes else Sums(loads.spikes[source])
        for d in members[group.synapses.target]:
            need = group.need(places[d][1].box)
            found = meet(need, boxes, group, shared) * group.planes
            reached = np.flatnonzero(found)
            sent[senders[reached]] += found[reached]
            pairs.append(home[senders[reached]] * n_cores + home[d])
            axons.append(found[reached])
            if spikes is not None:
                arriving = spikes.within(need, boxes[reached]) * group.planes
                messages.append(arriving)
                layer_messages[source] += float(arriving.sum())
            else:
                messages.append(np.zeros(len(reached)))
    unique, where = np.unique(np.concatenate(pairs), return_inverse=True)
    total = np.zeros(len(unique), dtype=np.int64)
    np.add.at(total, where, np.concatenate(axons))
    carried = np.bincount(where, np.concatenate(messages), len(unique)).astype(np.float64)
    routes = Routes(unique // max(1, n_cores), unique % max(1, n_cores), total, None if loads is None else carried)
    return routes, sent, dict(layer_messages)


def meet(need: Need, boxes: Ints, group: Group, shared: bool) -> Ints:
    """Output axons with which each source tile reaches one target tile; boxes (tiles, axes, 2)."""
    shape = group.source_shape
    if not shape:
        return np.ones(len(boxes), dtype=np.int64)
    if need.flat:
        if need.size == int(np.prod(shape, dtype=np.int64)):
            return np.asarray((boxes[..., 1] - boxes[..., 0]).prod(axis=1))
        mask = np.zeros(int(np.prod(shape, dtype=np.int64)))
        mask[need.axes[0]] = 1
        return np.rint(Sums(mask.reshape(shape)).of(boxes)).astype(np.int64)
    counts = np.stack(
        [
            np.searchsorted(positions, boxes[:, axis, 1]) - np.searchsorted(positions, boxes[:, axis, 0])
            for axis, positions in enumerate(need.axes)
        ],
        axis=1,
    )
    if shared:  # the channels of a pixel share an axon
        counts[:, 0] = -(-counts[:, 0] // group.chip.population_atoms) * group.chip.population_slots
    return np.asarray(counts.prod(axis=1))


class Sums:
    """Sums of a map over many boxes at once, from its running sums along every axis."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        self.values = values
        running = values
        for axis in range(values.ndim):
            running = np.cumsum(running, axis=axis)
        self.running = np.pad(running, [(1, 0)] * values.ndim)

    def of(self, boxes: Ints) -> NDArray[np.float64]:
        """Boxes (n, axes, 2); those that end before they start count nothing."""
        total = np.zeros(len(boxes))
        for corner in product((0, 1), repeat=self.values.ndim):
            at = tuple(boxes[:, axis, side] for axis, side in enumerate(corner))
            total += (-1) ** (self.values.ndim - sum(corner)) * self.running[at]
        return np.where((boxes[..., 1] > boxes[..., 0]).all(axis=1), total, 0.0)

    def within(self, need: Need, boxes: Ints) -> NDArray[np.float64]:
        """Of the needed neurons in each box."""
        if need.flat:
            if need.size == self.values.size:
                return self.of(boxes)
            mask = np.zeros(self.values.size)
            mask[need.axes[0]] = 1
            return Sums(self.values * mask.reshape(self.values.shape)).of(boxes)
        first = np.array([positions[0] for positions in need.axes])
        last = np.array([positions[-1] + 1 for positions in need.axes])
        if need.size == int((last - first).prod()):
            return self.of(np.stack([np.maximum(boxes[..., 0], first), np.minimum(boxes[..., 1], last)], axis=-1))
        # strides or dilation leave gaps between the positions needed
        inside = np.zeros(self.values.shape)
        inside[np.ix_(*need.axes)] = self.values[np.ix_(*need.axes)]
        return Sums(inside).of(boxes)


# ------------------------------------------------------------------------------------------------- verdicts

WAYS_OUT = {
    "compartments": ("fewer neurons in a tile", "a smaller layer", "a target with more compartments a core"),
    "input_axons": (
        "fewer inputs to each neuron: smaller kernel, fewer input channels, pruning, or a convolution of stride 2 in "
        "front (average pooling is folded into the weights behind it and leaves as many)",
        "population axons, if the target has them",
        "a target with more input axons a core",
    ),
    "output_axons": (
        "cut the layers behind it into fewer tiles",
        "population axons, if the target has them",
        "a relay population that fans out in two stages",
    ),
    "synapse_words": ("fewer weight bits", "pruning, stored sparsely", "fewer inputs or channels in a layer"),
    "synapse_formats": (
        "one exponent and width for all synapses into the population",
        "fewer input bits",
        "a target with graded spikes",
    ),
    "compartment_configs": (
        "one pair of decay rates for the population",
        "fewer distinct rates, sorted into tiles",
        "a target with more configurations",
    ),
    "threshold_configs": (
        "one threshold for the population, the scale folded into the weights",
        "fewer distinct thresholds, sorted into tiles",
        "a target with more configurations",
    ),
    "longest_list": ("fewer channels in a tile", "fewer weight bits", "a target with longer lists"),
}


def _violations(assignment: Sequence[Assignment], uses: Sequence[Use], chip: Chip) -> list[Finding]:
    found = []
    for entry, use in zip(assignment, uses, strict=True):
        for name, limit in limits(chip).items():
            value = getattr(use, name)
            if value > limit:
                layers = ", ".join(dict.fromkeys(tile.population for tile in entry.tiles))
                found.append(
                    exceeded(layers, name, value, limit, chip, f" on core {entry.core} of chip {entry.chip}")
                )
    return found


def exceeded(layer: str, limit: str, value: int, allowed: int, chip: Chip, where: str = "") -> Finding:
    return Finding(
        layer,
        limit.replace("_", " "),
        f"{value}{where}",
        f"{chip.name} holds {allowed}{' (assumed layout)' if chip.assumed_layout else ''}",
        "does_not_fit",
        WAYS_OUT[limit],
    )


def _layers(
    program: Program,
    prepared: Sequence[Group],
    places: Sequence[tuple[int, Tile]],
    tile_uses: Sequence[Use],
    kinds: Mapping[str, AxonKind],
    chip: Chip,
) -> list[LayerUse]:
    layers = []
    for name in on_chip(program):
        mine = [(tile, use) for (_, tile), use in zip(places, tile_uses, strict=True) if tile.population == name]
        into: dict[str, AxonKind] = {
            g.name: kinds.get(g.name, "discrete") for g in prepared if g.synapses.target == name
        }
        layers.append(_layer(program.population(name), mine, into, chip))
    return layers


def _layer(p: Population, mine: list[tuple[Tile, Use]], into: dict[str, AxonKind], chip: Chip) -> LayerUse:
    worst = Use(**{key: max(getattr(use, key) for _, use in mine) for key in limits(chip)})
    largest = max((tile for tile, _ in mine), key=lambda tile: tile.n_neurons)
    binding, share = worst.binding(chip)
    return LayerUse(
        population=p.name,
        n_neurons=p.n_neurons,
        n_tiles=len(mine),
        tile=tuple(stop - start for start, stop in largest.box),
        axons=into,
        use=worst,
        share=worst.shares(chip),
        binding=binding,
        binding_share=share,
        relief=_relief(binding, len(mine), largest, chip),
    )


def _relief(binding: str, n_tiles: int, largest: Tile, chip: Chip) -> str:
    if n_tiles == 1:
        return "nothing needed: it fits one core"
    spatial = len(largest.box) == 3
    match binding:
        case "input_axons" if spatial:
            return "smaller spatial tiles, fewer input channels" + (
                ", population axons" if chip.population_atoms else ""
            )
        case "input_axons":
            return "fewer inputs: pruning, or a stride in front of it; average pooling is folded and takes none away"
        case "synapse_words" if spatial:
            return "fewer channels in a tile, fewer weight bits"
        case "synapse_words":
            return "fewer neurons in a tile, fewer weight bits, pruning"
        case "output_axons":
            return "fewer tiles in the layers behind it, population axons"
        case "compartments":
            return "a smaller layer; every further tile is a core"
        case _:
            return WAYS_OUT[binding][0]


def _assumptions(program: Program, prepared: Sequence[Group], chip: Chip) -> list[str]:
    told = []
    if chip.assumed_layout:
        told.append(f"{chip.name} publishes no costs per core; assumed layout: {chip.assumed_layout}")
    told += [
        f"{g.name}: {g.planes}-bit values arrive as {g.planes} bit planes, an axon each"
        for g in prepared
        if g.planes > 1
    ]
    told += [
        f"{g.name}: the host writes the values of {g.synapses.source} into {g.synapses.target}, no axons counted"
        for g in prepared
        if isinstance(g.synapses.kind, Wire) and g.synapses.target in on_chip(program)
    ]
    if program.readout is not None:
        told.append(f"the host reads {program.readout.quantity} of {program.readout.population}")
    return told


__all__ = ["exceeded", "n_neurons", "validate_placement"]
