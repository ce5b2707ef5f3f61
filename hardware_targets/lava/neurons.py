"""Neurons as Lava's processes hold them: arguments that make their integers ours, else the reason why not."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, assert_never

import numpy as np

from seamount.compile.neurons.atrlif import Atrlif
from seamount.compile.neurons.cuba import Cuba
from seamount.compile.neurons.delta import Delta
from seamount.compile.neurons.graded_relu_vec import GradedReluVec
from seamount.compile.neurons.graded_vec import GradedVec
from seamount.compile.neurons.lif import Lif
from seamount.compile.neurons.model import NeuronModel
from seamount.compile.neurons.models import Graded, Resonating, SigmaDeltas
from seamount.compile.neurons.norm_vec_delay import NormVecDelay
from seamount.compile.neurons.prod_neuron import ProdNeuron
from seamount.compile.neurons.relay import Relay
from seamount.compile.neurons.rf import Rf
from seamount.compile.neurons.rf_iz import RfIz
from seamount.compile.neurons.sigma import Sigma
from seamount.compile.neurons.sigma_delta import SigmaDelta
from seamount.compile.neurons.ternary_lif import TernaryLif
from seamount.compile.numbers import UNITY, Ints, wrap
from seamount.compile.program.program import Population
from seamount.errors import Unsupported

from .graph import Array, Node


def lava_shape(shape: tuple[int, ...], whc: bool) -> tuple[int, ...]:
    return shape[::-1] if whc else shape


def neuron_node(population: Population, whc: bool) -> Node:
    """A neuron process of Lava; a relay is a sink, which only listens, for the record."""
    name, reset = population.name, population.reset
    settings: dict[str, Any] = {"shape": lava_shape(population.shape, whc)}
    match population.neuron:
        case Relay():
            return Node(name, "Sink", population.shape, whc, settings)
        case Lif() as neuron:
            kind, values = "LIF" if reset is None else "LIFReset", _lif(neuron, name)
        case TernaryLif() as neuron:
            kind, values = "TernaryLIF", _ternary(neuron, population)
        case Atrlif() as neuron:
            return _atrlif(population, neuron, whc)
        case Delta() | SigmaDelta() | Sigma() | Rf() | RfIz() | GradedVec() | GradedReluVec():
            return _programmed(population, population.neuron, whc)
        case ProdNeuron() | NormVecDelay():
            return _programmed(population, population.neuron, whc)
        case _ as neuron:
            assert_never(neuron)
    if reset is not None:
        # below the interval, because LIFReset compares the step modulo the interval with it
        settings |= {"reset_interval": reset.interval, "reset_offset": reset.offset % reset.interval}
    arrays = {}
    for key, value in values.items():
        if np.unique(value).size == 1:
            settings[key] = int(value.flat[0])
        else:
            full = np.broadcast_to(value, population.shape)
            arrays[key] = np.ascontiguousarray(full.T if whc else full)
    return Node(name, kind, population.shape, whc, settings, arrays)


PORTS: Mapping[tuple[type[NeuronModel], str], str] = {
    (Rf, "real"): "a_real_in",
    (Rf, "imag"): "a_imag_in",
    (RfIz, "real"): "a_real_in",
    (RfIz, "imag"): "a_imag_in",
    (ProdNeuron, "first"): "a_in1",
    (ProdNeuron, "second"): "a_in2",
    (NormVecDelay, "first"): "a_in1",
    (NormVecDelay, "second"): "a_in2",
}
"""Lava's name of a drive, where a process has several."""


def _programmed(population: Population, neuron: SigmaDeltas | Resonating | Graded, whc: bool) -> Node:
    """Processes without a reset, whose thresholds and rates are one number for all neurons.

    Their constructors shift what they are given, so that fractions, which a double holds, become our integers.
    """
    if population.reset is not None:
        raise Unsupported(
            f"Lava's {type(neuron).__name__} has no reset",
            where=population.name,
            ways_out="run one sample at a time without",
        )
    settings: dict[str, Any] = {"shape": lava_shape(population.shape, whc)}
    arrays: dict[str, Array] = {}
    initial: dict[str, int] = {}
    variables: dict[str, str] = {}
    one = partial(_one_for_all, population)
    match neuron:
        case Sigma():
            kind = "Sigma"
        case Delta() | SigmaDelta():
            kind, unit = type(neuron).__name__, 2.0 ** (neuron.spike_exp + neuron.state_exp)
            settings |= {name: getattr(neuron, name) for name in ("spike_exp", "state_exp", "cum_error")}
            settings["vth"] = one(v_th=neuron.v_th) / unit
            if isinstance(neuron, SigmaDelta):
                settings["act_mode"] = "RELU" if neuron.rectified else "UNIT"
                bias = np.broadcast_to(neuron.bias / unit, population.shape)
                arrays["bias"] = np.ascontiguousarray(bias.T if whc else bias)
        case Rf() | RfIz():
            kind = "RF" if isinstance(neuron, Rf) else "RF_IZ"
            settings |= {"period": 4.0, "alpha": 0.0, "state_exp": neuron.state_exp, "decay_bits": neuron.decay_bits}
            settings["vth"] = one(v_th=neuron.v_th) / 2.0**neuron.state_exp
            # which period and alpha gave them is not known here
            initial = {"sin_decay": one(sin_decay=neuron.sin_decay), "cos_decay": one(cos_decay=neuron.cos_decay)}
        case GradedVec() | GradedReluVec() | ProdNeuron() | NormVecDelay():
            kind, settings["vth"] = type(neuron).__name__, one(v_th=neuron.v_th)
            settings["exp"] = neuron.exp if isinstance(neuron, ProdNeuron) else 0
            variables = {"before": "v"} if isinstance(neuron, NormVecDelay) else {}
        case _:
            assert_never(neuron)
    return Node(population.name, kind, population.shape, whc, settings, arrays, initial, variables)


