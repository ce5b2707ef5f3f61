"""The NIR graph with operators, shapes and neighbours: shapes are computed here and taken from no file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from seamount.errors import InputError, Reason, SeamountError
from seamount.foreign.limits import VALUES

from ..graphs import strongly_connected
from ..network.network import (
    Delay,
    Linear,
    Op,
    Reals,
    Reshape,
    Scale,
    Shape,
    chain_shapes,
    op_shape,
    reals,
    size,
)
from .axes import MAX_AXES, input_shape, leading_axes, option_for, own_shape, whole_numbers
from .file import RawGraph
from .nodes import NODE_TYPES
from .presets import Discretisation
from .values import NodeValues


@dataclass
class NirGraph:
    """The raw graph with what is found out about it on the way.

    Attributes:
        given: shapes of Inputs that the user says.
        inputs: shapes of all Inputs that lead in from outside.
    """

    raw: RawGraph
    settings: Discretisation
    given: Mapping[str, Shape] = field(default_factory=dict)
    inputs: dict[str, Shape] = field(default_factory=dict)
    ops: dict[str, tuple[Op, ...]] = field(default_factory=dict)
    biases: dict[str, Reals] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    before: dict[str, list[str]] = field(default_factory=dict)
    after: dict[str, list[str]] = field(default_factory=dict)
    problems: list[Reason] = field(default_factory=list)
    unsupported: list[Reason] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def role(self, name: str) -> str:
        kind = self.raw.nodes[name].kind
        return "operator" if kind in ("Input", "Output") and self.is_inner_port(name) else NODE_TYPES[kind].role

    def is_inner_port(self, name: str) -> bool:
        """An Input with predecessors or an Output with followers is the port of a subgraph: it passes on."""
        kind = self.raw.nodes[name].kind
        return bool(self.before[name]) if kind == "Input" else bool(self.after[name])


def _operators(graph: NirGraph, name: str, shape: Shape) -> tuple[tuple[Op, ...], Reals | None]:
    """The operators that a node stands for, given the shape in front of it, and its bias."""
    values = NodeValues(name, graph.raw.nodes[name])
    match graph.raw.nodes[name].kind:
        case "Affine" | "Linear":
            weight = values.array("weight")
            if weight.ndim < 2:
                raise InputError(f"weight {weight.shape} needs at least two axes (..., out, in)", where=name)
            return (Linear(weight),), values.bias(op_shape(Linear(weight), shape))
        case "Scale":
            return (Scale(values.parameter("scale", shape)),), None
        case "Conv2d":
            conv = values.conv2d(shape)
            return (conv,), values.channel_bias(conv.weight.shape[0])
        case "Conv1d":
            conv, flat, out = values.conv1d(shape)
            bias = values.channel_bias(conv.weight.shape[0])
            return (Reshape(flat), conv, Reshape(out)), None if bias is None else bias[:, 0]
        case "SumPool2d":
            return values.pooled(shape), None
        case "AvgPool2d":
            pool = values.pool()
            if any(pool.padding):
                graph.notes.append(f"{name}: zeros of the padding count in the mean (torch's count_include_pad)")
            return (*values.pooled(shape), Scale(reals(1.0 / (pool.kernel[0] * pool.kernel[1])))), None
        case "Flatten":
            if values.axes_ahead(shape):
                graph.notes.append(f"{name}: the axes that it counts in front of {shape} are no part of a sample")
            return (Reshape(values.flattened(shape)),), None
        case "Delay":
            return (Delay(_steps(graph, name, values.parameter("delay", shape))),), None
        case _:  # ports of subgraphs, Identity
            return (), None


def _steps(graph: NirGraph, name: str, delay: Reals) -> np.ndarray[Any, np.dtype[np.int64]]:
    s = graph.settings
    if s.time_unit != "steps":
        if s.dt is None:  # one of the reasons of a refusal that is being collected
            return np.zeros(delay.shape, dtype=np.int64)
        delay = reals(delay / s.dt)
    # files hold float32, so that a delay of whole steps is not quite one when divided by the time step
    steps = np.rint(delay)
    wrong = (np.abs(delay - steps) > 1e-6 * np.maximum(1, steps)) | (delay < 0) | (delay > 1e6)
    if np.any(wrong):
        raise InputError(
            f"delays of {delay.min():.6g} to {delay.max():.6g} time steps, one of them of {delay[wrong][0]:.6g}",
            where=name,
            possible="possible are whole numbers from 0",
        )
    return steps.astype(np.int64)


def compute_shapes(graph: NirGraph) -> None:
    """Shapes behind all nodes, from the Inputs on; every node is visited when a shape in front of it is known."""
    place = {name: i for i, name in enumerate(graph.raw.nodes)}
    waiting = dict.fromkeys(graph.raw.nodes)
    _read_inputs(graph, waiting)
    ready = [n for n in waiting if _shape_in(graph, n) is not None]
    while waiting:
        if not ready:  # a loop or a root: a population or a weight that knows its own size
            ready = list(islice((n for n in waiting if _own_shape(graph, n) is not None), 1))
        if not ready:
            graph.problems.append(
                Reason("no shape leads here", where=", ".join(waiting), ways_out=("is there a path from an Input?",))
            )
            return
        for name in ready:
            _visit(graph, name, waiting)
        behind = {n for name in ready if name in graph.shapes for n in graph.after[name] if n in waiting}
        ready = sorted(behind, key=place.__getitem__)
    if not graph.problems:
        graph.problems += _unequal_sums(graph)


def _read_inputs(graph: NirGraph, waiting: dict[str, None]) -> None:
    """The shapes of all Inputs first; behind one without a shape nothing is visited."""
    for name in [n for n, node in graph.raw.nodes.items() if node.kind == "Input" and not graph.before[n]]:
        try:
            graph.inputs[name] = _input_shape(graph, name)
        except InputError as error:
            graph.problems += error.reasons
            for follower in _downstream(graph, name):
                waiting.pop(follower, None)


def _input_shape(graph: NirGraph, name: str) -> Shape:
    if name not in graph.given:
        return input_shape(graph.raw, name, graph.after, graph.notes)
    shape, written = graph.given[name], whole_numbers(graph.raw.nodes[name].values.get("shape"), name)
    if written != shape:
        graph.notes.append(f"{name}: shape {written or 'none'} in the file, read as {shape} (option)")
    return shape


def _visit(graph: NirGraph, name: str, waiting: dict[str, None]) -> None:
    """The shape behind one node; where there is none, nothing behind it is visited: one fault, told once."""
    if name not in waiting:  # behind a node that failed
        return
    del waiting[name]
    try:
        graph.shapes[name] = _shape_out(graph, name)
    except SeamountError as error:
        # the algebra of operators knows shapes, not nodes
        graph.problems += [reason if reason.where else reason.inside(name) for reason in error.reasons]
        for follower in _downstream(graph, name):
            waiting.pop(follower, None)


def _unequal_sums(graph: NirGraph) -> Iterator[Reason]:
    for source, target in graph.raw.edges:
        needed = _shape_in(graph, target)
        if needed != graph.shapes[source]:
            yield Reason(
                f"gets shapes {needed} and {graph.shapes[source]} (from {source})",
                where=target,
                ways_out=("what is added must have one shape",),
            )


def _downstream(graph: NirGraph, name: str) -> set[str]:
    seen = {name}
    stack = [name]
    while stack:
        for follower in graph.after[stack.pop()]:
            if follower not in seen:
                seen.add(follower)
                stack.append(follower)
    return seen


def _shape_in(graph: NirGraph, name: str) -> Shape | None:
    if graph.raw.nodes[name].kind == "Input" and not graph.before[name]:
        return graph.inputs.get(name)
    return next((graph.shapes[b] for b in graph.before[name] if b in graph.shapes), None)


def _own_shape(graph: NirGraph, name: str) -> Shape | None:
    """Shape in front of a node that nothing known leads to, from its own parameters."""
    values = NodeValues(name, graph.raw.nodes[name])
    if graph.role(name) == "population":
        shapes = [v.shape for v in graph.raw.nodes[name].values.values() if isinstance(v, np.ndarray)]
        return max(shapes, key=lambda s: (len(s), size(s)), default=None) if shapes else None
    if graph.raw.nodes[name].kind in ("Affine", "Linear") and not graph.before[name]:
        weight = values.array("weight")
        return (*weight.shape[:-2], weight.shape[-1]) if weight.ndim >= 2 else None
    return None


def _shape_out(graph: NirGraph, name: str) -> Shape:
    shape = _shape_in(graph, name)
    if shape is None:
        shape = _own_shape(graph, name)
        assert shape is not None, name
        if not graph.before[name]:
            graph.notes.append(f"{name}: no edge leads to it; it receives nothing")
    if not shape or min(shape) < 1:
        raise InputError(f"shape {shape}", where=name, possible="possible is 1 or more along each axis")
    VALUES.check(math.prod(shape), name, f"shape {shape}")
    if graph.role(name) != "operator":
        if graph.raw.nodes[name].kind == "Output":
            _compare_output(graph, name, shape)
        elif graph.role(name) == "population":
            _require_own_axes(graph, name, shape)
        return shape
    ops, bias = _operators(graph, name, shape)
    after = chain_shapes(ops, shape)[-1]
    VALUES.check(math.prod(after), name, f"makes {after}")
    graph.ops[name] = ops
    if bias is not None and np.any(bias):
        graph.biases[name] = reals(np.broadcast_to(bias, after))
    return after


def _require_own_axes(graph: NirGraph, name: str, shape: Shape) -> None:
    """Neurons have the shape of their parameters; where more axes arrive these are not neurons."""
    own = own_shape(graph.raw.nodes[name])
    n_extra = len(shape) - len(own)
    if not own or size(shape[:n_extra]) <= 1 or shape[n_extra:] != own or graph.given:
        return
    if own == shape[:1]:  # one a channel, as likely: ``parameter`` tells
        return
    entry, entered = next(iter(graph.inputs.items()))
    raise leading_axes(
        name,
        f"parameters of shape {own}, but {shape} arrives (from {entry} {entered})",
        entered[n_extra:],
        option_for(graph.raw, entry),
    )


def _compare_output(graph: NirGraph, name: str, shape: Shape) -> None:
    told = graph.raw.nodes[name].values.get("shape")
    if isinstance(told, np.ndarray) and 0 < told.size <= MAX_AXES and tuple(np.atleast_1d(told).tolist()) != shape:
        graph.notes.append(f"{name}: the file says shape {tuple(np.atleast_1d(told).tolist())}, computed is {shape}")


def check_operator_loops(graph: NirGraph) -> None:
    """A loop of operators alone has no state and no delay: it is an equation, not a network."""
    operators = [n for n in graph.raw.nodes if graph.role(n) == "operator"]
    inner = {n: [a for a in graph.after[n] if graph.role(a) == "operator"] for n in operators}
    for loop in strongly_connected(operators, inner):
        if len(loop) > 1 or loop[0] in inner[loop[0]]:
            graph.problems.append(
                Reason(f"loop without a neuron: {' -> '.join((*loop, loop[0]))}", ways_out=("put a neuron into it",))
            )
