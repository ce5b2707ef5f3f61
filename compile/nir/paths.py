"""Every path of operators between two populations as a connection, and the constants that biases add on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from seamount.errors import Reason

from ..graphs import strongly_connected
from ..network.network import (
    Connection,
    Delay,
    Op,
    Population,
    Reals,
    Scale,
    clock,
    reals,
    ticks,
)
from .graph import NirGraph

MAX_PATHS = 4096
"""Operator paths into one population; more are refused (a ladder of n diamonds has 2**n)."""


def connections(graph: NirGraph, cells: dict[str, Population], place: Mapping[str, int]) -> list[Connection]:
    """Every path of operators between two populations; the constants that they add go to the biases in ``cells``.

    Those in front of a Delay begin later than the neurons: a clock brings them, one more of the ``cells``.
    """
    constants = _Constants(graph)
    found: list[Connection] = []
    names: set[str] = set()
    for target in cells:
        if _count_paths(graph, target) > MAX_PATHS:
            graph.problems.append(
                Reason(
                    f"more than {MAX_PATHS} paths of operators lead to it", where=target, ways_out=("merge branches",)
                )
            )
            continue
        cells[target] = _biased(cells[target], constants, graph)
        for source, path in _paths(graph, target):
            name = _name(path, source, target, names, graph)
            names.add(name)
            previous = source in place and place[source] >= place[target]
            ops = _operators(graph, cells, source, path, previous)
            found += _one_delay_each(Connection(name, source, target, ops, previous))
    graph.problems += constants.problems
    targets = list(cells)
    for node, value in constants.delayed.items():
        cells[f"{node}.clock"] = clock(f"{node}.clock")
        found += [c for target in targets for c in _delayed_constant(graph, node, value, target)]
    return found


def _delayed_constant(graph: NirGraph, node: str, value: Reals, target: str) -> Iterator[Connection]:
    """What a clock brings in place of a bias in front of the Delay ``node``, along every way to a target."""
    ways = dict.fromkeys(path[path.index(node) + 1 :] for _, path in _paths(graph, target) if node in path)
    for i, way in enumerate(ways):
        name = f"{node}.clock.{target}" + (f"#{i + 1}" if i else "")
        ops = (*ticks(value, value.shape), *(op for n in (node, *way) for op in graph.ops[n]))
        yield from _one_delay_each(Connection(name, f"{node}.clock", target, ops))


def _one_delay_each(c: Connection) -> Iterator[Connection]:
    """Delays per neuron behind weights: a connection for each delay, into the neurons that have it.

    A delay that is the same for all goes in front of the weights, where synapses have it.
    """
    for i, op in enumerate(c.ops):
        if isinstance(op, Delay) and op.steps.ndim and not all(isinstance(other, Delay) for other in c.ops[:i]):
            delays = np.unique(op.steps)
            for n in delays:
                mask = (Scale(reals(op.steps == n)),) if len(delays) > 1 else ()
                ops = (Delay(np.array(n)), *c.ops[:i], *mask, *c.ops[i + 1 :])
                yield from _one_delay_each(
                    replace(c, name=c.name if n == delays[0] else f"{c.name}.delay{n}", ops=ops)
                )
            return
    yield c


def _biased(cell: Population, constants: _Constants, graph: NirGraph) -> Population:
    bias = constants.into(cell.name)
    if bias is None:
        return cell
    cell = replace(cell, bias=reals(bias))
    if graph.settings.first_step_feedback == "absent":  # norse: a loop brings nothing at step 0, no bias either
        late = constants.into(cell.name, only=_loop_operators(graph))
        cell = cell if late is None else replace(cell, late_bias=reals(late))
    return cell


def _operators(
    graph: NirGraph, cells: Mapping[str, Population], source: str, path: tuple[str, ...], previous: bool
) -> tuple[Op, ...]:
    """The operators of the nodes on a path, and what the settings say of the source's spikes."""
    ops = tuple(op for node in path for op in graph.ops[node])
    if graph.settings.spike == "dirac" and _spikes(graph, cells, source):
        assert graph.settings.dt is not None
        ops = (*ops, Scale(reals(1.0 / graph.settings.dt)))
    if _comes_late(graph, source) and not previous:  # what feeds back has its step already
        ops = (Delay(np.array(1)), *ops)
    return ops


