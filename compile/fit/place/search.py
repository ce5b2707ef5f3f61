"""Finds a placement: cuts populations into tiles from output to input, then fills cores and chips.

From output to input because what a tile sends depends on how its followers were cut (NxTF, arXiv:2101.04261). The
cost of a cut is the number of its cores plus the shares of axons and synapse memory that it takes, as there. The
validator judges the result, and its verdict is what is returned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np

from seamount.compile.fit.chip import Chip, HasChip
from seamount.compile.numbers import Ints
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Program
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Wire
from seamount.errors import ConfigError, DoesNotFit

from .chips import assign_chips
from .placement import Assignment, Placement, Tile, Use, limits
from .rules import AxonKind, Box, Group, groups, on_chip
from .validate import exceeded, neuron_use, validate_placement

Objective = Literal["cores", "load", "crossings"]
OBJECTIVES: tuple[Objective, ...] = ("cores", "load", "crossings")

REPAIRS = 8
"""Times that tiles over a limit are cut finer: in loops a cut is judged before all its followers are known."""


@dataclass(frozen=True)
class Cut:
    """A population cut into tiles of this size (the last of an axis may be smaller).

    Attributes:
        cost: cores + shares of input axons, of the output axons it asks of others, and of synapse words.
    """

    population: str
    shape: tuple[int, ...]
    tile: tuple[int, ...]
    axons: AxonKind
    cost: float = 0.0

    def sides(self) -> list[list[tuple[int, int]]]:
        return [
            [(start, min(n, start + size)) for start in range(0, n, size)]
            for n, size in zip(self.shape, self.tile, strict=True)
        ]

    def boxes(self) -> Iterator[Box]:
        return product(*self.sides())

    @property
    def n_tiles(self) -> int:
        return int(np.prod([-(-n // t) for n, t in zip(self.shape, self.tile, strict=True)], dtype=np.int64))


Cuts = Mapping[str, Cut]


def place(
    program: Program,
    target: HasChip,
    *,
    objective: Objective = "cores",
    beam: int = 1,
    activity: Activity | None = None,
    max_chips: int | None = None,
) -> Placement:
    """Cores for every neuron of a program.

    Args:
        objective: "cores": as few as possible; "load": with the chips that takes, the largest core's work as small
            as possible; "crossings": as "cores", few axons between chips.
        beam: partial solutions kept; 1 is greedy.
        activity: a run, so that work is counted in operations rather than synapses, and for messages and hops.
        max_chips: refuse more; the target's largest system otherwise.

    Raises:
        DoesNotFit: names layer, limit, value and ways out.
    """
    if objective not in OBJECTIVES:
        raise ConfigError(f"objective {objective!r} is not one of {', '.join(OBJECTIVES)}")
    search = _Search(program, target.chip, groups(program, target.chip))
    cuts, placement = search.run(target, beam, objective, activity, max_chips)
    if objective == "load":
        return search.spread(cuts, placement, target, activity, max_chips)
    return placement


def cut_to_fit(program: Program, target: HasChip) -> dict[str, Cut]:
    """How each population is cut so that every tile fits a core, maps whole if possible; on any number of chips."""
    search = _Search(program, target.chip, groups(program, target.chip), whole_maps=True)
    cuts, _ = search.run(_Roomy(target.chip), 1, "cores", None, None)
    return cuts


@dataclass
class _Search:
    """whole_maps: cut a population (C, H, W) along H and W only where cutting along C is not enough."""

    program: Program
    chip: Chip
    groups: list[Group]
    whole_maps: bool = False

    def __post_init__(self) -> None:
        self.judged: dict[Cut, list[tuple[Use, int]] | None] = {}
        self.into: dict[str, list[Group]] = {name: [] for name in on_chip(self.program)}
        self.out_of: dict[str, list[Group]] = {name: [] for name in self.into}
        for group in self.groups:
            if group.synapses.target in self.into:
                self.into[group.synapses.target].append(group)
            if not group.external:
                self.out_of[group.synapses.source].append(group)
        arrivals = self.program.arrivals()
        rank = {name: n for n, name in enumerate(self.into)}
        self.order = sorted(self.into, key=lambda name: (-arrivals[name], -rank[name]))

    def run(
        self,
        target: HasChip,
        beam: int,
        objective: Objective,
        activity: Activity | None,
        max_chips: int | None,
    ) -> tuple[dict[str, Cut], Placement]:
        """Cuts whose placement keeps every limit, and that placement."""
        cuts = self.best(beam)
        for _ in range(REPAIRS):
            placement = self.finish(cuts, target, objective, activity, max_chips)
            if placement.fits:
                return cuts, placement
            cuts = self.repair(cuts, placement)
        raise DoesNotFit("\n".join(str(f) for f in placement.violations[:10]))

    # ------------------------------------------------------------------------------------------- cutting

    def best(self, beam: int) -> dict[str, Cut]:
        """Cuts of all populations, output to input, the ``beam`` cheapest partial solutions kept."""
        partial: list[tuple[float, dict[str, Cut]]] = [(0.0, {})]
        for name in self.order:
            grown = [
                (cost + cut.cost, cuts | {name: cut})
                for cost, cuts in partial
                for cut in self.candidates(name, cuts, keep=max(1, beam))
            ]
            partial = sorted(grown, key=lambda entry: entry[0])[: max(1, beam)]
        return partial[0][1]

    def candidates(self, name: str, cuts: Cuts, keep: int = 1, at_least: int = 1) -> list[Cut]:
        """The cheapest cuts that keep all limits, given how the followers were cut."""
        population = self.program.population(name)
        shape = population.shape
        kinds: list[AxonKind] = ["discrete"]
        if any(group.can_share_axons for group in self.into[name]):
            kinds.append("population")
        sizes = [sorted({-(-n // pieces) for pieces in range(1, n + 1)}, reverse=True) for n in shape]
        if self.whole_maps and len(shape) == 3:
            found = self.fitting(name, [sizes[0], [shape[1]], [shape[2]]], kinds, cuts, keep, at_least)
            if found:
                return found
        found = self.fitting(name, sizes, kinds, cuts, keep, at_least)
        if not found:
            self.refuse(name, kinds, cuts)
        return found

    def fitting(
        self,
        name: str,
        sizes: Sequence[Sequence[int]],
        kinds: Sequence[AxonKind],
        cuts: Cuts,
        keep: int,
        at_least: int,
    ) -> list[Cut]:
        """The cheapest of the cuts into tiles of these sizes that keep all limits."""
        shape = self.program.population(name).shape
        options = sorted(
            (Cut(name, shape, tile, kind) for tile in product(*sizes) for kind in kinds),
            key=lambda cut: (cut.n_tiles, cut.axons),
        )
        found: list[Cut] = []
        for cut in options:
            if cut.n_tiles < at_least:
                continue
            if len(found) >= keep and cut.n_tiles >= found[keep - 1].cost:
                break
            if int(np.prod(cut.tile)) > self.chip.compartments:
                continue
            cost = self.cost(cut, cuts)
            if cost is not None:
                found = sorted([*found, replace(cut, cost=cost)], key=lambda c: c.cost)[: max(keep, 1)]
        return found

    def cost(self, cut: Cut, cuts: Cuts) -> float | None:
        """None where a tile breaks a limit."""
        chip, total = self.chip, 0.0
        if cut not in self.judged:
            self.judged[cut] = self.worst_inputs(cut)
        worst = self.judged[cut]
        if worst is None:
            return None
        sent = self.output_axons(cut, cuts)
        if int(sent.max(initial=0)) > chip.output_axons:
            return None
        for use, times in worst:
            total += times * (1 + use.input_axons / chip.input_axons + use.synapse_words / chip.synapse_words)
        asked = sum(int(demand(group, cut).sum()) for group in self.into[cut.population] if not group.external)
        return total + asked / chip.output_axons

    def worst_inputs(self, cut: Cut) -> list[tuple[Use, int]] | None:
        """Use of each distinct tile and how often it occurs; None as soon as one breaks a limit."""
        into = self.into[cut.population]
        same: dict[object, tuple[Box, int]] = {}
        for box, times in _distinct_boxes(cut, into):
            key = tuple(group.key(box) for group in into)
            first, before = same.get(key, (box, 0))
            same[key] = (first, before + times)
        uses = []
        for box, times in same.values():
            use = self.tile_use(cut, box)
            if use.binding(self.chip)[1] > 1:
                return None
            uses.append((use, times))
        return uses

    def tile_use(self, cut: Cut, box: Box) -> Use:
        """All but the output axons."""
        use = neuron_use(self.program.population(cut.population), Tile(cut.population, box))
        for group in self.into[cut.population]:
            cost = group.use(box, axon_kind(group, cut))
            use = use + Use(
                input_axons=cost.input_axons,
                synapse_words=cost.synapse_words,
                synapse_formats=cost.formats,
                longest_list=cost.longest_list,
            )
        return use

    def output_axons(self, cut: Cut, cuts: Cuts) -> Ints:
        """Of every tile, as far as the followers are cut; the population itself counts as cut."""
        known = {**cuts, cut.population: cut}
        starts = [[start for start, _ in side] for side in cut.sides()]
        sent = np.zeros([len(s) for s in starts], dtype=np.int64)
        for group in self.out_of[cut.population]:
            follower = known.get(group.synapses.target)
            if follower is None:
                continue
            asked = demand(group, follower).reshape(-1, *cut.shape[1:])
            if axon_kind(group, follower) == "population":
                sent += _shared_output(group, follower, starts, cut)
                continue
            for axis, side in enumerate(starts):
                asked = np.add.reduceat(asked, side, axis=axis)
            sent += asked.reshape(sent.shape)
        return sent

    def refuse(self, name: str, kinds: Sequence[AxonKind], cuts: Cuts) -> None:
        """Raises for a population of which not even one neuron fits a core."""
        shape = self.program.population(name).shape
        single = Cut(name, shape, (1,) * len(shape), kinds[-1])
        use = max((self.tile_use(single, box) for box in single.boxes()), key=lambda u: u.binding(self.chip)[1])
        use = use + Use(output_axons=int(self.output_axons(single, cuts).max(initial=0)))
        limit, _ = use.binding(self.chip)
        where = " for a single neuron"
        value, allowed = getattr(use, limit), limits(self.chip)[limit]
        raise DoesNotFit(str(exceeded(name, limit, value, allowed, self.chip, where)))

    def repair(self, cuts: dict[str, Cut], placement: Placement) -> dict[str, Cut]:
        """Cuts the populations on overfull cores anew, now that all followers are known."""
        overfull = {
            tile.population for core in placement.cores if core.use.binding(self.chip)[1] > 1 for tile in core.tiles
        }
        renewed = dict(cuts)
        for name in self.order:
            if name in overfull:
                renewed[name] = self.candidates(name, renewed, at_least=renewed[name].n_tiles)[0]
        return renewed

    # ------------------------------------------------------------------------------------- cores and chips

    def finish(
        self,
        cuts: Cuts,
        target: HasChip,
        objective: Objective,
        activity: Activity | None,
        max_chips: int | None,
        pack: bool = True,
    ) -> Placement:
        """Packs small tiles together, assigns chips, and has the whole judged."""
        kinds = {g.name: axon_kind(g, cuts[g.synapses.target]) for g in self.groups if g.synapses.target in cuts}
        tiles = [Tile(name, box) for name in reversed(self.order) for box in cuts[name].boxes()]
        loose = [
            Assignment(n // self.chip.cores_per_chip, n % self.chip.cores_per_chip, (t,)) for n, t in enumerate(tiles)
        ]
        self.check_chips(len(loose) if not pack else 0, cuts, max_chips)
        judged = validate_placement(self.program, loose, _Roomy(self.chip), axons=kinds)
        filled = _pack(judged, self.chip) if pack else [core.tiles for core in judged.cores]
        self.check_chips(len(filled), cuts, max_chips)
        assignment = assign_chips(filled, judged, self.chip, refine=objective == "crossings")
        return validate_placement(
            self.program, assignment, target, axons=kinds, activity=activity, objective=objective
        )

    def check_chips(self, n_cores: int, cuts: Cuts, max_chips: int | None) -> None:
        allowed = self.chip.max_chips if max_chips is None else max_chips
        needed = -(-n_cores // self.chip.cores_per_chip)
        if needed <= allowed:
            return
        largest = max(cuts.values(), key=lambda cut: cut.n_tiles)
        raise DoesNotFit(
            f"{self.program.name}: {n_cores} cores on {needed} chips, but "
            f"{'the limit given is' if max_chips is not None else f'the largest {self.chip.name} system has'} "
            f"{allowed}; {largest.population} takes most ({largest.n_tiles} cores); ways out: fewer channels or a "
            "smaller map there; or fewer weight bits; or allow more chips or choose a larger target"
        )

    def spread(
        self,
        cuts: dict[str, Cut],
        placement: Placement,
        target: HasChip,
        activity: Activity | None,
        max_chips: int | None,
    ) -> Placement:
        """Cuts the most loaded populations finer while the chips in use have free cores."""
        room = placement.n_chips * self.chip.cores_per_chip
        best, current, frozen = placement, dict(cuts), set[str]()
        work = {name: _work(name, self.program, self.into[name], activity) for name in current}
        while len(frozen) < len(current):
            name = max((n for n in current if n not in frozen), key=lambda n: work[n] / current[n].n_tiles)
            try:
                finer = self.candidates(name, current, at_least=current[name].n_tiles + 1)[0]
            except DoesNotFit:
                frozen.add(name)
                continue
            trial = current | {name: finer}
            total = sum(cut.n_tiles for cut in trial.values())
            senders = {group.synapses.source for group in self.into[name] if not group.external}
            sends = all(
                int(self.output_axons(trial[s], trial).max(initial=0)) <= self.chip.output_axons for s in senders
            )
            if total > room or not sends:
                frozen.add(name)
                continue
            current = trial
        if current != cuts:
            finest = self.finish(current, target, "load", activity, max_chips, pack=False)
            if finest.fits and _largest(finest) <= _largest(best):
                best = finest
        return replace(best, objective="load")


@dataclass(frozen=True)
class _Roomy:
    """The same chip, of which there are enough: so that tiles can be judged before they share cores."""

    actual: Chip

    @property
    def chip(self) -> Chip:
        return replace(self.actual, max_chips=1 << 40)


def axon_kind(group: Group, cut: Cut) -> AxonKind:
    return cut.axons if group.can_share_axons else "discrete"


def demand(group: Group, follower: Cut) -> Ints:
    """Per source neuron, the tiles of the follower that it must reach: output axons, if each takes its own."""
    kind = group.synapses.kind
    if isinstance(kind, Conv):
        channels = np.zeros(group.source_shape[0], dtype=np.int64)
        sides = follower.sides()
        for side in sides[0]:
            (first, last), _ = group.channels(*side)
            channels[first:last] += 1
        rows, columns = (np.zeros(n, dtype=np.int64) for n in group.source_shape[1:])
        for axis, positions in ((1, rows), (2, columns)):
            for side in sides[axis]:
                positions[group.overlap(axis, *side).needed] += 1
        return group.planes * channels[:, None, None] * rows[None, :, None] * columns[None, None, :]
    if isinstance(kind, OneToOne | Wire):
        return np.full(group.source_shape, group.planes, dtype=np.int64)
    if isinstance(kind, Dense) and group.full:
        return np.full(group.source_shape, group.planes * follower.n_tiles, dtype=np.int64)
    reached = np.zeros(int(np.prod(group.source_shape, dtype=np.int64)), dtype=np.int64)
    for box in follower.boxes():
        reached[group.need(box).axes[0]] += group.planes
    return reached.reshape(group.source_shape)


def _shared_output(group: Group, follower: Cut, starts: Sequence[Sequence[int]], cut: Cut) -> Ints:
    """Output axons of every tile when the channels of a pixel share one for each follower tile."""
    sides = follower.sides()
    rows, columns = (np.zeros(n, dtype=np.int64) for n in group.source_shape[1:])
    for axis, positions in ((1, rows), (2, columns)):
        for side in sides[axis]:
            positions[group.overlap(axis, *side).needed] += 1
    channels = []
    for start, stop in cut.sides()[0]:
        shared = 0
        for side in sides[0]:
            (first, last), _ = group.channels(*side)
            shared += -(-max(0, min(stop, last) - max(start, first)) // group.chip.population_atoms)
        channels.append(shared)
    return (
        group.planes
        * group.chip.population_slots
        * np.array(channels)[:, None, None]
        * np.add.reduceat(rows, starts[1])[None, :, None]
        * np.add.reduceat(columns, starts[2])[None, None, :]
    )


def _distinct_boxes(cut: Cut, into: Sequence[Group]) -> Iterator[tuple[Box, int]]:
    """A box for each way the sides of a tile can cost, with how many there are; every box where sides do not tell."""
    sides = cut.sides()
    if any(not isinstance(g.synapses.kind, Conv | OneToOne | Wire) and not g.full for g in into) or any(
        isinstance(g.synapses.kind, OneToOne) and g.synapses.kind.weights.size > 1 for g in into
    ):
        yield from ((box, 1) for box in product(*sides))
        return
    convs = [g for g in into if isinstance(g.synapses.kind, Conv)]
    kinds: list[list[tuple[tuple[int, int], int]]] = []
    for axis, side in enumerate(sides):
        same: dict[object, tuple[tuple[int, int], int]] = {}
        for start, stop in side:
            key: tuple[object, ...] = (stop - start,)
            for g in convs:
                if axis == 0:
                    (first, last), reached = g.channels(start, stop)
                    key += (last - first, tuple(sorted(reached.items())))
                else:
                    seen = g.overlap(axis, start, stop)
                    key += (len(seen.needed), seen.patterns)
            one, times = same.get(key, ((start, stop), 0))
            same[key] = (one, times + 1)
        kinds.append(list(same.values()))
    for combination in product(*kinds):
        yield tuple(side for side, _ in combination), int(np.prod([times for _, times in combination]))


def _pack(judged: Placement, chip: Chip) -> list[tuple[Tile, ...]]:
    """First fit: tiles share a core where all their limits together hold."""
    names = list(limits(chip))
    limit = np.array(list(limits(chip).values()))
    # a longest list is no sum: it cannot break its limit by company
    summed = np.array([name != "longest_list" for name in names])
    used = np.zeros((judged.n_cores, len(names)), dtype=np.int64)
    filled: list[list[Tile]] = []
    for core in judged.cores:
        use = np.array([getattr(core.use, name) for name in names]) * summed
        fits = np.flatnonzero(np.all(used[: len(filled)] + use <= limit, axis=1))
        home = int(fits[0]) if len(fits) else len(filled)
        if home == len(filled):
            filled.append([])
        filled[home] += core.tiles
        used[home] += use
    return [tuple(tiles) for tiles in filled]


def _work(name: str, program: Program, into: Sequence[Group], activity: Activity | None) -> float:
    """What a population does in a step: operations and updates of a run, or stored synapses without one."""
    if activity is not None and name in activity.events:
        events = activity.events[name]
        return (float(np.sum(events.sops)) + events.n_updates) / (activity.n_samples * activity.n_steps)
    population = program.population(name)
    whole: Box = tuple((0, n) for n in population.shape)
    return sum(group.use(whole, "discrete").synapse_words for group in into) + float(population.n_neurons)


def _largest(placement: Placement) -> float:
    return max(float(c.load.sops) if c.load is not None else float(c.use.synapse_words) for c in placement.cores)
