"""A population as the scans read it: parameters per neuron, what they start from, what they give, and the limits
within which 32 bits are proved to hold it.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, assert_never

import numpy as np
import torch
from numpy.typing import NDArray

from ..neurons.lif import Lif
from ..neurons.ternary_lif import TernaryLif
from ..numbers import DRIVE_SHIFT, STATE_BITS, UNITY, V_MAX, Ints, ints

DRIVE_LIMIT = (1 << STATE_BITS) >> DRIVE_SHIFT
"""Largest |drive| for which u needs no second turn: |u| + 64 |drive| <= 2**23 + 2**24."""

BIAS_LIMIT = 1 << 29
"""Of the loops in 32 bits, whatever a chip holds: v, u and a bias add up below 2**31."""

UNREACHABLE = 1 << 40


@dataclass(frozen=True, eq=False)
class NeuronTable:
    """A population's parameters per neuron, flat, as the loops read them.

    Compared by identity, so that what a GPU holds of it can be found again.

    Attributes:
        keep_u, keep_v: 4096 - rate.
        high, low: thresholds << 6; a LIF has no low one.
        floor: what v is raised to; ``-V_MAX`` where there is none.
    """

    keep_u: Ints
    keep_v: Ints
    high: Ints
    low: Ints
    bias: Ints
    u_init: Ints
    v_init: Ints
    floor: Ints
    refractory_steps: int

    @property
    def n(self) -> int:
        return len(self.keep_u)

    @cached_property
    def ternary(self) -> bool:
        return bool(np.any(self.low > -UNREACHABLE))

    @cached_property
    def fits_32_bits(self) -> bool:
        """Whether ``scan_fast`` is exact for drives up to ``DRIVE_LIMIT``."""
        return (
            all(_within(x, 0, UNITY) for x in (self.keep_u, self.keep_v))
            and all(_within(x, -V_MAX, V_MAX) for x in (self.u_init, self.v_init))
            and _within(self.bias, -BIAS_LIMIT, BIAS_LIMIT)
            and not self.ternary
            and bool((self.floor == -V_MAX).all())
            and self.refractory_steps == 0
        )

    @cached_property
    def turn_free(self) -> int:
        """Largest |drive| for which u never turns from the initial state on; -1: none is proved.

        Where 64 |drive| <= (1 - keep / 4096) |u| nothing grows, so u stays below 64 |drive| * 4096 / du.
        """
        if not self.fits_32_bits:
            return -1
        return (V_MAX + 1 >> DRIVE_SHIFT) * int(UNITY - self.keep_u.max()) // UNITY - 1

    @cached_property
    def narrow(self) -> tuple[NDArray[np.int32], ...]:
        """keep_u, keep_v, threshold, bias in 32 bits; a threshold beyond v's range is moved to its edge."""
        threshold = np.clip(self.high, -V_MAX - 1, V_MAX)
        return tuple(x.astype(np.int32, order="C") for x in (self.keep_u, self.keep_v, threshold, self.bias))

    @cached_property
    def wide(self) -> tuple[Ints, ...]:
        """keep_u, keep_v, high, low, bias, floor in 64 bits, one value a neuron in memory."""
        held = (self.keep_u, self.keep_v, self.high, self.low, self.bias, self.floor)
        return tuple(np.ascontiguousarray(x) for x in held)


def _within(values: Ints, low: int, high: int) -> bool:
    return bool(values.min() >= low and values.max() <= high)


Scanned = Lif | TernaryLif
"""Models that the loops hold; others are stepped by their definition."""


def neuron_table(neuron: Scanned, shape: tuple[int, ...], order: NDArray[np.int64] | None = None) -> NeuronTable:
    """Parameters of each neuron in C order of the shape, or in the order given."""

    def flat(values: Ints) -> Ints:
        if values.size == 1:  # a student's tables are made anew at every training step: most are one number
            return np.broadcast_to(values.astype(np.int64).ravel(), math.prod(shape))
        whole = np.broadcast_to(values, shape).ravel()
        return np.ascontiguousarray(whole if order is None else whole[order]).astype(np.int64)

    floor = ints(-V_MAX)
    match neuron:
        case Lif():
            low, high, rest = ints(-UNREACHABLE), neuron.v_th_mant << 6, neuron.refractory_steps
            floor = floor if neuron.v_floor is None else neuron.v_floor
        case TernaryLif():
            (low, high), rest = neuron.thresholds, 0
        case _:
            assert_never(neuron)
    return NeuronTable(
        keep_u=flat(UNITY - neuron.du),
        keep_v=flat(UNITY - neuron.dv),
        high=flat(high),
        low=flat(low),
        bias=flat(neuron.bias),
        u_init=flat(neuron.u_init),
        v_init=flat(neuron.v_init),
        floor=flat(floor),
        refractory_steps=rest,
    )


class State(NamedTuple):
    """(B, n) int32, changed in place by the loops; rest only by those that know rests."""

    u: torch.Tensor
    v: torch.Tensor
    rest: torch.Tensor


class Real(NamedTuple):
    """Spikes and v_before_reset as floats: the latter less the threshold, in float32 times ``unit``, then rounded."""

    unit: float
    dtype: torch.dtype


@dataclass(frozen=True)
class RawScan:
    """Flat results of the loops, (T, B, n) and (B, n); empty traces were not asked for."""

    spikes: torch.Tensor
    traces: tuple[torch.Tensor, ...]  # v, u, v_before_reset
    final: State
    counts: torch.Tensor
    n_spikes: torch.Tensor | None  # (T,) int64, where the loops counted them
    totals: torch.Tensor | None  # (parts, 3) int64: active updates, u wraps, v saturations; None: not counted


def empty_traces(
    want: Collection[str], n_steps: int, batch: int, n: int, device: torch.device
) -> tuple[torch.Tensor, ...]:
    """v, u, v_before_reset: whole where wanted, else without a value."""
    return tuple(
        torch.empty((n_steps, batch, n) if name in want else (0, 0, 0), dtype=torch.int32, device=device)
        for name in ("v", "u", "v_before_reset")
    )
