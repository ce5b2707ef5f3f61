"""Samples as a stream: the values of single samples, the costs of their windows, refusals where they would touch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import ints
from seamount.compile.pipeline import compile_graph
from seamount.compile.program.program import Input, Population, Program, Readout, Reset
from seamount.compile.program.streaming import sent_from, windows_of
from seamount.compile.synapses.kinds import Dense, OneToOne, Synapses
from seamount.config import TargetConfig
from seamount.distill.quantised import QuantisedStudent
from seamount.errors import Unsupported
from seamount.hardware_targets.agreement import compare_runs
from seamount.hardware_targets.simulator import simulate, simulate_stream
from seamount.hardware_targets.target import load_target
from seamount.models.zoo import build_student
from seamount.run.estimates import estimates

TRACES = ("spikes", "v", "u")


def program_of(arch: str, shape: tuple[int, ...], n_steps: int, **options: float) -> Program:
    torch.manual_seed(0)
    student = QuantisedStudent(build_student(arch, n_classes=10, input_shape=shape, n_steps=n_steps, **options))
    student.calibrate(torch.rand(4, *shape))
    return compile_graph(student.freeze().to_nir(), load_target("loihi1")).program


def images(program: Program, n: int) -> np.ndarray:
    shape = (n, *program.inputs[0].shape)
    still = np.random.default_rng(0).integers(0, 256, shape)
    return np.broadcast_to(still, (program.n_steps or 0, *shape))


@pytest.mark.parametrize(
    ("arch", "shape", "n_steps", "options"),
    [
        ("small", (1, 8, 8), 4, {}),
        ("resnet18", (3, 8, 8), 2, {"width": 0.0625}),
        ("vgg9", (3, 16, 16), 1, {"width": 0.125}),
    ],
)
def test_streamed_samples_are_bit_for_bit_those_that_run_alone(
    arch: str, shape: tuple[int, ...], n_steps: int, options: dict[str, float]
) -> None:
    program = program_of(arch, shape, n_steps, **options)
    inputs = images(program, 7)
    alone = simulate(program, inputs, record=TRACES)
    streamed = simulate_stream(program, inputs, record=TRACES)
    windows = windows_of(program, alone)
    found = compare_runs(program, ("single", windows), ("stream", streamed), whole=True)
    assert found.exact
    assert found.n_compared > 7 * n_steps * sum(p.n_neurons for p in program.populations)
    for name, events in streamed.events.items():
        single = windows.events[name]
        exact = ("n_spikes",) if sent_from(program)[name] is None else ("n_spikes", "sops", "sops_with_zeros")
        for what in exact:
            assert np.array_equal(getattr(events, what), getattr(single, what)), (name, what)
        assert events.n_updates == single.n_updates
        whole = alone.events[name]
        assert events.sops.sum() <= whole.sops.sum()
        assert events.sops.sum() == pytest.approx(single.sops.sum(), rel=0.1)
    assert np.array_equal(streamed.predictions(), alone.predictions())


def test_operations_from_different_depths_are_those_of_each_sources_window() -> None:
    """a, which its bias makes fire outside of its window, and b behind it both lead to c, by 1 and by 40 synapses."""
    random = np.random.default_rng(0)

    def cell(threshold: int, bias: int = 0) -> Lif:
        return Lif(ints(4096), ints(0), ints(threshold), bias_mant=ints(bias), bias_exp=ints(6))

    to_b, to_c = 2 * random.integers(-20, 30, (40, 40)), 2 * random.integers(0, 30, (40, 40))
    program = Program(
        "skip",
        (Input("in", (20,)),),
        (
            Population("a", (40,), cell(100, bias=90), Reset(4, 2)),
            Population("b", (40,), cell(300), Reset(4, 3)),
            Population("c", (40,), cell(400), Reset(4, 4)),
        ),
        (
            Synapses("in", "in", "a", Dense(ints(2 * random.integers(-20, 40, (40, 20))))),
            Synapses("a>b", "a", "b", Dense(ints(to_b))),
            Synapses("b>c", "b", "c", Dense(ints(to_c))),
            Synapses("skip", "a", "c", OneToOne(ints(60)), delay=ints(1)),
        ),
        Readout("c", "count"),
        4,
    )
    run = simulate(program, (random.random((4, 9, 20)) < 0.3).astype(int), record=("spikes",))
    a, b = (int(run.spikes[name][start : start + 4].sum()) for name, start in (("a", 1), ("b", 2)))
    assert int(run.spikes["a"].sum()) > a
    by_b = int((run.spikes["b"][2:6].sum(axis=(0, 1)) * (to_c != 0).sum(axis=0)).sum())
    found = windows_of(program, run).events["c"]
    assert found.sops.sum() == pytest.approx(a + by_b)
    assert found.sops_with_zeros.sum() == pytest.approx(a + 40 * b)
    unrecorded = windows_of(program, replace(run, spikes={})).events["c"]
    assert unrecorded.sops.sum() == pytest.approx(a + by_b, rel=0.01)


def test_a_stream_answers_without_traces_and_fills_short_samples_with_silence() -> None:
    program = program_of("small", (1, 8, 8), 4, width=0.25)
    inputs = images(program, 5)[:1]  # a pulse at the first step
    streamed = simulate_stream(program, inputs)
    assert not streamed.spikes
    assert np.array_equal(streamed.readout, simulate(program, inputs).readout)
    assert (streamed.n_steps, streamed.n_samples) == (4, 5)


def test_what_would_touch_is_refused_and_so_is_a_pause() -> None:
    program = program_of("small", (1, 8, 8), 4, width=0.25)
    inputs = images(program, 2)
    for n_steps, words in ((5, "the reset interval 4 is shorter than a sample of 5 steps"), (2, "every 4 steps, a")):
        with pytest.raises(Unsupported, match=f"{program.name}: cannot be streamed: .*{words}"):
            simulate_stream(program.with_(n_steps=n_steps), inputs[:2])
    looped = program_of("recurrent", (12,), 3)
    with pytest.raises(Unsupported, match="feedback is never reset"):
        simulate_stream(looped, np.zeros((3, 1, 12), int))
    first, *rest = program.populations
    unaligned = program.with_(populations=(replace(first, reset=replace(first.reset, offset=3)), *rest))
    with pytest.raises(Unsupported, match="is reset at offset 3 of 4"):
        simulate_stream(unaligned, inputs)


def test_an_inference_is_priced_by_its_windows_where_samples_can_be_streamed_and_runs_are_whole() -> None:
    program, target = program_of("small", (1, 8, 8), 2, width=0.25), load_target("loihi1")
    run = simulate(program, images(program, 3), record=TRACES)
    priced = estimates(program, target, TargetConfig(), run, run)
    assert priced.energy is not None
    assert priced.single is not None
    assert priced.energy.n_steps == 2
    assert priced.single.n_steps == program.steps_per_run()
    assert priced.energy.counts.n_sops <= priced.single.counts.n_sops
    cut = simulate(program, images(program, 3), n_steps=3, record=TRACES)
    short = estimates(program, target, TargetConfig(), cut, cut)
    assert short.single is None
    assert short.reasons["streaming"] == "the run ends before a sample has left every population"
