"""Single samples with neurons held outside their windows: the same values in them, fewer spikes, on Lava too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.neurons.lif import NEVER_FIRES, Lif
from seamount.compile.numbers import UNITY, ints
from seamount.compile.passes.one_by_one import one_by_one
from seamount.compile.pipeline import compile_graph
from seamount.compile.program.activity import Activity
from seamount.compile.program.file import load_program, save_program
from seamount.compile.program.program import Input, Population, Program, Readout, Reset
from seamount.compile.program.streaming import why_not_streamed
from seamount.compile.synapses.kinds import Dense, Sparse, Synapses
from seamount.errors import Unsupported
from seamount.hardware_targets.agreement import compare_runs, sample_windows
from seamount.hardware_targets.lava import lava_status, run_on_lava
from seamount.hardware_targets.simulator import simulate
from seamount.models.export import to_nir
from seamount.models.zoo import build_student

TRACES = ("spikes", "v", "u")
STATUS = lava_status(try_it=False)
N_STEPS = 2


def chain(depth: int, *, dv: int, biases: tuple[int, ...], du: int = UNITY) -> Program:
    """Populations in a row, each reset when a sample arrives; the last one is read."""
    names = [f"p{i}" for i in range(depth)]
    neuron = Lif(ints(du), ints(dv), ints(10), bias_mant=ints(np.array(biases) << 6))
    readout = Lif(ints(UNITY), ints(0), ints(NEVER_FIRES))
    populations = [
        Population(name, (len(biases),), readout if i == depth - 1 else neuron, Reset(N_STEPS, (i + 2) % 2 or 2))
        for i, name in enumerate(names)
    ]
    weights = Dense(ints(np.eye(len(biases), dtype=int) * 4))
    synapses = [
        Synapses(f"s{i}", source, target, weights)
        for i, (source, target) in enumerate(zip(("in", *names[:-1]), names, strict=True))
    ]
    entry = Input("in", (len(biases),))
    return Program("chain", (entry,), tuple(populations), tuple(synapses), Readout(names[-1], "v"), N_STEPS)


def both(program: Program, inputs: np.ndarray) -> tuple[Activity, Activity]:
    """The program and its other form; equal in all windows, or the test fails."""
    held = one_by_one(program)
    plain = simulate(program, inputs, record=TRACES)
    found = simulate(held, inputs, record=TRACES, populations=[p.name for p in program.populations])
    agreement = compare_runs(program, ("plain", plain), ("held", found))
    assert (agreement.n_differing, agreement.first_difference) == (0, None)
    assert agreement.exact
    defined = run_definition(held, inputs, held.steps_per_run(), TRACES)
    whole = compare_runs(held, ("definition", defined), ("simulator", simulate(held, inputs, record=TRACES)))
    assert whole.exact
    return plain, found


def outside(program: Program, run: Activity) -> int:
    """Spikes of the program's populations outside the steps in which they answer."""
    windows = sample_windows(program, run.n_steps)
    inside = sum(int(run.spikes[name][start : start + n].sum()) for name, (start, n) in windows.items())
    return sum(int(run.spikes[name].sum()) for name in windows) - inside


@pytest.mark.parametrize(
    ("depth", "dv", "du", "n_stopped"),
    [
        (4, 0, UNITY, 2),
        # a quarter is left after each step, so that a pulse has to come again; 6 never adds up to 10
        (8, 3072, UNITY, 1),
        # what is left of u may make any neuron fire
        (5, 1024, 2048, 3),
    ],
)
def test_neurons_are_silent_outside_their_windows(depth: int, dv: int, du: int, n_stopped: int) -> None:
    # 12 is above the threshold of 10 at once, 6 by and by, -3 never
    program = chain(depth, dv=dv, du=du, biases=(12, 6, -3))
    inputs = np.random.default_rng(0).integers(0, 2, (N_STEPS, 5, 3))
    plain, held = both(program, inputs)
    assert outside(program, plain) > 50
    assert outside(program, held) == 0
    stop = one_by_one(program).population("stop")
    assert stop.n_neurons == depth - 1
    first = next(s for s in one_by_one(program).synapses if s.name == "stop->p0")
    assert isinstance(first.kind, Sparse)
    assert len(first.kind.weights) == n_stopped


def test_what_cannot_be_held_fires_on_and_changes_no_value() -> None:
    program = chain(4, dv=UNITY, biases=(12, -3))
    inputs = np.random.default_rng(0).integers(0, 2, (N_STEPS, 3, 2))
    plain, held = both(program, inputs)
    # filling remains; behind the window it is stopped step by step
    assert 0 < outside(program, held) < outside(program, plain)


def test_it_is_refused_where_something_would_be_seen_of_before() -> None:
    program = chain(3, dv=0, biases=(1,))
    first, *rest = program.populations
    loose = program.with_(populations=(Population(first.name, first.shape, first.neuron), *rest))
    with pytest.raises(Unsupported, match="chain: neurons cannot be held outside their windows: not all populations"):
        one_by_one(loose)
    # and what it makes is for single samples alone
    assert why_not_streamed(one_by_one(program)) is not None


def test_a_new_population_takes_no_name_that_is_there() -> None:
    program = chain(3, dv=0, biases=(12,))
    named = program.with_(
        inputs=(Input("stop", (1,)),),
        synapses=tuple(
            Synapses(s.name, "stop", s.target, s.kind) if s.source == "in" else s for s in program.synapses
        ),
    )
    assert one_by_one(named).populations[-1].name == "stop_"


@pytest.fixture(scope="module")
def student_program() -> Program:
    torch.manual_seed(0)
    student = build_student("small", n_classes=10, input_shape=(1, 8, 8), n_steps=N_STEPS, width=0.5)
    with torch.no_grad():
        student(torch.rand(8, 1, 8, 8))
        for module in student.modules():
            if isinstance(module, torch.nn.BatchNorm2d):  # so that biases make neurons fire
                module.weight.fill_(2.0)
                module.bias.uniform_(0.0, 2.0)
    return compile_graph(to_nir(student.eval())).program


def images(program: Program, n: int) -> np.ndarray:
    still = np.random.default_rng(0).integers(0, 256, (n, *program.inputs[0].shape))
    return np.repeat(still[None], N_STEPS, axis=0)


def test_a_student_is_silent_outside_its_windows_and_its_file_keeps_that(
    student_program: Program, tmp_path: Path
) -> None:
    plain, held = both(student_program, images(student_program, 4))
    assert outside(student_program, plain) > 1000
    assert outside(student_program, held) == 0
    assert np.array_equal(plain.readout, held.readout)
    save_program(one_by_one(student_program), tmp_path / "one.h5")
    again = simulate(load_program(tmp_path / "one.h5"), images(student_program, 4))
    assert np.array_equal(again.readout, held.readout)


@pytest.mark.lava
@pytest.mark.skipif(not STATUS.present, reason=STATUS.message)
def test_lava_gives_the_same_values(student_program: Program) -> None:
    program = one_by_one(student_program)
    inputs = images(program, 2)
    simulated = simulate(program, inputs, record=TRACES)
    agreement = compare_runs(
        program, ("simulator", simulated), ("Lava", run_on_lava(program, inputs, record=TRACES)), whole=False
    )
    assert (agreement.n_differing, agreement.first_difference) == (0, None)
    assert agreement.spikes_compared > 1000
