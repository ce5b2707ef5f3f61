"""Exported folders run on Lava in a process that cannot import seamount."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from graded_programs import sigma_delta_chain
from lava_programs import conv_net, random_inputs, residual_net

from seamount.compile.synapses.kinds import Synapses, Wire
from seamount.errors import InputError
from seamount.hardware_targets.lava import lava_status, write_standalone
from seamount.hardware_targets.lava import shim as shim_module
from seamount.hardware_targets.simulator import simulate

STATUS = lava_status(try_it=False)
needs_lava = pytest.mark.skipif(not STATUS.present, reason=STATUS.message)


def run_without_seamount(folder: Path, blocker: Path) -> subprocess.CompletedProcess[str]:
    blocker.mkdir(exist_ok=True)
    (blocker / "seamount.py").write_text("raise ImportError('seamount is not here')\n")
    return subprocess.run(
        [sys.executable, "run.py"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(blocker)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.mark.lava
@needs_lava
def test_a_folder_runs_alone_and_says_that_nothing_differs(tmp_path: Path) -> None:
    program, inputs = residual_net(), random_inputs(residual_net(), 2)
    expected = simulate(program, inputs, record=("spikes", "v"))
    folder = write_standalone(program, tmp_path / "folder", inputs, expected=expected)
    done = run_without_seamount(folder, tmp_path / "blocker")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert f"stem: {int(expected.spikes['stem'].sum())} spikes in 2 samples" in lines
    n_values = sum(v.size for v in expected.spikes.values()) + sum(v.size for v in expected.v.values())
    assert lines[-1] == f"{n_values} values compared with expected.npz, 0 differ"

    x = np.load(folder / "inputs.npz")["image"]
    np.savez(folder / "inputs.npz", image=255 - x)
    other = run_without_seamount(folder, tmp_path / "blocker")
    assert other.returncode == 1
    assert "values compared with expected.npz, 0 differ" not in other.stdout


@pytest.mark.lava
@needs_lava
def test_a_folder_of_graded_neurons_compares_every_state_and_keeps_the_last_frame(tmp_path: Path) -> None:
    chain, record = sigma_delta_chain(), ("spikes", "states")
    program = chain.with_(synapses=(Synapses("in", "x", "delta", Wire()), *chain.synapses[1:]))
    inputs = np.cumsum(np.random.default_rng(0).integers(-3, 4, (6, 2, 2, 6, 5)), axis=0)
    expected = simulate(program, np.concatenate([inputs, *[inputs[-1:]] * 3]), record=record)
    folder = write_standalone(program, tmp_path / "folder", n_steps=9, expected=expected, record=record)
    np.savez(folder / "inputs.npz", x=inputs)
    done = run_without_seamount(folder, tmp_path / "blocker")
    assert done.returncode == 0, done.stderr
    traces = [*expected.spikes.values(), *(x for found in expected.states.values() for x in found.values())]
    assert (
        done.stdout.splitlines()[-1] == f"{sum(x.size for x in traces)} values compared with expected.npz, 0 differ"
    )


def test_a_folder_tells_what_it_is(tmp_path: Path) -> None:
    folder = write_standalone(conv_net(), tmp_path / "folder")
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "arrays.npz", "network.json", "run.py"]
    text = (folder / "README.md").read_text()
    assert "The inputs are `image` 2x8x7 (0 to 255). The answer is v at the last step of `out`." in text
    assert "a run takes 9 steps a sample" in text
    assert "lif c1 4x8x7 du 4096 dv 400 v_th_mant 3000" in text
    assert "seamount" not in (folder / "run.py").read_text().lower()
    with pytest.raises(InputError) as error:
        write_standalone(conv_net(), folder)
    assert str(error.value) == f"{folder}: exists and is not an empty folder; name another"


@pytest.mark.lava
@needs_lava
def test_status_says_whether_lava_works() -> None:
    status = lava_status()
    assert (status.present, status.works) == (True, True)
    assert status.message.startswith("lava-nc 0.10.0")


def test_status_without_lava_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> str:
        raise shim_module.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(shim_module.importlib.metadata, "version", nothing)
    status = lava_status()
    assert (status.present, status.works) == (False, False)
    assert status.message.startswith("lava-nc is not installed; to compare with Lava: pip install scipy")
    with pytest.raises(shim_module.BackendMissing, match=r"^Lava: lava-nc is not installed"):
        shim_module.require_lava()
