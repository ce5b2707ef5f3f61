"""The float64 reference: runs a ``Network`` as software does, every layer within one step.

The equations of a population stand here, once. Feed-forward populations are run layer by layer over all steps at
once; populations in a loop are stepped together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from seamount.errors import InputError, Unsupported

from .network import (
    Connection,
    Convolution,
    Delay,
    Entries,
    Linear,
    Network,
    Op,
    Population,
    Reals,
    Reshape,
    Scale,
    SumPool,
)


@dataclass(frozen=True)
class Trace:
    """What one population did, time first.

    Attributes:
        spikes: (T, B, *shape) float64 numbers of spikes; zeros where the population never fires.
        v: (T, B, *shape) potential after the reset.
        u: (T, B, *shape) current.
        drive: (T, B, *shape) sum of what the connections brought, without the bias.
    """

    spikes: Reals
    v: Reals
    u: Reals
    drive: Reals


def run_network(
    network: Network, inputs: NDArray[np.float64] | Mapping[str, NDArray[np.float64]]
) -> dict[str, Trace]:
    """Runs all samples from the initial state.

    Args:
        network: what to run.
        inputs: see ``named_inputs``.

    Returns:
        population name -> its trace.
    """
    values = _checked_inputs(network, inputs)
    traces: dict[str, Trace] = {}
    for segment in segments(network):
        inside = {network.populations[i].name for i in segment}
        looped = len(segment) > 1 or any(c.source in inside for name in inside for c in network.into(name))
        if looped:
            made = _run_loop(network, [network.populations[i] for i in segment], values)
        else:
            made = {network.populations[segment[0]].name: _run_forward(network, segment[0], values)}
        for name, trace in made.items():
            traces[name] = trace
            values[name] = torch.from_numpy(trace.v if network.population(name).v_th is None else trace.spikes)
    return traces


def named_inputs(
    network: Network, inputs: NDArray[np.float64] | Mapping[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    """Real values (T, B, *shape) by input.

    Args:
        inputs: an array for each input, and perhaps others; a bare array, or one called x, belongs to the only input.
    """
    names = [i.name for i in network.inputs]
    given = inputs if isinstance(inputs, Mapping) else {"x": inputs}
    if len(names) == 1 and names[0] not in given and "x" in given:
        return {names[0]: given["x"]}
    if not set(names) <= set(given):
        found = f"inputs for {', '.join(given)} were given" if isinstance(inputs, Mapping) else "one array was given"
        raise InputError(found, where=network.name, possible=f"needed are {', '.join(names)}")
    return {name: given[name] for name in names}


def _checked_inputs(
    network: Network, inputs: NDArray[np.float64] | Mapping[str, NDArray[np.float64]]
) -> dict[str, Tensor]:
    given = named_inputs(network, inputs)
    values = {name: torch.from_numpy(np.array(x, dtype=np.float64)) for name, x in given.items()}
    for i in network.inputs:
        if i.shape[1:2] == (1,) and values[i.name].shape[2:] == (i.shape[0], *i.shape[2:]):
            values[i.name] = values[i.name].unsqueeze(3)  # lines, which the passes made maps
        if values[i.name].shape[2:] != i.shape:
            found = tuple(values[i.name].shape)
            raise InputError(
                f"array of shape {found} given",
                where=i.name,
                possible=f"needed is (T, B, {', '.join(map(str, i.shape))})",
            )
    if len({tuple(x.shape[:2]) for x in values.values()}) > 1:
        raise InputError("the inputs differ in number of steps or samples", where=network.name)
    return values


def segments(network: Network) -> list[list[int]]:
    """Indices of populations, in order, that must be stepped together because something in them feeds back."""
    place = {p.name: i for i, p in enumerate(network.populations)}
    reach = list(range(len(network.populations)))  # last index that index i must share its segment with
    for c in network.connections:
        if c.previous and c.source in place:
            first, last = place[c.target], place[c.source]
            reach[first] = max(reach[first], last)
    found: list[list[int]] = []
    start = 0
    while start < len(reach):
        end = start
        i = start
        while i <= end:
            end = max(end, reach[i])
            i += 1
        found.append(list(range(start, end + 1)))
        start = end + 1
    return found


# ------------------------------------------------------------------------------------------------ operators


def apply_op(op: Op, x: Tensor) -> Tensor:
    """``op`` on every item of (N, *shape); not for Delay, which needs time."""
    # arrays of a network are read-only, and torch warns unless it may write: therefore the copies
    match op:
        case Linear(weight=weight):
            return (torch.from_numpy(weight.copy()) @ x.unsqueeze(-1)).squeeze(-1)
        case Entries():
            where = torch.from_numpy(np.stack([op.rows, op.columns]))
            values = torch.from_numpy(op.weights.copy())
            shape = (op.n_target, op.n_source)
            matrix = torch.sparse_coo_tensor(where, values, shape, is_coalesced=True, check_invariants=False)
            made: Tensor = torch.sparse.mm(matrix, x.T).T
            return made
        case Convolution():
            kernel = torch.from_numpy(op.weight.copy())
            return functional.conv2d(x, kernel, None, *op.window)
        case SumPool():
            padded = functional.pad(x, (op.padding[1], op.padding[1], op.padding[0], op.padding[0]))
            # not avg_pool times the window's size, because that rounds
            windows = padded.unfold(2, op.kernel[0], op.stride[0]).unfold(3, op.kernel[1], op.stride[1])
            return windows.sum((-1, -2))
        case Scale(scale=scale):
            return x * torch.from_numpy(scale.copy())
        case Reshape(shape=shape):
            return x.reshape(len(x), *shape)
        case Delay():
            raise AssertionError("a delay needs the whole trace")
        case _:
            assert_never(op)


def apply_chain(ops: tuple[Op, ...], x: Tensor, chunk: int = 256) -> Tensor:
    """The chain on a trace (T, B, *shape)."""
    n_steps, n_samples = x.shape[:2]
    for op in ops:
        if isinstance(op, Delay):
            x = delayed(x, op.steps)
        else:
            # piece by piece, because windows laid out take many times the memory of the maps
            flat = x.reshape(n_steps * n_samples, *x.shape[2:])
            x = torch.cat([apply_op(op, flat[i : i + chunk]) for i in range(0, max(1, len(flat)), chunk)])
            x = x.reshape(n_steps, n_samples, *x.shape[1:])
    return x


def delayed(x: Tensor, steps: NDArray[np.int64]) -> Tensor:
    """x(t - steps) elementwise along time; 0 before the start."""
    result = torch.zeros_like(x)
    wide = np.broadcast_to(steps, tuple(x.shape[2:]))
    for step in np.unique(wide):
        if step < len(x):
            chosen = torch.from_numpy(wide == step)
            shifted = torch.zeros_like(x)
            shifted[int(step) :] = x[: len(x) - int(step)]
            result = torch.where(chosen, shifted, result)
    return result


# ---------------------------------------------------------------------------------------------- populations


@dataclass
class _State:
    u: Tensor
    v: Tensor
    spikes: Tensor


class _Stepper:
    """One population's constants as tensors, and its step."""

    def __init__(self, p: Population, n_samples: int) -> None:
        full = (n_samples, *p.shape)
        self.p = p
        self.a_s, self.a_m, self.gain, self.bias, self.late, self.v_leak, self.v_reset = (
            torch.from_numpy(a.copy()) for a in (p.a_s, p.a_m, p.gain, p.bias, p.late_bias, p.v_leak, p.v_reset)
        )
        self.v_th = None if p.v_th is None else torch.from_numpy(p.v_th.copy())
        u, v = (torch.from_numpy(a.copy()).broadcast_to(full).clone() for a in (p.u_init, p.v_init))
        self.state = _State(u, v, torch.zeros(full, dtype=torch.float64))

    def step(self, drive: Tensor, first: bool) -> _State:
        bias = self.bias - self.late if first else self.bias
        u = (1 - self.a_s) * self.state.u + self.gain * (drive + bias)
        v = (1 - self.a_m) * self.state.v + self.a_m * self.v_leak + u
        spikes = torch.zeros_like(v)
        if self.v_th is not None:
            v, spikes = self._fire(v, self.v_th)
        self.state = _State(u, v, spikes)
        return self.state

    def _fire(self, v: Tensor, v_th: Tensor) -> tuple[Tensor, Tensor]:
        reset, before = self.p.reset, self.state.spikes
        if reset == "subtract-next-step":
            v = v - before * v_th
        elif reset == "value-next-step":
            v = torch.where(before > 0, self.v_reset, v)
        fires = v >= v_th if self.p.fires_at_threshold else v > v_th
        spikes = fires.to(v.dtype)
        if self.p.multi_spike:
            spikes = spikes * torch.clamp(torch.floor(v / v_th), min=1.0)
        if reset == "value":
            v = torch.where(fires, self.v_reset, v)
        elif reset == "subtract":
            v = v - spikes * v_th
        return v, spikes


