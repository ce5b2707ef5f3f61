"""Scales of single neurons or channels, where one for the whole population would cost some of them their weights.

Thresholds and biases are per neuron on the chip, so that a neuron may be counted in a unit of its own. Its scale is
the population's S times a power of two over its own threshold: all neurons use the grid, every threshold is a whole
number, and there are few different thresholds, of which a core holds few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..formats import grid_ends
from ..network.network import Network, Population, Reals, reals
from ..numbers import PerNeuron
from .lower import steady_bias
from .neuron_rows import Rows, rows_of_population
from .quantise import round_weights
from .real_groups import RealGroup, RoundingRules, scaled

TOLERATED = 0.05
"""Relative error of a neuron's weights and threshold up to which one scale is kept for all."""

WORTH = 2.0
"""How many times smaller the worst neuron's error must get."""


def may_differ(network: Network, p: Population, groups: Sequence[RealGroup]) -> bool:
    """Whether the neurons of a population may have scales of their own.

    The potentials of a readout are compared with each other; whole weights are exact at one scale already.
    """
    read = network.readout == p.name and network.readout_quantity != "count"
    return p.v_th is not None and not read and not any(g.connection.whole for g in groups)


def own_units(p: Population, groups: Sequence[RealGroup], rules: RoundingRules, limits: Reals, fine: float) -> Reals:
    """Scale of each neuron over that of the population, broadcasts to its shape.

    Args:
        limits: highest scale of each row of neurons (``Rows``).
        fine: as many units of v_th_mant as a threshold should have, so that states are fine enough.
    """
    assert p.v_th is not None
    rows = rows_of_population(p, groups)
    heights = own_heights(p, rows)
    largest = [rows.largest_weights(g) / heights for g in groups]
    # each group has an exponent of its own: what counts is how a neuron stands to the others in the same group
    share = np.max([row / row.max() for row in largest if row.max() > 0], axis=0, initial=0.0)
    ends = [grid_ends("mixed", rules.weight_bits(g))[1] for g in groups]
    unit = min((end / row.max() for end, row in zip(ends, largest, strict=True) if row.max() > 0), default=1.0)
    top = min(max(unit, fine), 16 * unit)
    with np.errstate(divide="ignore"):
        octaves = np.minimum(np.floor(-np.log2(share)), np.floor(np.log2(limits * heights / top)))
    octaves = np.where(share > 0, np.maximum(octaves, 0), 0)
    return rows.spread(reals(2.0**octaves / heights))


def own_heights(p: Population, rows: Rows) -> Reals:
    """Threshold above reset of each row, (n,); one for all where the neurons of a row differ."""
    assert p.v_th is not None
    height = reals(p.v_th - p.v_reset)
    low, high = rows.lowest(height), rows.highest(height)
    return low if np.array_equal(low, high) else reals(np.full(rows.n, height.max()))


def row_limits(p: Population, groups: Sequence[RealGroup], rules: RoundingRules, drives: Reals, room: float) -> Reals:
    """Highest scale of each row, (n,), at which threshold and bias have room and u does not wrap.

    Args:
        drives: what arrives at a row at most, kept by its current. room: that u has for it.
    """
    assert p.v_th is not None
    rows = rows_of_population(p, groups)
    bias = rows.highest(reals(np.abs(steady_bias(p, 1.0)[0])))
    with np.errstate(divide="ignore"):
        return reals(
            np.min(
                [
                    rules.formats.v_th_mant_max / rows.highest(reals(p.v_th - p.v_reset)),
                    rules.formats.bias_max / bias,
                    room / drives,
                ],
                axis=0,
            )
        )


def in_units(p: Population, groups: Sequence[RealGroup], units: Reals) -> tuple[Population, list[RealGroup]]:
    """Population and groups with each neuron counted in its own unit: the same neurons."""
    assert p.v_th is not None
    own = replace(
        p,
        gain=reals(p.gain * units),
        v_th=reals(p.v_th * units),
        v_leak=reals(p.v_leak * units),
        v_reset=reals(p.v_reset * units),
        v_init=reals(p.v_init * units),
        u_init=reals(p.u_init * units),
    )
    return own, [replace(g, weight=scaled(g, units, p.shape)) for g in groups]


def worst_error(p: Population, groups: Sequence[RealGroup], rules: RoundingRules, s: PerNeuron) -> float:
    """Relative error of the weights or of the threshold, whichever is larger, of the neuron that has the largest."""
    rows = rows_of_population(p, groups)
    lost, norm = np.zeros(rows.n), np.zeros(rows.n)
    for g in groups:
        weight = scaled(g, s, p.shape)
        rounded = round_weights(weight, rules.sendable_exponents(g), rules.weight_bits(g))
        lost += rows.sums(g, reals((rounded.effective - weight) ** 2))
        norm += rows.sums(g, reals(weight**2))
    weights = float(np.sqrt(np.max(np.divide(lost, norm, out=np.zeros(rows.n), where=norm > 0), initial=0.0)))
    if p.v_th is None:
        return weights
    height = s * (p.v_th - p.v_reset)
    return max(weights, float(np.max(np.abs(np.rint(height) / height - 1))))
