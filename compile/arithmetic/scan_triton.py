"""The neuron scan on CUDA (Triton): one lane a neuron of a sample, walking through all T steps.

The same integers as ``kernels.py``, in 32 bits where that is proved to be exact, else in 64. ``TRITON_INTERPRET=1``
runs it on the CPU, which is how it is tested where there is no GPU; ``python -m tests.gpu.compile_kernels`` compiles
it for GPUs that are not there.
"""

# mypy: ignore-errors
# (Triton compiles these functions; it refuses every annotation but its own, so they have none)

from __future__ import annotations

from collections.abc import Collection
from contextlib import nullcontext
from functools import lru_cache
from weakref import WeakKeyDictionary

import torch
import triton
import triton.language as tl

from ..numbers import Ints
from .neurons import NeuronTable, RawScan, Real, State, empty_traces

WARPS = 4
LANES = 128
"""Neurons of a block, one a thread: small populations need all the blocks that they can get."""

MANY_LANES = 256
"""Of large ones in 32 bits: two a thread, so that more loads are under way; more than that, and ptxas may spill."""

MANY = 1 << 19
"""Lanes from which on a GPU is full with ``MANY_LANES`` a block (132 processors of 2,048 threads, twice)."""


# ----------------------------------------------------------------------------------------------------- kernels


@triton.jit
def _places(n_lanes, n, LANES: tl.constexpr):
    """Lanes of this block, whether they exist, and the neuron of each."""
    first = tl.program_id(0).to(tl.int64) * LANES
    lane = first + tl.arange(0, LANES)
    # the division in 64 bits once a block; the one a lane stays in 32
    neuron = ((first % n).to(tl.int32) + tl.arange(0, LANES)) % n
    return lane, lane < n_lanes, neuron


@triton.jit
def _keep32(x, keep):
    """(|x| * keep >> 12) with the sign of x: the high word of (|x| << 7) * (keep << 13), for |x| <= 2**23."""
    kept = tl.umulhi((tl.abs(x) << 7).to(tl.uint32), (keep << 13).to(tl.uint32)).to(tl.int32)
    return tl.where(x < 0, -kept, kept)


@triton.jit
def _turn(u):
    """Once around 24 bits: (-2**23, 2**23]."""
    return tl.where(u > 8388608, u - 16777216, tl.where(u <= -8388608, u + 16777216, u))


@triton.jit
def _saturate(v):
    return tl.minimum(tl.maximum(v, -8388607), 8388607)


@triton.jit
def _sent(spike, to, REAL: tl.constexpr):
    if REAL:  # by float32, because Triton's interpreter takes a whole number for the bits of a bf16
        return spike.to(tl.float32).to(to.dtype.element_ty)
    else:
        return (spike & 255).to(tl.uint8)


@triton.jit
def _potential(v, top, unit, to, REAL: tl.constexpr):
    """What stands in ``before_out``: v before its reset, or its distance to the threshold in real units."""
    if REAL:
        return ((v - top).to(tl.float32) * unit).to(to.dtype.element_ty)
    else:
        return v.to(tl.int32)


@triton.jit
def _add_totals(totals, here, active, wraps, saturations):
    """A row a block and no atomics: blocks that add to the same three numbers wait for each other."""
    row = totals + tl.program_id(0).to(tl.int64) * 3
    tl.store(row, tl.sum(tl.where(here, active, 0).to(tl.int64), axis=0))
    tl.store(row + 1, tl.sum(tl.where(here, wraps, 0).to(tl.int64), axis=0))
    tl.store(row + 2, tl.sum(tl.where(here, saturations, 0).to(tl.int64), axis=0))


_OWN = ("own_u", "own_v", "own_high", "own_bias")  # 0 or -1: not worth a kernel each