def _atrlif(population: Population, neuron: Atrlif, whc: bool) -> Node:
    """Rates are fractions in Lava: whole 4096ths, which a double holds; thresholds are shifted by 6 bits."""
    if population.reset is not None:
        raise Unsupported("Lava's Atrlif has no reset", where=population.name, ways_out="run one sample at a time")
    one = partial(_one_for_all, population)
    settings: dict[str, Any] = {
        "shape": lava_shape(population.shape, whc),
        "delta_i": (one(du=neuron.du) - 1) / UNITY,
        "delta_v": one(dv=neuron.dv) / UNITY,
        "delta_theta": one(dtheta=neuron.dtheta) / UNITY,
        "delta_r": one(dr=neuron.dr) / UNITY,
        "theta_0": one(theta_0=neuron.theta_0) / 64,
        "theta_step": one(theta_step=neuron.theta_step) / 64,
    }
    arrays = {}
    for name, value in (
        ("bias_mant", wrap(neuron.bias_mant, 16)),
        ("bias_exp", neuron.bias_exp),
        ("i", neuron.u_init),
        ("v", neuron.v_init),
        ("r", neuron.r_init),
    ):
        full = np.broadcast_to(value, population.shape)
        arrays[name] = np.ascontiguousarray(full.T if whc else full)
    # Lava scales its first theta by itself, once; a sample that starts afresh begins with this one
    initial = {"theta": one(theta_0=neuron.theta_0)}
    return Node(population.name, "ATRLIF", population.shape, whc, settings, arrays, initial, {"u": "i"})


def _one_for_all(population: Population, **values: Ints) -> int:
    """The one number that Lava's process takes for all of its neurons."""
    ((name, value),) = values.items()
    if np.unique(value).size > 1:
        raise Unsupported(
            f"{name} {value.min()} to {value.max()}",
            where=population.name,
            possible=f"Lava's {type(population.neuron).__name__} takes one for all neurons",
            ways_out="split the population",
        )
    return int(value.flat[0])


def _lif(neuron: Lif, name: str) -> dict[str, Ints]:
    if neuron.refractory_steps:
        raise Unsupported(
            f"rests {neuron.refractory_steps} steps after a spike",
            where=name,
            possible="Lava's fixed-point LIF has no refractory period",
            ways_out="set it to 0, or run the program on the simulator alone",
        )
    if neuron.v_floor is not None:
        raise Unsupported(
            f"v never falls below {neuron.v_floor.max()}",
            where=name,
            possible="Lava's LIF has no floor of v",
            ways_out="leave v_floor out, or run the program on the simulator alone",
        )
    return {**_cuba(neuron), "vth": neuron.v_th_mant}


def _ternary(neuron: TernaryLif, population: Population) -> dict[str, Ints]:
    if population.reset is not None:
        raise Unsupported(
            "Lava's TernaryLIF has no reset", where=population.name, ways_out="run one sample at a time without"
        )
    thresholds = {"vth_hi": neuron.v_th_hi_mant, "vth_lo": neuron.v_th_lo_mant}
    for values in thresholds.values():
        if np.unique(values).size > 1:
            raise Unsupported(
                f"thresholds {values.min()} to {values.max()}",
                where=population.name,
                possible="Lava's TernaryLIF takes one for all neurons",
                ways_out="split the population",
            )
    return {**_cuba(neuron), **thresholds}


def _cuba(neuron: Cuba) -> dict[str, Ints]:
    return {
        "du": neuron.du - 1,  # Lava's model adds ds_offset = 1 again, as the registers of Loihi 1 do
        "dv": neuron.dv,
        # here, because numpy 2 refuses to wrap a Python int into Lava's int16
        "bias_mant": wrap(neuron.bias_mant, 16),
        "bias_exp": neuron.bias_exp,
        "u": neuron.u_init,
        "v": neuron.v_init,
    }
