"""A user's own module of torch layers and norse cells as a ``SpikingNet``, so that it can be exported and quantised.

Chains (``nn.Sequential``, norse's ``SequentialState``) are read as they stand; anything else is traced with torch.fx.
A forward pass describes one step: cells may be called with or without a state, and additions are skips.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.fx
from norse.torch import SequentialState
from torch import nn

from seamount.errors import Unsupported

from . import fold
from .cells import INTEGRATORS, SPIKING, Neurons
from .spiking_net import INPUT, READOUT, AnySpike, Population, SpikingNet, Sum, Synapse

CELLS = SPIKING + INTEGRATORS
ADDITIONS = (operator.add, operator.iadd, torch.add)


@dataclass(frozen=True)
class Term:
    """A population's values behind a chain of layers."""

    source: str
    layers: tuple[tuple[str, nn.Module], ...] = ()


Value = tuple[Term, ...]


@dataclass
class _Reader:
    populations: dict[str, Population] = field(default_factory=dict)
    synapses: list[Synapse] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def layer(self, name: str, module: nn.Module, value: Value) -> Value:
        if isinstance(module, CELLS):
            return self.cell(name, Neurons(module), value)
        if not fold.layers(module):
            return value
        if isinstance(module, nn.MaxPool2d) and len(value) == 1 and not value[0].layers:
            label = name.replace(".", "_")
            self.populations[label] = AnySpike()
            self.synapses.append(Synapse(f"{label}_in", value[0].source, label, module))
            return (Term(label),)
        self.problems += fold.problems(module, name)
        if len(value) > 1:
            self.problems.append(f"{name}: takes a sum of {len(value)} branches; put neurons behind the addition")
        return tuple(Term(term.source, (*term.layers, (name, module))) for term in value)

    def cell(self, name: str, population: Population, value: Value) -> Value:
        name = name.replace(".", "_")
        self.populations[name] = population
        for term in value:
            layers = [module for _, module in term.layers]
            label = term.layers[-1][0].replace(".", "_") if term.layers else f"{term.source}_to_{name}"
            taken = {s.name for s in self.synapses} | {INPUT, READOUT, *self.populations}
            while label in taken:
                label += "_again"
            chain = nn.Sequential(*layers) if layers else nn.Identity()
            self.synapses.append(Synapse(label, term.source, name, chain))
        return (Term(name),)


def from_module(
    module: nn.Module,
    *,
    input_shape: Sequence[int],
    n_steps: int,
    name: str = "net",
    input_bits: int = 0,
    input_scale: float | None = None,
) -> SpikingNet:
    """The student that a module is.

    Args:
        module: its last cell an LIBoxCell or LICell, or its last layer linear (a "sum" readout).
        input_shape: of one sample at one step, without batch.
        n_steps: T.

    Raises:
        Unsupported: everything in it that is neither a weighted sum nor a norse cell we know, by name.
    """
    reader = _Reader()
    start: Value = (Term(INPUT),)
    if isinstance(module, nn.Sequential | SequentialState):
        end = _chain(reader, module, "", start)
    else:
        end = _traced(reader, module, start)
    if reader.problems:
        raise Unsupported(f"{name} cannot become a spiking program:\n  " + "\n  ".join(reader.problems))
    _close(reader, end, name)
    net = SpikingNet(
        name,
        input_shape=input_shape,
        n_steps=n_steps,
        populations=reader.populations,
        synapses=reader.synapses,
        input_bits=input_bits,
        input_scale=input_scale,
    )
    return net.train(module.training)


def _close(reader: _Reader, end: Value, name: str) -> None:
    """Names the readout: the last integrators, or a sum of what the last layers say."""
    last = end[0].source
    population = reader.populations.get(last)
    if len(end) == 1 and not end[0].layers and isinstance(population, Neurons):
        if population.spiking:
            raise Unsupported(
                f"ends in the spikes of {last}",
                where=name,
                ways_out="end it in a Linear layer, an LIBoxCell or an LICell",
            )
        reader.populations[READOUT] = reader.populations.pop(last)
        reader.synapses = [
            Synapse(s.name, s.source, READOUT if s.target == last else s.target, s.module) for s in reader.synapses
        ]
    else:
        reader.cell(READOUT, Sum(), end)


def _chain(reader: _Reader, module: nn.Module, prefix: str, value: Value) -> Value:
    for key, child in module.named_children():
        name = f"{prefix}{key}" if not key.isdigit() or prefix else f"layer{key}"
        if isinstance(child, nn.Sequential | SequentialState) and any(isinstance(m, CELLS) for m in child.modules()):
            value = _chain(reader, child, f"{name}.", value)
        else:
            value = reader.layer(name, child, value)
    return value


class _Tracer(torch.fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, CELLS) or super().is_leaf_module(m, module_qualified_name)


def _traced(reader: _Reader, module: nn.Module, start: Value) -> Value:
    try:
        graph = _Tracer().trace(module)
    except Exception as error:  # torch.fx raises whatever the traced code raises
        raise Unsupported(
            f"torch.fx cannot follow its forward pass ({error})",
            where=type(module).__name__,
            ways_out="write one step of it without branches on values, or build a SpikingNet",
        ) from error
    return _Walk(reader, dict(module.named_modules()), start).end(graph)


@dataclass
class _Walk:
    """Through a traced graph, node by node. A value is None where nobody may use it as a layer's output: a state."""

    reader: _Reader
    modules: Mapping[str, nn.Module]
    start: Value

    def __post_init__(self) -> None:
        self.values: dict[torch.fx.Node, Any] = {}
        self.called: set[str] = set()

    def end(self, graph: torch.fx.Graph) -> Value:
        for node in graph.nodes:
            if node.op == "output":
                out: Any = node.args[0]
                while isinstance(out, tuple | list):  # (output, states), as norse's own networks return
                    out = out[0]
                end: Value = self.values[out]
                return end
            self.values[node] = self.value(node)
        raise AssertionError("torch.fx ends every graph with its output")

    def value(self, node: torch.fx.Node) -> Any:
        given: list[Any] = [self.values.get(a) if isinstance(a, torch.fx.Node) else a for a in node.args]
        match node.op:
            case "placeholder":
                # the first argument is the input, the others are states
                return None if self.values else self.start
            case "call_module":
                return self.module(str(node.target), given[0])
            case "call_function" if node.target is operator.getitem:
                return given[0] if given[1] == 0 else None  # (spikes, state) of a cell
            case "call_function" | "call_method" if node.target in (*ADDITIONS, "add", "add_"):
                if all(isinstance(g, tuple) for g in given[:2]) and not node.kwargs:
                    return given[0] + given[1]
                return self.refuse(f"{node.name}: an addition of something that is no layer's output")
            case "call_function" | "call_method" if node.target in (torch.flatten, "flatten") and given[1:] == [1]:
                return self.reader.layer(node.name, nn.Flatten(), given[0])
            case _:
                shown = getattr(node.target, "__name__", node.target)
                return self.refuse(f"{node.name}: {shown} is neither a layer nor an addition; use torch modules")

    def module(self, target: str, value: Value) -> Value:
        if target in self.called and isinstance(self.modules[target], CELLS):
            self.reader.problems.append(f"{target}: called twice; a population is stepped once a step")
        self.called.add(target)
        return self.reader.layer(target, self.modules[target], value)

    def refuse(self, problem: str) -> Value:
        """Goes on as if from the input, so that all problems are told at once."""
        self.reader.problems.append(problem)
        return self.start
