"""The simulator: layer by layer, all steps of a layer at once; step by step only inside loops, and always batched.

The batch is shared among threads, which meet at the end alone. Time and batch are cut into chunks that fit the
memory; state and the last spikes are carried from chunk to chunk.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Collection, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seamount.compile.arithmetic.events import Layout
from seamount.compile.arithmetic.inputs import check_inputs, default_steps, n_samples, readout_window
from seamount.compile.arithmetic.neurons import Scanned
from seamount.compile.arithmetic.products import self_test
from seamount.compile.arithmetic.threads import share_apart, threads_at_hand
from seamount.compile.neurons.model import SPIKES
from seamount.compile.program.activity import USUAL, Activity, Array, check_record, states_to_record
from seamount.compile.program.program import Program, loops, order
from seamount.compile.program.readout import read_on
from seamount.compile.synapses.kinds import Conv
from seamount.errors import BackendMissing, ConfigError
from seamount.gpu_code import require_triton
from seamount.surroundings import require_plain_torch, uncompiled

from .engine import SUM_VALUES, advance
from .plan import Plan, plans
from .products import count_rest, count_sums
from .running import Running, Span, events_of
from .sources import WORD, Source, empty_source, fill_input

DEFAULT_MEMORY = 2 << 30
"""Working memory [byte] where no limit is given; what is recorded comes on top."""


@uncompiled
def simulate(
    program: Program,
    inputs: Any,
    *,
    n_steps: int | None = None,
    record: Collection[str] = (),
    populations: Collection[str] | None = None,
    device: str = "cpu",
    memory_limit_bytes: int | None = None,
) -> Activity:
    """Run a program: the integers of ``run_definition``, fast.

    Args:
        inputs: (T, B, *shape) of the only input, or a mapping from input name to that; whole numbers in the range
            that the program declares. After their T as ``check_inputs`` says.
        n_steps: default: until the readout has seen a whole sample.
        record: of "spikes", "drive" and the states by name ("v", "u", ...; "states": all of them); counts are always
            kept.
        populations: those to record; default: all.
        device: "cpu" or "cuda".
        memory_limit_bytes: working memory; the inputs and what is recorded come on top. Default 2 GiB.
    """
    require_plain_torch()
    wanted = _wanted(program, record, populations)
    n_steps = default_steps(program, inputs) if n_steps is None else n_steps
    given = check_inputs(program, inputs, n_steps)
    where = _device(device)
    batch = n_samples(given)
    made = _prepared(program, where)
    chunk = _chunk(program, n_steps, batch, wanted, _limit(memory_limit_bytes), where.type)
    run = _Run(program, made, n_steps, batch, wanted, where, chunk)

    def work(first: int, last: int) -> None:
        with torch.inference_mode(False), torch.no_grad():  # each thread has its own
            run.samples({name: x[:, first:last] for name, x in given.items()}, first, last)

    try:
        share_apart(work, batch, chunk.samples, chunk.threads)
    finally:
        run.over = True
    return run.activity()


def _wanted(
    program: Program, record: Collection[str], populations: Collection[str] | None
) -> dict[str, tuple[str, ...]]:
    check_record(program, record)
    names = [p.name for p in program.populations]
    missing = sorted(set(populations or ()) - set(names))
    if missing:
        raise ConfigError(
            f"{', '.join(missing)} does not exist",
            where="populations",
            possible=f"{program.name} has {', '.join(names)}",
        )
    return {name: tuple(record) if populations is None or name in populations else () for name in names}


def _device(name: str) -> torch.device:
    try:
        found = torch.device(name)
    except (RuntimeError, TypeError):
        raise ConfigError(f"device {name!r} does not exist; cpu and cuda are possible") from None
    if found.type not in ("cpu", "cuda"):
        raise ConfigError(f"device {name!r} cannot be used; cpu and cuda are possible")
    if found.type == "cuda" and not torch.cuda.is_available():
        raise BackendMissing("this torch finds no CUDA device", where="cuda", ways_out="use --device cpu")
    if found.type == "cuda":
        require_triton()
    self_test(str(found))
    return found


KEPT_BYTES = 256 << 20
"""Of what a run leaves to the next one: memory that is new costs a page fault for every 4 KiB."""


@dataclass
class _Prepared:
    """What evaluations that call with batch after batch need only once.

    Attributes:
        spare: by chunk, what a run has left for the next one; empty while one uses it.
    """

    plans: dict[str, Plan]
    spare: dict[tuple[int, int], list[dict[str, Source]]] = field(default_factory=dict)

    def sources(self, steps: int, samples: int) -> dict[str, Source] | None:
        try:
            sources = self.spare[steps, samples].pop()
        except (KeyError, IndexError):  # none, or other threads use them
            return None
        for source in sources.values():
            source.begin_anew()
        return sources

    def leave(self, steps: int, samples: int, sources: dict[str, Source]) -> None:
        kept = [held for some in list(self.spare.values()) for held in some]
        if sum(source.n_bytes for held in [*kept, sources] for source in held.values()) > KEPT_BYTES:
            self.spare.clear()
        else:
            self.spare.setdefault((steps, samples), []).append(sources)


_known: dict[tuple[int, str], tuple[weakref.ref[Program], _Prepared]] = {}


def _prepared(program: Program, device: torch.device) -> _Prepared:
    """Kept as long as the program lives."""
    key = (id(program), str(device))
    known = _known.get(key)
    if known is None or known[0]() is not program:
        made = _Prepared(plans(program, device))
        known = (weakref.ref(program, lambda _: _known.pop(key, None)), made)
        _known[key] = known
    return known[1]


# ----------------------------------------------------------------------------------------------------- chunks


@dataclass(frozen=True)
class Chunk:
    """How much is computed at once, and in how many threads."""

    steps: int
    samples: int
    sum_values: int
    threads: int = 1


def histories(program: Program) -> dict[str, int]:
    """Rows before a chunk that the synapses out of each input and population look back at."""
    names = [i.name for i in program.inputs] + [p.name for p in program.populations]
    return {name: max((int(s.delay.max(initial=0)) + 1 for s in program.out_of(name)), default=0) for name in names}


def memory_needed(program: Program, chunk: Chunk, record: Collection[str] = USUAL, device: str = "cpu") -> int:
    """Working memory [byte] of the chunks that are computed at once."""
    steps, samples = chunk.steps, chunk.samples
    widest = max([p.n_neurons for p in program.populations] + [int(np.prod(i.shape)) for i in program.inputs])
    # a product holds its input, its output and one copy of each, 8 bytes a value at most
    per_buffered = 32 + (4 * _most_taps(program) if device == "cuda" else 0)
    buffers = per_buffered * max(min(chunk.sum_values, steps * samples * widest), samples * widest)
    back = histories(program)
    per_sample = 0
    for entry in program.inputs:
        per_value = 1 if entry.bits == 0 else 5
        per_sample += (steps + back[entry.name]) * per_value * (int(np.prod(entry.shape)) + WORD)
    for population in program.populations:
        n, states = population.n_neurons, states_to_record(population.neuron, record)
        traces = 4 * (len(states) + ("drive" in record) * len(population.neuron.drives))
        per_value = 1 if population.neuron.message == SPIKES else 5
        per_sample += (steps + back[population.name]) * per_value * (n + WORD) + steps * traces * n
        per_sample += (4 + 4 * len(population.neuron.states)) * n
    return chunk.threads * (per_sample * samples + buffers)


def _most_taps(program: Program) -> int:
    """How often a convolution on a GPU lays out each of its inputs, as the columns of a matrix."""
    kernels = [s.kind.weights.shape[2:] for s in program.synapses if isinstance(s.kind, Conv)]
    return max((int(np.prod(kernel)) for kernel in kernels), default=0)


CALL_VALUES = 1 << 19
"""What a thread must have to compute in a call of a loop: some ten times as long as Python, which does one call after
the other, takes for the call."""


def _limit(n_bytes: Any) -> int:
    if n_bytes is None:
        return DEFAULT_MEMORY
    if isinstance(n_bytes, bool) or not isinstance(n_bytes, Integral):
        raise ConfigError(f"{n_bytes!r}", where="memory limit", possible="a whole number of bytes is possible")
    return int(n_bytes)


def _threads(program: Program, n_steps: int, batch: int, device: str) -> int:
    """Among how many threads the batch is shared: no more than have something to do."""
    n_threads = threads_at_hand() if device == "cpu" else 1
    n_values = sum(p.n_neurons for p in program.populations) + sum(math.prod(i.shape) for i in program.inputs)
    whole = all(isinstance(p.neuron, Scanned) or p.neuron.passes_on for p in program.populations)
    steps_per_call = n_steps if whole and not loops(program) else 1
    values_per_call = n_values * batch * steps_per_call // len(program.populations)
    return max(1, min(n_threads, batch, values_per_call // CALL_VALUES))


def _chunk(
    program: Program,
    n_steps: int,
    batch: int,
    wanted: Mapping[str, tuple[str, ...]],
    limit: int,
    device: str,
) -> Chunk:
    record = max(wanted.values(), key=len, default=())
    threads = _threads(program, n_steps, batch, device)
    chunk = Chunk(n_steps, -(-batch // threads), SUM_VALUES, threads)
    while (needed := memory_needed(program, chunk, record, device)) > limit:
        if chunk.sum_values > 1 << 20:
            chunk = replace(chunk, sum_values=chunk.sum_values // 2)
        elif chunk.steps > 16:
            chunk = replace(chunk, steps=-(-chunk.steps // 2))
        elif chunk.samples > 1:
            chunk = replace(chunk, samples=-(-chunk.samples // 2))
        elif chunk.threads > 1:
            chunk = replace(chunk, threads=1)
        elif chunk.steps > 1:
            chunk = replace(chunk, steps=-(-chunk.steps // 2))
        else:
            raise ConfigError(
                f"{program.name} needs {needed} bytes for one step of one sample",
                where="memory limit",
                possible=f"{limit} are allowed",
                ways_out="allow more",
            )
    return chunk


# ------------------------------------------------------------------------------------------------------- a run


def schedule(program: Program) -> list[tuple[str, ...]]:
    """Populations in an order in which each can be computed whole; those of a loop stand together."""
    group: dict[str, tuple[str, ...]] = {p.name: (p.name,) for p in program.populations}
    position = {name: i for i, name in enumerate(order(program))}
    for loop in loops(program):
        together = tuple(sorted(loop, key=position.__getitem__))
        group |= dict.fromkeys(loop, together)
    waiting = dict.fromkeys(group.values())
    done: set[str] = {i.name for i in program.inputs}
    found: list[tuple[str, ...]] = []
    while waiting:
        ready = next(
            unit
            for unit in waiting
            if all(s.source in done or s.source in unit for n in unit for s in program.into(n))
        )
        found.append(ready)
        done.update(ready)
        del waiting[ready]
    return found


class _Run:
    """All chunks of a run, and what they leave behind."""

    def __init__(
        self,
        program: Program,
        made: _Prepared,
        n_steps: int,
        batch: int,
        wanted: Mapping[str, tuple[str, ...]],
        device: torch.device,
        chunk: Chunk,
    ) -> None:
        self.program, self.made, self.plans, self.n_steps, self.batch = program, made, made.plans, n_steps, batch
        self.wanted, self.device, self.chunk = wanted, device, chunk
        self.window = readout_window(program, n_steps)
        self.units = schedule(program)
        self.looped = {name for loop in loops(program) for name in loop}
        self.history = histories(program)
        self.finished: dict[int, tuple[dict[str, Running], Array | None]] = {}
        self.over = False  # what other threads still do is for nobody
        self.records: dict[str, dict[str, Array]] = {"spikes": {}, "drive": {}}
        for population in program.populations:
            record = wanted[population.name]
            sent = [kind for kind in ("spikes", "drive") if kind in record]
            for kind in (*sent, *states_to_record(population.neuron, record)):
                binary = kind == "spikes" and population.neuron.message == SPIKES
                several = len(population.neuron.drives) if kind == "drive" else 1
                shape = (n_steps, batch, *((several,) if several > 1 else ()), *population.shape)
                room = np.empty(shape, np.uint8 if binary else np.int32)
                self.records.setdefault(kind, {})[population.name] = room

    def samples(self, given: Mapping[str, NDArray[Any]], first: int, last: int) -> None:
        """All steps of the samples first .. last."""
        batch = last - first
        steps = min(self.chunk.steps, self.n_steps)
        sources = self.made.sources(steps, batch) or self._sources(steps, batch)
        running = {
            name: Running(plan, batch, self.n_steps, self._traces(name), self.device, self.chunk.sum_values)
            for name, plan in self.plans.items()
        }
        readout: Array | None = None
        for start in range(0, self.n_steps, steps):
            n = min(steps, self.n_steps - start)
            for name, x in given.items():
                before = x[start - 1] if 0 < start <= len(x) else None
                fill_input(sources[name], x[start : start + n], n, before)
            for one in running.values():
                one.new_chunk(n)
            for unit in self.units:
                self._advance(unit, running, sources, start, n)
            for name, one in running.items():
                count_sums(one, sources, start, n)
                self._keep(name, one, sources[name], start, n, first, last)
            readout = self._read(readout, running, sources, start, n)
            if start + n == self.n_steps:
                for one in running.values():
                    count_rest(one, sources, self.n_steps, n)
            if start + n < self.n_steps:
                for source in sources.values():
                    source.keep_end(n)
        self.made.leave(steps, batch, sources)
        if self.program.readout is not None and readout is None:
            # a run that ends before the sample arrives reads nothing
            readout = np.zeros((batch, *self.program.shape(self.program.readout.population)), np.int64)
        for one in running.values():
            one.traces.clear()
        self.finished[first] = running, readout

    def _advance(
        self,
        unit: tuple[str, ...],
        running: Mapping[str, Running],
        sources: Mapping[str, Source],
        start: int,
        n: int,
    ) -> None:
        steps = [(k, k + 1) for k in range(n)] if unit[0] in self.looped else [(0, n)]
        for first, last in steps:
            if self.over:
                raise CancelledError
            for name in unit:
                advance(running[name], sources, sources[name], Span(start, first, last))

    def _sources(self, steps: int, batch: int) -> dict[str, Source]:
        found = {}
        for entry in self.program.inputs:
            layout, with_values = Layout(entry.shape), entry.bits > 0
            found[entry.name] = empty_source(
                layout, self.history[entry.name], steps, batch, self.device, with_values, ternary=False
            )
        for name, plan in self.plans.items():
            found[name] = empty_source(
                plan.layout, self.history[name], steps, batch, self.device, plan.sends_values, plan.ternary
            )
        return found

    def _traces(self, name: str) -> tuple[str, ...]:
        readout = self.program.readout
        if readout is not None and readout.population == name and readout.quantity != "count":
            return (*self.wanted[name], "v")
        return self.wanted[name]

    def _keep(self, name: str, one: Running, source: Source, start: int, n: int, first: int, last: int) -> None:
        """Copy a chunk's traces to the records."""
        for kind, records in self.records.items():
            target = records.get(name)
            if target is None:
                continue
            if kind == "spikes":
                rows = source.rows(source.history, source.history + n)
                values = rows.reshape(n, last - first, *rows.shape[1:]).cpu().numpy()
            else:
                trace = one.drives if kind == "drive" else one.traces[kind]
                assert trace is not None
                values = one.plain(trace[:n])
            target[start : start + n, first:last] = values

    # --------------------------------------------------------------------------------------------- the answer

    def _read(
        self, so_far: Array | None, running: Mapping[str, Running], sources: Mapping[str, Source], start: int, n: int
    ) -> Array | None:
        """The readout with this chunk's steps of the window."""
        readout = self.program.readout
        first, last = max(self.window[0] - start, 0), min(self.window[1] - start, n)
        if readout is None or last <= first:
            return so_far
        one, source = running[readout.population], sources[readout.population]
        if readout.quantity == "v":  # of a trace that may lie on the GPU only the last step is needed
            first = last - 1
        if readout.quantity != "count" and "v" in one.plan.population.neuron.states:
            return read_on(readout.quantity, so_far, one.plain(one.traces["v"][first:last]))
        rows = source.rows(source.history + first, source.history + last)
        values = rows.reshape(last - first, one.batch, *one.plan.population.shape).cpu().numpy()
        return read_on(readout.quantity, so_far, values)

    def activity(self) -> Activity:
        slices = [self.finished[first] for first in sorted(self.finished)]
        finished = {name: [running[name] for running, _ in slices] for name in self.plans}
        readouts = [readout for _, readout in slices if readout is not None]

        def counts(name: str) -> Array:
            return np.concatenate([one.plain(one.spike_counts) for one in finished[name]]).astype(np.int64)

        final: dict[str, dict[str, Array]] = {}
        for name, plan in self.plans.items():
            for state in plan.population.neuron.shown:
                parts = [one.plain(one.last(state)) for one in finished[name]]
                final.setdefault(state, {})[name] = np.concatenate(parts)
        return Activity(
            n_steps=self.n_steps,
            n_samples=self.batch,
            spikes=self.records["spikes"],
            states={kind: found for kind, found in self.records.items() if kind not in ("spikes", "drive")},
            drive=self.records["drive"],
            readout=np.concatenate(readouts) if readouts else None,
            spike_counts={name: counts(name) for name in self.plans},
            events={name: events_of(parts, self.n_steps, self.batch) for name, parts in finished.items()},
            final_states=final,
        )
