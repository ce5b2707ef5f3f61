"""The program as nodes and edges with a rank each, for the picture of the network."""

from __future__ import annotations

from typing import assert_never

from seamount.compile.program.program import Program
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Sparse, Synapses, Wire
from seamount.errors import plural

from ..schema.values import Item
from .layers import kind_of, parameters


class Node(Item):
    name: str
    kind: str
    shape: tuple[int, ...]
    note: str
    rank: int
    supported: bool


class Edge(Item):
    source: str
    target: str
    label: str


class Graph(Item):
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def graph(program: Program) -> Graph:
    ranks = _ranks(program)
    inputs = [
        Node(
            name=i.name,
            kind="Input",
            shape=i.shape,
            note="spikes"
            if i.bits == 0
            else f"graded, {i.bits} {plural(i.bits, 'bit')}{' signed' if i.signed else ''}",
            rank=0,
            supported=True,
        )
        for i in program.inputs
    ]
    populations = [
        Node(
            name=p.name,
            kind=kind_of(p),
            shape=p.shape,
            note=parameters(p),
            rank=ranks[p.name],
            supported=True,
        )
        for p in program.populations
    ]
    edges = tuple(Edge(source=s.source, target=s.target, label=_label(s)) for s in program.synapses)
    return Graph(nodes=tuple(inputs + populations), edges=edges)


def _ranks(program: Program) -> dict[str, int]:
    """Longest path from an input; what feeds back is left out, otherwise ranks would grow without end."""
    ranks = {i.name: 0 for i in program.inputs}
    ranks |= {p.name: 1 for p in program.populations}
    order = {name: place for place, name in enumerate(ranks)}
    arrivals = program.arrivals()
    forward = [
        s for s in program.synapses if (arrivals[s.source], order[s.source]) < (arrivals[s.target], order[s.target])
    ]
    for _ in program.populations:  # no path is longer
        for synapses in forward:
            ranks[synapses.target] = max(ranks[synapses.target], ranks[synapses.source] + 1)
    return ranks


def _label(synapses: Synapses) -> str:
    kind = synapses.kind
    match kind:
        case Conv(weights=weights):
            label = f"conv {weights.shape[2]}×{weights.shape[3]}"
            label += f" / {kind.window.stride[0]}" if kind.window.stride != (1, 1) else ""
        case Dense(weights=weights):
            label = f"dense {weights.shape[1]}→{weights.shape[0]}"
        case Sparse():
            label = f"sparse, {kind.weights.size} {plural(kind.weights.size, 'synapse')}"
        case OneToOne():
            label = "one to one"
        case Wire():
            return "wire"
        case _:
            assert_never(kind)
    return label + (f", delay {synapses.delay.max()}" if synapses.delay.any() else "")
