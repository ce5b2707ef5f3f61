"""Why a layer of the program differs from the network it was compiled from: each rounding on its own, and without it.

The network runs in float64 with the program's rounded weights, decays, thresholds and biases put into it, all of
them, one of them, all but one; what is left between "all of them" and the program is the integer state (u and v hold
whole numbers, decays round towards zero, v saturates, u wraps). Where a student was trained on in integers, its
weights hold that training too.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table

from seamount.compile.lower.real_groups import RealGroup, real_groups, scaled
from seamount.compile.network.interpret import Trace, run_network
from seamount.compile.network.network import (
    Connection,
    Convolution,
    Delay,
    Entries,
    Linear,
    Network,
    Op,
    Population,
    Reals,
    Reshape,
    Scale,
    reals,
    size,
)
from seamount.compile.neurons.lif import Lif
from seamount.compile.passes.write_out import write_out
from seamount.compile.program.program import Program
from seamount.compile.synapses.kinds import Kind, Sparse, Wire
from seamount.errors import InputError, plural
from seamount.hardware_targets.simulator.simulate import simulate
from seamount.notebook import card, frame, line
from seamount.terminal import Text

from .evidence import as_long_as, window
from .notebook import cells
from .schema import text
from .schema.quantities import known
from .schema.values import Item, Quantity

if TYPE_CHECKING:
    from pandas import DataFrame

Rounding = Literal["weights", "decays", "threshold", "bias"]
ROUNDINGS: tuple[Rounding, ...] = ("weights", "decays", "threshold", "bias")
Inputs = NDArray[np.int64] | Mapping[str, NDArray[np.int64]]
COMPARED = ("only these", "all but these")


class Effect(Item):
    """``alone``: the difference if only this is rounded; ``without``: if everything but this is."""

    name: str
    alone: Quantity
    without: Quantity


class Explanation(Item):
    """``difference``: share of unmatched spikes, or the error of v of a layer that does not spike.

    ``rounded``: the same with all roundings but a real-valued state; ``own``: with this layer's roundings only.
    """

    layer: str
    measure: str
    n_samples: int
    difference: Quantity
    rounded: Quantity
    own: Quantity
    effects: tuple[Effect, ...]
    n_saturations: Quantity
    n_wraps: Quantity
    words: str

    def __repr__(self) -> str:
        return line("Explanation", self.layer, (self.words,))

    def _repr_html_(self) -> str:
        return card(self.words, f"{self.layer}: {self.against}", [("the program's", *COMPARED), *self.rows()])

    @property
    def against(self) -> str:
        n = f"{self.n_samples:,} {plural(self.n_samples, 'sample')}"
        return f"{self.measure} against the network in real numbers, {n}"

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """A rounding, the difference that it makes alone and what is left without it, in words."""
        for effect in self.effects:
            yield effect.name, text.quantity(effect.alone), text.quantity(effect.without)
        yield "all, in this layer", text.quantity(self.own), ""
        yield "all, in every layer", text.quantity(self.rounded), ""
        yield "and the integer state", text.quantity(self.difference), ""

    def table(self) -> DataFrame:
        """A row a rounding: the difference that it makes alone, and what is left without it."""
        return frame(*cells(self.effects, ("name", "alone", "without")))


def why(network: Network, program: Program, inputs: Inputs, layer: str) -> Explanation:
    """Explains the difference of one layer on given samples.

    Args:
        network: what was lowered (``Compiled.network``), in real numbers.
        program: what it became.
        inputs: what enters the chip, integers (T, B, *shape); the network gets them over its inputs' scales.
        layer: a population of both.

    Raises:
        InputError: no such layer; the nearest names are given.
    """
    _require_layer(network, program, layer)
    whole = inputs if isinstance(inputs, Mapping) else {network.inputs[0].name: inputs}
    real = {i.name: whole[i.name] / i.scale for i in network.inputs}
    reference = run_network(network, real)[layer]
    n_samples = next(iter(real.values())).shape[1]

    def difference(effects: Collection[Rounding], only: str | None = None) -> Quantity:
        trace = run_network(rounded(network, program, effects, only), real)[layer]
        return _difference(network.population(layer), reference, trace.spikes, trace.v)

    run = simulate(program, whole, record=("spikes", "v"), populations=[layer])
    spikes, v = (window(program, run, layer, trace[layer]) for trace in (run.spikes, run.v))
    p = network.population(layer)
    v_real = v / (64 * np.asarray(program.scales[layer])) + p.v_reset
    found = _difference(p, reference, spikes, v_real)
    everything = difference(ROUNDINGS)
    effects = tuple(
        Effect(name=e, alone=difference((e,)), without=difference([x for x in ROUNDINGS if x != e]))
        for e in ROUNDINGS
    )
    events = run.events[layer]
    return Explanation(
        layer=layer,
        measure="unmatched spikes" if p.v_th is not None else "error of v",
        n_samples=n_samples,
        difference=found,
        rounded=everything,
        own=difference(ROUNDINGS, layer),
        effects=effects,
        n_saturations=known(events.n_v_saturations, "events", "counted", n_samples),
        n_wraps=known(events.n_u_wraps + events.n_drive_wraps, "events", "counted", n_samples),
        words=_words(found, everything, effects, events.n_v_saturations + events.n_u_wraps + events.n_drive_wraps),
    )


def _require_layer(network: Network, program: Program, layer: str) -> None:
    names = [p.name for p in network.populations if p.name in {q.name for q in program.populations}]
    if layer not in names:
        near = difflib.get_close_matches(layer, names, 3, 0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"possible are {', '.join(names)}"
        raise InputError(f"no layer {layer!r}", where=network.name, ways_out=hint)


def _difference(p: Population, reference: Trace, spikes: Reals, v: Reals) -> Quantity:
    """Share of unmatched spikes, or root mean square error of v over that of v, in per cent."""
    n_samples = reference.v.shape[1]
    expected, v_expected = as_long_as(spikes, reference.spikes), as_long_as(v, reference.v)
    if p.v_th is not None:
        either = np.count_nonzero((spikes != 0) | (expected != 0))
        share = np.count_nonzero(spikes != expected) / either if either else 0.0
    else:
        scale = float(np.sqrt(np.mean(v_expected**2)))
        share = float(np.sqrt(np.mean((v - v_expected) ** 2))) / scale if scale else 0.0
    return known(100 * float(share), "%", "measured", n_samples)


def _words(found: Quantity, everything: Quantity, effects: tuple[Effect, ...], n_overflows: int) -> str:
    """The largest effect first: what switching it off would save."""
    total, all_rounded = float(found.value or 0), float(everything.value or 0)
    if total == 0:
        return "The program does exactly what the network does here."
    saves = {e.name: all_rounded - float(e.without.value or 0) for e in effects}
    best = max(saves, key=lambda name: saves[name])
    sentences = []
    if all_rounded and saves[best] > 0.02 * all_rounded:
        kept = all_rounded - saves[best]
        sentences.append(
            f"Mostly the {best}: with the network's own, {kept:.2f} % of {all_rounded:.2f} % would be left."
        )
    elif all_rounded:
        sentences.append("No single one stands out.")
    if abs(total - all_rounded) > 0.02 * total:
        sentences.append(f"The integer state moves it from {all_rounded:.2f} % to {total:.2f} %.")
    match n_overflows:
        case 0:
            sentences.append("No value left its range.")
        case 1:
            sentences.append("1 value left its range.")
        case _:
            sentences.append(f"{n_overflows:,} values left their range.")
    return " ".join(sentences)


# ------------------------------------------------------------------------------- the rounded network


def rounded(network: Network, program: Program, effects: Collection[Rounding], only: str | None = None) -> Network:
    """The network with the program's rounded values in place of its own.

    Args:
        effects: some of ROUNDINGS.
        only: round this population and the connections into it alone.
    """
    touched = [p.name for p in network.populations if only in (None, p.name)]
    populations = tuple(_population(p, program, effects) if p.name in touched else p for p in network.populations)
    groups = {g.connection.name: g for name in touched for g in real_groups(network, name)}
    connections = tuple(
        _connection(groups[c.name], program) if c.name in groups and "weights" in effects else c
        for c in network.connections
    )
    return network.with_(populations=populations, connections=connections)


def _population(p: Population, program: Program, effects: Collection[Rounding]) -> Population:
    neuron, s = program.population(p.name).neuron, program.scales[p.name]
    assert isinstance(neuron, Lif), f"{p.name}: networks become LIF populations"
    made = p
    if "decays" in effects:
        made = replace(made, a_s=reals(neuron.du / 4096), a_m=reals(neuron.dv / 4096))
    if "threshold" in effects and p.v_th is not None:
        made = replace(made, v_th=reals(p.v_reset + neuron.v_th_mant / s))
    if "bias" in effects and np.any(p.bias):
        steady = (neuron.bias_mant << neuron.bias_exp) / (64 * s)
        bias = (steady - p.a_m * (p.v_leak - p.v_reset)) * p.a_s / p.gain
        made = replace(made, bias=reals(np.where(p.bias != 0, bias, 0.0)))
    return made


def _connection(group: RealGroup, program: Program) -> Connection:
    """The connection with its weights as the chip holds them, back in real units."""
    c = group.connection
    synapses = next(s for s in program.synapses if s.name == c.name)
    held = _weights(synapses.kind, group) * 2.0**synapses.exponent
    weight = scaled(group, program.scales[c.target], program.shape(c.target))
    weight = reals(weight.reshape(held.shape) if weight.size == held.size else np.broadcast_to(weight, held.shape))
    ratio = reals(np.divide(held, weight, out=np.ones_like(held), where=weight != 0))
    return replace(c, ops=_times(group, ratio, program.shape(c.target)))


def _times(group: RealGroup, ratio: Reals, target: tuple[int, ...]) -> tuple[Op, ...]:
    """The connection's operators, each weight times its ratio."""
    ops = group.connection.ops
    core = [op for op in ops if not isinstance(op, Delay | Reshape)]
    match core:
        case [Convolution() as op] if group.conv is not None:
            changed: Op = replace(op, weight=reals(op.weight * ratio))
        case [Linear() as op]:
            changed = Linear(reals(op.weight * ratio))
        case [Entries() as op]:
            changed = replace(op, weights=reals(op.weights * ratio))
        case [] | [Scale()]:
            return (*ops, Reshape(target), Scale(reals(ratio.reshape(target if ratio.size > 1 else ()))))
        case _:
            return _times_written_out(group, ratio, target)
    return tuple(changed if op is core[0] else op for op in ops)


