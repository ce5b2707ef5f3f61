"""A trained ANN as a program of sigma-delta neurons: scales, 8-bit weights, thresholds.

Activations of a layer stand in its messages as whole numbers, so many to a real unit, and in its state with
``state_exp`` bits more. How many is free, so it is chosen: weights use their 8 bits, and calibrated sums leave the
state room for larger ones. No weight is trained, nothing is cut: what a threshold keeps back stays in the residue.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seamount.windows import Window

from ..neurons.delta import Delta
from ..neurons.delta_coding import MOST_EXPONENT
from ..neurons.sigma import Sigma
from ..neurons.sigma_delta import SigmaDelta
from ..numbers import STATE_BITS, Ints, ints
from ..program.program import Input, Population, Program, Readout
from ..synapses.kinds import Conv, Dense, Synapses, Wire

Reals = NDArray[np.float64]

INPUT, DELTA, ANSWER = "input", "delta", "answer"

INPUT_BITS = 8

FULL_SCALE = float((1 << INPUT_BITS) - 1)
"""A real input of 1."""

LARGEST_WEIGHT = 127

ROOM = 4
"""Sums may become so many times the largest one of the calibration before a state leaves its bits."""

HIDDEN_STATE = (1 << (STATE_BITS - 1)) // ROOM

ZERO_BITS = STATE_BITS - 2
"""The state of a last layer that is not rectified has its zero at 2**ZERO_BITS: Lava's loader of ``.net`` files
rectifies every layer, and so nothing is cut."""

NETX_STATE_EXP = 6
"""Of every layer that netx loads."""

MOST_SPIKE_EXP = 8
"""The input's 8 bits, and these, leave a state of 24 bits a sign and more."""


@dataclass(frozen=True)
class RealLayer:
    """One layer of an ANN and what calibration saw of it.

    Attributes:
        weight: (out, in), or (C_out, C_in / groups, K_h, K_w) with a ``window``.
        bias: (out,), zeros where there is none.
        shape: of its activations.
        largest: largest magnitude of its sums, with and without the bias.
        typical: an activation that is seldom exceeded; thresholds are shares of it.
    """

    name: str
    weight: Reals
    bias: Reals
    window: Window | None
    shape: tuple[int, ...]
    rectified: bool
    largest: float
    typical: float

    @property
    def largest_weight(self) -> float:
        return float(np.abs(self.weight).max(initial=0.0)) or 1.0


@dataclass(frozen=True)
class Scale:
    """Of one layer: whole numbers to a real unit.

    Attributes:
        weight: of its weights.
        state: of its sums. message: of what it sends, state / 2**state_exp.
    """

    weight: float
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

    def weight_bits(self, layer: RealLayer, scale: Scale) -> float:
        """How many bits the largest weight uses, with its sign."""
        return 1 + math.log2(max(1.0, layer.largest_weight * scale.weight + 1))


def choose_scales(layers: Sequence[RealLayer], *, for_netx: bool) -> Scales:
    """
    Args:
        for_netx: spike_exp 0 and state_exp 6 everywhere; weights of deep networks then use fewer bits.
    """
    return _netx_scales(layers) if for_netx else _free_scales(layers)


def _most(layer: RealLayer) -> float:
    """The largest scale of a state that leaves the calibrated sums their room."""
    state = HIDDEN_STATE if layer.rectified else (1 << ZERO_BITS) // ROOM
    return state / max(layer.largest, 1e-30)


def _free_scales(layers: Sequence[RealLayer]) -> Scales:
    """Each message as fine as the next layer's state allows with weights of 8 bits."""
    most = [_most(layer) / (LARGEST_WEIGHT / layer.largest_weight) for layer in layers]  # of what enters a layer
    spike_exp = int(np.clip(math.floor(math.log2(most[0] / FULL_SCALE)), 0, MOST_SPIKE_EXP))
    before, made = FULL_SCALE * (1 << spike_exp), list[Scale]()
    for k, layer in enumerate(layers):
        weight = min(LARGEST_WEIGHT / layer.largest_weight, _most(layer) / before)
        state = before * weight
        next_most = most[k + 1] if k + 1 < len(layers) else math.inf
        exponent = int(np.clip(math.ceil(math.log2(state / next_most)) if next_most < state else 0, 0, MOST_EXPONENT))
        made.append(Scale(weight, state, exponent))
        before = made[-1].message
    return Scales(spike_exp, tuple(made))


