"""The simulator gives the definition's integers and counts, on random programs of every kind, whole and in chunks."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from random_programs import random_case

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import ints
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Input, Population, Program, Readout
from seamount.compile.synapses.kinds import Conv, Dense, Kind, OneToOne, Sparse, Synapses, Wire
from seamount.errors import InputError
from seamount.hardware_targets.simulator.simulate import Chunk, memory_needed, simulate

simulator_run = importlib.import_module("seamount.hardware_targets.simulator.simulate")  # a function has its name

TRACES = ("spikes", "v", "u", "drive")
ALL = ("spikes", "states", "drive")


def case(seed: int, graded: bool = False) -> tuple[Program, dict[str, NDArray[Any]], int]:
    """The first seed from ``seed`` on that makes a program without an instantaneous loop."""
    try:
        return random_case(seed, graded)
    except InputError:
        return case(seed + 1, graded)


def _final(run: Activity) -> dict[str, Mapping[str, NDArray[Any]]]:
    return {f"final {state}": values for state, values in run.final_states.items()}


def assert_same(a: Activity, b: Activity) -> None:
    found, expected = ({**run.traces(), "counts": run.spike_counts, **_final(run)} for run in (a, b))
    assert set(found) == set(expected)
    for what, ours in found.items():
        theirs = expected[what]
        assert set(ours) == set(theirs), what
        for name, values in ours.items():
            assert values.dtype == theirs[name].dtype, (what, name)
            assert np.array_equal(values, theirs[name]), (what, name)
    assert np.array_equal(a.readout, b.readout)
    for name, events in a.events.items():
        for field in dataclasses.fields(events):
            ours, theirs = getattr(events, field.name), getattr(b.events[name], field.name)
            assert np.array_equal(ours, theirs), (name, field.name)


@settings(max_examples=100)
@given(st.integers(0, 1 << 32))
def test_the_simulator_equals_the_definition(seed: int) -> None:
    program, inputs, n_steps = case(seed)
    expected = run_definition(program, inputs, n_steps, TRACES)
    assert_same(expected, simulate(program, inputs, n_steps=n_steps, record=TRACES))


@settings(max_examples=60)
@given(st.integers(0, 1 << 32))
def test_the_simulator_equals_the_definition_of_graded_neurons(seed: int) -> None:
    program, inputs, n_steps = case(seed, graded=True)
    expected = run_definition(program, inputs, n_steps, ALL)
    assert_same(expected, simulate(program, inputs, n_steps=n_steps, record=ALL))
    limit = memory_needed(program, Chunk(1 + seed % 5, samples=1, sum_values=1 << 20), ALL)
    assert_same(expected, simulate(program, inputs, n_steps=n_steps, record=ALL, memory_limit_bytes=limit))


@pytest.mark.parametrize("exponent", [-40, -8, 7, 20, 23, 24, 31, 32, 40])
@pytest.mark.parametrize("wrap_bits", [24, 32])
def test_exponents_far_beyond_the_drives_bits_wrap_as_in_the_definition(exponent: int, wrap_bits: int) -> None:
    random = np.random.default_rng(0)
    neuron = Lif(ints(4096), ints(1024), ints(40))
    weights = Dense(ints(random.integers(-128, 128, (5, 4)) * 2))
    synapses = Synapses("w", "in", "h", weights, exponent, graded=True, wrap_bits=wrap_bits)
    program = Program(
        "p", (Input("in", (4,), 8),), (Population("h", (5,), neuron),), (synapses,), Readout("h", "v"), 4
    )
    x = random.integers(0, 256, (4, 3, 4))
    assert_same(run_definition(program, x, record=TRACES), simulate(program, x, record=TRACES))


@settings(max_examples=40)
@given(st.integers(0, 1 << 32), st.integers(1, 7))
def test_chunks_of_time_and_batch_change_nothing(seed: int, steps: int) -> None:
    program, inputs, n_steps = case(seed)
    limit = memory_needed(program, Chunk(steps, samples=1, sum_values=1 << 20))
    whole = simulate(program, inputs, n_steps=n_steps, record=TRACES)
    assert_same(whole, simulate(program, inputs, n_steps=n_steps, record=TRACES, memory_limit_bytes=limit))


@settings(max_examples=10)
@given(st.integers(0, 1 << 32))
def test_threads_change_nothing(seed: int) -> None:
    program, inputs, n_steps = case(seed)
    before = torch.get_num_threads()
    found = []
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(simulator_run, "CALL_VALUES", 1)  # as if it were worth it
            for n_threads in (1, 3):
                torch.set_num_threads(n_threads)
                found.append(simulate(program, inputs, n_steps=n_steps, record=TRACES))
    finally:
        torch.set_num_threads(before)
    assert_same(*found)


@settings(max_examples=25)
@given(st.integers(0, 1 << 32))
def test_operations_are_counted_synapse_by_synapse(seed: int) -> None:
    """Against a count that knows nothing but the list of single synapses."""
    program, inputs, n_steps = case(seed)
    activity = simulate(program, inputs, n_steps=n_steps, record=("spikes",))
    batch = activity.n_samples
    sent = {
        name: np.concatenate([x, np.zeros((n_steps - len(x), *x.shape[1:]), x.dtype)]) for name, x in inputs.items()
    } | dict(activity.spikes)
    for population in program.populations:
        sops = np.zeros((n_steps, 2), int)
        for group in program.into(population.name):
            fired = sent[group.source].reshape(n_steps, batch, -1) != 0
            for source, weight in single_synapses(group.kind, program.shape(group.source), population.shape):
                sops[:, 0] += fired[:, :, source].sum(axis=1) * (weight != 0)
                sops[:, 1] += fired[:, :, source].sum(axis=1)
        events = activity.events[population.name]
        assert np.array_equal(events.sops, sops[:, 0])
        assert np.array_equal(events.sops_with_zeros, sops[:, 1])
        assert events.n_updates == n_steps * batch * population.n_neurons


def single_synapses(kind: Kind, source: tuple[int, ...], target: tuple[int, ...]) -> list[tuple[int, int]]:
    """(source neuron, weight) of each synapse, one by one."""
    match kind:
        case Dense(weights=weights):
            return [(j, int(weights[i, j])) for i in range(weights.shape[0]) for j in range(weights.shape[1])]
        case Sparse():
            return list(zip(kind.columns.tolist(), kind.weights.tolist(), strict=True))
        case OneToOne(weights=weights):
            return list(enumerate(np.broadcast_to(weights, source).ravel().tolist()))
        case Wire():
            return []
        case Conv():
            return conv_synapses(kind, source, target)


def conv_synapses(kind: Conv, source: tuple[int, ...], target: tuple[int, ...]) -> list[tuple[int, int]]:
    c_out, c_in, k_h, k_w = kind.weights.shape
    found = []
    for o, y, x in np.ndindex(*target):
        group = o // (c_out // kind.window.groups)
        for c, i, j in np.ndindex(c_in, k_h, k_w):
            row = y * kind.window.stride[0] + i * kind.window.dilation[0] - kind.window.padding[0]
            column = x * kind.window.stride[1] + j * kind.window.dilation[1] - kind.window.padding[1]
            if 0 <= row < source[1] and 0 <= column < source[2]:
                channel = group * c_in + c
                neuron = (channel * source[1] + row) * source[2] + column
                found.append((neuron, int(kind.weights[o, c, i, j])))
    return found


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_equals_the_definition() -> None:
    for seed in range(30):
        program, inputs, n_steps = case(seed)
        expected = run_definition(program, inputs, n_steps, TRACES)
        assert_same(expected, simulate(program, inputs, n_steps=n_steps, record=TRACES, device="cuda"))
