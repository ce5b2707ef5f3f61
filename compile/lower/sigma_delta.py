"""A trained ANN as a program of sigma-delta neurons: scales, 8-bit weights, thresholds.

Activations of a layer stand in its messages as whole numbers, so many to a real unit, and in its state with
``state_exp`` bits more. How many is free, so it is chosen: weights use their 8 bits, and calibrated sums leave the
state room for larger ones. No weight is trained, nothing is cut: what a threshold keeps back stays in the residue.
Weights of a neuron are rounded together (``joint_rounding``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seamount.windows import Window

from ..network.network import Reals, reals
from ..neurons.delta import Delta
from ..neurons.sigma import Sigma
from ..neurons.sigma_delta import SigmaDelta
from ..numbers import STATE_BITS, Ints, ints
from ..program.program import Input, Population, Program, Readout
from ..synapses.kinds import Conv, Dense, OneToOne, Synapses, Wire
from .joint_rounding import Moments, together

INPUT, DELTA, ANSWER = "input", "delta", "answer"

INPUT_BITS = 8

LONGEST_DELAY = 62
"""Of a chip's synapses; biases of layers that are further from the input are there from the start."""

FULL_SCALE = float((1 << INPUT_BITS) - 1)
"""A real input of 1."""

LARGEST_WEIGHT = 127

LEAST_WEIGHT = LARGEST_WEIGHT // 2
"""Of a part's largest whole weights, what finer messages may leave: a bit is lost at most."""

ROOM = 4
"""Sums may become so many times the largest one of the calibration before a state leaves its bits."""

HIDDEN_STATE = (1 << (STATE_BITS - 1)) // ROOM

ZERO_BITS = STATE_BITS - 2
"""The state of a last layer that is not rectified has its zero at 2**ZERO_BITS: Lava's loader of ``.net`` files
rectifies every layer, and so nothing is cut."""

NETX_STATE_EXP = 6
"""Of every layer that netx loads."""

MOST_STATE_EXP = 15
"""Messages of fewer than the 8 bits that then are left of a state would say nothing."""

MOST_SPIKE_EXP = 8
"""The input's 8 bits, and these, leave a state of 24 bits a sign and more."""


@dataclass(frozen=True)
class RealPart:
    """What one source adds to the sums of a layer.

    Attributes:
        source: a layer's name, or ``INPUT``.
        weight: (out, in), or (C_out, C_in / groups, K_h, K_w) with a ``window``; () where values stay as they are.
        moments: of what the weights multiply, where they are to be rounded together.
    """

    source: str
    weight: Reals
    window: Window | None = None
    moments: Moments | None = None

    @property
    def largest_weight(self) -> float:
        return float(np.abs(self.weight).max(initial=0.0)) or 1.0

    @property
    def only_adds(self) -> bool:
        return bool(np.isin(self.weight, (-1.0, 0.0, 1.0)).all())


@dataclass(frozen=True)
class RealLayer:
    """One layer of an ANN and what calibration saw of it.

    Attributes:
        bias: of each channel of a map or neuron of a vector, zeros where there is none.
        shape: of its activations.
        largest: largest magnitude of its sums, with and without the bias.
        typical: an activation that is seldom exceeded; thresholds are shares of it.
    """

    name: str
    parts: tuple[RealPart, ...]
    bias: Reals
    shape: tuple[int, ...]
    rectified: bool
    largest: float
    typical: float


@dataclass(frozen=True)
class Scale:
    """Of one layer: whole numbers to a real unit.

    Attributes:
        weights: of the weights of each part.
        state: of its sums. message: of what it sends, state / 2**state_exp.
    """

    weights: tuple[float, ...]
    state: float
    state_exp: int

    @property
    def message(self) -> float:
        return self.state / (1 << self.state_exp)


@dataclass(frozen=True)
class Scales:
    """Of all layers; the input's Delta sends one of its 255 values as 2**spike_exp."""

    spike_exp: int
    layers: tuple[Scale, ...]


