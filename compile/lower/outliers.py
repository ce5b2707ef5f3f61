"""Gives weights that stand far above all others a synapse group of their own, so that the others keep their bits.

Both groups add up to the same sums, each with an exponent of its own. What is more than REACH times the largest of
the others is clipped there: it decides by itself whether its neuron fires, and its size beyond that has no room.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from seamount.errors import plural

from ..formats import grid_ends, grid_step
from ..network.network import Connection, Convolution, Linear, Network, Reals, reals
from .neuron_scales import may_differ
from .real_groups import RealGroup, RoundingRules, real_groups

LOST = 0.1
"""Relative error of the other weights from which on the outliers are taken out."""

GAP = 4.0
"""How many times the next smaller weight the smallest outlier is."""

SHARE = 8
"""At most one weight of so many of a neuron is an outlier (one of four, where it has few)."""

REACH = 64.0


@dataclass(frozen=True)
class WithoutOutliers:
    """The network, its warnings, and the new connections: name -> that from which they were taken."""

    network: Network
    warnings: tuple[str, ...]
    taken: Mapping[str, str]


def split_outliers(network: Network, rules: RoundingRules, known: Collection[str]) -> WithoutOutliers:
    """Two connections for one whose largest weights would cost the others theirs.

    Args:
        network: behind ``merge_linear``.
        known: populations whose scale is known, and with it what their weights become.
    """
    connections: dict[str, tuple[Connection, ...]] = {c.name: (c,) for c in network.connections}
    warnings, taken = [], {}
    for p in network.populations:
        if p.name in known:
            continue
        groups = real_groups(network, p.name)
        own = may_differ(network, p, groups)
        for g in groups:
            parts = _parts(g, rules, own)
            if parts is None:
                continue
            rest, large, told = parts
            connections[g.connection.name] = (rest, large)
            taken[large.name] = g.connection.name
            warnings.append(told)
    made = tuple(c for parts in connections.values() for c in parts)
    return WithoutOutliers(network.with_(connections=made), tuple(warnings), taken)


def _parts(group: RealGroup, rules: RoundingRules, own: bool) -> tuple[Connection, Connection, str] | None:
    """The connection without its outliers, that of the outliers, and what is told."""
    c = group.connection
    op = next((op for op in c.ops if isinstance(op, Linear | Convolution)), None)
    if op is None or c.whole or op.weight.shape != group.weight.shape:
        return None
    bits = rules.weight_bits(group)
    grain = grid_step("mixed", bits) / np.sqrt(12) / grid_ends("mixed", bits)[1]
    rows = op.weight.reshape(len(op.weight) if own else 1, -1)
    outliers, limits = _outliers(rows, grain)
    if not outliers.any():
        return None
    clipped = np.clip(rows, -limits, limits)
    large, rest = np.where(outliers, clipped, 0.0), np.where(outliers, 0.0, rows)
    parts = [
        tuple(replace(o, weight=reals(values.reshape(op.weight.shape))) if o is op else o for o in c.ops)
        for values in (rest, large)
    ]
    n, name = int(outliers.sum()), f"{c.name}.large"
    lost = int(np.sum(clipped != rows))
    cut = f"; {lost} of them clipped to {REACH:g} times the largest other one" if lost else ""
    told = (
        f"{c.name}: {n} {plural(n, 'weight')} up to {np.abs(rows[outliers]).max():.4g} would cost the others most of "
        f"their bits and {'stands' if n == 1 else 'stand'} in a synapse group of {'its' if n == 1 else 'their'} own, "
        f"{name}{cut}"
    )
    return replace(c, ops=parts[0]), replace(c, name=name, ops=parts[1]), told


def _outliers(rows: Reals, grain: float) -> tuple[NDArray[np.bool_], Reals]:
    """Which weights are outliers, and per row (n, 1) how large they may be."""
    sizes = np.sort(np.abs(rows), axis=1)[:, ::-1]
    found, limits = np.zeros(rows.shape, dtype=bool), np.full((len(rows), 1), np.inf)
    # hardly any row has such a gap, and looking at each by itself is slow
    first = sizes[:, : max(1, sizes.shape[1] // SHARE) + 1]
    gap = np.any(first[:, :-1] > 0.99 * GAP * first[:, 1:], axis=1)
    for row in np.flatnonzero(gap & (grain * sizes[:, 0] > 0)):
        there = sizes[row][sizes[row] > 0]
        most = max(1, there.size // SHARE)
        if there.size < SHARE // 2:
            continue
        gaps = there[:most] / there[1 : most + 1]
        last = int(np.argmax(gaps))
        rest = there[last + 1 :]
        if gaps[last] >= GAP and grain * there[0] > LOST * float(np.sqrt(np.mean(rest**2))):
            found[row] = np.abs(rows[row]) >= there[last]
            limits[row] = REACH * rest[0]
    return found, reals(limits)
