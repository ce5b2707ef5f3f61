"""Chooses the scale of each population: how many units of the threshold's mantissa one real unit is.

A scale fixes the weights' grid and the threshold together, and all synapses into a population share it. Candidates
are the scales at which the largest (or a slightly clipped largest) weight of one of its groups just fits the grid,
within the limits of threshold, bias and current; the search takes the one with the least error.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from seamount.errors import ConfigError, InputError, Reason

from ..formats import grid_ends
from ..network.network import Delay, Network, Population, Reals, reals
from ..numbers import DRIVE_SHIFT, V_MAX, PerNeuron
from .joint_rounding import Moments, mean_square, round_with_moments
from .lower import steady_bias
from .neuron_rows import rows_of_population
from .neuron_scales import TOLERATED, WORTH, in_units, may_differ, own_heights, own_units, row_limits, worst_error
from .quantise import LARGEST, Rounder
from .real_groups import RealGroup, RoundingRules, largest_drive, real_groups

if TYPE_CHECKING:
    from .calibration import Calibration

Method = Literal["max-fit", "mse", "percentile", "calibrated"]
METHODS: tuple[Method, ...] = get_args(Method)

STATE_LIMIT = float(V_MAX >> DRIVE_SHIFT)
"""What u and v hold, in units of v_th_mant."""


DRIFT = 1e-3
"""Share of the threshold that rounding the states may cost before a larger scale than the weights need is taken."""


FEW_WEIGHTS = 1 << 12
"""Up to here chance decides which scale rounds the weights of a group well together, and every candidate is tried."""

FEWEST_UNITS = 0.25
HEADROOM = 2.0
"""Where u holds the membrane of an emulated soft reset and its worst case would take the weights' bits: their grid is
used up to this share, or u may reach so many times what it did in calibration."""


@dataclass(frozen=True)
class SearchOptions:
    """How scales are chosen.

    Attributes:
        method: "max-fit": the largest weight sets the grid; "percentile": so does that percentile of |weight|;
            "mse": least squared error of the weights; "calibrated": least squared error of what arrives at the
            neurons on the user's data, for whose sums the weights are then rounded together.
        percentile: for that method.
        n_candidates: scales that are tried per population, from 1.0 to 0.6 of the largest that fits.
    """

    method: Method = "mse"
    percentile: float = 99.9
    n_candidates: int = 24

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"scale search {self.method!r} does not exist, possible are {', '.join(METHODS)}")


def choose_scales(
    network: Network,
    rules: RoundingRules,
    options: SearchOptions,
    calibration: Calibration | None = None,
    found: Collection[str] = (),
) -> dict[str, PerNeuron]:
    """Population -> scale, an array where neurons or channels have scales of their own.

    Args:
        network: behind ``merge_linear``.
        calibration: what the network does on the user's data, for "calibrated".
        found: populations that have a scale.
    """
    moments: Mapping[str, Moments] = {}
    reached: Mapping[str, float] = {}
    if options.method == "calibrated":
        if calibration is None:
            raise InputError("the calibrated scale search needs input data (T, B, ...)", where=network.name)
        moments, reached = calibration.moments, calibration.reached
    return {
        p.name: _scale(network, p, rules, options, moments, reached.get(p.name, 0.0))
        for p in network.populations
        if p.name not in found
    }


def _scale(
    network: Network,
    p: Population,
    rules: RoundingRules,
    options: SearchOptions,
    moments: Mapping[str, Moments],
    reached: float,
) -> PerNeuron:
    """One scale for all neurons unless some of them would lose much by it."""
    groups = real_groups(network, p.name)
    _refuse_absurd_units(p, groups)
    one = _one_scale(network, p, groups, rules, options, moments, reached)
    if not may_differ(network, p, groups) or (worst := worst_error(p, groups, rules, one)) <= TOLERATED:
        return one
    units = _own_units(network, p, groups, rules)
    base = _one_scale(network, *in_units(p, groups, units), rules, options, moments, reached)
    own = reals(base * units)
    return own if WORTH * worst_error(p, groups, rules, own) <= worst else one


def _refuse_absurd_units(p: Population, groups: list[RealGroup]) -> None:
    """Between numbers too far from 1 there is no scale that doubles hold: a search would not end, or divide by 0."""
    magnitudes = [(g.connection.name, "weights", float(np.abs(g.weight).max(initial=0.0))) for g in groups]
    if p.v_th is not None:
        height = np.abs(p.v_th - p.v_reset)
        for end in dict.fromkeys((height.min(), height.max())):
            magnitudes.append((p.name, "a threshold above reset", float(end)))
    reasons = []
    for where, what, largest in magnitudes:
        if largest and not 1 / LARGEST <= largest <= LARGEST:
            possible = f"possible is {1 / LARGEST:g} to {LARGEST:g}"
            reasons.append(Reason(f"{what} of {largest:.3g}", where, possible, ("give the network usual units",)))
    if reasons:
        raise InputError.together(reasons)


def _own_units(network: Network, p: Population, groups: list[RealGroup], rules: RoundingRules) -> Reals:
    rows = rows_of_population(p, groups)
    drives = np.sum([rows.largest_sums(g) * g.highest_payload for g in groups], axis=0) * kept_steps(network, p)
    limits = row_limits(p, groups, rules, reals(drives), STATE_LIMIT)
    own = in_units(p, groups, rows.spread(reals(1 / own_heights(p, rows))))[0]
    return own_units(p, groups, rules, limits, _fine_scale(own))


def kept_steps(network: Network, p: Population) -> float:
    """How many steps' drive u holds at most."""
    slowest = float(np.min(p.a_s))
    return min(float(network.n_steps or 1 << 10), 1 / slowest if slowest else np.inf)


