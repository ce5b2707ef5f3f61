"""Says what is in a file, a line an item, and explains a layer of a compiled program with the numbers filled in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap

import numpy as np

from seamount.errors import ConfigError, InputError, plural
from seamount.foreign.hdf5 import DAMAGE, opened
from seamount.foreign.limits import NETWORK_BYTES
from seamount.foreign.whole import file_bytes

from .lower.rounding_table import span
from .net.read import read_net
from .neurons.lif import NEVER_FIRES, Lif
from .nir.file import RawGraph, read_raw
from .nir.timestep import dt_candidates
from .numbers import V_MAX, PerNeuron
from .passes.range_analysis import LayerRange
from .pipeline import Compiled
from .program.file import is_program_file, load_program
from .program.program import Program
from .synapses.kinds import Synapses, Wire


def inspect_file(path: str | Path) -> list[str]:
    """A NIR file, a lava-dl ``.net`` file or a program, a line an item.

    Raises:
        InputError: none of these, or damaged.
    """
    content = file_bytes(Path(path), NETWORK_BYTES)
    if is_program_file(content):
        program = load_program(path)
        return [*str(program).splitlines(), *_provenance(program)]
    if _has(content, "node", path):
        return list(nir_lines(read_raw(path)))
    if _has(content, "layer", path):
        return str(read_net(Path(path))).splitlines()
    raise InputError("neither a NIR file, a lava-dl .net file nor a program of seamount", where=path)


def _has(content: bytes, name: str, where: object) -> bool:
    try:
        with opened(content, where) as file:
            return name in file
    except DAMAGE:
        return False


NARROW = 60
"""Columns in which a long list is broken."""


def _provenance(program: Program) -> Iterator[str]:
    for key, value in program.provenance.items():
        told, further = f"  {key}: {value}", " " * 6
        yield from wrap(told, NARROW, subsequent_indent=further, break_long_words=False, break_on_hyphens=False)


def nir_lines(raw: RawGraph) -> Iterator[str]:
    """Nodes with their parameters, edges, metadata, and where the file seems to say its time step."""
    nodes, edges = plural(len(raw.nodes), "node"), plural(len(raw.edges), "edge")
    yield f"NIR graph, version {raw.version or 'not named'}, {len(raw.nodes)} {nodes}, {len(raw.edges)} {edges}"
    for name, node in raw.nodes.items():
        facts = " ".join(f"{key} {_brief(value)}" for key, value in sorted(node.values.items()))
        yield f"  {node.kind} {name} {facts}".rstrip()
    for source, target in raw.edges:
        yield f"  edge {source} -> {target}"
    yield from _metadata_lines(raw.metadata, "  metadata ")
    for rule, dt in dt_candidates(raw).items():
        yield f"  time step candidate: {rule} = {dt:g} for all neurons"
    for note in raw.notes:
        yield f"  note: {note}"


def _metadata_lines(group: object, prefix: str) -> Iterator[str]:
    if isinstance(group, dict):
        for key, value in group.items():
            if isinstance(value, dict):
                yield from _metadata_lines(value, f"{prefix}{key}/")
            else:
                yield f"{prefix}{key} = {_brief(value)}"


def _brief(value: object) -> str:
    if not isinstance(value, np.ndarray):
        return str(value)
    if value.size == 0:
        return "empty"
    if value.size <= 4:
        return str(value.tolist())
    shape = "x".join(map(str, value.shape))
    low, high = value.min(), value.max()
    return f"{shape} {low:.6g}" if low == high else f"{shape} {low:.6g}..{high:.6g}"


# ------------------------------------------------------------------------------------------------- explain


def explain(compiled: Compiled, layer: str) -> str:
    """The formulas of a population, or of one synapse group, with the numbers of this program in them.

    Raises:
        ConfigError: no such layer; names those there are.
    """
    program = compiled.program
    populations = {p.name for p in program.populations}
    synapses = {s.name: s for s in program.synapses}
    if layer in populations:
        return "\n".join(_population_lines(compiled, layer))
    if layer in synapses:
        return "\n".join(_group_lines(compiled, synapses[layer]))
    raise ConfigError(
        "no such layer", where=layer, possible=f"possible are {', '.join((*sorted(populations), *sorted(synapses)))}"
    )


def _population_lines(compiled: Compiled, name: str) -> Iterator[str]:
    program = compiled.program
    p = program.population(name)
    scale = program.scales.get(name)
    step = "" if program.timestep_s is None else f", one step is {program.timestep_s:g} s"
    yield f"{name}: {p.n_neurons} {plural(p.n_neurons, 'neuron')}{step}"
    if compiled.schedule is not None:
        yield f"  arrival: the input's step t reaches it at step t + {compiled.schedule.arrival.get(name, 0)}"
    if p.reset is not None:
        interval, offset = p.reset.interval, p.reset.offset % p.reset.interval
        yield f"  reset: u = v = 0 before step k where (k + 1) % {interval} = {offset}"
    if isinstance(p.neuron, Lif):
        yield from _lif_lines(compiled, name, p.neuron, scale)
    for s in program.into(name):
        yield from (f"  {line}" for line in _group_lines(compiled, s))
    for layer in (r for r in compiled.ranges.layers if r.name == name):
        yield from _worst_case(layer)


def _worst_case(layer: LayerRange) -> Iterator[str]:
    saturates = "" if layer.v.proven else " (may saturate)"
    v = f"v {layer.v.low:.0f}..{layer.v.high:.0f}{saturates}"
    yield f"  worst case: drive {layer.drive_low}..{layer.drive_high}, {v}"
    wraps = "" if layer.u.proven else ", MAY WRAP"
    yield f"    u {layer.u.low:.0f}..{layer.u.high:.0f} of +-{V_MAX}, head-room {layer.headroom:.3g}{wraps}"


def _lif_lines(compiled: Compiled, name: str, lif: Lif, scale: PerNeuron | None) -> Iterator[str]:
    real = None
    if compiled.network is not None:
        real = next((q for q in compiled.network.populations if q.name == name), None)
    yield "  u[t] = (1 - du/4096) u[t-1] + 64 sum(weight << exponent)     rounded towards zero"
    yield "  v[t] = (1 - dv/4096) v[t-1] + u[t] + bias                    fires where v > v_th_mant << 6, then v = 0"
    if real is None or scale is None:
        yield f"  du {_span(lif.du)}, dv {_span(lif.dv)}, v_th_mant {_span(lif.v_th_mant)}"
        return
    row = compiled.rounding.population(name) if compiled.rounding is not None else None
    yield f"  scale s = {_span(scale)}: v_chip = 64 s (v - v_reset)"
    for what, rate, exact, error in (
        ("du", lif.du, real.a_s, row.du_error if row else 0.0),
        ("dv", lif.dv, real.a_m, row.dv_error if row else 0.0),
    ):
        told = f"  {what} = rint(4096 * {_span(exact)}) = {_span(rate)}"
        yield told + (f", off by {error:.3g} per step" if error > 1e-12 else ", exact")
    if real.v_th is not None:
        height = _span(real.v_th - real.v_reset)
        yield f"  v_th_mant = rint(s (v_th - v_reset)) = rint({span(scale)} * {height}) = {_span(lif.v_th_mant)}"
    else:
        yield "  never fires: v is read"
    if np.any(lif.bias_mant):
        bias = lif.bias_mant << np.maximum(lif.bias_exp, 0)
        yield (
            f"  bias = rint(64 s (a_m (v_leak - v_reset) + gain b / a_s)) = {_span(bias)}, mantissa "
            f"{_span(lif.bias_mant)} << {_span(lif.bias_exp)}"
            + (f", off by up to {row.bias_error:.3g}" if row else "")
        )
    if np.any(lif.v_init) or np.any(lif.u_init):
        yield f"  starts at u {_span(lif.u_init)}, v {_span(lif.v_init)}"


def _group_lines(compiled: Compiled, s: Synapses) -> Iterator[str]:
    program = compiled.program
    delay = f", delay {_span(s.delay)}" if s.delay.any() else ""
    yield f"{s.name}: {s.source} -> {s.target}, {type(s.kind).__name__.lower()}{delay}"
    if isinstance(s.kind, Wire):
        return
    scale = program.scales.get(s.target)
    if scale is not None and compiled.network is not None:
        given = next((i for i in compiled.network.inputs if i.name == s.source), None)
        divided = f" / {given.scale:g}" if given is not None and given.bits else ""
        real = next((q for q in compiled.network.populations if q.name == s.target), None)
        gain = "gain" if real is None else f"{_span(real.gain)}"
        yield (
            f"  weight = rint(s gain W{divided} / 2^exponent) = rint({span(scale)} * {gain} * W{divided} / "
            f"2^{s.exponent}) in {_span(s.kind.weights)}"
        )
    else:
        yield f"  weights {_span(s.kind.weights)}, exponent {s.exponent}"
    if compiled.rounding is not None:
        for row in compiled.rounding.populations:
            for g in row.groups:
                if g.name == s.name:
                    yield (
                        f"  {g.n_weights} {g.mode} {plural(g.n_weights, 'weight')}, "
                        f"off by {100 * g.relative_error:.3g} %, {g.n_clipped} clipped, {g.n_zeroed} became 0"
                    )


def _span(values: object) -> str:
    array = np.asarray(values)
    low, high = array.min(), array.max()
    if low == NEVER_FIRES:
        return "never fires"
    return f"{low:.9g}" if low == high else f"{low:.6g}..{high:.6g}"