def weight_bits(layers: Sequence[RealLayer], scales: Scales) -> dict[str, float]:
    """How many bits the largest weight of each layer's learned parts uses, with its sign."""
    found: dict[str, float] = {}
    for layer, scale in zip(layers, scales.layers, strict=True):
        learned = [(part, w) for part, w in zip(layer.parts, scale.weights, strict=True) if not part.only_adds]
        for part, w in learned:
            name = layer.name if len(learned) == 1 else f"{layer.name} from {part.source}"
            bits = 1 + math.log2(max(1.0, part.largest_weight * w + 1))
            found[name] = min(bits, found.get(name, bits))
    return found


def choose_scales(layers: Sequence[RealLayer], *, for_netx: bool, sequences: bool = False) -> Scales:
    """
    Args:
        sequences: messages as fine as they may be, at the cost of up to a bit of the weights: each loses its last
            bits, and over frames that adds up.
        for_netx: of a chain of layers, spike_exp 0 and state_exp 6 everywhere; weights of deep networks then use
            fewer bits.
    """
    return _netx_scales(layers) if for_netx else _free_scales(layers, LEAST_WEIGHT if sequences else LARGEST_WEIGHT)


def _most(layer: RealLayer, *, last: bool) -> float:
    """The largest scale of a state that leaves the calibrated sums their room."""
    state = (1 << ZERO_BITS) // ROOM if last and not layer.rectified else HIDDEN_STATE
    return state / max(layer.largest, 1e-30)


def _free_scales(layers: Sequence[RealLayer], least_weight: float) -> Scales:
    """Each message as fine as the states that it goes to allow with weights of 8 bits."""
    most = [_most(layer, last=layer is layers[-1]) for layer in layers]
    finest: dict[str, float] = {}
    for layer, state in zip(layers, most, strict=True):
        for part in layer.parts:
            wanted = state / (LARGEST_WEIGHT / part.largest_weight)
            finest[part.source] = min(wanted, finest.get(part.source, math.inf))
    spike_exp = int(np.clip(math.floor(math.log2(finest[INPUT] / FULL_SCALE)), 0, MOST_SPIKE_EXP))
    messages, made = {INPUT: FULL_SCALE * (1 << spike_exp)}, list[Scale]()
    for layer, state in zip(layers, most, strict=True):
        made.append(_free_scale(layer, messages, state, finest.get(layer.name, math.inf), least_weight))
        messages[layer.name] = made[-1].message
    return Scales(spike_exp, tuple(made))


def _free_scale(
    layer: RealLayer, messages: Mapping[str, float], most: float, finest: float, least_weight: float
) -> Scale:
    """
    Args:
        messages: scales of what the sources send. most: the state's at most. finest: of what it sends itself.
        least_weight: of a part's largest whole weights, what finer messages may leave.
    """
    adding = [messages[part.source] for part in layer.parts if part.only_adds]
    if len(adding) == len(layer.parts) and len(set(adding)) == 1:
        # whole numbers of one unit, added up without a weight: nothing is rounded
        return Scale((1.0,) * len(adding), adding[0], 0)
    bounds = (LARGEST_WEIGHT / part.largest_weight * messages[part.source] for part in layer.parts)
    state = min(*bounds, most)
    if adding and state >= adding[0]:  # a value that is added as it is has a whole weight
        state = math.floor(state / adding[0]) * adding[0]
    elif not adding and finest < state:
        # messages exactly as fine as they may be; otherwise they are up to twice as coarse
        finer = finest * 2.0 ** math.floor(math.log2(state / finest))
        if min(part.largest_weight * finer / messages[part.source] for part in layer.parts) >= least_weight:
            state = finer
    exponent = int(np.clip(math.ceil(math.log2(state / finest)) if finest < state else 0, 0, MOST_STATE_EXP))
    return Scale(tuple(state / messages[part.source] for part in layer.parts), state, exponent)


