"""From NIR nodes to a ``Network``: shapes computed here, paths of operators enumerated, time made discrete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from seamount.errors import InputError, SeamountError, Unsupported

from .cells import memoryless, population
from .graphs import strongly_connected
from .interpret import apply_op
from .network import (
    Connection,
    Delay,
    Linear,
    Network,
    NetworkInput,
    Op,
    Population,
    Reals,
    Reshape,
    Scale,
    Shape,
    chain_shapes,
    op_shape,
    reals,
    size,
)
from .nir_file import RawGraph, RawNode
from .nir_nodes import NODE_TYPES
from .nir_values import NodeValues
from .presets import Discretisation

MAX_PATHS = 4096
"""Operator paths into one population; more are refused (a ladder of n diamonds has 2**n)."""
MAX_NEURONS = 1 << 26
MAX_AXES = 8


@dataclass
class _Graph:
    """The raw graph with what is found out about it on the way."""

    raw: RawGraph
    settings: Discretisation
    ops: dict[str, tuple[Op, ...]] = field(default_factory=dict)
    biases: dict[str, Reals] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    before: dict[str, list[str]] = field(default_factory=dict)
    after: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unsupported: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def role(self, name: str) -> str:
        kind = self.raw.nodes[name].kind
        return "operator" if kind in ("Input", "Output") and self.is_inner_port(name) else NODE_TYPES[kind].role

    def is_inner_port(self, name: str) -> bool:
        """An Input with predecessors or an Output with followers is the port of a subgraph: it passes on."""
        kind = self.raw.nodes[name].kind
        return bool(self.before[name]) if kind == "Input" else bool(self.after[name])


def elaborate(raw: RawGraph, name: str, settings: Discretisation, inputs: Mapping[str, Any]) -> Network:
    """The network that ``raw`` means under ``settings``; every problem is named at once.

    Args:
        raw: nodes and edges, behind ``check_nodes``.
        name: for messages and the program.
        settings: every field answered (dt may be None where nothing needs it).
        inputs: "bits", "scale", "signed" of the graded inputs.
    """
    graph = _Graph(raw, settings)
    graph.before = {node: [] for node in raw.nodes}
    graph.after = {node: [] for node in raw.nodes}
    for source, target in raw.edges:
        graph.before[target].append(source)
        graph.after[source].append(target)
    _compute_shapes(graph)
    _check_operator_loops(graph)
    _raise(graph, name)
    network_inputs = tuple(
        NetworkInput(node, graph.shapes[node], **inputs)
        for node in raw.nodes
        if raw.nodes[node].kind == "Input" and graph.role(node) == "port"
    )
    cells, outputs = _populations(graph)
    _raise(graph, name)
    order, place = _evaluation_order(graph, list(cells))
    connections = _connections(graph, cells, place)
    _raise(graph, name)
    return Network(
        name=name,
        inputs=network_inputs,
        populations=tuple(cells[node] for node in order),
        connections=tuple(connections),
        outputs=outputs,
        timestep_s=_timestep_s(settings),
        assumptions=tuple(graph.notes),
        source_sha256=raw.sha256,
    )


def _timestep_s(settings: Discretisation) -> float | None:
    if settings.dt is None or settings.time_unit == "steps":
        return None
    return settings.dt * (1e-3 if settings.time_unit == "ms" else 1.0)


def _raise(graph: _Graph, name: str) -> None:
    _refuse(name, graph.unsupported, graph.problems)


# ----------------------------------------------------------------------------------------- nodes to operators


def check_nodes(raw: RawGraph, name: str) -> None:
    """Refuses unknown types, missing and unknown keys, values that are not finite, time constants not above 0."""
    problems: list[str] = []
    unsupported: list[str] = []
    for node_name, node in raw.nodes.items():
        kind = NODE_TYPES.get(node.kind)
        if kind is None:
            unsupported.append(
                f"{node_name}: node type {node.kind!r} is not one of nir 1.0.8 ({', '.join(NODE_TYPES)}); "
                "replace it by these"
            )
            continue
        problems += [f"{node_name}: {node.kind} without {key}" for key in kind.required if key not in node.values]
        extra = set(node.values) - set(kind.required) - set(kind.optional)
        if extra:
            unsupported.append(
                f"{node_name}: {node.kind} with {', '.join(sorted(extra))}, which NIR 1.0.8 does not define; "
                "remove it if it has no meaning"
            )
        problems += _value_problems(node_name, node)
    if not any(node.kind == "Input" for node in raw.nodes.values()):
        problems.append("no Input node")
    _refuse(name, unsupported, problems)


def _value_problems(name: str, node: RawNode) -> Iterator[str]:
    for key, value in sorted(node.values.items()):
        if isinstance(value, np.ndarray):
            if value.dtype.kind == "f" and not np.all(np.isfinite(value)):
                yield f"{name}: {key} holds NaN or infinite values"
            elif key.startswith("tau") and value.size and value.min() <= 0:
                yield f"{name}: {key} goes down to {value.min():.6g}, needed is above 0"


def _refuse(name: str, unsupported: list[str], problems: list[str]) -> None:
    told = "\n".join(f"{name}: {p}" for p in unsupported[:20] + problems[:20])
    if unsupported:
        raise Unsupported(told)
    if problems:
        raise InputError(told)


def _operators(graph: _Graph, name: str, shape: Shape) -> tuple[tuple[Op, ...], Reals | None]:
    """The operators that a node stands for, given the shape in front of it, and its bias."""
    values = NodeValues(name, graph.raw.nodes[name])
    match graph.raw.nodes[name].kind:
        case "Affine" | "Linear":
            weight = values.array("weight")
            if weight.ndim < 2:
                raise InputError(f"{name}: weight {weight.shape} needs at least two axes (..., out, in)")
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
            return (values.pool(),), None
        case "AvgPool2d":
            pool = values.pool()
            if any(pool.padding):
                graph.notes.append(f"{name}: zeros of the padding count in the mean (torch's count_include_pad)")
            return (pool, Scale(reals(1.0 / (pool.kernel[0] * pool.kernel[1])))), None
        case "Flatten":
            return (Reshape(values.flattened(shape)),), None
        case "Delay":
            return (Delay(_steps(graph, name, values.parameter("delay", shape))),), None
        case _:  # ports of subgraphs, Identity
            return (), None


def _steps(graph: _Graph, name: str, delay: Reals) -> np.ndarray[Any, np.dtype[np.int64]]:
    s = graph.settings
    if s.time_unit != "steps":
        if s.dt is None:
            raise InputError(f"{name}: a delay needs the time step; give --dt")
        delay = reals(delay / s.dt)
    steps = np.rint(delay)
    if np.any(np.abs(delay - steps) > 1e-6 * np.maximum(1, steps)) or np.any(delay < 0) or np.any(delay > 1e6):
        raise InputError(
            f"{name}: delays of {delay.min():.6g} to {delay.max():.6g} time steps, possible are whole numbers from 0"
        )
    return steps.astype(np.int64)


def _compute_shapes(graph: _Graph) -> None:
    """Shapes behind all nodes, from the Inputs on; every node is visited when a shape in front of it is known."""
    waiting = dict.fromkeys(graph.raw.nodes)
    while waiting:
        ready = [n for n in waiting if _shape_in(graph, n) is not None]
        if not ready:  # a loop or a root: a population or a weight that knows its own size
            ready = [n for n in waiting if _own_shape(graph, n) is not None][:1]
        if not ready:
            graph.problems.append(f"{', '.join(waiting)}: no shape leads here; is there a path from an Input?")
            return
        for name in ready:
            if name not in waiting:  # behind a node that failed
                continue
            del waiting[name]
            try:
                graph.shapes[name] = _shape_out(graph, name)
            except SeamountError as error:
                told = str(error)
                graph.problems.append(told if told.startswith(name) else f"{name}: {told}")
                for follower in _downstream(graph, name):
                    waiting.pop(follower, None)
    if graph.problems:
        return
    for source, target in graph.raw.edges:
        needed = _shape_in(graph, target)
        if needed != graph.shapes[source]:
            graph.problems.append(
                f"{target}: gets shapes {needed} and {graph.shapes[source]} (from {source}); "
                "what is added must have one shape"
            )


def _downstream(graph: _Graph, name: str) -> set[str]:
    seen = {name}
    stack = [name]
    while stack:
        for follower in graph.after[stack.pop()]:
            if follower not in seen:
                seen.add(follower)
                stack.append(follower)
    return seen


def _shape_in(graph: _Graph, name: str) -> Shape | None:
    if graph.raw.nodes[name].kind == "Input" and not graph.before[name]:
        return _declared(graph, name)
    return next((graph.shapes[b] for b in graph.before[name] if b in graph.shapes), None)


def _declared(graph: _Graph, name: str) -> Shape:
    """Shape that an Input states; a batch axis of 1 in front of a map is dropped."""
    value = graph.raw.nodes[name].values.get("shape")
    array = np.atleast_1d(np.asarray(value)) if isinstance(value, np.ndarray | int) else np.zeros((0, 0))
    if array.ndim != 1 or array.dtype.kind not in "iu" or array.size > MAX_AXES:
        return (0,)
    shape = tuple(int(n) for n in array)
    if len(shape) == 4 and shape[0] == 1:
        graph.notes.append(f"{name}: shape {shape} read as {shape[1:]} (batch of 1 dropped)")
        shape = shape[1:]
    return shape


def _own_shape(graph: _Graph, name: str) -> Shape | None:
    """Shape in front of a node that nothing known leads to, from its own parameters."""
    values = NodeValues(name, graph.raw.nodes[name])
    if graph.role(name) == "population":
        shapes = [v.shape for v in graph.raw.nodes[name].values.values() if isinstance(v, np.ndarray)]
        return max(shapes, key=lambda s: (len(s), size(s)), default=None) if shapes else None
    if graph.raw.nodes[name].kind in ("Affine", "Linear") and not graph.before[name]:
        weight = values.array("weight")
        return (*weight.shape[:-2], weight.shape[-1]) if weight.ndim >= 2 else None
    return None


def _shape_out(graph: _Graph, name: str) -> Shape:
    shape = _shape_in(graph, name)
    if shape is None:
        shape = _own_shape(graph, name)
        assert shape is not None, name
        if not graph.before[name]:
            graph.notes.append(f"{name}: no edge leads to it; it receives nothing")
    if not shape or min(shape) < 1 or _too_large(shape):
        raise InputError(f"{name}: shape {shape}, possible are 1 to {MAX_NEURONS} values in all")
    if graph.role(name) != "operator":
        if graph.raw.nodes[name].kind == "Output":
            _compare_output(graph, name, shape)
        return shape
    ops, bias = _operators(graph, name, shape)
    after = chain_shapes(ops, shape)[-1]
    if _too_large(after):
        raise InputError(f"{name}: makes {after}, possible are 1 to {MAX_NEURONS} values in all")
    graph.ops[name] = ops
    if bias is not None and np.any(bias):
        graph.biases[name] = reals(np.broadcast_to(bias, after))
    return after


def _too_large(shape: Shape) -> bool:
    return float(np.prod([float(n) for n in shape])) > MAX_NEURONS


def _compare_output(graph: _Graph, name: str, shape: Shape) -> None:
    told = graph.raw.nodes[name].values.get("shape")
    if isinstance(told, np.ndarray) and told.size <= MAX_AXES and tuple(np.atleast_1d(told).tolist()) != shape:
        graph.notes.append(f"{name}: the file says shape {tuple(np.atleast_1d(told).tolist())}, computed is {shape}")


def _check_operator_loops(graph: _Graph) -> None:
    """A loop of operators alone has no state and no delay: it is an equation, not a network."""
    operators = [n for n in graph.raw.nodes if graph.role(n) == "operator"]
    inner = {n: [a for a in graph.after[n] if graph.role(a) == "operator"] for n in operators}
    for loop in strongly_connected(operators, inner):
        if len(loop) > 1 or loop[0] in inner[loop[0]]:
            graph.problems.append(f"loop without a neuron: {' -> '.join((*loop, loop[0]))}; put a neuron into it")


# ---------------------------------------------------------------------------------------------- populations


def _populations(graph: _Graph) -> tuple[dict[str, Population], dict[str, str]]:
    """Every neuron node, and one memoryless population for each Output that does not show exactly one of them."""
    cells: dict[str, Population] = {}
    outputs: dict[str, str] = {}
    for name, node in graph.raw.nodes.items():
        role = graph.role(name)
        if role == "population":
            cell = _try(graph, partial(population, name, node, graph.shapes[name], graph.settings))
            if cell is not None:
                cells[name] = cell
        elif node.kind == "Output" and role == "port":
            shown = _shown_directly(graph, name)
            if shown is not None:
                outputs[name] = shown
            else:
                cells[name] = memoryless(name, graph.shapes[name])
                outputs[name] = name
    return cells, outputs


def _shown_directly(graph: _Graph, name: str) -> str | None:
    """The population that an Output shows without anything between, ports of subgraphs apart."""
    while len(before := graph.before[name]) == 1:
        name = before[0]
        if graph.role(name) == "population":
            return name
        if graph.role(name) != "operator" or graph.ops[name] or name in graph.biases:
            return None
    return None


def _try(graph: _Graph, make: Callable[[], Population]) -> Population | None:
    try:
        return make()
    except Unsupported as error:
        graph.unsupported.append(str(error))
    except InputError as error:
        graph.problems += str(error).split("\n")
    return None


def _evaluation_order(graph: _Graph, cells: list[str]) -> tuple[list[str], dict[str, int]]:
    """Populations from the input on; inside of a loop in the order in which the outside reaches them."""
    followers = {name: _next_cells(graph, name, cells) for name in cells}
    order: list[str] = []
    for loop in strongly_connected(cells, followers):
        if len(loop) == 1:
            order += loop
            continue
        inside = set(loop)
        entered = [n for n in loop if _enters(graph, n, inside)] or loop[:1]
        seen = list(entered)
        for name in seen:  # breadth first; the list grows while it is read
            seen += [f for f in followers[name] if f in inside and f not in seen]
        order += seen
    return order, {name: i for i, name in enumerate(order)}


def _next_cells(graph: _Graph, name: str, cells: Iterable[str]) -> list[str]:
    known = set(cells)
    found: dict[str, None] = {}
    seen = {name}
    stack = [name]
    while stack:
        for follower in graph.after[stack.pop()]:
            if follower in known:
                found[follower] = None
            elif follower not in seen and graph.role(follower) == "operator":
                seen.add(follower)
                stack.append(follower)
    return list(found)


def _enters(graph: _Graph, name: str, inside: set[str]) -> bool:
    """True where a source outside of the loop reaches ``name`` through operators alone."""
    seen: set[str] = set()
    stack = list(graph.before[name])
    while stack:
        node = stack.pop()
        if node in seen or node in inside:
            continue
        seen.add(node)
        if graph.role(node) != "operator":
            return True
        stack += graph.before[node]
    return False


# ---------------------------------------------------------------------------------------------- connections


def _connections(graph: _Graph, cells: dict[str, Population], place: Mapping[str, int]) -> list[Connection]:
    """Every path of operators between two populations, and the constants that they add."""
    constants = _Constants(graph)
    found: list[Connection] = []
    names: set[str] = set()
    for target in cells:
        if _count_paths(graph, target) > MAX_PATHS:
            graph.problems.append(f"{target}: more than {MAX_PATHS} paths of operators lead to it; merge branches")
            continue
        bias = constants.into(target)
        late = None
        if graph.settings.first_step_feedback == "absent":
            late = constants.into(target, only=_loop_operators(graph))
        if bias is not None:
            extra = {} if late is None else {"late_bias": reals(late)}
            cells[target] = _with(cells[target], bias=reals(bias), **extra)
        for source, path in _paths(graph, target):
            ops = tuple(op for node in path for op in graph.ops[node])
            if graph.settings.spike == "dirac" and _spikes(graph, cells, source):
                assert graph.settings.dt is not None
                ops = (*ops, Scale(reals(1.0 / graph.settings.dt)))
            previous = source in place and place[source] >= place[target]
            name = _name(path, source, target, names, graph)
            names.add(name)
            found.append(Connection(name, source, target, ops, previous))
            if graph.settings.output == "next-step" and source in cells:
                found[-1] = Connection(name, source, target, (Delay(np.array(1)), *ops), previous)
    graph.problems += constants.problems
    return found


def _with(population: Population, **changes: Any) -> Population:
    return Population(**{**vars(population), **changes})


def _spikes(graph: _Graph, cells: Mapping[str, Population], source: str) -> bool:
    return source not in cells or cells[source].v_th is not None


def _count_paths(graph: _Graph, target: str) -> int:
    counts: dict[str, int] = {}

    def visit(root: str) -> None:
        stack = [root]
        while stack:
            node = stack[-1]
            if graph.role(node) != "operator":
                counts[node] = 1
            missing = [b for b in graph.before[node] if b not in counts] if node not in counts else []
            if missing:
                stack += missing
                continue
            if node not in counts:
                counts[node] = min(sum(counts[b] for b in graph.before[node]), MAX_PATHS + 1)
            stack.pop()

    total = 0
    for node in graph.before[target]:
        visit(node)
        total += counts[node]
    return total


def _paths(graph: _Graph, target: str) -> list[tuple[str, tuple[str, ...]]]:
    """(source, operator nodes from source to target) of every path, in the order of the edges."""
    found = []
    stack: list[tuple[str, tuple[str, ...]]] = [(b, ()) for b in reversed(graph.before[target])]
    while stack:
        node, path = stack.pop()
        if graph.role(node) == "operator":
            stack += [(b, (node, *path)) for b in reversed(graph.before[node])]
        else:
            found.append((node, path))
    return found


def _name(path: tuple[str, ...], source: str, target: str, taken: set[str], graph: _Graph) -> str:
    """The name of the last weight on the path, or source->target; unique, also among the nodes that stay."""
    weighted = [n for n in path if graph.raw.nodes[n].kind in ("Affine", "Linear", "Conv1d", "Conv2d", "Scale")]
    for name in (*weighted[::-1], f"{source}->{target}", f"{source}->{'->'.join((*path, target))}"):
        if name not in taken:
            return name
    return next(name for i in range(2, MAX_PATHS + 3) if (name := f"{source}->{target}#{i}") not in taken)


def _loop_operators(graph: _Graph) -> set[str]:
    """Operators that lie on a loop."""
    loops = strongly_connected(list(graph.raw.nodes), graph.after)
    return {n for loop in loops if len(loop) > 1 for n in loop if graph.role(n) == "operator"}


class _Constants:
    """What the biases of the operators alone bring to each node; computed once per node."""

    def __init__(self, graph: _Graph) -> None:
        self.graph = graph
        self.known: dict[tuple[str, bool], Reals | None] = {}
        self.problems: list[str] = []

    def into(self, target: str, only: set[str] | None = None) -> Reals | None:
        """Sum over what enters ``target``; None for nothing. ``only``: count the biases of these nodes alone."""
        total: Reals | None = None
        for node in self.graph.before[target]:
            total = _added(total, self._of(node, only))
        return total

    def _of(self, root: str, only: set[str] | None) -> Reals | None:
        stack = [root]
        while stack:
            node = stack[-1]
            key = (node, only is None)
            if key in self.known:
                stack.pop()
                continue
            if self.graph.role(node) != "operator":
                self.known[key] = None
                continue
            missing = [b for b in self.graph.before[node] if (b, only is None) not in self.known]
            if missing:
                stack += missing
                continue
            value: Reals | None = None
            for b in self.graph.before[node]:
                value = _added(value, self.known[b, only is None])
            value = self._through(node, value)
            if node in self.graph.biases and (only is None or node in only):
                value = _added(value, self.graph.biases[node])
            self.known[key] = value
        return self.known[root, only is None]

    def _through(self, node: str, value: Reals | None) -> Reals | None:
        if value is None or not np.any(value):
            return None
        for op in self.graph.ops[node]:
            if isinstance(op, Delay):
                self.problems.append(f"{node}: a bias in front of a delay; put the delay first")
                return None
            value = reals(apply_op(op, torch.from_numpy(value.copy())[None])[0].numpy())
        return value


def _added(a: Reals | None, b: Reals | None) -> Reals | None:
    if a is None or b is None:
        return a if b is None else b
    return reals(a + b)