@triton.jit(do_not_specialize=_OWN)
def scan_32(
    drive, u_state, v_state, keep_u, keep_v, high, bias, reset, spikes, v_out, u_out, before_out, counts, totals,
    unit, n_steps, stride, n_lanes, n, own_u, own_v, own_high, own_bias,
    WANT_V: tl.constexpr, WANT_U: tl.constexpr, WANT_BEFORE: tl.constexpr, REAL: tl.constexpr, COUNT: tl.constexpr,
    LANES: tl.constexpr,
):  # fmt: skip
    """A LIF within the limits of ``kernels.scan_fast``; own_* masks the neuron: 0 where all share the parameter."""
    lane, here, neuron = _places(n_lanes, n, LANES)
    ku = tl.load(keep_u + (neuron & own_u), mask=here, other=0)
    kv = tl.load(keep_v + (neuron & own_v), mask=here, other=0)
    top = tl.load(high + (neuron & own_high), mask=here, other=0)
    add = tl.load(bias + (neuron & own_bias), mask=here, other=0)
    u = tl.load(u_state + lane, mask=here, other=0)
    v = tl.load(v_state + lane, mask=here, other=0)
    count, active = tl.zeros((LANES,), tl.int32), tl.zeros((LANES,), tl.int32)
    wraps, saturations = tl.zeros((LANES,), tl.int32), tl.zeros((LANES,), tl.int32)
    # T * B * n of a large batch does not fit 32 bits
    stride64, row64 = tl.cast(stride, tl.int64), tl.cast(n_lanes, tl.int64)
    coming = tl.load(drive + lane, mask=here, other=0)
    for t in range(n_steps):
        arriving, at = coming.to(tl.int32), t * row64 + lane
        # the next step's drive is under way while this one is computed
        coming = tl.load(drive + (t + 1) * stride64 + lane, mask=here & (t + 1 < n_steps), other=0)
        clear = tl.load(reset + t) != 0
        u_exact = tl.where(clear, 0, _keep32(u, ku)) + (arriving << 6)
        u1 = _turn(u_exact)
        v_exact = tl.where(clear, 0, _keep32(v, kv)) + u1 + add
        v1 = _saturate(v_exact)
        fires = v1 > top
        spike = fires.to(tl.int32)
        if COUNT:
            active += ((arriving != 0) | (u1 != u) | (v1 != v)).to(tl.int32)
            wraps += (u1 != u_exact).to(tl.int32)
            saturations += (v1 != v_exact).to(tl.int32)
        count += spike
        u = u1
        v = tl.where(fires, 0, v1)
        tl.store(spikes + at, _sent(spike, spikes, REAL), mask=here)
        if WANT_V:
            tl.store(v_out + at, v, mask=here)
        if WANT_U:
            tl.store(u_out + at, u, mask=here)
        if WANT_BEFORE:
            tl.store(before_out + at, _potential(v1, top, unit, before_out, REAL), mask=here)
    tl.store(u_state + lane, u, mask=here)
    tl.store(v_state + lane, v, mask=here)
    tl.store(counts + lane, count, mask=here)
    if COUNT:
        _add_totals(totals, here, active, wraps, saturations)


@triton.jit
def _keep64(x, keep):
    product = x * keep
    kept = tl.abs(product) >> 12
    return tl.where(product < 0, -kept, kept)


@triton.jit
def _wrap32(x):
    return x.to(tl.int32).to(tl.int64)


@triton.jit
def _step64(u, v, rest, arriving, ku, kv, top, bottom, add, least, refractory):
    """One step in 64 bits: u, v before its reset, the rest of its rest, the spike, and whether u and v were cut."""
    u_exact = _keep64(u, ku) + arriving * 64
    u1 = _turn(_wrap32(u_exact))
    v_exact = _keep64(v, kv) + u1 + add
    v1 = _saturate(_wrap32(v_exact))
    resting = rest > 0
    cut = (v1 != v_exact) & (rest == 0)
    v1 = tl.where(resting, 0, tl.maximum(v1, least))
    rises = (v1 > top) & (rest == 0)
    spike = rises.to(tl.int32) - (v1 < bottom).to(tl.int32)
    rest = tl.where(spike == 1, refractory, tl.maximum(rest - 1, 0))
    return u1, v1, rest, spike, u1 != u_exact, cut


@triton.jit
def scan_64(
    drive, u_state, v_state, rest_state, keep_u, keep_v, high, low, bias, floor, reset, spikes, v_out, u_out,
    before_out, counts, totals, refractory, unit, n_steps, stride, n_lanes, n,
    WANT_V: tl.constexpr, WANT_U: tl.constexpr, WANT_BEFORE: tl.constexpr, REAL: tl.constexpr, COUNT: tl.constexpr,
    LANES: tl.constexpr,
):  # fmt: skip
    """As ``kernels.scan_general``: every population, whatever its numbers."""
    lane, here, neuron = _places(n_lanes, n, LANES)
    ku = tl.load(keep_u + neuron, mask=here, other=0)
    kv = tl.load(keep_v + neuron, mask=here, other=0)
    top = tl.load(high + neuron, mask=here, other=0)
    bottom = tl.load(low + neuron, mask=here, other=0)
    add = tl.load(bias + neuron, mask=here, other=0)
    least = tl.load(floor + neuron, mask=here, other=0)
    u = tl.load(u_state + lane, mask=here, other=0).to(tl.int64)
    v = tl.load(v_state + lane, mask=here, other=0).to(tl.int64)
    rest = tl.load(rest_state + lane, mask=here, other=0)
    count, active = tl.zeros((LANES,), tl.int32), tl.zeros((LANES,), tl.int32)
    wraps, saturations = tl.zeros((LANES,), tl.int32), tl.zeros((LANES,), tl.int32)
    stride64, row64 = tl.cast(stride, tl.int64), tl.cast(n_lanes, tl.int64)
    for t in range(n_steps):
        arriving, at = tl.load(drive + t * stride64 + lane, mask=here, other=0).to(tl.int64), t * row64 + lane
        clear = tl.load(reset + t) != 0
        # cleared before the step; whether anything changed is judged by the state before that
        u0, v0, rest = tl.where(clear, 0, u), tl.where(clear, 0, v), tl.where(clear, 0, rest)
        u1, v1, rest, spike, wrapped, cut = _step64(
            u0, v0, rest, arriving, ku, kv, top, bottom, add, least, refractory
        )
        if COUNT:
            active += ((arriving != 0) | (u1 != u) | (v1 != v)).to(tl.int32)
            wraps += wrapped.to(tl.int32)
            saturations += cut.to(tl.int32)
        count += (spike != 0).to(tl.int32)
        u = u1
        v = tl.where(spike != 0, 0, v1)
        tl.store(spikes + at, _sent(spike, spikes, REAL), mask=here)
        if WANT_V:
            tl.store(v_out + at, v.to(tl.int32), mask=here)
        if WANT_U:
            tl.store(u_out + at, u.to(tl.int32), mask=here)
        if WANT_BEFORE:
            tl.store(before_out + at, _potential(v1, top, unit, before_out, REAL), mask=here)
    tl.store(u_state + lane, u.to(tl.int32), mask=here)
    tl.store(v_state + lane, v.to(tl.int32), mask=here)
    tl.store(rest_state + lane, rest, mask=here)
    tl.store(counts + lane, count, mask=here)
    if COUNT:
        _add_totals(totals, here, active, wraps, saturations)


