"""The GPU kernels of ``fused_lif``, in Triton: one launch for all steps, state in registers."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .constants import LifConstants

BLOCK = 1024

WARPS = 4

MANY_WARPS = 8
"""Of the way back through a drive that is the same at every step: ptxas spills some of its variants with fewer."""


def forward(x: Tensor, spikes: Tensor, kept: Tensor, c: LifConstants) -> None:
    """Fills ``spikes`` and ``kept`` (T, N) from the drive ``x`` (T or 1, N)."""
    n_steps, n = spikes.shape
    a_syn = 0.0 if c.a_syn is None else c.a_syn
    stride = n if x.shape[0] > 1 else 0
    # no fused multiply-add, because it would round once where norse rounds twice
    with _device(x):
        lif_forward[(triton.cdiv(n, BLOCK),)](
            x, spikes, kept, n, n_steps, stride, c.a_mem, a_syn, c.v_leak, c.v_th, c.v_reset, c.gain,
            BOX=c.a_syn is None, BLOCK=BLOCK, enable_fp_fusion=False,
        )  # fmt: skip


def backward(gradient: Tensor, kept: Tensor, out: Tensor, c: LifConstants) -> None:
    """Fills ``out`` (T or 1, N), the gradient of the drive, from that of the spikes (T, N)."""
    n_steps, n = kept.shape
    a_syn, repeated = 0.0 if c.a_syn is None else c.a_syn, out.shape[0] == 1
    with _device(kept):
        lif_backward[(triton.cdiv(n, BLOCK),)](
            gradient, kept, out, n, n_steps, c.a_mem, a_syn, c.v_th, c.v_reset, c.gain, c.alpha,
            BOX=c.a_syn is None, REPEATED=repeated, DETACH=c.detach_reset, CODE=c.code, BLOCK=BLOCK,
            num_warps=MANY_WARPS if repeated else WARPS,
        )  # fmt: skip


def _device(x: Tensor) -> Any:
    """Triton launches on the current device, which need not be the tensor's."""
    return torch.cuda.device(x.device) if x.is_cuda else torch.no_grad()


@triton.jit  # type: ignore[untyped-decorator]
def lif_forward(
    x_ptr, spikes_ptr, kept_ptr, n, n_steps, stride, a_mem, a_syn, v_leak, v_th, v_reset, gain,
    BOX: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    # in 64 bits, because T * N of a large batch does not fit 32
    n64, stride64 = tl.cast(n, tl.int64), tl.cast(stride, tl.int64)
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    v = tl.zeros((BLOCK,), tl.float32) + v_leak
    current = tl.zeros((BLOCK,), tl.float32)
    for t in range(n_steps):
        drive = gain * tl.load(x_ptr + t * stride64 + at, mask=inside, other=0.0).to(tl.float32)
        if BOX:
            v = v + a_mem * ((drive + v_leak) - v)
        else:
            arrived = current + drive
            v = v + a_mem * ((v_leak - v) + arrived)
            current = arrived + (-a_syn) * arrived
        over = v - v_th
        fires = over > 0
        tl.store(spikes_ptr + t * n64 + at, fires.to(spikes_ptr.dtype.element_ty), mask=inside)
        tl.store(kept_ptr + t * n64 + at, over.to(kept_ptr.dtype.element_ty), mask=inside)
        v = tl.where(fires, v_reset, v)


@triton.jit  # type: ignore[untyped-decorator]
def _surrogate(x, alpha, CODE: tl.constexpr):
    if CODE == 1:
        root = tl.abs(x) + 1.0
        slope = 1.0 / (root * root)
    elif CODE == 2:
        slope = alpha * tl.maximum(1.0 - tl.abs(x), 0.0)
    elif CODE == 3:
        e = tl.exp(-2.0 * tl.abs(alpha * x))
        slope = 4.0 * e / ((1.0 + e) * (1.0 + e))
    elif CODE == 4:
        root = tl.sqrt(alpha * alpha + x * x)
        slope = alpha * (alpha * alpha) / (root * root * root)
    elif CODE == 5:
        slope = 1.1283791670955126 * tl.exp(-(alpha * x) * (alpha * x))
    else:
        slope = x * 0.0
    return slope


@triton.jit  # type: ignore[untyped-decorator]
def lif_backward(
    gradient_ptr, kept_ptr, out_ptr, n, n_steps, a_mem, a_syn, v_th, v_reset, gain, alpha,
    BOX: tl.constexpr, REPEATED: tl.constexpr, DETACH: tl.constexpr, CODE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    n64 = tl.cast(n, tl.int64)  # as in the forward pass
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    g_v = tl.zeros((BLOCK,), tl.float32)
    g_i = tl.zeros((BLOCK,), tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    for back in range(n_steps):
        row = (n_steps - 1 - back) * n64 + at
        g_z = tl.load(gradient_ptr + row, mask=inside, other=0.0).to(tl.float32)
        over = tl.load(kept_ptr + row, mask=inside, other=0.0).to(tl.float32)
        if not DETACH:
            g_z = g_z + g_v * (v_reset - (over + v_th))
        g_v = tl.where(over > 0, 0.0, g_v) + _surrogate(over, alpha, CODE) * g_z
        if BOX:
            into = gain * (a_mem * g_v)
        else:
            g_i = (1.0 - a_syn) * g_i + a_mem * g_v
            into = gain * g_i
        g_v = (1.0 - a_mem) * g_v
        if REPEATED:
            total += into
        else:
            tl.store(out_ptr + row, into.to(out_ptr.dtype.element_ty), mask=inside)
    if REPEATED:
        tl.store(out_ptr + at, total.to(out_ptr.dtype.element_ty), mask=inside)
