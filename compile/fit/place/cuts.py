"""What a way to cut a population into tiles costs: cores, and shares of their axons and synapse memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from seamount.compile.fit.chip import Chip
from seamount.compile.numbers import Ints
from seamount.compile.program.program import Program
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Wire
from seamount.errors import DoesNotFit

from .placement import Tile, Use, limits
from .rules import AxonKind, Box, Group, on_chip
from .validate import exceeded, neuron_use


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


class Costs:
    """Of the cuts of a program's populations, each judged once.

    Attributes:
        into, out_of: population -> the groups of synapses that end, or begin, in it.
    """

    def __init__(self, program: Program, chip: Chip, groups: Sequence[Group]) -> None:
        self.program, self.chip = program, chip
        self.judged: dict[Cut, list[tuple[Use, int]] | None] = {}
        self.into: dict[str, list[Group]] = {name: [] for name in on_chip(program)}
        self.out_of: dict[str, list[Group]] = {name: [] for name in self.into}
        for group in groups:
            if group.synapses.target in self.into:
                self.into[group.synapses.target].append(group)
            if not group.external:
                self.out_of[group.synapses.source].append(group)

    def of(self, cut: Cut, cuts: Cuts) -> float | None:
        """None where a tile breaks a limit."""
        chip, total = self.chip, 0.0
        if cut not in self.judged:
            self.judged[cut] = self._worst_inputs(cut)
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

    def _worst_inputs(self, cut: Cut) -> list[tuple[Use, int]] | None:
        """Use of each distinct tile and how often it occurs; None as soon as one breaks a limit."""
        into = self.into[cut.population]
        same: dict[object, tuple[Box, int]] = {}
        for box, times in _distinct_boxes(cut, into):
            key = tuple(group.key(box) for group in into)
            first, before = same.get(key, (box, 0))
            same[key] = (first, before + times)
        uses = []
        for box, times in same.values():
            use = self._tile_use(cut, box)
            if use.binding(self.chip)[1] > 1:
                return None
            uses.append((use, times))
        return uses

    def _tile_use(self, cut: Cut, box: Box) -> Use:
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
        use = max((self._tile_use(single, box) for box in single.boxes()), key=lambda u: u.binding(self.chip)[1])
        use = use + Use(output_axons=int(self.output_axons(single, cuts).max(initial=0)))
        limit, _ = use.binding(self.chip)
        where = " for a single neuron"
        value, allowed = getattr(use, limit), limits(self.chip)[limit]
        raise DoesNotFit(str(exceeded(name, limit, value, allowed, self.chip, where)))


def axon_kind(group: Group, cut: Cut) -> AxonKind:
    return cut.axons if group.can_share_axons else "discrete"


def demand(group: Group, follower: Cut) -> Ints:
    """Per source neuron, the tiles of the follower that it must reach: output axons, if each takes its own."""
    kind = group.synapses.kind
    if isinstance(kind, Conv):
        channels = np.zeros(group.source_shape[0], dtype=np.int64)
        for side in follower.sides()[0]:
            (first, last), _ = group.channels(*side)
            channels[first:last] += 1
        rows, columns = _positions_asked(group, follower)
        return group.planes * channels[:, None, None] * rows[None, :, None] * columns[None, None, :]
    if isinstance(kind, OneToOne | Wire):
        return np.full(group.source_shape, group.planes, dtype=np.int64)
    if isinstance(kind, Dense) and group.full:
        return np.full(group.source_shape, group.planes * follower.n_tiles, dtype=np.int64)
    reached = np.zeros(int(np.prod(group.source_shape, dtype=np.int64)), dtype=np.int64)
    for box in follower.boxes():
        reached[group.need(box).axes[0]] += group.planes
    return reached.reshape(group.source_shape)


def _positions_asked(group: Group, follower: Cut) -> tuple[Ints, Ints]:
    """Of every row and every column of a convolution's source: the tiles of the follower that it must reach."""
    rows, columns = (np.zeros(n, dtype=np.int64) for n in group.source_shape[1:])
    for axis, positions in ((1, rows), (2, columns)):
        for side in follower.sides()[axis]:
            positions[group.overlap(axis, *side).needed] += 1
    return rows, columns


def _shared_output(group: Group, follower: Cut, starts: Sequence[Sequence[int]], cut: Cut) -> Ints:
    """Output axons of every tile when the channels of a pixel share one for each follower tile."""
    rows, columns = _positions_asked(group, follower)
    channels = []
    for start, stop in cut.sides()[0]:
        shared = 0
        for side in follower.sides()[0]:
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
            key = (stop - start, *(_side_key(g, axis, start, stop) for g in convs))
            one, times = same.get(key, ((start, stop), 0))
            same[key] = (one, times + 1)
        kinds.append(list(same.values()))
    for combination in product(*kinds):
        yield tuple(side for side, _ in combination), int(np.prod([times for _, times in combination]))


def _side_key(conv: Group, axis: int, start: int, stop: int) -> object:
    """What one side of a tile costs of a convolution; equal for sides that cost alike, wherever they lie."""
    if axis == 0:
        (first, last), reached = conv.channels(start, stop)
        return last - first, tuple(sorted(reached.items()))
    seen = conv.overlap(axis, start, stop)
    return len(seen.needed), seen.patterns
