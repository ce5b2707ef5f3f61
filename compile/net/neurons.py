"""The neurons of a layer in a ``.net`` file, as lava-dl's netx builds them."""

from __future__ import annotations

import math

import numpy as np

from seamount.errors import InputError, Unsupported

from ..neurons.delta import Delta
from ..neurons.lif import Lif
from ..neurons.model import PAYLOAD_BITS
from ..neurons.models import Neuron
from ..neurons.resonator import DECAY_BITS, resonance
from ..neurons.rf import Rf
from ..neurons.rf_iz import RfIz
from ..neurons.sigma import Sigma
from ..neurons.sigma_delta import SigmaDelta
from ..numbers import V_MAX, ints
from .file import Group
from .values import Note, Shape, bias, parameter

BIAS_EXPONENT = 6
"""netx adds biases in weight units."""

STATE_EXPONENT = 6
"""netx's, of sigma-delta neurons and resonators."""

SIGMA_DELTA_BITS = 16
"""Of the messages of sigma-delta neurons, where a file does not say."""


def message_bits(layer: Group) -> int:
    """Of what the layer sends; 0: spikes, which the next layer counts as one each."""
    if not layer.has("neuron"):
        return 0
    neuron = layer.child("neuron")
    kind = neuron.text("type")
    if kind != "SDNN":
        return 0
    bits = neuron.integer("messageBits") if neuron.has("messageBits") else SIGMA_DELTA_BITS
    if not 0 <= bits <= PAYLOAD_BITS:
        where, possible = f"{neuron.where}/messageBits", f"0 to {PAYLOAD_BITS} are possible"
        raise InputError(f"{bits} found", where=where, possible=possible)
    return bits


def is_resonator(layer: Group) -> bool:
    return layer.has("neuron") and layer.child("neuron").text("type").startswith("RF")


def read_neuron(layer: Group, shape: Shape, note: Note, *, is_input: bool, spike_exp: int) -> Neuron:
    """The neurons of a layer.

    Raises:
        InputError: a value that is missing or not possible; Unsupported: a type that netx does not know, or fails on.
    """
    if not layer.has("neuron"):
        if layer.text("type") in ("conv", "pool", "input"):
            raise InputError("is missing", where=f"{layer.where}/neuron")
        du, dv, v_th = 0, 4096, 1 << 17  # netx: an integrator without memory that never fires
        return Lif(ints(du), ints(dv), ints(v_th), bias_mant=bias(layer, shape), bias_exp=ints(BIAS_EXPONENT))
    neuron = layer.child("neuron")
    kind = neuron.text("type")
    if kind in ("LOIHI", "CUBA"):
        return _lif(layer, neuron, shape, note, is_input=is_input)
    if kind == "SDNN":
        return _sigma_delta(layer, neuron, shape, note, is_input=is_input, spike_exp=spike_exp)
    if kind.startswith("RF"):
        return _resonator(layer, neuron, kind, note, is_input=is_input)
    missing = "which lava-dl would run without its adaptation" if "RF" in kind else "which lava-dl does not know"
    raise Unsupported(
        f"neuron {kind[:40]!r}, {missing}",
        where=f"{neuron.where}/type",
        possible="possible are LOIHI, CUBA, SDNN, RF_PHASE, RF_IZHIKEVICH",
    )


def _lif(layer: Group, neuron: Group, shape: Shape, note: Note, *, is_input: bool) -> Lif:
    if neuron.has("weight_exp") and neuron.integer("weight_exp"):
        note(f"neuron/weight_exp {neuron.integer('weight_exp')} is ignored, as lava-dl does")
    _note_graded(neuron, note)
    if neuron.has("refDelay") and neuron.integer("refDelay") > 1:
        note(f"neuron/refDelay {neuron.integer('refDelay')} is ignored, as lava-dl does")
    return Lif(
        du=parameter(neuron, "iDecay", shape),
        dv=parameter(neuron, "vDecay", shape),
        v_th_mant=parameter(neuron, "vThMant", shape),
        bias_mant=ints(0) if is_input else bias(layer, shape),
        bias_exp=ints(BIAS_EXPONENT),
    )


def _note_graded(neuron: Group, note: Note) -> None:
    if neuron.has("messageBits") or (neuron.has("gradedSpike") and neuron.integer("gradedSpike")):
        note("its graded spikes are spikes of 1, as Lava sends them whatever it is told")


def _sigma_delta(
    layer: Group, neuron: Group, shape: Shape, note: Note, *, is_input: bool, spike_exp: int
) -> Delta | Sigma | SigmaDelta:
    """netx knows one threshold a layer and RELU alone, whatever the file says of activations."""
    if not is_input and neuron.has("sigma_output"):
        if layer.has("bias"):
            raise Unsupported("a bias in front of sigma_output; lava-dl's loader fails", where=f"{layer.where}/bias")
        return Sigma()
    if neuron.has("activation") and (found := neuron.text("activation")) != "relu":
        note(f"activation {found[:40]!r} is ignored, as lava-dl does: it rectifies")
    unit = 1 << (spike_exp + STATE_EXPONENT)
    v_th = ints(_mantissa(neuron, 0, unit) * unit)
    if is_input:
        return Delta(v_th, spike_exp, STATE_EXPONENT)
    return SigmaDelta(v_th, ints(bias(layer, shape) * unit), spike_exp, STATE_EXPONENT)


def _mantissa(neuron: Group, least: int, unit: int) -> int:
    """vThMant, of which a state of 24 bits holds so many ``unit``s; told in the file's terms."""
    found, most = neuron.integer("vThMant"), V_MAX // unit
    if not least <= found <= most:
        possible = f"{least} to {most} are possible"
        raise InputError(f"{found} found", where=f"{neuron.where}/vThMant", possible=possible)
    return found


def _resonator(layer: Group, neuron: Group, kind: str, note: Note, *, is_input: bool) -> Rf | RfIz:
    """Through period and decay, as netx goes, which may change a decay by one."""
    _note_graded(neuron, note)
    if is_input and layer.has("bias"):
        note("its bias is not used, as in lava-dl: drive the input with it")
    elif layer.has("bias"):
        raise Unsupported("a bias of resonators; lava-dl's loader has none", where=f"{layer.where}/bias")
    stored = neuron.integer("sinDecay"), neuron.integer("cosDecay")
    sin, cos = (np.float64(value) / (1 << DECAY_BITS) for value in stored)
    if stored[0] ** 2 + stored[1] ** 2 > 1 << 2 * DECAY_BITS:
        found = f"sinDecay {stored[0]} and cosDecay {stored[1]}, a state that grows of itself"
        possible = f"a sum of their squares up to {1 << DECAY_BITS}**2 is possible"
        raise InputError(found, where=neuron.where, possible=possible)
    decay, frequency = 1 - np.sqrt(sin**2 + cos**2), np.arctan2(sin, cos) / 2 / np.pi
    period = float(1 / abs(frequency)) if frequency else math.inf
    sin_decay, cos_decay = resonance(neuron.where, period, float(decay), DECAY_BITS)
    turned = (sin_decay if frequency > 0 else -sin_decay), cos_decay  # one that turns the other way
    if turned != stored:
        note(f"decays {stored} become {turned} by way of period and decay, as in lava-dl")
    v_th = ints(_mantissa(neuron, 1, 1 << STATE_EXPONENT) << STATE_EXPONENT)
    made = Rf if "PHASE" in kind else RfIz
    return made(ints(turned[0]), ints(turned[1]), v_th, STATE_EXPONENT, DECAY_BITS)
