"""`seamount compile` of a lava-dl file: its settings, and the other forms in which a program can be written."""

import json
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from seamount.cli import app
from seamount.compile.net.read import read_net
from seamount.compile.pipeline import compile_graph
from seamount.compile.program.file import load_program
from seamount.compile.program.program import Program, Reset
from seamount.hardware_targets.simulator import simulate


def run(*words: object) -> Result:
    with warnings.catch_warnings():
        return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """As slayer wrote it: a convolution, then three classes behind a flatten."""
    path = tmp_path / "old.net"
    neuron = {"type": "CUBA", "iDecay": 1024, "vDecay": 128, "vThMant": 64}
    with h5py.File(path, "w") as file:
        layers = [
            {"type": np.array([b"conv"], "S10"), "shape": [2, 4, 5], "weight": even((2, 1, 3, 3)), "groups": 1}
            | {"stride": [1, 1], "padding": [1, 1], "dilation": [1, 1], "bias": np.float32([4, -6])},
            {"type": np.array([b"flatten"], "S10"), "shape": [40, 1, 1]},
            {"type": np.array([b"dense"], "S10"), "shape": [3], "weight": even((3, 40))},
        ]
        for i, layer in enumerate(layers):
            facts = {f"neuron/{k}": v for k, v in neuron.items()} if "weight" in layer else {}
            for key, value in (layer | facts).items():
                file[f"layer/{i}/{key}"] = value
    return path


def even(shape: tuple[int, ...]) -> np.ndarray:
    return (2 * np.random.default_rng(0).integers(-30, 40, shape)).astype(np.float32)


def traces(program: Program) -> list[np.ndarray]:
    x = np.random.default_rng(1).integers(0, 2, (8, 5, 1, 4, 5))
    activity = simulate(program, x, record=("spikes", "v"))
    return [trace[name] for trace in (activity.spikes, activity.v) for name in ("layer0", "layer2")]


SETTINGS = ("--set", "input_shape=1x4x5", "--set", "reset_interval=8", "--set", "reset_offset=1", "--steps", "8")


def test_a_net_file_becomes_a_program_nir_net_and_a_folder(old: Path, tmp_path: Path) -> None:
    out, nir, net, folder = (tmp_path / name for name in ("p.h5", "new.nir", "new.net", "standalone"))
    words = ("compile", old, *SETTINGS, "--out", out, "--nir", nir, "--net", net, "--standalone", folder)
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert f"wrote {net}; load it with netx.hdf5.Network('{net}', reset_interval=8, reset_offset=1" in done.stdout
    program = load_program(out)
    assert (program.n_steps, [p.reset for p in program.populations]) == (8, [Reset(8, 2), Reset(8, 3)])
    before, after = traces(program), traces(compile_graph(nir).program)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert before[1].any()
    again = read_net(net, reset_interval=8, reset_offset=1)  # with an input layer in front: every number one higher
    for old_one, new_one in zip(program.synapses, again.synapses, strict=True):
        assert np.array_equal(old_one.kind.weights, new_one.kind.weights)
        assert old_one.exponent == new_one.exponent
    assert {"run.py", "README.md", "network.json"} <= {path.name for path in folder.iterdir()}
    folder_again = (*words[:-1], tmp_path / "other")
    assert json.loads(run(*folder_again, "--json").stdout)["written"] == [
        str(path) for path in (out, nir, net, tmp_path / "other")
    ]


def test_what_nir_cannot_say_is_one_message_and_code_5(old: Path, tmp_path: Path) -> None:
    nir = tmp_path / "new.nir"
    done = run("compile", old, *SETTINGS[:2], "--out", tmp_path / "p.h5", "--nir", nir)
    assert done.exit_code == 5
    assert "its bias acts before its first input is there" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.output
    assert not nir.exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("input_shape=1x4", "input shape (1, 4), (C, H, W) of at least 1 is possible"),
        ("input_shape=wide", "--set input_shape=wide: 'wide' is not a value of this setting"),
        ("reset_interval=0", "reset interval 0, at least 1 is possible"),
        ("dt=1e-3", "a .net file holds integers in known steps already; possible settings are n_steps, input_bits,"),
    ],
)
def test_settings_that_mean_nothing_for_a_net_file(old: Path, setting: str, message: str) -> None:
    done = run("compile", old, *SETTINGS, "--set", setting)
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())


def test_every_output_makes_its_folder(old: Path, tmp_path: Path) -> None:
    new = {f"--{word}": tmp_path / f"new {word}" / "deep" / "p" for word in ("out", "nir", "net", "standalone")}
    new |= {f"--{word}": tmp_path / f"new {word}" / "deep" / "p" for word in ("split", "one-by-one")}
    words = [part for pair in new.items() for part in pair]
    done = run("compile", old, *SETTINGS, *words)
    assert done.exit_code == 0, done.output
    assert all(path.exists() for path in new.values())


def test_why_of_a_lava_dl_file_and_of_its_report_says_that_it_holds_integers(old: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(1).integers(0, 2, (8, 5, 1, 4, 5)))
    made = run("report", old, "--data", tmp_path / "x.npz", *SETTINGS, "--out", tmp_path / "r")
    assert made.exit_code == 0, made.stderr
    for asked in ((old, "layer2", "--data", tmp_path / "x.npz", *SETTINGS), (tmp_path / "r", "layer2")):
        done = run("why", *asked)
        assert done.exit_code == 2
        said = " ".join(done.stderr.split())
        assert "holds integers alone, no network in real numbers, needed is a .nir file, or the folder of" in said
