"""Exact integer sums on fast float hardware, for all steps of a batch at once, on CPU or CUDA.

A sum of integers is exact in float32 while no partial sum reaches 2**24, in float64 while none reaches 2**53. The
bound is proved for every group from its weights and the range of its source: max over targets of sum |w| * max |x|.
Where it does not hold, float64 or int64 computes.

``products.py`` says how torch is kept from rounding, and proves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import assert_never

import numpy as np
import torch

from seamount.compile.numbers import Ints
from seamount.compile.synapses.kinds import Conv, Dense, Kind, OneToOne, Sparse, Synapses, Wire

from ..synapses.algebra import by_delay, with_weights
from ..synapses.bounds import largest_sum, reads_payload, shifted_bound
from ..synapses.matrix import as_matrix
from ..synapses.sums import weighted_sum, wide_sum
from .products import NARROW_BITS, conv_sum, matrix_sum

FLOAT32_EXACT = 1 << 24
FLOAT64_EXACT = 1 << 53
LARGEST_MATRIX = 1 << 24

GATHERED = 1 << 22
"""Products that the entries of a sparse matrix make at once: 16 MiB in float32."""


@dataclass(frozen=True)
class Lowered:
    """Synapses of one delay value, ready for a device.

    Attributes:
        x_bound: no \\|value\\| that is multiplied is larger.
        bound: no sum is larger; proved from the weights and ``x_bound``.
        dtype: float32, float64, or int64: what holds every partial sum.
        narrow: the multiplication may be done with 8 significant bits.
        drive_bound: no drive is larger, after the exponent and before any wrap.
        wide: as of ``Synapses``.
        wraps: whether a drive can leave 32 or ``wrap_bits`` bits.
    """

    kind: Kind
    delay: int
    exponent: int
    wrap_bits: int
    graded: bool
    wide: bool
    source: tuple[int, ...]
    target: tuple[int, ...]
    x_bound: int
    bound: int
    dtype: torch.dtype
    narrow: bool
    device: torch.device

    @cached_property
    def weights(self) -> torch.Tensor:
        """On the device; sparse ones as a matrix, which a product takes faster than a gather, unless it is huge."""
        kind = self.kind
        if isinstance(kind, Wire):
            return torch.ones(1, dtype=self.dtype, device=self.device)
        weights = kind.weights
        if isinstance(kind, Sparse) and not self.gathered:
            weights = as_matrix(kind, kind.weights)
        # not torch.tensor, because that begins on torch's default device, where there may be nothing ("meta")
        return torch.from_numpy(np.array(weights)).to(self.device, self.dtype)

    @property
    def gathered(self) -> bool:
        """Whether its entries are summed one by one, because a matrix with all of them would be huge."""
        return isinstance(self.kind, Sparse) and self.kind.n_target * self.kind.n_source > LARGEST_MATRIX

    @property
    def drive_bound(self) -> int:
        return shifted_bound(self.bound, self.exponent)

    @property
    def largest_drive(self) -> int:
        """As ``drive_bound``, after a wrap."""
        return 1 << (min(self.wrap_bits, 32) - 1) if self.wraps else self.drive_bound

    def fitting(self, x: torch.Tensor) -> Lowered:
        """The same for these values, where fewer bits hold all of their sums: mostly far less is sent than may be."""
        if not self.graded or not x.numel() or not (self.wraps or self.dtype != torch.float32):
            return self
        low, high = (int(edge) for edge in x.aminmax())
        return next((one for one in self._smaller if max(-low, high) <= one.x_bound), self)

    @cached_property
    def _smaller(self) -> tuple[Lowered, ...]:
        """For values whose sums float32 holds, and for those whose sums do not wrap."""
        # of an exponent beyond the drive's bits every sum but 0 wraps
        unit, bits = largest_sum(self.kind, 1), max(0, min(self.wrap_bits, 32) - 1 - max(self.exponent, 0))
        held = (1 << bits) - 1
        limits = sorted({min(held, FLOAT32_EXACT - 1) // max(1, unit), held // max(1, unit)})
        return tuple(self._for_values_to(limit) for limit in limits if 0 < limit < self.x_bound)

    def _for_values_to(self, x_bound: int) -> Lowered:
        bound, dtype, narrow = _precision(self.kind, x_bound)
        return replace(self, x_bound=x_bound, bound=bound, dtype=dtype, narrow=narrow)

    @property
    def wraps(self) -> bool:
        return not isinstance(self.kind, Wire) and (
            self.bound >= 1 << 31 or self.drive_bound >= 1 << (min(self.wrap_bits, 32) - 1)
        )


def lower(
    synapses: Synapses,
    source: tuple[int, ...],
    target: tuple[int, ...],
    x_bound: int,
    device: torch.device | str = "cpu",
) -> tuple[Lowered, ...]:
    """The parts of a synapse group, one per delay value, with their proofs.

    Args:
        x_bound: largest \\|value\\| that the source sends; ignored where spikes are only counted.
    """
    largest = x_bound if reads_payload(synapses) else 1
    return tuple(_lower(synapses, delay, kind, source, target, largest, device) for delay, kind in by_delay(synapses))


def _lower(
    synapses: Synapses,
    delay: int,
    kind: Kind,
    source: tuple[int, ...],
    target: tuple[int, ...],
    x_bound: int,
    device: torch.device | str,
) -> Lowered:
    bound, dtype, narrow = _precision(kind, x_bound)
    return Lowered(
        kind=kind,
        delay=delay,
        exponent=synapses.exponent,
        wrap_bits=synapses.wrap_bits,
        graded=reads_payload(synapses),
        wide=synapses.wide,
        source=source,
        target=target,
        x_bound=x_bound,
        bound=bound,
        dtype=dtype,
        narrow=narrow,
        device=torch.device(device),
    )


def _precision(kind: Kind, x_bound: int) -> tuple[int, torch.dtype, bool]:
    """Bound of the sums of such values, the type that holds them all, and whether they multiply in 8 bits."""
    bound = largest_sum(kind, x_bound)
    weights = np.ones(1, np.int64) if isinstance(kind, Wire) else kind.weights
    largest = max(bound, int(np.abs(weights).max(initial=0)), x_bound)
    dtype = torch.float32 if largest < FLOAT32_EXACT else torch.float64 if largest < FLOAT64_EXACT else torch.int64
    narrow = dtype == torch.float32 and significant_bits(weights) <= NARROW_BITS and _values_narrow(x_bound)
    return bound, dtype, narrow


def largest_sums(weights: Mapping[str, torch.Tensor], x_bounds: Mapping[str, int]) -> dict[str, int]:
    """``largest_sum`` of matrices, kernels and single weights where they are: training asks at every step."""
    sums = [w.detach().abs().reshape(len(w) if w.dim() else 1, -1).sum(1).max() for w in weights.values()]
    # all in one transfer, because each would wait for the GPU by itself
    return {n: int(s * x_bounds[n]) for n, s in zip(weights, torch.stack(sums).tolist(), strict=True)}


def significant_bits(values: Ints) -> int:
    """Bits between the highest and the lowest set bit, of the value that needs most."""
    found = np.unique(np.abs(values))
    found = found[found > 0]
    if found.size == 0:
        return 0
    odd = found // (found & -found)
    return int(odd.max()).bit_length()


def _values_narrow(x_bound: int) -> bool:
    return x_bound < 1 << NARROW_BITS


def drive(part: Lowered, x: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Drive (M, *target) that values (M, *source) cause, and how many of its values wrapped.

    x holds whole numbers of any dtype. The result is whole numbers in float32, float64 or int64.
    """
    values = x if part.graded else x != 0
    spikes_meet_kernel = not part.graded and isinstance(part.kind, Conv) and part.dtype == torch.float32
    if part.dtype == torch.int64:
        exact = torch.from_numpy(weighted_sum(part.kind, values.cpu().numpy().astype(np.int64), part.target))
        total = exact.to(x.device)
    else:
        values = values if spikes_meet_kernel else values.to(part.dtype)
        total = _sums(part, values).reshape(len(x), *part.target)
    if not part.wraps:
        if part.exponent < 0:
            scaled = total * 2.0**part.exponent if part.dtype != torch.int64 else total >> -part.exponent
            return torch.floor(scaled) if part.dtype != torch.int64 else scaled, 0
        return (total if part.exponent == 0 else total * 2**part.exponent), 0
    if isinstance(part.kind, Wire):
        return total, 0
    whole = total.to(torch.int64)
    held = _held(part, values, whole)
    shifted = held << part.exponent if part.exponent >= 0 else held >> -part.exponent
    wrapped = wrap(shifted, part.wrap_bits)
    if part.wrap_bits < 32:
        wrapped = torch.where((held == whole) & (wrap(shifted, 32) == shifted), wrapped, 0)
    return wrapped, int(((wrapped != shifted) | (held != whole)).sum())


