"""Programs drawn at random, of every kind of neuron and synapses, for hypothesis to shrink."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.compile.neurons.lif import Lif
from seamount.compile.neurons.models import Neuron
from seamount.compile.neurons.relay import Relay
from seamount.compile.neurons.ternary_lif import TernaryLif
from seamount.compile.numbers import Ints, ints
from seamount.compile.program.program import Input, Population, Program, Readout, Reset
from seamount.compile.program.readout import QUANTITIES, as_quantity
from seamount.compile.synapses.kinds import Conv, Dense, Kind, OneToOne, Sparse, Synapses, Wire
from seamount.compile.synapses.shape import target_shape
from seamount.errors import InputError
from seamount.windows import Window

Random = np.random.Generator


def random_case(seed: int) -> tuple[Program, dict[str, NDArray[Any]], int]:
    """A program of up to five populations, inputs for it, and a number of steps."""
    random = np.random.default_rng(seed)
    inputs = [_input(random, k) for k in range(int(random.integers(1, 3)))]
    shapes = {i.name: i.shape for i in inputs}
    populations: list[Population] = []
    synapses: list[Synapses] = []
    for k in range(int(random.integers(1, 6))):
        name = f"p{k}"
        sources = random.choice(list(shapes), size=int(random.integers(1, 3)))
        kind, shape = _kind(random, shapes[sources[0]])
        synapses.append(_group(random, f"s{len(synapses)}", sources[0], name, kind))
        for source in sources[1:]:
            synapses.append(_group(random, f"s{len(synapses)}", source, name, _into(random, shapes[source], shape)))
        shapes[name] = shape
        reset = Reset(int(random.integers(2, 9)), int(random.integers(0, 9))) if random.random() < 0.3 else None
        populations.append(Population(name, shape, _neuron(random, shape), reset))
    for _ in range(int(random.integers(0, 3))):  # back, or ahead: a loop or a shortcut
        source, target = random.choice(list(shapes)), random.choice([p.name for p in populations])
        kind = _into(random, shapes[source], shapes[target], wires=False)
        synapses.append(_group(random, f"s{len(synapses)}", source, target, kind))
    readout = Readout(populations[-1].name, as_quantity(str(random.choice(QUANTITIES)), "random"))
    program = Program(
        "random", tuple(inputs), tuple(populations), tuple(synapses), readout, int(random.integers(2, 9))
    )
    n_steps = int(random.integers(1, 24))
    batch, length = int(random.integers(1, 4)), int(random.integers(1, n_steps + 1))
    return program, {i.name: _values(random, i, length, batch) for i in inputs}, n_steps


def _input(random: Random, k: int) -> Input:
    if random.random() < 0.5:
        shape: tuple[int, ...] = (int(random.choice([2, 4])), int(random.integers(3, 8)), int(random.integers(3, 8)))
    else:
        shape = (int(random.integers(1, 20)),)
    bits = int(random.choice([0, 0, 8, 12]))
    return Input(f"in{k}", shape, bits, signed=bool(bits and random.random() < 0.3))


def _values(random: Random, entry: Input, length: int, batch: int) -> NDArray[Any]:
    values = random.integers(entry.low, entry.high + 1, (length, batch, *entry.shape))
    values = values * (random.random(values.shape) < random.choice([0.1, 0.5, 1.0]))
    if random.random() < 0.3:  # a still image
        values = np.repeat(values[:1], length, axis=0)
    return values


def _neuron(random: Random, shape: tuple[int, ...]) -> Neuron:
    def one_or_each(low: int, high: int) -> Ints:
        return ints(random.integers(low, high, shape) if random.random() < 0.4 else random.integers(low, high))

    if random.random() < 0.1:
        return Relay()
    scale = int(random.choice([300, 3000, 1 << 17]))
    common = {
        "du": one_or_each(0, 4097),
        "dv": one_or_each(0, 4097),
        "bias_mant": one_or_each(-4096, 4096) if random.random() < 0.4 else ints(0),
        "bias_exp": one_or_each(-2, 8),
        "u_init": one_or_each(-(1 << 23) + 1, 1 << 23) if random.random() < 0.2 else ints(0),
        "v_init": one_or_each(-(1 << 23) + 1, 1 << 23) if random.random() < 0.2 else ints(0),
    }
    if random.random() < 0.2:
        return TernaryLif(v_th_hi_mant=one_or_each(0, scale), v_th_lo_mant=one_or_each(-scale, 1), **common)
    rest = int(random.choice([0, 0, 0, 2]))
    floor = one_or_each(-64 * scale, 1) if random.random() < 0.1 else None
    return Lif(v_th_mant=one_or_each(0, scale), refractory_steps=rest, v_floor=floor, **common)


def _weights(random: Random, shape: tuple[int, ...]) -> Ints:
    largest = int(random.choice([4, 255, 255, 1 << 15, 1 << 22], p=[0.3, 0.3, 0.3, 0.05, 0.05]))
    weights = random.integers(-largest, largest + 1, shape) * (random.random(shape) < random.choice([0.3, 1.0]))
    return ints(weights << int(random.choice([0, 0, 2])))


def _kind(random: Random, source: tuple[int, ...]) -> tuple[Kind, tuple[int, ...]]:
    """Synapses out of a shape, and the shape that they make."""
    if len(source) == 3 and random.random() < 0.6:
        groups = int(random.choice([g for g in (1, 2, source[0]) if source[0] % g == 0]))
        weights = _weights(
            random,
            (groups * int(random.integers(1, 4)), source[0] // groups, *(int(k) for k in random.integers(1, 4, 2))),
        )
        pairs = [tuple(int(x) for x in random.integers(low, high, 2)) for low, high in ((1, 4), (0, 3), (1, 3))]
        kind = Conv(weights, Window(*pairs, groups))
        try:
            made = target_shape(kind, source, "random")
        except InputError:  # the kernel is larger than the map
            return OneToOne(_weights(random, ())), source
        assert isinstance(made, tuple)
        return kind, made
    if random.random() < 0.3:
        return OneToOne(_weights(random, source if random.random() < 0.5 else ())), source
    shape = (int(random.integers(1, 20)),)
    return _into(random, source, shape, wires=False), shape


def _into(random: Random, source: tuple[int, ...], target: tuple[int, ...], wires: bool = True) -> Kind:
    n_source, n_target = int(np.prod(source)), int(np.prod(target))
    if source == target and random.random() < 0.5:
        return Wire() if wires and random.random() < 0.5 else OneToOne(_weights(random, source))
    if random.random() < 0.5:
        return Dense(_weights(random, (n_target, n_source)))
    rows, columns = np.nonzero(random.random((n_target, n_source)) < 0.3)
    return Sparse(_weights(random, (len(rows),)), ints(rows), ints(columns), n_target, n_source)


def _group(random: Random, name: str, source: str, target: str, kind: Kind) -> Synapses:
    if isinstance(kind, Wire):
        return Synapses(name, source, target, kind)
    delay = ints(0)
    if random.random() < 0.3:
        each = isinstance(kind, Dense | Sparse) and random.random() < 0.6
        delay = ints(random.integers(0, 6, kind.weights.shape if each else ()))
    exponent = int(random.choice([0, 0, 0, 2, -1, -3]))
    graded = bool(random.random() < 0.5)
    wrap_bits = 24 if isinstance(kind, Conv) and random.random() < 0.5 else 32
    return Synapses(name, str(source), str(target), kind, exponent, graded, delay, wrap_bits)
