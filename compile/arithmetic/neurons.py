"""A population as the scans read it: parameters per neuron, what they start from, what they give, and the limits
within which 32 bits are proved to hold it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..neurons.cuba import bias_of
from ..neurons.lif import Lif
from ..neurons.ternary_lif import TernaryLif
from ..numbers import UNITY, V_MAX, Ints, ints, wrap

DRIVE_LIMIT = 1 << 18
"""Largest |drive| for which u needs no second turn: |u| + 64 |drive| <= 2**23 + 2**24."""

BIAS_LIMIT = 1 << 29
UNREACHABLE = 1 << 40


@dataclass(frozen=True)
class NeuronTable:
    """A population's parameters per neuron, flat, as the loops read them.

    Attributes:
        keep_u, keep_v: 4096 - rate.
        high, low: thresholds << 6; a LIF has no low one.
    """

    keep_u: Ints
    keep_v: Ints
    high: Ints
    low: Ints
    bias: Ints
    u_init: Ints
    v_init: Ints
    refractory_steps: int

    @property
    def n(self) -> int:
        return len(self.keep_u)

    @property
    def ternary(self) -> bool:
        return bool(np.any(self.low > -UNREACHABLE))

    @cached_property
    def fits_32_bits(self) -> bool:
        """Whether ``scan_fast`` is exact for drives up to ``DRIVE_LIMIT``."""
        rates = min(self.keep_u.min(), self.keep_v.min()), max(self.keep_u.max(), self.keep_v.max())
        states = max(np.abs(self.u_init).max(), np.abs(self.v_init).max())
        return bool(
            rates[0] >= 0
            and rates[1] <= UNITY
            and states <= V_MAX
            and np.abs(self.bias).max() <= BIAS_LIMIT
            and not self.ternary
            and self.refractory_steps == 0
        )

    @cached_property
    def narrow(self) -> tuple[NDArray[np.int32], ...]:
        """keep_u, keep_v, threshold, bias in 32 bits; a threshold beyond v's range is moved to its edge."""
        threshold = np.clip(self.high, -V_MAX - 1, V_MAX)
        return tuple(x.astype(np.int32) for x in (self.keep_u, self.keep_v, threshold, self.bias))


def neuron_table(
    neuron: Lif | TernaryLif, shape: tuple[int, ...], order: NDArray[np.int64] | None = None
) -> NeuronTable:
    """Parameters of each neuron in C order of the shape, or in the order given."""

    def flat(values: Ints) -> Ints:
        whole = np.broadcast_to(values, shape).ravel()
        return np.ascontiguousarray(whole if order is None else whole[order]).astype(np.int64)

    if isinstance(neuron, Lif):
        high, low = neuron.v_th_mant << 6, ints(-UNREACHABLE)
        rest = neuron.refractory_steps
    else:
        high, low, rest = wrap(neuron.v_th_hi_mant << 6, 32), wrap(neuron.v_th_lo_mant << 6, 32), 0
    return NeuronTable(
        keep_u=flat(UNITY - neuron.du),
        keep_v=flat(UNITY - neuron.dv),
        high=flat(high),
        low=flat(low),
        bias=flat(bias_of(neuron)),
        u_init=flat(neuron.u_init),
        v_init=flat(neuron.v_init),
        refractory_steps=rest,
    )


class State(NamedTuple):
    """(B, n) int32, changed in place by the loops."""

    u: torch.Tensor
    v: torch.Tensor
    rest: torch.Tensor


@dataclass(frozen=True)
class RawScan:
    """Flat results of the loops, (T, B, n) and (B, n); empty traces were not asked for."""

    spikes: torch.Tensor
    traces: tuple[torch.Tensor, ...]  # v, u, v_before_reset
    final: State
    counts: torch.Tensor
    n_spikes: torch.Tensor
    totals: torch.Tensor


def empty_traces(
    want: Collection[str], n_steps: int, batch: int, n: int, device: torch.device
) -> tuple[torch.Tensor, ...]:
    """v, u, v_before_reset: whole where wanted, else without a value."""
    return tuple(
        torch.empty((n_steps, batch, n) if name in want else (0, 0, 0), dtype=torch.int32, device=device)
        for name in ("v", "u", "v_before_reset")
    )
