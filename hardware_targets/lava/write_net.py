"""Writes a program as a ``.net`` file that lava-dl's netx loads with the same weights, neurons and resets.

A ``.net`` file is a chain of layers. What it cannot hold (skip connections, delays on convolutions, biases between
weight units, initial states) is refused with the reason; ``write_standalone`` holds any program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, assert_never

import h5py
import numpy as np

from seamount.compile.net.values import LONGEST_DELAY, effective_weights
from seamount.compile.neurons.atrlif import Atrlif
from seamount.compile.neurons.delta import Delta
from seamount.compile.neurons.graded_relu_vec import GradedReluVec
from seamount.compile.neurons.graded_vec import GradedVec
from seamount.compile.neurons.lif import Lif
from seamount.compile.neurons.models import SigmaDeltas
from seamount.compile.neurons.norm_vec_delay import NormVecDelay
from seamount.compile.neurons.prod_neuron import ProdNeuron
from seamount.compile.neurons.relay import Relay
from seamount.compile.neurons.rf import Rf
from seamount.compile.neurons.rf_iz import RfIz
from seamount.compile.neurons.sigma import Sigma
from seamount.compile.neurons.sigma_delta import SigmaDelta
from seamount.compile.neurons.ternary_lif import TernaryLif
from seamount.compile.numbers import Ints
from seamount.compile.program.messages import messages
from seamount.compile.program.program import Population, Program
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Sparse, Synapses, Wire
from seamount.compile.synapses.matrix import as_matrix, diagonal
from seamount.files import replacing

from .net_neurons import Layer, net_bias, net_neuron, refuse, spike_exp_of
from .synapses import check_wrap

MOST_ENTRIES = 1 << 24
"""Of a matrix: the format holds it dense, however few synapses there are, and its delays again."""


@dataclass(frozen=True)
class NetFile:
    """A written ``.net`` file.

    Attributes:
        arguments: what ``netx.hdf5.Network(net_config=path, **arguments)`` must be told beside the path: the format
            does not hold it.
    """

    path: Path
    arguments: Mapping[str, int] = field(default_factory=dict)


def write_net(program: Program, path: str | Path) -> NetFile:
    """Write a chain of LIF or sigma-delta layers; see ``NetFile.arguments`` for what the file does not say.

    Raises:
        Unsupported: the format, or lava-dl's loader, cannot hold the program.
    """
    path = Path(path)
    chain = _chain(program)
    first = _input_layer(program, chain[0])
    layers = [layer for position, block in enumerate(chain) for layer in _layers(program, block, position)]
    arguments = _arguments(program, chain)
    with replacing(path) as fresh, h5py.File(fresh, "w") as file:
        for i, layer in enumerate([first, *layers]):
            _write(file.create_group(f"layer/{i}"), layer)
        if program.n_steps is not None:
            file["simulation/tSample"] = program.n_steps
    return NetFile(path, arguments)


# ------------------------------------------------------------------------------------------------- the chain


@dataclass(frozen=True)
class _Block:
    """A population of the chain; the synapses from what stands before it (of shape ``source``) and from itself."""

    population: Population
    neuron: Lif | SigmaDeltas
    before: Synapses
    source: tuple[int, ...]
    recurrent: Synapses | None = None


def _chain(program: Program) -> list[_Block]:
    """The populations in order; relays that only reshape are left out."""
    if len(program.inputs) != 1:
        raise refuse(program.name, f"has {len(program.inputs)} inputs, the format one")
    blocks: list[_Block] = []
    at, source = program.inputs[0].name, program.inputs[0].shape
    done = {at}
    while followers := [s for s in program.out_of(at) if s.target != at]:
        before, hears = _next(program, at, followers)
        population = program.population(before.target)
        if population.name in done:
            raise refuse(at, f"feeds back into {population.name}; a layer of the format feeds back into itself only")
        done.add(population.name)
        match population.neuron:
            case Relay():
                if not isinstance(before.kind, Wire):
                    raise refuse(population.name, "is a relay behind synapses, and the format has LIF neurons there")
            case TernaryLif():
                raise refuse(population.name, "has ternary neurons")
            case Lif() | Delta() | SigmaDelta() | Sigma() as neuron:
                blocks.append(_Block(population, neuron, before, source, hears[0] if hears else None))
                source = population.shape
            case Rf() | RfIz() | GradedVec() | GradedReluVec() | Atrlif() | ProdNeuron() | NormVecDelay():
                raise refuse(population.name, f"has {type(population.neuron).__name__} neurons")
            case _ as other:
                assert_never(other)
        at = population.name
    missing = [p.name for p in program.populations if p.name not in done]
    if missing or not blocks:
        raise refuse(program.name, f"is no chain: {', '.join(missing) or 'no neurons'} beside it")
    return blocks


def _next(program: Program, at: str, followers: list[Synapses]) -> tuple[Synapses, list[Synapses]]:
    """The one way on from a population, and what else the next one hears: at most itself."""
    if len(followers) > 1:
        names = ", ".join(s.target for s in followers)
        raise refuse(at, f"feeds {names}; branches and skip connections have no place in the format")
    before, name = followers[0], followers[0].target
    hears = [s for s in program.into(name) if s is not before]
    if len(hears) > 1 or any(s.source != name for s in hears):
        raise refuse(name, f"hears {before.name} and {', '.join(s.name for s in hears)}")
    return before, hears


# ------------------------------------------------------------------------------------------------- layers


def _input_layer(program: Program, first: _Block) -> Layer:
    entry = program.inputs[0]
    layer: Layer = {"type": "input", "shape": entry.shape}
    if not isinstance(first.before.kind, Wire):
        return layer
    if isinstance(first.neuron, SigmaDelta | Sigma):
        raise refuse(first.population.name, "adds up an input without synapses, where the format has Delta neurons")
    biased = isinstance(first.neuron, Lif) and first.neuron.bias.any()
    if biased or first.recurrent is not None:
        raise refuse(first.population.name, "has a bias or recurrence, which lava-dl's loader does not read there")
    if first.population.shape != entry.shape:
        raise refuse(first.population.name, f"is wired to an input of another shape, {entry.shape}")
    return layer | {"weight": 64, "bias": 0, "neuron": net_neuron(first.population)}


def _layers(program: Program, block: _Block, position: int) -> list[Layer]:
    before = program.population(block.before.source).neuron if position else None
    changes = isinstance(before, Delta | SigmaDelta | Sigma)
    if position and not changes and block.before.graded and messages(program)[block.before.source].largest > 1:
        raise refuse(block.before.name, "is graded, and only the input and sigma-delta layers of the format are")
    if changes and not block.before.graded:
        raise refuse(block.before.name, "counts messages, which netx multiplies by their value")
    if block.recurrent is not None and not isinstance(block.neuron, Lif):
        raise refuse(block.recurrent.name, "is recurrence of sigma-delta neurons, which were not tried in netx")
    match block.before.kind:
        case Wire():
            if position:
                raise refuse(block.population.name, "is wired to neurons, and the format has synapses there")
            return []  # the neurons of the input layer
        case Conv() as kind:
            return [_conv(program, block, kind)]
        case _:
            needs_flatten = position > 0 and len(block.source) == 3
            size = int(np.prod(block.source))
            return [{"type": "flatten", "shape": (size, 1, 1)}] * needs_flatten + [_dense(program, block)]


def _conv(program: Program, block: _Block, kind: Conv) -> Layer:
    _require_conv(program, block, kind)
    shape, weights = block.population.shape, _whole_weights(kind.weights, block.before)
    return {
        "type": "conv",
        "shape": shape,
        "inChannels": block.source[0],
        "outChannels": shape[0],
        "kernelSize": weights.shape[2:],
        **kind.window._asdict(),
        "weight": weights.astype(np.float32),
        "neuron": net_neuron(block.population),
        **net_bias(block.population),
    }


def _require_conv(program: Program, block: _Block, kind: Conv) -> None:
    before = block.before
    if block.recurrent is not None:
        raise refuse(block.recurrent.name, "is recurrence in a convolutional layer")
    if program.shape(before.source) != block.source:
        raise refuse(before.name, f"reads {block.source} reshaped to {program.shape(before.source)}")
    if before.delay.any():
        raise refuse(before.name, "is a delayed convolution, whose delay lava-dl's loader ignores")
    if kind.window.groups > 127:
        raise refuse(before.name, f"has {kind.window.groups} groups, and Lava's convolution counts them to 127")
    check_wrap(program, before, messages(program)[before.source], kind)


def _dense(program: Program, block: _Block) -> Layer:
    before, shape = block.before, block.population.shape
    if len(shape) != 1:
        raise refuse(block.population.name, f"has shape {shape} behind a matrix, and the format (N,)")
    parts, delays = _matrices(program, block)
    layer: Layer = {
        "type": "dense",
        "shape": shape,
        "inFeatures": parts[0].shape[1],
        "outFeatures": shape[0],
        "weight": parts[0].astype(np.float32),
        "neuron": net_neuron(block.population),
        **net_bias(block.population),
    }
    if block.recurrent is not None:
        layer |= {"type": "dense_rec", "weight_rec": parts[1].astype(np.float32)}
    if before.delay.any():
        layer["delay"] = delays.astype(np.float32)
    return layer


def _matrices(program: Program, block: _Block) -> tuple[list[Ints], Ints]:
    """Weights of the synapses into a layer and of its recurrence, with the former's delays."""
    before = block.before
    if before.delay.max(initial=0) > LONGEST_DELAY:
        raise refuse(
            before.name, f"has a delay of {before.delay.max()}, and lava-dl's loader cuts at {LONGEST_DELAY}"
        )
    groups = [before] if block.recurrent is None else [before, block.recurrent]
    parts = []
    for group in groups:
        matrix, delays = _matrix(program, group)
        check_wrap(program, group, messages(program)[group.source], Dense(matrix))
        if len(groups) > 1 and group.delay.any():
            raise refuse(group.name, "is delayed in a recurrent layer, whose exponent lava-dl's loader then forgets")
        parts.append(_whole_weights(matrix, group))
    _check_optimiser(before, parts)
    return parts, delays


