"""What a user's module turned out to be: cells and the chains of layers between them, soon a ``SpikingNet``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import norse.torch as norse
import torch
from torch import Tensor, nn

from seamount.errors import ConfigError

from . import fold
from .cells import INTEGRATORS, SPIKING, Neurons, inverse_time_constant, snap
from .spiking_net import INPUT, READOUT, AnySpike, Population, Sum, Synapse

SEQUENCES = (norse.LIF, norse.LI, norse.LIFRecurrent)
"""Cells that take all steps at once."""

RECURRENT = (norse.LIFRecurrentCell, norse.LIFRecurrent)

CELLS = (*SPIKING, *INTEGRATORS, *SEQUENCES, norse.LIFRecurrentCell, norse.LILinearCell)

POSSIBLE = (
    "possible are LIFBoxCell, LIFCell, LIFRecurrentCell, LIBoxCell, LICell, LILinearCell, LIF, LIFRecurrent, LI"
)

LINEAR = (nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten)
"""Layers without bias that may stand behind an addition: the same of each summand."""


@dataclass(frozen=True)
class Term:
    """A population's values behind a chain of layers.

    Attributes:
        step: at which they are taken; None: at each one the reader's own (a still input, or a whole sequence).
    """

    source: str
    layers: tuple[tuple[str, nn.Module], ...] = ()
    step: int | None = None


Value = tuple[Term, ...]
"""A sum."""


def label(name: str) -> str:
    """A module's name as that of a population or synapse."""
    return ("layer" if name[:1].isdigit() else "") + name.replace(".", "_")


