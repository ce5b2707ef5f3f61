"""What `simulate` and `compile --calibrate` take: an array for each input, a readout, and no input at all."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import nir
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from seamount.cli import app
from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import ints
from seamount.compile.program.file import save_program
from seamount.compile.program.program import Population, Program, Readout


def run(*words: object) -> Result:
    with warnings.catch_warnings():
        return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def sensors(tmp_path: Path) -> Path:
    """Two sensors, of 4 and 3 values, into 5 neurons."""
    random, one = np.random.default_rng(0), np.ones(5)
    nodes = {
        "left": nir.Input(np.array([4])),
        "right": nir.Input(np.array([3])),
        "a": nir.Linear(random.normal(0.3, 0.4, (5, 4))),
        "b": nir.Linear(random.normal(0.3, 0.4, (5, 3))),
        "lif": nir.LIF(tau=5e-3 * one, r=5 * one, v_leak=0 * one, v_threshold=one, v_reset=0 * one),
        "output": nir.Output(np.array([5])),
    }
    edges = [("left", "a"), ("right", "b"), ("a", "lif"), ("b", "lif"), ("lif", "output")]
    graph = nir.NIRGraph(nodes, edges, metadata={"discretization": {"dt": 1e-3}, "seamount": {"n_steps": 6}})
    path = tmp_path / "sensors.nir"
    nir.write(path, graph)
    return path


def arrays(path: Path, **values: np.ndarray) -> Path:
    np.savez(path, **values)
    return path


def spikes(n: int) -> np.ndarray:
    return (np.random.default_rng(n).random((6, 4, n)) < 0.5).astype(np.int8)


def test_an_array_for_each_input_reaches_every_command(sensors: Path, tmp_path: Path) -> None:
    data = arrays(tmp_path / "both.npz", left=spikes(4), right=spikes(3), y=np.arange(4))
    program = tmp_path / "p.h5"
    done = run("compile", sensors, "--out", program, "--calibrate", data)
    assert done.exit_code == 0, done.output
    assert "of 4 answers are the float network's; accuracy " in done.stdout
    traces = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for source, out in ((program, traces[0]), (sensors, traces[1])):
        done = run("simulate", source, "--data", data, "--out", out, "--record", "spikes")
        assert done.exit_code == 0, done.output
        assert "4 samples, 7 steps" in done.stdout
    assert run("diff", traces[0], traces[0]).exit_code == 0


def test_what_is_missing_of_several_inputs_is_named(sensors: Path, tmp_path: Path) -> None:
    data = arrays(tmp_path / "one.npz", x=spikes(4))
    done = run("simulate", sensors, "--data", data)
    assert done.exit_code == 2
    words = "one.npz: holds x and not left, right, needed is an array for each of the inputs (left, right), and per"
    assert words in done.stderr.replace("\n", " ")
    done = run("simulate", sensors, "--data", "digits")
    assert "digits holds one array a sample, sensors has 2 inputs (left, right); pass a file (" in done.stderr
    done = run("simulate", sensors)
    assert (done.exit_code, "--data: sensors has the inputs left, right; pass a file" in done.stderr) == (2, True)
    done = run("compile", sensors, "--calibrate", data)
    assert (done.exit_code, "inputs for x were given, needed are left, right" in done.stderr) == (2, True)


def test_a_readout_is_chosen_where_a_program_is_made(sensors: Path, tmp_path: Path) -> None:
    data = arrays(tmp_path / "both.npz", left=spikes(4), right=spikes(3))
    program = tmp_path / "p.h5"
    done = run("compile", sensors, "--out", program, "--readout", "lif:max")
    assert (done.exit_code, "readout max of lif" in done.stdout) == (0, True)
    assert run("simulate", sensors, "--data", data, "--readout", "lif:final").exit_code == 0
    done = run("simulate", program, "--data", data, "--readout", "lif:final")
    assert done.exit_code == 2
    assert "p.h5 is a program, which holds its readout already; compile it again with --readout" in done.stderr


def test_a_program_without_input_needs_no_data_and_says_what_it_does_not_answer(tmp_path: Path) -> None:
    neuron = Lif(du=ints(4096), dv=ints(0), v_th_mant=ints(8), bias_mant=ints([200, 200]))
    program = Program("alone", (), (Population("a", (2,), neuron),), (), Readout("a", "count"), n_steps=8)
    save_program(program, tmp_path / "alone.h5")
    done = run("simulate", tmp_path / "alone.h5")
    assert done.exit_code == 0, done.output
    assert "no answer in 1 of 1 sample: all values of the readout are equal" in done.stdout
    found = json.loads(run("simulate", tmp_path / "alone.h5", "--json").stdout)
    assert (found["no_answer"], found["populations"]["a"]["n_spikes"]) == (1, [0, 0, 2, 0, 0, 2, 0, 0])


@pytest.mark.parametrize(("command", "layer"), [("simulate", ()), ("run-lava", ()), ("why", ("lif",))])
def test_who_takes_a_network_reads_it_as_compile_does(
    command: str, layer: tuple[str, ...], sensors: Path, tmp_path: Path
) -> None:
    graph = nir.read(sensors)
    graph.metadata = {}
    nir.write(sensors, graph)
    data = ("--data", arrays(tmp_path / "x.npz", left=spikes(4), right=spikes(3)))
    unread = run(command, sensors, *layer, *data, "--samples", "2")
    assert unread.exit_code == 2
    assert "the file names no time step" in unread.output
    if command != "run-lava":  # which takes long, and is handed the same program as simulate
        read = run(command, sensors, *layer, *data, "--samples", "2", "--steps", "6", "--set", "dt=1e-3")
        assert read.exit_code == 0, read.output
    assert "no such setting" in run(command, sensors, *layer, *data, "--set", "nothing=1").output
    assert (
        "is a file, which is read as it is"
        in run(command, sensors, *layer, *data, "--steps", "6", "--set", "dt=1e-3", "--set", "data.root=x").output
    )


def test_a_program_is_read_already(sensors: Path, tmp_path: Path) -> None:
    program = tmp_path / "made.program.h5"
    assert run("compile", sensors, "--out", program).exit_code == 0
    data = ("--data", arrays(tmp_path / "x.npz", left=spikes(4), right=spikes(3)))
    for words in (("--target", "loihi2"), ("--steps", "4"), ("--from", "norse"), ("--set", "dt=1e-3")):
        done = run("simulate", program, *data, *words)
        assert done.exit_code == 2
        assert "is a program, in which target and reading are settled" in " ".join(done.output.split())
    assert "compile runs no data set" in run("compile", sensors, "--set", "data.root=x").output