# ------------------------------------------------------------------------------------------------- values


def _matrix(program: Program, synapses: Synapses) -> tuple[Ints, Ints]:
    """Weights and delays as full matrices (n_target, n_source)."""
    kind = synapses.kind
    n_source = int(np.prod(program.shape(synapses.source)))
    n_target = int(np.prod(program.shape(synapses.target)))
    if n_source * n_target > MOST_ENTRIES:
        raise refuse(synapses.name, f"would be a matrix of {n_target} x {n_source}, more than {MOST_ENTRIES} entries")
    if isinstance(kind, OneToOne):
        kind = diagonal(kind, program.shape(synapses.source))
    if not isinstance(kind, Dense | Sparse):
        raise refuse(synapses.name, f"is a {type(kind).__name__} where the format has a matrix")
    if isinstance(kind, Sparse) and np.unique(kind.rows * n_source + kind.columns).size < kind.rows.size:
        raise refuse(synapses.name, "has several synapses between the same two neurons")
    delays = np.broadcast_to(synapses.delay, kind.weights.shape)
    return as_matrix(kind, kind.weights), as_matrix(kind, delays)


def _whole_weights(weights: Ints, synapses: Synapses) -> Ints:
    """Weights with the exponent multiplied out."""
    exponent = synapses.exponent
    if exponent < 0 and np.any(weights & ((1 << -exponent) - 1)):
        raise refuse(synapses.name, f"has exponent {exponent}, whose right shift loses bits of the sum")
    whole: Ints = weights << exponent if exponent >= 0 else weights >> -exponent
    if np.abs(whole).max(initial=0) > 1 << 24:
        raise refuse(synapses.name, "has weights beyond 2**24, where a float32 is not exact")
    return whole


