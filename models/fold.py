"""Chains of torch layers between two populations, as linear operators in float64 with batch norm folded in.

The only place that knows which torch layers are linear. ``fold`` keeps pooling and flattening apart, for files that
people read; ``merge`` makes one convolution or one matrix of the chain, which is what a chip's synapses are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from seamount.errors import Unsupported
from seamount.windows import Window

Reals = NDArray[np.float64]
Shape = tuple[int, ...]
Pair = tuple[int, int]

NOTHING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
"""Layers that change no value outside of training."""

MAX_MATRIX = 1 << 28
"""Entries of a merged matrix above which something else was meant (2 GiB)."""


@dataclass(frozen=True)
class FoldedConv:
    """Torch's cross-correlation on (C, H, W), zero padding."""

    weight: Reals
    bias: Reals | None
    window: Window


@dataclass(frozen=True)
class Linear:
    """weight (out, in) and bias (out,) on a vector."""

    weight: Reals
    bias: Reals | None


@dataclass(frozen=True)
class Pool:
    """Average over windows of (C, H, W), padding counted as zeros."""

    kernel: Pair
    stride: Pair
    padding: Pair


@dataclass(frozen=True)
class Flatten:
    """(C, H, W) to a vector, in C order."""


@dataclass(frozen=True)
class Spread:
    """Torch's transposed convolution with a stride, which spreads (C, H, W) over a larger map."""

    weight: Reals
    bias: Reals | None
    window: Window
    output_padding: Pair


@dataclass(frozen=True)
class UnequalPool:
    """Torch's adaptive average to so many values an axis, over windows that are not all of one size."""

    sizes: Pair


@dataclass(frozen=True)
class Resize:
    """Torch's ``interpolate`` to so many values an axis."""

    sizes: Pair
    mode: str
    align_corners: bool | None


@dataclass(frozen=True)
class Unflatten:
    """A vector to (C, H, W), in C order."""

    shape: Shape


Op = FoldedConv | Linear | Pool | Flatten
"""Operators that are nodes of NIR."""

NoNode = Spread | UnequalPool | Resize | Unflatten
"""Operators that are none: a chain with one of them is a matrix, and so ends in a vector."""


def has_own_forward(module: nn.Module) -> bool:
    """Whether a class derived from one of torch's layers or norse's cells computes something else than that."""
    kinds = type(module).__mro__
    base: Any = next(
        (kind for kind in kinds if kind.__module__.startswith(("torch.nn.modules.", "norse."))), nn.Module
    )
    return type(module).forward is not base.forward or "forward" in vars(module)


def layers(module: nn.Module, name: str = "") -> list[tuple[str, nn.Module]]:
    """(name, layer) of a chain, nested Sequentials opened, what does nothing outside of training left out."""
    if isinstance(module, nn.Sequential) and not has_own_forward(module):
        return [pair for key, child in module.named_children() for pair in layers(child, f"{name}.{key}")]
    return [] if isinstance(module, NOTHING) else [(name, module)]


def problems(module: nn.Module, name: str) -> list[str]:
    """What in a chain is not linear, or not in the form that a chip's synapses have; each with its name."""
    return [f"{where}: {why}" for where, layer in layers(module, name) if (why := _problem(layer))]


def problems_of(module: nn.Module, shape: Shape, name: str) -> list[str]:
    """The same where values of this shape enter: also what only their shape shows, or NIR has no node for."""
    found = problems(module, name)
    try:
        for op in () if found else _chain(module, shape, name):
            if isinstance(op, FoldedConv):
                check_square(op, name)
    except Unsupported as error:
        return [str(reason) for reason in error.reasons]
    return found


