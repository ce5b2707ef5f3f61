"""The network between NIR and the program: checked, ordered, shapes known, time discrete, still real numbers.

A network holds populations and connections; a connection is a chain of linear operators between two populations.
Where several paths of operators lead from one population to another each is a connection of its own, because the
drive is the sum over all of them. Biases on the way are constants and stand in the population (``bias``).

One step of a population, computed in ``interpret.py`` and nowhere else::

    u = (1 - a_s) u + gain (drive + bias)        drive: sum over the connections into it
    v = (1 - a_m) v + a_m v_leak + u             fires where v > v_th, then v = v_reset

Schedule: all populations in the listed order within one step (software has no latency); a connection marked
``previous`` reads its source's value of the step before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, assert_never

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seamount.errors import InputError, Reason, plural
from seamount.windows import Window

from ..graphs import grouped
from ..numbers import PerNeuron

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]
Shape = tuple[int, ...]
Pair = tuple[int, int]

RESETS = ("value", "subtract", "value-next-step", "subtract-next-step")


def reals(values: ArrayLike) -> Reals:
    """A read-only float64 copy, C order."""
    array = np.array(values, dtype=np.float64, order="C")
    array.setflags(write=False)
    return array


def size(shape: Shape) -> int:
    return int(np.prod(shape, dtype=np.int64))


# ------------------------------------------------------------------------------------------------ operators


@dataclass(frozen=True)
class Linear:
    """y[..., o] = sum_i weight[..., o, i] x[..., i]."""

    weight: Reals


@dataclass(frozen=True)
class Entries:
    """The entries of a matrix on the flat vector that exist, each once, by row: y[row] = sum of weight x[column].

    What no one operator says is written out so (``passes/write_out.py``).
    """

    weights: Reals
    rows: Ints
    columns: Ints
    n_target: int
    n_source: int


@dataclass(frozen=True)
class Convolution:
    """Torch's cross-correlation on (C, H, W): weight (C_out, C_in / groups, K_h, K_w), zero padding."""

    weight: Reals
    window: Window = field(default_factory=Window)


@dataclass(frozen=True)
class SumPool:
    """Sum over windows of (C, H, W), zero padding, a window that is not full at the far end is dropped."""

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)


@dataclass(frozen=True)
class Scale:
    """y = scale x, elementwise; scale broadcasts to the shape."""

    scale: Reals


@dataclass(frozen=True)
class Reshape:
    """Same values in C order, other shape."""

    shape: Shape


@dataclass(frozen=True)
class Delay:
    """y(t) = x(t - steps), 0 before; one number or one per element."""

    steps: Ints


Op = Linear | Entries | Convolution | SumPool | Scale | Reshape | Delay


def op_shape(op: Op, shape: Shape) -> Shape:
    """Shape behind ``op``; raises InputError with the shapes where it does not fit."""
    match op:
        case Linear(weight=weight):
            if not shape or shape[-1] != weight.shape[-1]:
                raise InputError(f"weight {weight.shape} does not fit an input of shape {shape}")
            if weight.ndim > 2 and weight.shape[:-2] != shape[:-1]:
                raise InputError(f"weight {weight.shape} does not fit an input of shape {shape}")
            return (*shape[:-1], int(weight.shape[-2]))
        case Entries():
            if shape != (op.n_source,):
                raise InputError(f"entries on {op.n_source} values do not fit an input of shape {shape}")
            return (op.n_target,)
        case Convolution():
            c_out, c_in, *kernel = weight_shape = op.weight.shape
            if len(shape) != 3 or shape[0] != c_in * op.window.groups or c_out % op.window.groups:
                raise InputError(
                    f"weight {weight_shape} in {op.window.groups} groups does not fit an input of shape {shape}"
                )
            return (int(c_out), *_map_behind(shape, tuple(kernel), op.window))
        case SumPool():
            if len(shape) != 3:
                raise InputError(f"pooling needs an input (C, H, W), found {shape}")
            return (shape[0], *_map_behind(shape, op.kernel, Window(op.stride, op.padding)))
        case Scale(scale=array) | Delay(steps=array):
            if not broadcasts(array.shape, shape):
                raise InputError(f"values of shape {array.shape} do not fit an input of shape {shape}")
            return shape
        case Reshape(shape=new):
            if size(new) != size(shape):
                raise InputError(f"an input of shape {shape} cannot be reshaped to {new}")
            return new
        case _:
            assert_never(op)


