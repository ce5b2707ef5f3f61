"""Distillation methods at equal budget: hard labels, KD, SeAl-KD, SASTC and SeAl-KD + SASTC, several seeds each.

    python benchmarks/methods.py --n-mnist FOLDER --mnist FOLDER --epochs 8 --seeds 3

One teacher per data set; per method and seed a student of the same start, the same order of samples and the same
number of steps; the best epoch is chosen on the validation part, the accuracy is of the test part. Every run is
resumed if the script is. Writes benchmarks/results/methods.json and the table in docs/distillation.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import torch
from figures import DOCS, RESULTS, write_figures, write_table
from torch import nn

from seamount.distill.config import DataConfig, DistillConfig, TeacherConfig, TrainConfig
from seamount.distill.data import Data, load_data
from seamount.distill.progress import usual_progress
from seamount.distill.train import distill, train_teacher
from seamount.models.spiking_net import SpikingNet
from seamount.models.zoo import build_student

ROOT = Path(__file__).resolve().parents[1]
METHODS = ("hard", "kd", "seal-kd", "sastc", "seal-kd+sastc")


@dataclass(frozen=True)
class Setting:
    """A data set with the budget that every method gets.

    Attributes:
        student_maps: how many of the student's maps SASTC compares, from the last; all pairs cost ten times as much.
    """

    data: DataConfig
    n_steps: int
    width: float
    epochs: int
    batch_size: int
    lr: float
    student_maps: int
    precision: Literal["fp32", "auto"]


@dataclass(frozen=True)
class Result:
    """One student.

    Attributes:
        anytime: test accuracy after step 1 .. T.
        cpu_s: processor time of its training (of this process, in one sitting).
    """

    data: str
    method: str
    seed: int
    anytime: tuple[float, ...]
    validation: float
    best_epoch: int
    rate: float
    cpu_s: float


def run(setting: Setting, methods: Sequence[str], n_seeds: int, folder: Path) -> tuple[dict[str, Any], list[Result]]:
    """Teacher and students of one data set."""
    data = load_data(setting.data, n_steps=setting.n_steps)
    train = TrainConfig(
        epochs=setting.epochs, batch_size=setting.batch_size, lr=setting.lr, precision=setting.precision
    )
    config = TeacherConfig(epochs=setting.epochs, lr=2e-3)
    teacher = train_teacher(data, config, train, folder / "teacher", progress=usual_progress())
    facts: dict[str, Any] = {
        "data": setting.data.name,
        "samples": {"train": len(data.train), "validation": len(data.val), "test": len(data.test)},
        "input": [*data.input_shape],
        "n_steps": setting.n_steps,
        "student": f"small, width {setting.width:g}",
        "parameters": sum(p.numel() for p in student(data, setting, 0).parameters()),
        "epochs": setting.epochs,
        "batch_size": setting.batch_size,
        "lr": setting.lr,
        "precision": setting.precision,
        "student_maps": setting.student_maps,
        "teacher": f"small-cnn, {config.epochs} epochs",
        "teacher_accuracy": teacher.test.accuracy,
    }
    results = []
    for seed, method in itertools.product(range(n_seeds), methods):
        found = run_one(data, setting, train, teacher.network, method, seed, folder)
        results.append(found)
        print(f"{data.name} {method} {seed}: {100 * found.anytime[-1]:.2f} %, {found.cpu_s:.0f} s", flush=True)
    return facts, results


def run_one(
    data: Data, setting: Setting, train: TrainConfig, teacher: nn.Module, method: str, seed: int, folder: Path
) -> Result:
    kept = folder / f"{method}-{seed}" / "result.json"
    if kept.exists():
        found = json.loads(kept.read_text())
        return Result(**{**found, "anytime": tuple(found["anytime"])})
    started = time.process_time()
    network = student(data, setting, seed)
    trained = distill(
        data,
        teacher,
        network,
        DistillConfig(method=method, student_maps=network.features[-setting.student_maps :]),
        train,
        kept.parent,
        seed=seed,
        progress=usual_progress(),
    )
    rates = list(trained.test.rates.values())
    result = Result(
        data=data.name,
        method=method,
        seed=seed,
        anytime=trained.test.anytime,
        validation=trained.validation.accuracy,
        best_epoch=trained.best_epoch,
        rate=sum(rates) / len(rates),
        cpu_s=time.process_time() - started,
    )
    kept.write_text(json.dumps(asdict(result)))
    return result


def student(data: Data, setting: Setting, seed: int) -> SpikingNet:
    torch.manual_seed(seed)
    return build_student(
        "small",
        n_classes=data.n_classes,
        input_shape=data.input_shape,
        n_steps=setting.n_steps,
        width=setting.width,
        input_bits=data.input_bits,
    )


def table(facts: dict[str, Any], results: Sequence[Result], methods: Sequence[str]) -> list[str]:
    """Mean and standard deviation over the seeds, per method."""
    n_seeds = len({r.seed for r in results})
    samples = facts["samples"]
    lines = [
        f"**{facts['data']}**: {samples['train']} training, {samples['validation']} validation, {samples['test']} "
        f"test samples of {'x'.join(map(str, facts['input']))}, T = {facts['n_steps']}; student {facts['student']}, "
        f"{facts['parameters']} parameters; {facts['epochs']} epochs of batch {facts['batch_size']}, AdamW, "
        f"lr {facts['lr']}, cosine, {facts['precision']}; {n_seeds} seeds; teacher {facts['teacher']} "
        f"({100 * facts['teacher_accuracy']:.2f} %), "
        f"SASTC from the student's last {facts['student_maps']} map(s) onto the teacher's last of every size.",
        "",
        "| method | test accuracy %, mean ± standard deviation | after step 1 | spikes per neuron and step | CPU s |",
        "|---|---|---|---|---|",
    ]
    for method in methods:
        own = [r for r in results if r.method == method]
        accuracy = [100 * r.anytime[-1] for r in own]
        spread = statistics.stdev(accuracy) if len(own) > 1 else float("nan")
        lines.append(
            f"| {method} | {statistics.mean(accuracy):.2f} ± {spread:.2f} "
            f"| {statistics.mean(100 * r.anytime[0] for r in own):.2f} "
            f"| {statistics.mean(r.rate for r in own):.3f} | {statistics.mean(r.cpu_s for r in own):.0f} |"
        )
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n-mnist", type=Path, help="folder with Train/LABEL/*.bin and Test/LABEL/*.bin")
    parser.add_argument("--mnist", type=Path, help="folder with MNIST's idx files")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--mnist-epochs", type=int, default=None, help="default: a quarter of --epochs")
    parser.add_argument("--mnist-samples", type=int, default=None, help="use only so many training images")
    parser.add_argument("--mnist-tests", type=int, default=None, help="use only so many test images")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--width", type=float, default=0.5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "benchmarks" / "methods")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    settings = []
    if options.n_mnist:
        data = DataConfig(name="n-mnist", root=str(options.n_mnist), size=17, augment=(), cache=str(options.work))
        settings.append(Setting(data, 6, options.width, options.epochs, 50, 4e-3, 3, "fp32"))
    if options.mnist:
        data = DataConfig(
            name="mnist",
            root=str(options.mnist),
            augment=(),
            max_train=options.mnist_samples,
            max_test=options.mnist_tests,
        )
        epochs = options.mnist_epochs or max(1, options.epochs // 4)
        settings.append(Setting(data, 4, options.width, epochs, 100, 4e-3, 1, "auto"))
    if not settings:
        parser.error("name at least one data set: --n-mnist FOLDER, --mnist FOLDER")
    document: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {options.threads} thread(s), torch {torch.__version__}",
    }
    lines = [f"Measured {document['date']} on {document['machine']}.", ""]
    for setting in settings:
        name = f"{setting.data.name}-{setting.epochs}-{setting.width:g}-{setting.data.max_train or 'all'}"
        facts, results = run(setting, options.methods, options.seeds, options.work / name)
        document[setting.data.name] = {**facts, "results": [asdict(r) for r in results]}
        lines += table(facts, results, options.methods)
        write_figures(RESULTS / "methods.json", document)
        write_table(DOCS / "distillation.md", "methods.py", lines)


if __name__ == "__main__":
    main()
