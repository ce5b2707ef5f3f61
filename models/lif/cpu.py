"""The CPU kernels of ``fused_lif``: numba, block by block, each block of neurons through all steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seamount.compiled import compiled

from .constants import LifConstants

BLOCK = 2048
"""Neurons that go through all steps together: their state stays in the first-level cache."""

SMALL = 1 << 15
"""Below so many neurons, threads cost more than they save."""


def forward(x: Tensor, spikes: Tensor, kept: Tensor, c: LifConstants) -> None:
    """Fills ``spikes`` and ``kept`` (T, N) from the drive ``x`` (T or 1, N)."""
    a_syn = 0.0 if c.a_syn is None else c.a_syn
    numbers = [np.float32(n) for n in (c.a_mem, a_syn, c.v_leak, c.v_th, c.v_reset, c.gain)]
    arrays = (_bits(x), _bits(spikes), _bits(kept))
    _in_parts(_run_forward, x.shape[1], *arrays, x.dtype == torch.bfloat16, c.a_syn is None, *numbers)


def backward(gradient: Tensor, kept: Tensor, out: Tensor, c: LifConstants) -> None:
    """Fills ``out`` (T or 1, N), the gradient of the drive, from that of the spikes (T, N)."""
    a_syn = 0.0 if c.a_syn is None else c.a_syn
    numbers = [np.float32(n) for n in (c.a_mem, a_syn, c.v_th, c.v_reset, c.gain, c.alpha)]
    arrays = (_bits(gradient.to(kept.dtype)), _bits(kept), _bits(out))
    flags = (kept.dtype == torch.bfloat16, c.a_syn is None, c.detach_reset, c.code)
    _in_parts(_run_backward, kept.shape[1], *arrays, *flags, *numbers)


def _bits(x: Tensor) -> NDArray[Any]:
    """The memory of a tensor; bf16, which numpy does not know, as its 16 bits."""
    x = x.detach()
    array: NDArray[Any] = x.view(torch.uint16).numpy() if x.dtype == torch.bfloat16 else x.numpy()
    return array


def _in_parts(kernel: Callable[..., None], n: int, *arguments: Any) -> None:
    """kernel(first, last, *arguments) over 0 .. n, in as many threads as torch has."""
    n_threads = torch.get_num_threads()
    if n < SMALL or n_threads == 1:
        kernel(0, n, *arguments)
        return
    size = -(-n // (n_threads * BLOCK)) * BLOCK
    parts = [_pool(n_threads).submit(kernel, at, min(at + size, n), *arguments) for at in range(0, n, size)]
    for part in parts:
        part.result()


@cache
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads, thread_name_prefix="fused-lif")


def _load_row(row: Any, half: bool, bits: Any, values: Any) -> None:
    """values (the same memory as bits, seen as float32) := row."""
    if half:
        for n in range(row.size):
            bits[n] = np.uint32(row[n]) << np.uint32(16)
    else:
        for n in range(row.size):
            values[n] = row[n]


def _store_row(row: Any, half: bool, bits: Any, values: Any) -> None:
    """row := values; in bf16 to nearest, ties to even."""
    if half:
        for n in range(row.size):
            odd = (bits[n] >> np.uint32(16)) & np.uint32(1)
            row[n] = (bits[n] + np.uint32(0x7FFF) + odd) >> np.uint32(16)
    else:
        for n in range(row.size):
            row[n] = values[n]


def _exp_row(x: Any, bits: Any, power: Any) -> None:
    """x := exp(x) for -87 <= x <= 0, to 2 units in the last place; bits and power are the same memory.

    Written out because the compiler cannot take a call to libm for many neurons at once: three times as fast.
    """
    for n in range(x.size):
        k = np.floor(x[n] * np.float32(1.4426950408889634) + np.float32(0.5))
        r = (x[n] - k * np.float32(0.693359375)) - k * np.float32(-2.12194440e-4)
        bits[n] = np.uint32(np.int32(k) + np.int32(127)) << np.uint32(23)
        p = np.float32(1 / 5040)
        for c in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0):
            p = p * r + np.float32(c)
        x[n] = p
    for n in range(x.size):
        x[n] = x[n] * power[n]


def _surrogate_row(code: int, alpha: Any, x: Any, out: Any, bits: Any, scratch: Any) -> None:
    """norse's surrogate gradients (its threshold.py); its SuperSpike takes no notice of alpha.

    bits and scratch are the same memory, as long as out.
    """
    one = np.float32(1)
    if code == 0:
        out[:] = 0
    elif code == 1:
        for n in range(x.size):
            root = abs(x[n]) + one
            out[n] = one / (root * root)
    elif code == 2:
        for n in range(x.size):
            out[n] = alpha * max(np.float32(0), one - abs(x[n]))
    elif code == 3:  # 1 - tanh(alpha x)**2, without the cancellation
        for n in range(x.size):
            out[n] = max(np.float32(-2) * abs(alpha * x[n]), np.float32(-87))
        _exp(out, bits, scratch)
        for n in range(x.size):
            out[n] = np.float32(4) * out[n] / ((one + out[n]) * (one + out[n]))
    elif code == 4:
        for n in range(x.size):
            root = np.float32(math.sqrt(alpha * alpha + x[n] * x[n]))
            out[n] = alpha * (alpha * alpha) / (root * root * root)
    else:
        for n in range(x.size):
            y = alpha * x[n]
            out[n] = max(-(y * y), np.float32(-87))
        _exp(out, bits, scratch)
        for n in range(x.size):
            out[n] = np.float32(1.1283791670955126) * out[n]


def _forward_part(
    first: int, last: int, x: Any, spikes: Any, kept: Any, half: bool, box: bool,
    a_mem: Any, a_syn: Any, v_leak: Any, v_th: Any, v_reset: Any, gain: Any,
) -> None:  # fmt: skip
    bits, fired_bits, over_bits = np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.uint32)
    values, fired, over = bits.view(np.float32), fired_bits.view(np.float32), over_bits.view(np.float32)
    v, current = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    for at in range(first, last, BLOCK):
        m = min(BLOCK, last - at)
        v[:] = v_leak
        current[:] = 0
        for t in range(spikes.shape[0]):
            if t == 0 or x.shape[0] > 1:
                _load(x[t, at : at + m], half, bits, values)
            if box:
                for n in range(m):
                    v[n] = v[n] + a_mem * ((gain * values[n] + v_leak) - v[n])
            else:
                for n in range(m):
                    arrived = current[n] + gain * values[n]
                    v[n] = v[n] + a_mem * ((v_leak - v[n]) + arrived)
                    current[n] = arrived + (-a_syn) * arrived
            for n in range(m):
                over[n] = v[n] - v_th
                fires = over[n] > 0
                fired[n] = np.float32(1) if fires else np.float32(0)
                v[n] = v_reset if fires else v[n]
            _store(spikes[t, at : at + m], half, fired_bits, fired)
            _store(kept[t, at : at + m], half, over_bits, over)


def _backward_part(
    first: int, last: int, gradient: Any, kept: Any, out: Any, half: bool, box: bool, detach: bool, code: int,
    a_mem: Any, a_syn: Any, v_th: Any, v_reset: Any, gain: Any, alpha: Any,
) -> None:  # fmt: skip
    bits, over_bits, into_bits = np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.uint32)
    g, over, into = bits.view(np.float32), over_bits.view(np.float32), into_bits.view(np.float32)
    slope, g_v = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    g_i, total = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    keeps_v, keeps_i = np.float32(1) - a_mem, np.float32(1) - a_syn
    for at in range(first, last, BLOCK):
        m = min(BLOCK, last - at)
        g_v[:] = 0
        g_i[:] = 0
        total[:] = 0
        for t in range(kept.shape[0] - 1, -1, -1):
            _load(gradient[t, at : at + m], half, bits, g)
            _load(kept[t, at : at + m], half, over_bits, over)
            _surrogate(code, alpha, over[:m], slope[:m], into_bits, into)
            for n in range(m):
                g_z = g[n] if detach else g[n] + g_v[n] * (v_reset - (over[n] + v_th))
                g_v[n] = (np.float32(0) if over[n] > 0 else g_v[n]) + slope[n] * g_z
            if box:
                for n in range(m):
                    into[n] = gain * (a_mem * g_v[n])
            else:
                for n in range(m):
                    g_i[n] = keeps_i * g_i[n] + a_mem * g_v[n]
                    into[n] = gain * g_i[n]
            for n in range(m):
                g_v[n] = keeps_v * g_v[n]
            if out.shape[0] > 1 or kept.shape[0] == 1:
                _store(out[t, at : at + m], half, into_bits, into)
            else:
                for n in range(m):
                    total[n] += into[n]
        if out.shape[0] == 1 and kept.shape[0] > 1:
            into[:] = total
            _store(out[0, at : at + m], half, into_bits, into)


_load, _store, _exp = compiled(_load_row), compiled(_store_row), compiled(_exp_row)
_surrogate = compiled(_surrogate_row)
_run_forward, _run_backward = compiled(_forward_part), compiled(_backward_part)
