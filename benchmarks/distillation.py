"""Speed and peak memory of one SeAl-KD training step: ``python benchmarks/distillation.py``.

Student ResNet-18, teacher ResNet-34 (frozen, inside the step), 3x32x32, T = 4, SGD, random data. Every path runs in a
process of its own, so that its peak memory is its own; the processes take turns, so that a busy machine hurts all of
them alike. Writes benchmarks/results/distillation.json.

Another implementation can be timed beside ours: ``--external FILE:FUNCTION``, where FUNCTION(batch, n_steps, device)
returns a callable that does one training step.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
from figures import RESULTS, write_figures
from torch import Tensor, nn

from seamount.distill.methods import Settings, WeightedSum, weights_of
from seamount.distill.methods.lesson import Lesson
from seamount.distill.quantised import QuantisedStudent
from seamount.models.spiking_net import SpikingNet
from seamount.models.teachers import build_teacher
from seamount.models.zoo import build_student

PATHS = {
    "norse step by step": "student stepped over time, norse cells and convolutions once a step, fp32",
    "fused fp32": "all steps of a layer at once",
    "fused bf16": "the same under bf16 autocast, membranes fp32",
    "fused bf16 channels_last": "the same with channels last",
    "exact integer": "the quantised student: the chip's integers forward",
    "exact integer bf16": "the same with its teacher and its gradients' products in bf16",
}


def training_step(
    path: str, batch: int, n_steps: int, device: str, width: float, taught_by: str = "resnet34"
) -> Callable[[], Tensor]:
    torch.manual_seed(0)
    net = build_student("resnet18", n_classes=10, input_shape=(3, 32, 32), n_steps=n_steps, width=width)
    teacher = build_teacher(taught_by, n_classes=10, input_shape=(3, 32, 32)).eval().requires_grad_(False).to(device)
    x, labels = torch.rand(batch, 3, 32, 32, device=device), torch.randint(0, 10, (batch,), device=device)
    student: nn.Module = net
    if path.startswith("exact integer"):
        with torch.no_grad():  # statistics to fold: a net whose layers fire
            for _ in range(3):
                net.train()(x.cpu()[:8])
        student = QuantisedStudent(net).calibrate(x[:8])
    student = student.to(device).train()
    if "channels_last" in path:
        student, teacher = (m.to(memory_format=torch.channels_last) for m in (student, teacher))
        x = x.contiguous(memory_format=torch.channels_last)
    loss = WeightedSum(weights_of("seal-kd"), Settings())
    optimizer = torch.optim.SGD([p for p in student.parameters() if p.requires_grad], lr=0.01, momentum=0.9)
    narrow = torch.autocast(torch.device(device).type, torch.bfloat16) if "bf16" in path else contextlib.nullcontext()

    def step() -> Tensor:
        with narrow:
            with torch.no_grad():
                answers = teacher(x)
            if path == "norse step by step":
                assert isinstance(net, SpikingNet)
                logits = net.step_through(x).logits
            else:
                logits = student(x).logits
            value = loss(Lesson(logits=logits, labels=labels, teacher_logits=answers))
        value = value if isinstance(value, Tensor) else value[0]
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        return value.detach()

    return step


def external(where: str, batch: int, n_steps: int, device: str) -> Callable[[], Any]:
    file, function = where.rsplit(":", 1)
    spec = importlib.util.spec_from_file_location("external", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: Callable[[], Any] = getattr(module, function)(batch, n_steps, device)
    return made


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Times of one path in this process."""
    torch.set_num_threads(arguments.threads)
    a = arguments
    if a.only == "external":
        step = external(a.external, a.batch, a.n_steps, a.device)
    else:
        step = training_step(a.only, a.batch, a.n_steps, a.device, a.width)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for _ in range(a.warm_up):
        step()
    cuda = a.device.startswith("cuda")
    if cuda:
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(a.repeat):
        step()
    if cuda:
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = (
        torch.cuda.max_memory_allocated() / 2**20
        if cuda
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    )
    return {
        "images_per_s": a.batch * a.repeat / wall,
        "images_per_cpu_s": a.batch * a.repeat / cpu,
        "peak_mib": peak,
        "data_mib": peak if cuda else peak - before,
    }


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    a = arguments
    paths = [*(a.paths or PATHS), *(["external"] if a.external else [])]
    found: dict[str, list[dict[str, float]]] = {path: [] for path in paths}
    for turn in range(a.turns):
        for path in paths:
            command = [sys.executable, __file__, "--only", path, *_forwarded(a)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
            if done.returncode:
                sys.exit(f"{path}: {done.stderr}")
            found[path].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"turn {turn + 1}: {path}: {found[path][-1]['images_per_s']:.2f} images/s", flush=True)
    table = {p: {k: statistics.median(r[k] for r in rows) for k in rows[0]} for p, rows in found.items()}
    base = table.get("norse step by step")
    for row in table.values():
        if base is not None:
            row["speed_against_norse"] = row["images_per_s"] / base["images_per_s"]
            row["cpu_speed_against_norse"] = row["images_per_cpu_s"] / base["images_per_cpu_s"]
            row["memory_against_norse"] = row["data_mib"] / base["data_mib"]
    return {
        "task": f"SeAl-KD step, ResNet-18 student (width {a.width:g}), ResNet-34 teacher, 3x32x32, T = {a.n_steps}",
        "batch": a.batch,
        "threads": a.threads,
        "turns": a.turns,
        "steps_per_turn": a.repeat,
        "device": torch.cuda.get_device_name() if a.device.startswith("cuda") else platform.processor() or "cpu",
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "date": date.today().isoformat(),
        "paths": {p: PATHS.get(p, a.external) for p in paths},
        "medians": table,
    }


def _forwarded(a: argparse.Namespace) -> list[str]:
    names = ("batch", "n_steps", "threads", "repeat", "warm_up", "device", "width")
    options = [part for n in names for part in (f"--{n.replace('_', '-')}", str(getattr(a, n)))]
    return [*options, *(["--external", a.external] if a.external else [])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--n-steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeat", type=int, default=3, help="timed steps per turn")
    parser.add_argument("--warm-up", type=int, default=1)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--width", type=float, default=1.0, help="of the student's channels")
    parser.add_argument("--paths", nargs="*", choices=list(PATHS))
    parser.add_argument("--external", help="FILE:FUNCTION of another implementation")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS / "distillation.json")
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measure(arguments)))
        return
    report = run(arguments)
    write_figures(arguments.out, report)
    for path, row in report["medians"].items():
        print(f"{path:28}" + "".join(f"  {key} {value:.2f}" for key, value in row.items()))


if __name__ == "__main__":
    main()
