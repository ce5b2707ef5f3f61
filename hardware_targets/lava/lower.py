"""From a program to a graph of Lava processes, written down as plain data.

With ``neurons.py`` and ``synapses.py`` the only place that knows Lava's layout.

Lava holds maps as (W, H, C), flips its kernels (a true convolution), writes ``du - 1``, re-rounds the weights of a
matrix by their signs, and has no exponent on convolutions. What it cannot hold exactly is refused here, before a
process is started. Nothing here imports Lava.
"""

from __future__ import annotations

import numpy as np

from seamount.compile.arithmetic.inputs import is_held
from seamount.compile.program.messages import messages
from seamount.compile.program.program import Population, Program
from seamount.compile.synapses.kinds import Conv, Dense, Sparse, Synapses, Wire
from seamount.errors import Unsupported

from .graph import Change, Edge, Graph, Node, Port
from .neurons import PORTS, neuron_node
from .synapses import convolution, lava_kind, matrix

LONGEST_CHAIN = 4
"""Delays up to this many steps become hops through identity synapses, longer ones a single delayed identity, which
rebuilds a matrix per delay value at every step."""


def lava_graph(program: Program) -> Graph:
    """The Lava processes of a program.

    Raises:
        Unsupported: Lava's fixed-point models cannot hold the program exactly.
    """
    # marks of arrivals carry nothing, and Lava's processes must hold something
    heard = tuple(s for s in program.synapses if isinstance(s.kind, Wire) or s.kind.weights.size)
    return _Lowering(program.with_(synapses=heard)).graph()


