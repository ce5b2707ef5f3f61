"""Tries to break the range analysis: ``python -m tests.fuzz.ranges N`` searches the worst cases of N programs.

A program is drawn from every kind of synapses, neurons, delays, exponents, relays, loops and resets, with weights
around the size at which the states leave their range. Each climber wants one state of one neuron (its drive, u or v)
as high or as low as it goes: it begins with the input values whose sign of effect is right, traced back through the
program, and goes on by changes at random that it keeps where they took it no less far. Whatever the definition then
does outside of a bound, or against a "proven", is a violation.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.neurons.cuba import Cuba
from seamount.compile.neurons.lif import NEVER_FIRES, Lif
from seamount.compile.neurons.model import StateRange
from seamount.compile.neurons.models import Neuron
from seamount.compile.neurons.relay import Relay
from seamount.compile.neurons.ternary_lif import TernaryLif
from seamount.compile.numbers import V_MAX, Ints, ints
from seamount.compile.passes.range_analysis import LayerRange, analyse_ranges
from seamount.compile.program.activity import Activity
from seamount.compile.program.messages import drive_of, messages
from seamount.compile.program.program import Input, Population, Program, Readout, Reset
from seamount.compile.synapses.algebra import by_delay
from seamount.compile.synapses.kinds import Conv, Kind, OneToOne, Wire
from seamount.compile.synapses.sums import weighted_sum
from seamount.windows import Window
from tests.simulator.random_programs import Programs, graded_neuron

Random = np.random.Generator
Doubles = NDArray[np.float64]

# ------------------------------------------------------------------------------------------------- programs


class Extremes(Programs):
    """Up to five populations of at most six neurons, around the ends of what states and sums hold."""

    most_neurons = 6
    density = 0.5
    longest_delay = 3
    exponents = (0, 0, 2, -1, -4, -9, -16)

    def ending(self) -> tuple[Readout | None, int | None]:
        readout = Readout(self.populations[-1].name, "v") if self.random.random() < 0.8 else None
        return readout, int(self.random.integers(1, 30)) if self.random.random() < 0.8 else None

    def populate(self, name: str) -> None:
        super().populate(name)
        p = self.populations[-1]
        if isinstance(p.neuron, Lif) and self.random.random() < 0.4:  # what holds itself back
            weights = -np.abs(self.weights(p.shape if self.random.random() < 0.5 else ()))
            self.connect(name, name, OneToOne(ints(weights)))

    def reset(self) -> Reset | None:
        if self.random.random() < 0.6:
            return None
        return Reset(int(self.random.integers(1, 9)), int(self.random.integers(0, 9)))

    def input(self, name: str) -> Input:
        small = self.random.random() < 0.6
        shape: tuple[int, ...] = (int(self.random.integers(1, self.most_neurons + 1)),) if small else (2, 2, 2)
        bits = int(self.random.choice([0, 0, 1, 8, 24]))
        return Input(name, shape, bits, signed=bool(bits and self.random.random() < 0.5))

    def neuron(self, shape: tuple[int, ...]) -> Neuron:
        random = self.random

        def one_or_each(low: int, high: int) -> Ints:
            return self.one_or_each(low, high, shape)

        if random.random() < 0.15:
            return Relay()
        forgets = random.random() < 0.4
        common = {
            "du": ints(random.choice([0, 1, 2048, 4095, 4096])) if random.random() < 0.5 else one_or_each(0, 4097),
            "dv": ints(4096) if forgets else one_or_each(0, 4097),
            "bias_mant": one_or_each(-(1 << 17), 1 << 17) if random.random() < 0.3 else ints(0),
            "bias_exp": one_or_each(-2, 18 if random.random() < 0.1 else 8),
            "u_init": one_or_each(-(1 << 23), 1 << 23) if random.random() < 0.1 else ints(0),
            "v_init": one_or_each(-(1 << 23), 1 << 23) if random.random() < 0.1 else ints(0),
        }
        scale = int(random.choice([30, 3000, NEVER_FIRES - 1, NEVER_FIRES + 2]))
        least = -scale if random.random() < 0.1 else 0
        if random.random() < 0.25:
            low = -least if random.random() < 0.1 else 1
            return TernaryLif(v_th_hi_mant=one_or_each(least, scale), v_th_lo_mant=one_or_each(-scale, low), **common)
        floor = one_or_each(-min(64 * scale, V_MAX), 1) if random.random() < 0.15 else None
        threshold = ints(NEVER_FIRES) if random.random() < 0.15 else one_or_each(least, scale)
        return Lif(v_th_mant=threshold, refractory_steps=int(random.choice([0, 0, 0, 2])), v_floor=floor, **common)

    def weights(self, shape: tuple[int, ...]) -> Ints:
        largest = 2 ** int(self.random.integers(0, 20))
        held = self.random.random(shape) < self.random.choice([0.4, 1.0])
        return ints(self.random.integers(-largest, largest + 1, shape) * held)

    def one_by_one(self, shape: tuple[int, ...]) -> Kind:
        return Wire() if self.random.random() < 0.3 else OneToOne(self.weights(shape))

    def convolution(self, channels: int) -> Conv:
        groups = int(self.random.choice([1, 2])) if channels == 2 else 1
        return Conv(self.weights((2, channels // groups, 2, 2)), Window(padding=(1, 0), groups=groups))


class GradedExtremes(Extremes):
    """With neurons beyond CUBA among them."""

    def neuron(self, shape: tuple[int, ...]) -> Neuron:
        return graded_neuron(self, shape) if self.random.random() < 0.6 else super().neuron(shape)


# --------------------------------------------------------------------------------------------------- search


@dataclass(frozen=True)
class Aim:
    """What a climber wants: one state of one neuron, high (1) or low (-1)."""

    population: str
    state: str
    neuron: int
    sign: int


@dataclass
class Found:
    """What was tried, and what broke."""

    n_programs: int = 0
    n_bounds: int = 0
    n_proven: int = 0
    violations: list[str] = field(default_factory=list)
    reached: list[float] = field(default_factory=list)


def try_program(seed: int, found: Found, n_climbers: int = 40, n_rounds: int = 4) -> None:
    """Search the worst cases of one program, and compare every run with its bounds."""
    random = np.random.default_rng(seed)
    program = (GradedExtremes if seed % 3 == 2 else Extremes)(random).draw()
    layers = {layer.name: layer for layer in analyse_ranges(program).layers}
    aims = [_aim(random, program) for _ in range(n_climbers)]
    n_steps = _n_steps(program)
    inputs = _first_tries(random, program, aims, n_steps)
    broken: dict[str, str] = {}
    best: Doubles | None = None
    for _ in range(n_rounds):
        tried = inputs if best is None else _changed(random, program, inputs)
        with _watched() as seen:
            run = run_definition(program, tried, n_steps, record=("spikes", "drive", "states"))
        for what, words in _violations(program, layers, run, seen):
            broken.setdefault(what, f"seed {seed}: {what}: {words}")
        scores = np.array([_score(aim, run, b) for b, aim in enumerate(aims)])
        kept = np.ones(len(aims), np.bool_) if best is None else scores >= best
        best = scores if best is None else np.maximum(best, scores)
        inputs = {name: np.where(_along(kept, x), tried[name], x) for name, x in inputs.items()}
    found.n_programs += 1
    found.n_bounds += sum(2 * len(_states(p)) for p in program.populations)
    found.n_proven += sum(layer.drive_proven for layer in layers.values())
    found.n_proven += sum(x.proven for layer in layers.values() for x in layer.states.values())
    found.violations += broken.values()
    assert best is not None
    for aim, score in zip(aims, best, strict=True):
        layer = layers[aim.population]
        of_drive = StateRange(layer.drive_low, layer.drive_high, layer.drive_proven)
        aimed_at = layer.states.get(aim.state, of_drive)
        bound = (aimed_at.high if aim.sign > 0 else aimed_at.low) * aim.sign
        if aimed_at.proven and np.isfinite(bound) and bound > 0:
            found.reached.append(float(score / bound))


def _n_steps(program: Program) -> int:
    """As long as the bounds are said to hold; where that is for ever: a while."""
    adds_up = any(p.reset is None and p.neuron.states for p in program.populations)
    if adds_up and program.n_steps is not None and program.readout is not None:
        return program.steps_per_run()
    return 28


def _states(p: Population) -> list[str]:
    return ["drive", *p.neuron.shown]


def _aim(random: Random, program: Program) -> Aim:
    p = program.populations[int(random.integers(len(program.populations)))]
    state = str(random.choice(_states(p)))
    sign, neuron = int(random.choice([-1, 1])), int(random.integers(p.n_neurons))
    if random.random() < 0.7:  # the neuron that has the bound, most often
        sent, most = messages(program), np.zeros(p.shape)
        for s in program.into(p.name):
            low, high = drive_of(program, s, sent[s.source])
            most = most + (high if sign > 0 else -low)
        neuron = int(most.argmax())
    return Aim(p.name, state, neuron, sign)


def _first_tries(random: Random, program: Program, aims: list[Aim], n_steps: int) -> dict[str, Ints]:
    """(T, B, *shape) of every input: what pulls the right way from each step's point of view; some at random."""
    effects = [_effects(program, aim) for aim in aims]
    tries: dict[str, Any] = {}
    for entry in program.inputs:
        columns = []
        for effect in effects:
            pull = effect[entry.name]
            still = np.where(pull > 0, entry.high, np.where(pull < 0, _lowest(program, entry), 0))
            column = np.repeat(still[None], n_steps, axis=0)
            if random.random() < 0.3:
                column = random.choice([entry.low, 0, entry.high], column.shape)
            if random.random() < 0.3:  # charged one way, then pulled the other
                column[: int(random.integers(n_steps + 1))] = entry.low if random.random() < 0.5 else entry.high
            columns.append(column)
        tries[entry.name] = np.stack(columns, axis=1).reshape(n_steps, len(aims), *entry.shape)
    return tries


