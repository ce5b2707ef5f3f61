"""Where the program leaves the float student: one population's spikes and potentials on both sides, compared.

Damage is the share of spikes without a partner: of all positions (step, sample, neuron) where either side fires,
those where only one does. It is 0 for equal trains and 100 % for trains that share nothing, however sparse they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seamount.compile.neurons.lif import Lif
from seamount.compile.program.program import Population

from ..evidence import UNREACHED, Array, Evidence, Traced, as_long_as, window
from ..schema.quantities import known, series, unknown
from ..schema.values import Missing, Quantity, Series

SILENT = "integrates only and sends no spikes"
NOT_RECORDED = "its spikes were not recorded"
RATE = "spikes/step"


@dataclass(frozen=True)
class Sides:
    """One population's spikes (T, B, *shape) over the steps that belong to the sample.

    Attributes:
        n: samples that were traced. reference: what they are compared with.
        deployed, float: None where nothing was recorded; ``float`` has the shape of ``deployed``.
        unpaired: why the two cannot be compared; empty where they can.
    """

    name: str
    fires: bool
    n: int
    reference: str
    deployed: Array | None
    float: Array | None
    unpaired: str

    @property
    def pair(self) -> tuple[Array, Array] | None:
        """Deployed and float spikes, where they can be compared."""
        if self.unpaired or self.deployed is None or self.float is None:
            return None
        return self.deployed, self.float


def sides(evidence: Evidence, population: Population) -> Sides:
    traced, name, fires = evidence.traced, population.name, can_fire(population)
    if traced is None:
        return Sides(name, fires, 0, evidence.reference, None, None, NOT_RECORDED if fires else SILENT)
    deployed = None
    if name in traced.deployed.spikes:
        deployed = window(evidence.program, traced.deployed, name, traced.deployed.spikes[name])
    float_ = (traced.float_spikes or {}).get(name)
    if deployed is not None and float_ is not None:
        float_ = as_long_as(deployed, float_)
    if deployed is not None and not len(deployed):
        return Sides(name, fires, traced.deployed.n_samples, evidence.reference, None, None, UNREACHED)
    unpaired = SILENT if not fires else _unpaired(evidence, traced, deployed, float_)
    if deployed is not None and float_ is not None and not unpaired:
        # a flattened population of the program has its neurons in the order of the student's
        float_ = float_.reshape(deployed.shape)
    return Sides(name, fires, traced.deployed.n_samples, evidence.reference, deployed, float_, unpaired)


def can_fire(population: Population) -> bool:
    return not population.neuron.never_sends


def _unpaired(evidence: Evidence, traced: Traced, deployed: Array | None, float_: Array | None) -> str:
    if deployed is None:
        return NOT_RECORDED
    if traced.float_spikes is None:
        return evidence.reason("float_spikes", f"the {evidence.reference}'s spikes were not recorded")
    if float_ is None:
        return f"has no counterpart in the {evidence.reference}"
    if float_.size != deployed.size:
        return f"the {evidence.reference}'s trace has shape {float_.shape}, the program's {deployed.shape}"
    return ""


# ------------------------------------------------------------------------------------------------ measures


def damage(both: Sides) -> Quantity:
    if both.pair is None:
        return unknown("%", both.unpaired)
    deployed, float_ = both.pair
    either = int(np.count_nonzero((deployed != 0) | (float_ != 0)))
    n_different = int(np.count_nonzero(deployed != float_))
    # not over all positions: trains are sparse, and two that share no spike would still agree at most of them
    return known(100 * n_different / either if either else 0.0, "%", "measured", both.n)


def agreement(both: Sides) -> Quantity:
    if both.pair is None:
        return unknown("%", both.unpaired)
    deployed, float_ = both.pair
    return known(100 * (1 - float(np.mean(deployed != float_))), "%", "measured", both.n)


def agreement_per_step(both: Sides) -> Series | Missing:
    if both.pair is None:
        return Missing(missing=both.unpaired)
    return series(100 * (1 - _differing_per_step(*both.pair).mean(axis=1)), "%", "measured", both.n)


def first_divergent_step(both: Sides) -> Quantity:
    if both.pair is None:
        return unknown("step", both.unpaired)
    steps = np.flatnonzero(_differing_per_step(*both.pair).any(axis=1))
    if steps.size == 0:
        return unknown("step", "no step differs")
    return known(int(steps[0]) + 1, "step", "measured", both.n)


def _differing_per_step(deployed: Array, float_: Array) -> Array:
    different: Array = np.asarray(deployed != float_).reshape(len(deployed), -1)
    return different


def change_percent(both: Sides) -> Quantity:
    """How much more often the program fires."""
    if both.pair is None:
        return unknown("%", both.unpaired)
    n_deployed, n_float = (np.count_nonzero(side) for side in both.pair)
    if n_float == 0:
        return unknown("%", f"the {both.reference} never fires here")
    return known(100 * (n_deployed - n_float) / n_float, "%", "measured", both.n)


def rate_distance(both: Sides) -> Quantity:
    """Earth mover's distance between the two distributions of firing rates, each neuron's over all steps and samples.

    By how much rates would have to move for the population as a whole to fire as it did; of as many neurons on both
    sides it is the mean difference of the sorted rates. Which neuron fires does not matter, so that it shows what
    ``damage`` cannot: a population that fires more, or is split into silent and busy ones (arXiv 2604.14487).
    """
    if both.pair is None:
        return unknown(RATE, both.unpaired)
    deployed, float_ = (np.sort(rates_of(side)) for side in both.pair)
    return known(float(np.mean(np.abs(deployed - float_))), RATE, "measured", both.n)


def rates_of(spikes: Array) -> Array:
    """Spikes per step of each neuron of (T, B, *shape), (N,)."""
    rates: Array = (spikes.reshape(*spikes.shape[:2], -1) != 0).mean(axis=(0, 1))
    return rates


def membrane_rmse(evidence: Evidence, population: Population) -> Quantity:
    """Root mean square difference of the two sides' v, in thresholds."""
    unit, name, traced = "thresholds", population.name, evidence.traced
    scale, neuron = evidence.program.scales.get(name), population.neuron
    if not isinstance(neuron, Lif) or not can_fire(population):
        return unknown(unit, "has no threshold")
    if traced is None or not traced.float_v or name not in traced.float_v:
        return unknown(unit, f"the {evidence.reference}'s v was not recorded")
    if name not in traced.deployed.v or scale is None:
        return unknown(unit, "the program's v or its scale is not known")
    v = window(evidence.program, traced.deployed, name, traced.deployed.v[name])
    if not len(v):
        return unknown(unit, UNREACHED)
    float_v = as_long_as(v, traced.float_v[name]).astype(np.float64)
    if float_v.size != v.size:
        return unknown(unit, f"the {evidence.reference}'s v has shape {float_v.shape}, the program's {v.shape}")
    # the chip holds v in 64ths of the unit of its thresholds, which are scale to the real unit
    error = (v - 64 * scale * float_v.reshape(v.shape)) / np.broadcast_to(neuron.v_th_mant * 64.0, v.shape[2:])
    return known(float(np.sqrt(np.mean(error**2))), unit, "measured", traced.deployed.n_samples)
