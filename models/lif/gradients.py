"""The LIF and its recurrent form as autograd sees them: what the forward pass keeps, and the gradients from it.

What is kept is x = v - v_th before the reset: spikes (x > 0), surrogate gradient and reset follow from it. The state
is float32 whatever the type of the drive; under bf16 autocast x is stored in bf16, whose range is float32's, so that
its sign, and with it every spike, is the exact one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from norse.torch.functional.threshold import threshold
from torch import Tensor

from .constants import LifConstants
from .layout import form_of, like_form, rows, unrows


class FusedLif(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, drive: Tensor, constants: LifConstants, n_steps: int) -> Tensor:
        spikes, kept = spikes_and_potential(drive, constants, n_steps)
        ctx.save_for_backward(kept)
        ctx.constants, ctx.repeated = constants, drive.shape[0] == 1 and n_steps > 1
        return spikes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (kept,) = ctx.saved_tensors
        return fused_lif_gradient(grads[0], kept, ctx.constants, repeated=ctx.repeated), None, None


def spikes_and_potential(drive: Tensor, constants: LifConstants, n_steps: int) -> tuple[Tensor, Tensor]:
    """Spikes, and v - v_th before the reset, both (T, B, *shape)."""
    x, form = rows(drive), form_of(drive)
    spikes = x.new_empty(n_steps, x.shape[1])
    kept = torch.empty_like(spikes)
    _kernels(x)[0](x, spikes, kept, constants)
    return unrows(spikes, form), unrows(kept, form)


def fused_lif_gradient(gradient: Tensor, kept: Tensor, c: LifConstants, *, repeated: bool) -> Tensor:
    """Gradient of the drive (T or 1, B, *shape) from that of the spikes; ``kept`` (T, B, *shape) is v - v_th."""
    form = form_of(kept)
    x = rows(kept)
    out = x.new_empty(1 if repeated else x.shape[0], x.shape[1])
    _kernels(x)[1](rows(like_form(gradient, form)), x, out, c)
    return unrows(out, form)


class FusedRecurrentLif(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, drive: Tensor, weight: Tensor, constants: LifConstants, n_steps: int) -> Tensor:
        c = constants
        transposed = weight.float().t().contiguous()
        kept = drive.new_empty((n_steps, *drive.shape[1:]), dtype=torch.float32)
        spikes = torch.empty_like(kept)
        v, current = torch.full_like(kept[0], c.v_leak), torch.zeros_like(kept[0])
        for t in range(n_steps):
            x = drive[t if drive.shape[0] > 1 else 0].float()
            back = spikes[t - 1] @ transposed if t else 0.0
            if c.a_syn is None:
                v = v + c.a_mem * ((c.gain * (x + back) + c.v_leak) - v)
            else:
                arrived = current + c.gain * x + c.gain * back
                v = v + c.a_mem * ((c.v_leak - v) + arrived)
                current = arrived + (-c.a_syn) * arrived
            torch.sub(v, c.v_th, out=kept[t])
            torch.gt(kept[t], 0, out=spikes[t])
            v = torch.where(kept[t] > 0, c.v_reset, v)
        ctx.save_for_backward(kept, weight)
        ctx.constants, ctx.repeated, ctx.dtype = constants, drive.shape[0] == 1, drive.dtype
        return spikes.to(drive.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        kept, weight = ctx.saved_tensors
        out, g_weight = recurrent_gradient(grads[0], kept, weight, ctx.constants)
        out = out.sum(0, keepdim=True) if ctx.repeated else out
        return out.to(ctx.dtype), g_weight, None, None


def recurrent_gradient(gradient: Tensor, kept: Tensor, weight: Tensor, c: LifConstants) -> tuple[Tensor, Tensor]:
    """Gradients of drive (T, B, N) and recurrent weights (N, N) from those of the spikes; ``kept`` is v - v_th."""
    fired = kept > 0
    slopes = surrogate_gradient(kept, c)
    matrix = weight.float()
    out = torch.empty_like(kept)
    g_v, g_i, back = torch.zeros_like(kept[0]), torch.zeros_like(kept[0]), torch.zeros_like(kept[0])
    for t in range(kept.shape[0] - 1, -1, -1):
        g_z = gradient[t].float() + back
        if not c.detach_reset:
            g_z = g_z + g_v * (c.v_reset - (kept[t] + c.v_th))
        g_v = torch.where(fired[t], 0.0, g_v) + slopes[t] * g_z
        g_i = c.a_mem * g_v if c.a_syn is None else (1 - c.a_syn) * g_i + c.a_mem * g_v
        torch.mul(g_i, c.gain, out=out[t])
        g_v = (1 - c.a_mem) * g_v
        back = out[t] @ matrix
    g_weight = torch.einsum("tbi,tbj->ij", out[1:], fired[:-1].to(out.dtype))
    return out, g_weight.to(weight.dtype)


def surrogate_gradient(x: Tensor, c: LifConstants) -> Tensor:
    """norse's own surrogate gradient at x = v - v_th."""
    if c.method == "heaviside":
        return torch.zeros_like(x)
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(threshold(at, c.method, c.alpha).sum(), at)
    return slope


Kernel = Callable[..., None]


def _kernels(x: Tensor) -> tuple[Kernel, Kernel]:
    if x.is_cuda or triton_interpreted():
        from . import gpu as triton_lif

        return triton_lif.forward, triton_lif.backward
    from . import cpu as cpu_lif  # here, because numba takes as long to load as a mistake in a network to be found

    return cpu_lif.forward, cpu_lif.backward


def triton_interpreted() -> bool:
    """Whether Triton's interpreter stands in for a GPU (TRITON_INTERPRET=1), as in our tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"
