"""Finds a placement: cuts populations into tiles from output to input, then fills cores and chips.

From output to input because what a tile sends depends on how its followers were cut (NxTF, arXiv:2101.04261). The
cost of a cut is the number of its cores plus the shares of axons and synapse memory that it takes, as there. The
validator judges the result, and its verdict is what is returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal, get_args

import numpy as np

from seamount.compile.fit.chip import Chip, HasChip
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Program
from seamount.errors import ConfigError, DoesNotFit

from .chips import assign_chips
from .cuts import Costs, Cut, Cuts, axon_kind
from .placement import Assignment, Placement, Tile, limits
from .rules import AxonKind, Box, Group, groups
from .validate import validate_placement

Objective = Literal["cores", "load", "crossings"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)

REPAIRS = 8
"""Times that tiles over a limit are cut finer: in loops a cut is judged before all its followers are known."""


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
        self.costs = Costs(self.program, self.chip, self.groups)
        arrivals = self.program.arrivals()
        rank = {name: n for n, name in enumerate(self.costs.into)}
        self.order = sorted(rank, key=lambda name: (-arrivals[name], -rank[name]))

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
        raise DoesNotFit.together(f.reason for f in placement.violations[:10])

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
        if any(group.can_share_axons for group in self.costs.into[name]):
            kinds.append("population")
        sizes = [sorted({-(-n // pieces) for pieces in range(1, n + 1)}, reverse=True) for n in shape]
        if self.whole_maps and len(shape) == 3:
            found = self.fitting(name, [sizes[0], [shape[1]], [shape[2]]], kinds, cuts, keep, at_least)
            if found:
                return found
        found = self.fitting(name, sizes, kinds, cuts, keep, at_least)
        if not found:
            self.costs.refuse(name, kinds, cuts)
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
            cost = self.costs.of(cut, cuts)
            if cost is not None:
                found = sorted([*found, replace(cut, cost=cost)], key=lambda c: c.cost)[: max(keep, 1)]
        return found

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
        limit = "the limit given is" if max_chips is not None else f"the largest {self.chip.name} system has"
        raise DoesNotFit(
            f"{n_cores} cores on {needed} chips",
            where=self.program.name,
            possible=f"but {limit} {allowed}; {largest.population} takes most ({largest.n_tiles} cores)",
            ways_out=(
                "fewer channels or a smaller map there",
                "fewer weight bits",
                "allow more chips or choose a larger target",
            ),
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
        work = {name: _work(name, self.program, self.costs.into[name], activity) for name in current}
        while len(frozen) < len(current):
            name = max((n for n in current if n not in frozen), key=lambda n: work[n] / current[n].n_tiles)
            try:
                finer = self.candidates(name, current, at_least=current[name].n_tiles + 1)[0]
            except DoesNotFit:
                frozen.add(name)
                continue
            trial = current | {name: finer}
            total = sum(cut.n_tiles for cut in trial.values())
            senders = {group.synapses.source for group in self.costs.into[name] if not group.external}
            # finer tiles ask for more axons of those that were cut before them
            most = max((int(self.costs.output_axons(trial[s], trial).max(initial=0)) for s in senders), default=0)
            sends = most <= self.chip.output_axons
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


def _pack(judged: Placement, chip: Chip) -> list[tuple[Tile, ...]]:
    """First fit: tiles share a core where all their limits together hold."""
    names = list(limits(chip))
    limit = np.array(list(limits(chip).values()))
    # not the longest list, because it is no sum: it cannot break its limit by company
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
