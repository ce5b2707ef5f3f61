"""The neurons of a layer, written into a ``.net`` file as lava-dl's netx reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from seamount.compile.net.neurons import BIAS_EXPONENT, STATE_EXPONENT
from seamount.compile.neurons.delta import Delta
from seamount.compile.neurons.lif import Lif
from seamount.compile.neurons.models import SigmaDeltas
from seamount.compile.neurons.sigma import Sigma
from seamount.compile.neurons.sigma_delta import SigmaDelta
from seamount.compile.numbers import Ints
from seamount.compile.program.program import Population
from seamount.errors import Unsupported

Layer = dict[str, Any]


def refuse(where: str, why: str) -> Unsupported:
    return Unsupported(why, where=where, ways_out="a .net file cannot hold it, write_standalone can")


def net_neuron(population: Population) -> Layer:
    """The group ``neuron`` of a layer.

    Raises:
        Unsupported: what the format, or netx, does not have.
    """
    match population.neuron:
        case Lif() as lif:
            return _lif(lif, population)
        case Delta() | SigmaDelta() | Sigma() as neuron:
            return _sigma_delta(neuron, population)
        case _ as other:
            raise refuse(population.name, f"has {type(other).__name__} neurons")


def net_bias(population: Population) -> Layer:
    """The biases of a layer, or nothing where it has none."""
    match population.neuron:
        case Lif(bias=bias):
            return _bias(bias, 1 << BIAS_EXPONENT, 32767, population)
        case SigmaDelta(bias=bias) as neuron:
            return _bias(bias, _unit(neuron), 1 << 24, population)  # up to which a float32 is exact
        case _:
            return {}


def spike_exp_of(chain: Sequence[Population]) -> int | None:
    """netx's argument of that name, one for all sigma-delta layers; None where there are none.

    Raises:
        Unsupported: layers differ in it.
    """
    found = {p.neuron.spike_exp: p.name for p in chain if isinstance(p.neuron, Delta | SigmaDelta)}
    if len(found) > 1:
        told = ", ".join(f"{exp} of {name}" for exp, name in found.items())
        raise refuse(chain[0].name, f"and those behind it differ in spike_exp ({told})")
    return next(iter(found), None)


def _unit(neuron: Delta | SigmaDelta) -> int:
    return 1 << (neuron.spike_exp + neuron.state_exp)


def _sigma_delta(neuron: SigmaDeltas, population: Population) -> Layer:
    """Without messageBits, on which netx fails; its messages hold more than the 16 that it assumes."""
    name = population.name
    if population.reset is not None:
        raise refuse(name, "is reset, which netx leaves out for sigma-delta neurons")
    if isinstance(neuron, Sigma):
        return {"type": "SDNN", "sigma_output": 1, "vThMant": 0}
    if neuron.state_exp != STATE_EXPONENT:
        raise refuse(name, f"has state_exp {neuron.state_exp}, and netx {STATE_EXPONENT} everywhere")
    if neuron.cum_error:
        raise refuse(name, "compares errors that it adds up, which netx does not")
    if isinstance(neuron, SigmaDelta) and not neuron.rectified:
        raise refuse(name, "does not rectify, and netx does")
    v_th = np.unique(neuron.v_th)
    if v_th.size > 1 or v_th[0] % _unit(neuron):
        found = f"thresholds {v_th.min()} to {v_th.max()}" if v_th.size > 1 else f"the threshold {v_th[0]}"
        raise refuse(name, f"has {found}, and the format one for a layer, a multiple of {_unit(neuron)}")
    # one below 0 sends every change, as 0 does, and no file holds it
    return {"type": "SDNN", "vThMant": max(int(v_th[0]) // _unit(neuron), 0)}


def _lif(lif: Lif, population: Population) -> Layer:
    shape, name = population.shape, population.name
    if lif.refractory_steps:
        raise refuse(name, "has a refractory period, which lava-dl's loader ignores")
    if lif.v_floor is not None:
        raise refuse(name, "has a floor of v, which Lava does not have")
    if lif.u_init.any() or lif.v_init.any():
        raise refuse(name, "starts from a state other than 0")
    return {
        "type": "LOIHI",
        "iDecay": _parameter(lif.du, shape),
        "vDecay": _parameter(lif.dv, shape),
        "vThMant": _parameter(lif.v_th_mant, shape),
        "refDelay": 1,  # slayer's word for no refractory period
    }


def _parameter(value: Ints, shape: tuple[int, ...]) -> Ints:
    """One number, one per channel of a map, or one per neuron, in Lava's order (W, H, C)."""
    if np.unique(value).size == 1:
        return np.asarray(value.flat[0])
    whole = np.broadcast_to(value, shape)
    if len(shape) != 3:
        return whole
    return whole[:, 0, 0] if np.all(whole == whole[:, :1, :1]) else whole.T


def _bias(bias: Ints, unit: int, most: int, population: Population) -> Layer:
    if not bias.any():
        return {}
    bias = np.broadcast_to(bias, population.shape)
    if np.any(bias % unit) or np.abs(bias // unit).max() > most:
        raise refuse(population.name, f"has biases that are no multiples of {unit} up to {most} of them")
    whole = bias // unit
    if len(population.shape) == 3:
        whole = whole[:, 0, 0] if np.all(whole == whole[:, :1, :1]) else whole.T
    return {"bias": whole.astype(np.float32)}
