"""Which neuron rounding did the most harm to, and whose weights it took away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from seamount.errors import plural

from ..network.network import Reals
from .real_groups import RealGroup, rows_of


@dataclass(frozen=True)
class WorstNeuron:
    """
    Attributes:
        index: of the neuron in C order, of the channel for a kernel. relative_error: of its weights in the group.
    """

    index: int
    relative_error: float


def worst_neuron(group: RealGroup, weight: Reals, effective: Reals) -> WorstNeuron:
    """The neuron whose weights changed most.

    Args:
        weight, effective: of the group in units of v_th_mant, before and after rounding.
    """
    error, rows = np.broadcast_arrays((effective - weight) ** 2, rows_of(group))
    lost = np.bincount(rows.reshape(-1), error.reshape(-1))
    norm = np.bincount(rows.reshape(-1), np.broadcast_to(weight**2, rows.shape).reshape(-1))
    share = np.divide(lost, norm, out=np.zeros_like(lost), where=norm > 0)
    at = int(np.argmax(share)) if share.size else 0
    return WorstNeuron(at, float(np.sqrt(share[at])) if share.size else 0.0)


def lost_weights(group: RealGroup, weight: Reals, effective: Reals) -> Iterator[str]:
    """A line where all weights of a neuron or channel became 0, one where most of the group's did."""
    name, what = group.connection.name, "neuron" if group.conv is None else "channel"
    there, zeroed, rows = np.broadcast_arrays(weight != 0, (weight != 0) & (effective == 0), rows_of(group))
    n_there, n_zeroed = (np.bincount(rows.reshape(-1), flags.reshape(-1)) for flags in (there, zeroed))
    gone = np.flatnonzero((n_there > 0) & (n_there == n_zeroed))
    if gone.size:
        others = f" and {gone.size - 1} more" if gone.size > 1 else ""
        yield (
            f"{name}: all weights of {what} {gone[0]}{others} became 0; they are too small beside its threshold, or "
            "beside the largest of the group"
        )
    if 2 * n_zeroed.sum() > n_there.sum():
        largest = np.abs(weight).max()
        yield (
            f"{name}: {int(n_zeroed.sum())} of {int(n_there.sum())} {plural(int(n_there.sum()), 'weight')} became 0, "
            f"beside the largest, {largest / np.median(np.abs(weight[weight != 0])):.3g} times the middle one; clip "
            "it, or give it a connection of its own"
        )
