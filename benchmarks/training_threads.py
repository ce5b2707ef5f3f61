"""What more threads give a training on a CPU: ``python benchmarks/training_threads.py``.

Students learn random images as in training.py. A process with one thread and one with several take turns, alone and
with busy loops beside them: the default of ``run.n_threads`` has to do for both. Writes
benchmarks/results/training_threads.json.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import torch
from figures import RESULTS, cpu_name, write_figures
from training import HERE, Version, spread

from seamount.models.zoo import build_student

CASES = (("vgg9", 0.125, 1), ("vgg9", 0.25, 2), ("vgg8", 0.5, 2), ("vgg8", 0.75, 3))
"""Architecture, width, timesteps: the smallest first."""

BATCH = 128


def neuron_steps(case: tuple[str, float, int]) -> int:
    """Of one step of the optimiser: what a run chooses its threads by."""
    arch, width, n_steps = case
    student = build_student(arch, n_classes=10, input_shape=(3, 32, 32), n_steps=n_steps, width=width)
    return BATCH * n_steps * sum(math.prod(student.shapes[name]) for name in student.order)


def measure(case: tuple[str, float, int], a: argparse.Namespace) -> dict[str, Any]:
    """Seconds a step with one thread and with several, and how many times as fast several are, turn by turn."""
    arch, width, n_steps = case
    options = {"batch": BATCH, "n_steps": n_steps, "width": width, "precision": "bf16"}
    versions = [Version(HERE, arch, argparse.Namespace(**options, threads=threads)) for threads in (1, a.threads)]
    for version in versions:
        version.answer()
    turns = []
    for number in range(a.turns):
        order = (0, 1) if number % 2 == 0 else (1, 0)
        seconds = {index: versions[index].turn(a.steps) for index in order}
        turns.append([seconds[0], seconds[1]])
    for version in versions:
        version.close()
    return {
        "arch": arch,
        "width": width,
        "n_steps": n_steps,
        "neuron_steps": neuron_steps(case),
        "one_wall_s_per_step": spread([one["wall_s"] / a.steps for one, _ in turns]),
        "several_wall_s_per_step": spread([several["wall_s"] / a.steps for _, several in turns]),
        "wall_speed_against_one": spread([one["wall_s"] / several["wall_s"] for one, several in turns]),
        "cpu_seconds_against_one": spread([several["cpu_s"] / one["cpu_s"] for one, several in turns]),
    }


def told(row: dict[str, Any]) -> tuple[str, str]:
    faster, dearer = row["wall_speed_against_one"], row["cpu_seconds_against_one"]
    spread_of = f"({faster['quarter']:.2f} to {faster['three_quarters']:.2f})"
    return f"{faster['median']:.2f} times as fast {spread_of},", f"{dearer['median']:.2f} times the CPU seconds"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--busy", type=int, nargs="*", default=(0, 1, 2), help="busy loops beside it")
    parser.add_argument("--cases", type=int, nargs="*", default=range(len(CASES)))
    parser.add_argument("--steps", type=int, default=2, help="of the optimiser in a turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "training_threads.json")
    a = parser.parse_args()
    rows = []
    for n_busy in a.busy:
        loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n_busy)]
        try:
            for number in a.cases:
                row = {"busy_loops": n_busy, "load": os.getloadavg()[0], **measure(CASES[number], a)}
                rows.append(row)
                arch, width, n_steps = CASES[number]
                size = math.log2(row["neuron_steps"])
                print(f"{arch} width {width} T {n_steps}, 2^{size:.1f}, {n_busy} busy loops:", *told(row), flush=True)
        finally:
            for loop in loops:
                loop.kill()
    report = {
        "threads": a.threads,
        "batch": BATCH,
        "steps": a.steps,
        "turns": a.turns,
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "date": date.today().isoformat(),
        "rows": rows,
    }
    write_figures(a.out, report)


if __name__ == "__main__":
    main()
