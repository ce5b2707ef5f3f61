"""A network or a program on one's own samples: from the file to the report, and what other commands make of it."""

import errno
import json
import shlex
import shutil
from contextlib import nullcontext
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import nir
import numpy as np
import pytest
from pretended import processes
from typer.testing import CliRunner

from seamount import api, deployment, prepared
from seamount.cli import app
from seamount.compile.program.file import load_program, save_program
from seamount.errors import BackendMissing, ConfigError, InputError, SeamountError
from seamount.hardware_targets.lava import shim
from seamount.models.zoo import build_student
from seamount.report.parts.accuracy import Accuracy
from seamount.report.parts.energy import Energy
from seamount.report.parts.mapping import Mapping
from seamount.report.report import Report
from seamount.report.schema.values import Missing
from seamount.run import float_network
from tests.simulator.random_programs import random_case

N, T, N_CLASSES = 24, 5, 3
READING = api.Reading(settings=("dt=1e-3",), n_steps=T)
WORDS = ("--set", "dt=1e-3", "--steps", str(T))
LEAK, DT = 0.5, 1e-3


def network(rng: np.random.Generator) -> tuple[nir.NIRGraph, np.ndarray, np.ndarray]:
    """12 inputs, 8 LIF neurons, 3 integrators that are read; and the two matrices."""
    first, last = rng.normal(0.3, 0.9, (8, 12)), rng.normal(0.0, 0.5, (N_CLASSES, 8))
    last -= last.mean(axis=1, keepdims=True)  # so that no class is favoured
    hidden = nir.LIF(tau=np.full(8, DT / LEAK), r=np.ones(8), v_leak=np.zeros(8), v_threshold=np.ones(8))
    nodes = {
        "input": nir.Input(np.array([12])),
        "fc1": nir.Linear(first),
        "hidden": hidden,
        "fc2": nir.Linear(last),
        "out": nir.I(r=np.full(N_CLASSES, 1 / DT)),
        "output": nir.Output(np.array([N_CLASSES])),
    }
    names = list(nodes)
    return nir.NIRGraph(nodes=nodes, edges=list(pairwise(names))), first, last


