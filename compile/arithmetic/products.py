"""Matrix products and convolutions whose sums of integers are exact, on CPU or CUDA.

The quantised student's layers and the simulator's sums of all steps both come through here. A sum is exact in float32
while no partial sum reaches 2**24, in float64 while none reaches 2**53; callers prove that of their numbers. What is
left to the device is the algorithm:

* A narrow *result* would round the sum: tensors stay float32, and only the multiplication inside a matrix product may
  be narrower (bfloat16 on CPU, TF32 on CUDA), where weights and values have at most 8 significant bits, so that
  products are exact and accumulate in float32. Autocast would narrow results: it is switched off inside.
* Winograd and FFT convolutions round (NNPACK's, cuDNN's). So no convolution is left to torch to dispatch: oneDNN is
  called by name, which convolves directly, and everything else is written as a matrix product.
* Small maps go through torch's convolution of one sample at a time, also by name: oneDNN takes longer to begin.
* Spikes that are convolved on a CPU go through oneDNN's 8-bit products, several times as fast: 0 and 1 times 8-bit
  weights, summed in int32.

Each is a ``Way``; the first that proves itself exact (``proof.py``) for the shapes at hand is taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F

from seamount.errors import CheckFailed, ConfigError
from seamount.windows import Window

from .precision import exactly
from .proof import Way, is_exact, settings

NARROW_BITS = 8
"""Significant bits that bfloat16 and TF32 both hold."""

NARROW_FROM = 1 << 20
"""Multiplications from which a narrow product on CPU is worth it: below, oneDNN makes it no faster, but keeps about
1 MiB of code for each of the last 1,024 shapes that it met (oneDNN 3.12, AVX-512 with bfloat16)."""

SMALL = 1 << 20
"""Multiplications of a convolution up to which oneDNN takes longer to begin (some 30 us) than torch's own to end."""

COLUMNS = {"cpu": 1 << 22, "cuda": 1 << 28}
"""Values that a convolution lays out at once as the columns of a matrix: 16 MiB in float32, and 1 GiB."""


def matrix_sum(x: torch.Tensor, weights: torch.Tensor, *, narrow: bool = False) -> torch.Tensor:
    """x @ weights.T, exact under the bound of the caller: (M, n_source), (n_target, n_source) -> (M, n_target).

    Differentiable. ``narrow``: weights and values have at most 8 significant bits.

    Raises:
        CheckFailed: nothing that torch has here computes these sums exactly.
    """
    narrow = narrow and (x.device.type != "cpu" or x.numel() * len(weights) >= NARROW_FROM)
    ways = (_Matrix(True), _Matrix(False)) if narrow else (_Matrix(False),)
    return _first_exact(ways, x, weights)(x, weights)


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

    Raises:
        CheckFailed: nothing that torch has here computes these sums exactly.
    """
    geometry = Window(stride, padding, dilation, groups)
    small = _is_small(x, weights, geometry)
    if x.dtype == torch.bool:
        found = _conv_of_spikes(x, weights, geometry) if narrow and not small else None
        if found is not None:
            return found
        x = x.to(weights.dtype)
    ways = _ways_to_convolve(x, geometry, narrow)
    return _first_exact([_SampleBySample(geometry), *ways] if small else ways, x, weights)(x, weights)


def _first_exact(ways: Iterable[Way], x: torch.Tensor, weights: torch.Tensor) -> Way:
    for way in ways:
        if is_exact(way, x, weights):
            return way
    shapes = " and ".join("x".join(map(str, t.shape)) for t in (x, weights))
    raise CheckFailed(
        f"integer sums of {shapes} values are not exact by any algorithm of torch {torch.__version__}",
        where=f"device {x.device}",
        ways_out="choose another device, or report this torch version",
    )


# ------------------------------------------------------------------------------------------------------- the ways


@dataclass(frozen=True)
class _Matrix:
    """A matrix product."""

    narrow: bool
    geometry = None
    unit = 1.0

    @property
    def bits(self) -> int:
        return NARROW_BITS if self.narrow else 53

    def __call__(self, x: torch.Tensor, weights: torch.Tensor, /) -> torch.Tensor:
        with exactly(x.device, self.narrow):
            return F.linear(x, weights)


@dataclass(frozen=True)
class _SampleBySample:
    """Torch's own convolution, float32 on CPU: columns and a matrix product for each sample; no gaps, one group."""

    geometry: Window
    bits = 24
    unit = 1.0

    def __call__(self, x: torch.Tensor, weights: torch.Tensor, /) -> torch.Tensor:
        conv = cast(Any, torch._C._nn).thnn_conv2d
        stride, padding = self.geometry[:2]
        x = x if x.is_contiguous(memory_format=torch.channels_last) else x.contiguous()
        with exactly(x.device, False):
            found: torch.Tensor = conv(x, weights, weights.shape[2:], None, stride, padding)
        return found


