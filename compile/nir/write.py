"""Writes a program as a NIR graph: the numbers are slayer's own, the names the program's.

Weights, thresholds and biases are the integers / 64, both gains are 1. With a time step dt, tau_syn = 4096 dt / du,
w_in = tau_syn / dt, tau_mem = 4096 dt / dv, r = tau_mem / dt. A current that is cleared at every step makes LIF of
CubaLIF, a membrane without leak beside it IF. A bias goes to v: into the weights where there is no current on the
way, else into v_leak. An input that drives neurons directly becomes an edge of its own with input_scale 64; compiled
it takes the step of a synapse group, so all is the same one step later.

Whether NIR can say a program at all is decided in ``to_nir.py``, which asks before and compares behind.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, assert_never

import nir
import numpy as np

from ..network.network import Reals
from ..neurons.lif import NEVER_FIRES, Lif
from ..numbers import Ints, ints
from ..program.program import Population, Program
from ..synapses.kinds import Conv, Dense, Kind, OneToOne, Sparse, Synapses, Wire
from ..synapses.matrix import as_matrix

SCALE = 64.0
"""Units of v_th_mant per real unit, of every population: slayer's 2^6."""

DT_S = 1e-4
"""Time step where the program names none: the one that snnTorch and the NIR paper's Lava script take for granted."""

INPUT_BITS = 16
"""The widest graded input that our NIR metadata can name."""


def graph_of(program: Program) -> nir.NIRGraph:
    """The program's graph; only for programs in which ``to_nir.py`` found nothing that NIR cannot say."""
    dt_s = DT_S if program.timestep_s is None else program.timestep_s
    nodes: dict[str, Any] = {i.name: nir.Input({"input": np.array(i.shape)}) for i in program.inputs}
    edges: list[tuple[str, str]] = []
    for p in program.populations:
        assert isinstance(p.neuron, Lif), "others were refused"
        bias: Reals | None = p.neuron.bias / (64 * SCALE)
        for s in program.into(p.name):
            here = bias if has_no_current(p.neuron) and can_hold(s.kind, p, p.neuron.bias) else None
            path = _path(program, s, here, dt_s)
            bias = bias if here is None else None
            edges += pairwise([s.source, *path, p.name])
            nodes |= path
        leak = np.zeros(p.shape) if has_no_current(p.neuron) or bias is None else bias * 4096 / p.neuron.dv
        nodes[p.name] = _neurons(p, p.neuron, leak, dt_s)
    for output, name in _outputs(program).items():
        nodes[output] = nir.Output({"output": np.array(program.shape(name))})
        edges.append((name, output))
    return nir.NIRGraph(nodes, edges, metadata=_metadata(program, dt_s))


def _outputs(program: Program) -> dict[str, str]:
    """Output -> the population that it shows: the readout, or all that nothing hears."""
    last = [p.name for p in program.populations if all(s.target == p.name for s in program.out_of(p.name))]
    shown = last if program.readout is None else [program.readout.population]
    return {"output" if i == 0 else f"output_{name}": name for i, name in enumerate(shown)}


def _path(program: Program, s: Synapses, bias: Reals | None, dt_s: float) -> dict[str, Any]:
    """The nodes between source and target, in order."""
    name = node_name(s)
    source = program.shape(s.source)
    path: dict[str, Any] = {}
    if isinstance(s.kind, Wire):
        return path
    if s.delay.any():
        delay = source_delay(s)
        assert delay is not None, "others were refused"
        path[f"{name}_delay"] = nir.Delay(np.broadcast_to(delay, int(np.prod(source))).reshape(source) * dt_s)
    real = s.kind.weights * 2.0**s.exponent / SCALE
    match s.kind:
        case Dense() | Sparse():
            if len(source) > 1:
                path[f"{name}_flatten"] = nir.Flatten({"input": np.array(source)}, start_dim=0, end_dim=-1)
            weight = as_matrix(s.kind, real)
            n_out = len(weight)
            path[name] = nir.Linear(weight)
            if bias is not None and bias.any():
                path[name] = nir.Affine(weight, np.broadcast_to(bias, n_out).copy())
        case Conv():
            path[name] = _conv(program, s, s.kind, bias)
        case OneToOne():
            path[name] = nir.Scale(np.broadcast_to(real, source).copy())
        case _:
            assert_never(s.kind)
    return path


def _conv(program: Program, s: Synapses, kind: Conv, bias: Reals | None) -> nir.Conv2d:
    conv = square(kind)
    assert conv is not None, "others were refused"
    per_channel = np.zeros(len(conv.weights))
    if bias is not None:
        per_channel = np.broadcast_to(bias, program.shape(s.target))[:, 0, 0].copy()
    _, height, width = program.shape(s.source)
    return nir.Conv2d(
        input_shape=(height, width),
        weight=conv.weights * 2.0**s.exponent / SCALE,
        **conv.window._asdict(),
        bias=per_channel,
    )


