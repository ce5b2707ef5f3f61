"""How active a population is: its spikes a sample, over the steps, and neuron by neuron."""

from __future__ import annotations

import numpy as np

from ..evidence import Array
from ..schema.quantities import known, series, tidy, unknown
from ..schema.values import Missing, Quantity, Series
from . import divergence
from .divergence import SILENT, Sides

RATE_EDGES = np.linspace(0, 1, 13)
"""Bins of spikes per step; the neurons that never fire lie in the first, those that always do in the last."""


def per_sample(both: Sides, trace: Array | None, reason: str) -> Quantity:
    """``reason``: why there is no trace, if there is none."""
    if trace is None or not both.fires:
        return unknown("spikes/sample", reason if both.fires else SILENT)
    return known(np.count_nonzero(trace) / max(both.n, 1), "spikes/sample", "counted", both.n)


def per_step(both: Sides, trace: Array | None, reason: str) -> Series | Missing:
    if trace is None or not both.fires:
        return Missing(missing=reason if both.fires else SILENT)
    counts = np.count_nonzero(trace.reshape(len(trace), -1), axis=1)
    return series(counts / max(both.n, 1), "spikes/sample", "counted", both.n)


def neuron_rates(both: Sides) -> Array | None:
    """Spikes per step of each neuron of the program, (N,)."""
    if both.deployed is None or not both.fires:
        return None
    return divergence.rates_of(both.deployed)


def histogram(both: Sides, rates: Array | None) -> Series | Missing:
    if rates is None:
        return Missing(missing=both.unpaired if both.fires else SILENT)
    return series(np.histogram(rates, RATE_EDGES)[0], "neurons", "counted", both.n)


def neurons_at(both: Sides, rates: Array | None, rate: float) -> Quantity:
    if rates is None:
        return unknown("neurons", both.unpaired if both.fires else SILENT)
    return known(int(np.sum(rates == rate)), "neurons", "counted", both.n)


def edges() -> tuple[float, ...]:
    return tuple(float(tidy(e)) for e in RATE_EDGES)
