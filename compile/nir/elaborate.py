"""From NIR nodes to a ``Network``: nodes checked, populations made discrete and put in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from seamount.errors import InputError, Reason, Unsupported

from ..graphs import strongly_connected
from ..network.network import (
    Network,
    NetworkInput,
    Op,
    Population,
    Reshape,
    Scale,
)
from .axes import GivenShapes
from .cells import memoryless, population
from .file import RawGraph, RawNode
from .graph import NirGraph, check_operator_loops, compute_shapes
from .nodes import NODE_TYPES
from .paths import connections
from .presets import Discretisation

NO_SHAPES = GivenShapes()

LARGEST = np.float64(1e30)
"""Of a parameter: its products must stay far below the largest float64. No plain float: float16 is widened."""

SHOWN = 20
"""Problems of a kind that are named at once."""

UNIT_FACTOR = ("snntorch", "spikingjelly", "lava", "rockpool")
"""Presets whose tools write r (and w_in) as time constant over time step, so that both are infinite together."""


def elaborate(
    raw: RawGraph,
    name: str,
    settings: Discretisation,
    inputs: Mapping[str, Any],
    shapes: GivenShapes = NO_SHAPES,
    besides: Iterable[Reason] = (),
) -> Network:
    """The network that ``raw`` means under ``settings``; every problem is named at once.

    Args:
        raw: nodes and edges, behind ``check_nodes``.
        name: for messages and the program.
        settings: every field answered (dt may be None where nothing needs it, or ``besides`` says that it lacks).
        inputs: "bits", "scale", "signed" of the graded inputs.
        shapes: of Inputs, that win over the file's.
        besides: what is wrong already, to be told with the rest.
    """
    graph = NirGraph(raw, settings, before={n: [] for n in raw.nodes}, after={n: [] for n in raw.nodes})
    for source, target in raw.edges:
        graph.before[target].append(source)
        graph.after[source].append(target)
    ports = [n for n, node in raw.nodes.items() if node.kind == "Input" and graph.role(n) == "port"]
    graph.given = shapes.of(ports)
    compute_shapes(graph)
    check_operator_loops(graph)
    graph.problems += besides
    _raise(graph, name)
    cells, outputs = _populations(graph)
    _raise(graph, name)
    order, place = _evaluation_order(graph, list(cells))
    found = connections(graph, cells, place)
    _raise(graph, name)
    return Network(
        name=name,
        inputs=tuple(NetworkInput(port, graph.shapes[port], **inputs) for port in ports),
        populations=tuple(cells[node] for node in (*(n for n in cells if n not in place), *order)),
        connections=tuple(found),
        outputs=outputs,
        timestep_s=_timestep_s(settings),
        assumptions=tuple(graph.notes),
        source_sha256=raw.sha256,
    )


def _timestep_s(settings: Discretisation) -> float | None:
    if settings.dt is None or settings.time_unit == "steps":
        return None
    return settings.dt * (1e-3 if settings.time_unit == "ms" else 1.0)


def _raise(graph: NirGraph, name: str) -> None:
    _refuse(name, graph.unsupported, graph.problems)


def check_nodes(
    raw: RawGraph, name: str, preset: str = "nir", besides: Callable[[], Iterable[Reason]] = tuple
) -> None:
    """Refuses unknown types, missing and unknown keys, values that are not finite, time constants not above 0.

    Args:
        besides: what else is wrong, asked only where something is.
    """
    problems: list[Reason] = []
    unsupported: list[Reason] = []
    for node_name, node in raw.nodes.items():
        kind = NODE_TYPES.get(node.kind)
        if kind is None:
            told = f"node type {node.kind!r} is not one of nir 1.0.8 ({', '.join(NODE_TYPES)})"
            unsupported.append(Reason(told, where=node_name, ways_out=("replace it by these",)))
            continue
        problems += [
            Reason(f"{node.kind} without {k}", where=node_name) for k in kind.required if k not in node.values
        ]
        extra = set(node.values) - set(kind.required) - set(kind.optional)
        if extra:
            told = f"{node.kind} with {', '.join(sorted(extra))}, which NIR 1.0.8 does not define"
            unsupported.append(Reason(told, where=node_name, ways_out=("remove it if it has no meaning",)))
        problems += _value_problems(node_name, node, preset)
    problems += _begins_nowhere(raw)
    if unsupported or problems:
        _refuse(name, unsupported, [*problems, *besides()])


def _begins_nowhere(raw: RawGraph) -> Iterator[Reason]:
    """Neurons can begin a graph without an Input, driven by their leak; what only passes values on cannot."""
    if any(node.kind == "Input" for node in raw.nodes.values()):
        return
    heard = {target for _, target in raw.edges}
    roles = {n: NODE_TYPES[node.kind].role for n, node in raw.nodes.items() if node.kind in NODE_TYPES}
    unheard = [n for n, role in roles.items() if role == "operator" and n not in heard]
    if unheard or "population" not in roles.values():
        told = f", and nothing leads into {', '.join(unheard)}" if unheard else ""
        yield Reason(f"no Input node{told}", ways_out=("put an Input in front of what the samples drive",))


def _value_problems(name: str, node: RawNode, preset: str) -> Iterator[Reason]:
    for key, value in sorted(node.values.items()):
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            continue
        if not np.all(np.isfinite(value) | _means_no_leak(node, key, value, preset)):
            yield Reason(f"{key} holds NaN or infinite values", where=name, ways_out=_ways_out(node, key, value))
        elif np.any(np.abs(value[np.isfinite(value)]) > LARGEST):
            told = f"{key} holds {np.abs(value).max():.3g}"
            yield Reason(told, where=name, possible=f"possible are numbers up to {LARGEST:g}")
        elif key.startswith("tau") and value.size and value.min() <= 0:
            yield Reason(f"{key} goes down to {value.min():.6g}", where=name, possible="needed is above 0")


def _means_no_leak(node: RawNode, key: str, value: np.ndarray[Any, Any], preset: str) -> Any:
    """Where an infinite number says that nothing leaks: a time constant, or the factor that its tool makes of it."""
    if key.startswith("tau"):  # which tool wrote it decides whether such a neuron integrates or stands still
        return np.isposinf(value) & (preset != "nir")
    tau = _time_constant(node, key)
    if tau is None or preset not in UNIT_FACTOR or np.shape(tau) != value.shape:
        return np.zeros(value.shape, dtype=bool)
    return np.isposinf(value) & np.isposinf(tau)


def _time_constant(node: RawNode, key: str) -> Any:
    """The time constant that a factor r or w_in goes with."""
    names = {"r": ("tau", "tau_mem"), "w_in": ("tau_syn",)}.get(key, ())
    return next((node.values[n] for n in names if n in node.values), None)


def _ways_out(node: RawNode, key: str, value: np.ndarray[Any, Any]) -> tuple[str, ...]:
    tau = value if key.startswith("tau") else _time_constant(node, key)
    if tau is None or not np.any(np.isposinf(value)) or not np.any(np.isposinf(np.asarray(tau))):
        return ()
    return ("an infinite time constant is no leak (beta = 1) in some tools' files: say --from with the tool",)


def _refuse(name: str, unsupported: list[Reason], problems: list[Reason]) -> None:
    told = [reason.inside(name) for reason in unsupported[:SHOWN] + problems[:SHOWN]]
    if unsupported:
        raise Unsupported.together(told)
    if problems:
        raise InputError.together(told)


# ---------------------------------------------------------------------------------------------- populations


def _populations(graph: NirGraph) -> tuple[dict[str, Population], dict[str, str]]:
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


def _shown_directly(graph: NirGraph, name: str) -> str | None:
    """The population that an Output shows, with nothing between that could change an answer."""
    while len(before := graph.before[name]) == 1:
        name = before[0]
        if graph.role(name) == "population":
            return name
        if graph.role(name) != "operator" or name in graph.biases or not all(map(_keeps_order, graph.ops[name])):
            return None
    return None


def _keeps_order(op: Op) -> bool:
    """True where the largest value behind ``op`` is the largest in front, at every step and in every sum of steps."""
    if isinstance(op, Scale):
        return bool(op.scale.size and op.scale.min() == op.scale.max() > 0)
    return isinstance(op, Reshape)


def _try(graph: NirGraph, make: Callable[[], Population]) -> Population | None:
    try:
        return make()
    except Unsupported as error:
        graph.unsupported += error.reasons
    except InputError as error:
        graph.problems += error.reasons
    return None


def _evaluation_order(graph: NirGraph, cells: list[str]) -> tuple[list[str], dict[str, int]]:
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


def _next_cells(graph: NirGraph, name: str, cells: Iterable[str]) -> list[str]:
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


def _enters(graph: NirGraph, name: str, inside: set[str]) -> bool:
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
