"""Lava 0.10.0 gives the simulator's integers: 0 differing values, or no run at all."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from lava_programs import conv_net, even, lif, random_inputs, random_program, residual_net

from seamount.compile.numbers import ints
from seamount.compile.program.program import Input, Population, Program, Readout, Reset
from seamount.compile.synapses.kinds import Conv, Dense, Synapses
from seamount.errors import BackendMissing, ConfigError
from seamount.hardware_targets.agreement import compare_runs
from seamount.hardware_targets.lava import lava_status, run_on_lava
from seamount.hardware_targets.lava.run import save_inputs, supervise, write_job
from seamount.hardware_targets.lava.stream import fresh_schedule
from seamount.hardware_targets.simulator import simulate
from seamount.windows import Window

STATUS = lava_status(try_it=False)
pytestmark = [pytest.mark.lava, pytest.mark.skipif(not STATUS.present, reason=STATUS.message)]

RECORD = ("spikes", "v", "u")


def test_a_batch_streams_through_one_runtime_and_equals_the_simulator_in_its_windows() -> None:
    program, inputs = conv_net(), random_inputs(conv_net(), 4)
    simulated = simulate(program, inputs, record=RECORD)
    streamed = run_on_lava(program, inputs, record=RECORD)
    agreement = compare_runs(program, ("simulator", simulated), ("Lava", streamed))
    assert (agreement.n_differing, agreement.first_difference) == (0, None)
    # 6 steps x 4 samples x (224 + 64 + 10 neurons) x 3 traces, and the readout
    assert agreement.n_compared == 6 * 4 * (224 + 64 + 10) * 3 + 4 * 10
    assert simulated.spikes["c1"].sum() > 1000
    assert simulated.spikes["c2"].sum() > 100
    # outside of the window of c2, which is steps 2 to 7, a stream shows nothing of the sample
    assert not streamed.spikes["c2"][:2].any()
    assert not streamed.spikes["c2"][8:].any()


@pytest.mark.usefixtures("lava_imported_once")
def test_samples_started_afresh_equal_the_simulator_at_every_step() -> None:
    program, inputs = conv_net(), random_inputs(conv_net(), 2)
    fresh = run_on_lava(program, inputs, record=RECORD, streamed=False)
    simulated = simulate(program, inputs, record=RECORD)
    agreement = compare_runs(program, ("simulator", simulated), ("Lava", fresh), whole=True)
    assert (agreement.n_differing, agreement.first_difference) == (0, None)
    assert agreement.n_compared > 2 * 9 * 298 * 3


@pytest.mark.usefixtures("lava_imported_once")
def test_a_residual_network_streams_exactly() -> None:
    program, inputs = residual_net(), random_inputs(residual_net(), 3)
    simulated = simulate(program, inputs, record=RECORD)
    on_lava = run_on_lava(program, inputs, record=RECORD, streamed=True)
    agreement = compare_runs(program, ("simulator", simulated), ("Lava", on_lava))
    assert (agreement.n_differing, agreement.first_difference) == (0, None)
    assert agreement.n_compared > 100_000
    assert all(simulated.spikes[name].any() for name in ("stem", "a1", "a2", "b1", "b2", "pool"))


@pytest.mark.usefixtures("lava_imported_once")
@pytest.mark.parametrize("seed", [12, 26, 41])
def test_random_programs_with_everything_in_them_are_exact_at_every_step(seed: int) -> None:
    program = random_program(seed)
    inputs = random_inputs(program, 2)
    simulated, on_lava = (run(program, inputs, record=RECORD) for run in (simulate, run_on_lava))
    agreement = compare_runs(program, ("simulator", simulated), ("Lava", on_lava), whole=True)
    assert (agreement.n_differing, agreement.first_difference) == (0, None)
    assert agreement.n_compared > 1000


@pytest.mark.usefixtures("lava_imported_once")
def test_the_raw_stream_of_a_session_is_one_long_sample() -> None:
    program = conv_net()
    stream = random_inputs(program, 1)["image"]
    long = np.concatenate([stream, 255 - stream, stream])
    simulated = simulate(program, long, n_steps=20, record=RECORD)
    on_lava = run_on_lava(program, long, n_steps=20, record=RECORD)
    agreement = compare_runs(program, ("simulator", simulated), ("Lava", on_lava), whole=True)
    assert (agreement.n_differing, agreement.first_difference) == (0, None)


@pytest.mark.usefixtures("lava_imported_once")
def test_128_groups_and_128_pixels_go_beyond_what_lava_itself_can_count() -> None:
    rng = np.random.default_rng(0)
    program = Program(
        "wide",
        (Input("deep", (128, 3, 2)), Input("long", (1, 2, 130))),
        (
            Population("d", (128, 2, 2), lif(20)),
            Population("l", (2, 2, 65), lif(20)),
            Population("alone", (3,), lif(0)),
        ),
        (
            Synapses("deep-d", "deep", "d", Conv(even(rng, (128, 1, 2, 1)), Window(groups=128)), wrap_bits=24),
            Synapses("long-l", "long", "l", Conv(even(rng, (2, 1, 1, 2)), Window((1, 2))), wrap_bits=24),
            Synapses("self", "alone", "alone", Dense(ints(np.eye(3)))),
        ),
        Readout("d", "count"),
        5,
    )
    inputs = random_inputs(program, 1)
    simulated = simulate(program, inputs, record=RECORD)
    on_lava = run_on_lava(program, inputs, record=RECORD)
    agreement = compare_runs(program, ("simulator", simulated), ("Lava", on_lava), whole=True)
    assert (agreement.n_differing, agreement.first_difference) == (0, None)
    assert simulated.spikes["d"].any()
    assert simulated.spikes["l"].any()


def test_a_lava_process_that_dies_is_an_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    program, folder = conv_net(), tmp_path / "seamount-lava-broken"
    folder.mkdir()
    write_job(folder, program, fresh_schedule(program, 9), RECORD)
    network = json.loads((folder / "network.json").read_text())
    next(node for node in network["nodes"] if node["name"] == "c2")["settings"]["vth"] = 0.5
    (folder / "network.json").write_text(json.dumps(network))
    save_inputs(folder, random_inputs(program, 1))
    with pytest.raises(BackendMissing, match=r"^Lava: c2: TypeError: ufunc 'left_shift' not supported"):
        supervise(folder, 900.0)
    assert _is_gone(str(folder))


def test_a_lava_process_that_is_killed_is_noticed(tmp_path: Path) -> None:
    program, folder = conv_net(), tmp_path / "seamount-lava-killed"
    folder.mkdir()
    write_job(folder, program, fresh_schedule(program, 9), RECORD)
    save_inputs(folder, random_inputs(program, 400))
    killer = threading.Thread(target=_kill_a_child, args=(str(folder),))
    killer.start()
    with pytest.raises(BackendMissing) as error:
        supervise(folder, 900.0)
    killer.join()
    assert str(error.value) == "Lava: one of its processes ended with code -9; is /dev/shm or the memory full?"


def _kill_a_child(mark: str) -> None:
    """Ends one of Lava's own processes, once they run: forked, they carry the command line of their parent."""
    for _ in range(9000):
        time.sleep(0.1)
        found = [pid for pid, text in _processes() if mark in text]
        if len(found) > 8:
            time.sleep(1.0)
            os.kill(max(found), signal.SIGKILL)
            return


