"""Emulates a reset by subtraction on chips that reset v to one value: the membrane moves into u.

A neuron without a synaptic current keeps m = (1 - a) m + a v_leak + x, fires where m > v_th, then m = m - v_th. With
w = m - v_leak, taken before the subtraction, and the neuron's spikes z,

    w[t] = (1 - a) (w[t-1] - v_th z[t-1]) + x[t] = (1 - a) w[t-1] + x[t] - (1 - a) v_th z[t-1]

which is a current that decays by a, with a synapse of weight -(1 - a) v_th from each neuron to itself: a synapse
takes one step, as the formula asks. The potential follows the current without memory (a_m = 1: v = v_leak + w), so
the chip's own reset of v, which leaves u alone, takes nothing away. snnTorch's late subtraction acts behind the
decay: there the weight is -v_th. Both are the same network in real arithmetic.

A current has one rate of decay, so where a neuron has a synaptic current already its membrane finds no room.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from seamount.errors import Unsupported

from ..network import Connection, Linear, Network, Population, Reshape, Scale, reals

SOFT_RESETS = ("subtract", "subtract-next-step")


def emulate_soft_reset(network: Network) -> Network:
    """The same spikes with a hard reset; networks without a soft reset are left as they are.

    Raises:
        Unsupported: a population that cannot be emulated exactly, with the reason.
    """
    soft = [p for p in network.populations if p.v_th is not None and p.reset in SOFT_RESETS]
    if not soft:
        return network
    _refuse(soft, network)
    populations: list[Population] = []
    connections = list(network.connections)
    for p in network.populations:
        if p not in soft:
            populations.append(p)
            continue
        hard = _emulated(p)
        connections += _self_inhibition(p)
        if np.any(hard.a_s == 0) and np.any(hard.bias):
            for clock, tick in _clocks(p):
                populations.append(clock)
                connections.append(tick)
            hard = replace(hard, bias=reals(0.0), late_bias=reals(0.0))
        populations.append(hard)
    names = ", ".join(p.name for p in soft)
    told = f"soft reset of {names} emulated: the membrane in u, a synapse from each neuron to itself"
    return network.with_(
        populations=tuple(populations),
        connections=tuple(connections),
        assumptions=(*network.assumptions, told),
    )


def _refuse(soft: list[Population], network: Network) -> None:
    problems = []
    for p in soft:
        assert p.v_th is not None
        if p.multi_spike:
            problems.append(
                f"{p.name}: several spikes in one step, the chip sends one; train with single spikes, or say "
                "--set multi_spike=off to compile it as if it had been"
            )
        if np.any(p.a_s != 1):
            problems.append(
                f"{p.name}: reset {p.reset!r} with a synaptic current (which keeps {float(np.max(1 - p.a_s)):.4g} a "
                "step); only u outlives a spike, and its one rate of decay goes to the membrane; train without a "
                "synaptic current or with a reset to v_reset, or say --set reset=value if the file's tool meant that"
            )
        if np.any(p.v_th <= 0) or np.any(p.gain == 0):
            problems.append(
                f"{p.name}: reset {p.reset!r} with thresholds down to {p.v_th.min():.6g} and gains down to "
                f"{np.abs(p.gain).min():.6g}, needed is above 0 to emulate it"
            )
        if network.readout == p.name and network.readout_quantity == "v":
            problems.append(
                f"{p.name}: its v is the readout, and a soft reset is emulated with another v; read its spikes "
                "(--set readout_quantity=count), or make it a readout that never fires"
            )
    if problems:
        raise Unsupported("\n".join(problems))


def _emulated(p: Population) -> Population:
    """Membrane in u, v without memory, v counted from v_leak where the threshold lies above it."""
    assert p.v_th is not None
    v_reset = reals(np.where(p.v_leak < p.v_th, p.v_leak, p.v_th - 1.0))
    return replace(
        p,
        a_s=p.a_m,
        a_m=reals(1.0),
        u_init=reals(p.v_init - p.v_leak),
        v_reset=v_reset,
        v_init=v_reset,
        reset="value",
    )


def _self_inhibition(p: Population) -> list[Connection]:
    assert p.v_th is not None
    kept = 1.0 if p.reset == "subtract-next-step" else 1 - p.a_m
    weight = reals(-kept * p.v_th / p.gain)
    if not np.any(weight):
        return []
    return [Connection(f"{p.name}.soft_reset", p.name, p.name, (Scale(weight),), previous=True, fine=True)]


def _clocks(p: Population) -> list[tuple[Population, Connection]]:
    """Neurons that fire at every step, for biases into a current that never decays: nothing else can bring them.

    One starts at step 0, one at step 1 for the part of the bias that is missing at step 0.
    """
    one, zero = reals(1.0), reals(0.0)
    found = []
    for part, values, start in (("clock", p.bias - p.late_bias, 0.0), ("late_clock", p.late_bias, -1.0)):
        if not np.any(values):
            continue
        name = f"{p.name}.{part}"
        clock = Population(name, (1,), one, zero, one, one, zero, reals(0.5), zero, v_init=reals(start))
        column = reals(np.broadcast_to(values, p.shape).reshape(-1, 1))
        back = () if p.shape == (p.n_neurons,) else (Reshape(p.shape),)
        found.append((clock, Connection(f"{name}.bias", name, p.name, (Linear(column), *back))))
    return found
