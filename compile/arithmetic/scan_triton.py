"""The neuron scan on CUDA (Triton): one lane a neuron of a sample, walking through all T steps.

The same integers as ``kernels.py``; products in int64. ``TRITON_INTERPRET=1`` runs it on the CPU, which is how it is
tested where there is no GPU.
"""

# mypy: ignore-errors
# (Triton compiles these functions)

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
import triton
import triton.language as tl

from .neurons import NeuronTable, RawScan, State, empty_traces

BLOCK = 256


@triton.jit
def _decay(x: Any, keep: Any) -> Any:
    product = x.to(tl.int64) * keep
    kept = (tl.abs(product) >> 12).to(tl.int64)
    return tl.where(product < 0, -kept, kept)


@triton.jit
def _wrap32(x: Any) -> Any:
    return x.to(tl.int32).to(tl.int64)


@triton.jit
def _scan(
    drive,
    u_state,
    v_state,
    rest_state,
    keep_u,
    keep_v,
    high,
    low,
    bias,
    reset,
    spikes,
    v_out,
    u_out,
    before_out,
    counts,
    per_step,
    totals,
    refractory,
    n_steps,
    n_lanes,
    n,
    WANT_V: tl.constexpr,
    WANT_U: tl.constexpr,
    WANT_BEFORE: tl.constexpr,
    LANES: tl.constexpr,
):
    lane = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    here = lane < n_lanes
    neuron = lane % n
    ku = tl.load(keep_u + neuron, mask=here, other=0)
    kv = tl.load(keep_v + neuron, mask=here, other=0)
    top = tl.load(high + neuron, mask=here, other=0)
    bottom = tl.load(low + neuron, mask=here, other=0)
    add = tl.load(bias + neuron, mask=here, other=0)
    u = tl.load(u_state + lane, mask=here, other=0).to(tl.int64)
    v = tl.load(v_state + lane, mask=here, other=0).to(tl.int64)
    rest = tl.load(rest_state + lane, mask=here, other=0).to(tl.int64)
    count = tl.zeros((LANES,), tl.int32)
    active = tl.zeros((LANES,), tl.int64)
    wraps = tl.zeros((LANES,), tl.int64)
    saturations = tl.zeros((LANES,), tl.int64)
    for t in range(n_steps):
        at = t.to(tl.int64) * n_lanes + lane if hasattr(t, "to") else t * n_lanes + lane
        arriving = tl.load(drive + at, mask=here, other=0).to(tl.int64)
        clear = tl.load(reset + t) != 0
        u_kept = tl.where(clear, 0, _decay(u, ku))
        v_kept = tl.where(clear, 0, _decay(v, kv))
        rest = tl.where(clear, 0, rest)
        u_exact = u_kept + arriving * 64
        u1 = _wrap32(u_exact)
        u1 = tl.where(u1 > 8388608, u1 - 16777216, tl.where(u1 <= -8388608, u1 + 16777216, u1))
        v_exact = v_kept + u1 + add
        v1 = tl.minimum(tl.maximum(_wrap32(v_exact), -8388607), 8388607)
        resting = rest > 0
        v1 = tl.where(resting, 0, v1)
        v_exact = tl.where(resting, 0, v_exact)
        rises = (v1 > top) & (rest == 0)
        falls = v1 < bottom
        spike = rises.to(tl.int32) - falls.to(tl.int32)
        rest = tl.where(spike == 1, refractory, tl.maximum(rest - 1, 0))
        active += ((arriving != 0) | (u1 != u) | (v1 != v)).to(tl.int64)
        wraps += (u1 != u_exact).to(tl.int64)
        saturations += (v1 != v_exact).to(tl.int64)
        fired = (spike != 0) & here
        count += fired.to(tl.int32)
        u = u1
        v = tl.where(spike != 0, 0, v1)
        tl.store(spikes + at, (spike & 255).to(tl.uint8), mask=here)
        tl.atomic_add(per_step + t, tl.sum(fired.to(tl.int64), axis=0))
        if WANT_V:
            tl.store(v_out + at, v.to(tl.int32), mask=here)
        if WANT_U:
            tl.store(u_out + at, u.to(tl.int32), mask=here)
        if WANT_BEFORE:
            tl.store(before_out + at, v1.to(tl.int32), mask=here)
    tl.store(u_state + lane, u.to(tl.int32), mask=here)
    tl.store(v_state + lane, v.to(tl.int32), mask=here)
    tl.store(rest_state + lane, rest.to(tl.int32), mask=here)
    tl.store(counts + lane, count, mask=here)
    tl.atomic_add(totals, tl.sum(tl.where(here, active, 0), axis=0))
    tl.atomic_add(totals + 1, tl.sum(tl.where(here, wraps, 0), axis=0))
    tl.atomic_add(totals + 2, tl.sum(tl.where(here, saturations, 0), axis=0))


def scan_triton(
    drive: torch.Tensor,
    start: State,
    table: NeuronTable,
    clear: torch.Tensor,
    want: Collection[str],
) -> RawScan:
    """drive (T, B, n); the state is changed in place."""
    n_steps, batch, n = drive.shape
    device = drive.device
    traces = empty_traces(want, n_steps, batch, n, device)
    spikes = torch.empty((n_steps, batch, n), dtype=torch.uint8, device=device)
    counts = torch.zeros((batch, n), dtype=torch.int32, device=device)
    per_step = torch.zeros(n_steps, dtype=torch.int64, device=device)
    totals = torch.zeros(3, dtype=torch.int64, device=device)
    parameters = [
        torch.from_numpy(x).to(device) for x in (table.keep_u, table.keep_v, table.high, table.low, table.bias)
    ]
    _scan[(triton.cdiv(batch * n, BLOCK),)](
        drive.contiguous(), *start, *parameters, clear.to(device, torch.uint8), spikes, *traces, counts, per_step,
        totals, table.refractory_steps, n_steps, batch * n, n,
        WANT_V="v" in want, WANT_U="u" in want, WANT_BEFORE="v_before_reset" in want, LANES=BLOCK,
    )  # fmt: skip
    return RawScan(spikes, traces, start, counts, per_step, totals)
