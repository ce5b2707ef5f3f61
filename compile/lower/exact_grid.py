"""Finds the scale of a network that lies on an integer grid already, as from training in integers or another chip.

A weight on the grid is a whole number of at most 8 bits and a sign, times a power of two. So the largest of a group
is one of some hundred numbers, each of which gives a scale; kept is one at which all weights, thresholds, biases and
first states are whole, for the whole population or row by row (``neuron_rows``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ..formats import grid_step
from ..network.network import Network, Population, Reals, reals
from ..numbers import PerNeuron
from .lower import late_v, steady_bias
from .neuron_rows import Rows, rows_of_population
from .neuron_scales import may_differ, row_limits
from .quantise import is_whole, on_grid, real_sign_mode, split_bias
from .real_groups import RealGroup, RoundingRules, real_groups, rows_of, scaled
from .scale_search import STATE_LIMIT, drive_room, highest_scale, kept_steps

LARGEST = range(128, 257)
"""Largest weights to try; a smaller one is one of these over a power of two."""

LOOK = 64
"""Weights of a row that are looked at before all are."""

BLOCK = 1 << 16
"""Numbers that are looked at at once: the first rows tell apart most networks without a grid."""

FINER = 4.0
"""Thresholds and biases may be so many times finer than the finest weight."""

OCTAVES = 24


@dataclass(frozen=True)
class Ceilings:
    """Highest scales: ``possible`` at all; ``calm``: no v saturates; ``roomy``: no sum leaves the accumulator."""

    possible: PerNeuron
    calm: PerNeuron
    roomy: PerNeuron


def find_grids(network: Network, rules: RoundingRules, told: Collection[str] = ()) -> dict[str, PerNeuron]:
    """Population -> the scale at which all its numbers lie on the grid, decays aside; without those that have none.

    Args:
        network: behind ``merge_linear``.
        told: populations whose scale was given.
    """
    found = {p.name: _scale(network, p, rules) for p in network.populations if p.name not in told}
    return {name: s for name, s in found.items() if s is not None}


def _scale(network: Network, p: Population, rules: RoundingRules) -> PerNeuron | None:
    groups = real_groups(network, p.name)
    if any(g.connection.whole for g in groups) or not any(np.any(g.weight) for g in groups):
        return None
    one = _unit(p, groups, rules, None)
    if one is not None:
        highest, calm = highest_scale(network, p, groups, rules)
        one = _octave(p, groups, rules, one, Ceilings(highest, calm, drive_room(groups, rules)))
    if one is not None or not may_differ(network, p, groups):
        return one
    rows = rows_of_population(p, groups)
    own = _unit(p, groups, rules, rows)
    return None if own is None else _octave(p, groups, rules, own, _row_ceilings(network, p, groups, rules, rows))


def _row_ceilings(
    network: Network, p: Population, groups: Sequence[RealGroup], rules: RoundingRules, rows: Rows
) -> Ceilings:
    drives = reals(np.sum([rows.largest_sums(g) * g.highest_payload for g in groups], axis=0))
    own = rows.spread(row_limits(p, groups, rules, reals(drives * kept_steps(network, p)), STATE_LIMIT))
    with np.errstate(divide="ignore"):
        return Ceilings(own, own, rows.spread(reals(rules.formats.drive_max / drives)))


def _unit(p: Population, groups: Sequence[RealGroup], rules: RoundingRules, rows: Rows | None) -> PerNeuron | None:
    """One scale (``rows`` None), or one for each row, still without its power of two."""
    group = next(g for g in groups if np.any(g.weight))
    step = grid_step(real_sign_mode(group.weight), rules.weight_bits(group))
    weights = _by_row(p, group, rows)
    if not weights.any(1).all():  # a neuron without a weight does not say what its grid is
        return None
    scales = _row_scales(weights, _wholes(p, rows), step)
    if scales is None:
        return None
    return float(scales[0]) if rows is None else rows.spread(scales)


def _row_scales(weights: Reals, wholes: Reals, step: int) -> Reals | None:
    """(n,): scales at which a row's weights are whole steps, its ``wholes`` whole; None: some row has none."""
    at_once = max(1, BLOCK // (len(LARGEST) * min(LOOK, max(weights.shape[1], wholes.shape[1]))))
    found = []
    for first in range(0, len(weights), at_once):
        rows = slice(first, first + at_once)
        found.append(_first_scales(weights[rows], wholes[rows], step))
        if np.isnan(found[-1]).any():
            return None
    return reals(np.concatenate(found))


def _first_scales(weights: Reals, wholes: Reals, step: int) -> Reals:
    """As ``_row_scales``, of few rows; NaN: there is none."""
    scales = np.full(len(weights), np.nan)
    candidates = np.asarray(LARGEST) / np.abs(weights).max(1)[:, None]
    looks = np.all(is_whole(reals(weights[:, None, :LOOK] * candidates[:, :, None] / step)), axis=2)
    if looks.any():  # a single weight lies on every grid: its threshold tells
        looks &= np.all(is_whole(reals(wholes[:, None, :LOOK] * candidates[:, :, None] * FINER)), axis=2)
    for at in np.flatnonzero(looks.any(0)):
        left = np.flatnonzero(np.isnan(scales) & looks[:, at])
        for values, unit in ((wholes, 1 / FINER), (weights, step)):
            left = left[is_whole(reals(values[left] * candidates[left, at, None] / unit)).all(1)]
        scales[left] = candidates[left, at]
    return reals(scales)


def _octave(
    p: Population, groups: Sequence[RealGroup], rules: RoundingRules, s: PerNeuron, ceilings: Ceilings
) -> PerNeuron | None:
    """The scale times the power of two that serves best: within the ceilings, without exponents below 0."""
    up, down = (
        [x for octave in octaves if np.all((x := s * 2.0**octave) <= ceilings.possible)]
        for octaves in (range(OCTAVES), range(-1, -OCTAVES, -1))
    )
    # finer states are no reason to leave the accumulator, where the weights alone would stay within it
    most = np.where(np.all(s <= ceilings.roomy), ceilings.roomy, np.inf)
    useful = [x for x in up if np.all(x <= np.minimum(ceilings.calm, most))]
    # states that only add up or forget have no fractions that a larger scale could keep
    moving = any(np.any((a > 0) & (a < 1)) for a in (p.a_s, p.a_m))
    for x in (*(reversed(useful) if moving else useful), *up, *down):
        if _is_exact(p, groups, rules, x):
            return x if np.ndim(x) == 0 else reals(x)
    return None


def _is_exact(p: Population, groups: Sequence[RealGroup], rules: RoundingRules, s: PerNeuron) -> bool:
    bias, u_init = steady_bias(p, s)
    wholes = [u_init, reals(64 * s * (p.v_init - p.v_reset) + late_v(p, s))]
    wholes += [] if p.v_th is None else [reals(s * (p.v_th - p.v_reset))]
    if not all(is_whole(values).all() for values in wholes) or np.any(np.abs(bias) > rules.formats.bias_max):
        return False
    mant, exponent = split_bias(bias, rules.formats.bias_mant_max, rules.formats.bias_exp_max)
    if not is_whole(bias).all() or np.any((mant << exponent) != np.rint(bias)):
        return False
    return all(_lies_on_grid(g, scaled(g, s, p.shape), rules) for g in groups)


def _lies_on_grid(group: RealGroup, weight: Reals, rules: RoundingRules) -> bool:
    rounded = on_grid(weight, rules.sendable_exponents(group), rules.weight_bits(group))
    # at a scale far too small everything is near 0
    return rounded is not None and np.array_equal(rounded.weights != 0, weight != 0)


def _wholes(p: Population, rows: Rows | None) -> Reals:
    """What must become whole numbers at scale 1, (n rows, any)."""
    bias, u_init = steady_bias(p, 1.0)
    values = [bias, u_init, reals(64 * (p.v_init - p.v_reset) + late_v(p, 1.0))]
    values += [] if p.v_th is None else [reals(p.v_th - p.v_reset)]
    n = 1 if rows is None else rows.n
    return reals(np.concatenate([np.broadcast_to(v, p.shape).reshape(n, -1) for v in values], axis=1))


def _by_row(p: Population, group: RealGroup, rows: Rows | None) -> Reals:
    """The weights, a row each, filled up with zeros."""
    if rows is None:
        flat = group.weight[group.weight != 0]
        return reals(flat.reshape(1, -1))
    if group.entries is None and not group.is_one_to_one:
        return reals(group.weight.reshape(rows.n, -1))
    weights, at = np.broadcast_arrays(group.weight, rows_of(group))
    order = np.argsort(at.reshape(-1), kind="stable")
    sorted_rows = at.reshape(-1)[order] * rows.n // int(np.prod(p.shape))
    first = np.searchsorted(sorted_rows, np.arange(rows.n))
    place = np.arange(order.size) - first[sorted_rows]
    found = np.zeros((rows.n, int(place.max(initial=0)) + 1))
    found[sorted_rows, place] = weights.reshape(-1)[order]
    return reals(found)