def _problem(layer: nn.Module) -> str | None:
    kind = type(layer).__name__
    match layer:
        case _ if has_own_forward(layer):
            return f"{kind} has a forward pass of its own; possible are Conv2d, Linear, BatchNorm, average pooling"
        case nn.Conv2d():
            if layer.padding_mode != "zeros":
                return f"Conv2d with padding_mode {layer.padding_mode!r}; only zeros are possible"
            return None
        case nn.ZeroPad2d():
            return "ZeroPad2d that cuts; only padding is possible" if min(layer.padding) < 0 else None
        case nn.ConvTranspose2d():
            return None
        case nn.Conv1d():
            return "Conv1d; write it as a Conv2d with a kernel (1, k), of lines (C, 1, L)"
        case nn.Upsample():
            whole = layer.size is not None or all(float(s).is_integer() for s in pair(layer.scale_factor))
            if layer.mode in ("nearest", "nearest-exact", "bilinear") and whole:
                return None
            return "Upsample; possible are nearest and bilinear, to a size or by a whole scale_factor"
        case nn.Unflatten():
            return None if layer.dim == 1 else f"Unflatten of axis {layer.dim}; only Unflatten(1, ...) is possible"
        case nn.Linear() | nn.AvgPool2d() | nn.AdaptiveAvgPool2d() | nn.Flatten():
            if isinstance(layer, nn.AvgPool2d) and (layer.ceil_mode or layer.divisor_override):
                return "AvgPool2d with ceil_mode or divisor_override; use plain windows"
            if isinstance(layer, nn.AvgPool2d) and not layer.count_include_pad and pair(layer.padding) != (0, 0):
                return "AvgPool2d that does not count its padding; use padding 0 or count_include_pad"
            if isinstance(layer, nn.Flatten) and (layer.start_dim, layer.end_dim) != (1, -1):
                return f"Flatten({layer.start_dim}, {layer.end_dim}); only Flatten(1) is possible"
            return None
        case nn.BatchNorm2d() | nn.BatchNorm1d():
            if layer.running_mean is None:
                return f"{kind} without running statistics cannot be folded"
            return None
        case nn.MaxPool2d() | nn.AdaptiveMaxPool2d():
            ways_out = "put it right behind neurons, or use a convolution of stride 2 or average pooling"
            return f"{kind} is not a weighted sum; {ways_out}"
        case _:
            return f"{kind} is not a weighted sum of spikes; possible are Conv2d, Linear, BatchNorm, average pooling"


def windows(module: nn.Module, n_channels: int) -> FoldedConv:
    """The sum over the windows of a max-pooling, which is above 0 where any of its spikes is."""
    assert isinstance(module, nn.MaxPool2d), "max_pool_problems() names others"
    kernel = pair(module.kernel_size)
    ones: Reals = np.ones((n_channels, 1, *kernel))
    pairs = (pair(module.stride), pair(module.padding), pair(module.dilation))
    return FoldedConv(ones, None, Window(*pairs, groups=n_channels))


def max_pool_problems(module: nn.Module, name: str) -> list[str]:
    """Why a synapse is no max-pooling that NIR can say."""
    match module:
        case nn.MaxPool2d() if module.ceil_mode or pair(module.dilation) != (1, 1):
            return [f"{name}: MaxPool2d with ceil_mode or dilation; use plain windows"]
        case nn.MaxPool2d():
            return []
        case _:
            return [f"{name}: {type(module).__name__} into max-pooling neurons; possible is MaxPool2d alone"]


def fold(module: nn.Module, shape: Shape, name: str) -> list[Op]:
    """The chain as operators, with running statistics of batch norms folded into what stands before them.

    Args:
        shape: of what enters, without batch.
    """
    chain = _chain(module, shape, name)
    ops = [op for op in chain if not isinstance(op, NoNode)]
    if len(ops) == len(chain):
        return ops
    return [*([Flatten()] if len(shape) > 1 else []), _matrix(chain, shape, name)]


def has_no_node(module: nn.Module, shape: Shape, name: str) -> bool:
    """Whether a chain makes a map as no chain of NIR's nodes can."""
    special = (nn.ConvTranspose2d, nn.AdaptiveAvgPool2d, nn.Upsample, nn.Unflatten)
    if not any(isinstance(layer, special) for _, layer in layers(module)) or problems(module, name):
        return False
    return any(isinstance(op, NoNode) for op in _chain(module, shape, name))


def _chain(module: nn.Module, shape: Shape, name: str) -> list[Op | NoNode]:
    found = problems(module, name)
    if found:
        raise Unsupported("\n".join(found))
    ops: list[Op | NoNode] = []
    sides = NO_SIDES
    for where, layer in layers(module, name):
        if sides != NO_SIDES and not isinstance(layer, nn.Conv2d):
            kind = type(layer).__name__
            raise Unsupported(f"ZeroPad2d in front of {kind}", where=where, ways_out="put it before a Conv2d")
        match layer:
            case nn.ZeroPad2d():
                left, right, top, bottom = layer.padding
                sides = ((top, bottom), (left, right))
            case nn.ConvTranspose2d() if pair(layer.stride) != (1, 1):
                ops.append(_spread(layer))
                shape = op_shape(ops[-1], shape)
            case nn.Conv2d() | nn.ConvTranspose2d():
                ops.append(_conv(layer, sides))
                shape, sides = op_shape(ops[-1], shape), NO_SIDES
            case nn.BatchNorm2d() | nn.BatchNorm1d():
                scale, offset = _affine(layer)
                ops[-1:] = _scaled(ops[-1] if ops else None, scale, offset, shape)
            case _:
                op = _op(layer, shape, where)
                ops += [] if op is None else [op]
                shape = op_shape(op, shape) if op is not None else shape
    if sides != NO_SIDES:
        raise Unsupported("ZeroPad2d at the end", where=name, ways_out="put it before a Conv2d")
    return ops