def _check_optimiser(synapses: Synapses, parts: list[Ints]) -> None:
    """Refuses matrices that would not come out of lava-dl's weight optimiser and Lava's rounding as they went in."""
    together = np.hstack(parts)
    if not together.any():
        raise refuse(synapses.name, "has weights that are all 0, on which lava-dl's loader fails")
    if together.min() < 0 < together.max() and (together.max() > 254 or together.min() < -256):
        raise refuse(synapses.name, f"has weights {together.min()} to {together.max()}, and -256 to 254 are possible")
    found, shift = effective_weights(parts)
    changed = sum(int(np.count_nonzero(grid != part * 2.0**shift)) for grid, part in zip(found, parts, strict=True))
    if changed:
        raise refuse(
            synapses.name,
            f"has {changed} weights ({together.min()} to {together.max()}) that lava-dl's loader rounds",
        )


def _arguments(program: Program, chain: list[_Block]) -> dict[str, int]:
    arguments = {}
    if (spike_exp := spike_exp_of([block.population for block in chain])) is not None:
        arguments["spike_exp"] = spike_exp
    if chain[0].before.graded and program.inputs[0].bits:
        arguments["input_message_bits"] = program.inputs[0].bits
    resets = [block.population.reset for block in chain]
    first = resets[0]
    if all(reset is None for reset in resets):
        return arguments
    for position, (block, reset) in enumerate(zip(chain, resets, strict=True)):
        if first is None or reset is None or reset.interval != first.interval:
            raise refuse(block.population.name, "is not reset with the interval of the others")
        if (reset.offset - first.offset - position) % first.interval:
            raise refuse(block.population.name, "is not reset one step after the layer before it")
    assert first is not None, "not all are None"
    # netx adds 1, because its time starts from 1, and 1 more for every layer
    return arguments | {"reset_interval": first.interval, "reset_offset": (first.offset - 1) % first.interval}


def _write(group: Any, layer: Layer) -> None:
    """As slayer's export does: names as bytes, a neuron's as text, counts as int64."""
    for name, value in layer.items():
        match value:
            case dict():
                neuron = group.create_group(name)
                neuron["type"] = value["type"]
                for key, number in value.items():
                    if key != "type":
                        neuron[key] = np.asarray(number, np.int64)
            case str():
                group[name] = np.array([value.encode()], "S10")
            case np.ndarray():
                group[name] = value
            case _:
                group[name] = np.asarray(value, np.int64)
