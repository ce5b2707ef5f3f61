"""Readouts of random programs against plain numpy on their traces; what says nothing; runs without input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import random_case

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import ints
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Input, Population, Program, Readout
from seamount.compile.program.readout import NO_ANSWER, QUANTITIES, Quantity, classes, readout_so_far
from seamount.compile.synapses.kinds import Dense, Synapses
from seamount.errors import InputError
from seamount.hardware_targets.simulator import simulate
from seamount.hardware_targets.simulator.simulate import Chunk, memory_needed


def by_hand(program: Program, activity: Activity) -> np.ndarray:
    """The readout from the traces, written as one would say it."""
    readout, arrival = program.readout, program.arrivals()
    assert readout is not None
    assert program.n_steps is not None
    window = slice(arrival[readout.population], arrival[readout.population] + program.n_steps)
    spikes = activity.spikes[readout.population][window].astype(np.int64)
    v = activity.v.get(readout.population, activity.spikes[readout.population])[window].astype(np.int64)
    if len(v) == 0:
        return np.zeros(v.shape[1:], np.int64)
    return {
        "count": (spikes != 0).sum(0),
        "sum": v.sum(0),
        "mean": v.sum(0),
        "max": v.max(0),
        "v": v[-1],
    }[readout.quantity]


@given(st.integers(0, 1 << 32), st.sampled_from(QUANTITIES))
@settings(max_examples=15)
def test_readouts_of_random_programs_are_those_of_their_traces(seed: int, quantity: Quantity) -> None:
    program, inputs, n_steps = random_case(seed)
    read = np.random.default_rng(seed).choice([p.name for p in program.populations])
    program = replace(program, readout=Readout(str(read), quantity))
    defined = run_definition(program, inputs, n_steps)
    expected = by_hand(program, defined)
    assert np.array_equal(defined.readout, expected)
    # whole, and in chunks of few steps
    for limit in (None, memory_needed(program, Chunk(1, 1, 1 << 20), ())):
        fast = simulate(program, inputs, n_steps=n_steps, memory_limit_bytes=limit)
        assert np.array_equal(fast.readout, expected), limit
        assert fast.readout is not None
        assert fast.readout.dtype == np.int64


def test_what_is_read_so_far_ends_in_the_readout() -> None:
    random = np.random.default_rng(0)
    spikes, v = random.integers(0, 2, (5, 3, 4)), random.integers(-(1 << 23), 1 << 23, (5, 3, 4))
    after = {q: readout_so_far(q, spikes, v) for q in QUANTITIES}
    assert all(read.shape == (5, 3, 4) for read in after.values())
    assert np.array_equal(after["max"][2], v[:3].max(0))
    assert np.array_equal(after["sum"][2], v[:3].sum(0))
    assert np.array_equal(after["count"][2], spikes[:3].sum(0))


def test_all_equal_is_no_answer_and_some_equal_are_the_first() -> None:
    read = np.array([[0, 0, 0], [5, 5, 5], [1, 2, 2], [2, 2, 1], [-3, -3, -4]])
    assert classes(read).tolist() == [NO_ANSWER, NO_ANSWER, 1, 0, 0]
    assert classes(np.zeros((2, 1))).tolist() == [0, 0]  # one value has nothing to be equal to


def test_a_program_that_biases_alone_drive_runs_without_input() -> None:
    # a fires at every third step (v = 200, 400, 600 > 500); b hears it with weights 3 and 5, times 64
    a = Lif(du=ints(4096), dv=ints(0), v_th_mant=ints(8), bias_mant=ints(200))
    b = Lif(du=ints(4096), dv=ints(0), v_th_mant=ints(1 << 17))
    program = Program(
        "alone",
        (),
        (Population("a", (1,), a), Population("b", (2,), b)),
        (Synapses("s", "a", "b", Dense(ints([[3], [5]]))),),
        Readout("b"),
        n_steps=8,
    )
    for run in (run_definition, simulate):
        for nothing in (None, {}):
            activity = run(program, nothing)
            assert (activity.n_steps, activity.n_samples) == (9, 1)
            assert activity.readout is not None
            assert activity.readout.tolist() == [[384, 640]]  # two spikes arrive within the window
            assert activity.predictions().tolist() == [1]
        with pytest.raises(
            InputError, match="alone: no input and no number of steps say how long it runs; pass n_st"
        ):
            run(replace(program, n_steps=None), None)
        assert run(replace(program, n_steps=None), None, n_steps=4).n_steps == 4


def test_without_a_number_of_steps_the_fill_is_not_read() -> None:
    # what arrives is below 0 from step 1 on; at step 0 v is 0, and no sample's
    neuron = Lif(du=ints(4096), dv=ints(4096), v_th_mant=ints(1 << 17))
    program = Program(
        "stream",
        (Input("x", (1,)),),
        (Population("p", (2,), neuron),),
        (Synapses("s", "x", "p", Dense(ints([[-3], [-5]]))),),
        Readout("p", "max"),
    )
    for run in (run_definition, simulate):
        activity = run(program, np.ones((4, 1, 1), np.int64))
        assert activity.readout is not None
        assert activity.readout.tolist() == [[-192, -320]]
