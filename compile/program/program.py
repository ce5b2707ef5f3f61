"""The fixed-point program: integers only, what the chip is loaded with and what every back end runs.

A program says nothing about speed, cores or files; it is the one meaning that simulator, Lava and the quantised
student share. The arithmetic of its items is defined in ``compile/arithmetic/definition.py``.

Time: step index k = 0, 1, 2, ... A value that goes through synapses arrives one step later (plus their delay);
a ``Wire`` costs nothing. Arrays put time first, then batch, then the shape of the population, (C, H, W) for maps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from seamount.errors import InputError, Reason, plural

from ..graphs import grouped, strongly_connected
from ..neurons.model import broadcasts
from ..neurons.models import Neuron
from ..neurons.relay import Relay
from ..numbers import PerNeuron
from ..synapses.kinds import Conv, Dense, Sparse, Synapses, Wire
from ..synapses.shape import target_shape
from .readout import Quantity, as_quantity

if TYPE_CHECKING:
    from pandas import DataFrame

# --------------------------------------------------------------------------------------------- populations


@dataclass(frozen=True)
class Reset:
    """u = v = 0 before step k where (k + 1) % interval == offset % interval: Lava's LIFReset."""

    interval: int
    offset: int


@dataclass(frozen=True)
class Population:
    name: str
    shape: tuple[int, ...]
    neuron: Neuron
    reset: Reset | None = None

    @property
    def n_neurons(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


MOST_INPUT_BITS = 32
"""Lava's sources send 32 bits, a sign among them; between populations messages have 24."""

DRIVE_BITS = 32
"""Of what arrives in a step; a drive may have fewer."""

MOST_EXPONENT = 63
"""Of synapses, up and down: what integers of 64 bits can be shifted by."""


@dataclass(frozen=True)
class Input:
    """Where values enter. ``bits`` 0: spikes 0/1; n > 0: graded, 0 .. 2**n - 1, or two's complement if signed."""

    name: str
    shape: tuple[int, ...]
    bits: int = 0
    signed: bool = False

    @property
    def low(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed and self.bits else 0

    @property
    def high(self) -> int:
        if self.bits == 0:
            return 1
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1


UNSAID = "the program does not say how real outputs stand in what is read"


@dataclass(frozen=True)
class Readout:
    """Where the answer is read, over the window of a sample. Classes in C order of the population's neurons.

    A population that has no v is read by what it sends.

    Attributes:
        scale, zero: a real output y of the source stands as zero + scale * y in the integers that are read; None:
            nobody says how it stands there.
    """

    population: str
    quantity: Quantity = "v"
    scale: float | None = None
    zero: int = 0

    def real(self, read: Any) -> Any:
        """Integers that are read, in units of the source's outputs: float64 of the same shape.

        Raises:
            InputError: nobody says how these stand there.
        """
        if self.scale is None:
            raise InputError(UNSAID, where=self.population, ways_out="compare classes")
        return (np.asarray(read, np.float64) - self.zero) / self.scale


@dataclass(frozen=True)
class Program:
    """Everything a chip needs, in integers.

    Attributes:
        n_steps: length T of one sample at the input; None when the program has no notion of samples.
        timestep_s: physical length of a step [s], None if the source does not say.
        scales: population -> units of v_th_mant per real unit of the source's membrane (v_real = v / (64 * scale));
            an array that broadcasts to its shape where neurons or channels have scales of their own.
        provenance: plain text facts: hash of the source file, tool versions, pass list.
    """

    name: str
    inputs: tuple[Input, ...]
    populations: tuple[Population, ...]
    synapses: tuple[Synapses, ...]
    readout: Readout | None = None
    n_steps: int | None = None
    timestep_s: float | None = None
    scales: Mapping[str, PerNeuron] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(self)

    def population(self, name: str) -> Population:
        return self._populations[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of an input or a population."""
        return self._shapes[name]

    def into(self, name: str) -> tuple[Synapses, ...]:
        return tuple(self._into.get(name, ()))

    def out_of(self, name: str) -> tuple[Synapses, ...]:
        return tuple(self._out_of.get(name, ()))

    # found once, because of thousands of populations each is asked for many times

    @cached_property
    def _populations(self) -> dict[str, Population]:
        return {p.name: p for p in self.populations}

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {i.name: i.shape for i in self.inputs} | {p.name: p.shape for p in self.populations}

    @cached_property
    def _into(self) -> dict[str, list[Synapses]]:
        return grouped(self.synapses, lambda s: s.target)

    @cached_property
    def _out_of(self) -> dict[str, list[Synapses]]:
        return grouped(self.synapses, lambda s: s.source)

    def arrivals(self) -> dict[str, int]:
        """Step at which the first input value of a sample reaches each population (longest acyclic path).

        Inputs have 0. In a program with balanced latency every path to a population is equally long.
        """
        return arrivals(self)

    def steps_per_run(self) -> int:
        """Steps until the readout has seen a whole sample: n_steps plus the readout's arrival."""
        if self.n_steps is None or self.readout is None:
            raise InputError(
                "the program names no number of steps or no readout",
                where=self.name,
                ways_out="pass the number of steps",
            )
        return self.n_steps + self.arrivals()[self.readout.population]

    def with_(self, **changes: Any) -> Program:
        return replace(self, **changes)

    def __str__(self) -> str:
        return "\n".join(lines(self))

    def __repr__(self) -> str:
        from seamount.notebook import line

        from .notebook import facts

        return line("Program", self.name, facts(self))

    def _repr_html_(self) -> str:
        from seamount.notebook import card, headed

        from .notebook import facts, populations

        return card(f"program {self.name}", " · ".join(facts(self)), headed(populations(self)))

    def table(self) -> DataFrame:
        """Its populations, a row each."""
        from seamount.notebook import frame

        from .notebook import populations

        return frame(populations(self))


# ------------------------------------------------------------------------------------------------- checking


def check(program: Program) -> None:
    """Refuses a program that no back end could run: names, shapes, delays, loops without a synapse."""
    names = [i.name for i in program.inputs] + [p.name for p in program.populations]
    counts = Counter(names)
    for name in names:
        if "\0" in name:  # where the names of members of a .npz file end: traces could not be read back
            raise InputError(f"{name!r} holds a zero byte, which names of files end at", where=program.name)
        if counts[name] > 1:
            raise InputError(f"the name {name} is used more than once", where=program.name)
    for entry in program.inputs:
        if not 0 <= entry.bits <= MOST_INPUT_BITS - (not entry.signed):
            possible = f"0 (spikes) to {MOST_INPUT_BITS - 1} are possible, with a sign {MOST_INPUT_BITS}"
            raise InputError(f"{entry.bits} bits", where=f"input {entry.name}", possible=possible)
    for synapses in program.synapses:
        _check_synapses(program, synapses, counts)
    for population in program.populations:
        if population.n_neurons < 1:
            raise InputError(f"shape {population.shape} holds no neuron", where=population.name)
        reasons = list(population.neuron.reasons(population.name, population.shape))
        scale = np.shape(program.scales.get(population.name, 1.0))
        if not broadcasts(scale, population.shape):
            reasons.append(Reason(f"scales {scale} do not broadcast to {population.shape}", population.name))
        if reasons:
            raise InputError.together(reasons)
        if population.reset is not None and population.reset.interval < 1:
            raise InputError(
                f"reset interval {population.reset.interval}, at least 1 is possible", where=population.name
            )
    if program.readout is not None:
        if program.readout.population not in [p.name for p in program.populations]:
            raise InputError(f"readout {program.readout.population} is not a population", where=program.name)
        as_quantity(program.readout.quantity, program.name)
        unit = program.readout.scale
        if unit is not None and not 0 < unit < float("inf"):
            found = f"a readout's scale of {unit:g}"
            raise InputError(found, where=program.name, possible="more than 0 is possible")
    if not program.populations:
        raise InputError("no populations, at least one is needed", where=program.name)
    order(program)


def _check_synapses(program: Program, synapses: Synapses, names: Collection[str]) -> None:
    where = synapses.name
    if synapses.source not in names:
        raise InputError(f"source {synapses.source} does not exist", where=where)
    if synapses.target not in program._populations:
        raise InputError(f"target {synapses.target} is not a population", where=where)
    drives = program.population(synapses.target).neuron.drives
    if synapses.drive not in drives:
        raise InputError(
            f"adds to the drive {synapses.drive!r} of {synapses.target}",
            where=where,
            possible=f"possible are {', '.join(map(repr, drives))}",
        )
    target = program.shape(synapses.target)
    made = target_shape(synapses.kind, program.shape(synapses.source), where)
    n_made = made if isinstance(made, int) else int(np.prod(made, dtype=np.int64))
    # a matrix makes neurons in C order, whatever the shape; a convolution's are where they lie
    if n_made != int(np.prod(target, dtype=np.int64)) or (isinstance(synapses.kind, Conv) and made != target):
        raise InputError(f"makes {made}, but {synapses.target} has shape {target}", where=where)
    if abs(synapses.exponent) > MOST_EXPONENT:
        possible = f"{-MOST_EXPONENT} to {MOST_EXPONENT} are possible"
        raise InputError(f"exponent {synapses.exponent}", where=where, possible=possible)
    if not 1 <= synapses.wrap_bits <= DRIVE_BITS:
        possible = f"1 to {DRIVE_BITS} are possible"
        raise InputError(f"a drive of {synapses.wrap_bits} bits", where=where, possible=possible)
    _check_delay(synapses)


def _check_delay(synapses: Synapses) -> None:
    where, delay = synapses.name, synapses.delay
    if delay.size and (delay.min() < 0 or delay.max() > 63):
        raise InputError(f"delays {delay.min()} to {delay.max()}", where=where, possible="possible are 0 to 63")
    if delay.ndim and not (isinstance(synapses.kind, Dense | Sparse) and delay.shape == synapses.kind.weights.shape):
        raise InputError("a delay per synapse needs dense or sparse weights of its shape", where=where)


def order(program: Program) -> list[str]:
    """Population names so that a ``Wire`` goes from earlier to later; refuses a loop of wires alone."""
    waiting = {
        p.name: {s.source for s in program.into(p.name) if isinstance(s.kind, Wire)} for p in program.populations
    }
    placed: list[str] = []
    inputs = {i.name for i in program.inputs}
    while waiting:
        ready = [name for name, sources in waiting.items() if sources <= inputs.union(placed)]
        if not ready:
            raise InputError(
                f"instantaneous loop through {', '.join(sorted(waiting))}",
                where=program.name,
                ways_out="a loop needs at least one synapse group, which takes a step",
            )
        placed += ready
        for name in ready:
            del waiting[name]
    return placed


def loops(program: Program) -> list[tuple[str, ...]]:
    """Groups of populations that feed back into themselves (strongly connected), in graph order."""
    followers = {p.name: [s.target for s in program.out_of(p.name)] for p in program.populations}
    groups = strongly_connected(list(followers), followers)
    return [tuple(group) for group in groups if len(group) > 1 or group[0] in followers[group[0]]]


def arrivals(program: Program) -> dict[str, int]:
    """See ``Program.arrivals``."""
    group = {name: i for i, loop in enumerate(loops(program)) for name in loop}
    steps = {i.name: 0 for i in program.inputs}
    pending = [p.name for p in program.populations]
    while pending:
        rest = []
        for name in pending:
            incoming = [s for s in program.into(name) if group.get(s.source, -1) != group.get(name, -2)]
            if all(s.source in steps for s in incoming):
                steps[name] = max(_first(program, steps, incoming).values(), default=0)
            else:
                rest.append(name)
        if len(rest) == len(pending):  # inside a loop of several populations: enter where the outside does
            name = next(n for n in rest if any(s.source in steps for s in program.into(n)))
            steps[name] = max(_first(program, steps, [s for s in program.into(name) if s.source in steps]).values())
            rest.remove(name)
        pending = rest
    return steps


def _first(program: Program, steps: Mapping[str, int], incoming: Iterable[Synapses]) -> dict[str, int]:
    """Source -> step at which its first value arrives; groups beside the fastest only add what was sent before."""
    found: dict[str, int] = {}
    for s in incoming:
        source, latency = sent_from(program, s)
        found[source] = min(found.get(source, 1 << 30), steps[source] + latency)
    return found


def sent_from(program: Program, s: Synapses) -> tuple[str, int]:
    """The input or population whose values a synapse group brings, and how late: relays on the way are its delay."""
    relays, source, latency = program._populations, s.source, s.latency
    while source in relays and isinstance(relays[source].neuron, Relay) and len(before := program.into(source)) == 1:
        source, latency = before[0].source, latency + before[0].latency
    return source, latency


# ------------------------------------------------------------------------------------------------- printing


def lines(program: Program) -> Iterator[str]:
    """The program, a line an item."""
    steps = "" if program.n_steps is None else f", {program.n_steps} {plural(program.n_steps, 'step')}"
    yield f"program {program.name}{steps}"
    for entry in program.inputs:
        bits = "spikes" if entry.bits == 0 else f"graded {'s' if entry.signed else 'u'}{entry.bits}"
        yield f"  input {entry.name} {_shape(entry.shape)} {bits}"
    for population in program.populations:
        facts = " ".join(f"{name} {_brief(value)}" for name, value in population.neuron.told().items())
        reset = "" if population.reset is None else f" reset {population.reset.interval}+{population.reset.offset}"
        kind = type(population.neuron).__name__.lower()
        yield f"  {kind} {population.name} {_shape(population.shape)} {facts}{reset}"
    for s in program.synapses:
        kind = type(s.kind).__name__.lower()
        weights = ""
        if not isinstance(s.kind, Wire):
            weights = f" {_shape(s.kind.weights.shape)} {_brief(s.kind.weights)}"
        extra = f" exp {s.exponent}" if s.exponent else ""
        extra += f" delay {_brief(s.delay)}" if s.delay.any() else ""
        extra += " graded" if s.graded else ""
        extra += f" into {s.drive}" if len(program.population(s.target).neuron.drives) > 1 else ""
        yield f"  {kind} {s.name} {s.source} -> {s.target}{weights}{extra}"
    if program.readout is not None:
        yield f"  readout {program.readout.quantity} of {program.readout.population}"


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(str(n) for n in shape) or "1"


def _brief(value: Any) -> str:
    array = np.asarray(value)
    if array.size == 0:
        return "empty"
    low, high = int(array.min()), int(array.max())
    return str(low) if low == high else f"{low}..{high}"
