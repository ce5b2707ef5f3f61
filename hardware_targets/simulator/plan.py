"""How each population of a program will be computed, whatever the batch: bounds, layouts, and synapses made ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from seamount.compile.arithmetic.events import Layout, Lines, Rows, Runs, layout_for, packed, runs
from seamount.compile.arithmetic.kernels import LANES
from seamount.compile.arithmetic.lanes import LANES as WIDE
from seamount.compile.arithmetic.neurons import NeuronTable, Scanned, neuron_table
from seamount.compile.arithmetic.synapses import Lowered, lower
from seamount.compile.arithmetic.tensor_steps import Stepper, TensorStepped, stepper
from seamount.compile.neurons.model import SIGNED_SPIKES, SPIKES
from seamount.compile.program.messages import messages
from seamount.compile.program.program import Population, Program
from seamount.compile.synapses.algebra import with_weights
from seamount.compile.synapses.bounds import reads_payload
from seamount.compile.synapses.fan_out import fan_out
from seamount.compile.synapses.kinds import Dense, Kind, Sparse, Synapses, Wire


@dataclass(frozen=True)
class SumPart:
    """Synapses of one delay value, summed by a product. ``lag``: steps from a spike to its drive; 0 for a wire."""

    source: str
    drive: str
    lag: int
    lowered: Lowered


@dataclass(frozen=True, eq=False)
class EventPart:
    """Synapses of one delay value, scattered; or summed by ``product``, in steps in which many sources fire.

    Attributes:
        down: floor shift of the sum.
        held: its runs, whose sums 16 bits hold where they hold the population's drive.
        counted: fan-out to count, zero where another part counts it.
        busy: share of sources that fire from which on the product is faster.
    """

    source: str
    drive: str
    lag: int
    down: int
    held: Lines | Rows
    counted: NDArray[np.int64]
    product: SumPart
    busy: float


@dataclass
class Plan:
    """What a population is made of, whatever the batch: computed once for a program and a device."""

    population: Population
    layout: Layout
    table: NeuronTable | None  # of models that the compiled loops hold
    stepper: Stepper | None = None  # of models with a step on tensors; without either the definition is stepped
    events: list[EventPart] = field(default_factory=list)
    sums: list[SumPart] = field(default_factory=list)
    counts: list[tuple[str, torch.Tensor]] = field(default_factory=list)  # (source, fan-out) of what sums count
    drive_bound: int = 0

    @property
    def ternary(self) -> bool:
        return self.population.neuron.message == SIGNED_SPIKES

    @property
    def narrow(self) -> bool:
        """Whether 16 bits hold every drive, and each of its sums on the way."""
        return self.table is not None and self.table.fits_32_bits and self.drive_bound < 1 << 15

    @cached_property
    def width(self) -> int:
        """Of a row of drives: with room behind the neurons for runs that end there, and every row on a cache line."""
        reach = max([self.layout.size, *(part.held.reach for part in self.events)])
        return -(-reach // WIDE) * WIDE

    @property
    def sends_values(self) -> bool:
        """Whether its messages need more than a byte each."""
        return self.population.neuron.message not in (SPIKES, SIGNED_SPIKES)


def plans(program: Program, device: torch.device) -> dict[str, Plan]:
    """How each population will be computed."""
    sent = messages(program)
    on_cpu = device.type == "cpu"
    layouts: dict[str, Layout] = {i.name: Layout(i.shape) for i in program.inputs}
    for population in program.populations:
        layouts[population.name] = Layout(population.shape)
        for synapses in program.into(population.name):
            if on_cpu and isinstance(population.neuron, Scanned) and layouts[population.name].groups == 0:
                layouts[population.name] = layout_for(synapses.kind, population.shape)
    found = {}
    for population in program.populations:
        layout = layouts[population.name]
        neuron = population.neuron
        table = neuron_table(neuron, population.shape, layout.order) if isinstance(neuron, Scanned) else None
        stepped = stepper(neuron, population.shape, device) if isinstance(neuron, TensorStepped) else None
        plan = Plan(population, layout, table, stepped)
        into = program.into(population.name)
        parts = [_lowered(s, program, sent[s.source].largest, device) for s in into]
        plan.drive_bound = sum(lowered.drive_bound for some in parts for lowered in some)
        for synapses, some in zip(into, parts, strict=True):
            scatters = on_cpu and (sent[synapses.source].bits == 0 or not reads_payload(synapses))
            _add(plan, synapses, some, program, layouts, scatters, device)
        found[population.name] = plan
    return found


def _lowered(synapses: Synapses, program: Program, x_bound: int, device: torch.device) -> list[Lowered]:
    source, target = program.shape(synapses.source), program.shape(synapses.target)
    return sorted(lower(synapses, source, target, x_bound, device), key=_delay)


def _add(
    plan: Plan,
    synapses: Synapses,
    parts: Sequence[Lowered],
    program: Program,
    layouts: Mapping[str, Layout],
    scatters: bool,
    device: torch.device,
) -> None:
    fans = fan_out(synapses.kind, program.shape(synapses.source))
    counted_by_events = False
    for lowered in parts:
        lag = 0 if isinstance(lowered.kind, Wire) else 1 + lowered.delay
        product = SumPart(synapses.source, synapses.drive, lag, lowered)
        made = None
        if scatters and not lowered.wraps and lowered.bound < 1 << 31 and lowered.drive_bound < 1 << 31:
            made = _runs(lowered, layouts[synapses.source], plan.layout)
        if made is None:
            plan.sums.append(product)
            continue
        down, found = made
        counted = np.zeros_like(fans) if counted_by_events else fans[layouts[synapses.source].order]
        counted_by_events = True
        busy = _busy(lowered, found)
        held = packed(found, counted, plan.narrow and not down)
        plan.events.append(EventPart(synapses.source, synapses.drive, lag, down, held, counted, product, busy))
    if not counted_by_events and fans.any():
        plan.counts.append((synapses.source, torch.from_numpy(fans).to(device, torch.float64)))


def _delay(lowered: Lowered) -> int:
    return lowered.delay


def _busy(lowered: Lowered, found: Runs) -> float:
    """Share of sources that fire from which on a product is faster than scattering.

    Nanoseconds of one core: 8 a spike, 5 a run, 0.6 a vector; 0.03 a multiplication, 20 one whose values are
    gathered, 2 a value converted (measured on a Xeon with AVX-512, November 2026; they decide about speed alone).
    """
    n_source, n_target = (int(np.prod(shape)) for shape in (lowered.source, lowered.target))
    stored = float(fan_out(lowered.kind, lowered.source)[:, 1].sum())
    if isinstance(lowered.kind, Sparse) and not lowered.gathered:
        stored = float(n_source * n_target)  # a matrix with zeros
    product_ns = (20 if lowered.gathered else 0.03) * stored + 2 * (n_source + n_target)
    scatter_ns = n_source * 8.0 + 5 * len(found.length) + 0.6 * float(found.length.sum()) / LANES
    return product_ns / scatter_ns


def _runs(lowered: Lowered, from_layout: Layout, to_layout: Layout) -> tuple[int, Runs] | None:
    """The floor shift that is left to do after a sum, and the runs; None where scattering does not suit."""
    kind, down = _fold_exponent(lowered.kind, lowered.exponent)
    if isinstance(kind, Dense) and lowered.delay and np.mean(kind.weights != 0) < 0.25:
        rows, columns = np.nonzero(kind.weights)
        kind = Sparse(kind.weights[rows, columns], rows, columns, *kind.weights.shape)
    found = runs(kind, from_layout, to_layout)
    return None if found is None else (down, found)


def _fold_exponent(kind: Kind, exponent: int) -> tuple[Kind, int]:
    """The exponent goes into the weights where that is exact; else what remains to be shifted down."""
    if isinstance(kind, Wire) or exponent == 0:
        return kind, 0
    if exponent > 0:
        return with_weights(kind, kind.weights << exponent), 0
    if np.any(kind.weights & ((1 << -exponent) - 1)):
        return kind, -exponent
    return with_weights(kind, kind.weights >> -exponent), 0
