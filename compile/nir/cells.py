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
    v_reset = reals(np.where(v_th > 0, 0.0, v_th - 1.0))
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
            return one, a_m, {"ode": _kept(a_m, r), "unit": one, "decayed": reals(1 - a_m)}[_drive(kind, s)]
    a_s, a_m = _rate(values, "tau_syn", shape, s), _rate(values, "tau_mem", shape, s)
    w_in = values.parameter("w_in", shape) if "w_in" in values.node.values else one
    gain = w_in if s.current == "jump" else _kept(a_s, w_in)
    if s.cuba_order == "decayed":
        gain = gain * (1 - a_s)
    if s.membrane == "ode":
        gain = gain * _kept(a_m, r)
    return a_s, a_m, reals(gain)


def _kept(rate: Reals, factor: Reals) -> Reals:
    """rate * factor; 1 where nothing leaks and the factor is infinite, as tools that write r = tau / dt mean it."""
    no_leak = np.isinf(factor) & (rate == 0)
    with np.errstate(invalid="ignore"):
        return reals(np.where(no_leak, 1.0, rate * factor))


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
        raise InputError("the time step is needed", where=name, ways_out="say it with --set dt=...")
    return s.dt


def _rate(values: NodeValues, key: str, shape: Shape, s: Discretisation) -> Reals:
    """e of one time constant."""
    tau = values.positive(key, shape)
    dt = _dt(values.name, s)
    if s.tau == "times-dt":
        tau = reals(tau / dt)
    with np.errstate(over="ignore"):
        ratio = dt / tau
    if s.decay == "exp":
        return reals(1 - np.exp(-ratio))
    if _in_float32(values.node.values[key]):
        # a float32 of the time step itself is not quite the float64: 1e-4 comes as 9.9999997e-05
        ratio = np.where(np.abs(ratio - 1) <= np.finfo(np.float32).eps, 1.0, ratio)
    if np.any(ratio > 1):
        raise InputError(
            f"{key} goes down to {tau.min():.9g}, less than the time step {dt:g}",
            where=values.name,
            ways_out="is the time step or the time unit another one?",
        )
    return reals(ratio)


def _in_float32(value: object) -> bool:
    """True where the numbers have no more digits than float32 holds, whatever type they are stored in."""
    array = np.asarray(value, dtype=np.float64)
    with np.errstate(over="ignore"):
        return bool(np.all(array.astype(np.float32) == array))