def _one_scale(
    network: Network,
    p: Population,
    groups: list[RealGroup],
    rules: RoundingRules,
    options: SearchOptions,
    moments: Mapping[str, Moments],
    reached: float,
) -> float:
    highest, calm = highest_scale(network, p, groups, rules, reached)
    candidates = _candidates(p, groups, options, rules, highest, calm)
    if not candidates:
        return highest if np.isfinite(highest) else 1.0
    return candidates[int(np.argmin(_errors(candidates, groups, rules, moments)))]


def highest_scale(
    network: Network, p: Population, groups: list[RealGroup], rules: RoundingRules, reached: float = 0.0
) -> tuple[float, float]:
    """(largest scale at which threshold and bias have room and nothing wraps, and at which v cannot saturate either).

    A readout must not saturate, so both are one for it; a neuron that fires may, far below its threshold.
    reached: largest |u| that calibration saw; 0: there was none.
    """
    limits = []
    if p.v_th is not None and (height := float(np.max(p.v_th - p.v_reset))) > 0:  # 0 fits at every scale
        limits.append(rules.formats.v_th_mant_max / height)
    bias, u_init = steady_bias(p, 1.0)
    largest_bias = float(np.abs(bias).max(initial=0.0))
    if largest_bias:
        limits.append(rules.formats.bias_max / largest_bias)
    # a soft reset's own inhibition follows a spike and never takes u below what it would be without
    worst, kept = sum(largest_drive(g) for g in groups if not _takes_back(g)), kept_steps(network, p)
    if worst:
        room = STATE_LIMIT / (worst * kept + float(np.abs(u_init).max(initial=0.0)) / 64)
        if any(_takes_back(g) for g in groups):
            # the membrane of a soft reset: a slow leak would leave the weights no bits; the range analysis warns
            useful = FEWEST_UNITS * _whole_grid(groups, rules) if not reached else STATE_LIMIT / (HEADROOM * reached)
            room = max(room, min(STATE_LIMIT / worst, useful))
        limits.append(room)
    highest = min(limits, default=np.inf)
    if worst == largest_bias == 0:
        return highest, highest
    leak = float(np.min(p.a_m))
    summed = min(float(network.n_steps or 1 << 10), 1 / leak if leak else np.inf)
    calm = min(highest, STATE_LIMIT / ((worst * kept + largest_bias / 64) * summed))
    return (calm if p.v_th is None else highest), calm


def _candidates(
    p: Population,
    groups: list[RealGroup],
    options: SearchOptions,
    rules: RoundingRules,
    highest: float,
    calm: float,
) -> list[float]:
    """Scales to try, each in the highest octave that is possible and useful."""
    found: list[float] = []
    ratios = (
        (1.0,) if options.method in ("max-fit", "percentile") else tuple(np.linspace(1.0, 0.6, options.n_candidates))
    )
    fine = _fine_scale(p)
    fits = _fitting_scale(groups, rules)
    room = drive_room(groups, rules)
    largest = [
        unit for g in groups if not g.connection.whole and (unit := _unit_scale(g, options, rules)) is not None
    ]
    if options.method in ("max-fit", "percentile"):
        largest = [min(largest)] if largest else []
    for unit in largest:
        for ratio in ratios:
            s = unit / ratio
            # finer states are no reason to leave the accumulator, where the weights alone would stay within it
            most = min(calm, unit * 16, fits / ratio, room if unit <= room else np.inf)
            while s * 2 <= most and s < fine:
                s *= 2
            if s > highest:  # exponents cannot go below their lowest: then the more scale the better
                found.append(_whole_threshold(p, highest * ratio))
            while s > min(highest, fits / ratio):
                s /= 2
            found.append(_whole_threshold(p, s))
    return found


