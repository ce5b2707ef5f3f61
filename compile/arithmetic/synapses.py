"""Exact integer sums on fast float hardware, for all steps of a batch at once, on CPU or CUDA.

A sum of integers is exact in float32 while no partial sum reaches 2**24, in float64 while none reaches 2**53. The
bound is proved for every group from its weights and the range of its source: max over targets of sum |w| * max |x|.
Where it does not hold, float64 or int64 computes.

Spikes that are convolved on a CPU go through oneDNN's 8-bit products, several times as fast: 0 and 1 times 8-bit
weights, summed in int32 (``_conv_of_spikes``).

Three traps, and what is done here. A narrow *result* would round the sum: tensors stay float32, and only the
multiplication inside a matrix product may be narrower (bfloat16 on CPU, TF32 on CUDA), where weights and values have
at most 8 significant bits, so that products are exact and accumulate in float32. Winograd and FFT convolutions are
not exact: CUDA convolutions are matrix products here; oneDNN convolves directly on CPU. Autocast would narrow
results: it is switched off inside. ``self_test`` shows all of it on the device at hand, with sums at the bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, assert_never

import numpy as np
import torch
import torch.nn.functional as F

from seamount.compile.numbers import Ints
from seamount.compile.synapses.kinds import Conv, Dense, Kind, OneToOne, Sparse, Synapses, Wire
from seamount.errors import CheckFailed, ConfigError

from ..synapses.algebra import by_delay, with_weights
from ..synapses.bounds import largest_sum, reads_payload, shifted_bound
from ..synapses.sums import weighted_sum

FLOAT32_EXACT = 1 << 24
FLOAT64_EXACT = 1 << 53
LARGEST_MATRIX = 1 << 24
NARROW_BITS = 8
"""Significant bits that bfloat16 and TF32 both hold."""


@dataclass(frozen=True)
class Lowered:
    """Synapses of one delay value, ready for a device.

    Attributes:
        bound: no sum is larger; proved from the weights and ``x_bound``.
        dtype: float32, float64, or int64: what holds every partial sum.
        narrow: the multiplication may be done with 8 significant bits.
        drive_bound: no drive is larger, after the exponent and before any wrap.
        wraps: whether a drive can leave 32 or ``wrap_bits`` bits.
    """

    kind: Kind
    delay: int
    exponent: int
    wrap_bits: int
    graded: bool
    source: tuple[int, ...]
    target: tuple[int, ...]
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
        if isinstance(kind, Sparse) and kind.n_target * kind.n_source <= LARGEST_MATRIX:
            weights = np.zeros((kind.n_target, kind.n_source), np.int64)
            np.add.at(weights, (kind.rows, kind.columns), kind.weights)
        return torch.tensor(np.asarray(weights)).to(self.device, self.dtype)

    @property
    def drive_bound(self) -> int:
        return shifted_bound(self.bound, self.exponent)

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
    bound = largest_sum(kind, x_bound)
    weights = np.ones(1, np.int64) if isinstance(kind, Wire) else kind.weights
    largest = max(bound, int(np.abs(weights).max(initial=0)), x_bound)
    dtype = torch.float32 if largest < FLOAT32_EXACT else torch.float64 if largest < FLOAT64_EXACT else torch.int64
    return Lowered(
        kind=kind,
        delay=delay,
        exponent=synapses.exponent,
        wrap_bits=synapses.wrap_bits,
        graded=reads_payload(synapses),
        source=source,
        target=target,
        bound=bound,
        dtype=dtype,
        narrow=dtype == torch.float32 and significant_bits(weights) <= NARROW_BITS and _values_narrow(x_bound),
        device=torch.device(device),
    )


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
    held = wrap(whole, 32)
    shifted = held << part.exponent if part.exponent >= 0 else held >> -part.exponent
    wrapped = wrap(shifted, part.wrap_bits)
    return wrapped, int(((wrapped != shifted) | (held != whole)).sum())


def wrap(values: torch.Tensor, bits: int) -> torch.Tensor:
    """``definition.wrap`` on tensors."""
    half = 1 << (bits - 1)
    return ((values + half) & ((1 << bits) - 1)) - half


def _sums(part: Lowered, x: torch.Tensor) -> torch.Tensor:
    match part.kind:
        case Sparse() as kind if part.weights.ndim == 1:
            rows, columns = (torch.from_numpy(np.array(i)).to(part.device) for i in (kind.rows, kind.columns))
            total = torch.zeros((kind.n_target, len(x)), dtype=part.dtype, device=part.device)
            return total.index_add_(0, rows, part.weights[:, None] * x.flatten(1).T[columns]).T
        case Dense() | Sparse():
            return matrix_sum(x.flatten(1), part.weights, narrow=part.narrow)
        case Conv() as kind:
            return conv_sum(
                x, part.weights, kind.stride, kind.padding, kind.dilation, kind.groups, narrow=part.narrow
            )
        case OneToOne():
            return x * part.weights
        case Wire():
            return x
        case _:
            assert_never(part.kind)


# ------------------------------------------------------------------------- differentiable: the student calls these


def matrix_sum(x: torch.Tensor, weights: torch.Tensor, *, narrow: bool = False) -> torch.Tensor:
    """x @ weights.T, exact under the bound of the caller: (M, n_source), (n_target, n_source) -> (M, n_target)."""
    with _exactly(x.device, narrow):
        return F.linear(x, weights)


def conv_sum(
    x: torch.Tensor,
    weights: torch.Tensor,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
    *,
    narrow: bool = False,
) -> torch.Tensor:
    """Convolution, exact under the bound of the caller: (M, C, H, W) -> (M, C_out, H_out, W_out).

    x is of the weights' type, or bool: spikes.
    """
    if x.dtype == torch.bool:
        found = _conv_of_spikes(x, weights, stride, padding, dilation, groups) if narrow else None
        if found is not None:
            return found
        x = x.to(weights.dtype)
    # Never narrow on CPU: oneDNN 3.12 (torch 2.14, AMX) returns values it never wrote for some strides and dilations,
    # such as 2 x 3 taps, stride (1, 3), padding (1, 2), dilation 2 on 5 x 3.
    with _exactly(x.device, narrow and x.device.type != "cpu"):
        if x.device.type == "cpu":
            return F.conv2d(x, weights, None, stride, padding, dilation, groups)
        return _conv_as_product(x, weights, stride, padding, dilation, groups)


def _conv_of_spikes(
    x: torch.Tensor,
    weights: torch.Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> torch.Tensor | None:
    """The same sums from 8-bit products accumulated in int32, or None where they are not to be had.

    Only geometries for which oneDNN's kernels are right: those of 3.12 return wrong sums for strided convolutions
    whose output is one pixel wide, and crash for some that are dilated or grouped.
    """
    (k_h, k_w), (s, s_w), (p, p_w) = weights.shape[2:], stride, padding
    if x.device.type != "cpu" or (k_h, s, p) != (k_w, s_w, p_w) or dilation != (1, 1) or groups != 1:
        return None
    if k_h == 1 and s > 1 and p == 0:
        x, s = x[:, :, ::s, ::s], 1
    narrowest = min((size + 2 * p - k_h) // s + 1 for size in x.shape[2:])
    proved = p < k_h <= 7 if s == 1 else s == 2 and k_h in (2, 3) and p <= k_h // 2 and narrowest >= 4
    if not proved or narrowest < 1 or 0 in x.shape or not _has_8_bit_products():
        return None
    unit = 1.0
    with torch.no_grad():
        whole = weights.detach()
        if torch.equal((halves := whole / 2).round(), halves):
            whole, unit = halves, 2.0
        if whole.numel() == 0 or float(whole.abs().max()) > 127:
            return None
    return _product_of_8_bits(x, whole.to(torch.int8), unit, s, p)


def _product_of_8_bits(spikes: torch.Tensor, weights: torch.Tensor, unit: float, s: int, p: int) -> torch.Tensor:
    """unit * convolution of spikes (bool) with weights (int8), float32."""
    x = spikes.view(torch.uint8)
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    x = x if last else x.contiguous()
    n, (stride, padding, dilation) = len(weights), ([s, s], [p, p], [1, 1])
    units, zeros = torch.full((n,), unit), torch.zeros(n, dtype=torch.int64)
    packed = torch.ops.onednn.qconv_prepack(weights, units, 1.0, 0, stride, padding, dilation, 1, list(x.shape))
    found: torch.Tensor = torch.ops.onednn.qconv2d_pointwise(
        x, 1.0, 0, packed, units, zeros, None, stride, padding, dilation, 1, 1.0, 0, torch.float32, "none", [], ""
    )
    return found if last else found.contiguous()


@lru_cache(maxsize=1)
def _has_8_bit_products() -> bool:
    """Whether this machine and this torch convolve spikes with 8-bit weights exactly; else float32 does."""
    if not torch.backends.mkldnn.is_available() or torch.backends.cpu.get_cpu_capability() != "AVX512":  # type: ignore[no-untyped-call]
        return False
    generator = torch.Generator().manual_seed(0)
    for s, size in ((1, 5), (2, 9)):
        spikes = torch.rand(2, 19, size, size, generator=generator) < 0.7
        weights = torch.randint(-127, 128, (9, 19, 3, 3), generator=generator).to(torch.int8)
        try:
            found = _product_of_8_bits(spikes, weights, 2.0, s, 1)
        except (AttributeError, RuntimeError, TypeError):  # another torch, another signature
            return False
        if not torch.equal(found.double(), F.conv2d(spikes.double(), 2 * weights.double(), None, s, 1)):
            return False
    return True


def _conv_as_product(
    x: torch.Tensor,
    weights: torch.Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> torch.Tensor:
    """A convolution whose only arithmetic is a matrix product: no algorithm that rounds can be chosen for it."""
    c_out, c_in, k_h, k_w = weights.shape
    (s_h, s_w), (p_h, p_w), (d_h, d_w) = stride, padding, dilation
    height = (x.shape[2] + 2 * p_h - d_h * (k_h - 1) - 1) // s_h + 1
    width = (x.shape[3] + 2 * p_w - d_w * (k_w - 1) - 1) // s_w + 1
    columns = F.unfold(x, (k_h, k_w), dilation, padding, stride)
    columns = columns.reshape(len(x), groups, c_in * k_h * k_w, height * width)
    grouped = weights.reshape(groups, c_out // groups, c_in * k_h * k_w)
    return torch.matmul(grouped, columns).reshape(len(x), c_out, height, width)


@contextmanager
def _exactly(device: torch.device, narrow: bool) -> Iterator[None]:
    """No autocast; 8-bit multiplication inside float32 only where that is exact."""
    with torch.autocast(device.type, enabled=False), _precision(device.type, narrow):
        yield


@contextmanager
def _precision(device_type: str, narrow: bool) -> Iterator[None]:
    """torch's settings of float32 products, put back afterwards. torch below 2.9 has them for CUDA alone."""
    switches = _switches(device_type)
    before = [getattr(owner, name) for owner, name, _, _ in switches]
    try:
        for owner, name, exact, fast in switches:
            setattr(owner, name, fast if narrow else exact)
        yield
    finally:
        for (owner, name, _, _), value in zip(switches, before, strict=True):
            setattr(owner, name, value)


