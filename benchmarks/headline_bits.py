"""A finished run with fewer bits for its weights: accuracy, firing rates and spikes of the deployed program.

    python benchmarks/headline_bits.py RUN --work FOLDER --bits 8 6 4

RUN is the folder of a finished ``seamount run``, which stays as it is. For each number of bits its float student is
trained on in integers, as the run's own configuration says (``--quant-epochs 0`` only rounds), compiled, and run on
the whole test set (``--tests`` takes the first of it). The row of the run's own bits is read from its folder.
Distances of firing rates, float student against program, are of the run's traced samples. A row that is done is kept
in --work, a training that was interrupted is resumed. Writes benchmarks/results/headline_bits.json and the table in
docs/distillation.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figures import DOCS, RESULTS, cpu_name, write_figures, write_table
from numpy.typing import NDArray

from seamount.compile.fit.place.load import connections
from seamount.compile.numbers import FULL_SCALE_BITS
from seamount.compile.pipeline import CompileOptions, compile_graph
from seamount.compile.program.activity import Activity
from seamount.compile.program.activity_file import load_activity
from seamount.compile.program.program import Program
from seamount.compile.program.streaming import why_not_streamed, windows_of
from seamount.compile.synapses.kinds import Wire
from seamount.distill.progress import usual_progress
from seamount.distill.quantised import QuantisedStudent
from seamount.distill.train import finetune_quantised
from seamount.hardware_targets.simulator import simulate
from seamount.report.evidence import window
from seamount.report.parts.divergence import Sides, rate_distance
from seamount.report.schema.quantities import wilson
from seamount.run.answers import batches, read_answers, read_arrays
from seamount.run.budget import in_operations
from seamount.run.reporting import Finished, open_finished
from seamount.run.stages import DISTILL, QUANTISE, SIMULATE, TEACHER
from seamount.run.stages.distill import trained_student
from seamount.run.stages.teacher import trained_teacher
from seamount.run.whole_set import run_all

Array = NDArray[Any]


@dataclass(frozen=True)
class Deployed:
    """A program and what it did.

    Attributes:
        correct: of each test sample, (n,). counts: of all of them. traced: spikes of the first.
    """

    program: Program
    correct: Array
    counts: Activity
    traced: Activity


def own_program(run: Finished) -> Deployed:
    """The one that the run has deployed."""
    folder = run.of(SIMULATE)
    answers = read_answers(folder)
    correct = answers["predictions"] == answers["labels"]
    counts, traced = (load_activity(folder / name) for name in ("counts.npz", "trace.npz"))
    return Deployed(run.program(), correct, counts, traced)


def with_bits(run: Finished, bits: int, quant_epochs: int | None, n_tests: int | None, folder: Path) -> Deployed:
    """The run's float student in so many bits."""
    program = trained_program(run, bits, quant_epochs, folder)
    test = run.data.test
    n = min(len(test), n_tests or len(test))
    parts = [partial(run.data.chip_inputs, test, numbers) for numbers in batches(n)]
    whole = run_all(program, parts, n, progress=usual_progress())
    assert whole is not None, "this process is alone"
    assert whole.per_step is not None, "a student has a readout"
    first = torch.arange(load_activity(run.of(SIMULATE) / "trace.npz").n_samples)
    traced = simulate(program, run.data.chip_inputs(test, first), record=("spikes",))
    return Deployed(program, whole.per_step[-1] == test.labels[:n].numpy(), whole.counts, traced)


def trained_program(run: Finished, bits: int, quant_epochs: int | None, folder: Path) -> Program:
    """As the run's own stage makes it; stages are not asked, because an older run's would all be done again."""
    reads = QUANTISE.settings(run.config)
    student = trained_student(run.of(DISTILL), reads.student, reads.compile, run.data)
    quantised = QuantisedStudent(student, formats=run.target.chip.formats, weight_bits=bits)
    epochs = reads.quant.epochs if quant_epochs is None else quant_epochs
    finetune_quantised(
        run.data,
        trained_teacher(run.of(TEACHER), reads.teacher, run.data),
        quantised,
        in_operations(reads.distill, student),
        reads.quant.model_copy(update={"weight_bits": bits, "epochs": epochs}),
        reads.train,
        folder,
        seed=reads.run.seed,
        progress=usual_progress(),
    )
    return compile_graph(quantised.eval().to_nir(), run.target, CompileOptions(weight_bits=bits)).program