# ---------------------------------------------------------------------------------------------------- launching


def scan_triton(
    drive: torch.Tensor,
    start: State,
    table: NeuronTable,
    clear: torch.Tensor,
    want: Collection[str],
    *,
    fast: bool,
    counts: bool,
    real: Real | None = None,
) -> RawScan:
    """drive (T, B, n); the state is changed in place. Spikes per step are left for who asks to count.

    ``real``: for spikes and v_before_reset that are no integers.
    """
    n_steps, batch, n = drive.shape
    device = drive.device
    drive = _readable(drive, fast)
    n_lanes = batch * n
    lanes = MANY_LANES if fast and n_lanes >= MANY else LANES
    n_blocks = triton.cdiv(n_lanes, lanes)
    traces = empty_traces(want, n_steps, batch, n, device)
    spikes = torch.empty((n_steps, batch, n), dtype=real.dtype if real else torch.uint8, device=device)
    if real:
        traces = (*traces[:2], torch.empty_like(spikes))
    spike_counts = torch.empty((batch, n), dtype=torch.int32, device=device)
    totals = torch.empty((n_blocks if counts else 0, 3), dtype=torch.int64, device=device)
    outputs = (_flags(clear.numpy().tobytes(), device), spikes, *traces, spike_counts, totals)
    numbers = (real.unit if real else 1.0, n_steps, drive.stride(0), n_lanes, n)
    flags = {
        "WANT_V": "v" in want,
        "WANT_U": "u" in want,
        "WANT_BEFORE": "v_before_reset" in want or real is not None,
        "REAL": real is not None,
        "COUNT": counts,
    }
    parameters, own = _parameters(table, device, fast)
    with _on_device_of(drive):
        if fast:
            scan_32[(n_blocks,)](
                drive, start.u, start.v, *parameters, *outputs, *numbers, *own, **flags, LANES=lanes, num_warps=WARPS
            )
        else:
            scan_64[(n_blocks,)](
                drive, *start, *parameters, *outputs, table.refractory_steps, *numbers, **flags, LANES=lanes,
                num_warps=WARPS,
            )  # fmt: skip
    return RawScan(spikes, traces, start, spike_counts, None, totals if counts else None)


def _readable(drive: torch.Tensor, fast: bool) -> torch.Tensor:
    """In a type that a kernel was compiled for; a drive that is the same at every step keeps its stride of 0."""
    if not (fast and drive.dtype in (torch.float32, torch.int32)):
        drive = drive.to(torch.int32 if fast else torch.int64)
    return drive if drive[0].is_contiguous() else drive.contiguous()


def _on_device_of(x: torch.Tensor):
    """Triton launches on the current device, which need not be the tensor's."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


_held: WeakKeyDictionary[NeuronTable, dict] = WeakKeyDictionary()


def _parameters(table: NeuronTable, device: torch.device, fast: bool) -> tuple[list[torch.Tensor], list[int]]:
    """A population's parameters there, and for each -1, or 0 if all neurons share one value; copied once."""
    held = _held.setdefault(table, {})
    if (device, fast) not in held:
        arrays = [_shared(x) for x in table.narrow] if fast else table.wide
        there = [
            _constant(int(x[0]), device) if fast and x.size == 1 else torch.from_numpy(x.copy()).to(device)
            for x in arrays
        ]
        held[device, fast] = there, [-int(x.size > 1) for x in arrays]
    return held[device, fast]


@lru_cache(maxsize=1024)
def _constant(value: int, device: torch.device) -> torch.Tensor:
    """One int32 there: a student's tables are made anew at every step, and mostly of the same numbers."""
    return torch.full((1,), value, dtype=torch.int32, device=device)


@lru_cache(maxsize=64)
def _flags(values: bytes, device: torch.device) -> torch.Tensor:
    """Bytes there; which steps clear the state is mostly the same."""
    return torch.tensor(list(values), dtype=torch.uint8, device="cpu").to(device)


def _shared(values: Ints) -> Ints:
    return values[:1] if (values == values[0]).all() else values
