"""A program that was read from a lava-dl ``.net`` file as a NIR graph, where NIR can say it exactly.

The numbers are slayer's own: weights, thresholds and biases are the integers / 64, both gains are 1. With a time
step dt, tau_syn = 4096 dt / du, w_in = tau_syn / dt, tau_mem = 4096 dt / dv, r = tau_mem / dt. A current that is
cleared at every step makes LIF of CubaLIF, a membrane without leak beside it IF. A bias goes to v: into the weights
where there is no current on the way, else into v_leak. An input that drives neurons directly becomes an edge of its
own with input_scale 64; compiled it takes the step of a synapse group, so all is the same one step later.

Before a graph is handed out it is compiled again and compared with the program, integer by integer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, assert_never

import nir
import numpy as np

from seamount.errors import InputError, Unsupported

from .network.network import Reals
from .neurons.cuba import bias_of
from .neurons.lif import NEVER_FIRES, Lif
from .neurons.relay import Relay
from .neurons.ternary_lif import TernaryLif
from .numbers import Ints, ints
from .passes.align_startup import fires_alone
from .pipeline import compile_graph
from .program.program import Population, Program, loops
from .synapses.kinds import Conv, Dense, Kind, OneToOne, Sparse, Synapses, Wire

SCALE = 64.0
"""Units of v_th_mant per real unit, of every population: slayer's 2^6."""

DT_S = 1e-4
"""Time step where the program names none: the one that snnTorch and the NIR paper's Lava script take for granted."""

INPUT_BITS = 16
"""The widest graded input that our NIR metadata can name."""


def net_to_nir(program: Program) -> nir.NIRGraph:
    """The NIR graph that compiles to the program again: identical weights, decays, thresholds, biases and resets.

    Raises:
        Unsupported: what NIR cannot say; every population and synapse group by name, with the reason.
    """
    problems = [*_of_program(program)]
    for p in program.populations:
        problems += _of_population(program, p)
    for s in program.synapses:
        problems += _of_synapses(program, s)
    if problems:
        raise Unsupported(f"{program.name}: NIR cannot say it exactly:\n  " + "\n  ".join(problems))
    graph = _graph(program)
    try:
        again = compile_graph(graph).program
    except (InputError, Unsupported) as error:
        raise Unsupported(f"{program.name}: the compiler would not read it back from NIR: {error}") from error
    different = next(_differences(program, again), None)
    if different is not None:
        raise Unsupported(f"{program.name}: NIR cannot say it exactly; compiled again, {different}")
    return graph


# --------------------------------------------------------------------------------------------- what it cannot say


def _of_program(program: Program) -> Iterator[str]:
    resets = {p.name: _reset(p) for p in program.populations}
    if program.n_steps is not None and any(r is not None and r[0] != program.n_steps for r in resets.values()):
        yield f"samples of {program.n_steps} steps, but resets {_told(resets)}; NIR has no resets of its own"
    elif len(intervals := {None if r is None else r[0] for r in resets.values()}) > 1:
        yield f"resets {_told(resets)}; NIR has no reset per layer"
    elif (interval := next(iter(intervals), None)) is not None:
        arrival = program.arrivals()
        late = {n: r for n, r in resets.items() if r is not None and r[1] != (arrival[n] + 1) % interval}
        if late:
            yield (
                f"resets {_told(late)} are not those at which a sample arrives there; NIR has no reset per layer: "
                f"read the file with reset_offset={1 - _late(program)}"
            )
    for i in program.inputs:
        if i.bits > INPUT_BITS and not _late(program):
            yield f"{i.name}: an input of {i.bits} bits, possible are {INPUT_BITS}"