def _affine(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Reals, Reals]:
    """Batch norm outside of training: y = scale x + offset."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    variance, mean = _reals(norm.running_var), _reals(norm.running_mean)
    gain = np.ones_like(mean) if norm.weight is None else _reals(norm.weight)
    offset = np.zeros_like(mean) if norm.bias is None else _reals(norm.bias)
    scale = gain / np.sqrt(variance + norm.eps)
    return scale, offset - mean * scale


def _scaled(op: Op | NoNode | None, scale: Reals, offset: Reals, shape: Shape) -> list[Op | NoNode]:
    """``op`` followed by a scale and an offset per channel."""
    match op:
        case FoldedConv():
            bias = 0.0 if op.bias is None else op.bias
            return [replace(op, weight=op.weight * scale[:, None, None, None], bias=bias * scale + offset)]
        case Linear():
            bias = 0.0 if op.bias is None else op.bias
            return [Linear(op.weight * scale[:, None], bias * scale + offset)]
        case _:
            before = [] if op is None else [op]
            if len(shape) == 1:
                return [*before, Linear(np.diag(scale), offset)]
            kernel = scale[:, None, None, None]
            return [*before, FoldedConv(kernel, offset, Window(groups=len(scale)))]


def _op(layer: nn.Module, shape: Shape, where: str) -> Op | NoNode | None:
    match layer:
        case nn.Linear() if len(shape) > 1:
            found = f"Linear along the last axis of {shape}"
            raise Unsupported(
                found, where=where, possible="possible is one of a vector", ways_out="put nn.Flatten() before it"
            )
        case nn.Linear():
            return Linear(_reals(layer.weight), None if layer.bias is None else _reals(layer.bias))
        case nn.AvgPool2d():
            return Pool(pair(layer.kernel_size), pair(layer.stride), pair(layer.padding))
        case nn.AdaptiveAvgPool2d():
            return adaptive_pool(pair(layer.output_size), shape)
        case nn.Flatten():
            return Flatten() if len(shape) > 1 else None
        case nn.Upsample():
            scales = (1, 1) if layer.scale_factor is None else pair(layer.scale_factor)
            sizes = pair([int(n * s) for n, s in zip(shape[1:], scales, strict=True)])
            return Resize(sizes if layer.size is None else pair(layer.size), layer.mode, layer.align_corners)
        case nn.Unflatten():
            return Unflatten(tuple(layer.unflattened_size))
        case _:
            raise AssertionError(f"problems() lets {type(layer).__name__} through")


Sides = tuple[Pair, Pair]

NO_SIDES: Sides = ((0, 0), (0, 0))
"""Zeros around a map: (above, below), (left, right)."""


def _conv(layer: nn.Conv2d | nn.ConvTranspose2d, sides: Sides) -> FoldedConv:
    """A convolution on a map with zeros around it; a transposed one of stride 1 has its kernel turned around."""
    weight, dilation = _reals(layer.weight), pair(layer.dilation)
    bias = None if layer.bias is None else _reals(layer.bias)
    reach = [d * (k - 1) for k, d in zip(weight.shape[2:], dilation, strict=True)]
    if isinstance(layer, nn.ConvTranspose2d):
        c_in, c_out, *kernel = weight.shape
        turned = weight.reshape(layer.groups, c_in // layer.groups, c_out, *kernel)[..., ::-1, ::-1]
        weight = np.ascontiguousarray(turned.swapaxes(1, 2).reshape(-1, c_in // layer.groups, *kernel))
        axes = zip(reach, pair(layer.padding), pair(layer.output_padding), strict=True)
        own = [(r - p, r - p + more) for r, p, more in axes]
    elif layer.padding == "same":
        own = [(r // 2, r - r // 2) for r in reach]
    else:
        own = [(p, p) for p in ((0, 0) if layer.padding == "valid" else pair(layer.padding))]
    around = [(a + front, b + back) for (a, b), (front, back) in zip(own, sides, strict=True)]
    return _sided(
        FoldedConv(weight, bias, Window(pair(layer.stride), dilation=dilation, groups=layer.groups)), around
    )


def _spread(layer: nn.ConvTranspose2d) -> Spread:
    window = Window(pair(layer.stride), pair(layer.padding), pair(layer.dilation), layer.groups)
    bias = None if layer.bias is None else _reals(layer.bias)
    return Spread(_reals(layer.weight), bias, window, pair(layer.output_padding))


def _sided(conv: FoldedConv, around: Sequence[Pair]) -> FoldedConv:
    """With more zeros on one side of the map: zeros in the kernel make up for the other side's padding."""
    weight, dilation = conv.weight, list(conv.window.dilation)
    for axis, (front, back) in enumerate(around):
        if front == back:
            continue
        taps = np.arange(weight.shape[axis + 2]) * dilation[axis] + max(0, back - front)
        wide = np.zeros(
            [taps[-1] + 1 + max(0, front - back) if i == axis + 2 else n for i, n in enumerate(weight.shape)]
        )
        wide[(slice(None),) * (axis + 2) + (taps,)] = weight
        weight, dilation[axis] = wide, 1
    padding = pair([max(both) for both in around])
    return replace(conv, weight=weight, window=conv.window._replace(padding=padding, dilation=pair(dilation)))