def by_hand(x: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The scores of the network, (B, K)."""
    v, scores = np.zeros((x.shape[1], 8)), np.zeros((x.shape[1], N_CLASSES))
    for step in x:
        v = v + LEAK * (step @ first.T - v)
        fired = v > 1
        v[fired] = 0
        scores += fired @ last.T
    return scores


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """net.nir, x.npz with labels, plain.npz without, scores.npz of the network by hand, report/ of all of that."""
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(3)
    graph, first, last = network(rng)
    many = (rng.random((T, 200 * N, 12)) < 0.4).astype(np.int64)
    classes = by_hand(many, first, last).argmax(axis=1)
    # as many of each class, or always naming one of them would do
    x = many[:, np.concatenate([np.flatnonzero(classes == k)[: N // N_CLASSES] for k in range(N_CLASSES)])]
    scores = by_hand(x, first, last)
    nir.write(folder / "net.nir", graph)
    np.savez(folder / "x.npz", x=x, y=scores.argmax(axis=1))
    np.savez(folder / "plain.npz", x=x)
    np.savez(folder / "scores.npz", answers=scores)
    api.deploy(
        folder / "net.nir",
        folder / "x.npz",
        folder=folder / "report",
        reading=READING,
        n_lava=0,
        float_answers=folder / "scores.npz",
    )
    return folder


def run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_nir_file_becomes_a_whole_report(files: Path) -> None:
    report = api.load_report(files / "report")
    assert isinstance(report.accuracy, Accuracy)
    assert [r.stage for r in report.accuracy.rungs] == ["original", "float", "deployed"]
    # the labels are the network's own answers by hand, and our reading of the graph is that network
    assert [r.accuracy.value for r in report.accuracy.rungs[:2]] == [100, 100]
    assert isinstance(report.energy, Energy)
    assert isinstance(report.mapping, Mapping)
    assert not isinstance(report.neurobench, Missing)
    assert not isinstance(report.anytime, Missing)
    hidden = next(layer for layer in report.layers if layer.name == "hidden")
    assert hidden.damage.value is not None
    assert hidden.membrane_rmse.value is not None
    assert hidden.rounding
    assert hidden.v.box.n == N * T * 8
    assert report.run.reference == "float network"
    assert ("data", f"x.npz, {N} samples, labels of 3 classes") in [(f.name, f.value) for f in report.run.facts]
    assert isinstance(report.proof, Missing)
    assert "--lava 20" in report.proof.missing
    page = (files / "report" / "report.html").read_text()
    assert "float student" not in page


def test_every_printed_command_runs_as_it_stands(files: Path) -> None:
    report = api.load_report(files / "report")
    commands = [o.command for o in report.opportunities if o.command]
    assert commands
    damages = {layer.name: layer.damage.value for layer in report.layers}
    for command in commands:
        done = run(*shlex.split(command)[1:], "--json")
        assert done.exit_code == 0, f"{command}\n{done.output}"
        if " why " in command:  # it explains the figure that it stands beside, not another of fewer samples
            explained = json.loads(done.stdout)
            assert explained["difference"]["value"] == damages[explained["layer"]]


def test_the_same_report_comes_again(files: Path) -> None:
    before = api.load_report(files / "report")
    assert api.report(files / "report").fingerprint() == before.fingerprint()


def test_a_report_may_replace_the_one_that_it_is_made_of(files: Path, tmp_path: Path) -> None:
    shutil.copyfile(files / "net.nir", tmp_path / "net.nir")
    api.deploy(tmp_path / "net.nir", files / "x.npz", folder=tmp_path / "r", reading=READING, n_lava=0)
    (tmp_path / "net.nir").unlink()  # the folder has a copy
    again = api.deploy(tmp_path / "r", folder=tmp_path / "r", target="loihi2", n_lava=0)
    assert again is not None
    assert (again.run.target, again.run.n_steps) == ("loihi2", T)
    once_more = api.report(tmp_path / "r")
    assert once_more is not None
    assert once_more.fingerprint() == again.fingerprint()


def test_a_program_has_a_report_without_a_float_network(files: Path, tmp_path: Path) -> None:
    done = run("report", files / "report" / "program.h5", "--data", files / "x.npz", "--out", tmp_path / "r", "-q")
    assert done.exit_code == 0, done.output
    report = api.load_report(tmp_path / "r")
    assert [r.stage for r in report.accuracy.rungs] == ["deployed"]
    assert (
        report.layers[0].damage.reason == "a program holds integers, and no network in real numbers to compare with"
    )
    with pytest.raises(InputError, match="was made of a program, which holds no network"):
        api.compile_source(tmp_path / "r")


def test_a_full_disk_is_that_of_the_report_and_leaves_no_half_of_a_network(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, copy: Path) -> None:
        Path(copy).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(source), None, str(copy))

    monkeypatch.setattr(shutil, "copyfile", full)
    done = run("deploy", str(files / "net.nir"), *WORDS, "--out", str(tmp_path / "out"))
    assert done.exit_code == 1
    assert f"error {tmp_path / 'out' / 'network.nir'}: no space left; free some and run again" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_without_labels_answers_are_compared(files: Path, tmp_path: Path) -> None:
    report = api.deploy(files / "net.nir", files / "plain.npz", folder=tmp_path / "r", reading=READING, n_lava=0)
    assert isinstance(report.accuracy, Missing)
    assert report.accuracy.missing.startswith("plain.npz holds no labels y; ")
    assert report.accuracy.missing.endswith(f"of {N} answers are the float network's")
    assert isinstance(report.anytime, Missing)
    assert report.anytime.missing == report.accuracy.missing


def test_without_data_every_part_says_so(files: Path, tmp_path: Path) -> None:
    done = run("report", files / "net.nir", *WORDS, "--out", tmp_path / "r", "-q")
    assert done.exit_code == 0, done.output
    report = api.load_report(tmp_path / "r")
    assert isinstance(report.mapping, Mapping)
    for part in (report.accuracy, report.layers, report.proof, report.anytime):
        assert part.missing == "no samples were given, --data x.npz does"


@pytest.mark.lava
def test_deploy_proves_it_on_lava_in_one_command(files: Path, tmp_path: Path) -> None:
    done = run(
        *("deploy", files / "net.nir", "--data", files / "x.npz", *WORDS, "--lava", 3, "--require-lava"),
        *("--out", tmp_path / "r", "-q"),
    )
    assert done.exit_code == 0, done.output
    assert "simulator = Lava (n = 3)" in done.output
    assert run("check", tmp_path / "r", "--require-bit-exact").exit_code == 0


def test_lava_that_is_not_there_is_told_and_only_required_lava_ends_it(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shim, "TESTED", {})  # as where nothing of it is installed
    report = api.deploy(files / "net.nir", files / "x.npz", folder=tmp_path / "r", reading=READING)
    assert report.proof.missing.startswith("lava-nc is not installed; to compare with Lava: pip install")
    with pytest.raises(BackendMissing, match="lava-nc is not installed"):
        api.deploy(files / "net.nir", files / "x.npz", folder=tmp_path / "s", reading=READING, require_lava=True)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("simulate {report}", 0, "accuracy"),
        ("simulate {report}/report.json", 0, "accuracy"),
        ("compile {report} --set dt=1e-3 --steps 5 --out {tmp}/p.h5", 0, "wrote"),
        ("why {report} hidden", 0, "against the network in real numbers"),
        (
            "why {report}/program.h5 hidden",
            2,
            "is a program, which holds integers alone, needed is a .nir or .net file",
        ),
        ("check {report} --max-accuracy-drop 100", 0, "passed"),
        ("check {report}/report.json --require-fit", 0, "passed"),
        ("check {net} --require-fit", 2, "is a network, a report is needed; `seamount report"),
        ("check {report}/program.h5 --require-fit", 2, "is a program, a report is needed; `seamount report"),
        ("compare {report} {report}/report.json", 0, "the same"),
        ("report {report}/report.json -q", 0, "report.html"),
        ("report {report} --data {x}", 2, "--data: "),
        ("report {x}", 2, "holds arrays, a network or a program is needed; --data"),
        ("deploy {report} --data {x} --set dt=1e-3 --steps 5 --lava 0 -q --out {tmp}/again", 0, "again/report.html"),
        ("deploy {report} --target loihi2 --lava 0 -q --out {tmp}/other", 0, "on loihi2, 5 steps"),
        ("deploy {net} --data {x} --require-lava --lava 0", 2, "--require-lava: Lava is required, and 0 samples are"),
        ("report {net} --data {x} --require-lava --lava 0", 2, "--require-lava: Lava is required, and 0 samples are"),
        ("deploy {net} --data {x} --out {tmp}/else -q", 2, "else: holds something else; name another folder"),
        ("deploy {report}/program.h5 --data {x} --steps 4 --out {tmp}/q", 2, "is a program, in which all of that"),
    ],
)
def test_commands_take_each_others_files(files: Path, tmp_path: Path, words: str, code: int, told: str) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "thesis.tex").touch()
    names = {"report": files / "report", "net": files / "net.nir", "x": files / "x.npz", "tmp": tmp_path}
    done = run(*words.format(**names).split())
    assert done.exit_code == code, done.output
    assert told in " ".join((done.output + done.stderr).split())


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"answers": np.zeros(N)}, rf"answers \({N},\) of type float64, needed are classes"),
        ({"answers": np.zeros((3, N_CLASSES))}, r"answers \(3, 3\)"),
        ({"a": np.zeros(N), "b": np.zeros(N)}, "holds a, b, needed is the array answers"),
    ],
)
def test_answers_that_are_none_are_refused_before_anything_is_written(
    files: Path, tmp_path: Path, arrays: dict, told: str
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=told):
        api.deploy(
            *(files / "net.nir", files / "x.npz"),
            folder=tmp_path / "r",
            reading=READING,
            float_answers=tmp_path / "a.npz",
        )
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda x, y: {"x": x[:, :0], "y": y[:0]}, "a.npz: holds no sample"),
        (lambda x, y: {"x": x[:, :2].swapaxes(0, 1), "y": y[:5]}, "looks like"),
        (lambda x, y: {"x": x / 2, "y": y}, "0.5 found, whole numbers are possible"),
        (lambda x, y: {"x": x, "y": y + 100}, "y holds the label 10"),
        (lambda x, y: {"x": x, "y": y[:4]}, "y (4,), needed is (24,), a label for each of 24 samples"),
    ],
)
def test_samples_that_are_none_are_one_message_and_no_folder(files: Path, tmp_path: Path, change, told: str) -> None:
    given = np.load(files / "x.npz")
    np.savez(tmp_path / "a.npz", **change(given["x"], given["y"]))
    done = run("deploy", files / "net.nir", "--data", tmp_path / "a.npz", *WORDS, "--out", tmp_path / "r", "-q")
    assert done.exit_code == 2
    assert told in done.stderr
    assert not (tmp_path / "r").exists()


def test_arrays_beside_a_file_are_told_to_become_one(files: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        api.deploy(files / "net.nir", (np.zeros((2, 4)), np.zeros(2)), folder=tmp_path / "out")
    assert str(caught.value) == (
        "data: a tuple, of a network's file or a program they are a file, too, or the name of a data set; "
        "np.savez('x.npz', x=x, y=y) makes one, of whole numbers as the chip takes them"
    )
    assert not (tmp_path / "out").exists()


def test_a_student_is_shown_the_data_set_as_its_settings_say(tmp_path: Path) -> None:
    student = build_student("small", n_classes=10, input_shape=(1, 28, 28), n_steps=2, width=0.25)
    nowhere = tmp_path / "nowhere"
    with pytest.raises(SeamountError, match="nowhere"):
        api.deploy(student, "mnist", folder=tmp_path / "out", data_settings=(f"data.root={nowhere}",), n_lava=0)
    assert not (tmp_path / "out" / "report.json").exists()


def test_samples_of_one_class_prove_no_accuracy(files: Path, tmp_path: Path) -> None:
    given = np.load(files / "x.npz")
    one = given["y"] == given["y"][0]
    np.savez(tmp_path / "a.npz", x=given["x"][:, one], y=given["y"][one])
    report = api.deploy(files / "net.nir", tmp_path / "a.npz", folder=tmp_path / "r", reading=READING, n_lava=0)
    assert report.verdicts[1].state == "warning"
    assert "all samples are of one class" in report.verdicts[1].detail


def test_a_program_without_a_readout_has_all_but_answers(files: Path, tmp_path: Path) -> None:
    save_program(load_program(files / "report" / "program.h5").with_(readout=None), tmp_path / "p.h5")
    report = api.deploy(tmp_path / "p.h5", files / "plain.npz", folder=tmp_path / "r", n_lava=0)
    assert report.accuracy.missing.endswith("has no readout, compile it with --readout")
    assert isinstance(report.energy, Energy)


@pytest.fixture(scope="module")
def two_outputs(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network whose hidden layer is an Output of its own, too."""
    graph, _, _ = network(np.random.default_rng(3))
    nodes, path = {**graph.nodes, "early": nir.Output(np.array([8]))}, tmp_path_factory.mktemp("two") / "two.nir"
    nir.write(path, nir.NIRGraph(nodes=nodes, edges=[*graph.edges, ("hidden", "early")]))
    return path


@pytest.mark.parametrize(("readout", "reached"), [(None, 1), ("early", 0), ("output", 1)])
def test_layers_are_compared_step_by_step_wherever_the_answer_is_read(
    files: Path, two_outputs: Path, tmp_path: Path, readout: str | None, reached: int
) -> None:
    reading = api.Reading(settings=("dt=1e-3",), n_steps=T, readout=readout)
    report = api.deploy(two_outputs, files / "plain.npz", folder=tmp_path / "r", reading=reading, n_lava=0)
    hidden = next(layer for layer in report.layers if layer.name == "hidden")
    usual = next(layer for layer in api.load_report(files / "report").layers if layer.name == "hidden")
    assert (hidden.damage.value, hidden.first_divergent_step) == (usual.damage.value, usual.first_divergent_step)
    # the run ends when the readout has seen the sample, so that of what comes later the last step is missing
    out = next(layer for layer in report.layers if layer.name == "out")
    assert (out.v.box.n == N * N_CLASSES * T) == bool(reached)
    if readout is None:
        assert report.accuracy.missing == (
            "two has the outputs early, output and nothing says which is read, --readout early does"
        )
    why = api.why(tmp_path / "r", "hidden", n_samples=N)
    assert why.difference.value == pytest.approx(usual.damage.value)


def test_a_sample_needs_a_length_before_anything_is_run(files: Path, tmp_path: Path) -> None:
    reading = api.Reading(settings=("dt=1e-3",))
    needed = (
        f"network: no number of steps says how long a sample is; --steps {T}, if one is as long as those of x.npz"
    )
    with pytest.raises(InputError, match="no number of steps") as caught:
        api.deploy(files / "net.nir", files / "x.npz", folder=tmp_path / "r", reading=reading)
    assert str(caught.value).split(": ", 1)[1] == needed.split(": ", 1)[1]
    save_program(load_program(files / "report" / "program.h5").with_(n_steps=None), tmp_path / "p.h5")
    with pytest.raises(InputError, match="compile it again with --steps"):
        api.deploy(tmp_path / "p.h5", files / "x.npz", folder=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_damaged_note_of_what_was_asked_is_named(files: Path, tmp_path: Path) -> None:
    (tmp_path / "deployment.json").write_text(json.dumps({"source": 3}))
    with pytest.raises(InputError, match="does not say what was asked"):
        api.report(tmp_path)
    with pytest.raises(ConfigError, match="holds something else"):
        api.deploy(files / "net.nir", folder=files)


@pytest.mark.parametrize("seed", range(8))
def test_any_program_has_a_report(seed: int, tmp_path: Path) -> None:
    program, inputs, _ = random_case(seed)
    save_program(program, tmp_path / "p.h5")
    np.savez(tmp_path / "x.npz", **{name: x[: program.n_steps] for name, x in inputs.items()})
    report = api.deploy(tmp_path / "p.h5", tmp_path / "x.npz", folder=tmp_path / "r", n_lava=0)
    assert report.fingerprint() == api.load_report(tmp_path / "r").fingerprint()


def test_processes_that_share_the_samples_write_the_bytes_of_one(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "BATCH", 5)
    monkeypatch.setattr(float_network, "AT_ONCE", 7)
    for timed in (deployment, prepared):
        monkeypatch.setattr(timed, "perf_counter", lambda: 0.0)
    monkeypatch.setattr(deployment, "datetime", SimpleNamespace(now=lambda zone: datetime(2026, 11, 30, tzinfo=zone)))

    def deployed() -> Report | None:
        return api.deploy(files / "net.nir", files / "x.npz", folder=tmp_path / "r", reading=READING, n_lava=0)

    def written() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / "r").iterdir()}

    assert deployed() is not None
    alone = written()
    shutil.rmtree(tmp_path / "r")
    for world in processes(3):
        monkeypatch.setattr(deployment, "open_world", lambda device, world=world: nullcontext(world))
        helps = world.rank > 0
        assert (deployed() is None) == helps
        assert (tmp_path / "r").exists() != helps
    assert written() == alone
    assert set(alone) == {"deployment.json", "network.nir", "program.h5", "report.html", "report.json", "samples.npz"}
