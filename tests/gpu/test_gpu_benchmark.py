"""The measurement that waits for a GPU runs, small, on a CPU."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_every_part_of_the_gpu_benchmark_runs_on_a_cpu(quick_python: str, tmp_path: Path) -> None:
    pytest.importorskip("triton", reason="triton is not installed")
    script, out = ROOT / "benchmarks" / "gpu.py", tmp_path / "gpu.json"
    command = [quick_python, "-W", "ignore", str(script), "--device", "cpu", "--tiny", "--threads", "1"]
    paths = ["--out", str(out), "--work", str(tmp_path)]
    enough = ["--seconds", "36000"]  # on a machine that others use, too
    done = subprocess.run([*command, *paths, *enough], capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = json.loads(out.read_text())["parts"]
    assert list(parts) == ["machine", "exactness", "kernels", "simulator", "training", "integers", "learning"]
    assert not [
        name for name, part in parts.items() if "failed" in part or {"skipped": "no time left"} in part.values()
    ]
    program = parts["learning"]["digits"]["program"]
    assert program["differing"] == 0
    assert program["spikes"] > 0
    assert parts["exactness"]["lif_kernels"]["differing"] == 0


def test_a_figure_that_fails_is_told_and_the_next_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from gpu_parts import Bench, Sizes

    bench = Bench("cpu", Sizes.small(), True, 60, 0, None, None, Path(), part_ends=time.monotonic() + 60)
    bench.results["part"] = found = {}
    bench.note("none", lambda: {}["nothing"])
    bench.note("one", lambda: 1)
    bench.part_ends = 0
    bench.note("late", lambda: 2)
    assert found["none"]["failed"] == "KeyError: 'nothing'"
    assert (found["one"], found["late"], found["failed"]) == (1, {"skipped": "no time left"}, "none")


def test_a_part_that_fails_does_not_stop_the_others(quick_python: str, tmp_path: Path) -> None:
    """Asked for networks that are not there, the simulator's part says so, and the next is measured."""
    pytest.importorskip("triton", reason="triton is not installed")
    script, out = ROOT / "benchmarks" / "gpu.py", tmp_path / "gpu.json"
    command = [quick_python, "-W", "ignore", str(script), "--device", "cpu", "--tiny", "--threads", "1"]
    asked = ["--networks", str(tmp_path / "none"), "--parts", "simulator", "kernels", "--out", str(out)]
    done = subprocess.run([*command, *asked], capture_output=True, text=True, timeout=600)
    assert done.returncode == 1
    parts = json.loads(out.read_text())["parts"]
    assert "none" in parts["simulator"]["failed"]
    assert parts["kernels"]["LIF forward float32 box"]["bytes_per_s"] > 0
