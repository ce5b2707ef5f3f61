"""A spiking student: a directed graph of populations of norse cells and of the synapses between them.

Layer by layer: the synapses of a layer take all T steps as one batch of T * B, then its neurons take all steps at
once. Only a population that feeds back into itself steps through time.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from seamount.errors import ConfigError, InputError, Unsupported
from seamount.notebook import card, frame, headed, line
from seamount.surroundings import require_plain_torch

from . import fold, notebook
from .cells import Neurons
from .spike_conv import fits, spike_conv

if TYPE_CHECKING:
    from pandas import DataFrame

INPUT = "input"
READOUT = "readout"

Answer = Literal["sum", "v", "max"]
"""What of the readout is compared class by class: its logits of all steps together, of the last, or the largest."""


class Stream(nn.Module):
    """A real-valued sum in the place of neurons, such as the residual stream of a pre-activation ResNet.

    No chip that sends spikes holds it: ``export.to_nir`` refuses it.
    """


class Sum(nn.Module):
    """Readout whose logits of a step are that step's drive; on chip an integrator, whose v / T is their mean."""


class AnySpike(nn.Module):
    """Max-pooling of spikes: one spike where any neuron of a window spikes, driven by an ``nn.MaxPool2d`` alone.

    On chip neurons without memory whose threshold is half of one weight; they cost a step, as all populations do.
    """

    v_th = 0.5
    """Of weights of 1."""

    def forward(self, drive: Tensor) -> Tensor:
        return drive


Population = Neurons | Stream | Sum | AnySpike


@dataclass(frozen=True)
class Synapse:
    """From one population (or "input") to another: a module of torch layers, ``nn.Identity`` for a plain skip."""

    name: str
    source: str
    target: str
    module: nn.Module


@dataclass(frozen=True)
class StudentOutput:
    """
    Attributes:
        logits: per step, not accumulated, (T, B, K).
        spikes: what was asked for, population -> (T, B, *shape).
    """

    logits: Tensor
    spikes: Mapping[str, Tensor] = field(default_factory=dict)