def _run_forward(network: Network, index: int, values: Mapping[str, Tensor]) -> Trace:
    p = network.populations[index]
    n_steps, n_samples = next(iter(values.values())).shape[:2]
    drive = torch.zeros((n_steps, n_samples, *p.shape), dtype=torch.float64)
    for c in network.into(p.name):
        drive = drive + _seen(c, values[c.source])
    stepper = _Stepper(p, n_samples)
    u, v, spikes = (torch.empty_like(drive) for _ in range(3))
    for t in range(n_steps):
        state = stepper.step(drive[t], first=t == 0)
        u[t], v[t], spikes[t] = state.u, state.v, state.spikes
    return Trace(spikes.numpy(), v.numpy(), u.numpy(), drive.numpy())


def _seen(c: Connection, x: Tensor) -> Tensor:
    """What a connection brings of a whole trace."""
    return apply_chain(((Delay(np.array(1)), *c.ops) if c.previous else c.ops), x)


def _run_loop(network: Network, populations: list[Population], values: Mapping[str, Tensor]) -> dict[str, Trace]:
    n_steps, n_samples = next(iter(values.values())).shape[:2]
    names = [p.name for p in populations]
    steppers = {p.name: _Stepper(p, n_samples) for p in populations}
    drives, inner = {}, {}
    for p in populations:
        drive = torch.zeros((n_steps, n_samples, *p.shape), dtype=torch.float64)
        for c in network.into(p.name):
            if c.source not in names:
                drive = drive + _seen(c, values[c.source])
        drives[p.name] = drive
        inner[p.name] = [_split_delay(c) for c in network.into(p.name) if c.source in names]
    traces = {name: tuple(torch.zeros_like(drives[name]) for _ in range(3)) for name in names}
    emitted = {p.name: traces[p.name][1 if p.v_th is None else 2] for p in populations}
    for t in range(n_steps):
        for p in populations:
            drive = drives[p.name][t]
            for c, delay in inner[p.name]:
                x = _at(emitted[c.source], t, delay)
                for op in c.ops:
                    x = apply_op(op, x)
                drive = drive + x
            drives[p.name][t] = drive
            state = steppers[p.name].step(drive, first=t == 0)
            for trace, value in zip(traces[p.name], (state.u, state.v, state.spikes), strict=True):
                trace[t] = value
    return {
        name: Trace(spikes.numpy(), v.numpy(), u.numpy(), drives[name].numpy())
        for name, (u, v, spikes) in traces.items()
    }


def _split_delay(c: Connection) -> tuple[Connection, NDArray[np.int64]]:
    """The connection without its leading delays, and those in steps (with one for ``previous``)."""
    delay = np.array(1 if c.previous else 0)
    ops = c.ops
    while ops and isinstance(ops[0], Delay):
        delay = delay + ops[0].steps
        ops = ops[1:]
    if any(isinstance(op, Delay) for op in ops):
        raise Unsupported(
            "a delay behind a weight inside of a loop", where=c.name, ways_out="put the delay in front of the weight"
        )
    return Connection(c.name, c.source, c.target, ops, c.previous), delay


def _at(trace: Tensor, t: int, delay: NDArray[np.int64]) -> Tensor:
    """Values (B, *shape) that left ``delay`` steps before t."""
    result = torch.zeros_like(trace[0])
    wide = np.broadcast_to(delay, tuple(trace.shape[2:]))
    for step in np.unique(wide):
        if t - int(step) >= 0:
            result = torch.where(torch.from_numpy(wide == step), trace[t - int(step)], result)
    return result
