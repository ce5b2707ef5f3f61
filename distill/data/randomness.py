"""Random numbers that depend on what they are for, not on when they are drawn.

Every choice follows from (seed, epoch, sample): so a resumed run, a run on two processes and a run with another batch
size see the same crops and the same input spikes.
"""

from __future__ import annotations

import torch
from torch import Tensor

_GOLDEN = (
    -7046029254386353131
)  # 0x9E3779B97F4A7C15 and the next two, of splitmix64 (Steele et al., OOPSLA 2014), signed
_FIRST = -4658895280553007687  # 0xBF58476D1CE4E5B9
_SECOND = -7723592293110705685  # 0x94D049BB133111EB


def mix(*parts: Tensor | int) -> Tensor:
    """One well-mixed int64 per element, from several numbers (tensors broadcast)."""
    result = torch.zeros((), dtype=torch.int64)
    for part in parts:
        # a number stays on the CPU until it meets a tensor, because bringing it to a GPU would wait for the GPU
        value = part if isinstance(part, Tensor) else torch.tensor(part, dtype=torch.int64)
        result = _scramble(result + value.to(torch.int64) + _GOLDEN)
    return result


def uniform(seeds: Tensor) -> Tensor:
    """float64 in [0, 1), one per seed."""
    return (_shift(seeds, 11).double()) * 2.0**-53


def choice(seeds: Tensor, stream: int, n: int) -> Tensor:
    """A whole number 0 .. n - 1 per seed; another ``stream`` is an independent choice."""
    return (uniform(mix(seeds, stream)) * n).to(torch.int64)


def _scramble(state: Tensor) -> Tensor:
    state = (state ^ _shift(state, 30)) * _FIRST
    state = (state ^ _shift(state, 27)) * _SECOND
    return state ^ _shift(state, 31)


def _shift(state: Tensor, bits: int) -> Tensor:
    """Logical shift right: torch's is arithmetic."""
    return (state >> bits) & ((1 << (64 - bits)) - 1)
