"""How many bits weights need: accuracy with 8, 6, 4 and 3 of them, only rounded, and fine-tuned in integers.

    python benchmarks/weight_bits.py --mnist FOLDER

Students learn from hard labels. "rounded" programs are made of the float student by the scale searches "mse" and
"calibrated" (with training samples); the fine-tuned ones of the quantised student, which starts from the same float
one. All are simulated on the same test samples. Students and results are kept in --work, and every part is resumed if
the script is. Writes benchmarks/results/weight_bits.json and the table in docs/quantising.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figures import DOCS, RESULTS, cpu_name, write_figures, write_table
from numpy.typing import NDArray
from post_training import ROOT, Answers, Result, Setting, compare, float_answers, train

from seamount.compile.lower.scale_search import Method, SearchOptions
from seamount.compile.pipeline import Compiled, CompileOptions, compile_graph
from seamount.distill import checkpoint
from seamount.distill.config import DataConfig, DistillConfig, QuantConfig, TrainConfig
from seamount.distill.data import Data, load_data
from seamount.distill.quantised import QuantisedStudent
from seamount.distill.train import finetune_quantised
from seamount.hardware_targets.target import load_target
from seamount.models.spiking_net import SpikingNet
from seamount.run.export import export_student

BITS = (8, 6, 4, 3)
ROUNDED: tuple[Method, ...] = ("mse", "calibrated")
WAYS = (*ROUNDED, "fine-tuned")
TARGET = "loihi1"


@dataclass(frozen=True)
class Study:
    """A student, how it learns and is fine-tuned, and how many samples judge it.

    Attributes:
        n_tests: of the test part, evenly spaced; None: all.
    """

    setting: Setting
    n_seeds: int
    quant: QuantConfig
    n_tests: int | None


def run(study: Study, seed: int, folder: Path) -> tuple[dict[str, Any], list[Result]]:
    """A student and all of its programs."""
    setting = study.setting
    data = load_data(setting.data, n_steps=setting.n_steps)
    network, cpu_s = train(data, setting, seed, folder)
    export_student(network, folder / "student.nir")
    numbers = np.arange(0, len(data.test), max(1, len(data.test) // (study.n_tests or len(data.test))))
    reference: Answers | None = None
    results = []
    for bits in BITS:
        for way in WAYS:
            kept = folder / f"{way}-{bits}-{study.quant.epochs}-{len(numbers)}.json"
            if not kept.exists():
                started = time.process_time()
                made = program(data, network, study, seed, bits, way, folder)
                reference = reference or float_answers(data, network, numbers)
                found = compare(data, made, reference, numbers)
                told = {"data": data.name, "seed": seed, "bits": bits, "way": way, **found}
                kept.write_text(json.dumps({**told, "cpu_s": time.process_time() - started}))
            results.append(Result(**json.loads(kept.read_text()), targets=(TARGET,)))
            last = results[-1]
            print(f"{data.name} {seed} {bits} {way}: {100 * last.accuracy:.2f} %, {last.cpu_s:.0f} s", flush=True)
    facts = {
        "student": f"{setting.arch}, width {setting.width:g}",
        "parameters": sum(p.numel() for p in network.parameters()),
        "samples": {"train": len(data.train), "test": len(data.test)},
        "input": [*data.input_shape],
        "training": asdict(setting) | {"data": setting.data.model_dump(exclude={"root", "cache"})},
        "quant": study.quant.model_dump(),
        "training_cpu_s": cpu_s,
        "n_tests": len(numbers),
    }
    return facts, results


def program(data: Data, network: SpikingNet, study: Study, seed: int, bits: int, way: str, folder: Path) -> Compiled:
    """The program of one way."""
    target = load_target(TARGET)
    if way == "fine-tuned":
        student = fine_tuned(data, network, study, seed, bits, folder / f"fine-tuned-{bits}-{study.quant.epochs}")
        return compile_graph(student.to_nir(), target, CompileOptions(weight_bits=bits))
    method: Method = "calibrated" if way == "calibrated" else "mse"
    calibration = samples(data, study) if method == "calibrated" else None
    options = CompileOptions(search=SearchOptions(method), weight_bits=bits, calibration=calibration)
    return compile_graph(folder / "student.nir", target, options)


def samples(data: Data, study: Study) -> NDArray[np.float64]:
    """Training samples as the float student takes them."""
    n = min(len(data.train), study.quant.calibration_samples)
    return data.chip_inputs(data.train, list(range(n))) / data.input_scale


def fine_tuned(data: Data, network: SpikingNet, study: Study, seed: int, bits: int, folder: Path) -> QuantisedStudent:
    """The student trained on in integers; what was done before is kept."""
    student = QuantisedStudent(network, formats=load_target(TARGET).chip.formats, weight_bits=bits)
    done = folder / "quantised.safetensors"
    if done.exists():
        checkpoint.put(student, checkpoint.load_weights(done), str(done))
        return student.eval()
    train_config = TrainConfig(batch_size=study.setting.batch_size)
    finetune_quantised(
        data, None, student, DistillConfig(method="hard"), study.quant, train_config, folder, seed=seed
    )
    checkpoint.save(done, student.state_dict(), {})
    return student.eval()


def table(facts: dict[str, Any], results: Sequence[Result]) -> list[str]:
    """A row for each number of bits; points of accuracy that a program has more than its float student."""
    training, quant = facts["training"], facts["quant"]
    seeds = sorted({r.seed for r in results})
    exact = float(np.mean([r.float_accuracy for r in results if (r.bits, r.way) == (BITS[0], WAYS[0])]))
    lines = [
        f"**{results[0].data}**: student {facts['student']}, {facts['parameters']} parameters, "
        f"T = {training['n_steps']}, {training['epochs']} epochs on {facts['samples']['train']} samples of "
        f"{'x'.join(map(str, facts['input']))}; fine-tuned for {quant['epochs']} "
        f"{'epoch' if quant['epochs'] == 1 else 'epochs'}; {len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'}, "
        f"n = {facts['n_tests']} of {facts['samples']['test']} test samples each. Float: {100 * exact:.2f} %.",
        "",
        "| bits | rounded, mse | rounded, calibrated | fine-tuned |",
        "|---|---|---|---|",
    ]
    for bits in BITS:
        cells = [cell([r for r in results if (r.bits, r.way) == (bits, way)]) for way in WAYS]
        lines.append(f"| {bits} | {' | '.join(cells)} |")
    return [*lines, ""]


def cell(results: Sequence[Result]) -> str:
    """Mean accuracy over the seeds (lowest to highest), and the difference from float with its 95 % interval.

    The interval is of the paired difference: only samples that one of the two gets right say anything about it.
    """
    found = [100 * r.accuracy for r in results]
    n = sum(r.n for r in results)
    lost, won = sum(r.only_float for r in results), sum(r.only_program for r in results)
    points = (won - lost) / n
    half = 1.96 * float(np.sqrt(max(0.0, (won + lost) / n - points**2) / n))
    spread = f" ({min(found):.2f} to {max(found):.2f})" if len(found) > 1 else ""
    return f"{np.mean(found):.2f}{spread}, {100 * points:+.2f} ± {100 * half:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, help="folder with MNIST's idx files; without it, digits only")
    parser.add_argument("--mnist-samples", type=int, default=10000, help="use only so many training images")
    parser.add_argument("--mnist-tests", type=int, default=2000, help="of the test images, evenly spaced")
    parser.add_argument("--mnist-seeds", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3, help="of the digits student")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "benchmarks" / "weight_bits")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    digits = Setting(DataConfig(), "small", 1.0, 8, 20, 64, "fp32")
    studies = [Study(digits, options.seeds, QuantConfig(epochs=6), None)]
    if options.mnist:
        data = DataConfig(name="mnist", root=str(options.mnist), augment=(), max_train=options.mnist_samples)
        mnist = Setting(data, "small", 1.0, 4, 3, 100, "fp32")
        quant = QuantConfig(epochs=1, calibration_samples=128)
        studies.append(Study(mnist, options.mnist_seeds, quant, options.mnist_tests))
    document: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": f"{cpu_name()} ({platform.machine()}), {options.threads} thread(s), torch {torch.__version__}",
    }
    lines = [
        f"Measured {document['date']} on {document['machine']}, target {TARGET}. Accuracy in percent, the mean of "
        "the seeds (lowest to highest), then points above the float student with the 95 % interval of the paired "
        "difference over all test samples.",
        "",
    ]
    for study in studies:
        results: list[Result] = []
        facts: dict[str, Any] = {}
        for seed in range(study.n_seeds):
            setting = study.setting
            part = f"{setting.data.name}-{setting.epochs}-{setting.width:g}-{setting.data.max_train or 'all'}-{seed}"
            facts, found = run(study, seed, options.work / part)
            results += found
        document[study.setting.data.name] = {**facts, "results": [asdict(r) for r in results]}
        lines += table(facts, results)
        write_figures(RESULTS / "weight_bits.json", document)
        write_table(DOCS / "quantising.md", "weight_bits.py", lines)


if __name__ == "__main__":
    main()
