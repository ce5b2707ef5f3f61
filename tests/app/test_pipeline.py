"""A small run from digits to report, once for all tests of this file, and what interruption does to it."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from seamount import api
from seamount.compile.fit.place.rules import weight_format
from seamount.compile.program.file import load_program
from seamount.compile.synapses.kinds import Wire
from seamount.config import load_config
from seamount.distill import checkpoint
from seamount.errors import BackendMissing, ConfigError, InputError
from seamount.files import file_hash
from seamount.hardware_targets.lava import shim
from seamount.hardware_targets.target import FOLDER, load_target
from seamount.run.pipeline import run_stages
from seamount.run.sweep import grid
from seamount.run.told import Told

SMALL = (
    "teacher.epochs=1",
    "train.epochs=2",
    "quant.epochs=1",
    "data.max_train=256",
    "data.max_test=64",
    "lava.n_samples=2",
    "report.n_compared=8",
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "small"
    api.run(None, SMALL, folder=folder)
    return folder


def test_student_simulator_and_lava_agree_in_every_spike_and_membrane(finished: Path) -> None:
    for stage, n_samples in (("06-simulate", 8), ("07-lava", 2)):
        proof = json.loads((finished / "stages" / stage / "proof.json").read_text())
        assert proof["spikes_differing"] == proof["membrane_differing"] == proof["answers_differing"] == 0
        assert proof["n_samples"] == n_samples
        assert proof["spikes_compared"] > 1000
        assert proof["membrane_compared"] > 1000


def test_the_program_answers_what_the_quantised_student_answers(finished: Path) -> None:
    answers = [np.load(next(finished.glob(f"stages/*-{s}/answers.npz"))) for s in ("quantise", "simulate")]
    np.testing.assert_array_equal(answers[0]["predictions"], answers[1]["predictions"])
    np.testing.assert_array_equal(answers[0]["per_step"], answers[1]["per_step"])


def test_the_report_says_so_and_can_be_read_back(finished: Path) -> None:
    from seamount.report.report import from_json

    report = from_json((finished / "report.json").read_text())
    assert report.proof.bit_exact
    assert all(layer.membrane_rmse.value for layer in report.layers if layer.damage.value is not None)
    assert (finished / "report.html").stat().st_size < 3_000_000


def test_a_finished_run_resumes_to_nothing_left(finished: Path) -> None:
    said: list[str] = []
    run_stages(load_config(finished / "resolved.toml"), finished, resume=True, told=Told(stage=said.append))
    assert len(said) == 7
    assert all(text.endswith("done before") for text in said)


def test_a_change_runs_only_what_depends_on_it(finished: Path) -> None:
    said: list[str] = []
    config = load_config(finished / "resolved.toml", ["lava.n_samples=1"])
    run_stages(config, finished, resume=True, told=Told(stage=said.append))
    assert [text for text in said if "done before" not in text] == ["lava: again, changed: [lava]"]


def resumed(folder: Path, *settings: str, until: str = "lava") -> list[str]:
    """What is said of the stages of a run that goes on with some settings changed."""
    said: list[str] = []
    config = load_config(folder / "resolved.toml", settings)
    run_stages(config, folder, resume=True, until=until, told=Told(stage=said.append))
    return said


def test_another_number_of_threads_repeats_nothing(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    shutil.copytree(finished, folder)  # because a run keeps what it was told, and two threads wait by computing
    assert [text for text in resumed(folder, "run.n_threads=2") if "done before" not in text] == []


def test_without_lava_a_run_ends_with_its_report(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "small"
    shutil.copytree(finished, folder)
    monkeypatch.setattr(shim, "TESTED", {})  # as where nothing of it is installed
    said = resumed(folder)
    assert said[:-1] == [
        f"{s}: done before" for s in ("teacher", "distill", "quantise", "export", "compile", "simulate")
    ]
    assert said[-1] == "lava: again, changed: content of lava-nc"
    verdict = api.report(folder).verdicts[0]
    assert (verdict.word, verdict.state) == ("not on Lava", "unknown")
    assert "simulator = Lava: not run (lava-nc is not installed; to compare with Lava: pip install" in verdict.detail
    with pytest.raises(BackendMissing, match="lava-nc is not installed"):
        api.run(None, [*SMALL, "lava.required=true"], folder=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_repeated_training_changes_nothing_later(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    shutil.copytree(finished, folder)
    (folder / "stages/01-teacher/status.json").unlink()
    said = resumed(folder, until="distill")
    assert said == ["teacher", "distill: done before"]


def test_an_edited_target_is_compiled_for_again_and_nothing_is_trained(finished: Path, tmp_path: Path) -> None:
    folder, target = tmp_path / "small", tmp_path / "mine.toml"
    shutil.copytree(finished, folder)
    target.write_text((FOLDER / "loihi1.toml").read_text())
    resumed(folder, f'target.name="{target}"')
    assert all("done before" in text for text in resumed(folder))
    text = target.read_text()
    assert "input_axons_per_core = { value = 4096," in text
    target.write_text(
        text.replace("input_axons_per_core = { value = 4096,", "input_axons_per_core = { value = 2048,")
    )
    said = resumed(folder)
    assert [line for line in said if "done before" not in line] == [
        "compile: again, changed: content of target.name"  # to the same program: the later stages have no new input
    ]


def test_an_edited_checkpoint_is_distilled_from_again(finished: Path, tmp_path: Path) -> None:
    folder, weights = tmp_path / "small", tmp_path / "weights.safetensors"
    shutil.copytree(finished, folder)
    state = checkpoint.load_weights(folder / "stages/02-distill/student.safetensors")
    checkpoint.save(weights, state, {})
    resumed(folder, f'student.checkpoint="{weights}"', until="distill")
    checkpoint.save(weights, {name: value * 0.5 for name, value in state.items()}, {})
    assert resumed(folder, until="distill") == [
        "teacher: done before",
        "distill: again, changed: content of student.checkpoint",
    ]


def test_other_weight_bits_are_fine_tuned_compiled_and_proven_again(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    shutil.copytree(finished, folder)
    said = resumed(folder, "quant.weight_bits={default = 4, conv2 = 3}", "quant.epochs=1")
    assert [text.split(":")[0] for text in said if "done before" in text] == ["teacher", "distill"]
    for stage in ("06-simulate", "07-lava"):
        proof = json.loads((folder / "stages" / stage / "proof.json").read_text())
        assert proof["spikes_differing"] == proof["membrane_differing"] == proof["answers_differing"] == 0
    rounding = json.loads((folder / "stages/05-compile/compile.json").read_text())["rounding"]
    bits = {group["name"]: group["weight_bits"] for population in rounding for group in population["groups"]}
    assert bits == {"conv1_in": 4, "conv2_in": 3, "conv3_in": 4, "classifier": 4}
    program = load_program(folder / "stages/05-compile/program.h5")
    assert program.provenance["weight_bits"] == "4, conv2 3"
    for s in program.synapses:
        assert not isinstance(s.kind, Wire)
        width = weight_format(s.kind.weights, s.exponent, load_target("loihi1").chip).width
        assert width is not None
        assert width <= bits[s.name]


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("quant.weight_bits=7", "quant.weight_bits: 7 bits, the target's weights can have 2, 3, 4, 5, 6, 8"),
        (
            "quant.weight_bits.conv9=4",
            "quant.weight_bits: no layer is called conv9, possible are conv1_in, conv2_in, conv3_in, classifier, "
            "conv1, conv2, conv3, readout",
        ),
    ],
)
def test_bits_that_cannot_be_had_are_refused_before_anything_is_trained(
    tmp_path: Path, setting: str, text: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        run_stages(load_config(None, [*SMALL, setting]), tmp_path / "run")
    assert str(caught.value) == text
    assert not (tmp_path / "run").exists()


def test_a_sweep_over_bits_has_a_point_for_each() -> None:
    points = grid(["quant.weight_bits=8,4"])
    assert [load_config(None, point.settings).quant.weight_bits for point in points] == [8, 4]


def test_a_run_without_its_stages_names_them(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "resolved.toml").write_text((finished / "resolved.toml").read_text())
    with pytest.raises(InputError, match="stages teacher, distill, quantise, export, compile, simulate, lava"):
        api.report(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        api.report(tmp_path / "nowhere")


def test_a_killed_run_resumes_to_the_same_numbers(quick_python: str, finished: Path, tmp_path: Path) -> None:
    """kill -9 in the middle of distillation; afterwards it ends bit for bit where an undisturbed run does."""
    folder = tmp_path / "small"
    code = (
        f"from pathlib import Path; from seamount import api; api.run(None, {SMALL!r}, folder=Path({str(folder)!r}))"
    )
    # the end of its stderr is that of the process
    process = subprocess.Popen([quick_python, "-W", "ignore", "-c", code], stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 900
        while not (folder / "stages/02-distill/state").exists():
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert not (folder / "stages/02-distill/status.json").exists()
    api.run(None, SMALL, folder=folder, resume=True)
    for name in ("03-quantise/quantised.safetensors", "06-simulate/answers.npz"):
        assert file_hash(folder / "stages" / name) == file_hash(finished / "stages" / name), name


def test_check_gates_and_their_exit_codes(finished: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from seamount.cli import app

    gate = CliRunner()
    gates = ["--require-bit-exact", "--require-fit"]
    as_it_is = gate.invoke(app, ["check", str(finished), *gates])
    assert as_it_is.exit_code == 3  # three epochs on 256 images: exact, and at chance level
    assert [line.split()[0] for line in as_it_is.stdout.splitlines() if line[0] in "✓✗"] == ["✓", "✓", "✗"]
    assert "Works: no; accuracy" in as_it_is.stdout
    report = json.loads((finished / "report.json").read_text())
    report["checks"][-1]["state"] = "ok"
    (tmp_path / "report.json").write_text(json.dumps(report))
    assert gate.invoke(app, ["check", str(tmp_path), *gates]).exit_code == 0
    assert gate.invoke(app, ["check", str(finished), "--max-accuracy-drop", "-100"]).exit_code == 3
    assert gate.invoke(app, ["check", str(finished), "--max-accuracy-drop", "nan"]).exit_code == 2
    assert gate.invoke(app, ["check", str(finished)]).exit_code == 2
    same = gate.invoke(app, ["compare", str(finished), str(finished)])
    assert same.exit_code == 0
    assert "The two reports are the same." in same.stdout


def test_every_printed_command_runs_as_it_stands(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from seamount.cli import app

    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished, "runs/a run")  # a name that a shell would take apart
    monkeypatch.setattr(shim, "TESTED", {})
    resumed(Path("runs/a run"))  # without Lava, so that its command is printed
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    # some have none, as a layer to wake
    commands = [o.command for o in api.report(Path("runs/a run")).opportunities if o.command]
    assert {shlex.split(command)[1] for command in commands} >= {"why", "sweep", "run-lava"}
    # what a sweep's points train is tested elsewhere: here that its folder, its settings and its axis are there
    monkeypatch.setattr("seamount.run.sweep.run_stages", lambda *_, **__: None)
    for command in commands:
        done = CliRunner().invoke(app, shlex.split(command)[1:])
        assert done.exit_code == 0, f"{command}\n{done.output}"


def test_the_command_that_an_unfinished_run_prints_finishes_it(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from seamount.cli import app

    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished, "runs/a run")
    (tmp_path / "runs/a run/stages/07-lava/status.json").unlink()
    with pytest.raises(InputError, match="stages lava have not finished") as caught:
        api.report(Path("runs/a run"))
    _, command, _ = str(caught.value).split("`")
    done = CliRunner().invoke(app, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    assert api.report(Path("runs/a run")) is not None


def test_a_sweep_shares_its_grid_and_marks_each_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    axes, settings = ["student.n_steps=2,4"], [*SMALL, "lava.n_samples=0", "train.epochs=1"]
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, waiting in (("0", ("student.n_steps=4",)), ("1", ())):
        monkeypatch.setenv("RANK", rank)
        found = api.sweep(None, axes, settings, folder=tmp_path / "s")
        assert found.waiting == waiting
        assert (os.environ["RANK"], os.environ["WORLD_SIZE"]) == (rank, "2"), "the caller's"
    assert [trial.name for trial in found.trials] == ["student.n_steps=2", "student.n_steps=4"]
    assert not found.failed
    report = json.loads((tmp_path / "s/points/student.n_steps=4/report.json").read_text())
    assert [point["current"] for point in report["sweep"]] == [False, True]


DEPLOY = """
from seamount import api