def _of_population(program: Program, p: Population) -> Iterator[str]:
    match p.neuron:
        case TernaryLif():
            yield f"{p.name}: ternary neurons; NIR has none"
            return
        case Relay():
            yield f"{p.name}: a relay; NIR has no node without a state that takes a step"
            return
        case Lif() as lif:
            pass
    if lif.refractory_steps:
        yield f"{p.name}: a refractory period; NIR has none"
    if lif.u_init.any() or lif.v_init.any():
        yield f"{p.name}: an initial state other than 0"
    for name, rate in (("du", lif.du), ("dv", lif.dv)):
        if rate.min() < 0 or rate.max() > 4096:
            yield f"{p.name}: {name} {rate.min()} to {rate.max()}; a time constant can say 1 to 4096"
    if (lif.du == 0).any():
        yield f"{p.name}: a current that never decays (iDecay 0) has no time constant"
    if (lif.dv == 0).any() and not (_has_no_current(lif) and not lif.dv.any()):
        yield (
            f"{p.name}: a membrane that never decays (vDecay 0) has no time constant; NIR's integrators have no "
            "current (iDecay 4096) and are one for all neurons"
        )
    if lif.v_th_mant.min() < 1:
        yield f"{p.name}: threshold {lif.v_th_mant.min()}, not above the reset"
    if _never_fires(lif) and any(s.target != p.name for s in program.out_of(p.name)):
        yield f"{p.name}: never fires, but others listen to it; NIR's integrators send their potential"
    elif (lif.v_th_mant >= NEVER_FIRES).any() and not _never_fires(lif):
        yield f"{p.name}: some of its neurons never fire"
    bias = bias_of(lif)
    if not bias.any():
        return
    if p.reset is None:
        yield (
            f"{p.name}: its bias acts before its first input is there, NIR's bias begins with it; read the file with "
            f"reset_interval (the steps of a sample) and reset_offset={1 - _late(program)}"
        )
    elif _remembers(program) and fires_alone(lif, program.arrivals()[p.name]):
        yield (
            f"{p.name}: its bias alone makes it fire before its first input is there, and recurrence or delays keep "
            "those spikes; NIR's networks are at rest then"
        )
    into = program.into(p.name)
    if _has_no_current(lif) and not any(_can_hold(s.kind, p, bias) for s in into):
        yield f"{p.name}: no weights beside which NIR could write its bias"


def _of_synapses(program: Program, s: Synapses) -> Iterator[str]:
    match s.kind:
        case Wire():
            others = [
                o.name for o in program.synapses if o is not s and (isinstance(o.kind, Wire) or o.source == s.source)
            ]
            if s.source not in [i.name for i in program.inputs] or others:
                yield f"{s.name}: drives neurons without a synapse; compiled from NIR that takes a step more"
            return
        case Dense() | Sparse():
            if len(program.shape(s.target)) != 1:
                yield f"{s.name}: makes a map of shape {program.shape(s.target)} from a matrix"
        case Conv():
            if _square(s.kind) is None:
                yield (
                    f"{s.name}: a kernel of {s.kind.weights.shape[2:]}; nir's type check takes kernels for square, "
                    "and sides that differ by an odd number cannot be made so"
                )
        case OneToOne():
            pass
        case _:
            assert_never(s.kind)
    if s.exponent < 0 and (s.kind.weights % (1 << -s.exponent)).any():
        yield f"{s.name}: its sums are floored (exponent {s.exponent}); NIR's are not"
    if s.graded != any(i.bits > 0 for i in program.inputs if i.name == s.source):
        counts = "multiplies by the payload" if s.graded else "counts any payload as one spike"
        yield f"{s.name}: {counts}; compiled from NIR only graded inputs are multiplied, and all of them"
    if s.delay.any() and _source_delay(s) is None:
        yield f"{s.name}: a delay per output or per synapse; NIR's stand on what comes in"
    elif s.delay.size and s.delay.min() > 0:
        yield (
            f"{s.name}: at least {s.delay.min()} steps of delay everywhere; compiled again, one of them would become "
            "the step that synapses take"
        )
    if len(program.into(s.target)) != len({other.source for other in program.into(s.target)}):
        yield f"{s.name}: a second synapse group from {s.source} to {s.target}"


def _late(program: Program) -> int:
    """Steps that everything comes later when compiled from NIR: 1 where the input drives neurons directly."""
    return int(any(isinstance(s.kind, Wire) for s in program.synapses))


def _reset(p: Population, late: int = 0) -> tuple[int, int] | None:
    return None if p.reset is None else (p.reset.interval, (p.reset.offset + late) % p.reset.interval)


def _told(resets: Mapping[str, tuple[int, int] | None]) -> str:
    return ", ".join(f"{n} {'never' if r is None else f'every {r[0]} steps + {r[1]}'}" for n, r in resets.items())


def _has_no_current(lif: Lif) -> bool:
    return bool((lif.du == 4096).all())


def _remembers(program: Program) -> bool:
    return bool(loops(program)) or any(s.delay.any() for s in program.synapses)


def _never_fires(lif: Lif) -> bool:
    return bool((lif.v_th_mant >= NEVER_FIRES).all())


def _can_hold(kind: Kind, p: Population, bias: Ints) -> bool:
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


# ------------------------------------------------------------------------------------------------------ the graph