class _Lowering:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []
        self.delayed: dict[tuple[str, int], Port] = {}
        names = [s.name for s in program.synapses]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise Unsupported(f"two synapse groups are called {twice}", where=program.name, ways_out="rename one")
        sent = messages(program)
        self.kinds = {s.name: lava_kind(s, program, sent[s.source]) for s in program.synapses}
        self.maps = {
            name for s in program.synapses if isinstance(self.kinds[s.name], Conv) for name in (s.source, s.target)
        }

    def graph(self) -> Graph:
        for entry in self.program.inputs:
            held = {"held": is_held(self.program, entry.name)}
            node = Node(entry.name, "Source", entry.shape, self._is_whc(entry.name), held)
            self._add("input", entry.name, node)
        for population in self.program.populations:
            self._population(population)
        for synapses in self.program.synapses:
            if not isinstance(synapses.kind, Wire):
                self._synapses(synapses)
        for population in self.program.populations:
            key, is_whc = f"population/{population.name}", self._is_whc(population.name)
            for drive in population.neuron.drives:
                into = Port(key, population.shape, is_whc, PORTS.get((type(population.neuron), drive), ""))
                for port in self._senders_into(population.name, drive):
                    self._connect(port, into)
        for synapses in self.program.synapses:
            if not isinstance(synapses.kind, Wire):
                self._feed(synapses)
        self._check_edges()
        return Graph(self.nodes, tuple(self.edges))

    def _is_whc(self, name: str) -> bool:
        return name in self.maps

    def _add(self, group: str, name: str, node: Node) -> Port:
        key = f"{group}/{name}"
        self.nodes[key] = node
        return Port(key, node.shape, node.is_whc)

    # -- populations

    def _population(self, population: Population) -> None:
        """What follows a relay listens to the relay's senders."""
        name = population.name
        node = neuron_node(population, self._is_whc(name))
        self._add("population", name, node)

    # -- connections

    def _senders(self, name: str) -> list[Port]:
        """Ports whose sum is what an input or population sends."""
        if name in {i.name for i in self.program.inputs}:
            return [Port(f"input/{name}", self.program.shape(name), self._is_whc(name))]
        if self.program.population(name).neuron.passes_on:
            return self._senders_into(name, *self.program.population(name).neuron.drives)
        return [Port(f"population/{name}", self.program.shape(name), self._is_whc(name))]

    def _senders_into(self, name: str, drive: str) -> list[Port]:
        ports: list[Port] = []
        for synapses in self.program.into(name):
            if synapses.drive != drive:
                continue
            if isinstance(synapses.kind, Wire):
                ports += self._senders(synapses.source)
            else:
                node = self.nodes[f"synapses/{synapses.name}"]
                ports.append(Port(f"synapses/{synapses.name}", node.shape, node.is_whc))
        return ports

    def _connect(self, source: Port, target: Port) -> None:
        changes: list[Change] = []
        if not (source.is_whc and target.is_whc and source.shape == target.shape):
            if source.is_whc:
                changes.append("reverse")
            if len(source.shape) > 1:
                changes.append("flatten")
            if len(target.shape) > 1:
                changes.append(target.shape)
            if target.is_whc:
                changes.append("reverse")  # its own inverse
        self.edges.append(Edge(source.key, target.key, tuple(changes), target.name))

    def _check_edges(self) -> None:
        seen = set()
        for edge in self.edges:
            if (edge.source, edge.target, edge.port) in seen:
                raise Unsupported(
                    f"hears {self.nodes[edge.source].name} twice in the same step, through different wires",
                    where=self.nodes[edge.target].name,
                    possible="Lava connects two ports once",
                    ways_out="double the weights instead",
                )
            seen.add((edge.source, edge.target, edge.port))

    # -- synapses

    def _synapses(self, synapses: Synapses) -> None:
        kind = self.kinds[synapses.name]
        source = self.program.shape(synapses.source)
        target = self.program.shape(synapses.target)
        # with 0 bits Lava takes every value that is not 0 for a spike; with more it multiplies, whatever their number
        message_bits = 24 if synapses.graded else 0
        match kind:
            case Conv():
                node = convolution(synapses, kind, source, target, message_bits)
            case Dense() | Sparse():
                node = matrix(synapses, kind, message_bits)
            case _:
                raise AssertionError(f"{synapses.name}: {type(kind).__name__} is lowered to a matrix before")
        self._add("synapses", synapses.name, node)

    def _feed(self, synapses: Synapses) -> None:
        """Connects a synapse group to what it listens to, over a delay line where it is a delayed convolution."""
        source = self.program.shape(synapses.source)
        if not isinstance(self.kinds[synapses.name], Conv):
            flat = Port(f"synapses/{synapses.name}", (int(np.prod(source)),), False)
            for port in self._senders(synapses.source):
                self._connect(port, flat)
            return
        into = Port(f"synapses/{synapses.name}", source, True)
        if synapses.delay.any():
            self._connect(self._delay_line(synapses.source, int(synapses.delay)), into)
        else:
            for port in self._senders(synapses.source):
                self._connect(port, into)

    def _delay_line(self, source: str, delay: int) -> Port:
        """What a source sent ``delay`` steps ago: graded identity synapses, shared by all who need them."""
        if (source, delay) in self.delayed:
            return self.delayed[source, delay]
        n = int(np.prod(self.program.shape(source)))
        diagonal = np.arange(n)
        settings = {"n_target": n, "n_source": n, "weight_exp": 0, "sign_mode": "EXCITATORY", "num_message_bits": 24}
        arrays = {"weights": np.ones(n, np.int64), "rows": diagonal, "columns": diagonal}
        short = delay <= LONGEST_CHAIN
        kind = "Sparse" if short else "DelaySparse"
        if not short:
            arrays["delays"] = np.full(n, delay - 1)  # one less, because the identity itself takes a step
        before = [self._delay_line(source, delay - 1)] if short and delay > 1 else self._senders(source)
        port = self._add(
            "delay", f"{source}/{delay}", Node(f"{source} + {delay}", kind, (n,), False, settings, arrays)
        )
        for sender in before:
            self._connect(sender, port)
        self.delayed[source, delay] = port
        return port
