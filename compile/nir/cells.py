"""NIR's neuron equations made discrete: (tau, r, w_in, ...) and the settings -> a ``Population``.

With e = dt / tau (or 1 - exp(-dt / tau)) NIR's ODEs become

    i = (1 - e_s) i + w_in e_s x        v = (1 - e_m) v + e_m (v_leak + r i)

and with u = e_m r i the two lines at the top of ``network.py``, gain = e_m r w_in e_s. LIF has no current (e_s = 1,
w_in = 1); I and IF have no leak (e_m = 0 in the decay) and gain r dt.
"""

from __future__ import annotations

import numpy as np

from seamount.errors import InputError

from ..network.network import Population, Reals, Shape, reals
from .file import RawNode
from .presets import Discretisation
from .values import NodeValues


def population(name: str, node: RawNode, shape: Shape, s: Discretisation) -> Population:
    """One neuron node under the settings."""
    values = NodeValues(name, node)
    if node.kind == "Threshold":
        return _threshold(values, shape)
    zero = reals(0.0)
    a_s, a_m, gain = _rates(values, shape, s)
    v_leak = values.parameter("v_leak", shape) if "v_leak" in node.values else zero
    v_reset = values.parameter("v_reset", shape) if "v_reset" in node.values else zero
    v_th = values.parameter("v_threshold", shape) if "v_threshold" in node.values else None
    return Population(
        name=name,
        shape=shape,
        a_s=a_s,
        a_m=a_m,
        gain=gain,
        bias=zero,
        v_leak=v_leak,
        v_th=v_th,
        v_reset=v_reset,
        v_init=_start(node.kind, s, v_leak, v_reset),
        reset=_reset(node.kind, s),
        fires_at_threshold=s.threshold == ">=",
        multi_spike=s.multi_spike == "on" and v_th is not None,
    )


def _threshold(values: NodeValues, shape: Shape) -> Population:
    """Nothing is kept (a_m = 1), so that any reset below the threshold will do."""
    zero, one = reals(0.0), reals(1.0)
    v_th = values.parameter("threshold", shape)
    v_reset = reals(np.minimum(v_th - 1.0, 0.0))
    return Population(values.name, shape, one, one, one, zero, zero, v_th, v_reset, v_init=zero)


def _rates(values: NodeValues, shape: Shape, s: Discretisation) -> tuple[Reals, Reals, Reals]:
    """a_s, a_m and gain: see the top of this file."""
    kind, one = values.node.kind, reals(1.0)
    r = values.parameter("r", shape)
    match kind:
        case "I" | "IF":
            return one, reals(0.0), r if s.integrator == "step" else reals(r * _dt(values.name, s))
        case "LI" | "LIF":
            a_m = _rate(values, "tau", shape, s)
            return one, a_m, {"ode": reals(a_m * r), "unit": one, "decayed": reals(1 - a_m)}[_drive(kind, s)]
    a_s, a_m = _rate(values, "tau_syn", shape, s), _rate(values, "tau_mem", shape, s)
    w_in = values.parameter("w_in", shape) if "w_in" in values.node.values else one
    gain = w_in if s.current == "jump" else w_in * a_s
    if s.cuba_order == "decayed":
        gain = gain * (1 - a_s)
    if s.membrane == "ode":
        gain = gain * a_m * r
    return a_s, a_m, reals(gain)


def memoryless(name: str, shape: Shape) -> Population:
    """Shows what arrives: v is the drive of the same step, nothing is kept, it never fires."""
    zero, one = reals(0.0), reals(1.0)
    return Population(name, shape, one, one, one, zero, zero, None, zero, zero)


def _drive(kind: str, s: Discretisation) -> str:
    return (s.li if kind == "LI" else s.membrane) or "ode"


def _reset(kind: str, s: Discretisation) -> str:
    """One of the resets of a Population."""
    if s.reset == "subtract-spyx":
        return "subtract" if kind == "CubaLIF" else "subtract-next-step"
    return s.reset or "value"


def _start(kind: str, s: Discretisation, v_leak: Reals, v_reset: Reals) -> Reals:
    if s.init == "reset" or (s.init == "leak" and kind == "IF"):  # norse's integrator starts at v_reset
        return v_reset
    return v_leak if s.init == "leak" else reals(0.0)


def _dt(name: str, s: Discretisation) -> float:
    if s.time_unit == "steps":
        return 1.0
    if s.dt is None:
        raise InputError("the time step is needed", where=name, ways_out="give --dt")
    return s.dt


def _rate(values: NodeValues, key: str, shape: Shape, s: Discretisation) -> Reals:
    """e of one time constant."""
    tau = values.positive(key, shape)
    dt = _dt(values.name, s)
    if s.tau == "times-dt":
        tau = reals(tau / dt)
    with np.errstate(over="ignore"):
        ratio = dt / tau
    if np.any(ratio > 1) and s.decay != "exp":
        raise InputError(
            f"{key} goes down to {tau.min():.6g}, less than the time step {dt:g}",
            where=values.name,
            ways_out="is the time step or the time unit another one?",
        )
    return reals(ratio if s.decay == "euler" else 1 - np.exp(-ratio))