def node_name(s: Synapses) -> str:
    """A synapse group's node: NIR files have no names with a slash."""
    return f"{s.source}->{s.target}" if isinstance(s.kind, Wire) else s.name.replace("/", "_")


def _neurons(p: Population, lif: Lif, leak: Reals, dt_s: float) -> Any:
    def everywhere(values: Any) -> Reals:
        return np.broadcast_to(np.asarray(values, dtype=np.float64), p.shape).copy()

    spiking = not never_fires(lif)
    fires: dict[str, Reals] = {}
    if spiking:
        fires = {"v_threshold": everywhere(lif.v_th_mant / SCALE), "v_reset": everywhere(0.0)}
    if not lif.dv.any():
        return (nir.IF if spiking else nir.I)(r=everywhere(1 / dt_s), **fires)
    steps_mem = 4096 / lif.dv
    membrane = {"r": everywhere(steps_mem), "v_leak": everywhere(leak), **fires}
    if has_no_current(lif):
        return (nir.LIF if spiking else nir.LI)(tau=everywhere(dt_s * steps_mem), **membrane)
    steps_syn = 4096 / lif.du
    return (nir.CubaLIF if spiking else nir.CubaLI)(
        tau_syn=everywhere(dt_s * steps_syn),
        tau_mem=everywhere(dt_s * steps_mem),
        w_in=everywhere(steps_syn),
        **membrane,
    )


def _metadata(program: Program, dt_s: float) -> dict[str, Any]:
    ours: dict[str, Any] = {}
    if program.inputs:
        entry = program.inputs[0]
        ours = {"input_bits": min(entry.bits, INPUT_BITS), "input_signed": entry.signed}
        ours["input_scale"] = SCALE if steps_late(program) else 1.0
    resets = [p.reset.interval for p in program.populations if p.reset is not None]
    if resets:
        ours["n_steps"] = resets[0]
    if program.readout is not None:
        ours |= {"readout": program.readout.population, "readout_quantity": program.readout.quantity}
    return {
        "discretization": {
            "dt": dt_s,
            "time_unit": "s",
            "decay": "euler",
            "spike": "bin",
            "reset": "value",
            "threshold": ">",
            "init": "zero",
            "exporter": "seamount 0.1.0",
        },
        "seamount": ours,
        "quantised": {"scale": {p.name: SCALE for p in program.populations}},
    }


# ---------------------------------------------------------------------------------- what a program has for NIR


def steps_late(program: Program) -> int:
    """Steps that everything comes later when compiled from NIR: 1 where the input drives neurons directly."""
    return int(any(isinstance(s.kind, Wire) for s in program.synapses))


def has_no_current(lif: Lif) -> bool:
    """True where the current is forgotten at every step, so that NIR needs none."""
    return bool((lif.du == 4096).all())


def never_fires(lif: Lif) -> bool:
    """True where no neuron of them can fire: one of NIR's integrators."""
    return bool((lif.v_th_mant >= NEVER_FIRES).all())


def can_hold(kind: Kind, p: Population, bias: Ints) -> bool:
    """Whether NIR's node of these synapses has a place for the bias."""
    match kind:
        case Dense() | Sparse():
            return True
        case Conv():
            everywhere = np.broadcast_to(bias, p.shape)
            return bool((everywhere == everywhere[:, :1, :1]).all())
        case OneToOne() | Wire():
            return False
        case _:
            assert_never(kind)


def square(conv: Conv) -> Conv | None:
    """The same convolution with one group and a square kernel, as nir 1.0.8's type check takes them all to be."""
    weights, n = conv.weights, conv.window.groups
    (c_out, c_in, height, width), side = weights.shape, max(weights.shape[2:])
    grow = (side - height, side - width)
    if grow[0] % 2 or grow[1] % 2:
        return None
    half = (grow[0] // 2, grow[1] // 2)
    whole = np.zeros((n, c_out // n, n, c_in, height, width), dtype=np.int64)
    for g in range(n):
        whole[g, :, g] = weights.reshape(n, c_out // n, c_in, height, width)[g]
    whole = whole.reshape(c_out, n * c_in, height, width)
    whole = np.pad(whole, ((0, 0), (0, 0), (half[0], half[0]), (half[1], half[1])))
    _, (p_h, p_w), (d_h, d_w), _ = conv.window
    padding = (p_h + half[0] * d_h, p_w + half[1] * d_w)
    return Conv(whole, conv.window._replace(padding=padding, groups=1))


def source_delay(s: Synapses) -> Ints | None:
    """The delay of each source where it is the same for all targets, else None."""
    if s.delay.ndim == 0:
        return s.delay
    if isinstance(s.kind, Dense) and s.delay.size and (s.delay == s.delay[:1]).all():
        return ints(s.delay[0])
    return None
