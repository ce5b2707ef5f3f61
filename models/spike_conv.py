"""A convolution of spikes on a CPU whose gradient of the weights is summed over the spikes, where few neurons fire.

Outputs and the other gradients are torch's own; this one differs by the order of a sum in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

LEAST_CHANNELS = 16
"""Of fewer, a place costs more looks than there are spikes to gain by."""

WORTHWHILE = 0.25
"""Share of spikes up to which the sum is faster than the product."""


def fits(conv: nn.Module, x: Tensor) -> bool:
    """Whether the weights' gradient of this convolution is faster so, for spikes (M, C, H, W)."""
    if type(conv) is not nn.Conv2d or conv._forward_hooks or conv._forward_pre_hooks:
        return False
    # what differs from this happens in no student of ours, and goes torch's way
    usual = (conv.kernel_size, conv.padding, conv.dilation, conv.groups) == ((3, 3), (1, 1), (1, 1), 1)
    return (
        usual
        and conv.padding_mode == "zeros"
        and conv.stride in ((1, 1), (2, 2))
        and conv.in_channels >= LEAST_CHANNELS
        and conv.out_channels % 16 == 0  # whole cache lines of outputs
        and x.device.type == "cpu"
        and x.dtype in (torch.bfloat16, torch.float32)
        and x.is_contiguous(memory_format=torch.channels_last)
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and _sparse_enough(x)
    )


def _sparse_enough(spikes: Tensor) -> bool:
    """Of spikes (M, C, H, W): judged by some samples."""
    some = spikes[:: max(1, len(spikes) // 8)]
    return int(torch.count_nonzero(some)) < WORTHWHILE * some.numel()


def spike_conv(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """conv(x), if it ``fits``."""
    out: Tensor = _SpikeConv.apply(x, conv.weight, conv.bias, conv.stride)
    return out


class _SpikeConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, int]) -> Tensor:
        narrow = weight.to(x.dtype)  # as autocast has it
        ctx.save_for_backward(x, narrow)
        ctx.stride = stride
        return torch.conv2d(x, narrow, None if bias is None else bias.to(x.dtype), stride, (1, 1))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient = grads[0].contiguous(memory_format=torch.channels_last)
        needed = [ctx.needs_input_grad[0], False, False]
        g_x, _, _ = torch.ops.aten.convolution_backward(
            gradient, x, weight, None, ctx.stride, (1, 1), (1, 1), False, (0, 0), 1, needed
        )
        from .weight_gradient import spike_weight_gradient  # here, because it brings numba, see lif/gradients.py

        g_weight = spike_weight_gradient(x, gradient, ctx.stride[0]) if ctx.needs_input_grad[1] else None
        g_bias = gradient.float().sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return g_x, g_weight, g_bias, None