def _held(part: Lowered, values: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """What 32 bits hold of such a sum, or of its products."""
    if not part.wide:
        return wrap(whole, 32)
    x = values.cpu().numpy().astype(np.int64)
    return torch.from_numpy(wide_sum(part.kind, x, whole.cpu().numpy())).to(whole.device)


def wrap(values: torch.Tensor, bits: int) -> torch.Tensor:
    """``definition.wrap`` on tensors."""
    half = 1 << (bits - 1)
    return ((values + half) & ((1 << bits) - 1)) - half


def _sums(part: Lowered, x: torch.Tensor) -> torch.Tensor:
    match part.kind:
        case Sparse() as kind if part.gathered:
            rows, columns = (torch.from_numpy(np.array(i)).to(part.device) for i in (kind.rows, kind.columns))
            total = torch.zeros((kind.n_target, len(x)), dtype=part.dtype, device=part.device)
            at_once = max(1, GATHERED // max(1, len(rows)))
            flat = x.reshape(len(x), -1)
            for some, into in zip(torch.split(flat, at_once), torch.split(total, at_once, 1), strict=True):
                into.index_add_(0, rows, part.weights[:, None] * some.T[columns])
            return total.T
        case Dense() | Sparse():
            return matrix_sum(x.reshape(len(x), -1), part.weights, narrow=part.narrow)
        case Conv() as kind:
            return conv_sum(x, part.weights, *kind.window, narrow=part.narrow)
        case OneToOne():
            return x * part.weights
        case Wire():
            return x
        case _:
            assert_never(part.kind)


__all__ = [
    "Lowered",
    "drive",
    "lower",
    "with_weights",
]
