"""Compiled CPU loops (numba): neuron scans over time, and spikes scattered into drives.

States are int32 and products stay within 32 bits wherever that is proved to be exact; ``scan_general`` holds for
everything else, in int64. The kernels release the GIL and work on a range of samples, so that threads share a batch
(``threads.py``). Compiled code is cached beside the module; the first run on a machine takes some seconds.
"""

# mypy: ignore-errors
# (numba compiles these functions; their types are those of the arrays they are called with)

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numba.np import arrayobj

from seamount.compiled import compiled

from . import lanes

BLOCK = 768
"""Neurons that are scanned over all steps before the next ones."""

LANES = 16
"""Values in one vector addition; runs of synapses are padded to multiples of it."""

SIX, TWELVE, LOW12 = np.int32(6), np.int32(12), np.int32(4095)
ZERO, HALF_TURN, TURN = np.int32(0), np.int32(1 << 23), np.int32(1 << 24)
V_LOW, V_HIGH = np.int32(1 - (1 << 23)), np.int32((1 << 23) - 1)


def _int32(operation: str) -> Any:
    """An operation that stays in 32 bits; numba's own would widen both sides to 64, and halve the speed."""

    @intrinsic
    def op(typing_context: Any, a: Any, b: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, operation)(*args)

        return types.int32(types.int32, types.int32), codegen

    return op


add, sub, mul, shl, sar = (_int32(name) for name in ("add", "sub", "mul", "shl", "ashr"))


@intrinsic
def _add_lanes(typing_context: Any, target: Any, at: Any, source: Any, start: Any) -> Any:
    """target[at : at + 16] += source[start : start + 16]"""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def pointer(array: int, index: int) -> Any:
            kind = signature.args[array]
            data = arrayobj.make_array(kind)(context, builder, args[array]).data
            vector = ir.VectorType(context.get_data_type(kind.dtype), LANES)
            return builder.bitcast(builder.gep(data, [args[index]]), vector.as_pointer())

        to = pointer(0, 1)
        have, more = builder.load(to), builder.load(pointer(2, 3))
        have.align = more.align = 2
        stored = builder.store(builder.add(have, more), to)
        stored.align = 2
        return context.get_dummy_value()

    return types.void(target, types.int64, source, types.int64), codegen


@njit(inline="always")
def _decay(x, keep):
    """(|x| * keep) >> 12 with the sign of x, for 0 <= keep <= 4096 and |x| < 2**31.

    |x| = 4096 h + l, so the quotient is h * keep + (l * keep >> 12): both products fit 32 bits.
    """
    size = sub(ZERO, x) if x < 0 else x
    kept = add(mul(sar(size, TWELVE), keep), sar(mul(size & LOW12, keep), TWELVE))
    return sub(ZERO, kept) if x < 0 else kept


@njit(inline="always")
def _lane_step(arriving, u, v, share_u, share_v, threshold, bias):
    """``scan_fast``'s step of a vector of neurons whose u needs no turn: u, v before its reset."""
    u1 = lanes.plus(lanes.decayed(u, share_u), lanes.times_64(arriving))
    v_exact = lanes.plus(lanes.plus(lanes.decayed(v, share_v), u1), bias)
    v1 = lanes.smaller(lanes.larger(v_exact, lanes.fill(V_LOW)), lanes.fill(V_HIGH))
    return u1, v_exact, v1