@dataclass
class Drawing:
    """Cells by name, and what each was called with, step by step."""

    snap_decays: bool = False
    cells: dict[str, nn.Module] = field(default_factory=dict)
    calls: dict[str, list[Value]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def layer(self, name: str, module: nn.Module, value: Value) -> Value:
        """Behind a layer of torch."""
        if not fold.layers(module):
            return value
        pools = all(isinstance(layer, nn.MaxPool2d) for term in value for _, layer in term.layers)
        if not (isinstance(module, nn.MaxPool2d) and len(value) == 1 and pools):  # else neurons of their own
            self.refuse(*fold.problems(module, name))
        if len(value) > 1 and not isinstance(module, LINEAR):
            self.refuse(f"{name}: takes a sum of {len(value)} branches; put neurons behind the addition")
        return tuple(replace(term, layers=(*term.layers, (name, module))) for term in value)

    def cell(self, name: str, module: nn.Module, value: Value) -> Value:
        """Behind a cell, which it calls once more."""
        name = label(name)
        if fold.has_own_forward(module):
            self.refuse(f"{name}: {type(module).__name__} has a forward pass of its own; {POSSIBLE}")
        step = len(self.calls.setdefault(name, []))
        self.cells[name] = module
        self.calls[name].append(value)
        return (Term(name, step=None if isinstance(module, SEQUENCES) else step),)

    def refuse(self, *problems: str) -> None:
        """Notes each once: a loop meets it at every step."""
        self.problems += [problem for problem in problems if problem not in self.problems]

    # ------------------------------------------------------------------------------------ what becomes of it

    def graph(self, end: Value, spikes_count: bool) -> tuple[dict[str, Population], list[Synapse]]:
        """Populations and synapses, with the readout behind ``end``; problems are noted."""
        made = _Graph({}, [], self.problems)
        for name, module in self.cells.items():
            population = self._population(name, module)
            if population is not None:
                made.populations[name] = population
        for name, module in self.cells.items():
            if name in made.populations:
                self._drive(made, name, module)
        self._read(made, end, spikes_count)
        return made.populations, made.synapses

    def _population(self, name: str, module: nn.Module) -> Population | None:
        p: Any = module.p
        numbers = {
            k: v
            for k in ("tau_mem_inv", "tau_syn_inv", "v_leak", "v_th", "v_reset")
            if (v := getattr(p, k, None)) is not None
        }
        several = [key for key, value in numbers.items() if torch.as_tensor(value).numel() > 1]
        if several:
            self.refuse(f"{name}: {', '.join(several)} of each neuron; one for all of a population is possible")
            return None
        try:
            cell = _step_cell(module, self.snap_decays)
            return Neurons(cell)
        except ConfigError as error:
            self.refuse(f"{name}: {error}")
            return None

    def _drive(self, made: _Graph, name: str, module: nn.Module) -> None:
        terms = self._terms(name)
        before: tuple[tuple[str, nn.Module], ...] = ()
        if isinstance(module, (*RECURRENT, norse.LILinearCell)):
            before = ((f"{name}_weights", _linear(module.input_weights)),)
        for term, lag in terms:
            if lag == 0:
                made.connect(replace(term, layers=(*term.layers, *before)), name)
            elif lag != 1 or term.source != name:
                self.refuse(
                    f"{name}: takes {term.source} of {lag} steps before; only a population's own spikes of one step "
                    "before are possible, by a Linear without bias"
                )
            else:
                made.loop(term, name)
        if isinstance(module, RECURRENT):
            made.loop(Term(name, ((f"{name}_recurrent", _linear(module.recurrent_weights)),)), name)

    def _terms(self, name: str) -> list[tuple[Term, int]]:
        """What drives a cell, and how many steps before; the same at every step, but for what step 0 has not yet."""
        calls = [
            [(replace(term, step=None), 0 if term.step is None else step - term.step) for term in value]
            for step, value in enumerate(self.calls[name])
        ]
        rule = calls[min(1, len(calls) - 1)]
        if calls[0] != [(term, lag) for term, lag in rule if lag == 0]:
            self.refuse(f"{name}: is driven otherwise at step 0 than later")
        for step, call in enumerate(calls[2:], 2):
            if call != rule:
                self.refuse(f"{name}: is driven otherwise at step {step} than before")
                break
        return rule

    def _read(self, made: _Graph, end: Value, spikes_count: bool) -> None:
        end = tuple(replace(term, step=None) for term in end)
        last = end[0].source
        population = made.populations.get(last)
        if len(end) == 1 and not end[0].layers and isinstance(population, Neurons) and not population.spiking:
            made.populations[READOUT] = made.populations.pop(last)
            made.synapses = [replace(s, target=READOUT) if s.target == last else s for s in made.synapses]
            return
        spikes = all(not term.layers for term in end)
        if spikes and not spikes_count:
            self.refuse(f"ends in the spikes of {last} at one step; return their sum over time, or all of them")
        made.populations[READOUT] = Sum()
        for term in end:
            made.connect(term, READOUT)


@dataclass
class _Graph:
    populations: dict[str, Population]
    synapses: list[Synapse]
    problems: list[str]

    def connect(self, term: Term, target: str) -> None:
        term = self._pooled(term)
        layers = [module for _, module in term.layers]
        chain = nn.Sequential(*layers) if layers else nn.Identity()
        name = label(term.layers[-1][0]) if layers else f"{term.source}_to_{target}"
        self.synapses.append(Synapse(self._free(name), term.source, target, chain))

    def loop(self, term: Term, target: str) -> None:
        layers = [module for name, module in term.layers]
        if len(layers) != 1 or not isinstance(layers[0], nn.Linear) or getattr(layers[0], "bias", None) is not None:
            self.problems.append(f"{target}: its own spikes come back by other than one Linear without bias")
            return
        self.synapses.append(Synapse(self._free(label(term.layers[0][0])), target, target, layers[0]))

    def _pooled(self, term: Term) -> Term:
        """Max-pooling, which stands right behind spikes, is a population of its own."""
        while term.layers and isinstance(term.layers[0][1], nn.MaxPool2d):
            name, module = term.layers[0]
            if label(name) not in self.populations:
                self.populations[label(name)] = AnySpike()
                self.synapses.append(Synapse(self._free(f"{label(name)}_in"), term.source, label(name), module))
            term = Term(label(name), term.layers[1:])
        return term

    def _free(self, name: str) -> str:
        taken = {s.name for s in self.synapses} | {INPUT, READOUT, *self.populations}
        while name in taken:
            name += "_again"
        return name


def unknown_cells(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """norse's cells that no chip of ours has."""
    for name, inner in module.named_modules():
        foreign = type(inner).__module__.startswith("norse.") and not isinstance(inner, CELLS)
        if foreign and (hasattr(inner, "p") or hasattr(inner, "activation")):
            yield name, inner


def _step_cell(module: nn.Module, snap_decays: bool) -> nn.Module:
    """The cell that takes one step of what drives it, without weights of its own."""
    p: Any = module.p
    dt: Any = module.dt
    if snap_decays:
        decays = {key: getattr(p, key) for key in ("tau_mem_inv", "tau_syn_inv") if hasattr(p, key)}
        on_grid = {
            key: inverse_time_constant(snap(float(dt * value)), dt)
            for key, value in decays.items()
            if not isinstance(value, nn.Parameter)
        }
        p = p._replace(**on_grid)
    kind: Any = type(module)
    if isinstance(module, (norse.LIF, *RECURRENT)):
        kind = norse.LIFCell
    elif isinstance(module, norse.LI | norse.LILinearCell):
        kind = norse.LICell
    made: nn.Module = kind(p, dt=dt) if snap_decays or kind is not type(module) else module
    return made


def _linear(weights: Tensor) -> nn.Linear:
    """A layer that holds the cell's own weights, so that training one trains the other."""
    layer = nn.Linear(weights.shape[1], weights.shape[0], bias=False)
    layer.weight = weights if isinstance(weights, nn.Parameter) else nn.Parameter(weights)
    return layer
