"""One NIR node's parameters, checked: shapes, ranges, and what old files write differently."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from seamount.errors import InputError, Unsupported
from seamount.foreign.limits import VALUES
from seamount.windows import Window

from ..network.network import (
    Convolution,
    Op,
    Pair,
    Reals,
    Reshape,
    Shape,
    SumPool,
    broadcasts,
    reals,
    size,
)
from .axes import is_placeholder, whole_numbers
from .file import RawNode


@dataclass(frozen=True)
class NodeValues:
    """Reads parameters of the node ``name``; every refusal names node and key."""

    name: str
    node: RawNode

    def array(self, key: str) -> Reals:
        value = self.node.values[key]
        if isinstance(value, str):
            raise InputError(f"{key} is text", where=self.name, possible="needed are numbers")
        if np.asarray(value).dtype.kind not in "biuf":
            raise InputError(
                f"{key} holds {np.asarray(value).dtype}", where=self.name, possible="needed are real numbers"
            )
        return reals(value)

    def parameter(self, key: str, shape: Shape) -> Reals:
        """One number, or one per element (leading axes of length 1 are dropped), or what broadcasts."""
        value = self.array(key)
        if value.ndim == 1 < len(shape) and shape[0] == len(value) and np.any(value != value[0]):
            # one a channel, perhaps; numpy would take it along the last axis, where that is as long
            raise InputError(
                f"{key} of shape {value.shape} on {shape}",
                where=self.name,
                ways_out=f"one number a channel is written {(len(value), *(1,) * (len(shape) - 1))}",
            )
        return self._fitted(key, value, shape)

    def _fitted(self, key: str, value: Reals, shape: Shape) -> Reals:
        if value.size == 1:
            return reals(value.reshape(()))
        while value.ndim > len(shape) and value.shape[0] == 1:
            value = reals(value[0])
        if not broadcasts(value.shape, shape):
            raise InputError(f"{key} of shape {value.shape} does not fit {shape}", where=self.name)
        # tools blow one number up to a full array; one number again takes no memory per neuron
        return reals(value.flat[0]) if value.size and np.all(value == value.flat[0]) else value

    def positive(self, key: str, shape: Shape) -> Reals:
        value = self.parameter(key, shape)
        if np.any(value <= 0):
            raise InputError(f"{key} goes down to {value.min():.6g}", where=self.name, possible="needed is above 0")
        return value

    def bias(self, shape: Shape) -> Reals | None:
        """Bias of an Affine; absent or False (as old tools write) means none."""
        value = self.node.values.get("bias")
        if value is None or (np.asarray(value).dtype.kind == "b" and not np.any(value)):
            return None
        return self._fitted("bias", self.array("bias"), shape)

    def channel_bias(self, n_channels: int) -> Reals | None:
        """Bias of a convolution as (C, 1, 1)."""
        bias = self.bias((n_channels,))
        return None if bias is None else reals(np.broadcast_to(bias, (n_channels,)).reshape(-1, 1, 1))

    def numbers(self, key: str, n: int, low: int) -> tuple[int, ...]:
        """n whole numbers, or one for all."""
        value = self.array(key).reshape(-1)
        if value.size not in (1, n) or np.any(value != np.rint(value)) or np.any(value < low) or np.any(value > 1e6):
            raise InputError(
                f"{key} is {value.tolist()[:4]}", where=self.name, possible=f"needed are {n} whole numbers from {low}"
            )
        whole = tuple(int(v) for v in value)
        return whole if len(whole) == n else whole * n

    def pair(self, key: str, low: int) -> Pair:
        a, b = self.numbers(key, 2, low)
        return a, b

    def pool(self) -> SumPool:
        kernel, stride, padding = self.pair("kernel_size", 1), self.pair("stride", 1), self.pair("padding", 0)
        # torch refuses it, because a window could then lie in the padding alone
        if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
            raise InputError(f"padding {padding} is more than half of the window {kernel}", where=self.name)
        return SumPool(kernel, stride, padding)

    def pooled(self, shape: Shape) -> tuple[Op, ...]:
        """The sum over windows; of lines (C, L) where the windows are 1 high, as torch has it on (B, C, L)."""
        pool = self.pool()
        VALUES.check(shape[0] * math.prod(pool.kernel), self.name, f"windows {pool.kernel} on {shape[0]} channels")
        if len(shape) != 2:
            return (pool,)
        if (pool.kernel[0], pool.stride[0], pool.padding[0]) != (1, 1, 0):
            raise InputError(
                f"windows {pool.kernel} with stride {pool.stride} and padding {pool.padding} on {shape}",
                where=self.name,
                possible="possible on (C, L) are windows 1 high, others need maps (C, H, W)",
            )
        length = Window(pool.stride, pool.padding).n_out(1, shape[1], pool.kernel[1])
        return (Reshape((shape[0], 1, shape[1])), pool, Reshape((shape[0], length)))

    def conv2d(self, shape: Shape) -> Convolution:
        weight = self.array("weight")
        if weight.ndim != 4 or 0 in weight.shape:
            raise InputError(
                f"weight {weight.shape}", where=self.name, possible="needed is (out, in / groups, height, width)"
            )
        conv = self._conv(weight, self.pair("stride", 1), self.pair("dilation", 1), 2)
        self._compare_input(shape[1:])
        return conv

    def conv1d(self, shape: Shape) -> tuple[Convolution, Shape, Shape]:
        """As a convolution on maps of height 1: (it, shape in front of it, shape behind the way back)."""
        weight = self.array("weight")
        if weight.ndim != 3 or 0 in weight.shape:
            raise InputError(
                f"weight {weight.shape}", where=self.name, possible="needed is (out, in / groups, width)"
            )
        (groups,) = self.numbers("groups", 1, 1)
        channels = weight.shape[1] * groups
        if len(shape) != 2 or shape[0] != channels:
            told = f"a Conv1d with weight {weight.shape} in {groups} groups takes ({channels}, L)"
            raise InputError(f"shape {shape} arrives", where=self.name, possible=told)
        (stride,), (dilation,) = self.numbers("stride", 1, 1), self.numbers("dilation", 1, 1)
        conv = self._conv(reals(weight[:, :, None]), (1, stride), (1, dilation), 1)
        length = conv.window.n_out(1, shape[1], conv.weight.shape[3])
        self._compare_input(shape[1:])
        return conv, (shape[0], 1, shape[1]), (int(weight.shape[0]), length)

    def _conv(self, weight: Reals, stride: Pair, dilation: Pair, n_axes: int) -> Convolution:
        (groups,) = self.numbers("groups", 1, 1)
        padding = self.node.values["padding"]
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise InputError(
                    f"padding {padding!r}", where=self.name, possible="possible are 'same', 'valid' or numbers"
                )
            if padding == "valid":
                return Convolution(weight, Window(stride, (0, 0), dilation, groups))
            if stride != (1, 1):
                raise Unsupported(
                    f"padding 'same' with stride {stride} is undefined",
                    where=self.name,
                    ways_out="write the padding out",
                )
            return _same(weight, dilation, groups)
        given = self.numbers("padding", n_axes, 0)
        return Convolution(weight, Window(stride, given if n_axes == 2 else (0, given[0]), dilation, groups))  # type: ignore[arg-type]

    def _compare_input(self, shape: Shape) -> None:
        told = whole_numbers(self.node.values.get("input_shape"), f"{self.name}: input_shape")
        if told is None or is_placeholder(told):
            return
        if told != shape and told[-len(shape) :] != shape:
            raise InputError(f"input_shape {told} in the file, but {shape} arrives", where=self.name)

    def flattened(self, shape: Shape) -> Shape:
        ahead = self.axes_ahead(shape)
        start = max(0, self._axis("start_dim", 1, ahead + len(shape)) - ahead)
        end = self._axis("end_dim", -1, ahead + len(shape)) - ahead
        if start >= len(shape) == 1:
            return shape  # a vector is flat already, whatever start_dim says
        if not start <= end < len(shape):
            raise InputError(
                f"start_dim {start}, end_dim {end} do not fit a shape of {len(shape)} axes", where=self.name
            )
        return (*shape[:start], size(shape[start : end + 1]), *shape[end + 1 :])

    def axes_ahead(self, shape: Shape) -> int:
        """Axes that input_type has in front of a sample's, such as the batch; start_dim and end_dim count them."""
        if "input_type" not in self.node.values:
            return 0
        told = tuple(self.array("input_type").reshape(-1))
        ahead = len(told) - len(shape)
        return ahead if ahead > 0 and told[ahead:] == shape else 0

    def _axis(self, key: str, default: int, n_axes: int) -> int:
        value = self.array(key).reshape(-1) if key in self.node.values else reals([default])
        if value.size != 1 or value[0] != np.rint(value[0]):
            raise InputError(f"{key} is {value.tolist()[:4]}", where=self.name, possible="needed is a whole number")
        axis = int(value[0])
        return axis + n_axes if axis < 0 else axis


def _same(weight: Reals, dilation: Pair, groups: int) -> Convolution:
    """Torch's padding='same'; where it is uneven (more behind than in front) a zero in front makes it even."""
    expanded = weight
    padding = []
    for axis in (2, 3):
        reach = dilation[axis - 2] * (weight.shape[axis] - 1)
        if reach % 2:
            expanded = _dilated(expanded, axis, dilation[axis - 2])
            front = [(0, 0)] * 4
            front[axis] = (1, 0)
            expanded = reals(np.pad(expanded, front))
            dilation = (1, dilation[1]) if axis == 2 else (dilation[0], 1)
            reach += 1
        padding.append(reach // 2)
    return Convolution(expanded, Window((1, 1), (padding[0], padding[1]), dilation, groups))


def _dilated(weight: Reals, axis: int, dilation: int) -> Reals:
    shape = list(weight.shape)
    shape[axis] = dilation * (shape[axis] - 1) + 1
    wide = np.zeros(shape)
    index = [slice(None)] * weight.ndim
    index[axis] = slice(None, None, dilation)
    wide[tuple(index)] = weight
    return reals(wide)
