"""CPU time of a training's steps on a CPU, beside another version's: ``python benchmarks/training.py --peer TREE``.

Students learn random images (3x32x32, crop and flip, one thread, bf16, T = 2, batch 128) in the loop that every run
trains in. Each version has a process of its own that waits at its progress bar; the processes take turns, a few steps
each, so that whatever else the machine does hurts both alike. Writes benchmarks/results/training.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from figures import RESULTS, cpu_name, write_figures

from seamount.distill.config import DataConfig, DistillConfig, TrainConfig
from seamount.distill.data.samples import Data, in_memory
from seamount.distill.train import distill
from seamount.models.zoo import build_student

STUDENTS = ("vgg9", "resnet18")
HERE = Path(__file__).resolve().parent.parent


class Waiting:
    """A progress bar that waits for its turn: a line on stdin, so many steps, a line of CPU and wall seconds."""

    def __init__(self, begins: int) -> None:
        self.left = begins
        self.cpu, self.wall = time.process_time(), time.perf_counter()

    def begin(self, task: str, total: int, done: int = 0) -> None: ...

    def say(self, text: str) -> None: ...

    def end(self) -> None: ...

    def advance(self, steps: int = 1) -> None:
        self.left -= steps
        if self.left > 0:
            return
        cpu, wall = time.process_time() - self.cpu, time.perf_counter() - self.wall
        print(json.dumps({"cpu_s": cpu, "wall_s": wall}), flush=True)
        order = sys.stdin.readline()
        if not order:
            os._exit(0)  # in the middle of a training, of which nothing is wanted any more
        self.left = int(order)
        self.cpu, self.wall = time.process_time(), time.perf_counter()


def work(a: argparse.Namespace) -> None:
    """Trains one student until stdin ends."""
    torch.set_num_threads(a.threads)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40 * a.batch, 3, 32, 32), dtype=np.uint8)
    part = in_memory(images, rng.integers(0, 10, len(images)))
    data = Data(
        "random",
        train=part,
        val=part.subset(torch.arange(1)),
        test=part.subset(torch.arange(1)),
        class_names=tuple("0123456789"),
        input_shape=(3, 32, 32),
        n_steps=a.n_steps,
        encoding="direct",
        config=DataConfig(augment=("crop", "flip"), crop_padding=4),
    )
    torch.manual_seed(0)
    student = build_student(a.only, n_classes=10, input_shape=(3, 32, 32), n_steps=a.n_steps, width=a.width)
    train = TrainConfig(
        epochs=1 << 20, batch_size=a.batch, precision=a.precision, optimizer="sgd", lr=0.05, checkpoint_every_s=1e9
    )
    with tempfile.TemporaryDirectory() as folder:
        progress = Waiting(begins=2)
        distill(data, None, student, DistillConfig(method="hard"), train, Path(folder), progress=progress)


class Version:
    """The process of one version of the code."""

    def __init__(self, tree: Path, student: str, a: argparse.Namespace) -> None:
        options = [f"--{name.replace('_', '-')}={getattr(a, name)}" for name in _FORWARDED]
        command = [sys.executable, str(HERE / "benchmarks/training.py"), "--only", student, *options]
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tree, env=environment
        )

    def answer(self) -> dict[str, float]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args}: stopped with {self.process.wait()}")
        return cast(dict[str, float], json.loads(line))

    def turn(self, steps: int) -> dict[str, float]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self) -> None:
        self.process.communicate(timeout=60)


_FORWARDED = ("batch", "n_steps", "threads", "width", "precision")


def compare(student: str, a: argparse.Namespace) -> dict[str, Any]:
    """Figures of one student: every version's, and their ratios turn by turn."""
    trees = {"here": HERE, **({"peer": a.peer.resolve()} if a.peer else {})}
    versions = {name: Version(tree, student, a) for name, tree in trees.items()}
    for version in versions.values():
        version.answer()
    turns: list[dict[str, dict[str, float]]] = []
    for number in range(a.turns):
        names = list(versions) if number % 2 == 0 else list(reversed(versions))
        turns.append({name: versions[name].turn(a.steps) for name in names})
    for version in versions.values():
        version.close()
    n = a.batch * a.steps
    found: dict[str, Any] = {}
    for name in versions:
        for clock in ("cpu", "wall"):
            found[f"{name}_images_per_{clock}_s"] = spread([n / turn[name][f"{clock}_s"] for turn in turns])
    if a.peer:
        found["cpu_speed_against_peer"] = spread([turn["peer"]["cpu_s"] / turn["here"]["cpu_s"] for turn in turns])
        found["wall_speed_against_peer"] = spread([turn["peer"]["wall_s"] / turn["here"]["wall_s"] for turn in turns])
    return found


def spread(values: list[float]) -> dict[str, float]:
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return {"median": middle, "quarter": low, "three_quarters": high}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, help="a checkout of another version")
    parser.add_argument("--students", nargs="*", default=STUDENTS)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--n-steps", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--steps", type=int, default=4, help="of the optimiser in a turn")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS / "training.json")
    a = parser.parse_args()
    if a.only:
        work(a)
        return
    settings = {
        name: getattr(a, name) for name in ("batch", "n_steps", "threads", "width", "precision", "steps", "turns")
    }
    report: dict[str, Any] = {
        **settings,
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
        "date": date.today().isoformat(),
        "students": {},
    }
    for student in a.students:
        report["students"][student] = found = compare(student, a)
        for key, value in found.items():
            print(f"{student} {key} {value['median']:.2f} ({value['quarter']:.2f} to {value['three_quarters']:.2f})")
    write_figures(a.out, report)


if __name__ == "__main__":
    main()