def test_a_run_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    n_steps = 1_000_000  # which would take longer than the test waits
    groups = (Synapses("s", "x", "o", Dense(ints(np.full((3, 4), 2)))),)
    program = Program(
        "long", (Input("x", (4,)),), (Population("o", (3,), lif(9)),), groups, Readout("o", "count"), n_steps=n_steps
    )
    start = time.monotonic()
    with pytest.raises(BackendMissing) as error:
        run_on_lava(program, np.ones((n_steps, 1, 4), np.int64), record=(), time_limit_s=3.0)
    assert str(error.value) == "Lava: not done within 3 s; allow more time or send fewer samples"
    assert time.monotonic() - start < 900
    assert _is_gone(str(tmp_path))


def _is_gone(mark: str) -> bool:
    """No process of that command line is left, or is within five minutes."""
    for _ in range(3000):
        if not any(mark in text for _, text in _processes()):
            return True
        time.sleep(0.1)
    return False


def _processes() -> list[tuple[int, str]]:
    """Numbers and command lines of all processes."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append((int(entry.parent.name), entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")))
    return found


def test_what_cannot_be_streamed_says_why() -> None:
    program = conv_net()
    late = program.with_(
        populations=(*program.populations[:2], Population("out", (10,), program.populations[2].neuron, Reset(6, 5)))
    )
    with pytest.raises(ConfigError) as error:
        run_on_lava(late, random_inputs(late, 2), streamed=True)
    assert str(error.value) == (
        "Lava: conv_net cannot be streamed: out is reset at offset 5 of 6, its input arrives at step 3"
    )
    with pytest.raises(ConfigError, match="cannot record drive, possible are spikes and states"):
        run_on_lava(program, random_inputs(program, 1), record=("drive",))


def test_a_full_disk_is_said_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.py").write_text("open('error.txt', 'w').close()")  # there was no room for a reason
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(OSError, match="No space left on device") as caught:
        supervise(tmp_path, time_limit_s=900)
    assert caught.value.filename == str(tmp_path.parent)
