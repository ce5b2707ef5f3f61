"""Recordings of one Lava process: ``in:PORT``, ``out:PORT``, ``state:NAME`` (after each step), time last.

``meta`` names the process and its parameters, as its constructor takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.compile.neurons.atrlif import Atrlif
from seamount.compile.neurons.delta import Delta
from seamount.compile.neurons.graded_relu_vec import GradedReluVec
from seamount.compile.neurons.graded_vec import GradedVec
from seamount.compile.neurons.models import Neuron
from seamount.compile.neurons.norm_vec_delay import NormVecDelay
from seamount.compile.neurons.prod_neuron import ProdNeuron
from seamount.compile.neurons.resonator import resonance
from seamount.compile.neurons.rf import Rf
from seamount.compile.neurons.rf_iz import RfIz
from seamount.compile.neurons.sigma import Sigma
from seamount.compile.neurons.sigma_delta import SigmaDelta
from seamount.compile.numbers import Ints, ints
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Input, Population, Program
from seamount.compile.synapses.kinds import Synapses, Wire
from seamount.errors import InputError, Unsupported

from .graph import Replay, value_range

Meta = Mapping[str, Any]


def _atrlif(meta: Meta, scaled: Callable[..., Ints]) -> Atrlif:
    """Lava truncates what v, theta and r keep, in 4096ths, and multiplies i by a real number.

    Raises:
        Unsupported: delta_i is no whole number of 4096ths.
    """
    kept = {name: 4096 - float(meta.get(f"delta_{key}", default)) * 4096 for name, key, default in RATES}
    if kept["du"] % 1:
        raise Unsupported(
            f"{1 - kept['du'] / 4096:g}, by which Lava multiplies in floating point",
            where="delta_i",
            possible="whole numbers of 4096ths are held",
        )
    rates = {name: ints(4096 - int(of_state)) for name, of_state in kept.items()}
    return Atrlif(
        **{**rates, "du": ints(rates["du"] + 1)},
        theta_0=scaled("theta_0", 6, 5),
        theta_step=scaled("theta_step", 6, 3.75),
        bias_mant=scaled("bias_mant", 0),
        bias_exp=scaled("bias_exp", 0),
        u_init=scaled("i", 0),
        v_init=scaled("v", 0),
        r_init=scaled("r", 0),
    )


RATES = (("du", "i", 0.4), ("dv", "v", 0.4), ("dtheta", "theta", 0.2), ("dr", "r", 0.2))
DRIVES = {"a_in": "drive", "a_real_in": "real", "a_imag_in": "imag", "a_in1": "first", "a_in2": "second"}
STATES = {"NormVecDelay": {"v": "before"}, "ATRLIF": {"i": "u"}}
ALWAYS_ZERO = {"GradedVec": ("v",), "GradedReluVec": ("v",), "ProdNeuron": ("v",), "Delta": ("sigma",)}
"""Variables that Lava clears in every step, or never writes: our models keep none of them."""


@dataclass(frozen=True)
class ProcessReplay(Replay):
    process: str = ""

    def trace(self, activity: Activity, name: str) -> NDArray[Any] | None:
        kind, _, what = name.partition(":")
        if kind == "out":
            population = {"s_out": "p", "s2_out": "square"}[what]
            return np.moveaxis(activity.spikes[population][:, 0], 0, -1)
        sent = np.moveaxis(activity.spikes["p"][:, 0], 0, -1)
        if (self.process, what) == ("NormVecDelay", "v2"):  # v as it was before the step
            v = np.moveaxis(activity.states["before"]["p"][:, 0], 0, -1)
            return np.concatenate([np.zeros_like(v[..., :1]), v[..., :-1]], axis=-1)
        if what in ALWAYS_ZERO.get(self.process, ()):
            return np.zeros_like(sent)
        found = activity.states.get(STATES.get(self.process, {}).get(what, what), {})
        return np.moveaxis(found["p"][:, 0], 0, -1) if "p" in found else None


def process_replays(name: str, meta: Meta, arrays: Mapping[str, NDArray[Any]]) -> list[Replay]:
    process = {"rf": "RF", "rf_iz": "RF_IZ"}.get(meta["proc"], meta["proc"])
    given = {key[3:]: values for key, values in arrays.items() if key.startswith("in:")}
    if not given:
        raise InputError("no in:PORT, and a process does nothing without input", where=name)
    shape = next(iter(given.values())).shape[:-1]
    inputs = {port: ints(np.moveaxis(x, -1, 0)[:, None]) for port, x in given.items()}
    populations = [Population("p", shape, _neuron(process, meta, shape))]
    wires = [Synapses(f"{port}.p", port, "p", Wire(), drive=DRIVES[port]) for port in inputs]
    if "out:s2_out" in arrays:
        populations.append(Population("square", shape, ProdNeuron(ints(0))))
        wires += [Synapses(f"square.{d}", "a_in1", "square", Wire(), drive=d) for d in ("first", "second")]
    entries = tuple(Input(port, shape, *value_range(x)) for port, x in inputs.items())
    program = Program(name, entries, tuple(populations), tuple(wires))
    return [ProcessReplay("wired", program, inputs, {}, process)]


def _neuron(process: str, meta: Meta, shape: tuple[int, ...]) -> Neuron:
    """Lava shifts thresholds and biases, then casts them to integers."""
    spike_exp, state_exp = int(meta.get("spike_exp", 0)), int(meta.get("state_exp", 0))

    def scaled(key: str, exponent: int, default: float = 0) -> Ints:
        values = np.asarray(meta.get(key, default), dtype=np.float64)
        return ints(np.trunc(np.broadcast_to(values, shape) * 2.0**exponent))

    coding: dict[str, Any] = {"spike_exp": spike_exp, "state_exp": state_exp}
    coding["cum_error"] = bool(meta.get("cum_error", False))
    match process:
        case "ATRLIF":
            return _atrlif(meta, scaled)
        case "Sigma":
            return Sigma()
        case "Delta":
            return Delta(scaled("vth", spike_exp + state_exp), **coding)
        case "SigmaDelta":
            both = (scaled(key, spike_exp + state_exp) for key in ("vth", "bias"))
            mode = str(meta.get("act_mode", "RELU")).rpartition(".")[2]  # ActivationMode.RELU, or its number
            if mode not in ("RELU", "1", "UNIT", "0"):
                raise Unsupported(f"{mode!r} is not held here", where="act_mode")
            return SigmaDelta(*both, **coding, rectified=mode in ("RELU", "1"))
        case "RF" | "RF_IZ":
            bits = int(meta.get("decay_bits", 0))
            periods, alphas = np.broadcast_arrays(meta["period"], meta["alpha"])
            turns = [resonance(process, *both, bits) for both in zip(periods.flat, alphas.flat, strict=True)]
            sin, cos = (ints(np.reshape(rates, periods.shape)) for rates in zip(*turns, strict=True))
            made = Rf if process == "RF" else RfIz
            return made(sin, cos, scaled("vth", state_exp, 1), state_exp, bits)
        case "GradedVec":
            return GradedVec(scaled("vth", 0, 1))
        case "GradedReluVec":
            return GradedReluVec(scaled("vth", 0, 1))
        case "ProdNeuron":
            # 32 bits that are shifted by more leave their sign, as by 31
            return ProdNeuron(scaled("vth", 0, 1), min(int(meta.get("exp", 0)), 31))
        case "NormVecDelay":
            return NormVecDelay(scaled("vth", 0, 1))
        case _:
            raise Unsupported(f"{process} is not held here", where="process")
