"""The CIFAR-10 measurement that waits for a GPU runs, small, on a CPU and on images made up."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


def shard(path: Path, n: int) -> None:
    """Images whose class is their brightness, as strips of lossless WebP."""
    rng = np.random.default_rng(n)
    labels = np.arange(n, dtype=np.uint8) % 10
    images = (labels[:, None, None, None] * 20 + rng.integers(0, 40, (n, 32, 32, 3))).astype(np.uint8)
    strip = io.BytesIO()
    Image.fromarray(images.reshape(n * 32, 32, 3)).save(strip, "WEBP", lossless=True)
    webp = np.frombuffer(strip.getvalue(), np.uint8)
    np.savez(path, webp=webp, off=np.array([0, len(webp)]), y=labels)


@pytest.mark.slow
def test_teacher_deployed_student_and_lessons_end_in_one_document(quick_python: str, tmp_path: Path) -> None:
    shard(tmp_path / "data_batch_1.npz", 150)
    shard(tmp_path / "test_batch.npz", 30)
    script = str(ROOT / "benchmarks" / "cifar10.py")
    command = [quick_python, "-W", "ignore", script, "--root", str(tmp_path), "--device", "cpu", "--tiny"]
    places = ["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work"), "--at-once", "1"]
    times = ["--seconds", "800", "--headline-seconds", "600"]
    done = subprocess.run([*command, *places, *times], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out" / "failures.txt").read_text() == ""
    found = json.loads((tmp_path / "out" / "cifar10.json").read_text())["found"]
    assert set(found) == {"teacher", "cifar10-vgg9", "hard-0", "sastc-every-4-0", "free-sastc-T1", "kd-hta-0"}
    proof = found["cifar10-vgg9"]["06-simulate/proof.json"]
    assert proof["membrane_compared"] > 0
    assert proof["spikes_differing"] == proof["membrane_differing"] == proof["answers_differing"] == 0
    assert len(found["hard-0"]["anytime"]) == 2
    assert found["hard-0"]["synapses"] > 0
    assert (tmp_path / "out" / "part-0").stat().st_size > 10_000