def _times_written_out(group: RealGroup, ratio: Reals, target: tuple[int, ...]) -> tuple[Op, ...]:
    """Of a chain whose single weights stand nowhere but in the matrix that it makes."""
    ops = group.connection.ops
    chain = tuple(op for op in ops if not isinstance(op, Delay))
    match write_out(chain, group.source_shape, group.connection.name):
        case Linear(weight=weight):
            whole: Op = Linear(reals(weight * ratio))
        case Entries() as entries:
            whole = replace(entries, weights=reals(entries.weights * ratio))
    delays = tuple(op for op in ops if isinstance(op, Delay))
    return (*delays, Reshape((size(group.source_shape),)), whole, Reshape(target))


def _weights(kind: Kind, group: RealGroup) -> Reals:
    """As ``real_groups`` shapes them: a matrix, a kernel, one per entry or one per neuron."""
    match kind:
        case Sparse() if group.entries is not None:
            held = np.zeros(group.weight.shape)  # what rounding made 0 is not stored
            every, kept = (e.rows * e.n_source + e.columns for e in (group.entries, kind))
            held[np.searchsorted(every, kept)] = kind.weights
            return reals(held)
        case Sparse() if np.array_equal(kind.rows, kind.columns) and kind.weights.size == kind.n_target:
            return reals(kind.weights)
        case Sparse():
            dense = np.zeros((kind.n_target, kind.n_source))
            dense[kind.rows, kind.columns] = kind.weights
            return reals(dense)
        case Wire():
            return reals(1.0)
        case _:
            return reals(kind.weights)


# ------------------------------------------------------------------------------------------ rendering


def render_why(explanation: Explanation) -> RenderableType:
    """The explanation in the terminal."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column("the program's", width=22)
    for name in COMPARED:
        table.add_column(name, justify="right", width=14)
    for row in explanation.rows():
        table.add_row(*row)
    head = Text.assemble(("Seamount  ", "bold cyan"), (explanation.layer, "bold"), f": {explanation.against}")
    return Group(head, Text(explanation.words), Text(""), table)
