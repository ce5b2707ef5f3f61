"""Recordings by others: all of Lava's vectors, and the single LIF that the NIR paper ran on a Loihi 2 chip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.net.read import read_net
from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import ints
from seamount.compile.program.program import Input, Population, Program
from seamount.compile.synapses.kinds import OneToOne, Synapses
from seamount.hardware_targets.simulator import simulate
from tests.vectors.lava import main, outcomes
from tests.vectors.netx import net_file

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
COPIES = ROOT / "tests" / "vectors" / "data"
LIF = SHARED / "cases" / "nir_paper_01_lif"


def test_the_copied_vectors_are_exact() -> None:
    found = list(outcomes(COPIES))
    assert len(found) >= 6
    assert [o for o in found if o.n_differing or o.refused or not o.n_compared] == []


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "golden" / "lava").exists(), reason="no recordings beside the checkout")
def test_every_vector_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    code = main([str(SHARED / "golden" / "lava")])
    told = capsys.readouterr().out
    assert code == 0, told
    assert "values differing 0, cases refused 0" in told


def test_a_folder_without_vectors_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out == "cases 0, values compared 0, values differing 0, cases refused 0\n"


def test_a_difference_and_a_file_that_is_no_recording_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(COPIES / "lif_u_edges.npz") as file:
        arrays = dict(file)
    arrays["r:n.v"] = arrays["r:n.v"].copy()
    arrays["r:n.v"][2, 1] += 1
    np.savez(tmp_path / "changed.npz", **arrays)
    (tmp_path / "junk.npz").write_bytes(b"not a recording")
    assert main([str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert "junk: refused:" in told
    assert "first: definition, hops: n.v at index (2, 1):" in told
    assert told.splitlines()[-1].startswith("cases 2, ")
    assert told.splitlines()[-1].endswith("cases refused 1")


# ------------------------------------------------------------------------- whole networks beside their .net file

SDNN = {"neuron/type": "SDNN", "neuron/vThMant": 3}
CONV = {"type": "conv", "shape": [2, 3, 4], "weight": np.arange(18).reshape(2, 1, 3, 3) - 9.0}
CONV |= {"stride": 1, "padding": 1, "dilation": 1, "groups": 1}
SIGMA_DELTA = (
    {"type": "input", "shape": [1, 3, 4], **SDNN},
    {**CONV, **SDNN},
    {"type": "flatten", "shape": [24, 1, 1]},
    {"type": "dense", "shape": [2], "weight": 2.0 * np.eye(2, 24), **SDNN, "neuron/sigma_output": True},
)


@pytest.fixture
def recording(tmp_path: Path) -> dict[str, NDArray[Any]]:
    """A sigma-delta network beside the test's folder, and its run as netx in Lava lays it out."""
    program = read_net(net_file(tmp_path / "mine.net", *SIGMA_DELTA))
    x = np.random.default_rng(0).integers(-20, 20, (4, 3, 1, 6))
    activity = simulate(program, x.T[:, None], record=("spikes",))
    sigmas = {"sigma0": np.zeros((4, 3, 1))}  # Lava's Delta has one that it never writes
    for n, layer in ((1, "layer1"), (2, "layer3")):  # netx counts no flatten
        sigmas[f"sigma{n}"] = activity.final_states["sigma"][layer][0].T.astype(float)
    assert sigmas["sigma1"].shape == (4, 3, 2)
    return {"x": x.astype(np.int16), "out": activity.spikes["layer3"][:, 0].T, **sigmas}