def _lowest(program: Program, entry: Input) -> int:
    """What pulls least: where only the number of messages counts, silence does."""
    graded = any(s.graded or isinstance(s.kind, Wire) for s in program.out_of(entry.name))
    return entry.low if graded else 0


def _effects(program: Program, aim: Aim) -> dict[str, Doubles]:
    """Sign of what each source does to the aim, as if all between were linear, (n_source,)."""
    sizes = {x.name: int(np.prod(x.shape)) for x in (*program.inputs, *program.populations)}
    effect = {name: np.zeros(n) for name, n in sizes.items()}
    effect[aim.population][aim.neuron] = aim.sign
    for _ in program.populations:
        before = {name: np.sign(x) for name, x in effect.items()}
        effect = {name: x.copy() for name, x in before.items()}
        for s in program.synapses:
            shape = program.shape(s.source)
            one_by_one = np.eye(sizes[s.source], dtype=np.int64).reshape(-1, *shape)
            for _, kind in by_delay(s):
                weights = weighted_sum(kind, one_by_one, program.shape(s.target)).reshape(sizes[s.source], -1)
                effect[s.source] = effect[s.source] + weights @ before[s.target]
    return effect


def _changed(random: Random, program: Program, inputs: Mapping[str, Ints]) -> dict[str, Ints]:
    """Of each climber's values, a few stretches of time set to another extreme."""
    changed = {}
    for entry in program.inputs:
        x = inputs[entry.name].copy()
        flat = x.reshape(*x.shape[:2], -1)
        for b in range(flat.shape[1]):
            for _ in range(int(random.integers(1, 4))):
                first, last = np.sort(random.integers(0, len(flat) + 1, 2))
                some = random.random(flat.shape[2]) < random.choice([0.2, 1.0])
                flat[first:last, b, some] = random.choice([entry.low, 0, entry.high])
        changed[entry.name] = x
    return changed