def _comes_late(graph: NirGraph, source: str) -> bool:
    """True where a source's spikes leave a step after its potential crossed the threshold."""
    return graph.settings.output == "next-step" and graph.raw.nodes[source].kind in ("IF", "LIF", "CubaLIF")


def _spikes(graph: NirGraph, cells: Mapping[str, Population], source: str) -> bool:
    return source not in cells or cells[source].v_th is not None


def _count_paths(graph: NirGraph, target: str) -> int:
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
                # cut off, because a ladder of diamonds doubles them at every rung
                counts[node] = min(sum(counts[b] for b in graph.before[node]), MAX_PATHS + 1)
            stack.pop()

    total = 0
    for node in graph.before[target]:
        visit(node)
        total += counts[node]
    return total


def _paths(graph: NirGraph, target: str) -> list[tuple[str, tuple[str, ...]]]:
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


def _name(path: tuple[str, ...], source: str, target: str, taken: set[str], graph: NirGraph) -> str:
    """The name of the last weight on the path, or source->target; unique, also among the nodes that stay."""
    weighted = [n for n in path if graph.raw.nodes[n].kind in ("Affine", "Linear", "Conv1d", "Conv2d", "Scale")]
    for name in (*weighted[::-1], f"{source}->{target}", f"{source}->{'->'.join((*path, target))}"):
        if name not in taken:
            return name
    return next(name for i in range(2, MAX_PATHS + 3) if (name := f"{source}->{target}#{i}") not in taken)


def _loop_operators(graph: NirGraph) -> set[str]:
    """Operators that lie on a loop."""
    loops = strongly_connected(list(graph.raw.nodes), graph.after)
    return {n for loop in loops if len(loop) > 1 for n in loop if graph.role(n) == "operator"}


class _Constants:
    """What the biases of the operators alone bring to each node; computed once per node."""

    def __init__(self, graph: NirGraph) -> None:
        self.graph = graph
        self.known: dict[tuple[str, bool], Reals | None] = {}
        self.problems: list[Reason] = []
        self.delayed: dict[str, Reals] = {}
        """Delay -> the constants in front of it."""

    def into(self, target: str, only: set[str] | None = None) -> Reals | None:
        """Sum over what enters ``target``; None for nothing. ``only``: count the biases of these nodes alone."""
        total: Reals | None = None
        for node in self.graph.before[target]:
            total = _added(total, self._of(node, only))
        return total

    def _of(self, root: str, only: set[str] | None) -> Reals | None:
        stack = [root]  # of its own, because Python's is too short for the longest chains that the reader takes
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
            value = self._through(node, value, only)
            if node in self.graph.biases and (only is None or node in only):
                value = _added(value, self.graph.biases[node])
            self.known[key] = value
        return self.known[root, only is None]

    def _through(self, node: str, value: Reals | None, only: set[str] | None) -> Reals | None:
        if value is None or not np.any(value):
            return None
        for op in self.graph.ops[node]:
            if isinstance(op, Delay):
                if only is None:
                    self.delayed[node] = value
                elif np.any(value):
                    told = "a bias in front of a delay in a loop, whose first step has none"
                    self.problems.append(Reason(told, where=node, ways_out=("put the delay first",)))
                return None
            value = _behind(op, value)
        return value


def _behind(op: Op, value: Reals) -> Reals:
    import torch  # here, because loading it takes longer than most compiles

    from ..network.interpret import apply_op

    return reals(apply_op(op, torch.from_numpy(value.copy())[None])[0].numpy())


def _added(a: Reals | None, b: Reals | None) -> Reals | None:
    if a is None or b is None:
        return a if b is None else b
    return reals(a + b)
