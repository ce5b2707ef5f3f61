"""Quantised after training, without a step of fine-tuning: what each way of choosing the scales costs in accuracy.

    python benchmarks/post_training.py --mnist FOLDER --mnist-samples 20000

Students learn from hard labels, are exported to NIR, compiled for loihi1 and loihi2, and simulated on the whole
test set; calibration samples are from the training part. Students and results are kept in --work, and every part is
resumed if the script is. Writes benchmarks/results/post_training.json and the table in docs/quantising.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from figures import DOCS, RESULTS, write_figures, write_table
from numpy.typing import NDArray

from seamount.compile.lower.scale_search import METHODS, Method, SearchOptions
from seamount.compile.numbers import FULL_SCALE_BITS
from seamount.compile.pipeline import Compiled, CompileOptions, compile_graph
from seamount.compile.program.file import program_bytes
from seamount.distill import checkpoint
from seamount.distill.config import DataConfig, DistillConfig, TrainConfig
from seamount.distill.data import Data, load_data
from seamount.distill.evaluate import answers
from seamount.distill.progress import usual_progress
from seamount.distill.train import distill
from seamount.hardware_targets.simulator import simulate
from seamount.hardware_targets.target import load_target
from seamount.models.spiking_net import SpikingNet
from seamount.models.zoo import build_student
from seamount.run.export import export_student

ROOT = Path(__file__).resolve().parents[1]
TARGETS = ("loihi1", "loihi2")
BATCH = 250
"""Test samples at once."""


@dataclass(frozen=True)
class Setting:
    """A student and how it learns."""

    data: DataConfig
    arch: str
    width: float
    n_steps: int
    epochs: int
    batch_size: int
    precision: Literal["fp32", "auto"]


@dataclass(frozen=True)
class Answers:
    """Of one network on the test set: the class of each sample, and spikes per neuron and step."""

    classes: NDArray[np.int64]
    rate: float


@dataclass(frozen=True)
class Result:
    """One program beside its float student.

    Attributes:
        way: the scale search, or "fine-tuned" for what was trained on in integers.
        bits: of a weight.
        targets: those that this very program was compiled for.
        float_accuracy, accuracy: on ``n`` test samples.
        only_float, only_program: samples that only one of the two gets right.
        float_rate, rate: spikes per neuron and step.
        n_wraps, n_saturations: how often the arithmetic left its range in the run.
    """

    data: str
    seed: int
    way: str
    bits: int
    targets: tuple[str, ...]
    n: int
    float_accuracy: float
    accuracy: float
    only_float: int
    only_program: int
    float_rate: float
    rate: float
    n_wraps: int
    n_saturations: int
    cpu_s: float


def run(
    setting: Setting, seed: int, n_calibration: int | None, n_tests: int | None, folder: Path
) -> tuple[dict[str, Any], list[Result]]:
    """A student and all of its programs."""
    data = load_data(setting.data, n_steps=setting.n_steps)
    network, cpu_s = train(data, setting, seed, folder)
    path = folder / "student.nir"
    export_student(network, path)
    n_calibration = n_calibration or len(data.train)
    numbers = np.arange(0, len(data.test), max(1, len(data.test) // (n_tests or len(data.test))))
    facts = {
        "student": f"{setting.arch}, width {setting.width:g}",
        "parameters": sum(p.numel() for p in network.parameters()),
        "samples": {"train": len(data.train), "validation": len(data.val), "test": len(data.test)},
        "input": [*data.input_shape],
        "training": asdict(setting) | {"data": setting.data.model_dump(exclude={"root", "cache"})},
        "training_cpu_s": cpu_s,
        "n_calibration": n_calibration,
        "n_tests": len(numbers),
    }
    calibration = data.chip_inputs(data.train, list(range(n_calibration))) / data.input_scale
    reference: Answers | None = None
    results = []
    for method in METHODS:
        for made, targets in programs(path, method, calibration):
            started = time.process_time()
            kept = folder / f"{method}-{len(numbers)}-{digest(made)[:16]}.json"
            if not kept.exists():
                reference = reference or float_answers(data, network, numbers)
                found = compare(data, made, reference, numbers)
                document = {"data": data.name, "seed": seed, "way": method, "bits": FULL_SCALE_BITS, **found}
                kept.write_text(json.dumps({**document, "cpu_s": time.process_time() - started}))
            results.append(Result(**json.loads(kept.read_text()), targets=targets))
            told = results[-1]
            print(
                f"{data.name} {seed} {method}: {100 * told.accuracy:.2f} %, float {100 * told.float_accuracy:.2f} %, "
                f"{told.cpu_s:.0f} s",
                flush=True,
            )
    return facts, results


def train(data: Data, setting: Setting, seed: int, folder: Path) -> tuple[SpikingNet, float]:
    torch.manual_seed(seed)
    network = build_student(
        setting.arch,
        n_classes=data.n_classes,
        input_shape=data.input_shape,
        n_steps=setting.n_steps,
        width=setting.width,
        input_bits=data.input_bits,
    )
    done = folder / "trained.json"
    if done.exists():
        best = folder / "best.safetensors"
        checkpoint.put(network, checkpoint.load_weights(best), str(best))
        return network.eval(), json.loads(done.read_text())["cpu_s"]
    started = time.process_time()
    config = TrainConfig(epochs=setting.epochs, batch_size=setting.batch_size, precision=setting.precision)
    distill(data, None, network, DistillConfig(method="hard"), config, folder, seed=seed, progress=usual_progress())
    cpu_s = time.process_time() - started
    done.write_text(json.dumps({"cpu_s": cpu_s}))
    return network.eval(), cpu_s


def float_answers(data: Data, network: SpikingNet, numbers: NDArray[np.int64]) -> Answers:
    """The student in float32, in evaluation mode; its logits are summed in float64, so ties stay ties."""
    classes, n_spikes = [], 0.0
    with torch.inference_mode():
        for some in torch.split(torch.from_numpy(numbers), BATCH):
            out = network(data.inputs(data.test, some).x, record=True)
            classes.append(answers(out.logits.double())[-1].argmax(-1).numpy())
            n_spikes += sum(float(s.sum(dtype=torch.float64)) for s in out.spikes.values())
    n_neurons = sum(int(np.prod(network.shapes[name])) for name in network.spiking())
    return Answers(np.concatenate(classes), n_spikes / (n_neurons * data.n_steps * len(numbers)))


def programs(path: Path, method: Method, calibration: NDArray[np.float64]) -> list[tuple[Compiled, tuple[str, ...]]]:
    """The programs for all targets, equal ones once."""
    options = CompileOptions(
        search=SearchOptions(method), calibration=calibration if method == "calibrated" else None
    )
    made = [(target, compile_graph(path, load_target(target), options)) for target in TARGETS]
    found: dict[str, tuple[Compiled, tuple[str, ...]]] = {}
    for target, compiled in made:
        others = found.get(digest(compiled), (compiled, ()))[1]
        found[digest(compiled)] = (compiled, (*others, target))
    return list(found.values())


def digest(made: Compiled) -> str:
    return hashlib.sha256(program_bytes(made.program)).hexdigest()


def compare(data: Data, made: Compiled, reference: Answers, numbers: NDArray[np.int64]) -> dict[str, Any]:
    """The program on the same samples as the float student; spikes of the steps that belong to a sample."""
    program = made.program
    spiking = [p for p in program.populations if program.readout is None or p.name != program.readout.population]
    first = program.arrivals()
    classes, n_spikes, n_wraps, n_saturations = [], 0, 0, 0
    for some in np.split(numbers, range(BATCH, len(numbers), BATCH)):
        activity = simulate(program, data.chip_inputs(data.test, torch.from_numpy(some)))
        classes.append(activity.predictions())
        for p in spiking:
            n_spikes += int(activity.events[p.name].n_spikes[first[p.name] :][: data.n_steps].sum())
        n_wraps += sum(e.n_u_wraps + e.n_drive_wraps for e in activity.events.values())
        n_saturations += sum(e.n_v_saturations for e in activity.events.values())
    labels = data.test.labels.numpy()[numbers]
    was_right, right = reference.classes == labels, np.concatenate(classes) == labels
    return {
        "n": len(labels),
        "float_accuracy": float(was_right.mean()),
        "accuracy": float(right.mean()),
        "only_float": int(np.sum(was_right & ~right)),
        "only_program": int(np.sum(right & ~was_right)),
        "float_rate": reference.rate,
        "rate": n_spikes / (sum(p.n_neurons for p in spiking) * data.n_steps * len(labels)),
        "n_wraps": n_wraps,
        "n_saturations": n_saturations,
    }


def table(facts: dict[str, Any], results: Sequence[Result]) -> list[str]:
    """A row a program."""
    samples, training = facts["samples"], facts["training"]
    lines = [
        f"**{results[0].data}**: student {facts['student']}, {facts['parameters']} parameters, "
        f"T = {training['n_steps']}, {training['epochs']} epochs on {samples['train']} samples of "
        f"{'x'.join(map(str, facts['input']))} ({training['precision']}); calibrated on {facts['n_calibration']} of "
        f"them; n = {facts['n_tests']} of {samples['test']} test samples.",
        "",
        "| seed | scales | target | float % | program % | points | only float right / only program "
        "| spikes per neuron and step, float / program |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.seed} | {r.way} | {', '.join(r.targets)} | {100 * r.float_accuracy:.2f} | {100 * r.accuracy:.2f} "
        f"| {100 * (r.accuracy - r.float_accuracy):+.2f} | {r.only_float} / {r.only_program} "
        f"| {r.float_rate:.4f} / {r.rate:.4f} |"
        for r in results
    ]
    for method in METHODS:
        points = [100 * (r.accuracy - r.float_accuracy) for r in results if r.way == method]
        lines.append(f"| mean | {method} | | | | {round(statistics.mean(points), 2) + 0.0:+.2f} | | |")
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, help="folder with MNIST's idx files; without it, digits only")
    parser.add_argument("--mnist-samples", type=int, default=None, help="use only so many training images")
    parser.add_argument(
        "--mnist-tests", type=int, default=None, help="simulate only so many test images, evenly spaced"
    )
    parser.add_argument("--mnist-epochs", type=int, default=3)
    parser.add_argument("--mnist-seeds", type=int, default=1)
    parser.add_argument("--width", type=float, default=0.25, help="of the VGG-9")
    parser.add_argument("--epochs", type=int, default=20, help="on digits")
    parser.add_argument("--seeds", type=int, default=3, help="of the digits student")
    parser.add_argument("--calibration", type=int, default=128, help="MNIST images; digits: all for training")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "benchmarks" / "post_training")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    digits = Setting(DataConfig(), "small", 1.0, 8, options.epochs, 64, "fp32")
    settings: list[tuple[Setting, int, int | None, int | None]] = [(digits, options.seeds, None, None)]
    if options.mnist:
        data = DataConfig(
            name="mnist",
            root=str(options.mnist),
            augment=(),
            max_train=options.mnist_samples,
        )
        setting = Setting(data, "vgg9", options.width, 4, options.mnist_epochs, 100, "auto")
        settings.append((setting, options.mnist_seeds, options.calibration, options.mnist_tests))
    document: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {options.threads} thread(s), torch {torch.__version__}",
    }
    lines = [f"Measured {document['date']} on {document['machine']}.", ""]
    for setting, n_seeds, n_calibration, n_tests in settings:
        facts: dict[str, Any] = {}
        results: list[Result] = []
        training_cpu_s: list[float] = []
        for seed in range(n_seeds):
            part = f"{setting.data.name}-{setting.epochs}-{setting.width:g}-{setting.data.max_train or 'all'}-{seed}"
            facts, found = run(setting, seed, n_calibration, n_tests, options.work / part)
            results += found
            training_cpu_s.append(facts["training_cpu_s"])
        document[setting.data.name] = {
            **facts,
            "training_cpu_s": training_cpu_s,
            "results": [asdict(r) for r in results],
        }
        lines += table(facts, results)
        write_figures(RESULTS / "post_training.json", document)
        write_table(DOCS / "quantising.md", "post_training.py", lines)


if __name__ == "__main__":
    main()