def _along(kept: NDArray[np.bool_], x: Ints) -> NDArray[np.bool_]:
    return kept.reshape(1, -1, *([1] * (x.ndim - 2)))


def _score(aim: Aim, run: Activity, b: int) -> float:
    trace = run.traces()[aim.state][aim.population]
    return float((aim.sign * trace[:, b].reshape(len(trace), -1)[:, aim.neuron].astype(np.int64)).max())


# --------------------------------------------------------------------------------------------------- checks


@dataclass
class Seen:
    """Of the neurons of one population: extremes of v as it was compared, and whether a cut of v changed anything."""

    v_low: int = 0
    v_high: int = 0
    harmed: bool = False


@contextmanager
def _watched() -> Iterator[dict[int, Seen]]:
    """What steps do before a spike resets v, by the neuron's id: activities do not record it."""
    seen: dict[int, Seen] = {}

    def watching(model: type[Lif] | type[TernaryLif]) -> Any:
        original = model.step

        def step(self: Any, state: Any, drives: Any) -> Any:
            done = original(self, state, drives)
            noted, v = seen.setdefault(id(self), Seen()), done.compared["v"]
            noted.v_low, noted.v_high = min(noted.v_low, int(v.min())), max(noted.v_high, int(v.max()))
            exact = self.integrate(state, drives[0]).v_exact
            lost = done.saturates & ((done.sent == 0) | (self.spikes_at(exact) != done.sent))
            floor = getattr(self, "v_floor", None)
            if floor is not None:  # what was cut below is raised to the floor anyway
                lost &= ~((v == floor) & (exact <= floor))
            noted.harmed |= bool(lost.any())
            return done

        return mock.patch.object(model, "step", step)

    with watching(Lif), watching(TernaryLif):
        yield seen