def test_a_whole_network_is_compared_in_every_value(
    recording: dict[str, NDArray[Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "mine_lava.npz", **recording)
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == "cases 1, values compared 150, values differing 0, cases refused 0\n"
    recording["sigma1"][3, 2, 1] += 1
    np.savez(tmp_path / "mine_lava.npz", **recording)
    assert main([str(tmp_path)]) == 1
    assert "mine_lava: 3 of 150 differ; first: definition, net: sigma1 at index (3, 2, 1):" in capsys.readouterr().out


def test_a_network_that_stands_elsewhere_is_named(recording: dict[str, NDArray[Any]], tmp_path: Path) -> None:
    (tmp_path / "recorded").mkdir()
    np.savez(tmp_path / "recorded" / "other.npz", **recording)
    assert main([str(tmp_path / "recorded"), "--net", f"other={tmp_path / 'mine.net'}"]) == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"x": None}, "neither meta nor x, a recording has meta, that of a whole network has x"),
        ({"x": np.zeros((4, 3, 1, 6)) + 0.5}, "x holds other numbers than whole ones"),
        (
            {"x": np.zeros((3, 4, 1, 6))},
            "x is (3, 4, 1, 6) in (W, H, C), time last, but the network takes (C, H, W) (1, 3, 4)",
        ),
        (
            {"x": np.zeros(6)},
            "x is float64 (6,), numbers of shape (N, T), or of maps with their time last, are possible",
        ),
        ({"more": np.zeros(3)}, "no trace for more"),
        ({"sigma3": np.zeros(2)}, "no trace for sigma3"),
        ({"out": None, "sigma0": None, "sigma1": None, "sigma2": None}, "nothing was recorded"),
        ({"meta": np.array("{}")}, "graph is missing"),
        ({"meta": np.array("[]")}, "meta is no JSON object"),
        ({"meta": np.array('{"proc": "Sigma"}')}, "mine: no in:PORT, and a process does nothing without input"),
        (
            {"meta": np.array('{"proc": "ATRLIF"}'), "in:a_in": np.zeros((2, 3), np.int64)},
            "delta_i: 0.4, by which Lava multiplies in floating point, whole numbers of 4096ths are held",
        ),
    ],
)
def test_a_recording_that_cannot_be_compared_is_refused_in_words(
    recording: dict[str, NDArray[Any]], changes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    changed = {name: values for name, values in (recording | changes).items() if values is not None}
    np.savez(tmp_path / "mine.npz", **changed)
    (outcome,) = outcomes(tmp_path)
    assert outcome.refused == told


def test_a_recording_without_its_network_says_how_to_name_it_at_once(
    recording: dict[str, NDArray[Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "other_lava.npz", **recording)
    assert main([str(tmp_path)]) == 1
    where = f"{tmp_path}/other_lava.net, {tmp_path}/other.net"
    refused = f"no network: {where} are not there; name it with --net other_lava=FILE"
    assert capsys.readouterr().err == f"other_lava: {refused}\n"
    (outcome,) = outcomes(tmp_path)
    assert outcome.refused == refused


def test_a_recording_may_name_its_network(recording: dict[str, NDArray[Any]], tmp_path: Path) -> None:
    (tmp_path / "recorded").mkdir()
    np.savez(tmp_path / "recorded" / "other.npz", **recording, net="../mine.net")
    assert main([str(tmp_path / "recorded")]) == 0
    np.savez(tmp_path / "recorded" / "other.npz", **recording, net="../yours.net")
    (outcome,) = outcomes(tmp_path / "recorded")
    where = f"{tmp_path}/recorded/../yours.net"
    assert outcome.refused == f"no network: {where} is not there; name it with --net other=FILE"


# ------------------------------------------------------------------------------- single LIF of the NIR paper


def nir_paper_lif() -> Program:
    """tau 2.5 ms, dt 0.1 ms, threshold 0.1, in the integers of the paper's own Lava script."""
    tau_s, timestep_s = 2.5e-3, 1e-4
    lif = Lif(
        du=ints(4095 + 1),
        dv=ints(int(timestep_s / tau_s * 4095)),
        v_th_mant=ints(int(0.1 * 131071) >> 9),
    )
    weight = ints(int(timestep_s / tau_s * 256))
    return Program(
        "nir_paper_01_lif",
        (Input("x", (1,)),),
        (Population("lif", (1,), lif),),
        (Synapses("s", "x", "lif", OneToOne(weight)),),
    )


@pytest.mark.shared
@pytest.mark.skipif(not LIF.exists(), reason="no recordings beside the checkout")
@pytest.mark.parametrize("run", [run_definition, simulate], ids=["definition", "simulator"])
def test_the_nir_papers_lif_is_that_of_lava_and_of_the_loihi_2_chip(run) -> None:
    cpu = np.loadtxt(LIF / "lif_lava_cpu_fixed.csv", delimiter=",")
    chip = np.loadtxt(LIF / "lif_lava_loihi_fixed.csv", delimiter=",")
    x = cpu[:, 0].astype(int)
    assert x.sum() == 34
    activity = run(nir_paper_lif(), x.reshape(-1, 1, 1), record=("spikes", "v"))
    spikes, v = activity.spikes["lif"].ravel(), activity.v["lif"].ravel()
    assert np.flatnonzero(spikes).tolist() == [461, 511, 711, 761]
    assert np.array_equal(spikes, cpu[:, 2])
    assert np.array_equal(v, cpu[:, 1])
    # the chip's probe shows 128 where the membrane was just reset
    assert np.array_equal(spikes, chip[:, 2])
    assert np.array_equal(np.where(spikes == 1, 128, v), chip[:, 1])