# ------------------------------------------------------------------------------------------------------ figures


def row(bits: int, found: Deployed, float_spikes: Mapping[str, Array]) -> dict[str, Any]:
    program, counts = found.program, found.counts
    n_correct, n = int(found.correct.sum()), len(found.correct)
    streamed = why_not_streamed(program) is None
    counted = windows_of(program, counts) if streamed else counts
    operations = sum(float(events.sops.sum()) for events in counted.events.values()) / counts.n_samples
    spikes = sum(int(events.n_spikes.sum()) for events in counted.events.values()) / counts.n_samples
    synapses = sum(connections(program, s, zeros=False) for s in program.synapses if not isinstance(s.kind, Wire))
    return {
        "bits": bits,
        "accuracy": n_correct / n,
        "interval": wilson(n_correct, n),
        "n": n,
        "rate_distance": distances(found, float_spikes),
        "traced": found.traced.n_samples,
        "streamed": streamed,
        "spikes": spikes,
        "operations": operations,
        "per_synapse": operations / synapses,
    }


def distances(found: Deployed, float_spikes: Mapping[str, Array]) -> dict[str, float]:
    """Earth mover's distance of the firing rates of each population that both sides have."""
    made = {}
    for name, trace in found.traced.spikes.items():
        if name in float_spikes:
            deployed = window(found.program, found.traced, name, trace)
            own = np.asarray(float_spikes[name]).reshape(deployed.shape)
            both = Sides(name, True, found.traced.n_samples, "float student", deployed, own, "")
            made[name] = float(rate_distance(both).value or 0)
    return made


def table(found: Mapping[str, Any]) -> list[str]:
    rows = found["rows"]
    lines = [
        f"The run {found['run']}: float student {100 * found['float']:.2f} %; n test samples; rates over its first "
        f"{rows[0]['traced']} of them; "
        f"{'streamed' if rows[0]['streamed'] else 'single samples'}; {found['machine']}.",
        "",
        "| bits | deployed % (95 % interval) | n | EMD of rates, mean (largest) | spikes | per synapse |",
        "|---|---|---|---|---|---|",
    ]
    for one in rows:
        each = one["rate_distance"]
        worst = max(each, key=lambda name: each[name])
        low, high = (100 * bound for bound in one["interval"])
        lines.append(
            f"| {one['bits']} | {100 * one['accuracy']:.2f} ({low:.2f} to {high:.2f}) | {one['n']:,} "
            f"| {statistics.mean(each.values()):.4f} ({each[worst]:.4f} in {worst}) "
            f"| {one['spikes']:,.0f} | {one['per_synapse']:.3f} |"
        )
    return [*lines, ""]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--work", type=Path, required=True, help="where rows and trainings are kept")
    parser.add_argument("--bits", type=int, nargs="+", default=(8, 6, 4))
    parser.add_argument("--quant-epochs", type=int, help="of training in integers; default: the run's own")
    parser.add_argument("--tests", type=int, help="test samples, the first ones; default: all")
    parser.add_argument("--no-table", action="store_true", help="print alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = open_finished(options.run)
    options.work.mkdir(parents=True, exist_ok=True)
    spikes = read_arrays(run.of(SIMULATE) / "float_spikes.npz")
    answered = read_answers(run.of(DISTILL))
    document: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": f"{cpu_name()}, 1 thread",
        "run": options.run.name,
        "float": float((answered["predictions"] == answered["labels"]).mean()),
        "quant_epochs": options.quant_epochs,
        "rows": [],
    }
    own = run.config.quant.weight_bits or FULL_SCALE_BITS
    for bits in options.bits:
        name = f"{options.run.name}-{bits}-{options.quant_epochs}-{options.tests}"
        kept, started = options.work / f"{name}.json", time.process_time()
        if not kept.exists():
            taken = bits == own and options.quant_epochs in (None, run.config.quant.epochs) and options.tests is None
            found = (
                own_program(run)
                if taken
                else with_bits(run, bits, options.quant_epochs, options.tests, options.work / name)
            )
            write_figures(kept, {**row(bits, found, spikes), "cpu_s": time.process_time() - started})
        document["rows"].append(json.loads(kept.read_text()))
        if not options.no_table:
            write_figures(RESULTS / "headline_bits.json", document)
            write_table(DOCS / "distillation.md", "headline_bits.py", table(document))
        print(*table(document), sep="\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