def _violations(
    program: Program, layers: Mapping[str, LayerRange], run: Activity, seen: Mapping[int, Seen]
) -> Iterator[tuple[str, str]]:
    """(what, words) of everything that the run did against the analysis."""
    sent = messages(program)
    for p in program.populations:
        layer, events, noted = layers[p.name], run.events[p.name], seen.get(id(p.neuron), Seen())
        spikes, message = run.spikes[p.name], sent[p.name]
        if spikes.min() < message.low or spikes.max() > message.high:
            yield f"{p.name} sends", f"{spikes.min()}..{spikes.max()}, said {message}"
        if layer.never_sends and events.n_spikes.any():
            yield f"{p.name} sends", "although it never does"
        if layer.always_sends and not spikes.all():
            yield f"{p.name} sends", "not at every step"
        if layer.drive_proven:
            yield from _outside(p.name, "drive", run.drive[p.name], layer.drive_low, layer.drive_high)
            if events.n_drive_wraps:
                yield f"{p.name} drive", f"wraps {events.n_drive_wraps} times"
        for name, state in layer.states.items():
            if name != "v" and state.proven:
                yield from _outside(p.name, name, run.states[name][p.name], state.low, state.high)
        if layer.proven and not isinstance(p.neuron, Cuba) and events.n_u_wraps:
            yield p.name, f"leaves 24 bits {events.n_u_wraps} times"
        if layer.u.proven and "u" in p.neuron.states:
            yield from _outside(p.name, "v", np.array([noted.v_low, noted.v_high]), layer.v.low, layer.v.high)
            if events.n_u_wraps:
                yield f"{p.name} u", f"wraps {events.n_u_wraps} times"
        if layer.v.proven:
            if noted.harmed:
                yield f"{p.name} v", "is cut where that changes something"
            inside = layer.v.low >= -V_MAX and layer.v.high <= V_MAX
            # a floor raises what was cut, so that the bounds do not show it
            if inside and getattr(p.neuron, "v_floor", None) is None and events.n_v_saturations:
                yield f"{p.name} v", f"saturates {events.n_v_saturations} times"


def _outside(name: str, state: str, values: NDArray[Any], low: float, high: float) -> Iterator[tuple[str, str]]:
    if values.min() < low or values.max() > high:
        yield f"{name} {state}", f"{values.min()}..{values.max()}, said {low:.1f}..{high:.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", type=int, help="programs")
    parser.add_argument("--seed", type=int, default=0, help="of the first")
    given = parser.parse_args()
    found, start = Found(), time.perf_counter()
    for seed in range(given.seed, given.seed + given.n):
        try_program(seed, found)
    for words in found.violations[:20]:
        print(words)
    print(
        f"{found.n_programs:,} programs, {found.n_bounds:,} bounds, {found.n_proven:,} proofs, "
        f"{100 * float(np.mean(np.array(found.reached) >= 0.9)):.0f} % of {len(found.reached):,} aims came to within "
        f"10 % of their bound, {len(found.violations)} violations, {time.perf_counter() - start:.0f} s"
    )
    return 1 if found.violations else 0


if __name__ == "__main__":
    sys.exit(main())