if __name__ == "__main__":
    report = api.deploy({run!r}, "digits", folder="runs/deployed", n_samples=300, n_lava=0)
    print("deployed" if report else "helped")
    from seamount.cli import main
    main()
"""


def test_two_processes_deploy_and_train_and_the_first_writes_it(
    quick_python: str, finished: Path, tmp_path: Path
) -> None:
    settings = [word for setting in (*SMALL, "train.batch_size=32") for word in ("--set", setting)]
    (tmp_path / "two.toml").write_text("")
    (tmp_path / "both.py").write_text(DEPLOY.format(run=str(finished)))
    torchrun = [quick_python, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "both.py", "distill", "two.toml", "--to", "distill", *settings],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHON_EXEC": quick_python},  # that of torchrun's processes
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("deployed") == done.stdout.count("helped") == 1
    shared = api.load_report(tmp_path / "runs/deployed")
    alone = api.deploy(finished, "digits", folder=tmp_path / "runs/alone", n_samples=300, n_lava=0)
    assert shared.accuracy == alone.accuracy
    assert shared.layers == alone.layers
    assert shared.energy == alone.energy
    assert done.stdout.count("next: seamount distill two.toml --resume") == 1
    metrics = json.loads((tmp_path / "runs/two/stages/02-distill/metrics.json").read_text())
    assert len(metrics["history"]) == 2