def _map_behind(shape: Shape, kernel: Shape, window: Window) -> Pair:
    behind = window.size(shape[1:], kernel)
    if min(behind) < 1:
        raise InputError(f"a window of {kernel} is larger than the padded input {shape}")
    return behind


def broadcasts(small: Shape, shape: Shape) -> bool:
    """True where an array of shape ``small`` broadcasts to exactly ``shape``."""
    return len(small) <= len(shape) and all(a in (1, b) for a, b in zip(small[::-1], shape[::-1], strict=False))


def chain_shapes(ops: tuple[Op, ...], shape: Shape) -> list[Shape]:
    """The shape in front of the first operator and behind each."""
    shapes = [shape]
    for op in ops:
        shapes.append(op_shape(op, shapes[-1]))
    return shapes


# ---------------------------------------------------------------------------------------------- the network


@dataclass(frozen=True)
class NetworkInput:
    """Where values enter. ``bits`` 0: spikes; else integers 0 .. 2**bits - 1 (signed: two's complement).

    The network computes with real values x = x_int / scale.
    """

    name: str
    shape: Shape
    bits: int = 0
    scale: float = 1.0
    signed: bool = False


@dataclass(frozen=True)
class Population:
    """Neurons with one rule (equations at the top of this file); every array broadcasts to ``shape``.

    Attributes:
        a_s: the current u keeps 1 - a_s a step; 1 means that there is no current.
        a_m: the potential v keeps 1 - a_m a step; 0 is an integrator.
        bias: constant drive, in front of ``gain``. ``late_bias`` is the part of it that is missing at step 0.
        v_th: None: never fires and emits v.
        reset: one of RESETS; "-next-step" is snnTorch's late reset.
        fires_at_threshold: the test is >= instead of >.
        multi_spike: emits floor(v / v_th) spikes at once and subtracts them.
        u_init: u before the first step.
    """

    name: str
    shape: Shape
    a_s: Reals
    a_m: Reals
    gain: Reals
    bias: Reals
    v_leak: Reals
    v_th: Reals | None
    v_reset: Reals
    v_init: Reals
    late_bias: Reals = field(default_factory=lambda: reals(0.0))
    reset: str = "value"
    fires_at_threshold: bool = False
    multi_spike: bool = False
    u_init: Reals = field(default_factory=lambda: reals(0.0))

    @property
    def n_neurons(self) -> int:
        return size(self.shape)

    @cached_property
    def problems(self) -> tuple[Reason, ...]:
        """Why no interpreter could run it; found once, because most passes hand it on as it is."""
        return tuple(_population_problems(self))

    @property
    def is_memoryless(self) -> bool:
        """v is nothing but what arrives in the same step: a linear head, not a neuron."""
        return self.v_th is None and not np.any(self.v_leak) and bool(np.all(self.a_s == 1) and np.all(self.a_m == 1))


