"""Judges a placement by the public rules, whoever made it: every neuron once, every limit of every core."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from seamount.compile.activity import Activity
from seamount.compile.chip import Chip, HasChip
from seamount.compile.finding import Finding
from seamount.compile.program import Ints, Population, Program, Relay, TernaryLif, Wire
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
    tile_uses = [_tile_use(program, prepared, tile, kinds, chip, sent[n]) for n, (_, tile) in enumerate(places)]
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
    seen: set[tuple[int, int]] = set()
    covered = {name: np.zeros(program.shape(name), dtype=np.int64) for name in on_chip(program)}
    for entry in assignment:
        if (entry.chip, entry.core) in seen:
            raise InputError(f"{program.name}: core {entry.core} of chip {entry.chip} is assigned twice")
        if not 0 <= entry.core < chip.cores_per_chip or not 0 <= entry.chip < chip.max_chips:
            raise InputError(
                f"{program.name}: core {entry.core} of chip {entry.chip} does not exist; {chip.name} has "
                f"{chip.cores_per_chip} cores on each of up to {chip.max_chips} chips"
            )
        seen.add((entry.chip, entry.core))
        for tile in entry.tiles:
            if tile.population not in covered:
                raise InputError(f"{program.name}: {tile.population} is not a population that takes cores")
            covered[tile.population][tuple(slice(start, stop) for start, stop in tile.box)] += 1
    for name, times in covered.items():
        if not np.all(times == 1):
            raise InputError(
                f"{name}: {int((times == 0).sum())} neurons without a core and {int((times > 1).sum())} with several"
            )


# ------------------------------------------------------------------------------------------------- use of a tile


def _tile_use(
    program: Program, prepared: Sequence[Group], tile: Tile, kinds: Mapping[str, AxonKind], chip: Chip, sent: int
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
        if sizes == {1}:
            return 1
        columns = [np.broadcast_to(v, population.shape)[box].reshape(-1) for v in values]
        return len(np.unique(np.stack(columns), axis=1).T)

    if isinstance(neuron, Relay):
        return Use(compartments=tile.n_neurons, compartment_configs=1, threshold_configs=1)
    thresholds = (neuron.v_th_hi_mant, neuron.v_th_lo_mant) if isinstance(neuron, TernaryLif) else (neuron.v_th_mant,)
    return Use(
        compartments=tile.n_neurons,
        compartment_configs=kinds_of(neuron.du, neuron.dv),
        threshold_configs=kinds_of(*thresholds),
    )


# ---------------------------------------------------------------------------------------------------- routes


def _routes(
    prepared: Sequence[Group],
    places: Sequence[tuple[int, Tile]],
    kinds: Mapping[str, AxonKind],
    loads: NeuronLoads | None,
) -> tuple[Routes, list[int], dict[str, float]]:
    """Axons between cores, the output axons of every tile, and the messages that each population sends."""
    by_layer: defaultdict[str, float] = defaultdict(float)
    sent = [0] * len(places)
    axons: defaultdict[tuple[int, int], int] = defaultdict(int)
    messages: defaultdict[tuple[int, int], float] = defaultdict(float)
    by_population: defaultdict[str, list[int]] = defaultdict(list)
    for n, (_, tile) in enumerate(places):
        by_population[tile.population].append(n)
    for group in prepared:
        if group.external:
            continue
        shared = kinds.get(group.name, "discrete") == "population"
        sources = by_population[group.synapses.source]
        for d in by_population[group.synapses.target]:
            core, tile = places[d]
            need = group.need(tile.box)
            counted = meet(need, [places[n][1] for n in sources], group.source_shape)
            spikes = None if loads is None else loads.spikes.get(group.synapses.source)
            for position, n in enumerate(sources):
                found = int(counted[position])
                if not found:
                    continue
                source_tile = places[n][1]
                if shared:
                    found = shared_axons(need, source_tile, group.chip)
                sent[n] += found * group.planes
                axons[places[n][0], core] += found * group.planes
                if spikes is not None:
                    arriving = sum_within(spikes, need, source_tile) * group.planes
                    messages[places[n][0], core] += arriving
                    by_layer[group.synapses.source] += arriving
    pairs = sorted(axons)
    return (
        Routes(
            np.array([p[0] for p in pairs], dtype=np.int64),
            np.array([p[1] for p in pairs], dtype=np.int64),
            np.array([axons[p] for p in pairs], dtype=np.int64),
            None if loads is None else np.array([messages[p] for p in pairs], dtype=np.float64),
        ),
        sent,
        dict(by_layer),
    )


def meet(need: Need, tiles: Sequence[Tile], shape: tuple[int, ...]) -> Ints:
    """How many of the needed source neurons lie in each tile."""
    if need.flat:
        if need.size == int(np.prod(shape, dtype=np.int64)):
            return np.array([tile.n_neurons for tile in tiles], dtype=np.int64)
        mask = np.zeros(int(np.prod(shape, dtype=np.int64)), dtype=np.int64)
        mask[need.axes[0]] = 1
        grid = mask.reshape(shape)
        return np.array([grid[tuple(slice(*side) for side in tile.box)].sum() for tile in tiles], dtype=np.int64)
    boxes = np.array([tile.box for tile in tiles], dtype=np.int64).reshape(len(tiles), len(shape), 2)
    counts = np.ones(len(tiles), dtype=np.int64)
    for axis, positions in enumerate(need.axes):
        counts *= np.searchsorted(positions, boxes[:, axis, 1]) - np.searchsorted(positions, boxes[:, axis, 0])
    return counts


def shared_axons(need: Need, tile: Tile, chip: Chip) -> int:
    """Output axons of a tile when the channels of a pixel share theirs."""
    channels, *pixels = [
        int(np.searchsorted(p, stop) - np.searchsorted(p, start))
        for p, (start, stop) in zip(need.axes, tile.box, strict=True)
    ]
    return -(-channels // chip.population_atoms) * int(np.prod(pixels)) * chip.population_slots


def sum_within(values: np.ndarray, need: Need, tile: Tile) -> float:
    """Sum of a map over the needed source neurons that lie in a tile."""
    if need.flat:
        box = tuple(slice(start, stop) for start, stop in tile.box)
        if need.size == values.size:
            return float(values[box].sum())
        mask = np.zeros(values.size, dtype=bool)
        mask[need.axes[0]] = True
        return float((values * mask.reshape(values.shape))[box].sum())
    inside = [
        p[np.searchsorted(p, start) : np.searchsorted(p, stop)]
        for p, (start, stop) in zip(need.axes, tile.box, strict=True)
    ]
    return float(values[np.ix_(*inside)].sum())


# ------------------------------------------------------------------------------------------------- verdicts

WAYS_OUT = {
    "compartments": ("fewer neurons in a tile", "a smaller layer", "a target with more compartments a core"),
    "input_axons": (
        "fewer inputs to each neuron: smaller kernel, fewer input channels, pooling or pruning before it",
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
        worst = Use(**{key: max(getattr(use, key) for _, use in mine) for key in limits(chip)})
        largest = max((tile for tile, _ in mine), key=lambda tile: tile.n_neurons)
        binding, share = worst.binding(chip)
        into = {g.name: kinds.get(g.name, "discrete") for g in prepared if g.synapses.target == name}
        layers.append(
            LayerUse(
                population=name,
                n_neurons=program.population(name).n_neurons,
                n_tiles=len(mine),
                tile=tuple(stop - start for start, stop in largest.box),
                axons=into,
                use=worst,
                share=worst.shares(chip),
                binding=binding,
                binding_share=share,
                relief=_relief(binding, len(mine), largest, chip),
            )
        )
    return layers


def _relief(binding: str, n_tiles: int, largest: Tile, chip: Chip) -> str:
    spatial = len(largest.box) == 3
    match binding:
        case "input_axons" if spatial:
            return "smaller spatial tiles, fewer input channels" + (
                ", population axons" if chip.population_atoms else ""
            )
        case "input_axons":
            return "fewer inputs: pooling or pruning before it"
        case "synapse_words" if spatial:
            return "fewer channels in a tile, fewer weight bits"
        case "synapse_words":
            return "fewer neurons in a tile, fewer weight bits, pruning"
        case "output_axons":
            return "fewer tiles in the layers behind it, population axons"
        case "compartments" if n_tiles > 1:
            return "a smaller layer; every further tile is a core"
        case "compartments":
            return "nothing needed: it fits one core"
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
