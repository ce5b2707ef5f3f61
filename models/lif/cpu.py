"""The CPU kernels of ``fused_lif``: numba, 32 neurons at a time, which go through all steps in registers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from seamount.compiled import compiled, inlined
from seamount.vectors import (
    LANES,
    choose,
    exp2_negative,
    larger,
    load,
    magnitude,
    root,
    spread,
    store,
    store_spikes,
)

from .constants import LifConstants

BLOCK = 2048
"""Threads share neurons in multiples of it."""

LOG2_E = 1.4426950408889634

SMALL = 1 << 15
"""Below so many neurons, threads cost more than they save."""


def forward(x: Tensor, spikes: Tensor, kept: Tensor, c: LifConstants) -> None:
    """Fills ``spikes`` and ``kept`` (T, N) from the drive ``x`` (T or 1, N)."""
    a_syn = 0.0 if c.a_syn is None else c.a_syn
    numbers = [np.float32(n) for n in (c.a_mem, a_syn, c.v_leak, c.v_th, c.v_reset, c.gain)]
    with _vectors(x, spikes, kept) as (n, arrays):
        _in_parts(_run_forward, n, *arrays, c.a_syn is None, *numbers)


def backward(gradient: Tensor, kept: Tensor, out: Tensor, c: LifConstants) -> None:
    """Fills ``out`` (T or 1, N), the gradient of the drive, from that of the spikes (T, N)."""
    a_syn = 0.0 if c.a_syn is None else c.a_syn
    numbers = [np.float32(n) for n in (c.a_mem, a_syn, c.v_th, c.v_reset, c.gain, c.alpha)]
    with _vectors(gradient.to(kept.dtype), kept, out) as (n, arrays):
        _in_parts(_run_backward, n, *arrays, c.a_syn is None, c.detach_reset, c.code, *numbers)


@contextmanager
def _vectors(*rows: Tensor) -> Iterator[tuple[int, list[NDArray[Any]]]]:
    """N and the memory of rows (T, N); of fewer neurons than a vector has lanes, copies that are put back."""
    n = rows[0].shape[1]
    if n >= LANES:
        yield n, [memory(x) for x in rows]
        return
    wide = [F.pad(x, (0, LANES - n)) for x in rows]
    yield LANES, [memory(x) for x in wide]
    for x, filled in zip(rows, wide, strict=True):
        x.copy_(filled[:, :n])


def memory(x: Tensor) -> NDArray[Any]:
    """The memory of a tensor; bf16, which numpy does not know, as its 16 bits."""
    array: NDArray[Any] = x.view(torch.uint16).numpy() if x.dtype == torch.bfloat16 else x.numpy()
    return array


def _in_parts(kernel: Callable[..., None], n: int, *arguments: Any) -> None:
    """kernel(first, last, *arguments) over 0 .. n, in as many threads as torch has.

    Its last vector begins as early as it must to end with the last neuron: what two of them compute is the same.
    """
    n_threads = torch.get_num_threads()
    if n < SMALL or n_threads == 1:
        kernel(0, n, *arguments)
        return
    size = -(-n // (n_threads * BLOCK)) * BLOCK
    together([partial(kernel, at, min(at + size, n), *arguments) for at in range(0, n, size)])


def together(calls: Sequence[Callable[[], None]]) -> None:
    """Each in a thread."""
    for part in [_pool(len(calls)).submit(call) for call in calls]:
        part.result()


@cache
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads, thread_name_prefix="fused-lif")


def _slope_at(code: int, alpha: Any, x: Any) -> Any:
    """norse's surrogate gradients (its threshold.py); its SuperSpike takes no notice of alpha."""
    one = spread(np.float32(1))
    if code == 1:
        below = magnitude(x) + one
        return one / (below * below)
    if code == 2:
        return alpha * larger(spread(np.float32(0)), one - magnitude(x))
    if code == 3:  # 1 - tanh(alpha x)**2, without the cancellation
        e = exp2_negative(larger(spread(np.float32(-2 * LOG2_E)) * alpha * magnitude(x), spread(np.float32(-126))))
        return spread(np.float32(4)) * e / ((one + e) * (one + e))
    if code == 4:
        below = root(alpha * alpha + x * x)
        return alpha * (alpha * alpha) / (below * below * below)
    if code == 5:
        y = alpha * x
        e = exp2_negative(larger(spread(np.float32(-LOG2_E)) * y * y, spread(np.float32(-126))))
        return spread(np.float32(1.1283791670955126)) * e
    return spread(np.float32(0))


def _forward_part(
    first: int, last: int, x: Any, spikes: Any, kept: Any, box: bool,
    a_mem: Any, a_syn: Any, v_leak: Any, v_th: Any, v_reset: Any, gain: Any,
) -> None:  # fmt: skip
    a_mem, a_syn, v_leak = spread(a_mem), spread(a_syn), spread(v_leak)
    v_th, v_reset, gain, zero = spread(v_th), spread(v_reset), spread(gain), spread(np.float32(0))
    n_steps, n = spikes.shape
    for start in range(first, last, LANES):
        at = min(start, n - LANES)
        v, current = v_leak, zero
        for t in range(n_steps):
            drive = gain * load(x, (t * n if x.shape[0] > 1 else 0) + at)
            if box:
                v = v + a_mem * ((drive + v_leak) - v)
            else:
                arrived = current + drive
                v = v + a_mem * ((v_leak - v) + arrived)
                current = arrived + (zero - a_syn) * arrived
            over = v - v_th
            store(kept, t * n + at, over)
            store_spikes(spikes, t * n + at, over > zero)
            v = choose(over > zero, v_reset, v)


def _backward_part(
    first: int, last: int, gradient: Any, kept: Any, out: Any, box: bool, detach: bool, code: int,
    a_mem: Any, a_syn: Any, v_th: Any, v_reset: Any, gain: Any, alpha: Any,
) -> None:  # fmt: skip
    one, zero = spread(np.float32(1)), spread(np.float32(0))
    a_mem, gain, v_th, v_reset, alpha = spread(a_mem), spread(gain), spread(v_th), spread(v_reset), spread(alpha)
    keeps_v, keeps_i = one - a_mem, one - spread(a_syn)
    n_steps, n = kept.shape
    repeated = out.shape[0] == 1
    for start in range(first, last, LANES):
        at = min(start, n - LANES)
        g_v, g_i, total = zero, zero, zero
        for t in range(n_steps - 1, -1, -1):
            over, g_z = load(kept, t * n + at), load(gradient, t * n + at)
            if not detach:
                g_z = g_z + g_v * (v_reset - (over + v_th))
            g_v = choose(over > zero, zero, g_v) + slope(code, alpha, over) * g_z
            g_i = a_mem * g_v if box else keeps_i * g_i + a_mem * g_v
            g_v = keeps_v * g_v
            if repeated:
                total = total + gain * g_i
            else:
                store(out, t * n + at, gain * g_i)
        if repeated:
            store(out, at, total)


slope = inlined(_slope_at)
_run_forward, _run_backward = compiled(_forward_part), compiled(_backward_part)
