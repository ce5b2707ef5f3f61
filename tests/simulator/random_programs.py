"""Programs drawn at random, of every kind of neuron and synapses, for hypothesis to shrink."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.compile.neurons.atrlif import Atrlif
from seamount.compile.neurons.delta import Delta
from seamount.compile.neurons.graded_relu_vec import GradedReluVec
from seamount.compile.neurons.graded_vec import GradedVec
from seamount.compile.neurons.lif import Lif
from seamount.compile.neurons.models import Neuron
from seamount.compile.neurons.norm_vec_delay import NormVecDelay
from seamount.compile.neurons.prod_neuron import ProdNeuron
from seamount.compile.neurons.relay import Relay
from seamount.compile.neurons.rf import Rf
from seamount.compile.neurons.rf_iz import RfIz
from seamount.compile.neurons.sigma import Sigma
from seamount.compile.neurons.sigma_delta import SigmaDelta
from seamount.compile.neurons.ternary_lif import TernaryLif
from seamount.compile.numbers import Ints, ints
from seamount.compile.program.program import Input, Population, Program, Readout, Reset
from seamount.compile.program.readout import QUANTITIES, as_quantity
from seamount.compile.synapses.kinds import Conv, Dense, Kind, OneToOne, Sparse, Synapses, Wire
from seamount.compile.synapses.shape import target_shape
from seamount.errors import InputError
from seamount.windows import Window

Random = np.random.Generator


def random_case(seed: int, graded: bool = False) -> tuple[Program, dict[str, NDArray[Any]], int]:
    """A program of up to five populations, inputs for it, and a number of steps."""
    return case_of(GradedPrograms if graded else Programs, seed)


def case_of(programs: type[Programs], seed: int) -> tuple[Program, dict[str, NDArray[Any]], int]:
    random = np.random.default_rng(seed)
    program = programs(random).draw()
    n_steps = int(random.integers(1, 24))
    batch, length = int(random.integers(1, 4)), int(random.integers(1, n_steps + 1))
    return program, {i.name: _values(random, i, length, batch) for i in program.inputs}, n_steps


def _values(random: Random, entry: Input, length: int, batch: int) -> NDArray[Any]:
    values = random.integers(entry.low, entry.high + 1, (length, batch, *entry.shape))
    values = values * (random.random(values.shape) < random.choice([0.1, 0.5, 1.0]))
    if random.random() < 0.3:  # a still image
        values = np.repeat(values[:1], length, axis=0)
    return values


class Programs:
    """Draws programs; a subclass for another purpose draws other numbers for the same structures."""

    most_neurons = 19
    density = 0.3
    longest_delay = 5
    exponents: tuple[int, ...] = (0, 0, 0, 2, -1, -3)
    input_bits: tuple[int, ...] = (0, 0, 8, 12)

    def __init__(self, random: Random) -> None:
        self.random = random
        self.inputs = [self.input(f"in{k}") for k in range(int(random.integers(1, 3)))]
        self.shapes = {i.name: i.shape for i in self.inputs}
        self.populations: list[Population] = []
        self.synapses: list[Synapses] = []

    def draw(self) -> Program:
        for k in range(int(self.random.integers(1, 6))):
            self.populate(f"p{k}")
        for _ in range(int(self.random.integers(0, 3))):  # back, or ahead: a loop or a shortcut
            source, target = self.a_source(), str(self.random.choice([p.name for p in self.populations]))
            self.connect(source, target, self.into(self.shapes[source], self.shapes[target], wires=False))
        readout, n_steps = self.ending()
        neurons = {p.name: p.neuron for p in self.populations}
        entries, populations = tuple(self.inputs), tuple(self.populations)
        synapses = tuple(self.driven(s, neurons[s.target]) for s in self.synapses)
        return Program("random", entries, populations, synapses, readout, n_steps)

    def ending(self) -> tuple[Readout | None, int | None]:
        quantity = as_quantity(str(self.random.choice(QUANTITIES)), "random")
        return Readout(self.populations[-1].name, quantity), int(self.random.integers(2, 9))

    def driven(self, synapses: Synapses, target: Neuron) -> Synapses:
        """Synapses into one of the target's drives."""
        if len(target.drives) == 1:
            return synapses
        return replace(synapses, drive=str(self.random.choice(target.drives)))

    def populate(self, name: str) -> None:
        first = self.a_source()
        kind, shape = self.out_of(self.shapes[first])
        self.connect(first, name, kind)
        for _ in range(int(self.random.choice([0, 0, 1, 2]))):
            source = self.a_source()
            self.connect(source, name, self.into(self.shapes[source], shape))
        self.shapes[name] = shape
        self.populations.append(Population(name, shape, self.neuron(shape), self.reset()))

    def a_source(self) -> str:
        return str(self.random.choice(list(self.shapes)))

    def reset(self) -> Reset | None:
        if self.random.random() < 0.7:
            return None
        return Reset(int(self.random.integers(2, 9)), int(self.random.integers(0, 9)))

    def input(self, name: str) -> Input:
        if self.random.random() < 0.5:
            height, width = (int(n) for n in self.random.integers(3, 8, 2))
            shape: tuple[int, ...] = (int(self.random.choice([2, 4])), height, width)
        else:
            shape = (int(self.random.integers(1, self.most_neurons + 1)),)
        bits = int(self.random.choice(self.input_bits))
        return Input(name, shape, bits, signed=bool(bits and self.random.random() < 0.3))

    def one_or_each(self, low: int, high: int, shape: tuple[int, ...]) -> Ints:
        if self.random.random() < 0.4:
            return ints(self.random.integers(low, high, shape))
        return ints(self.random.integers(low, high))

    def neuron(self, shape: tuple[int, ...]) -> Neuron:
        random = self.random
        if random.random() < 0.1:
            return Relay()
        scale = int(random.choice([300, 3000, 1 << 17]))
        common = {
            "du": self.one_or_each(0, 4097, shape),
            "dv": self.one_or_each(0, 4097, shape),
            "bias_mant": self.one_or_each(-4096, 4096, shape) if random.random() < 0.4 else ints(0),
            "bias_exp": self.one_or_each(-2, 8, shape),
            "u_init": self.one_or_each(-(1 << 23) + 1, 1 << 23, shape) if random.random() < 0.2 else ints(0),
            "v_init": self.one_or_each(-(1 << 23) + 1, 1 << 23, shape) if random.random() < 0.2 else ints(0),
        }
        high = self.one_or_each(0, scale, shape)
        if random.random() < 0.2:
            return TernaryLif(v_th_hi_mant=high, v_th_lo_mant=self.one_or_each(-scale, 1, shape), **common)
        rest = int(random.choice([0, 0, 0, 2]))
        floor = self.one_or_each(-64 * scale, 1, shape) if random.random() < 0.1 else None
        return Lif(v_th_mant=high, refractory_steps=rest, v_floor=floor, **common)

    def weights(self, shape: tuple[int, ...]) -> Ints:
        random = self.random
        largest = int(random.choice([4, 255, 255, 1 << 15, 1 << 22], p=[0.3, 0.3, 0.3, 0.05, 0.05]))
        weights = random.integers(-largest, largest + 1, shape) * (random.random(shape) < random.choice([0.3, 1.0]))
        return ints(weights << int(random.choice([0, 0, 2])))

    def out_of(self, source: tuple[int, ...]) -> tuple[Kind, tuple[int, ...]]:
        """Synapses out of a shape, and the shape that they make."""
        if len(source) == 3 and self.random.random() < 0.6:
            kind = self.convolution(source[0])
            try:
                made = target_shape(kind, source, "random")
            except InputError:  # the kernel is larger than the map
                return OneToOne(self.weights(())), source
            assert isinstance(made, tuple)
            return kind, made
        if self.random.random() < 0.3:
            return self.one_by_one(source), source
        shape = (int(self.random.integers(1, self.most_neurons + 1)),)
        return self.into(source, shape, wires=False), shape

    def one_by_one(self, shape: tuple[int, ...]) -> Kind:
        return OneToOne(self.weights(shape if self.random.random() < 0.5 else ()))

    def convolution(self, channels: int) -> Conv:
        random = self.random
        groups = int(random.choice([g for g in (1, 2, channels) if channels % g == 0]))
        kernel = tuple(int(k) for k in random.integers(1, 4, 2))
        weights = self.weights((groups * int(random.integers(1, 4)), channels // groups, *kernel))
        pairs = [tuple(int(x) for x in random.integers(low, high, 2)) for low, high in ((1, 4), (0, 3), (1, 3))]
        return Conv(weights, Window(*pairs, groups))

    def into(self, source: tuple[int, ...], target: tuple[int, ...], wires: bool = True) -> Kind:
        n_source, n_target = int(np.prod(source)), int(np.prod(target))
        if source == target and self.random.random() < 0.5:
            return Wire() if wires and self.random.random() < 0.5 else OneToOne(self.weights(source))
        if self.random.random() < 0.5:
            return Dense(self.weights((n_target, n_source)))
        rows, columns = np.nonzero(self.random.random((n_target, n_source)) < self.density)
        return Sparse(self.weights((len(rows),)), ints(rows), ints(columns), n_target, n_source)

    def connect(self, source: str, target: str, kind: Kind) -> None:
        name = f"s{len(self.synapses)}"
        if isinstance(kind, Wire):
            self.synapses.append(Synapses(name, source, target, kind))
            return
        delay = ints(0)
        if self.random.random() < 0.3:
            each = isinstance(kind, Dense | Sparse) and self.random.random() < 0.6
            delay = ints(self.random.integers(0, self.longest_delay + 1, kind.weights.shape if each else ()))
        exponent, graded = int(self.random.choice(self.exponents)), bool(self.random.random() < 0.5)
        wrap_bits = 24 if isinstance(kind, Conv) and self.random.random() < 0.5 else 32
        self.synapses.append(Synapses(name, source, target, kind, exponent, graded, delay, wrap_bits))


class GradedPrograms(Programs):
    """Populations of graded neurons among those of spikes."""

    input_bits = (0, 8, 12, 24, 31)

    def neuron(self, shape: tuple[int, ...]) -> Neuron:
        if self.random.random() < 0.3:
            return super().neuron(shape)
        return graded_neuron(self, shape)


def graded_neuron(programs: Programs, shape: tuple[int, ...]) -> Neuron:
    """One of the models beyond CUBA."""
    random = programs.random
    scale = int(random.choice([1, 30, 3000, 1 << 20]))
    threshold = programs.one_or_each(*((1, scale + 1) if random.random() < 0.8 else (-(1 << 30), 1 << 30)), shape)
    most = int(random.choice([7, 7, 7, 16]))  # of exponents: of two, the held 32 bits leave no more
    coding: dict[str, Any] = {name: int(random.integers(0, most)) for name in ("spike_exp", "state_exp")}
    coding["cum_error"] = bool(random.random() < 0.4)
    match str(
        random.choice(["delta", "sigma_delta", "sigma", "rf", "rf_iz", "vec", "relu", "product", "delayed", "atrlif"])
    ):
        case "delta":
            return Delta(threshold, **coding)
        case "sigma_delta":
            bias = programs.one_or_each(-scale, scale + 1, shape)
            return SigmaDelta(threshold, bias, **coding, rectified=bool(random.random() < 0.7))
        case "sigma":
            return Sigma()
        case "rf" | "rf_iz" as kind:
            sin, cos = (programs.one_or_each(-2900, 2900, shape) for _ in range(2))
            return (Rf if kind == "rf" else RfIz)(sin, cos, threshold, int(random.integers(0, most + 1)))
        case "vec":
            return GradedVec(programs.one_or_each(-2, scale, shape))
        case "relu":
            return GradedReluVec(programs.one_or_each(-scale, scale, shape))
        case "atrlif":
            rates = {name: programs.one_or_each(0, 4097, shape) for name in ("du", "dv", "dtheta", "dr")}
            return Atrlif(**rates, theta_0=threshold, theta_step=programs.one_or_each(0, scale, shape))
        case "product":
            return ProdNeuron(programs.one_or_each(0, scale, shape), int(random.integers(0, 2 * most)))
        case _:
            return NormVecDelay(programs.one_or_each(0, scale, shape))
