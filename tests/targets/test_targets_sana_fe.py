"""A second opinion from SANA-FE: what it is shown, what is made of its answer, and the answer itself where it is."""

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seamount.compile.fit.place import Assignment, Placement, Tile, place, validate_placement
from seamount.compile.neurons.lif import NEVER_FIRES, Lif
from seamount.compile.neurons.relay import Relay
from seamount.compile.neurons.ternary_lif import TernaryLif
from seamount.compile.numbers import ints
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Input, Population, Program
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Sparse, Synapses, Wire
from seamount.errors import BackendMissing, ConfigError, Unsupported
from seamount.hardware_targets.energy import estimate_energy
from seamount.hardware_targets.sana_fe import Opinion, require_sana_fe, second_opinion
from seamount.hardware_targets.sana_fe import replay as replaying
from seamount.hardware_targets.sana_fe.installed import TESTED
from seamount.hardware_targets.sana_fe.opinion import compared, few_samples, run_job, time_limit_s, write_job
from seamount.hardware_targets.sana_fe.replay import Replay, core_of, make_replay
from seamount.hardware_targets.simulator import simulate
from seamount.hardware_targets.target import load_target
from seamount.windows import Window

LOIHI1, LOIHI2 = load_target("loihi1"), load_target("loihi2")
PICO = 1e-12
# fires where the weights that arrive in a step add up to more than 64; forgets everything else
LIF = Lif(du=ints(4096), dv=ints(4096), v_th_mant=ints(64))


def installed() -> bool:
    try:
        require_sana_fe()
    except BackendMissing:
        return False
    return True


needs_sana_fe = pytest.mark.skipif(not installed(), reason=f"SANA-FE is not installed: pip install sanafe=={TESTED}")


def by_hand() -> tuple[Program, np.ndarray]:
    """Two inputs, two neurons, one that is read; three steps of two samples."""
    made = Program(
        name="by hand",
        inputs=(Input("x", (2,)),),
        populations=(
            Population("hidden", (2,), LIF),
            Population("out", (1,), replace(LIF, v_th_mant=ints(NEVER_FIRES), bias_mant=ints(5))),
        ),
        synapses=(
            Synapses("first", "x", "hidden", Dense(ints([[100, 0], [40, 40]]))),
            Synapses("last", "hidden", "out", Dense(ints([[20, 20]]))),
        ),
    )
    # x[0] has two synapses, x[1] one; hidden[0] fires a step after x[0], hidden[1] after both at once
    first = [[1, 0], [1, 1], [0, 0]]
    second = [[0, 1], [0, 1], [1, 1]]
    return made, np.array([first, second]).swapaxes(0, 1)


def placed(made: Program, x: np.ndarray) -> tuple[Activity, Placement]:
    activity = simulate(made, x, n_steps=len(x), record=("spikes", "v"))
    return activity, place(made, LOIHI1, activity=activity)


def replayed(made: Program, x: np.ndarray, placement: Placement | None = None) -> Replay:
    activity, own = placed(made, x)
    return make_replay(made, {i.name: x for i in made.inputs}, activity, placement or own, LOIHI1)


def test_samples_follow_each_other_and_only_weights_that_are_not_zero_connect() -> None:
    made, x = by_hand()
    inputs, hidden, out = replayed(made, x).senders
    assert inputs.fired.tolist() == [[1, 0], [1, 1], [0, 0], [0, 1], [0, 1], [1, 1]]
    assert hidden.fired.tolist() == [[0, 0], [1, 0], [1, 1], [0, 0], [0, 0], [0, 0]]
    assert inputs.awake is None
    assert hidden.awake is not None
    # hidden[1] holds 40 << 6 after one x alone: it is awake in the step after
    assert hidden.awake.tolist() == [[0, 0], [0, 0], [0, 1], [0, 0], [0, 0], [0, 1]]
    assert out.awake is not None
    assert out.awake.all(), "a neuron with a bias is updated at every step"
    first, last = replayed(made, x).bundles
    assert sorted(zip(first.sources.tolist(), first.targets.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 1)]
    assert (last.sources.tolist(), last.targets.tolist()) == ([0, 1], [0, 0])


def test_synapses_of_neurons_that_never_fire_are_left_out() -> None:
    made, x = by_hand()
    silent = x * [1, 0]
    first, last = replayed(made, silent).bundles
    assert first.sources.tolist() == [0, 0]
    assert last.sources.tolist() == [0]


