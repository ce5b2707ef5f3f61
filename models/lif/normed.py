"""Batch norm over time and the LIF behind it in one pass over memory each way, on a CPU, while a student learns.

The drive is never stored: both passes compute it from what came into the batch norm, in float32, where torch would
round it to bf16 in between. Statistics, running averages and gradients are those of ``nn.BatchNorm2d``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seamount.compiled import compiled, inlined
from seamount.vectors import LANES, choose, load, spread, store, store_spikes

from .constants import LifConstants
from .cpu import memory, slope, together
from .layout import Form, like_form, rows, unrows

STRIP = 1 << 15
"""So many values are summed in float32, which loses nothing yet; sums of strips are float64. Threads share strips."""

CHUNK = 512
"""Values that the backward pass takes at a time, so that what its loops hand on stays in the first-level cache."""

PERIOD = 256
"""Least length of a row of sums: a value is added to one that was last written many vectors ago."""


def fits(norm: Any, x: Tensor, other: Tensor | None) -> bool:
    """Whether ``normed_lif`` takes this batch norm for x (T, B, *shape), with what is added to its output."""
    if torch.compiler.is_compiling() or type(norm) not in (nn.BatchNorm1d, nn.BatchNorm2d):
        return False
    maps = x.flatten(0, 1)
    return (
        norm.training
        and not norm._forward_hooks
        and not norm._forward_pre_hooks
        and norm.running_mean is not None
        and norm.weight is not None
        and norm.weight.dtype == torch.float32
        and norm.momentum is not None
        and x.device.type == "cpu"
        and x.dtype in (torch.bfloat16, torch.float32)
        and (maps.is_contiguous(memory_format=torch.channels_last) if x.dim() == 5 else x.dim() == 3)
        and x[0].numel() % LANES == 0
        and maps[:, 0].numel() > 1
        and (other is None or (other.shape == x.shape and other.dtype == x.dtype))
        and torch.is_grad_enabled()
    )


def normed_lif(norm: Any, x: Tensor, other: Tensor | None, constants: LifConstants, n_steps: int) -> Tensor:
    """fused_lif(norm(x) + other), if it ``fits``: spikes (T, B, *shape) from x (T or 1, B, *shape)."""
    spikes: Tensor = _NormedLif.apply(x, other, norm.weight, norm.bias, norm, constants, n_steps)
    return spikes


class _NormedLif(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        other: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        norm: Any,
        c: LifConstants,
        n_steps: int,
    ) -> Tensor:
        form = _form_of(x)
        values = rows(x)
        added = values[:0] if other is None else rows(like_form(other, form))
        mean, variance = _statistics(values, len(weight))
        norm.num_batches_tracked += 1
        n = values.numel() // len(weight)
        for running, now in ((norm.running_mean, mean), (norm.running_var, variance * (n / (n - 1)))):
            running.numpy()[:] += norm.momentum * (now - running.numpy())
        inverse = 1 / np.sqrt(variance + norm.eps)
        scale = weight.detach().numpy() * inverse
        shift = bias.detach().numpy() - mean * scale
        spikes = values.new_empty(n_steps, values.shape[1])
        arrays = [memory(t) for t in (values, added, spikes)]
        _in_strips(_run_forward, values.shape[1], *arrays, _row(scale), _row(shift), *_numbers(c))
        ctx.save_for_backward(x, other)
        ctx.form, ctx.constants, ctx.by_channel = form, c, (scale, shift, mean, inverse)
        return unrows(spikes, form)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, other = ctx.saved_tensors
        scale, shift, mean, inverse = ctx.by_channel
        c, form = ctx.constants, ctx.form
        values = rows(x)
        added = values[:0] if other is None else rows(like_form(other, form))
        gradient = rows(like_form(grads[0].to(x.dtype), form))
        g_drive = torch.empty_like(values)
        arrays = [memory(t) for t in (gradient, values, added, g_drive)]
        scales, shifts, means = _row(scale), _row(shift), _row(mean)
        numbers = (c.detach_reset, c.code, np.float32(c.alpha), *_numbers(c))
        sums = _in_strips(_run_backward, values.shape[1], *arrays, scales, shifts, means, *numbers)
        g_bias, g_weight = _by_channel(sums, len(mean))
        g_weight = g_weight * inverse
        n = values.numel() // len(mean)
        slope = -scale * inverse * g_weight / n
        level = -scale * g_bias / n - slope * mean
        g_x = g_drive if other is None else torch.empty_like(g_drive)
        _in_strips(
            _run_through, values.numel(), *map(memory, (g_drive, values, g_x)), scales, _row(slope), _row(level)
        )
        g_other = unrows(g_drive, form) if other is not None else None
        learnt = (torch.from_numpy(g.astype(np.float32)) for g in (g_weight, g_bias))
        return unrows(g_x, form), g_other, *learnt, None, None, None


def _form_of(x: Tensor) -> Form:
    """Channels last, where the layout can be seen as that or as the other."""
    return Form(tuple(x.shape[1:]), channels_last=x.dim() == 5)


def _numbers(c: LifConstants) -> list[Any]:
    a_syn = 0.0 if c.a_syn is None else c.a_syn
    return [c.a_syn is None, *(np.float32(n) for n in (c.a_mem, a_syn, c.v_leak, c.v_th, c.v_reset, c.gain))]


def _row(values: NDArray[Any]) -> NDArray[np.float32]:
    """Of each channel, again and again: a vector can be loaded wherever in a period its first value stands."""
    length = _period(len(values)) + LANES
    again = np.empty((-(-length // len(values)), len(values)), np.float32)
    again[:] = values
    return again.ravel()[:length]


def _period(n_channels: int) -> int:
    return n_channels * -(-PERIOD // n_channels)


def _statistics(values: Tensor, n_channels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of each channel (C,) of values (T, N) whose channels lie side by side."""
    # near the mean, so that squares cancel nothing
    near = values[0, :n_channels].float().numpy()
    sums = _in_strips(_run_moments, values.numel(), memory(values), _row(near))
    n = values.numel() // n_channels
    first, second = _by_channel(sums, n_channels) / n
    return first + near, np.maximum(second - first * first, 0)