@dataclass(frozen=True)
class _OneDnn:
    """oneDNN's direct convolution, float32 on CPU.

    Never narrow: oneDNN 3.12 (torch 2.14, AMX) returns values it never wrote for some strides and dilations, such as
    2 x 3 taps, stride (1, 3), padding (1, 2), dilation 2 on 5 x 3.
    """

    geometry: Window
    bits = 24
    unit = 1.0

    def __call__(self, x: torch.Tensor, weights: torch.Tensor, /) -> torch.Tensor:
        stride, padding, dilation, groups = self.geometry
        x = x if x.is_contiguous(memory_format=torch.channels_last) else x.contiguous()
        with exactly(x.device, False):
            found: torch.Tensor = torch.mkldnn_convolution(x, weights, None, padding, stride, dilation, groups)
        return found


@dataclass(frozen=True)
class _AsProduct:
    """A convolution whose only arithmetic is a matrix product: no algorithm that rounds can be chosen for it."""

    geometry: Window
    narrow: bool
    unit = 1.0

    @property
    def bits(self) -> int:
        return NARROW_BITS if self.narrow else 53

    def __call__(self, x: torch.Tensor, weights: torch.Tensor, /) -> torch.Tensor:
        kernel, groups = (weights.shape[2], weights.shape[3]), self.geometry.groups
        height, width = self.geometry.size(x.shape[2:], kernel)
        half = self.narrow and x.is_cuda and _multiplies_into_float32(x.device)
        held = weights.to(torch.bfloat16) if half else weights
        # (group, kernel row, column and source channel, target channel), as the columns have them
        held = held.reshape(groups, len(held) // groups, *held.shape[1:]).permute(0, 3, 4, 2, 1).flatten(1, 3)
        at_once = max(1, COLUMNS[x.device.type] // max(1, groups * held.shape[1] * height * width))

        def part(some: torch.Tensor) -> torch.Tensor:
            columns = _columns(some.to(held.dtype), kernel, self.geometry)
            product: Any = torch.bmm
            sums: torch.Tensor = product(columns, held, out_dtype=weights.dtype) if half else product(columns, held)
            sums = sums.view(groups, len(some), height, width, held.shape[2])
            # laid out as other sums are: in the product's own layout, a step of training on a CPU without AVX-512
            # corrupted memory behind it (torch 2.14; seen with both limited to AVX2, gone with this copy)
            return sums.permute(1, 0, 4, 2, 3).flatten(1, 2).contiguous()

        with exactly(x.device, self.narrow):
            if len(x) <= at_once:
                return part(x)
            return torch.cat([part(some) for some in torch.split(x, at_once)])


def _columns(x: torch.Tensor, kernel: tuple[int, int], geometry: Window) -> torch.Tensor:
    """What each output sees: (M, C, H, W) -> (groups, M * H_out * W_out, k_h * k_w * C / groups).

    One view and one copy; ``F.unfold`` launches a kernel for each of the M on CUDA.
    """
    (s_h, s_w), (p_h, p_w), (d_h, d_w), groups = geometry
    sizes = geometry.size(x.shape[2:], kernel)
    # channels last, because then neighbours in a row of columns are neighbours in memory
    x = F.pad(x.contiguous(memory_format=torch.channels_last), (p_w, p_w, p_h, p_h))
    sample, channel, row, column = x.stride()
    per_group = x.shape[1] // groups
    shape = torch.Size((groups, len(x), *sizes, *kernel, per_group))
    steps = (per_group * channel, sample, s_h * row, s_w * column, d_h * row, d_w * column, channel)
    return x.as_strided(shape, steps, x.storage_offset()).reshape(groups, shape[1:4].numel(), shape[4:].numel())


@lru_cache(maxsize=8)
def _multiplies_into_float32(device: torch.device) -> bool:
    """Whether bfloat16 matrices have a product in float32 there: half of the memory that TF32 moves."""
    one, product = torch.ones((1, 8, 8), dtype=torch.bfloat16, device=device), cast(Any, torch.bmm)
    try:
        return bool((product(one, one, out_dtype=torch.float32) == 8).all())
    except (NotImplementedError, RuntimeError, TypeError):  # another torch
        return False


@dataclass(frozen=True)
class _EightBit:
    """unit * convolution of spikes (bool) with weights (int8), float32; geometries of ``_conv_of_spikes`` only."""

    geometry: Window
    unit: float
    bits = NARROW_BITS

    def __call__(self, x: torch.Tensor, weights: torch.Tensor, /) -> torch.Tensor:
        stride, padding, dilation, groups = (*map(list, self.geometry[:3]), self.geometry.groups)
        x = x.view(torch.uint8)
        last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        x = x if last else x.contiguous()
        units = torch.full((len(weights),), self.unit, dtype=torch.float32, device=x.device)
        zeros = torch.zeros(len(weights), dtype=torch.int64, device=x.device)
        qconv = torch.ops.onednn
        packed = qconv.qconv_prepack(weights, units, 1.0, 0, stride, padding, dilation, groups, list(x.shape))
        found: torch.Tensor = qconv.qconv2d_pointwise(
            x, 1.0, 0, packed, units, zeros, None, stride, padding, dilation, groups, 1.0, 0, torch.float32,
            "none", [], "",
        )  # fmt: skip
        return found if last else found.contiguous()


def _ways_to_convolve(x: torch.Tensor, geometry: Window, narrow: bool) -> list[Way]:
    product = _AsProduct(geometry, False)
    if x.device.type != "cpu":
        return [_AsProduct(geometry, True), product] if narrow else [product]
    return [_OneDnn(geometry), product] if x.dtype == torch.float32 and _has_onednn() and x.numel() else [product]


def _is_small(x: torch.Tensor, weights: torch.Tensor, geometry: Window) -> bool:
    """Whether it goes sample by sample: on CPU, in float32, and without a gradient, whose sums are no integers."""
    if x.device.type != "cpu" or weights.dtype != torch.float32 or geometry[2:] != ((1, 1), 1) or not x.numel():
        return False
    if torch.is_grad_enabled() and (x.requires_grad or weights.requires_grad):
        return False
    height, width = geometry.size(x.shape[2:], weights.shape[2:])
    return 0 < len(x) * height * width * weights.numel() <= SMALL


def _has_onednn() -> bool:
    """Built in, and not switched off: who does so has a reason."""
    return bool(torch._C._get_mkldnn_enabled()) and _onednn_is_built()


@lru_cache(maxsize=1)
def _onednn_is_built() -> bool:
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def _conv_of_spikes(x: torch.Tensor, weights: torch.Tensor, geometry: Window) -> torch.Tensor | None:
    """The same sums from 8-bit products accumulated in int32, or None where they are not to be had.

    Only geometries for which oneDNN's kernels are right: those of 3.12 return wrong sums for strided convolutions
    whose output is one pixel wide, and crash for some that are dilated or grouped.
    """
    (k_h, k_w), ((s, s_w), (p, p_w), dilation, groups) = weights.shape[2:], geometry
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
    way, held = _EightBit(Window((s, s), (p, p)), unit), whole.to(torch.int8)
    return way(x, held) if is_exact(way, x, held) else None


def _has_8_bit_products() -> bool:
    """Whether this machine and this torch convolve spikes with 8-bit weights; else float32 does."""
    return _has_onednn() and _knows_8_bit_products()


@lru_cache(maxsize=1)
def _knows_8_bit_products() -> bool:
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    spikes = torch.ones((2, 19, 5, 5), dtype=torch.bool, device="cpu")
    weights = torch.ones((9, 19, 3, 3), dtype=torch.int8, device="cpu")
    try:
        _EightBit(Window(padding=(1, 1)), 2.0)(spikes, weights)
    except (AttributeError, RuntimeError, TypeError):  # another torch, another signature
        return False
    return True


# ------------------------------------------------------------------------------------------------------ the device


def self_test(device: str) -> None:
    """Sums at the very bound, on this device, under torch's settings of now; what a run needs beyond is tried there.

    Raises:
        ConfigError: there is no such device.
        CheckFailed: its sums are not exact.
    """
    _self_test(device, settings(torch.device(device).type))


@lru_cache(maxsize=64)
def _self_test(device: str, chosen: tuple[object, ...]) -> None:
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"device {device}: this torch finds no CUDA device; cpu is possible")

    def like(*shape: int) -> torch.Tensor:
        return torch.from_numpy(np.zeros(shape, np.float32)).to(device)

    # a product of 65 792 terms of 255 reaches 2**24 - 1 - 255
    for n, narrow in ((65792, True), (258, True), (1, False)):
        _first_exact([_Matrix(narrow)], like(5, n), like(3, n))
    maps = like(16, 16, 9, 9)
    ways = _ways_to_convolve(maps, Window(padding=(1, 1)), True)
    _first_exact(ways, maps, like(8, 16, 3, 3))


__all__ = ["conv_sum", "matrix_sum", "self_test"]