def test_values_of_an_input_that_is_relayed_count_as_spikes_and_wires_as_nothing() -> None:
    made = Program(
        name="relayed",
        inputs=(Input("image", (2,), bits=8),),
        populations=(Population("relay", (2,), Relay()), Population("hidden", (2,), LIF)),
        synapses=(
            Synapses("wire", "image", "relay", Wire(), graded=True),
            Synapses("one", "relay", "hidden", OneToOne(ints(1)), graded=True),
        ),
    )
    found = replayed(made, np.array([[[0, 7]], [[255, 0]]]))
    assert [one.name for one in found.senders] == ["relay", "hidden"]
    assert found.senders[0].fired.tolist() == [[0, 1], [1, 0]]
    assert [(b.source, b.target, b.encoding) for b in found.bundles] == [(0, 1, "sparse")]


def test_cores_are_counted_along_the_rows_here_and_down_the_columns_there() -> None:
    # our tiles 0, 1, 8 stand at (column, row) (0, 0), (1, 0), (0, 1); theirs of the same places are 0, 4, 1
    assert [core_of(core) for core in (0, 3, 4, 32, 127)] == [0, 3, 16, 4, 127]
    assert sorted(map(core_of, range(128))) == list(range(128))


def test_inputs_stand_on_cores_that_the_program_leaves_free() -> None:
    n = 600
    made = Program(
        "wide",
        (Input("x", (n,)),),
        (Population("hidden", (1,), LIF),),
        (Synapses("all", "x", "hidden", Dense(ints(np.full((1, n), 2)))),),
    )
    found = replayed(made, np.ones((2, 1, n), np.int64))
    inputs, hidden = found.senders
    assert np.bincount(inputs.cores).max() <= replaying.INPUTS_PER_CORE
    assert not set(inputs.cores.tolist()) & set(hidden.cores.tolist())


# ------------------------------------------------------------------------------------------------------- refusals


def test_neurons_that_its_loihi_has_not_are_named() -> None:
    made, x = by_hand()
    signed = TernaryLif(du=ints(4096), dv=ints(4096), v_th_hi_mant=ints(64), v_th_lo_mant=ints(-64))
    others = replace(made, populations=(replace(made.populations[0], neuron=signed), made.populations[1]))
    activity, placement = placed(made, x)
    with pytest.raises(Unsupported) as caught:
        make_replay(others, {"x": x}, activity, placement, LOIHI1)
    assert str(caught.value) == "hidden: TernaryLif neurons, SANA-FE's Loihi has LIF neurons with spikes of one bit"


def test_another_chip_and_several_chips_are_refused() -> None:
    made, x = by_hand()
    activity, placement = placed(made, x)
    with pytest.raises(Unsupported, match=r"SANA-FE: loihi2 is another chip, its only Loihi has 128 cores of 1,024"):
        make_replay(made, {"x": x}, activity, placement, LOIHI2)
    apart = [Assignment(0, 0, (Tile("hidden", ((0, 2),)),)), Assignment(1, 0, (Tile("out", ((0, 1),)),))]
    two = validate_placement(made, apart, LOIHI1, activity=activity)
    with pytest.raises(Unsupported, match="SANA-FE: the network takes 2 chips, its Loihi is one"):
        make_replay(made, {"x": x}, activity, two, LOIHI1)


def test_more_than_it_can_keep_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made, x = by_hand()
    monkeypatch.setattr(replaying, "MOST_CONNECTIONS", 4)
    with pytest.raises(Unsupported, match=r"SANA-FE: 5 synapses carry spikes, .* at most 4 are tried"):
        replayed(made, x)


def test_more_inputs_than_free_cores_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made, x = by_hand()
    monkeypatch.setattr(replaying, "N_CORES", 1)
    with pytest.raises(Unsupported, match="SANA-FE: 2 inputs, the 0 cores that are left hold 0"):
        replayed(made, x)


def test_few_samples_are_shown_of_a_long_run() -> None:
    made, x = by_hand()
    activity, _ = placed(made, np.repeat(x, 50, axis=1))
    assert activity.n_samples == 100
    assert few_samples(activity) == 16
    # 3 million operations a sample, of which 20 million are replayed
    busy = replace(activity.events["hidden"], sops=np.full(3, 100_000_000))
    assert few_samples(replace(activity, events={"hidden": busy})) == 6


