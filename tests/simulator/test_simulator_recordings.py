"""Recordings by others: all of Lava's vectors, and the single LIF that the NIR paper ran on a Loihi 2 chip."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import ints
from seamount.compile.program.program import Input, Population, Program
from seamount.compile.synapses.kinds import OneToOne, Synapses
from seamount.hardware_targets.simulator import simulate
from tests.vectors.lava import main, outcomes

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
def test_every_vector_is_exact() -> None:
    command = [sys.executable, "-m", "tests.vectors.lava", str(SHARED / "golden" / "lava")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "values differing 0, cases refused 0" in done.stdout


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
    assert "first: definition, hops: n.v at neuron (2,) step 1:" in told
    assert told.splitlines()[-1].startswith("cases 2, ")
    assert told.splitlines()[-1].endswith("cases refused 1")


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
