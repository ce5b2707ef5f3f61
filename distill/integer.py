"""What a quantised student is made of: roundings and integer layers with gradients.

Forward is the chip's arithmetic, by the same functions that the simulator runs (``compile.arithmetic``). Backward is
that of the float student: straight through roundings, norse's surrogate through spikes, and, for the scale s of a
population, through the normalised drive (weights over threshold), in which s would cancel if nothing were rounded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seamount.compile.arithmetic.neurons import NeuronTable, Real, neuron_table
from seamount.compile.arithmetic.products import conv_sum, matrix_sum
from seamount.compile.arithmetic.scan import ScanResult, lif_scan, potential, spikes_and_potential
from seamount.compile.arithmetic.synapses import wrap
from seamount.compile.neurons.lif import Lif
from seamount.models.fold import FoldedConv
from seamount.models.lif.constants import LifConstants
from seamount.models.lif.gradients import fused_lif_gradient, recurrent_gradient
from seamount.models.lif.layout import form_of


class OnGrid(torch.autograd.Function):
    """step * round(values * factor / step), clipped: gradients pass to the values and to log s, of which factor is
    a multiple.

    forward(values, log_scale, factor, step, low, high)
    """

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, log_scale: Tensor, factor: float, step: int, low: float, high: float
    ) -> Tensor:
        real = values * factor
        rounded = real.div_(step).round_().mul_(step).clamp_(low, high)
        ctx.save_for_backward(values, rounded)
        ctx.factor, ctx.half_step = factor, step / 2
        return rounded

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        values, rounded = ctx.saved_tensors
        error = (values * ctx.factor).sub_(rounded)
        inside = error.abs() <= ctx.half_step
        # d(rounded / s) / d(log s), as in LSQ, with its scale of gradients
        g_scale = (grads[0] * torch.where(inside, error, -rounded)).sum() / (127 * values.numel()) ** 0.5
        return (grads[0] * inside).mul_(ctx.factor), g_scale, None, None, None, None


@dataclass(frozen=True)
class IntegerNeurons:
    """A population's integers, and the constants of its backward pass.

    Attributes:
        constants: norse's, with the gain that makes drive of v / v_th_mant.
        unit: real membrane per unit of v.
    """

    lif: Lif
    shape: tuple[int, ...]
    constants: LifConstants
    unit: float

    @cached_property
    def table(self) -> NeuronTable:
        return neuron_table(self.lif, self.shape)

    @cached_property
    def table_channels_last(self) -> NeuronTable:
        """Of neurons (C, H, W) in the order (H, W, C)."""
        order = np.arange(math.prod(self.shape)).reshape(self.shape).transpose(1, 2, 0)
        return neuron_table(self.lif, self.shape, order.ravel())

    def scan(self, drive: Tensor, want: str, *states: Tensor, drive_limit: int | None = None) -> ScanResult:
        u, v = states if states else (None, None)
        return lif_scan(
            drive,
            self.lif,
            self.shape,
            u=u,
            v=v,
            want=(want,),
            drive_limit=drive_limit,
            table=self.table,
            counts=False,
        )


class IntegerSpikes(torch.autograd.Function):
    """forward(drive (T or 1, B, *shape), bias | None, neurons, n_steps, drive_limit) -> spikes (T, B, *shape)."""

    @staticmethod
    def forward(
        ctx: Any, drive: Tensor, bias: Tensor | None, neurons: IntegerNeurons, n_steps: int, drive_limit: int | None
    ) -> Tensor:
        # neurons are scanned in the order in which they lie, because no sum depends on it and a copy costs time
        last = form_of(drive).channels_last
        seen, table = drive, neurons.table
        if last:
            seen, table = drive.permute(0, 1, 3, 4, 2), neurons.table_channels_last
        whole = seen.expand(n_steps, *seen.shape[1:])
        dtype = torch.bfloat16 if torch.is_autocast_enabled(drive.device.type) else torch.float32
        real = Real(neurons.unit, dtype)
        spikes, kept = spikes_and_potential(whole, neurons.lif, seen.shape[2:], real, table, drive_limit)
        if last:
            kept, spikes = (x.permute(0, 1, 4, 2, 3) for x in (kept, spikes))
        ctx.save_for_backward(kept)
        ctx.neurons, ctx.repeated = neurons, drive.shape[0] == 1 and n_steps > 1
        ctx.bias_shape = None if bias is None else bias.shape
        return spikes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (kept,) = ctx.saved_tensors
        g_drive = fused_lif_gradient(grads[0], kept, ctx.neurons.constants, repeated=ctx.repeated)
        g_drive = g_drive.to(torch.float32)
        return g_drive, _bias_gradient(g_drive, ctx.bias_shape), None, None, None


class IntegerRecurrentSpikes(torch.autograd.Function):
    """forward(drive (T or 1, B, N), weights (N, N), bias | None, neurons, n_steps, drive_limit) -> spikes (T, B, N).

    ``drive_limit``: of drive and loop together.
    """

    @staticmethod
    def forward(
        ctx: Any,
        drive: Tensor,
        weights: Tensor,
        bias: Tensor | None,
        neurons: IntegerNeurons,
        n_steps: int,
        drive_limit: int | None,
    ) -> Tensor:
        spikes = drive.new_zeros((n_steps, *drive.shape[1:]), dtype=torch.float32)
        kept = torch.empty_like(spikes)
        states: tuple[Tensor, ...] = ()
        for t in range(n_steps):
            now = drive[t if drive.shape[0] > 1 else 0]
            if t:
                now = now + matrix_sum(spikes[t - 1], weights)
            done = neurons.scan(now.unsqueeze(0), "v_before_reset", *states, drive_limit=drive_limit)
            assert done.v_before_reset is not None
            states = (done.final_u, done.final_v)
            spikes[t] = done.spikes[0]
            kept[t] = potential(done.v_before_reset[0], neurons.lif, Real(neurons.unit, torch.float32))
        ctx.save_for_backward(kept, weights)
        ctx.neurons, ctx.repeated = neurons, drive.shape[0] == 1 and n_steps > 1
        ctx.bias_shape = None if bias is None else bias.shape
        return spikes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        kept, weights = ctx.saved_tensors
        g_drive, g_weights = recurrent_gradient(grads[0], kept, weights, ctx.neurons.constants)
        g_drive = g_drive.sum(0, keepdim=True) if ctx.repeated else g_drive
        return g_drive, g_weights, _bias_gradient(g_drive, ctx.bias_shape), None, None, None


def _bias_gradient(g_drive: Tensor, shape: torch.Size | None) -> Tensor | None:
    """A drive of 1 is 64 units of v, a bias of 1 is one."""
    if shape is None:
        return None
    return g_drive.flatten(0, 1).sum_to_size(1, *shape)[0] / 64


def weighted(x: Tensor, weights: Tensor, conv: FoldedConv | None, bound: int, *, spikes: bool) -> Tensor:
    """Exact integer drive (M, *target) of values (M, *source); ``bound``: no sum is larger.

    Values and weights of 8 significant bits: their products may be taken in the device's narrow precision.

    Args:
        spikes: whether x is of zeros and ones.
    """
    narrow = bound < 1 << 24
    wide = torch.float32 if narrow else torch.float64
    weights = weights.to(wide)
    if conv is None:
        return matrix_sum(x.flatten(1).to(wide), weights, narrow=narrow)
    half = narrow and torch.is_autocast_enabled(x.device.type)
    drive: Tensor = ExactConv.apply(x if narrow else x.to(wide), weights, conv, narrow, half, spikes)
    return drive


class ExactConv(torch.autograd.Function):
    """forward(x, weights, conv, narrow, half, spikes): exact sums.

    ``half``: gradients as autocast to bf16 has them; ``spikes``: x is of zeros and ones.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weights: Tensor, conv: FoldedConv, narrow: bool, half: bool, spikes: bool
    ) -> Tensor:
        kept = torch.bfloat16 if half else x.dtype  # 8 significant bits, so that nothing is lost
        if half:
            x = x.contiguous(memory_format=torch.channels_last)
        ctx.save_for_backward(x.to(kept), weights.to(kept))
        ctx.conv = conv
        values = x != 0 if spikes else x.to(weights.dtype)
        return conv_sum(values, weights, *conv.window, narrow=narrow)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weights = ctx.saved_tensors
        conv: FoldedConv = ctx.conv
        needed = [*ctx.needs_input_grad[:2], False]
        stride, padding, dilation, groups = conv.window
        g_x, g_weights, _ = torch.ops.aten.convolution_backward(
            grads[0].to(x.dtype), x, weights, None, stride, padding, dilation, False, (0, 0), groups, needed
        )
        return (
            g_x,
            g_weights if g_weights is None else g_weights.to(grads[0].dtype),
            None,
            None,
            None,
            None,
        )


def wrapped(drive: Tensor, bits: int, bound: int) -> Tensor:
    """The drive in so many bits; most bounds prove that nothing wraps."""
    if bound < 1 << (bits - 1):
        return drive
    whole = drive.detach().to(torch.int64)
    # a difference that carries no gradient, so that the drive's passes by the wrap
    return drive + (wrap(whole, bits) - whole).to(drive.dtype)


def linear_readout(drive: Tensor, response: Tensor) -> Tensor:
    """An integrator's v from its drive, for gradients: (T, B, K)."""
    kernel = response.to(drive.device, torch.float32)
    if drive.shape[0] == 1:
        kernel = kernel.sum(1, keepdim=True)
    v: Tensor = torch.tensordot(kernel, drive.float(), dims=1)
    return v


__all__ = [
    "IntegerNeurons",
    "IntegerRecurrentSpikes",
    "IntegerSpikes",
    "OnGrid",
    "linear_readout",
    "weighted",
    "wrapped",
]