@dataclass(frozen=True)
class Connection:
    """A chain of linear operators from an input or a population to a population.

    ``whole``: the program holds its weights as whole numbers (an exponent below 0 would round every sum down), and
    one-to-one weights of one sign exactly, by as many synapse groups as they need.
    """

    name: str
    source: str
    target: str
    ops: tuple[Op, ...]
    previous: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Network:
    """See the top of this file.

    Attributes:
        populations: in the order in which they are evaluated within a step.
        outputs: name of an Output -> population whose spikes (or v, where it never fires) it shows.
        readout, readout_quantity: where a classification is read, and how: a Quantity of ``program/readout.py``.
        scales: population -> given scale, one or an array that broadcasts to its shape, where the file carries
            quantised values; empty otherwise.
        assumptions: what the file did not say and was taken from a preset, an option or a default.
        warnings: what the file says and can hardly mean.
    """

    name: str
    inputs: tuple[NetworkInput, ...]
    populations: tuple[Population, ...]
    connections: tuple[Connection, ...]
    outputs: Mapping[str, str]
    readout: str | None = None
    readout_quantity: str = "v"
    n_steps: int | None = None
    timestep_s: float | None = None
    scales: Mapping[str, PerNeuron] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    source_sha256: str = ""

    def __post_init__(self) -> None:
        check(self)

    def population(self, name: str) -> Population:
        return self._populations[name]

    def input(self, name: str) -> NetworkInput:
        return next(i for i in self.inputs if i.name == name)

    def shape(self, name: str) -> Shape:
        """Shape of an input or a population."""
        return self._shapes[name]

    def into(self, name: str) -> tuple[Connection, ...]:
        return tuple(self._into.get(name, ()))

    def out_of(self, name: str) -> tuple[Connection, ...]:
        return tuple(self._out_of.get(name, ()))

    # found once, because of thousands of populations each is asked for many times

    @cached_property
    def _populations(self) -> dict[str, Population]:
        return {p.name: p for p in self.populations}

    @cached_property
    def _shapes(self) -> dict[str, Shape]:
        return shapes_of(self.inputs, self.populations)

    @cached_property
    def _into(self) -> dict[str, list[Connection]]:
        return grouped(self.connections, lambda c: c.target)

    @cached_property
    def _out_of(self) -> dict[str, list[Connection]]:
        return grouped(self.connections, lambda c: c.source)

    def with_(self, **changes: Any) -> Network:
        return replace(self, **changes)

    def __str__(self) -> str:
        return "\n".join(lines(self))


def shapes_of(inputs: tuple[NetworkInput, ...], populations: tuple[Population, ...]) -> dict[str, Shape]:
    """Shapes of everything that can be a source."""
    return {i.name: i.shape for i in inputs} | {p.name: p.shape for p in populations}


def check(network: Network) -> None:
    """Refuses what no interpreter could run; names every problem at once."""
    shapes = shapes_of(network.inputs, network.populations)
    place = {p.name: i for i, p in enumerate(network.populations)} | {i.name: -1 for i in network.inputs}
    problems: list[Reason] = []
    if len(shapes) < len(network.inputs) + len(network.populations):
        problems.append(Reason("a name is used more than once"))
    problems += [reason for p in network.populations for reason in p.problems]
    problems += [p for c in network.connections for p in _connection_problems(c, shapes, place)]
    for output, population in network.outputs.items():
        if population not in {p.name for p in network.populations}:
            problems.append(Reason(f"shows {population}, which is not a population", where=output))
    if network.readout is not None and network.readout not in {p.name for p in network.populations}:
        problems.append(Reason(f"readout {network.readout} is not a population"))
    if problems:
        raise InputError.together(problem.inside(network.name) for problem in problems)


def _connection_problems(c: Connection, shapes: Mapping[str, Shape], place: Mapping[str, int]) -> Iterator[Reason]:
    if c.source not in shapes or place.get(c.target, -1) < 0:
        yield Reason(f"connects {c.source} to {c.target}, which are not both there", where=c.name)
        return
    try:
        made = chain_shapes(c.ops, shapes[c.source])[-1]
    except InputError as error:
        yield from (reason.inside(c.name) for reason in error.reasons)
        return
    if made != shapes[c.target]:
        yield Reason(f"makes {made}, but {c.target} has shape {shapes[c.target]}", where=c.name)
    if not c.previous and place[c.source] >= place[c.target]:
        yield Reason(f"{c.source} is evaluated after {c.target}, so it must read the previous step", where=c.name)


def _array_problems(p: Population) -> Iterator[Reason]:
    for key, value in vars(p).items():
        if isinstance(value, np.ndarray):
            if not broadcasts(value.shape, p.shape):
                yield Reason(f"{key} of shape {value.shape} does not fit {p.shape}", where=p.name)
            if not np.isfinite(value).all():
                yield Reason(f"{key} holds NaN or infinite values", where=p.name)


NOT_ABOVE = ("it fires for ever from its own reset: lower v_reset, or raise v_threshold, where it is trained",)


