"""What a caller of the simulator meets: choices, refusals, and the place where two runs part."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import triton

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.arithmetic.inputs import check_inputs
from seamount.compile.neurons.delta import Delta
from seamount.compile.neurons.graded_vec import GradedVec
from seamount.compile.neurons.lif import Lif
from seamount.compile.neurons.rf import Rf
from seamount.compile.neurons.sigma_delta import SigmaDelta
from seamount.compile.numbers import ints
from seamount.compile.program.activity import Activity
from seamount.compile.program.activity_file import load_activity, save_activity
from seamount.compile.program.difference import first_difference
from seamount.compile.program.program import Input, Population, Program, Readout
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Synapses, Wire
from seamount.errors import BackendMissing, ConfigError, InputError
from seamount.hardware_targets.simulator import simulate
from seamount.windows import Window


def two_layers() -> Program:
    # threshold 10 << 6; du = 4096 forgets the current, dv = 0 keeps the potential: v counts weights
    counting = Lif(ints(4096), ints(0), ints(10))
    return Program(
        "two",
        (Input("x", (2,)),),
        (Population("hidden", (2,), counting), Population("out", (1,), counting)),
        (
            Synapses("first", "x", "hidden", Dense(ints([[11, 0], [6, 5]]))),
            Synapses("second", "hidden", "out", Dense(ints([[8, 8]]))),
        ),
        Readout("out", "count"),
        n_steps=3,
    )


def test_a_hand_worked_run() -> None:
    # hidden 0: 11 > 10 whenever x0 fires. hidden 1: 6 + 5 = 11, then 6 (x0), then 6 (x0) again = 12 > 10.
    # out: 16 > 10, then 8, then 8 + 16 = 24
    x = np.array([[[1, 1]], [[1, 0]], [[1, 0]]])
    activity = simulate(two_layers(), x, record=("spikes", "v"))
    assert activity.n_steps == 5
    assert activity.spikes["hidden"][:, 0].tolist() == [[0, 0], [1, 1], [1, 0], [1, 1], [0, 0]]
    assert activity.spikes["out"][:, 0, 0].tolist() == [0, 0, 1, 0, 1]
    assert activity.v["out"][:, 0, 0].tolist() == [0, 0, 0, 512, 0]
    assert activity.readout.tolist() == [[2]]
    assert activity.predictions().tolist() == [0]


def test_only_the_populations_asked_for_are_recorded_and_counts_always() -> None:
    activity = simulate(two_layers(), np.ones((3, 2, 2), int), record=("v",), populations=["out"])
    assert set(activity.v) == {"out"}
    assert not activity.spikes
    assert set(activity.spike_counts) == set(activity.events) == {"hidden", "out"}


def test_bool_torch_and_whole_float_inputs_mean_the_same() -> None:
    x = np.array([[[1, 1]], [[1, 0]], [[0, 1]]])
    runs = [simulate(two_layers(), y, record=("v",)) for y in (x, x.astype(bool), x.astype(float), torch.tensor(x))]
    for run in runs[1:]:
        assert first_difference(runs[0], run) is None


@pytest.mark.parametrize("bits", [0, 8])
def test_a_neuron_and_an_input_without_an_axis_run(bits: int) -> None:
    neuron = Lif(ints(4096), ints(0), ints(1 << 17))
    synapses = Synapses("s", "x", "n", Dense(ints([[5]])), graded=bits > 0)
    program = Program("p", (Input("x", (), bits),), (Population("n", (), neuron),), (synapses,))
    run = simulate(program, np.array([[1, 0], [1, 1], [0, 1]]), record=("v",), n_steps=4)
    # 64 * 5 a spike, a step later
    assert run.v["n"].tolist() == [[0, 0], [320, 0], [640, 320], [640, 640]]


def test_a_still_image_is_the_same_step_by_step() -> None:
    random = np.random.default_rng(0)
    kind = Conv(ints(random.integers(-99, 99, (4, 3, 3, 3))), Window(padding=(1, 1)))
    program = Program(
        "image",
        (Input("x", (3, 6, 5), bits=8),),
        (Population("n", (4, 6, 5), Lif(ints(4096), ints(500), ints(9000))),),
        (Synapses("s", "x", "n", kind, graded=True),),
    )
    image = random.integers(0, 256, (1, 2, 3, 6, 5))
    still = simulate(program, np.repeat(image, 9, axis=0), record=("v", "spikes"))
    flickering = np.repeat(image, 9, axis=0)
    flickering[4] = 0
    other = simulate(program, flickering, record=("v", "spikes"))
    assert np.array_equal(still.v["n"][:5], other.v["n"][:5])
    assert first_difference(still, other).step == 5


@pytest.mark.parametrize("n_frames", [1, 3])
def test_what_delta_neurons_alone_hear_keeps_its_last_frame(n_frames: int) -> None:
    x = np.array([5, 0, 3])[:n_frames].reshape(-1, 1, 1)
    delta, integrator = Population("d", (1,), Delta()), Population("l", (1,), Lif(ints(4096), ints(0), ints(1 << 17)))
    alone = Program("a", (Input("x", (1,), 8),), (delta,), (Synapses("w", "x", "d", Wire()),))
    beside = Synapses("s", "x", "l", OneToOne(ints(1)), graded=True)
    both = alone.with_(populations=(delta, integrator), synapses=(*alone.synapses, beside))
    for run in (simulate, run_definition):
        sent = [run(p, x, n_steps=5, record=("spikes",)).spikes["d"].ravel().tolist() for p in (alone, both)]
        assert sent == (
            [[5, 0, 0, 0, 0], [5, -5, 0, 0, 0]] if n_frames == 1 else [[5, -5, 3, 0, 0], [5, -5, 3, -3, 0]]
        )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"record": ("w",)}, ConfigError, "record: w does not exist, possible are spikes, v, u, drive, states"),
        ({"populations": ["n"]}, ConfigError, "populations: n does not exist, two has hidden, out"),
        ({"device": "abacus"}, ConfigError, "device 'abacus' does not exist; cpu and cuda are possible"),
        ({"device": None}, ConfigError, "device None does not exist; cpu and cuda are possible"),
        ({"n_steps": 4.0}, InputError, "two: 4.0 steps asked for, a whole number is possible"),
        ({"memory_limit_bytes": "x"}, ConfigError, "memory limit: 'x', a whole number of bytes is possible"),
        ({"n_steps": True}, InputError, "two: True steps asked for, a whole number is possible"),
        ({"device": "meta"}, ConfigError, "device 'meta' cannot be used; cpu and cuda are possible"),
        (
            {"memory_limit_bytes": 100},
            ConfigError,
            "memory limit: two needs 281 bytes for one step of one sample, 100 are allowed; allow more",
        ),
    ],
)
def test_options_that_do_not_exist_are_named(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as refused:
        simulate(two_layers(), np.ones((3, 1, 2), int), **options)
    assert str(refused.value) == message


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_gpu_is_named() -> None:
    with pytest.raises(BackendMissing) as refused:
        simulate(two_layers(), np.ones((3, 1, 2), int), device="cuda")
    assert str(refused.value) == "cuda: this torch finds no CUDA device; use --device cpu"


def test_a_gpu_without_a_compiler_is_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoCompiler:
        @property
        def active(self) -> None:
            raise RuntimeError("Failed to find C compiler. Please specify via CC environment variable.")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(triton.runtime, "driver", NoCompiler())
    with pytest.raises(BackendMissing) as refused:
        simulate(two_layers(), np.ones((3, 1, 2), int), device="cuda")
    assert str(refused.value) == (
        "cuda: Triton cannot make code for the GPU (Failed to find C compiler. Please specify via CC environment "
        "variable.); install gcc or clang, or set CC to a C compiler; or set TRITON_CACHE_DIR to a folder that can "
        "be written; or use the device cpu"
    )


def test_an_input_out_of_range_is_refused_not_clipped() -> None:
    with pytest.raises(InputError) as refused:
        simulate(two_layers(), np.full((3, 1, 2), 7))
    assert str(refused.value) == ("input x: values 7 to 7 found, 0 to 1 are possible (spikes); nothing is clipped")


# -------------------------------------------------------------------------------------------- where runs part


def changed(activity: Activity) -> Activity:
    v = {name: x.copy() for name, x in activity.v.items()}
    v["out"][3, 1, 0] += 1
    return replace(activity, states={**activity.states, "v": v})


def test_equal_runs_do_not_part() -> None:
    run = simulate(two_layers(), np.ones((3, 2, 2), int), record=("v", "u", "spikes", "drive"))
    assert first_difference(run, run) is None


def test_the_first_difference_is_shown_with_what_is_around_it() -> None:
    x = np.array([[[1, 1]], [[1, 0]], [[1, 0]]]).repeat(2, axis=1)
    run = simulate(two_layers(), x, record=("v", "u", "spikes", "drive"))
    found = first_difference(run, changed(run))
    assert found is not None
    assert (found.step, found.sample, found.population, found.neuron, found.trace) == (3, 1, "out", (0,), "v")
    assert str(found) == (
        "out[0], sample 1: v differs first at step 3 (in all 1 of v; 120 values compared)\n"
        "      step         0         1         2         3         4\n"
        "   drive a         0         0        16         8        16\n"
        "   drive b         0         0        16         8        16\n"
        "       u a         0         0      1024       512      1024\n"
        "       u b         0         0      1024       512      1024\n"
        "       v a         0         0         0       512         0\n"
        "       v b         0         0         0       513         0\n"
        "  spikes a         0         0         1         0         1\n"
        "  spikes b         0         0         1         0         1"
    )


def test_of_a_sample_only_its_own_steps_are_compared(tmp_path: Path) -> None:
    x = np.array([[[1, 1]], [[1, 0]], [[1, 0]]]).repeat(2, axis=1)
    run = simulate(two_layers(), x, record=("v",))
    outside, inside = ({"hidden": (0, 3), "out": (first, 3)} for first in (0, 2))
    found = [first_difference(replace(run, windows=w), replace(changed(run), windows=w)) for w in (outside, inside)]
    assert found[0] is None
    assert found[1] is not None
    assert (found[1].step, found[1].n_compared) == (3, 3 * 2 * 3)
    save_activity(replace(run, windows=inside), tmp_path / "run.npz")
    assert load_activity(tmp_path / "run.npz").windows == inside


def test_runs_without_a_common_trace_cannot_be_compared() -> None:
    x = np.ones((3, 1, 2), int)
    with pytest.raises(InputError) as refused:
        first_difference(simulate(two_layers(), x, record=("v",)), simulate(two_layers(), x, record=("u",)))
    assert str(refused.value) == (
        "the runs recorded nothing in common; record spikes or states of the same populations in both"
    )


def test_runs_of_different_length_cannot_be_compared() -> None:
    x = np.ones((3, 1, 2), int)
    with pytest.raises(InputError) as refused:
        first_difference(
            simulate(two_layers(), x, record=("v",)), simulate(two_layers(), x, record=("v",), n_steps=7)
        )
    assert str(refused.value) == "runs of 5 and 7 steps, 1 and 1 samples cannot be compared"


def test_steps_in_which_nothing_is_sent_give_what_the_definition_gives() -> None:
    # a map that moves in two of twelve steps of the first sample, and never in the second
    program = Program(
        "still",
        (Input("x", (1, 5, 5), 8, signed=True),),
        (Population("conv", (2, 3, 3), SigmaDelta(ints(3))), Population("out", (4,), SigmaDelta(ints(2)))),
        (
            Synapses("a", "x", "conv", Conv(ints(np.arange(18).reshape(2, 1, 3, 3) - 7), Window()), graded=True),
            Synapses("b", "conv", "out", Dense(ints(np.arange(72).reshape(4, 18) % 9)), graded=True, delay=ints(1)),
        ),
        Readout("out", "sum"),
    )
    x = np.zeros((12, 2, 1, 5, 5), int)
    x[0, 0], x[7, 0] = 5, -3
    recorded = ("spikes", "drive", "sigma")
    fast, slow = simulate(program, x, record=recorded), run_definition(program, x, record=recorded)
    for name in ("conv", "out"):
        assert fast.spikes[name].any()
        assert np.array_equal(fast.spikes[name], slow.spikes[name])
        assert np.array_equal(fast.drive[name], slow.drive[name])
        assert np.array_equal(fast.states["sigma"][name], slow.states["sigma"][name])


def test_drives_of_neurons_with_several_are_recorded_one_beside_the_other() -> None:
    resonator = Rf(ints(100), ints(4000), ints(64))
    program = Program(
        "turning",
        (Input("x", (1,)),),
        (Population("r", (1,), resonator), Population("g", (1,), GradedVec(ints(1)))),
        (
            Synapses("a", "x", "r", Dense(ints([[3]])), drive="real"),
            Synapses("b", "x", "r", Dense(ints([[4]])), drive="imag"),
            Synapses("c", "r", "g", Dense(ints([[5]]))),
        ),
    )
    x = np.ones((3, 1, 1), int)
    for run in (simulate, run_definition):
        found = run(program, x, record=("drive",)).drive
        assert found["r"].shape == (3, 1, 2, 1)
        # a spike arrives a step later
        assert found["r"].reshape(3, 2).tolist() == [[0, 0], [3, 4], [3, 4]]
        assert found["g"].shape == (3, 1, 1)
    assert set(simulate(program, x, record=("drive",), populations=["g"]).drive) == {"g"}


def test_real_numbers_and_standing_images_take_little_memory_beside_them() -> None:
    x = np.zeros((4096, 1, 2048), np.float32)
    net = Program("wide", (Input("in", (2048,)),), (Population("out", (1,), Lif(ints(4096), ints(0), ints(10))),), ())
    tracemalloc.start()
    (found,) = check_inputs(net, x, len(x)).values()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.dtype == np.uint8
    assert peak < x.nbytes
    still = check_inputs(net, np.broadcast_to(x[:1], (1 << 40, 1, 2048)), 1 << 40)["in"]
    assert (still.shape, still.strides[0]) == ((1 << 40, 1, 2048), 0)
    x[-1, 0, -1] = 0.5
    with pytest.raises(InputError, match=r"0\.5 found, whole numbers are possible"):
        check_inputs(net, x, len(x))
