"""All T steps of a layer of norse's LIF and LIFBox cells in one call, forward and backward, keeping one tensor only.

What is kept for the backward pass is x = v - v_th before the reset: spikes (x > 0), surrogate gradient and reset
follow from it. The state is float32 whatever the type of the drive; under bf16 autocast x is stored in bf16, whose
range is float32's, so that its sign, and with it every spike, is the exact one.

Defined by norse's own stepping (``cells.Neurons`` with ``fused=False``); tests hold the two together.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from norse.torch.functional.threshold import threshold
from torch import Tensor

METHODS = ("heaviside", "super", "triangle", "tanh", "circ", "heavi_erfc")
"""norse's surrogate gradients; the position is the code that the kernels know them by."""


@dataclass(frozen=True)
class LifConstants:
    """What a step of a norse cell computes with.

    Attributes:
        a_mem, a_syn: timestep over membrane and synaptic time constant; a_syn None for a box cell.
        gain: the drive is multiplied by it first.
        method, alpha: norse's surrogate gradient.
        detach_reset: no gradient through the reset, as norse's recurrent cells have it.
    """

    a_mem: float
    a_syn: float | None
    v_leak: float
    v_th: float
    v_reset: float
    gain: float = 1.0
    method: str = "super"
    alpha: float = 100.0
    detach_reset: bool = False

    @property
    def code(self) -> int:
        return METHODS.index(self.method)


def fused_lif(drive: Tensor, constants: LifConstants, n_steps: int) -> Tensor:
    """Spikes of all steps from the drive of all steps.

    Args:
        drive: (T, B, *shape), or (1, B, *shape) for a drive that is the same at every step; float32, bf16 or fp16.
        n_steps: T.

    Returns:
        (T, B, *shape) zeros and ones of the drive's type and memory layout.
    """
    if torch.compiler.is_compiling():
        from . import operators  # here: it imports the compiler, which takes seconds

        return operators.fused_lif(drive, constants, n_steps)
    spikes: Tensor = _FusedLif.apply(drive, constants, n_steps)
    return spikes


class _FusedLif(torch.autograd.Function):
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


def fused_recurrent_lif(drive: Tensor, weight: Tensor, constants: LifConstants, n_steps: int) -> Tensor:
    """As ``fused_lif``, for a population whose spikes drive it in the next step through ``weight`` (N, N).

    Steps cannot be taken together here; what is saved is autograd's record of each of them, and the gradient of the
    weights is one product.

    Args:
        drive: (T or 1, B, N).
    """
    if torch.compiler.is_compiling():
        from . import operators

        outside: Tensor = operators.fused_recurrent_lif(drive, weight, constants, n_steps)
        return outside
    spikes: Tensor = FusedRecurrentLif.apply(drive, weight, constants, n_steps)
    return spikes


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


def fused_lif_gradient(gradient: Tensor, kept: Tensor, c: LifConstants, *, repeated: bool) -> Tensor:
    """Gradient of the drive (T or 1, B, *shape) from that of the spikes; ``kept`` (T, B, *shape) is v - v_th."""
    form = form_of(kept)
    x = rows(kept)
    out = x.new_empty(1 if repeated else x.shape[0], x.shape[1])
    _kernels(x)[1](rows(_like_form(gradient, form)), x, out, c)
    return unrows(out, form)


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
    from . import cpu as cpu_lif

    return cpu_lif.forward, cpu_lif.backward


def triton_interpreted() -> bool:
    """Whether Triton's interpreter stands in for a GPU (TRITON_INTERPRET=1), as in our tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


# ---------------------------------------------------------------------------------------------------- layout


@dataclass(frozen=True)
class Form:
    """Shape behind the time axis, and whether maps lie with their channels last."""

    shape: tuple[int, ...]
    channels_last: bool


def form_of(x: Tensor) -> Form:
    maps = x.flatten(0, 1)
    last = maps.dim() == 4 and not maps.is_contiguous() and maps.is_contiguous(memory_format=torch.channels_last)
    return Form(tuple(x.shape[1:]), last)


def _like_form(x: Tensor, form: Form) -> Tensor:
    """Gradients come in any layout: bring them into the one of the forward pass."""
    if not form.channels_last:
        return x.contiguous()
    return x.flatten(0, 1).contiguous(memory_format=torch.channels_last).view(x.shape)


def rows(x: Tensor) -> Tensor:
    """(T, B, *shape) -> (T, N) in the order of memory."""
    if form_of(x).channels_last:
        return x.permute(0, 1, 3, 4, 2).reshape(x.shape[0], -1)
    return x.contiguous().view(x.shape[0], -1)


def unrows(x: Tensor, form: Form) -> Tensor:
    """Undoes ``rows``."""
    if form.channels_last:
        batch, channels, height, width = form.shape
        return x.view(x.shape[0], batch, height, width, channels).permute(0, 1, 4, 2, 3)
    return x.view(x.shape[0], *form.shape)