def _graph(program: Program) -> nir.NIRGraph:
    dt_s = DT_S if program.timestep_s is None else program.timestep_s
    nodes: dict[str, Any] = {i.name: nir.Input({"input": np.array(i.shape)}) for i in program.inputs}
    edges: list[tuple[str, str]] = []
    for p in program.populations:
        assert isinstance(p.neuron, Lif), "others were refused"
        bias: Reals | None = bias_of(p.neuron) / (64 * SCALE)
        for s in program.into(p.name):
            here = bias if _has_no_current(p.neuron) and _can_hold(s.kind, p, bias_of(p.neuron)) else None
            path = _path(program, s, here, dt_s)
            bias = bias if here is None else None
            edges += pairwise([s.source, *path, p.name])
            nodes |= path
        leak = np.zeros(p.shape) if _has_no_current(p.neuron) or bias is None else bias * 4096 / p.neuron.dv
        nodes[p.name] = _neurons(p, p.neuron, leak, dt_s)
    shown = [program.readout.population] if program.readout is not None else _last(program)
    for i, name in enumerate(shown):
        output = "output" if i == 0 else f"output_{name}"
        nodes[output] = nir.Output({"output": np.array(program.shape(name))})
        edges.append((name, output))
    return nir.NIRGraph(nodes, edges, metadata=_metadata(program, dt_s))


def _last(program: Program) -> list[str]:
    return [p.name for p in program.populations if all(s.target == p.name for s in program.out_of(p.name))]


def _path(program: Program, s: Synapses, bias: Reals | None, dt_s: float) -> dict[str, Any]:
    """The nodes between source and target, in order."""
    name = node_name(s)
    source = program.shape(s.source)
    path: dict[str, Any] = {}
    if isinstance(s.kind, Wire):
        return path
    if s.delay.any():
        delay = _source_delay(s)
        assert delay is not None, "others were refused"
        path[f"{name}_delay"] = nir.Delay(np.broadcast_to(delay, int(np.prod(source))).reshape(source) * dt_s)
    real = s.kind.weights * 2.0**s.exponent / SCALE
    match s.kind:
        case Dense() | Sparse():
            if len(source) > 1:
                path[f"{name}_flatten"] = nir.Flatten({"input": np.array(source)}, start_dim=0, end_dim=-1)
            weight = _matrix(s.kind, real)
            n_out = len(weight)
            path[name] = nir.Linear(weight)
            if bias is not None and bias.any():
                path[name] = nir.Affine(weight, np.broadcast_to(bias, n_out).copy())
        case Conv():
            conv = _square(s.kind)
            assert conv is not None, "others were refused"
            per_channel = np.zeros(len(conv.weights))
            if bias is not None:
                per_channel = np.broadcast_to(bias, program.shape(s.target))[:, 0, 0].copy()
            path[name] = nir.Conv2d(
                input_shape=(source[1], source[2]),
                weight=conv.weights * 2.0**s.exponent / SCALE,
                stride=conv.stride,
                padding=conv.padding,
                dilation=conv.dilation,
                groups=conv.groups,
                bias=per_channel,
            )
        case OneToOne():
            path[name] = nir.Scale(np.broadcast_to(real, source).copy())
        case _:
            assert_never(s.kind)
    return path


def node_name(s: Synapses) -> str:
    """A synapse group's node: NIR files have no names with a slash."""
    return f"{s.source}->{s.target}" if isinstance(s.kind, Wire) else s.name.replace("/", "_")


def _neurons(p: Population, lif: Lif, leak: Reals, dt_s: float) -> Any:
    def everywhere(values: Any) -> Reals:
        return np.broadcast_to(np.asarray(values, dtype=np.float64), p.shape).copy()

    spiking = not _never_fires(lif)
    fires: dict[str, Reals] = {}
    if spiking:
        fires = {"v_threshold": everywhere(lif.v_th_mant / SCALE), "v_reset": everywhere(0.0)}
    if not lif.dv.any():
        return (nir.IF if spiking else nir.I)(r=everywhere(1 / dt_s), **fires)
    steps_mem = 4096 / lif.dv
    membrane = {"r": everywhere(steps_mem), "v_leak": everywhere(leak), **fires}
    if _has_no_current(lif):
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
        ours["input_scale"] = SCALE if _late(program) else 1.0
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
        "quantised": {"scale": {p.name: SCALE for p in program.populations}, "weight_bits": 8},
    }


# ----------------------------------------------------------------------------------------------------- comparing