def _switches(device_type: str) -> list[tuple[Any, str, Any, Any]]:
    """(module, attribute, exact setting, narrow setting)."""
    if device_type == "cuda":
        owner = torch.backends.cuda.matmul
        if hasattr(owner, "fp32_precision"):
            return [(owner, "fp32_precision", "ieee", "tf32")]
        return [(owner, "allow_tf32", False, True)]
    backend: Any = torch.backends.mkldnn
    if device_type == "cpu" and hasattr(backend, "matmul") and hasattr(backend.matmul, "fp32_precision"):
        return [(backend.matmul, "fp32_precision", "ieee", "bf16"), (backend.conv, "fp32_precision", "ieee", "ieee")]
    return []


@lru_cache(maxsize=8)
def self_test(device: str) -> None:
    """Sums at the very bound, on this device, against int64; raises ``CheckFailed`` if one differs.

    A float32 product of 65 792 terms of 255 reaches 2**24 - 1 - 255; the convolution and the narrow forms likewise.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"device {device}: this torch finds no CUDA device; cpu is possible")
    generator = np.random.default_rng(0)
    for narrow, w_high, x_high, n in ((True, 255, 1, 65792), (True, 255, 255, 258), (False, 4095, 4095, 1)):
        weights = generator.integers(w_high // 2, w_high + 1, (3, n))
        x = generator.integers(x_high // 2, x_high + 1, (5, n))
        x[0] = x_high
        weights[0] = w_high
        wide, values = (torch.from_numpy(a).to(device, torch.float32) for a in (weights, x))
        found = matrix_sum(values, wide, narrow=narrow)
        _same(device, "matrix product", found, x @ weights.T)
    kernel = generator.integers(-256, 255, (8, 16, 3, 3)) // 2 * 2
    kernel[0] = 254
    maps = generator.integers(0, 256, (2, 16, 9, 9))
    conv = Conv(kernel, padding=(1, 1))
    found = conv_sum(
        torch.from_numpy(maps).to(device, torch.float32),
        torch.from_numpy(kernel).to(device, torch.float32),
        padding=(1, 1),
        narrow=True,
    )
    _same(device, "convolution", found, weighted_sum(conv, maps, (8, 9, 9)))


def _same(device: str, what: str, found: torch.Tensor, expected: Ints) -> None:
    n_wrong = int(np.count_nonzero(found.cpu().numpy().astype(np.int64) != expected))
    if n_wrong:
        raise CheckFailed(
            f"device {device}: {n_wrong} of {expected.size} integer sums of its {what} are not exact; "
            "choose another device, or report this torch version"
        )


__all__ = [
    "Lowered",
    "conv_sum",
    "drive",
    "lower",
    "matrix_sum",
    "self_test",
    "with_weights",
]