def _netx_scales(layers: Sequence[RealLayer]) -> Scales:
    """Messages grow from layer to layer by weight / 64: so far below full weights that each state has its room."""
    full = [LARGEST_WEIGHT / layer.parts[0].largest_weight for layer in layers]
    share, log_state = 0.0, math.log2(FULL_SCALE)
    for k, layer in enumerate(layers):
        log_state += math.log2(full[k]) - (NETX_STATE_EXP if k else 0)
        share = min(share, (math.log2(_most(layer, last=layer is layers[-1])) - log_state) / (k + 1))
    before, made = FULL_SCALE, list[Scale]()
    for one in full:
        weight = one * 2.0**share
        made.append(Scale((weight,), before * weight, NETX_STATE_EXP))
        before = made[-1].message
    return Scales(0, tuple(made))


# ------------------------------------------------------------------------------------------------- the program


Weights = Sequence[tuple[Ints, ...]]
"""Whole ones, of each layer's parts."""


def whole_weights(layers: Sequence[RealLayer], scales: Scales) -> Weights:
    return [
        tuple(_whole(part, scale) for part, scale in zip(layer.parts, one.weights, strict=True))
        for layer, one in zip(layers, scales.layers, strict=True)
    ]


def _whole(part: RealPart, scale: float) -> Ints:
    scaled = part.weight * scale
    whole = ints(np.clip(np.rint(scaled), -LARGEST_WEIGHT, LARGEST_WEIGHT))
    if part.moments is None:
        return whole
    # on the grid of weights of both signs, whose weights are even
    grid = together(reals(2 * scaled), ints(2 * whole), part.moments, "mixed")
    return ints(np.clip(grid // 2, -LARGEST_WEIGHT, LARGEST_WEIGHT))


def sigma_delta_program(
    name: str,
    input_shape: tuple[int, ...],
    layers: Sequence[RealLayer],
    scales: Scales,
    weights: Weights,
    threshold: float,
    n_steps: int,
    *,
    late_biases: bool,
) -> Program:
    """The program: a Delta behind the 8-bit input, a SigmaDelta for each layer, and a Sigma that adds up the answer.

    Of several ways to a layer the shorter ones are delayed: what meets there is of one frame. So are biases, where
    ``late_biases``: one that is there from the start is sent before the first frame comes, and sent otherwise when it
    does, by its layer and by each behind it.

    Args:
        threshold: a change is sent where it reaches this share of the layer's ``typical`` activation.
        n_steps: frames of a sample.
        late_biases: biases of all layers but the last, which sends to the answer alone, come from two neurons of
            their own, together with the first frame. A chain of layers has no place for those.
    """
    state_exp = _input_state_exp(scales)
    v_th = _threshold(threshold * FULL_SCALE * (1 << scales.spike_exp), state_exp)
    delta = Delta(v_th, scales.spike_exp, state_exp)
    populations, synapses = [Population(DELTA, input_shape, delta)], [Synapses(DELTA + "_in", INPUT, DELTA, Wire())]
    arrival = {INPUT: 0}
    for layer, scale, whole in zip(layers, scales.layers, weights, strict=True):
        arrival[layer.name] = 1 + max(arrival[part.source] for part in layer.parts)
        neuron = _neuron(layer, scale, threshold, last=layer is layers[-1])
        delay = arrival[layer.name] - 1
        if late_biases and layer is not layers[-1] and neuron.bias.any() and delay <= LONGEST_DELAY:
            source, synapse = _late_bias(layer, neuron.bias, delay)
            populations.append(source)
            synapses.append(synapse)
            neuron = replace(neuron, bias=ints(0))
        populations.append(Population(layer.name, layer.shape, neuron))
        for part, numbers, called in zip(layer.parts, whole, _names(layer), strict=True):
            delay = arrival[layer.name] - arrival[part.source] - 1
            synapses.append(_synapses(layer, part, numbers, delay, called))
    last, scale = layers[-1], scales.layers[-1]
    zero = 0 if last.rectified else (1 << ZERO_BITS) >> scale.state_exp
    n_answers = int(np.prod(last.shape))
    populations.append(Population(ANSWER, (n_answers,), Sigma()))
    synapses.append(Synapses(f"{ANSWER}_in", last.name, ANSWER, Dense(ints(np.eye(n_answers))), graded=True))
    return Program(
        name=name,
        inputs=(Input(INPUT, input_shape, INPUT_BITS),),
        populations=tuple(populations),
        synapses=tuple(synapses),
        readout=Readout(ANSWER, "v", scale=scale.message, zero=zero),
        n_steps=n_steps,
        provenance={"made": f"of an ANN, without training; threshold {threshold:g}"},
    )


def _input_state_exp(scales: Scales) -> int:
    return 0 if scales.spike_exp else NETX_STATE_EXP  # either keeps every bit of the input


def input_unit(scales: Scales) -> float:
    """The state of the input's Delta at a real input of 1."""
    return FULL_SCALE * (1 << (scales.spike_exp + _input_state_exp(scales)))


def _threshold(share: float, state_exp: int) -> Ints:
    """In the state's unit; at least one of the messages, because a smaller change would be sent as 0 or as -1."""
    return ints(max(1, round(share)) << state_exp)


def _neuron(layer: RealLayer, scale: Scale, threshold: float, *, last: bool) -> SigmaDelta:
    zero = 1 << ZERO_BITS if last and not layer.rectified else 0
    # the last layer's changes are the answer: none is kept back
    v_th = _threshold(1.0 if last else threshold * layer.typical * scale.message, scale.state_exp)
    # in units of the messages, because those are a .net file's
    bias = np.rint(layer.bias * scale.message).astype(np.int64) << scale.state_exp
    if len(layer.shape) == 3 and bias.size == layer.shape[0]:
        bias = bias.reshape(-1, 1, 1)
    return SigmaDelta(v_th, ints(bias + zero), 0, scale.state_exp, rectified=layer.rectified or last)


def _late_bias(layer: RealLayer, bias: Ints, delay: int) -> tuple[Population, Synapses]:
    """Two neurons that send a coarse and a fine unit once, and weights that make the layer's biases of them."""
    fine = -(-int(np.abs(bias).max()) // LARGEST_WEIGHT**2)
    coarse = fine * LARGEST_WEIGHT
    each = np.broadcast_to(bias, layer.shape).ravel()
    high = np.rint(each / coarse).astype(np.int64)
    whole = np.stack([high, np.rint((each - high * coarse) / fine).astype(np.int64)], axis=1)
    name = f"{layer.name}_bias"
    source = Population(name, (2,), SigmaDelta(ints(1), ints([coarse, fine]), rectified=False))
    made = Synapses(f"{name}_out", name, layer.name, Dense(ints(whole)), graded=True, delay=ints(delay))
    return source, _on_grid(made, ints(whole))


def _names(layer: RealLayer) -> list[str]:
    """Of the synapses into a layer; one source may stand there twice, with other weights."""
    if len(layer.parts) == 1:
        return [f"{layer.name}_in"]
    names = list[str]()
    for part in layer.parts:
        name = f"{layer.name}_from_{DELTA if part.source == INPUT else part.source}"
        names.append(f"{name}_{len(names) + 1}" if name in names else name)
    return names


def _synapses(layer: RealLayer, part: RealPart, whole: Ints, delay: int, name: str) -> Synapses:
    source = DELTA if part.source == INPUT else part.source
    made = Synapses(name, source, layer.name, OneToOne(whole), graded=True, delay=ints(delay))
    if part.window is not None:
        # Lava wraps sums of convolutions to 24 bits
        return replace(made, kind=Conv(whole, part.window), wrap_bits=24)
    return made if whole.ndim == 0 else _on_grid(made, whole)


def _on_grid(made: Synapses, whole: Ints) -> Synapses:
    """With a matrix of these weights."""
    if whole.min(initial=0) < 0 < whole.max(initial=0):
        # a chip's weights of both signs are even, and twice as large; the sum is halved without a rest
        return replace(made, kind=Dense(ints(2 * whole)), exponent=-1)
    return replace(made, kind=Dense(whole))
