"""A program that was read from a lava-dl ``.net`` file as a NIR graph, where NIR can say it exactly.

What NIR cannot say is refused by name; ``nir/write.py`` writes the graph. Before it is handed out it is compiled
again and compared with the program, integer by integer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import assert_never

import nir
import numpy as np

from seamount.errors import InputError, Unsupported

from .neurons.atrlif import Atrlif
from .neurons.delta import Delta
from .neurons.graded_relu_vec import GradedReluVec
from .neurons.graded_vec import GradedVec
from .neurons.lif import NEVER_FIRES, Lif
from .neurons.norm_vec_delay import NormVecDelay
from .neurons.prod_neuron import ProdNeuron
from .neurons.relay import Relay
from .neurons.rf import Rf
from .neurons.rf_iz import RfIz
from .neurons.sigma import Sigma
from .neurons.sigma_delta import SigmaDelta
from .neurons.ternary_lif import TernaryLif
from .nir.write import (
    INPUT_BITS,
    can_hold,
    graph_of,
    has_no_current,
    never_fires,
    node_name,
    source_delay,
    square,
    steps_late,
)
from .numbers import Ints
from .pipeline import compile_graph
from .program.program import Population, Program, loops
from .synapses.kinds import Conv, Dense, OneToOne, Sparse, Synapses, Wire
from .synapses.matrix import as_matrix


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
        raise Unsupported("NIR cannot say it exactly:\n  " + "\n  ".join(problems), where=program.name)
    graph = graph_of(program)
    try:
        again = compile_graph(graph).program
    except (InputError, Unsupported) as error:
        raise Unsupported(f"the compiler would not read it back from NIR: {error}", where=program.name) from error
    different = next(_differences(program, again), None)
    if different is not None:
        raise Unsupported(f"NIR cannot say it exactly; compiled again, {different}", where=program.name)
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
                f"read the file with reset_offset={1 - steps_late(program)}"
            )
    for i in program.inputs:
        if i.bits > INPUT_BITS and not steps_late(program):
            yield f"{i.name}: an input of {i.bits} bits, possible are {INPUT_BITS}"


def _of_population(program: Program, p: Population) -> Iterator[str]:
    match p.neuron:
        case TernaryLif():
            yield f"{p.name}: ternary neurons; NIR has none"
            return
        case Relay():
            yield f"{p.name}: a relay; NIR has no node without a state that takes a step"
            return
        case Delta() | SigmaDelta() | Sigma() | Rf() | RfIz():
            yield f"{p.name}: {type(p.neuron).__name__} neurons; NIR has none, program and .net files hold them"
            return
        case Atrlif() | GradedVec() | GradedReluVec() | ProdNeuron() | NormVecDelay():
            yield f"{p.name}: {type(p.neuron).__name__} neurons; NIR has none, program files hold them"
            return
        case Lif() as lif:
            pass
        case _ as other:
            assert_never(other)
    if lif.refractory_steps:
        yield f"{p.name}: a refractory period; NIR has none"
    if lif.v_floor is not None:
        yield f"{p.name}: a floor of v; NIR has none"
    if lif.u_init.any() or lif.v_init.any():
        yield f"{p.name}: an initial state other than 0"
    yield from _of_rates(p.name, lif)
    if lif.v_th_mant.min() < 1:
        yield f"{p.name}: threshold {lif.v_th_mant.min()}, not above the reset"
    if never_fires(lif) and any(s.target != p.name for s in program.out_of(p.name)):
        yield f"{p.name}: never fires, but others listen to it; NIR's integrators send their potential"
    elif (lif.v_th_mant >= NEVER_FIRES).any() and not never_fires(lif):
        yield f"{p.name}: some of its neurons never fire"
    if lif.bias.any():
        yield from _of_bias(program, p, lif)


def _of_rates(name: str, lif: Lif) -> Iterator[str]:
    for key, rate in (("du", lif.du), ("dv", lif.dv)):
        if rate.min() < 0 or rate.max() > 4096:
            yield f"{name}: {key} {rate.min()} to {rate.max()}; a time constant can say 1 to 4096"
    if (lif.du == 0).any():
        yield f"{name}: a current that never decays (iDecay 0) has no time constant"
    if (lif.dv == 0).any() and not (has_no_current(lif) and not lif.dv.any()):
        yield (
            f"{name}: a membrane that never decays (vDecay 0) has no time constant; NIR's integrators have no "
            "current (iDecay 4096) and are one for all neurons"
        )


def _of_bias(program: Program, p: Population, lif: Lif) -> Iterator[str]:
    if p.reset is None:
        yield (
            f"{p.name}: its bias acts before its first input is there, NIR's bias begins with it; read the file with "
            f"reset_interval (the steps of a sample) and reset_offset={1 - steps_late(program)}"
        )
    elif _remembers(program) and not lif.stays_silent(program.arrivals()[p.name]):
        yield (
            f"{p.name}: its bias alone makes it fire before its first input is there, and recurrence or delays keep "
            "those spikes; NIR's networks are at rest then"
        )
    if has_no_current(lif) and not any(can_hold(s.kind, p, lif.bias) for s in program.into(p.name)):
        yield f"{p.name}: no weights beside which NIR could write its bias"


def _of_synapses(program: Program, s: Synapses) -> Iterator[str]:
    match s.kind:
        case Wire():
            yield from _of_wire(program, s)
            return
        case Dense() | Sparse():
            if len(program.shape(s.target)) != 1:
                yield f"{s.name}: makes a map of shape {program.shape(s.target)} from a matrix"
        case Conv():
            if square(s.kind) is None:
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
    yield from _of_delay(s)
    if len(program.into(s.target)) != len({other.source for other in program.into(s.target)}):
        yield f"{s.name}: a second synapse group from {s.source} to {s.target}"


def _of_wire(program: Program, s: Synapses) -> Iterator[str]:
    """An edge from an input says it, if that input drives nothing else and there is no other wire."""
    others = [o for o in program.synapses if o is not s and (isinstance(o.kind, Wire) or o.source == s.source)]
    if s.source not in [i.name for i in program.inputs] or others:
        yield f"{s.name}: drives neurons without a synapse; compiled from NIR that takes a step more"


def _of_delay(s: Synapses) -> Iterator[str]:
    if s.delay.any() and source_delay(s) is None:
        yield f"{s.name}: a delay per output or per synapse; NIR's stand on what comes in"
    elif s.delay.size and s.delay.min() > 0:
        yield (
            f"{s.name}: at least {s.delay.min()} steps of delay everywhere; compiled again, one of them would become "
            "the step that synapses take"
        )


def _reset(p: Population, late: int = 0) -> tuple[int, int] | None:
    return None if p.reset is None else (p.reset.interval, (p.reset.offset + late) % p.reset.interval)


def _told(resets: Mapping[str, tuple[int, int] | None]) -> str:
    return ", ".join(f"{n} {'never' if r is None else f'every {r[0]} steps + {r[1]}'}" for n, r in resets.items())


def _remembers(program: Program) -> bool:
    return bool(loops(program)) or any(s.delay.any() for s in program.synapses)


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
        yield from _other_neurons(p, found[p.name], steps_late(program))
    for s in program.synapses:
        yield from _other_synapses(s, groups.get(node_name(s)), program)


def _other_neurons(p: Population, q: Population, late: int) -> Iterator[str]:
    if (due := _reset(p, late)) != _reset(q):
        yield f"{p.name} is reset otherwise ({_told({'needed': due, 'now': _reset(q)})})"
    for name, values in _neuron_values(p).items():
        if not np.array_equal(values, _neuron_values(q)[name]):
            yield f"{p.name} has another {name}"


def _other_synapses(s: Synapses, t: Synapses | None, program: Program) -> Iterator[str]:
    graded = s.graded or isinstance(s.kind, Wire)
    if t is None or (s.source, s.target, graded) != (t.source, t.target, t.graded):
        yield f"{s.name} connects something else"
    elif not _equal(s, t, program):
        yield f"{s.name} has other weights or delays"


def _neuron_values(p: Population) -> dict[str, Ints]:
    assert isinstance(p.neuron, Lif), "others were refused"
    lif = p.neuron
    values = {"v_th_mant": np.minimum(lif.v_th_mant, NEVER_FIRES), "bias": lif.bias}
    values |= {name: getattr(lif, name) for name in ("du", "dv", "u_init", "v_init")}
    return {name: np.broadcast_to(value, p.shape) for name, value in values.items()}


def _equal(s: Synapses, t: Synapses, program: Program) -> bool:
    a, b = s.kind, t.kind
    if isinstance(a, Wire):
        return isinstance(b, OneToOne) and bool(np.all(b.weights * 2.0**t.exponent == 1)) and not t.delay.any()
    if s.wrap_bits != t.wrap_bits or isinstance(b, Wire):
        return False
    # sums that are floored do not follow from weight times 2**exponent
    if t.exponent < 0 and (b.weights % (1 << -t.exponent)).any():
        return False
    one, other = a.weights * 2.0**s.exponent, b.weights * 2.0**t.exponent
    match a, b:
        case (Dense() | Sparse(), Dense() | Sparse()):
            weights = as_matrix(a, one)
            # where there is no weight, a delay delays nothing
            late = (weights != 0) * (_delays(a, s.delay) - _delays(b, t.delay))
            return np.array_equal(weights, as_matrix(b, other)) and not np.any(late)
        case (Conv(), Conv()):
            return np.array_equal(s.delay, t.delay) and _equal_convs(a, b, 2.0**s.exponent, 2.0**t.exponent)
        case (OneToOne(), OneToOne()):
            shape = program.shape(s.source)
            same = np.array_equal(np.broadcast_to(one, shape), np.broadcast_to(other, shape))
            return same and np.array_equal(s.delay, t.delay)
    return False


def _delays(kind: Dense | Sparse, delay: Ints) -> Ints:
    return as_matrix(kind, np.broadcast_to(delay, kind.weights.shape))


def _equal_convs(a: Conv, b: Conv, unit: float, other: float) -> bool:
    """As NIR holds them: with square kernels."""
    first, second = square(a), square(b)
    if first is None or second is None:
        return False
    return first.window == second.window and np.array_equal(first.weights * unit, second.weights * other)
