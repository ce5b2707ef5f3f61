"""`seamount compile --soft-reset`, `--split` and `--one-by-one`."""

import warnings
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from seamount.cli import app
from seamount.compile.program.file import load_program
from seamount.hardware_targets.simulator import simulate


def run(*words: object) -> Result:
    with warnings.catch_warnings():
        return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """512 inputs, 1100 integrators, 4 outputs: more than a core of loihi1 holds."""
    rng = np.random.default_rng(0)
    sizes, nodes, edges = (8, 1100, 4), {"input": nir.Input({"input": np.array([8])})}, []
    last = "input"
    for i, (n_in, n_out) in enumerate(pairwise(sizes)):
        nodes[f"fc{i}"] = nir.Linear(rng.normal(size=(n_out, n_in)))
        nodes[f"if{i}"] = nir.IF(np.ones(n_out), np.ones(n_out))
        edges += [(last, f"fc{i}"), (f"fc{i}", f"if{i}")]
        last = f"if{i}"
    nodes["output"] = nir.Output({"output": np.array([4])})
    nir.write(tmp_path / "net.nir", nir.NIRGraph(nodes, [*edges, (last, "output")]))
    return tmp_path / "net.nir"


def test_a_soft_reset_is_emulated_where_asked_for(graph: Path) -> None:
    words = ("compile", graph, "--set", "integrator=step", "--set", "reset=subtract", "--steps", 8)
    refused = run(*words)
    assert refused.exit_code == 5
    assert "say --soft-reset emulate to have it emulated" in " ".join(refused.stderr.split())
    done = run(*words, "--soft-reset", "emulate")
    assert "onetoone if0.soft_reset if0 -> if0" in done.stdout
    assert "assumed: if0: soft reset emulated, the membrane in u, a synapse from each neuron to itself" in done.stdout
    wrong = run(*words, "--soft-reset", "yes")
    assert "--soft-reset yes: no such choice, possible are refuse, emulate" in wrong.stderr


def test_a_program_for_single_samples_is_written_and_answers_alike(graph: Path, tmp_path: Path) -> None:
    whole, alone = tmp_path / "whole.h5", tmp_path / "alone.h5"
    words = ("compile", graph, "--set", "integrator=step", "--out", whole, "--one-by-one", alone)
    done = run(*words, "--steps", 8)
    assert f"wrote {alone}, for single samples alone: neurons are silent outside their windows" in done.stdout
    assert "reset 16+2" in run("inspect", alone).stdout
    x = np.random.default_rng(1).integers(0, 2, (8, 5, 8))
    before, after = (simulate(load_program(path), x).readout for path in (whole, alone))
    assert np.array_equal(before, after)
    refused = run(*words)
    assert refused.exit_code == 5
    assert "neurons cannot be held outside their windows: the program names no number of steps" in " ".join(
        refused.stderr.split()
    )


def test_a_split_program_is_written_and_can_be_inspected(graph: Path, tmp_path: Path) -> None:
    whole, split = tmp_path / "whole.h5", tmp_path / "split.h5"
    done = run("compile", graph, "--set", "integrator=step", "--steps", 8, "--out", whole, "--split", split)
    assert f"wrote {split}; 2 populations as 3, each within a core of loihi1" in done.stdout
    shown = run("inspect", split).stdout
    assert "lif if0.0 550" in shown
    assert "dense fc0.1 input -> if0.1 550x8" in shown
    x = np.random.default_rng(1).integers(0, 2, (8, 5, 8))
    before, after = (simulate(load_program(path), x).readout for path in (whole, split))
    assert np.array_equal(before, after)
    assert before.any()