@pytest.mark.parametrize(
    ("version", "usable"), [("2.2.9", True), ("2.2.10", True), ("2.2.8", False), ("2.3.0", False)]
)
def test_another_version_is_refused(version: str, usable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    if usable:
        assert require_sana_fe() == version
        return
    with pytest.raises(BackendMissing) as caught:
        require_sana_fe()
    assert str(caught.value) == (
        f"SANA-FE: version {version}, needed is 2.2.9 or a later one of its series; pip install sanafe==2.2.9"
    )


@pytest.mark.parametrize("text", ["soon", "0", "nan", "inf", "1e10"])
def test_a_time_limit_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEAMOUNT_SANA_FE_SECONDS", text)
    with pytest.raises(ConfigError, match=f"SEAMOUNT_SANA_FE_SECONDS: '{text}' is no time limit"):
        time_limit_s()


@pytest.mark.parametrize(
    ("package", "limit_s", "told"),
    [
        (
            "raise RuntimeError('no chip today')",
            900,
            "SANA-FE: its process ended with code 1: RuntimeError: no chip today",
        ),
        ("import os; os.abort()", 900, "SANA-FE: its process ended with code -6"),
        (
            "import time; time.sleep(60)",
            0.5,
            "SANA-FE: not done within 0.5 s; allow more with SEAMOUNT_SANA_FE_SECONDS",
        ),
    ],
)
def test_a_process_that_fails_says_why(
    package: str, limit_s: float, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sanafe.py").write_text(package)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "job").mkdir()
    with pytest.raises(BackendMissing) as caught:
        run_job(tmp_path / "job", limit_s)
    assert str(caught.value).startswith(told)


STARTS = """
import sys
from pathlib import Path
from seamount.hardware_targets.sana_fe.opinion import run_job
run_job(Path(sys.argv[1]), 900.0)
"""

WORKS = """
import os, time
open("../new", "w").write(str(os.getpid()))
os.rename("../new", "../pid")
time.sleep(900)
"""


def test_its_process_and_folder_end_with_who_started_it(tmp_path: Path) -> None:
    (tmp_path / "sanafe.py").write_text(WORKS)
    job, told = tmp_path / "job", tmp_path / "pid"
    job.mkdir()
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    with subprocess.Popen([sys.executable, "-c", STARTS, job], env=environment) as parent:
        assert _in_time(lambda: told.exists() or parent.poll() is not None)
        parent.kill()
    pid = int(told.read_text())
    try:
        assert _in_time(lambda: not job.exists() and not _runs(pid))
    finally:
        if _runs(pid):
            os.kill(pid, signal.SIGKILL)


def _in_time(done: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not done() and time.monotonic() < deadline:
        time.sleep(0.02)
    return done()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")  # one that ended and waits for its new parent runs no longer
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


# ----------------------------------------------------------------------------------------------------- its answer


def answer(replay: Replay, activity: Activity) -> dict[str, dict[str, Any]]:
    """What SANA-FE would say if it counted as we do, and the inputs sent two messages."""
    n, outside = activity.n_samples, [one.fired for one in replay.senders if one.awake is None]
    operations = np.zeros((n, activity.n_steps), np.int64)
    spikes = np.sum(outside, axis=(0, 2), dtype=np.int64).reshape(n, -1)
    for events in activity.events.values():  # they are summed over samples; so are those of SANA-FE, before they meet
        operations[0] += events.sops
        spikes[0] += events.n_spikes
    none = [0] * spikes.size
    energy = {"synapse": 2e-9, "dendrite": 0.0, "soma": 4e-9, "network": 3e-9}
    every = {
        "operations": operations.reshape(-1).tolist(),
        "spikes": spikes.reshape(-1).tolist(),
        "updates": spikes.reshape(-1).tolist(),
        "messages": [4, *none[1:]],
        "hops": none,
        "seconds": [1e-6, 3e-6] * (spikes.size // 2),
        "energy": energy,
        "delay_mean": 1e-8,
        "delay_max": 2e-8,
    }
    inputs = {**every, "messages": [2, *none[1:]], "energy": {**energy, "network": 1e-9}}
    return {"all": every, "inputs": inputs}


def opinion(change: int = 0) -> Opinion:
    made, x = by_hand()
    activity, placement = placed(made, x)
    job = make_replay(made, {"x": x}, activity, placement, LOIHI1)
    found = answer(job, activity)
    found["all"]["operations"][1] += change
    return compared("2.2.9", found, estimate_energy(made, activity, placement, LOIHI1), activity, job)


def test_energies_of_inputs_are_taken_out_and_means_are_of_a_sample() -> None:
    told = opinion()
    assert told.difference is None
    assert told.energy_j == pytest.approx({"synapse": 1e-9, "dendrite": 0, "soma": 2e-9, "network": 1e-9})
    assert told.inputs_j == pytest.approx(0.5e-9)
    assert told.input_messages == 1
    assert told.counts["messages"][1] == 1
    # by hand: 3 + 3 operations of the inputs' (1 + 2) and (1 + 1 + 3), 3 of hidden, over 2 samples
    assert told.counts["operations"] == ((2 + 3 + 1 + 1 + 3 + 3) / 2,) * 2
    assert told.counts["spikes"][0] == told.counts["spikes"][1] == 3 / 2
    assert (told.step_mean_s, told.step_max_s) == pytest.approx((2e-6, 3e-6))
    assert told.constants == "sana_fe"
    assert sum(told.ours_j.values()) <= told.high_j


def test_one_operation_more_is_found_in_its_step() -> None:
    # both samples' step 1: 3 + 1 of the inputs and 1 of hidden[0]
    assert opinion(1).difference == "operations in step 1: 5 here, 6 there"


def test_a_job_is_read_by_numbers_alone(tmp_path: Path) -> None:
    made, x = by_hand()
    write_job(replayed(made, x), tmp_path)
    job = json.loads((tmp_path / "job.json").read_text())
    assert job["senders"] == [{"n": 2, "input": True}, {"n": 2, "input": False}, {"n": 1, "input": False}]
    assert job["bundles"][0] == {"source": 0, "target": 1, "encoding": "dense"}
    with np.load(tmp_path / "job.npz", allow_pickle=False) as arrays:
        assert set(arrays) >= {"cores0", "fired0", "fired1", "awake1", "sources1", "targets1"}


# ------------------------------------------------------------------------------------------------- SANA-FE itself


@needs_sana_fe
def test_sana_fe_counts_what_a_hand_counts() -> None:
    made, x = by_hand()
    activity, placement = placed(made, x)
    told = second_opinion(made, {"x": x}, activity, placement, LOIHI1)
    assert told.difference is None
    assert told.counts["operations"] == (6.5, 6.5)
    assert told.counts["messages"] == (1.5, 1.5)
    assert told.energy_j["synapse"] == pytest.approx(6.5 * 35.5 * PICO)
    # 3 neurons x 3 steps are looked at, 1.5 spikes sent; every update is either of them or of the biased neuron
    updates = told.counts["active updates"][1]
    assert told.energy_j["soma"] == pytest.approx((9 * 51.2 + updates * 21.6 + 1.5 * 69.3) * PICO)
    assert told.energy_j["network"] == pytest.approx(1.5 * 111 * PICO)
    assert told.inputs_j >= 3.5 * 111 * PICO


@needs_sana_fe
def test_every_kind_of_synapse_on_cores_apart_is_counted_and_priced_as_ours() -> None:
    """Dense, sparse, convolution, one to one, a delay, and a loop; cores on routers that are far from each other."""
    rng = np.random.default_rng(5)

    def weights(*shape: int) -> np.ndarray:
        return ints(2 * rng.integers(-20, 60, shape) * (rng.random(shape) < 0.7))

    rows, columns = np.nonzero(rng.random((6, 32)) < 0.3)
    made = Program(
        name="mixed",
        inputs=(Input("x", (2, 4, 4)),),
        populations=(Population("conv", (2, 4, 4), LIF), Population("flat", (6,), LIF)),
        synapses=(
            Synapses("kernel", "x", "conv", Conv(weights(2, 2, 3, 3), Window(padding=(1, 1)))),
            Synapses("again", "conv", "conv", OneToOne(ints(-40))),
            Synapses("sparse", "conv", "flat", Sparse(weights(len(rows)), ints(rows), ints(columns), 6, 32)),
            Synapses("late", "conv", "flat", Dense(weights(6, 32)), delay=ints(2)),
            Synapses("loop", "flat", "flat", Dense(weights(6, 6))),
        ),
    )
    x = (rng.random((7, 3, 2, 4, 4)) < 0.4).astype(np.int64)
    activity = simulate(made, x, n_steps=7, record=("spikes", "v"))
    cores = [
        Assignment(0, 0, (Tile("conv", ((0, 1), (0, 4), (0, 4))),)),
        Assignment(0, 30, (Tile("conv", ((1, 2), (0, 4), (0, 4))),)),
        Assignment(0, 125, (Tile("flat", ((0, 6),)),)),
    ]
    placement = validate_placement(made, cores, LOIHI1, activity=activity)
    told = second_opinion(made, {"x": x}, activity, placement, LOIHI1)
    assert told.difference is None
    assert told.counts["operations"][0] == pytest.approx(told.counts["operations"][1])
    assert told.energy_j["synapse"] == pytest.approx(told.ours_j["synapse"])
    # two groups lead from conv to flat: a message each here, one for both there, over columns 0 and 7 to 7
    ours, theirs = told.counts["messages"]
    assert theirs < ours
    assert told.counts["hops"][1] > 0
    assert told.step_max_s > told.step_mean_s > 1e-6
