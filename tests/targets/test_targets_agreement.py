"""Two computations compared value by value: windows, what only one side has, what a run leaves behind."""

from dataclasses import replace

import numpy as np

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import ints
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Input, Population, Program, Readout
from seamount.compile.synapses.kinds import Dense, Synapses
from seamount.hardware_targets.agreement import compare_runs, compare_student


def chain() -> Program:
    """Two populations: the first sees a sample at steps 1 and 2, the second at steps 2 and 3."""
    neuron = Lif(du=ints(4096), dv=ints(0), v_th_mant=ints(10))
    return Program(
        "chain",
        (Input("in", (2,)),),
        (Population("a", (2,), neuron), Population("b", (2,), neuron)),
        (
            Synapses("s", "in", "a", Dense(ints(np.eye(2)))),
            Synapses("t", "a", "b", Dense(ints(np.eye(2)))),
        ),
        n_steps=2,
    )


def run_of_chain() -> Activity:
    v = np.arange(16, dtype=np.int32).reshape(4, 2, 2)
    spikes = (v % 3 == 0).astype(np.uint8)
    return Activity(4, 2, spikes={"a": spikes, "b": spikes.copy()}, states={"v": {"a": v, "b": v.copy()}})


def test_equal_runs_are_bit_exact_and_count_only_their_own_steps() -> None:
    found = compare_runs(chain(), ("simulator", run_of_chain()), ("Lava", run_of_chain()))
    assert found.exact
    assert (found.n_samples, found.spikes_compared, found.membrane_compared) == (2, 16, 16)


def test_what_lies_outside_of_the_window_does_not_count_and_inside_does() -> None:
    other = run_of_chain()
    other.v["a"][0] += 1  # before the sample arrives at a
    assert compare_runs(chain(), ("x", run_of_chain()), ("y", other)).exact
    other.v["a"][2, 1, 0] += 1
    found = compare_runs(chain(), ("x", run_of_chain()), ("y", other))
    assert not found.exact
    assert found.membrane_differing == 1
    assert found.first_difference == "v of a, step 1, sample 1, neuron (0,): 10 against 11"


def test_a_population_that_only_one_side_recorded_is_a_difference() -> None:
    other = run_of_chain()
    del other.spikes["b"]  # type: ignore[attr-defined]
    found = compare_runs(chain(), ("x", run_of_chain()), ("y", other))
    assert not found.exact
    assert "spikes of b: (2, 2, 2) and nothing" in str(found)


def test_whole_runs_are_compared_in_every_step_and_in_what_they_leave() -> None:
    program = replace(chain(), readout=Readout("b", "count"))
    spikes = np.random.default_rng(0).integers(0, 2, (2, 3, 2))
    run = run_definition(program, spikes)
    counts = {name: n.copy() for name, n in run.spike_counts.items()}
    counts["b"][2, 1] += 1
    other = replace(run, spike_counts=counts)
    assert compare_runs(program, ("x", run), ("y", other)).exact
    found = compare_runs(program, ("x", run), ("y", other), whole=True)
    # u, spike counts, last u and v of a and b, and the readout
    assert (found.others_compared, found.others_differing) == (run.n_steps * 12 + 3 * 12 + 6, 1)
    n, there = run.n_steps * 12, int(counts["b"][2, 1])
    assert str(found) == (
        f"NOT bit-exact: x = y, 3 samples, 0 of {n} spikes and 0 of {n} membrane values differ, "
        f"1 of {found.others_compared} other values\n"
        f"first difference: spike_counts of b, sample 2, neuron (1,): {there - 1} against {there}"
    )
    assert compare_runs(program, ("x", run), ("y", run), whole=True).exact


def test_the_student_is_compared_with_the_window_of_its_program() -> None:
    run = run_of_chain()
    spikes = {"a": run.spikes["a"][1:3], "b": run.spikes["b"][2:4]}
    v = {"a": run.v["a"][1:3], "b": run.v["b"][2:4]}
    assert compare_student(chain(), spikes, v, run).exact
    assert not compare_student(chain(), spikes, v | {"b": v["a"]}, run).exact