@njit
def _scan_lanes(
    part, drive, u, v, keep_u, keep_v, threshold, bias, reset, spikes, want, v_out, u_out, before_out, counts,
    per_step, totals,
):  # fmt: skip
    """``scan_fast`` of all neurons but the last few, which fill no vector, where u needs no turn; their number."""
    first, last, n_steps, drive_t, drive_b, spikes_t, trace_t = part
    n, batch = u.shape[1], u.shape[0]
    none, nothing = lanes.fill(ZERO), lanes.shares(lanes.fill(ZERO))
    drive_row, spikes_row = drive.shape[1] * drive.shape[2], spikes.shape[1] * spikes.shape[2]
    whole = n - n % lanes.LANES
    for b in range(first, last):
        for low in range(0, whole, lanes.LANES):
            at = b * n + low
            us, vs, fired = lanes.load(u, at), lanes.load(v, at), lanes.load(counts, at)
            ku, kv = lanes.shares(lanes.load(keep_u, low)), lanes.shares(lanes.load(keep_v, low))
            th, bi = lanes.load(threshold, low), lanes.load(bias, low)
            active, cuts = none, none
            drive_at = drive_t * drive_row + (b - drive_b) * drive.shape[2] + low
            spikes_at = spikes_t * spikes_row + b * spikes.shape[2] + low
            trace_at = (trace_t * batch + b) * n + low
            for t in range(n_steps):
                clear = reset[t]
                share_u, share_v = (nothing, nothing) if clear else (ku, kv)
                arriving = lanes.load(drive, drive_at)
                u1, v_exact, v1 = _lane_step(arriving, us, vs, share_u, share_v, th, bi)
                fires = lanes.above(v1, th)
                active = lanes.count(active, lanes.any_of(arriving, us, u1, vs, v1))
                cuts = lanes.count(cuts, lanes.differ(v1, v_exact))
                fired = lanes.count(fired, fires)
                us, vs = u1, lanes.choose(fires, none, v1)
                per_step[t] += lanes.how_many(fires)
                lanes.store_flags(spikes, spikes_at, fires)
                if want[0]:
                    lanes.store(v_out, trace_at, vs)
                if want[1]:
                    lanes.store(u_out, trace_at, us)
                if want[2]:
                    lanes.store(before_out, trace_at, v1)
                drive_at, spikes_at, trace_at = drive_at + drive_row, spikes_at + spikes_row, trace_at + batch * n
            lanes.store(u, at, us)
            lanes.store(v, at, vs)
            lanes.store(counts, at, fired)
            totals[0] += lanes.total(active)
            totals[2] += lanes.total(cuts)
    return whole


@compiled
def scan_fast(
    part, drive, u, v, keep_u, keep_v, threshold, bias, turns, reset, spikes, want, v_out, u_out, before_out, counts,
    per_step, totals,
):  # fmt: skip
    """LIF over some steps of some samples; ``scan.Part`` says which, and where they stand in each array.

    drive is int32 or float32. Exact where |drive| <= 2**18, |u|, |v| <= 2**23, |bias| <= 2**29, 0 <= keep <= 4096:
    then nothing leaves 32 bits, and u never needs a second turn; nor a first one, unless ``turns``.
    """
    # u can leave its 24 bits, or the vectors of neurons go first and leave some at the end
    begin = 0 if turns else _scan_lanes(
        part, drive, u, v, keep_u, keep_v, threshold, bias, reset, spikes, want, v_out, u_out, before_out, counts,
        per_step, totals,
    )  # fmt: skip
    first, last, n_steps, drive_t, drive_b, spikes_t, trace_t = part
    n = u.shape[1]
    scratch = np.empty(BLOCK, np.int32)
    want_v, want_u, want_before = want[0], want[1], want[2]
    active_total, wraps_total, saturations_total = 0, 0, 0
    for b in range(first, last):
        for low in range(begin, n, BLOCK):  # a block's states and parameters stay in the first cache for all steps
            high = min(low + BLOCK, n)
            us, vs, cs = u[b, low:high], v[b, low:high], counts[b, low:high]
            ku, kv, th, bi = keep_u[low:high], keep_v[low:high], threshold[low:high], bias[low:high]
            for t in range(n_steps):
                a, s = drive[drive_t + t, b - drive_b, low:high], spikes[spikes_t + t, b, low:high]
                before = before_out[trace_t + t, b, low:high] if want_before else scratch
                clear = reset[t]
                active, wraps, saturations, fired = ZERO, ZERO, ZERO, ZERO
                for i in range(high - low):
                    arriving, u0, v0 = np.int32(a[i]), us[i], vs[i]
                    u_kept = ZERO if clear else _decay(u0, ku[i])
                    v_kept = ZERO if clear else _decay(v0, kv[i])
                    u_exact = add(u_kept, shl(arriving, SIX))
                    u1 = sub(u_exact, TURN) if u_exact > HALF_TURN else u_exact
                    u1 = add(u1, TURN) if u1 <= -HALF_TURN else u1
                    v_exact = add(add(v_kept, u1), bi[i])
                    v1 = min(max(v_exact, V_LOW), V_HIGH)
                    fires = v1 > th[i]
                    active = add(active, np.int32((arriving != 0) | (u1 != u0) | (v1 != v0)))
                    wraps = add(wraps, np.int32(u1 != u_exact))
                    saturations = add(saturations, np.int32(v1 != v_exact))
                    fired = add(fired, np.int32(fires))
                    cs[i] = add(cs[i], np.int32(fires))
                    before[i] = v1
                    us[i] = u1
                    vs[i] = ZERO if fires else v1
                    s[i] = np.uint8(fires)
                active_total += active
                wraps_total += wraps
                saturations_total += saturations
                per_step[t] += fired
                if want_v:
                    v_out[trace_t + t, b, low:high] = vs
                if want_u:
                    u_out[trace_t + t, b, low:high] = us
    totals[0] += active_total
    totals[1] += wraps_total
    totals[2] += saturations_total