def _fitting_scale(groups: list[RealGroup], rules: RoundingRules) -> float:
    """Up to here every group's largest weight has an exponent that the chip holds."""
    units = [(g, _unit_scale(g, SearchOptions("max-fit"), rules)) for g in groups if not g.connection.whole]
    return min(
        (unit * 2.0 ** rules.sendable_exponents(g)[1] for g, unit in units if unit is not None), default=np.inf
    )


def drive_room(groups: list[RealGroup], rules: RoundingRules) -> float:
    """Up to here no sum of a step leaves the chip's accumulator."""
    worst = sum(largest_drive(g) for g in groups)
    return rules.formats.drive_max / worst if worst else np.inf


def _fine_scale(p: Population) -> float:
    """A scale at which rounding decayed states towards zero moves v by less than DRIFT of the threshold.

    Each step takes up to 1 from u and from v, and the losses add up over their time constants.
    """
    if p.v_th is None or (height := float(np.min(p.v_th - p.v_reset))) <= 0:  # no threshold to measure the loss by
        return 0.0
    moving = [np.where((a > 0) & (a < 1), a, np.inf) for a in (p.a_s, p.a_m)]
    slow_s, slow_m = (float(np.max(1 / a)) for a in moving)
    lost = slow_m + slow_s * max(1.0, slow_m)
    return lost / (DRIFT * 64 * height)


def _takes_back(group: RealGroup) -> bool:
    """Whether it is the synapse of an emulated soft reset, from each neuron to itself."""
    c = group.connection
    return c.whole and c.source == c.target and not any(isinstance(op, Delay) for op in c.ops)


def _whole_grid(groups: list[RealGroup], rules: RoundingRules) -> float:
    """The scale at which every group's largest weight has the whole grid, with exponent 0."""
    units = [_unit_scale(g, SearchOptions("max-fit"), rules) for g in groups if not g.connection.whole]
    return max((unit for unit in units if unit is not None), default=0.0)


def _unit_scale(group: RealGroup, options: SearchOptions, rules: RoundingRules) -> float | None:
    """The scale at which the group's largest weight is the grid's largest, with exponent 0."""
    weight = np.abs(group.weight)
    largest = (
        float(np.percentile(weight, options.percentile)) if options.method == "percentile" else float(weight.max())
    )
    # both ends of the mixed grid, which lies within that of one sign
    return grid_ends("mixed", rules.weight_bits(group))[1] / largest if largest else None


def _whole_threshold(p: Population, s: float) -> float:
    """The nearest scale below at which all thresholds are whole numbers, where they are multiples of the lowest."""
    if p.v_th is None:
        return s
    height = p.v_th - p.v_reset
    lowest = float(height.min())
    times = height / lowest
    if np.any(np.abs(np.rint(times) - times) > 1e-9 * times) or s * lowest < 1:
        return s
    return float(np.floor(s * lowest) / lowest)


def _errors(
    scales: Sequence[float], groups: list[RealGroup], rules: RoundingRules, moments: Mapping[str, Moments]
) -> Reals:
    """What is lost at each scale, all groups together."""
    total = np.zeros(len(scales))
    for g in groups:
        if _takes_back(g):
            total += [float(np.sum(((np.rint(s * g.weight) - s * g.weight) / s) ** 2)) for s in scales]
            continue
        lost, exponents = _lost(scales, g, rules, moments.get(g.connection.name))
        total += lost
        # a sum that is floored loses half a unit on average, and its variance, uniform
        total += [
            (0.5 / s) ** 2 + (1 / (12 * s * s)) if e < 0 else 0.0 for s, e in zip(scales, exponents, strict=True)
        ]
    return total


def _lost(
    scales: Sequence[float], g: RealGroup, rules: RoundingRules, known: Moments | None
) -> tuple[list[float], list[int]]:
    """(squared errors, exponents) at each scale."""
    limits, bits = rules.sendable_exponents(g), rules.weight_bits(g)
    lost, exponents = [], []
    if known is not None and g.weight.size <= FEW_WEIGHTS:
        for s in scales:
            weight = reals(s * g.weight)
            rounded = round_with_moments(weight, known, limits, bits)
            lost.append(mean_square(reals((rounded.effective - weight) / s), known))
            exponents.append(rounded.exponent)
        return lost, exponents
    rounder = Rounder(g.weight, limits, bits, None if known is None else known.square)
    for s in scales:
        nearest = rounder.at(s)
        lost.append(rounder.summed(np.divide(nearest.off, s, out=nearest.off)))
        exponents.append(nearest.exponent)
    return lost, exponents