class SpikingNet(nn.Module):
    """
    Args:
        name: for messages and files.
        input_shape: (C, H, W) or (N,).
        n_steps: T for still images, and the T that files carry.
        populations: name -> Neurons, AnySpike or a Stream; the readout is called "readout": a Sum or leaky
            integrators.
        synapses: several into one population add up; one from a population to itself (a Linear without bias) is its
            recurrence, one step later.
        features: populations whose spikes a method may regress on, outermost first.
        input_bits: 8 for images, 0 for spikes.
        input_scale: the chip's input is x * input_scale; default 2**input_bits - 1, 1 for spikes.

    Inputs are in [0, 1] and not normalised, so that an 8-bit image is the chip's input as it is.

    Attributes:
        answer: how the readout is read; at first "sum" of a Sum, and of leaky integrators their last "v". A Sum has
            no other: what it holds on the chip is the sum.
    """

    def __init__(
        self,
        name: str,
        *,
        input_shape: Sequence[int],
        n_steps: int,
        populations: Mapping[str, Population],
        synapses: Sequence[Synapse],
        features: Sequence[str] = (),
        input_bits: int = 8,
        input_scale: float | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.input_shape = tuple(input_shape)
        self.n_steps = n_steps
        self.features = tuple(features)
        self.input_bits = input_bits
        self.input_scale = input_scale or (float((1 << input_bits) - 1) if input_bits else 1.0)
        self.edges = tuple((s.name, s.source, s.target) for s in synapses)
        _check(name, n_steps, populations, self.edges, self.features)
        self.answer: Answer = "sum" if isinstance(populations[READOUT], Sum) else "v"
        self.populations = nn.ModuleDict(populations)
        self.synapses = nn.ModuleDict({s.name: s.module for s in synapses})
        self.order = _order(name, list(populations), self.edges)
        self._from_spikes = {s.name for s in synapses if s.source in populations and _spikes(populations[s.source])}
        self.shapes = self._measure()
        if flat := self._held_as_vectors():
            self._hold_as_vectors(flat)
            self.shapes = self._measure()
        self._is_ann = False
        for source, target in self._loops().items():
            weight = getattr(self.synapses[target], "weight", None)
            if not isinstance(weight, Tensor) or getattr(self.synapses[target], "bias", None) is not None:
                raise ConfigError(f"{target}: recurrence of {source} needs a Linear without bias", where=name)

    # ------------------------------------------------------------------------------------------- questions

    @property
    def n_classes(self) -> int:
        return self.shapes[READOUT][0]

    @property
    def readout(self) -> Population:
        return self.populations[READOUT]  # type: ignore[return-value]

    def into(self, population: str) -> list[tuple[str, str]]:
        """(synapse, source) of what drives a population in the same step."""
        return [(name, source) for name, source, target in self.edges if target == population and source != target]

    def _loops(self) -> dict[str, str]:
        return {source: name for name, source, target in self.edges if source == target}

    def loop(self, population: str) -> str | None:
        """The synapse from a population to itself."""
        return self._loops().get(population)

    def recurrent(self, population: str) -> Tensor | None:
        """Weights from a population to itself, (N, N)."""
        name = self.loop(population)
        return None if name is None else self.synapses[name].weight  # type: ignore[return-value]

    def neurons(self) -> dict[str, Neurons]:
        """Populations of norse cells, in order of execution."""
        return {name: p for name in self.order if isinstance(p := self.populations[name], Neurons)}

    def spiking(self) -> list[str]:
        """Populations that spike, in order of execution."""
        return [name for name in self.order if _spikes(self.populations[name])]

    # ----------------------------------------------------------------------------------------------- running

    def forward(self, x: Tensor, *, record: bool | Collection[str] = False) -> StudentOutput:
        """
        Args:
            x: (B, *input_shape), seen at every one of ``n_steps`` steps, or (T, B, *input_shape).
            record: populations whose spikes are returned; True: all that spike.
        """
        if not torch.compiler.is_compiling():
            require_plain_torch()
        values = {INPUT: self.frames(x)}
        n_steps = self.n_steps if x.dim() == len(self.input_shape) + 1 else x.shape[0]
        wanted = set(self.spiking() if record is True else record or ())
        readers = {name: {t for _, s, t in self.edges if s == name and t != s} for name in (INPUT, *self.order)}
        kept: dict[str, Tensor] = {}
        for name in self.order:
            values[name] = self.sent(name, values, n_steps)
            if name in wanted:
                kept[name] = values[name]
            for source in [s for s, left in readers.items() if name in left]:
                readers[source].discard(name)
                if not readers[source]:  # or a deep student would hold every layer's steps at once
                    values.pop(source, None)
        logits = values[READOUT]
        return StudentOutput(logits.expand(n_steps, *logits.shape[1:]), kept)

    @contextmanager
    def as_ann(self) -> Iterator[None]:
        """Inside, ``forward`` sends ReLUs in the place of spikes: the ANN of the same graph and weights.

        A still image passes through it once, so that it costs a step, not T.

        Raises:
            ConfigError: a population has a recurrence, which no ANN unfolds.
        """
        if self._loops():
            raise ConfigError(
                f"{', '.join(self._loops())} is recurrent, which no ANN unfolds",
                where=self.name,
                ways_out="set distill.ann_epochs to 0",
            )
        before, self._is_ann = self._is_ann, True
        try:
            yield
        finally:
            self._is_ann = before  # because one may stand in another

    def sent(self, name: str, values: Mapping[str, Tensor], n_steps: int) -> Tensor:
        """What a population sends, from the values of its sources (T or 1, B, *shape)."""
        population = self.populations[name]
        (first, source), *others = self.into(name)
        norm = _last_norm(self.synapses[first]) if isinstance(population, Neurons) and population.spiking else None
        x = self.drive(first, values[source], but_last=norm is not None)
        added = [self.drive(synapse, values[other]) for synapse, other in others]
        if norm is not None:
            assert isinstance(population, Neurons)
            other = reduce(operator.add, added) if added else None
            alone = not self._is_ann and self.loop(name) is None and population.fusable(x)
            # a hook of the population is called with the drive, which would never be there
            alone = alone and not population._forward_pre_hooks and not population._forward_hooks
            if alone and norm.training:
                from .lif import normed  # here, because it brings numba, see lif/gradients.py

                if normed.fits(norm, x, other):
                    return normed.normed_lif(norm, x, other, population.constants(), n_steps)
            x = norm(x.flatten(0, 1)).view(x.shape)
        drive = reduce(operator.add, [x, *added])
        if not isinstance(population, Neurons):
            return drive
        if self._is_ann and population.spiking:
            return population.rectified(drive)
        out: Tensor = population(drive, n_steps, self.recurrent(name))
        return out

    def drive(self, synapse: str, x: Tensor, *, but_last: bool = False) -> Tensor:
        """What a synapse makes of values (T, B, *shape); ``but_last``: without the last layer of its chain."""
        module = self.synapses[synapse]
        if isinstance(module, nn.Identity):
            return x
        maps = x.flatten(0, 1)
        out: Tensor
        first = module[0] if isinstance(module, nn.Sequential) and synapse in self._from_spikes else None
        if isinstance(first, nn.Conv2d) and fits(first, maps):
            out = spike_conv(first, maps)
            for layer in list(module)[1 : -1 if but_last else None]:  # type: ignore[call-overload]
                out = layer(out)
        else:
            out = (module[:-1] if but_last else module)(maps)  # type: ignore[index]
        return out.view(*x.shape[:2], *out.shape[1:])

    def frames(self, x: Tensor) -> Tensor:
        """(T or 1, B, *input_shape): what stays the same at every step goes through the first synapses once."""
        _check_input(x, self.input_shape, self.name)
        return x.unsqueeze(0) if x.dim() == len(self.input_shape) + 1 else x

    def step_through(self, x: Tensor) -> StudentOutput:
        """The whole net step by step, as norse is used: every synapse and every cell once a step.

        Equal to ``forward`` in eval mode; in training mode batch norm sees one step at a time.
        """
        frames = self.frames(x)
        n_steps = self.n_steps if x.dim() == len(self.input_shape) + 1 else x.shape[0]
        states: dict[str, object] = {}
        logits = []
        for t in range(n_steps):
            values = {INPUT: frames[t if frames.shape[0] > 1 else 0]}
            for name in self.order:
                drive = sum(self.synapses[synapse](values[source]) for synapse, source in self.into(name))
                population = self.populations[name]
                assert isinstance(drive, Tensor)
                if isinstance(population, Neurons):
                    weight = self.recurrent(name)
                    weight = None if weight is None else population.gain * weight
                    seen = population.gain * drive if population.gain != 1 else drive
                    values[name], states[name] = population.step(seen, states.get(name), weight)
                else:
                    values[name] = drive
            logits.append(values[READOUT])
        return StudentOutput(torch.stack(logits))

    def _measure(self) -> dict[str, tuple[int, ...]]:
        """Shape of every population, from one silent sample."""
        values = {INPUT: torch.zeros(1, *self.input_shape)}
        training = self.training
        self.eval()
        with torch.no_grad():
            for name in self.order:
                shapes = {}
                for synapse, source in self.into(name):
                    try:
                        values[name] = self.synapses[synapse](values[source])
                    except (RuntimeError, ValueError) as error:
                        shape = tuple(values[source].shape[1:])
                        raise ConfigError(
                            f"{synapse} does not take {source} {shape}: {error}", where=self.name
                        ) from error
                    shapes[synapse] = tuple(values[name].shape[1:])
                if len(set(shapes.values())) != 1:
                    raise ConfigError(f"synapses into {name} make different shapes: {shapes}", where=self.name)
        self.train(training)
        return {name: tuple(value.shape[1:]) for name, value in values.items()}

    def _held_as_vectors(self) -> set[str]:
        """Maps that no chain of NIR's nodes makes: behind a transposed convolution, and from there on."""
        found: set[str] = set()
        for target in self.order:
            made = any(
                source in found or fold.has_no_node(self.synapses[name], self.shapes[source], name)
                for name, source in self.into(target)
            )
            if made and len(self.shapes[target]) > 1:
                found.add(target)
        return found

    def _hold_as_vectors(self, flat: Collection[str]) -> None:
        """Their values in C order; a synapse from them sees the map again."""
        for name, source, target in self.edges:
            plain = isinstance(self.synapses[name], nn.Identity)
            if source == target or (plain and {source, target} <= set(flat)):
                continue
            if isinstance(self.populations[target], AnySpike) and source in flat:
                raise Unsupported(
                    f"max-pooling of {source}, whose map NIR's nodes do not make",
                    where=f"{self.name}: {name}",
                    ways_out="use average pooling or a stride of 2 there",
                )
            before = [nn.Unflatten(1, self.shapes[source])] if source in flat else []
            behind = [nn.Flatten()] if target in flat else []
            if before or behind:
                self.synapses[name] = nn.Sequential(*before, self.synapses[name], *behind)

    # ----------------------------------------------------------------------------------------------- for people

    def __repr__(self) -> str:
        return line("SpikingNet", self.name, notebook.facts(self))

    def __str__(self) -> str:
        """torch's own, layer by layer."""
        return super().__repr__()

    def _repr_html_(self) -> str:
        facts = " · ".join(notebook.facts(self))
        return card(f"student {self.name}", facts, headed(notebook.populations(self)))

    def table(self) -> DataFrame:
        """Its populations, a row each."""
        return frame(notebook.populations(self))

    def extra_repr(self) -> str:
        return f"{self.name}, input {self.input_shape}, {self.n_steps} steps"


def _last_norm(synapse: nn.Module) -> nn.Module | None:
    """The batch norm that ends a synapse's chain of layers."""
    last = list(synapse)[-1] if isinstance(synapse, nn.Sequential) and len(synapse) > 1 else None
    return last if isinstance(last, nn.BatchNorm1d | nn.BatchNorm2d) else None


def _spikes(population: nn.Module) -> bool:
    return isinstance(population, AnySpike) or (isinstance(population, Neurons) and population.spiking)


# ------------------------------------------------------------------------------------------------------- checking


def _check(
    name: str,
    n_steps: int,
    populations: Mapping[str, Population],
    edges: Sequence[tuple[str, str, str]],
    features: Sequence[str],
) -> None:
    if n_steps < 1:
        raise ConfigError(f"{n_steps} steps", where=name, possible="at least 1 is needed")
    readout = populations.get(READOUT)
    if not isinstance(readout, Sum) and not (isinstance(readout, Neurons) and not readout.spiking):
        raise ConfigError(f'needs a population "{READOUT}" that is a Sum or leaky integrators', where=name)
    _check_names(name, populations, edges)
    for population in populations:
        if not any(target == population != source for _, source, target in edges):
            raise ConfigError(f"nothing drives {population}", where=name)
    for feature in features:
        if feature not in populations:
            raise ConfigError(
                f"feature {feature} does not exist", where=name, possible=f"there are {', '.join(populations)}"
            )


def _check_input(x: Tensor, shape: tuple[int, ...], name: str) -> None:
    if x.dim() - len(shape) not in (1, 2) or tuple(x.shape[x.dim() - len(shape) :]) != shape:
        sides = ", ".join(str(n) for n in shape)
        raise InputError(
            f"input of shape {tuple(x.shape)}",
            where=name,
            possible=f"possible are (B, {sides}) and (T, B, {sides})",
        )
    if 0 in x.shape[:2]:
        raise InputError(f"input of shape {tuple(x.shape)} has no step or no sample", where=name)
    if not x.is_floating_point():
        raise InputError(
            f"input of type {x.dtype}", where=name, possible="needed are floating point numbers in [0, 1]"
        )


def _check_names(name: str, populations: Mapping[str, Population], edges: Sequence[tuple[str, str, str]]) -> None:
    """Every synapse ends where something is, and no name means two things: the program would mix them up."""
    names = {INPUT, *populations}
    for synapse, *ends in edges:
        for end in ends:
            if end not in names:
                raise ConfigError(
                    f"{synapse}: {end} does not exist", where=name, possible=f"there are {', '.join(sorted(names))}"
                )
    synapses = [synapse for synapse, _, _ in edges]
    twice = {s for s in synapses if synapses.count(s) > 1 or s in names}
    if twice:
        raise ConfigError(f"used for more than one thing: {', '.join(sorted(twice))}", where=name)


def _order(name: str, populations: list[str], edges: Sequence[tuple[str, str, str]]) -> list[str]:
    """Sources before targets; a loop over several populations would be longer on chip than here, so it is refused."""
    placed: list[str] = []
    waiting = list(populations)
    while waiting:
        ready = [p for p in waiting if all(s in (INPUT, p, *placed) for _, s, t in edges if t == p)]
        if not ready:
            raise ConfigError(
                f"loop through {', '.join(waiting)}",
                where=name,
                possible="only a population's own recurrence is possible",
            )
        placed += ready
        waiting = [p for p in waiting if p not in ready]
    return placed