@njit(inline="always")
def _wrap32(x):
    return np.int64(np.int32(x & np.int64(0xFFFFFFFF)))


@njit(inline="always")
def _decay64(x, keep):
    product = x * keep
    return -((-product) >> 12) if product < 0 else product >> 12


@compiled
def scan_general(
    part, drive, u, v, rest, keep_u, keep_v, high, low, bias, floor, refractory, reset, spikes, want, v_out, u_out,
    before_out, counts, per_step, totals,
):  # fmt: skip
    """As ``scan_fast`` in int64 without its limits, with rests, a floor and a low threshold (spike -1 is 255).

    high and low are already << 6; a LIF has a low threshold that nothing reaches. drive is int64.
    """
    first, last, n_steps, drive_t, drive_b, spikes_t, trace_t = part
    n = u.shape[1]
    want_v, want_u, want_before = want[0], want[1], want[2]
    for b in range(first, last):
        for t in range(n_steps):
            for i in range(n):
                arriving, u0, v0 = drive[drive_t + t, b - drive_b, i], np.int64(u[b, i]), np.int64(v[b, i])
                if reset[t]:
                    rest[b, i] = 0
                u_kept = 0 if reset[t] else _decay64(u0, keep_u[i])
                v_kept = 0 if reset[t] else _decay64(v0, keep_v[i])
                u_exact = u_kept + (arriving << 6)
                u1 = _wrap32(u_exact)
                if u1 > HALF_TURN:
                    u1 -= TURN
                elif u1 <= -HALF_TURN:
                    u1 += TURN
                v_exact = v_kept + u1 + bias[i]
                v1 = min(max(_wrap32(v_exact), np.int64(V_LOW)), np.int64(V_HIGH))
                saturates = v1 != v_exact
                v1 = max(v1, floor[i])
                spike = 0
                if rest[b, i] > 0:
                    rest[b, i] -= 1
                    v1, saturates = np.int64(0), False
                elif v1 > high[i]:
                    spike = 1
                if v1 < low[i]:
                    spike -= 1
                if spike == 1:
                    rest[b, i] = refractory
                totals[0] += (arriving != 0) | (u1 != u0) | (v1 != v0)
                totals[1] += u1 != u_exact
                totals[2] += saturates
                per_step[t] += spike != 0
                counts[b, i] += spike != 0
                if want_before:
                    before_out[trace_t + t, b, i] = v1
                u[b, i] = u1
                v[b, i] = 0 if spike != 0 else v1
                spikes[spikes_t + t, b, i] = np.uint8(spike & 255)
                if want_v:
                    v_out[trace_t + t, b, i] = v[b, i]
                if want_u:
                    u_out[trace_t + t, b, i] = u1


@njit
def _fired(spikes, t, b, found):
    """Numbers of the sources that fired, side by side in found: as many as it returns."""
    width = spikes.shape[2]
    row, n = (t * spikes.shape[1] + b) * width, np.int64(0)
    for low in range(0, width, lanes.LANES):
        n = lanes.note(found, n, np.int32(low), lanes.load_flags(spikes, row + low))
    return n