def _netx_scales(layers: Sequence[RealLayer]) -> Scales:
    """Messages grow from layer to layer by weight / 64: so far below full weights that each state has its room."""
    full = [LARGEST_WEIGHT / layer.largest_weight for layer in layers]
    share, log_state = 0.0, math.log2(FULL_SCALE)
    for k, layer in enumerate(layers):
        log_state += math.log2(full[k]) - (NETX_STATE_EXP if k else 0)
        share = min(share, (math.log2(_most(layer)) - log_state) / (k + 1))
    before, made = FULL_SCALE, list[Scale]()
    for one in full:
        weight = one * 2.0**share
        made.append(Scale(weight, before * weight, NETX_STATE_EXP))
        before = made[-1].message
    return Scales(0, tuple(made))


# ------------------------------------------------------------------------------------------------- the program


def sigma_delta_program(
    name: str,
    input_shape: tuple[int, ...],
    layers: Sequence[RealLayer],
    scales: Scales,
    threshold: float,
    n_steps: int,
) -> Program:
    """The program: a Delta behind the 8-bit input, a SigmaDelta for each layer, and a Sigma that adds up the answer.

    Args:
        threshold: a change is sent where it reaches this share of the layer's ``typical`` activation.
        n_steps: frames of a sample.
    """
    state_exp = 0 if scales.spike_exp else NETX_STATE_EXP  # either keeps every bit of the input
    unit = FULL_SCALE * (1 << scales.spike_exp)
    delta = Delta(_threshold(threshold * unit, state_exp), scales.spike_exp, state_exp)
    populations, synapses = [Population(DELTA, input_shape, delta)], [Synapses(DELTA + "_in", INPUT, DELTA, Wire())]
    for layer, scale in zip(layers, scales.layers, strict=True):
        source = populations[-1].name
        populations.append(Population(layer.name, layer.shape, _neuron(layer, scale, threshold)))
        synapses.append(_synapses(layer, scale, source))
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


def _threshold(share: float, state_exp: int) -> Ints:
    """In the state's unit; at least one of the messages, because a smaller change would be sent as 0 or as -1."""
    return ints(max(1, round(share)) << state_exp)


def _neuron(layer: RealLayer, scale: Scale, threshold: float) -> SigmaDelta:
    zero = 0 if layer.rectified else 1 << ZERO_BITS
    # the last layer's changes are the answer: none is kept back
    v_th = _threshold(threshold * layer.typical * scale.message if layer.rectified else 1.0, scale.state_exp)
    # in units of the messages, because those are a .net file's
    bias = np.rint(layer.bias * scale.message).astype(np.int64) << scale.state_exp
    if len(layer.shape) == 3 and bias.size == layer.shape[0]:
        bias = bias.reshape(-1, 1, 1)
    return SigmaDelta(v_th, ints(bias + zero), 0, scale.state_exp)


def _synapses(layer: RealLayer, scale: Scale, source: str) -> Synapses:
    whole = np.clip(np.rint(layer.weight * scale.weight), -LARGEST_WEIGHT, LARGEST_WEIGHT).astype(np.int64)
    name = f"{layer.name}_in"
    if layer.window is not None:
        # Lava wraps sums of convolutions to 24 bits
        return Synapses(name, source, layer.name, Conv(ints(whole), layer.window), graded=True, wrap_bits=24)
    if whole.min(initial=0) < 0 < whole.max(initial=0):
        # a chip's weights of both signs are even, and twice as large; the sum is halved without a rest
        return Synapses(name, source, layer.name, Dense(ints(2 * whole)), exponent=-1, graded=True)
    return Synapses(name, source, layer.name, Dense(ints(whole)), graded=True)
