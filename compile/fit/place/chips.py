"""Which core of which chip: in the order of the network, or so that few axons run between chips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seamount.compile.fit.chip import Chip
from seamount.compile.numbers import Ints

from .placement import Assignment, Placement, Tile

SWEEPS = 4


def assign_chips(
    filled: Sequence[tuple[Tile, ...]], judged: Placement, chip: Chip, *, refine: bool
) -> list[Assignment]:
    """Chip and core of each group of tiles that shares a core; ``judged`` knows the axons between single tiles."""
    per_chip = chip.cores_per_chip
    n = len(filled)
    chips = np.arange(n) // per_chip
    if refine and n > per_chip:
        links = _links(filled, judged)
        grown = _grow(links, n, per_chip)
        chips = min((chips, grown), key=lambda c: _crossing(links, c))
        chips = _exchange(links, chips)
    used = [0] * (int(chips.max(initial=0)) + 1)
    assignment = []
    for tiles, of in zip(filled, chips.tolist(), strict=True):
        assignment.append(Assignment(of, used[of], tiles))
        used[of] += 1
    return assignment


def _links(filled: Sequence[tuple[Tile, ...]], judged: Placement) -> Ints:
    """Axons between the groups, both ways, as a symmetric matrix."""
    home = {tile: n for n, tiles in enumerate(filled) for tile in tiles}
    where = np.array([home[core.tiles[0]] for core in judged.cores], dtype=np.int64)
    links = np.zeros((len(filled), len(filled)), dtype=np.int64)
    np.add.at(links, (where[judged.routes.sources], where[judged.routes.targets]), judged.routes.axons)
    np.fill_diagonal(links, 0)
    return links + links.T


def _crossing(links: Ints, chips: Ints) -> int:
    return int(links[chips[:, None] != chips[None, :]].sum()) // 2


def _grow(links: Ints, n: int, per_chip: int) -> Ints:
    """Fills a chip with whatever is most connected to what is on it, starting from the first core left."""
    chips = np.full(n, -1, dtype=np.int64)
    for chip in range(-(-n // per_chip)):
        free = np.flatnonzero(chips < 0)
        newest = free[0]
        pull = np.zeros(n, dtype=np.int64)
        for _ in range(min(per_chip, len(free))):
            chips[newest] = chip
            pull += links[newest]
            left = np.flatnonzero(chips < 0)
            if not len(left):
                break
            newest = left[np.argmax(pull[left])]
    return chips


def _exchange(links: Ints, chips: Ints) -> Ints:
    """Swaps pairs of cores on different chips while that saves axons between chips."""
    chips = chips.copy()
    n_chips = int(chips.max()) + 1
    for _ in range(SWEEPS):
        improved = False
        to_chip = np.stack([links[:, chips == c].sum(axis=1) for c in range(n_chips)], axis=1)
        for a in range(len(chips)):
            here = chips[a]
            elsewhere = np.flatnonzero(chips != here)
            there = chips[elsewhere]
            # what both ends gain by changing places; their own link stays a crossing
            gain = (
                to_chip[a, there] - to_chip[a, here] + to_chip[elsewhere, here] - to_chip[elsewhere, there]
            ) - 2 * links[a, elsewhere]
            best = int(np.argmax(gain))
            if gain[best] <= 0:
                continue
            b = elsewhere[best]
            for core, old, new in ((a, here, chips[b]), (b, chips[b], here)):
                to_chip[:, old] -= links[:, core]
                to_chip[:, new] += links[:, core]
            chips[a], chips[b] = chips[b], here
            improved = True
        if not improved:
            break
    return chips
