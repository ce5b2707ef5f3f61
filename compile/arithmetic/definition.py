"""The definition of the chip's arithmetic, in plain numpy int64, one step at a time: slow, short, and always right.

Every fast implementation (``scan.py``, ``synapses.py``, ``events.py``, ``hardware_targets/simulator``) is tested to
give these integers. The integers themselves are those of Lava 0.10.0's fixed-point models, recorded in vectors that
``tests/vectors/lava.py`` replays. ``docs/arithmetic.md`` says where other emulators differ and whom we follow.

Arrays of values are (B, *shape) per step here, (T, B, *shape) per run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.compile.neurons.model import SPIKES, State
from seamount.compile.numbers import Ints
from seamount.compile.program.activity import Activity, Events, check_record, states_to_record
from seamount.compile.program.program import Population, Program, Reset, order
from seamount.compile.program.readout import read_on
from seamount.compile.synapses.kinds import Wire

from ..numbers import wrap
from ..synapses.algebra import by_delay
from ..synapses.sums import operations, synapse_drive
from .inputs import check_inputs, default_steps, n_samples, readout_window


def is_reset(reset: Reset | None, step: int) -> bool:
    """Lava counts steps from 1, and clears the state before it looks at the step's input."""
    return reset is not None and (step + 1) % reset.interval == reset.offset % reset.interval


def run_definition(
    program: Program,
    inputs: Any,
    n_steps: int | None = None,
    record: Collection[str] = ("spikes", "v", "u"),
) -> Activity:
    """Run a program step by step; everything of every population can be recorded.

    Args:
        inputs: (T, B, *shape) of the only input, or a mapping from input name to that. After their T as
            ``check_inputs`` says.
        n_steps: default: until the readout has seen a whole sample.
        record: of "spikes", "drive" and the states by name ("v", "u", ...; "states": all of them).
    """
    check_record(program, record)
    n_steps = default_steps(program, inputs) if n_steps is None else n_steps
    given = {name: x.astype(np.int64) for name, x in check_inputs(program, inputs, n_steps).items()}
    batch = n_samples(given)
    runs = {p.name: _Run(p, program, batch, n_steps, record) for p in program.populations}
    past: list[dict[str, Ints]] = []  # values of step k at past[k]
    for k in range(n_steps):
        now = {name: x[k] if k < len(x) else np.zeros_like(x[0]) for name, x in given.items()}
        past.append(now)
        for name in order(program):
            now[name] = runs[name].step(k, past)
        for run in runs.values():
            run.count_operations(k, now)
    return _activity(program, runs, batch, n_steps)


class _Run:
    """One population during a run: its state, its records and its counts."""

    def __init__(self, population: Population, program: Program, batch: int, n_steps: int, record: Collection[str]):
        self.population = population
        self.shape = population.shape
        self.synapses = program.into(population.name)
        self.parts = [(s, delay, kind) for s in self.synapses for delay, kind in by_delay(s)]
        at_rest = population.neuron.rest_state(population.shape)
        self.state: State = {name: np.repeat(x[None], batch, axis=0) for name, x in at_rest.items()}
        self.batch = batch
        wanted = {"spikes", "drive"}.intersection(record) | set(states_to_record(population.neuron, record))
        self.records: dict[str, list[Ints]] = {name: [] for name in wanted}
        self.spike_counts = np.zeros((batch, *population.shape), np.int64)
        is_read = program.readout is not None and program.readout.population == population.name
        self.quantity = program.readout.quantity if program.readout is not None and is_read else None
        self.window = readout_window(program, n_steps)
        self.readout: Ints | None = None
        self.n_spikes, self.sops, self.sops_with_zeros = (np.zeros(n_steps, np.int64) for _ in range(3))
        self.n_active = self.n_u_wraps = self.n_v_saturations = self.n_drive_wraps = 0

    def step(self, k: int, past: list[dict[str, Ints]]) -> Ints:
        neuron = self.population.neuron
        drives = [self._drive(name, k, past) for name in neuron.drives]
        before = self.state
        done = neuron.step(neuron.cleared(before) if is_reset(self.population.reset, k) else before, drives)
        self.state = done.state
        changed = [drive != 0 for drive in drives] + [x != before[name] for name, x in done.compared.items()]
        self.n_active += int(np.count_nonzero(np.any(changed, axis=0)))
        self.n_u_wraps += int(np.count_nonzero(done.wraps))
        self.n_v_saturations += int(np.count_nonzero(done.saturates))
        self.n_spikes[k] = np.count_nonzero(done.sent)
        self.spike_counts += done.sent != 0
        if self.quantity is not None and self.window[0] <= k < self.window[1]:
            # what has no v is read by what it sends
            read = done.sent if self.quantity == "count" else self.state.get("v", done.sent)
            self.readout = read_on(self.quantity, self.readout, read[None])
        arrived = drives[0] if len(drives) == 1 else np.stack(drives, axis=1)
        for name, kept in self.records.items():
            kept.append({**self.state, "spikes": done.sent, "drive": arrived}[name])
        return done.sent

    def _drive(self, name: str, k: int, past: list[dict[str, Ints]]) -> Ints:
        total = np.zeros((self.batch, *self.shape), np.int64)
        for synapses, delay, kind in self.parts:
            sent = k if isinstance(kind, Wire) else k - 1 - delay
            if sent >= 0 and synapses.drive == name:
                part, n_wraps = synapse_drive(synapses, kind, past[sent][synapses.source], self.shape)
                total += part
                self.n_drive_wraps += n_wraps
        drive = wrap(total, 32)
        self.n_drive_wraps += int(np.count_nonzero(drive != total))
        return drive

    def count_operations(self, k: int, now: Mapping[str, Ints]) -> None:
        for synapses in self.synapses:
            non_zero, stored = operations(synapses.kind, now[synapses.source], self.shape)
            self.sops[k] += non_zero
            self.sops_with_zeros[k] += stored

    def events(self) -> Events:
        return Events(
            n_spikes=self.n_spikes,
            n_updates=len(self.n_spikes) * self.batch * self.population.n_neurons,
            n_active_updates=self.n_active,
            sops=self.sops,
            sops_with_zeros=self.sops_with_zeros,
            n_u_wraps=self.n_u_wraps,
            n_v_saturations=self.n_v_saturations,
            n_drive_wraps=self.n_drive_wraps,
        )


def _activity(program: Program, runs: Mapping[str, _Run], batch: int, n_steps: int) -> Activity:
    def recorded(what: str) -> dict[str, NDArray[Any]]:
        found = {}
        for name, run in runs.items():
            if run.records.get(what):
                binary = what == "spikes" and run.population.neuron.message == SPIKES
                found[name] = np.stack(run.records[what]).astype(np.uint8 if binary else np.int32)
        return found

    readout = None
    if program.readout is not None:
        run = runs[program.readout.population]
        # a run that ends before the sample arrives reads nothing
        readout = np.zeros_like(run.spike_counts) if run.readout is None else run.readout

    shown = dict.fromkeys(state for run in runs.values() for state in run.population.neuron.shown)

    def last(state: str) -> dict[str, NDArray[Any]]:
        return {name: run.state[state].astype(np.int32) for name, run in runs.items() if state in run.state}

    return Activity(
        n_steps=n_steps,
        n_samples=batch,
        spikes=recorded("spikes"),
        states={state: found for state in shown if (found := recorded(state))},
        drive=recorded("drive"),
        readout=readout,
        spike_counts={name: run.spike_counts for name, run in runs.items()},
        events={name: run.events() for name, run in runs.items()},
        final_states={state: last(state) for state in shown},
    )