def _differences(program: Program, again: Program) -> Iterator[str]:
    """Whatever could make the two give other spikes or another v."""
    entries = [[(i.shape, min(i.bits, INPUT_BITS), i.signed) for i in p.inputs] for p in (program, again)]
    if entries[0] != entries[1]:
        yield "the inputs differ"
    if program.readout is not None and program.readout != again.readout:
        yield "the readout differs"
    found = {p.name: p for p in again.populations}
    groups = {s.name: s for s in again.synapses}
    if set(found) != {p.name for p in program.populations} or len(groups) != len(program.synapses):
        yield f"there are populations {', '.join(found)} and synapses {', '.join(groups)}"
        return
    for p in program.populations:
        q = found[p.name]
        if (due := _reset(p, _late(program))) != _reset(q):
            yield f"{p.name} is reset otherwise ({_told({'needed': due, 'now': _reset(q)})})"
        for name, values in _neuron_values(p).items():
            if not np.array_equal(values, _neuron_values(q)[name]):
                yield f"{p.name} has another {name}"
    for s in program.synapses:
        t = groups.get(node_name(s))
        graded = s.graded or isinstance(s.kind, Wire)
        if t is None or (s.source, s.target, graded) != (t.source, t.target, t.graded):
            yield f"{s.name} connects something else"
        elif not _equal(s, t, program):
            yield f"{s.name} has other weights or delays"


def _neuron_values(p: Population) -> dict[str, Ints]:
    assert isinstance(p.neuron, Lif), "others were refused"
    lif = p.neuron
    values = {"v_th_mant": np.minimum(lif.v_th_mant, NEVER_FIRES), "bias": bias_of(lif)}
    values |= {name: getattr(lif, name) for name in ("du", "dv", "u_init", "v_init")}
    return {name: np.broadcast_to(value, p.shape) for name, value in values.items()}


def _equal(s: Synapses, t: Synapses, program: Program) -> bool:
    a, b = s.kind, t.kind
    if isinstance(a, Wire):
        return isinstance(b, OneToOne) and bool(np.all(b.weights * 2.0**t.exponent == 1)) and not t.delay.any()
    if s.wrap_bits != t.wrap_bits or isinstance(b, Wire):
        return False
    if t.exponent < 0 and (b.weights % (1 << -t.exponent)).any():
        return False
    effective = a.weights * 2.0**s.exponent, b.weights * 2.0**t.exponent
    match a, b:
        case (Dense() | Sparse(), Dense() | Sparse()):
            weights = _matrix(a, effective[0])
            delays = [_matrix(k, np.broadcast_to(x.delay, k.weights.shape)) for k, x in ((a, s), (b, t))]
            return np.array_equal(weights, _matrix(b, effective[1])) and not np.any(
                (weights != 0) * (np.subtract(*delays))
            )
        case (Conv(), Conv()):
            first, second = _square(a), _square(b)
            if first is None or second is None or not np.array_equal(s.delay, t.delay):
                return False
            rules = [(k.stride, k.padding, k.dilation) for k in (first, second)]
            return rules[0] == rules[1] and np.array_equal(
                first.weights * 2.0**s.exponent, second.weights * 2.0**t.exponent
            )
        case (OneToOne(), OneToOne()):
            shape = program.shape(s.source)
            one, other = (np.broadcast_to(e, shape) for e in effective)
            return np.array_equal(one, other) and np.array_equal(s.delay, t.delay)
    return False


def _matrix(kind: Dense | Sparse, values: Any) -> Reals:
    """Values of the entries (weights, delays) as (targets, sources)."""
    if isinstance(kind, Dense):
        return np.asarray(values, dtype=np.float64)
    dense = np.zeros((kind.n_target, kind.n_source))
    np.add.at(dense, (kind.rows, kind.columns), values)
    return dense


def _square(conv: Conv) -> Conv | None:
    """The same convolution with one group and a square kernel, as nir 1.0.8's type check takes them all to be."""
    weights, n = conv.weights, conv.groups
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
    padding = (conv.padding[0] + half[0] * conv.dilation[0], conv.padding[1] + half[1] * conv.dilation[1])
    return replace(conv, weights=whole, padding=padding, groups=1)


def _source_delay(s: Synapses) -> Ints | None:
    """The delay of each source where it is the same for all targets, else None."""
    if s.delay.ndim == 0:
        return s.delay
    if isinstance(s.kind, Dense) and s.delay.size and (s.delay == s.delay[:1]).all():
        return ints(s.delay[0])
    return None