def _population_problems(p: Population) -> Iterator[Reason]:
    yield from _array_problems(p)
    for key in ("a_s", "a_m"):
        array: Reals = getattr(p, key)
        if np.any((array < 0) | (array > 1)):
            yield (
                Reason(
                    f"{key} = timestep / time constant lies in {array.min():.4g} to {array.max():.4g}",
                    where=p.name,
                    possible="possible are 0 to 1",
                    ways_out=("is the time step larger than the time constant, or in another unit?",),
                )
            )
    if p.v_th is not None and np.any(low := p.v_th <= p.v_reset):
        v_th, v_reset = (np.broadcast_to(v, low.shape)[low].flat[0] for v in (p.v_th, p.v_reset))
        yield Reason(f"v_threshold {v_th:.6g} is not above v_reset {v_reset:.6g}", where=p.name, ways_out=NOT_ABOVE)
    if p.reset not in RESETS:
        yield Reason(f"reset {p.reset!r}", where=p.name, possible=f"possible are {', '.join(RESETS)}")


# --------------------------------------------------------------------------------------------------- clocks


def clock(name: str, first: int = 0) -> Population:
    """One neuron that fires at every step from ``first`` (0 or 1) on: what it drives through a weight is constant."""
    one, zero = reals(1.0), reals(0.0)
    return Population(name, (1,), one, zero, one, one, zero, reals(0.5), zero, v_init=reals(-float(first)))


def ticks(values: Reals, shape: Shape) -> tuple[Op, ...]:
    """What brings these values from a clock: (*shape)."""
    column = Linear(reals(np.broadcast_to(values, shape).reshape(-1, 1)))
    return (column,) if shape == (size(shape),) else (column, Reshape(shape))


# ------------------------------------------------------------------------------------------------- printing


def lines(network: Network) -> Iterator[str]:
    """The network, a line an item."""
    steps = "" if network.n_steps is None else f", {network.n_steps} {plural(network.n_steps, 'step')}"
    step = "" if network.timestep_s is None else f", timestep {network.timestep_s:g} s"
    yield f"network {network.name}{steps}{step}"
    for i in network.inputs:
        bits = f"{i.bits} {plural(i.bits, 'bit')}, scale {i.scale:g}" if i.bits else "spikes"
        yield f"  input {i.name} {_shape(i.shape)} {bits}"
    for p in network.populations:
        th = "" if p.v_th is None else f" v_th {_brief(p.v_th)} reset {p.reset}"
        rest = "".join(
            f" {key} {_brief(getattr(p, key))}"
            for key in ("v_leak", "v_reset", "v_init", "bias")
            if np.any(getattr(p, key))
        )
        yield f"  population {p.name} {_shape(p.shape)} a_s {_brief(p.a_s)} a_m {_brief(p.a_m)}{th}{rest}"
    for c in network.connections:
        previous = " (previous step)" if c.previous else ""
        chain = ", ".join(map(op_line, c.ops)) or "identity"
        yield f"  connection {c.name} {c.source} -> {c.target}: {chain}{previous}"
    for output, shown in network.outputs.items():
        yield f"  output {output} shows {shown}"
    if network.readout is not None:
        yield f"  readout {network.readout_quantity} of {network.readout}"


def op_line(op: Op) -> str:
    match op:
        case Linear(weight=weight):
            return f"linear {_shape(weight.shape)}"
        case Entries(weights=weights):
            return f"entries {len(weights)} of {op.n_target}x{op.n_source}"
        case Convolution(weight=weight):
            return f"conv {_shape(weight.shape)} stride {_pair(op.window.stride)} padding {_pair(op.window.padding)}"
        case SumPool():
            return f"sum pool {_pair(op.kernel)} stride {_pair(op.stride)} padding {_pair(op.padding)}"
        case Scale(scale=scale):
            return f"scale {_brief(scale)}"
        case Reshape(shape=shape):
            return f"reshape {_shape(shape)}"
        case Delay(steps=steps):
            return f"delay {_brief(steps.astype(np.float64))}"
        case _:
            assert_never(op)


def _shape(shape: Shape) -> str:
    return "x".join(str(n) for n in shape) or "1"


def _pair(pair: Pair) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"


def _brief(array: Reals) -> str:
    low, high = float(array.min()), float(array.max())
    return f"{low:.6g}" if low == high else f"{low:.6g}..{high:.6g}"
