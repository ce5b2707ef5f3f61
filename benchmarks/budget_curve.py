"""Accuracy against spikes per synapse: students of one start, with and without a teacher, under budgets for spikes.

    python benchmarks/budget_curve.py digits --work FOLDER
    python benchmarks/budget_curve.py cifar10 --root FOLDER --work FOLDER [--teacher FILE]

A student learns once as an ANN from hard labels; from its weights every point goes on with spikes: T = 1, 2 or 4,
five budgets (one of them none), by hard labels or by KD. Every point is judged on the whole test part. Points that
are done are kept in --work, one that was interrupted is resumed, and after each what there is is told: figures in
benchmarks/results/budget_curve.json, a plot with the published break-even bands in docs/images, the table in
docs/distillation.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from figures import DOCS, RESULTS, cpu_name, write_figures, write_table

from seamount.distill import checkpoint
from seamount.distill.budget import fan_out
from seamount.distill.config import DataConfig, DistillConfig, TeacherConfig, TrainConfig
from seamount.distill.data import Data, load_data
from seamount.distill.evaluate import student_output
from seamount.distill.progress import usual_progress
from seamount.distill.train import distill, train_as_ann, train_teacher
from seamount.hardware_targets.literature import literature
from seamount.models.spiking_net import INPUT, SpikingNet
from seamount.models.teachers import build_teacher
from seamount.models.zoo import build_student
from seamount.presets import FAST_TEACHER, PRESETS

N_STEPS = (2, 1, 4)
LESSONS = ("hard", "kd")

COUNTED = 2000
"""Test samples, at most, whose spikes are counted one by one."""


@dataclass(frozen=True)
class Plan:
    """What all points of a data set have in common.

    Attributes:
        per_step: budgets in spikes per synapse and step; None: no budget.
        lr: of the ANN; spikes go on with half of it.
        teacher_file: weights instead of a training.
    """

    data: DataConfig
    arch: str
    options: dict[str, Any]
    teacher: TeacherConfig
    ann_epochs: int
    epochs: int
    per_step: tuple[float | None, ...]
    train: TrainConfig
    seed: int
    teacher_file: str | None

    def load(self, n_steps: int) -> Data:
        return load_data(self.data, n_steps=n_steps)

    def student(self, data: Data) -> SpikingNet:
        torch.manual_seed(self.seed)
        return build_student(
            self.arch,
            n_classes=data.n_classes,
            input_shape=data.input_shape,
            n_steps=data.n_steps,
            input_bits=data.input_bits,
            input_scale=data.input_scale,
            **self.options,
        )

    def facts(self) -> dict[str, Any]:
        """Without places of this machine."""
        return {
            **asdict(self),
            "data": self.data.model_dump(exclude={"root", "cache"}),
            "teacher": self.teacher.model_dump(exclude={"checkpoint"}),
            "train": self.train.model_dump(),
            "teacher_file": self.teacher_file is not None,
        }


def plan_of(data: str, root: str | None, teacher_file: str | None, seed: int) -> Plan:
    """Small enough for one thread: digits in minutes, CIFAR-10 (10,000 training images) in two hours."""
    common = {"select_on": "last-epoch", "weight_decay": 0.015, "warmup_epochs": 0.1}
    match data:
        case "digits":
            return Plan(
                DataConfig(),
                arch="small",
                options={},
                teacher=TeacherConfig(epochs=10),
                ann_epochs=10,
                epochs=8,
                # the input alone takes 0.035
                per_step=(None, 0.17, 0.13, 0.1, 0.075),
                train=TrainConfig(batch_size=32, lr=4e-3, **common),
                seed=seed,
                teacher_file=teacher_file,
            )
        case "cifar10":
            # two views, so that the teacher is asked once for all points
            own = {"root": root, "crop_padding": 2, "validation": 0.1, "max_train": 10_000, "views": 2}
            return Plan(
                DataConfig.model_validate({**PRESETS["cifar10"]["data"], **own}),
                arch="vgg9",
                options={"width": 0.25},
                teacher=TeacherConfig(arch="fast", options={"width": 0.5}, epochs=6, lr=0.3, train=FAST_TEACHER),
                ann_epochs=12,
                epochs=3,
                # the input alone takes 0.045
                per_step=(None, 0.15, 0.11, 0.085, 0.07),
                train=TrainConfig(batch_size=100, lr=4e-3, precision="auto", **common),
                seed=seed,
                teacher_file=teacher_file,
            )
    raise ValueError(data)


@dataclass(frozen=True)
class Point:
    """One student.

    Attributes:
        budget: in spikes per synapse and inference; None: none.
    """

    lesson: str
    n_steps: int
    budget: float | None

    @property
    def name(self) -> str:
        return f"{self.lesson}-T{self.n_steps}-{self.budget or 'free'}"


def points(plan: Plan) -> list[Point]:
    """Pairs of lessons; T = 2 first, which the presets deploy."""
    return [
        Point(lesson, n_steps, None if limit is None else round(n_steps * limit, 3))
        for n_steps, limit, lesson in itertools.product(N_STEPS, plan.per_step, LESSONS)
    ]


def prepared(plan: Plan, work: Path) -> dict[str, Any]:
    """Trains the teacher and the ANN from whose weights all points go on; says how they came about."""
    told = work / "prepared.json"
    if not told.exists():
        started = time.process_time()
        data = plan.load(1)
        teacher = plan.teacher.model_copy(update={"checkpoint": plan.teacher_file})
        taught = train_teacher(data, teacher, plan.train, work / "teacher", seed=plan.seed, progress=usual_progress())
        checkpoint.save(work / "teacher.safetensors", taught.network.state_dict(), {})
        config = DistillConfig(method="hard", ann_epochs=plan.ann_epochs)
        found = train_as_ann(
            data,
            None,
            plan.student(data),
            config,
            plan.train,
            work / "start",
            seed=plan.seed,
            progress=usual_progress(),
        )
        facts = {"teacher": taught.test.accuracy, "ann": found.test.accuracy, "n": found.test.n}
        write_figures(told, {**facts, "n_train": len(data.train), "cpu_s": time.process_time() - started})
    return dict(json.loads(told.read_text()))


def measure(plan: Plan, point: Point, work: Path) -> dict[str, Any]:
    """Trains the student of a point and counts what it spends."""
    started = time.process_time()
    data = plan.load(point.n_steps)
    student = plan.student(data)
    start = work / "start" / "best.safetensors"
    checkpoint.put(student, checkpoint.load_weights(start), str(start))
    teacher = build_teacher(
        plan.teacher.arch, n_classes=data.n_classes, input_shape=data.input_shape, **plan.teacher.options
    )
    taught = work / "teacher.safetensors"
    checkpoint.put(teacher, checkpoint.load_weights(taught), str(taught))
    config = DistillConfig.model_validate(
        {
            "method": point.lesson,
            "spike_budget": None if point.budget is None else {"per_synapse": point.budget},
            "teacher_cache": str(work / "logits"),
        }
    )
    train = plan.train.model_copy(update={"epochs": plan.epochs, "lr": plan.train.lr / 2})
    folder = work / point.name
    trained = distill(data, teacher.eval(), student, config, train, folder, seed=plan.seed, progress=usual_progress())
    cpu_s = time.process_time() - started
    return {
        **asdict(point),
        "test": trained.test.accuracy,
        "anytime": trained.test.anytime,
        "n": trained.test.n,
        **spent(student.eval(), data),
        "cpu_s": cpu_s,
    }


def spent(student: SpikingNet, data: Data) -> dict[str, float]:
    """Operations of an inference, spike by spike: borders of maps and pixels of 0 left out."""
    fan = fan_out(student)
    total, n = 0.0, min(COUNTED, len(data.test))
    for numbers in torch.arange(n).split(250):
        batch = data.inputs(data.test, numbers)
        with torch.inference_mode():
            spikes = student_output(student, batch, record=True)[1]
        sent = {INPUT: ((batch.x * data.input_scale).round() != 0).float() * data.n_steps}
        sent |= {name: s.float().sum(0) for name, s in spikes.items() if name in fan.of}
        total += sum(float((s.sum(0) * fan.of[name]).sum()) for name, s in sent.items())
    return {
        "operations": total / n,
        "per_synapse": total / n / fan.n_synapses,
        "synapses": fan.n_synapses,
        "counted": n,
    }


# ------------------------------------------------------------------------------------------------------ telling


def tell(name: str, plan: Plan, work: Path) -> None:
    """Figures, plot and table of the points that are done; those of other data sets stay."""
    done = [work / "points" / f"{point.name}.json" for point in points(plan)]
    found = [json.loads(path.read_text()) for path in done if path.exists()]
    figures = RESULTS / "budget_curve.json"
    document = json.loads(figures.read_text()) if figures.exists() else {}
    document[name] = {
        "date": date.today().isoformat(),
        "machine": f"{cpu_name()}, shared with other work, 1 thread, torch {torch.__version__}",
        "plan": plan.facts(),
        "prepared": prepared(plan, work),
        "points": found,
    }
    write_figures(figures, document)
    plot(found, DOCS / "images" / f"budget-curve-{name}.png")
    lines = [line for each, one in sorted(document.items()) for line in table(each, one)]
    write_table(DOCS / "distillation.md", "budget_curve.py", lines)


def table(name: str, found: dict[str, Any]) -> list[str]:
    """A row for each T and budget, both lessons beside each other."""
    of = {Point(p["lesson"], p["n_steps"], p["budget"]): p for p in found["points"]}
    before, train = found["prepared"], found["plan"]["train"]
    lines = [
        f"**{name}**: {found['plan']['arch']}, {before['n_train']:,} training samples, {found['plan']['ann_epochs']} "
        f"epochs as an ANN ({100 * before['ann']:.1f} %), then {found['plan']['epochs']} with spikes, batch "
        f"{train['batch_size']}, one seed; teacher {found['plan']['teacher']['arch']} ({100 * before['teacher']:.1f} "
        f"%); n = {before['n']:,} test samples.",
        "",
        f"![accuracy against spikes per synapse](images/budget-curve-{name}.png)",
        "",
        "| T | budget | hard labels: test %, spikes per synapse | KD: test %, spikes per synapse |",
        "|---|---|---|---|",
    ]
    for n_steps, budget in dict.fromkeys((p.n_steps, p.budget) for p in of):
        pair = [of.get(Point(lesson, n_steps, budget)) for lesson in LESSONS]
        cells = [f"{100 * p['test']:.2f}, {p['per_synapse']:.3f}" if p else "not run" for p in pair]
        lines.append(f"| {n_steps} | {'none' if budget is None else f'{budget:g}'} | {' | '.join(cells)} |")
    return [*lines, ""]


def plot(found: Sequence[dict[str, Any]], path: Path) -> None:
    """Points over the published bands that are stated in spikes per synapse."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(8, 5), layout="constrained")
    colors = {1: "tab:orange", 2: "tab:blue", 4: "tab:green"}
    for lesson, style, fill in (("hard", "--", "none"), ("kd", "-", "full")):
        for n_steps in sorted(N_STEPS):
            own = sorted(
                (p["per_synapse"], 100 * p["test"]) for p in found if (p["lesson"], p["n_steps"]) == (lesson, n_steps)
            )
            if own:
                label = f"T = {n_steps}, {'hard labels' if lesson == 'hard' else 'KD'}"
                xs, ys = zip(*own, strict=True)
                axis.plot(xs, ys, f"o{style}", color=colors[n_steps], fillstyle=fill, label=label)
    for name, band in literature().bands.items():
        if band.quantity == "spikes_per_synapse":
            low, high = band.low.value, band.high.value
            label = f"break-even {name}: {low:g}" + (f" to {high:g}" if high > low else "")
            if high > low:
                axis.axvspan(low, high, color="gray", alpha=0.15, label=label)
            else:
                axis.axvline(low, color="gray", linestyle=":", label=label)
    axis.set_xscale("log")  # or the curves would stand in a corner beside the bands
    ticks = [0.05, 0.1, 0.2, 0.3, 0.5, 1, 1.5]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set_xlabel("synaptic operations of an inference, per synapse")
    axis.set_ylabel(f"test accuracy, % (n = {found[0]['n']:,})")
    axis.legend(fontsize="small", loc="lower right")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=("digits", "cifar10"))
    parser.add_argument("--root", help="folder with CIFAR-10")
    parser.add_argument("--teacher", help="weights of the teacher (.safetensors) instead of a training")
    parser.add_argument("--work", type=Path, required=True, help="where points are kept")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    plan = plan_of(options.data, options.root, options.teacher, options.seed)
    (options.work / "points").mkdir(parents=True, exist_ok=True)
    print(prepared(plan, options.work), flush=True)
    for point in points(plan):
        kept = options.work / "points" / f"{point.name}.json"
        if not kept.exists():
            write_figures(kept, measure(plan, point, options.work))
            tell(options.data, plan, options.work)
        found = json.loads(kept.read_text())
        told = f"{100 * found['test']:.2f} %, {found['per_synapse']:.3f} per synapse, {found['cpu_s']:.0f} CPU s"
        print(f"{point.name}: {told}", flush=True)
    tell(options.data, plan, options.work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