def _by_channel(sums: NDArray[np.float64], n_channels: int) -> NDArray[np.float64]:
    """(2, period + LANES) -> (2, C)."""
    whole = np.zeros((2, n_channels * -(-sums.shape[1] // n_channels)))
    whole[:, : sums.shape[1]] = sums
    found: NDArray[np.float64] = whole.reshape(2, -1, n_channels).sum(1)
    return found


def _in_strips(kernel: Callable[..., None], n: int, *arguments: Any) -> NDArray[np.float64]:
    """kernel(first, last, sums, *arguments) over 0 .. n, in as many threads as torch has; their sums together.

    Its first row of channels is the one argument whose length is a period and a vector.
    """
    period = next(a.shape[0] for a in arguments if isinstance(a, np.ndarray) and a.ndim == 1)
    size = -(-n // (torch.get_num_threads() * STRIP)) * STRIP
    borders = [(at, min(at + size, n)) for at in range(0, n, size)]
    sums = np.zeros((len(borders), 2, period))
    calls = [partial(kernel, *border, sums[k], *arguments) for k, border in enumerate(borders)]
    if len(calls) == 1:
        calls[0]()
    else:
        together(calls)
    whole: NDArray[np.float64] = sums.sum(0)
    return whole


def _moments_part(first: int, last: int, sums: Any, x: Any, near: Any) -> None:
    """Sums of x - near and of its square, by place in the period."""
    period = near.shape[0] - LANES
    part = np.zeros((2, period + LANES), np.float32)
    for start in range(first, last, STRIP):
        part[:] = 0
        place = start % period
        for at in range(start, min(start + STRIP, last), LANES):
            off = load(x, at) - load(near, place)
            store(part, place, load(part, place) + off)
            store(part, period + LANES + place, load(part, period + LANES + place) + off * off)
            place = _next(place, period)
        _add(sums, part)


def _add_sums(sums: Any, part: Any) -> None:
    for k in range(sums.shape[1]):
        sums[0, k] += part[0, k]
        sums[1, k] += part[1, k]


def _forward_part(
    first: int, last: int, sums: Any, x: Any, added: Any, spikes: Any, scale: Any, shift: Any, box: bool,
    a_mem: Any, a_syn: Any, v_leak: Any, v_th: Any, v_reset: Any, gain: Any,
) -> None:  # fmt: skip
    a_mem, a_syn, v_leak = spread(a_mem), spread(a_syn), spread(v_leak)
    v_th, v_reset, gain, zero = spread(v_th), spread(v_reset), spread(gain), spread(np.float32(0))
    n_steps, n = spikes.shape
    own = n if x.shape[0] > 1 else 0
    period = scale.shape[0] - LANES
    place = first % period
    for at in range(first, last, LANES):
        times, plus = load(scale, place), load(shift, place)
        v, current = v_leak, zero
        for t in range(n_steps):
            drive = times * load(x, t * own + at) + plus
            if added.shape[0]:
                drive = drive + load(added, t * own + at)
            v, current = _step(v, current, gain * drive, box, a_mem, a_syn, v_leak)
            over = v - v_th
            store_spikes(spikes, t * n + at, over > zero)
            v = choose(over > zero, v_reset, v)
        place = _next(place, period)


def _step_of(v: Any, current: Any, drive: Any, box: bool, a_mem: Any, a_syn: Any, v_leak: Any) -> Any:
    """v before the reset, and the current."""
    if box:
        return v + a_mem * ((drive + v_leak) - v), current
    arrived = current + drive
    return v + a_mem * ((v_leak - v) + arrived), arrived + (spread(np.float32(0)) - a_syn) * arrived


def _backward_part(
    first: int, last: int, sums: Any, gradient: Any, x: Any, added: Any, out: Any, scale: Any, shift: Any, mean: Any,
    detach: bool, code: int, alpha: Any, box: bool, a_mem: Any, a_syn: Any, v_leak: Any, v_th: Any, v_reset: Any,
    gain: Any,
) -> None:  # fmt: skip
    """Gradient of the drive; its sums, and those of it times x - mean, by place in the period."""
    one, zero = spread(np.float32(1)), spread(np.float32(0))
    a_mem, a_syn, v_leak, alpha = spread(a_mem), spread(a_syn), spread(v_leak), spread(alpha)
    v_th, v_reset, gain = spread(v_th), spread(v_reset), spread(gain)
    keeps_v, keeps_i = one - a_mem, one - a_syn
    n_steps, n = gradient.shape
    repeated = x.shape[0] == 1
    own = 0 if repeated else n
    period = scale.shape[0] - LANES
    part = np.zeros((2, period + LANES), np.float32)
    kept, slopes = np.empty((n_steps, CHUNK), np.float32), np.empty((n_steps, CHUNK), np.float32)
    # three loops, because one is a single long chain of results that wait for each other
    for start in range(first, last, CHUNK):
        if (start - first) % STRIP == 0:
            _add(sums, part)
            part[:] = 0
        end = min(start + CHUNK, last)
        place = start % period
        for at in range(start, end, LANES):
            times, plus = load(scale, place), load(shift, place)
            v, current = v_leak, zero
            for t in range(n_steps):
                drive = times * load(x, t * own + at) + plus
                if added.shape[0]:
                    drive = drive + load(added, t * own + at)
                v, current = _step(v, current, gain * drive, box, a_mem, a_syn, v_leak)
                over = v - v_th
                store(kept, t * CHUNK + at - start, over)
                v = choose(over > zero, v_reset, v)
            place = _next(place, period)
        for t in range(n_steps):
            for k in range(t * CHUNK, t * CHUNK + end - start, LANES):
                store(slopes, k, slope(code, alpha, load(kept, k)))
        place = start % period
        for at in range(start, end, LANES):
            g_v, g_i, total, product = zero, zero, zero, zero
            middle = load(mean, place)
            for t in range(n_steps - 1, -1, -1):
                k = t * CHUNK + at - start
                over, g_z = load(kept, k), load(gradient, t * n + at)
                if not detach:
                    g_z = g_z + g_v * (v_reset - (over + v_th))
                g_v = choose(over > zero, zero, g_v) + load(slopes, k) * g_z
                g_i = a_mem * g_v if box else keeps_i * g_i + a_mem * g_v
                g_v = keeps_v * g_v
                into = gain * g_i
                total = total + into
                if not repeated:
                    store(out, t * n + at, into)
                    product = product + into * (load(x, t * n + at) - middle)
            if repeated:
                store(out, at, total)
                product = total * (load(x, at) - middle)
            store(part, place, load(part, place) + total)
            store(part, period + LANES + place, load(part, period + LANES + place) + product)
            place = _next(place, period)
    _add(sums, part)


def _next_place(place: int, period: int) -> int:
    place += LANES
    return place if place < period else place - period


def _through_part(
    first: int, last: int, sums: Any, gradient: Any, x: Any, out: Any, scale: Any, slope: Any, level: Any
) -> None:
    """out = scale * gradient + slope * x + level."""
    period = scale.shape[0] - LANES
    place = first % period
    for at in range(first, last, LANES):
        value = load(scale, place) * load(gradient, at) + load(slope, place) * load(x, at)
        store(out, at, value + load(level, place))
        place = _next(place, period)


_add, _step, _next = compiled(_add_sums), inlined(_step_of), inlined(_next_place)
_run_moments, _run_through = compiled(_moments_part), compiled(_through_part)
_run_forward, _run_backward = compiled(_forward_part), compiled(_backward_part)