@compiled
def scatter(part, spikes, drive, first, lines, weights, operations):
    """Add the weights of every spike to drive: (steps, samples, targets), with 16 spare values at the end of a row.

    Weights and drive are of one type, int32 or int16, which holds every sum of some of the weights.

    Args:
        part: first sample, last sample, number of steps, the first of them in spikes, and in operations.
        spikes: (T, B, n_source rounded up to 32), bytes.
        lines: from first[j] to first[j + 1] what source j does: the operations to count, without and with stored
            zeros, then its runs, each a target, the place of its weights and their number, a multiple of 16.
        operations: (n_steps, 2) gains what a source counts, in the step in which it fired.
    """
    start, last, n_steps, spikes_t, operations_t = part
    fired = np.empty(spikes.shape[2] + lanes.LANES, np.int32)
    for t in range(n_steps):
        for b in range(start, last):
            row = drive[t, b - start]
            non_zero, stored = np.int64(0), np.int64(0)
            for i in range(_fired(spikes, spikes_t + t, b, fired)):
                j = lanes.peek(fired, i)
                at, end = lanes.peek(first, j), lanes.peek(first, j + 1)
                non_zero += lanes.peek(lines, at)
                stored += lanes.peek(lines, at + 1)
                at += 2
                while at < end:
                    to, source = lanes.peek(lines, at), lanes.peek(lines, at + 1)
                    behind = source + lanes.peek(lines, at + 2)
                    while source < behind:
                        _add_lanes(row, to, weights, source)
                        to += LANES
                        source += LANES
                    at += 3
            operations[operations_t + t, 0] += non_zero
            operations[operations_t + t, 1] += stored


def _row_sums(n):
    """A function that adds n values of the rows of all spikes to drive[at:]; the sums stay in registers."""
    none, load, plus, doubled, store = lanes.shorts(n)

    @njit(inline="always")
    def add_sums(weights, fired, n_fired, low, shift, drive, at):
        length, total = weights.shape[1], none()
        for i in range(n_fired):
            total = plus(total, load(weights, lanes.peek(fired, i) * length + low))
        store(drive, at, plus(load(drive, at), doubled(total, shift)))

    return add_sums


_wide_sums, _sums = _row_sums(lanes.WIDE), _row_sums(lanes.LANES)


@compiled
def add_rows(part, spikes, drive, weights, shift, counted, operations):
    """As ``scatter`` of int16 where every source has one run to all targets.

    Args:
        weights: (n_source, targets rounded up to 32), int8 or int16; what they sum to is shifted.
        counted: (n_source, 2) operations of a spike, without and with stored zeros.
    """
    start, last, n_steps, spikes_t, operations_t = part
    width, length = drive.shape[2], weights.shape[1]
    fired = np.empty(spikes.shape[2] + lanes.LANES, np.int32)
    for t in range(n_steps):
        for b in range(start, last):
            n_fired = _fired(spikes, spikes_t + t, b, fired)
            non_zero, stored = np.int64(0), np.int64(0)
            for i in range(n_fired):
                at = 2 * lanes.peek(fired, i)
                non_zero += lanes.peek(counted, at)
                stored += lanes.peek(counted, at + 1)
            operations[operations_t + t, 0] += non_zero
            operations[operations_t + t, 1] += stored
            row, low = (t * drive.shape[1] + b - start) * width, 0
            while low < length:
                if low + lanes.WIDE <= length:
                    _wide_sums(weights, fired, n_fired, low, shift, drive, row + low)
                    low += lanes.WIDE
                else:
                    _sums(weights, fired, n_fired, low, shift, drive, row + low)
                    low += lanes.LANES


@compiled
def count_operations(part, spikes, fan_out, operations):
    """What ``scatter`` counts, without a drive: for spikes whose effect lies beyond the end of a run."""
    start, last, n_steps, spikes_t, operations_t = part
    fired = np.empty(spikes.shape[2] + lanes.LANES, np.int32)
    for t in range(n_steps):
        for b in range(start, last):
            for i in range(_fired(spikes, spikes_t + t, b, fired)):
                operations[operations_t + t, 0] += fan_out[fired[i], 0]
                operations[operations_t + t, 1] += fan_out[fired[i], 1]