def _windows_of(n: int, m: int) -> Pair | None:
    """(kernel, stride) with which torch's adaptive pooling makes m of n values; None where its windows differ."""
    starts = [i * n // m for i in range(m)]
    kernels = {-(-(i + 1) * n // m) - start for i, start in enumerate(starts)}
    strides = set(np.diff(starts).tolist()) or {n}
    return (kernels.pop(), strides.pop()) if len(kernels) == len(strides) == 1 else None


def adaptive_pool(sizes: Pair, shape: Shape) -> Pool | UnequalPool | None:
    """A size of None keeps that axis."""
    axes = [_windows_of(n, m or n) for n, m in zip(shape[1:], sizes, strict=True)]
    if None in axes:
        return UnequalPool(pair([m or n for n, m in zip(shape[1:], sizes, strict=True)]))
    kernel, stride = (pair([axis[i] for axis in axes if axis]) for i in (0, 1))
    return None if kernel == stride == (1, 1) else Pool(kernel, stride, (0, 0))


def op_shape(op: Op | NoNode, shape: Shape) -> Shape:
    """Shape behind an operator."""
    match op:
        case FoldedConv():
            return (len(op.weight), *op.window.size(shape[1:], op.weight.shape[2:]))
        case Pool():
            return (shape[0], *Window(op.stride, op.padding).size(shape[1:], op.kernel))
        case Linear():
            return (len(op.weight),)
        case Flatten():
            return (math.prod(shape),)
        case Spread():
            (strides, padding, dilation, groups), kernel = op.window, op.weight.shape[2:]
            axes = zip(shape[1:], strides, padding, dilation, kernel, op.output_padding, strict=True)
            sizes = [(n - 1) * s - 2 * p + d * (k - 1) + more + 1 for n, s, p, d, k, more in axes]
            return (op.weight.shape[1] * groups, *sizes)
        case UnequalPool() | Resize():
            return (shape[0], *op.sizes)
        case Unflatten():
            return op.shape
        case _:
            assert_never(op)


# ------------------------------------------------------------------------------------------------------ merging


def merge(ops: Sequence[Op], shape: Shape, name: str) -> FoldedConv | Linear:
    """One operator that does what the chain does: a convolution where it is one, else a matrix (with flattening)."""
    match list(ops):
        case [FoldedConv() as conv]:
            return conv
        case [Linear() as linear] | [Flatten(), Linear() as linear]:
            return linear
        case [Pool() as pool, FoldedConv() as conv] if (joined := pool_then_conv(pool, conv, shape)) is not None:
            return joined
    return _matrix(ops, shape, name)


def pool_then_conv(pool: Pool, conv: FoldedConv, shape: Shape) -> FoldedConv | None:
    """Windows side by side that fill the map: a convolution with a larger kernel and stride."""
    full = all(n % k == 0 for n, k in zip(shape[1:], pool.kernel, strict=True))
    if pool.kernel != pool.stride or pool.padding != (0, 0) or not full or conv.window.dilation != (1, 1):
        return None
    window = np.ones(pool.kernel) / math.prod(pool.kernel)
    strides = pair([a * b for a, b in zip(pool.stride, conv.window.stride, strict=True)])
    padding = pair([a * b for a, b in zip(pool.stride, conv.window.padding, strict=True)])
    weight: Reals = np.kron(conv.weight, window).astype(np.float64)
    return FoldedConv(weight, conv.bias, Window(strides, padding, (1, 1), conv.window.groups))


def _matrix(ops: Sequence[Op | NoNode], shape: Shape, name: str) -> Linear:
    """Rows of the matrix as gradients of the outputs, the bias as what zeros give."""
    n_in, out = math.prod(shape), shape
    for op in ops:
        out = op_shape(op, out)
    n_out = math.prod(out)
    if len(out) > 1 and any(isinstance(op, NoNode) for op in ops):
        raise Unsupported(
            "no convolution or pooling makes such a map", where=name, ways_out="put nn.Flatten() behind it"
        )
    if len(out) > 1:
        kinds = " and ".join(type(op).__name__.removeprefix("Folded") for op in ops)
        ways_out = "put neurons between layers, and a pooling in front of a convolution"
        raise Unsupported(f"no single convolution does {kinds}", where=name, ways_out=ways_out)
    if n_in * n_out > MAX_MATRIX:
        raise Unsupported(
            f"this chain becomes a matrix of {n_out} x {n_in}", where=name, ways_out="put neurons between its layers"
        )
    zeros = torch.zeros(1, *shape, dtype=torch.float64)
    bias = apply(ops, zeros).reshape(-1)
    rows = []
    for first in range(0, n_out, 64):
        units = range(first, min(first + 64, n_out))
        x = torch.zeros(len(units), *shape, dtype=torch.float64, requires_grad=True)
        with torch.enable_grad():  # also where the caller has no need of gradients
            y = apply(ops, x).reshape(len(units), -1)
            (gradient,) = torch.autograd.grad(y[range(len(units)), units].sum(), x)
        rows.append(gradient.reshape(len(units), -1))
    constant = bias.detach().numpy()
    return Linear(torch.cat(rows).numpy(), constant if np.any(constant) else None)


def apply(ops: Sequence[Op | NoNode], x: Tensor) -> Tensor:
    """The chain on (N, *shape), in float64."""
    for op in ops:
        match op:
            case FoldedConv():
                bias = None if op.bias is None else torch.from_numpy(op.bias)
                weight = torch.from_numpy(op.weight)
                x = F.conv2d(x, weight, bias, *op.window)
            case Linear():
                x = F.linear(x, torch.from_numpy(op.weight), None if op.bias is None else torch.from_numpy(op.bias))
            case Pool():
                x = F.avg_pool2d(x, op.kernel, op.stride, op.padding)
            case Flatten():
                x = x.flatten(1)
            case Spread():
                (strides, padding, dilation, groups), weight = op.window, torch.from_numpy(op.weight)
                bias = None if op.bias is None else torch.from_numpy(op.bias)
                x = F.conv_transpose2d(x, weight, bias, strides, padding, op.output_padding, groups, dilation)
            case UnequalPool():
                x = F.adaptive_avg_pool2d(x, op.sizes)
            case Resize():
                x = F.interpolate(x, op.sizes, mode=op.mode, align_corners=op.align_corners)
            case Unflatten():
                x = x.reshape(-1, *op.shape)
            case _:
                assert_never(op)
    return x


def check_square(conv: FoldedConv, name: str) -> None:
    """Raises Unsupported where ``square`` cannot make its kernel one."""
    height, width = conv.weight.shape[2:]
    if (height - width) % 2:
        found = f"kernel {height} x {width} (with its padding): sides that differ by an odd number cannot be squared"
        raise Unsupported(found, where=name, ways_out="pad all sides alike, or take a kernel of equal sides")


def square(conv: FoldedConv, name: str) -> FoldedConv:
    """The same convolution with one group and a square kernel: nir 1.0.8's type check refuses others on reading."""
    weight, (_, padding, dilation, groups) = conv.weight, conv.window
    if groups > 1:
        c_out, c_in = weight.shape[0] // groups, weight.shape[1]
        whole = np.zeros((weight.shape[0], c_in * groups, *weight.shape[2:]))
        for g in range(groups):
            whole[g * c_out : (g + 1) * c_out, g * c_in : (g + 1) * c_in] = weight[g * c_out : (g + 1) * c_out]
        weight = whole
    height, width = weight.shape[2:]
    if height != width:
        check_square(conv, name)
        side = max(height, width)
        grow = ((side - height) // 2, (side - width) // 2)
        weight = np.pad(weight, ((0, 0), (0, 0), (grow[0], grow[0]), (grow[1], grow[1])))
        padding = pair([p + g * d for p, g, d in zip(padding, grow, dilation, strict=True)])
    return replace(conv, weight=weight, window=conv.window._replace(padding=padding, groups=1))


def pair(value: Any) -> Pair:
    """torch takes one number for both axes."""
    pair = (value, value) if isinstance(value, int | float) or value is None else tuple(value)
    return pair[0], pair[1]


def _reals(tensor: Tensor) -> Reals:
    array: Reals = tensor.detach().cpu().double().numpy()
    return array
