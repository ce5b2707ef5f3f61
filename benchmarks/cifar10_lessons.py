"""The students of the CIFAR-10 benchmark's comparison: how each learns, and the table of all."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from cifar10_plan import Plan, n_parameters, the_teacher
from figures import DOCS, RESULTS, write_figures, write_table

from seamount.distill import checkpoint
from seamount.distill.budget import fan_out
from seamount.distill.config import DistillConfig, TrainConfig
from seamount.distill.data import Data
from seamount.distill.methods import needs_teacher, weights_of
from seamount.distill.train import Trained, distill
from seamount.models.spiking_net import INPUT, SpikingNet
from seamount.models.zoo import build_student


@dataclass(frozen=True)
class Lesson:
    """One student of the comparison."""

    name: str
    method: str | dict[str, float]
    seed: int
    epochs: int
    settings: dict[str, Any]
    n_steps: int = 2
    width: float = 0.25
    start: str | None = None


def teach(plan: Plan, data: Data, lesson: Lesson) -> dict[str, Any]:
    started, cpu = time.monotonic(), time.process_time()
    # direct coding shows the same images at each step
    data = replace(data, n_steps=lesson.n_steps, config=plan.data(views=plan.views if lesson.start else None))
    torch.manual_seed(lesson.seed)
    student = build_student(
        "vgg9",
        n_classes=data.n_classes,
        input_shape=data.input_shape,
        n_steps=lesson.n_steps,
        width=lesson.width,
    )
    if lesson.start is not None:
        path = plan.work / "lessons" / lesson.start / "best.safetensors"
        checkpoint.put(student, checkpoint.load_weights(path), str(path))
    config = DistillConfig.model_validate(
        {
            "method": lesson.method,
            "student_maps": ["conv7"],
            "teacher_maps": ["stage2", "stage3"],
            "teacher_cache": str(plan.work / "logits"),
            **lesson.settings,
        }
    )
    train = TrainConfig(
        epochs=lesson.epochs,
        batch_size=plan.batch_size,
        lr=4e-3,
        weight_decay=0.015,
        # a start is not the end: its rate stays up for what follows
        schedule="constant" if lesson.name.startswith("start-") else "cosine",
        warmup_epochs=0.0 if lesson.start else 0.5,
        precision="auto",
        select_on="last-epoch",
    )
    trained = distill(
        data,
        the_teacher(plan, data) if needs_teacher(weights_of(config.method), config.options) else None,
        student,
        config,
        train,
        plan.work / "lessons" / lesson.name,
        seed=lesson.seed,
        device=plan.device,
    )
    return {
        **asdict(lesson),
        "test": trained.test.accuracy,
        "anytime": trained.test.anytime,
        "validation_by_epoch": [e.validation[-1] for e in trained.history],
        "seconds_by_epoch": [round(e.seconds, 3) for e in trained.history],
        "terms": dict(trained.history[-1].terms),
        **spending(student.cpu(), trained, lesson.n_steps),
        "wall_s": time.monotonic() - started,
        "cpu_s": time.process_time() - cpu,
    }


def spending(student: SpikingNet, trained: Trained, n_steps: int) -> dict[str, Any]:
    """Operations of an inference by mean rates and mean fan-out; every pixel counts as one spike a step."""
    fan = fan_out(student)
    inner = {name: trained.test.rates[name] * n_steps * float(f.sum()) for name, f in fan.of.items() if name != INPUT}
    entrance = n_steps * float(fan.of[INPUT].sum())
    return {
        "synapses": fan.n_synapses,
        "operations": sum(inner.values()) + entrance,
        "per_synapse": (sum(inner.values()) + entrance) / fan.n_synapses,
        "rates": dict(trained.test.rates),
        "parameters": n_parameters(student),
    }


METHODS: dict[str, tuple[str | dict[str, float], dict[str, Any]]] = {
    "hard": ("hard", {}),
    "kd": ("kd", {}),
    "sastc": ("sastc", {}),
    "seal-kd": ("seal-kd", {}),
    "seal-kd-and-kd": ({"hard": 1.0, "ela": 0.6, "sta": 0.15, "kd": 1.0}, {}),
    "kd-per-step": ("kd-per-step", {}),
    "seal-kd-and-sastc": ("seal-kd+sastc", {}),
    "seal-kd-and-sastc-every-4": ("seal-kd+sastc", {"sastc_every": 4}),
    "kd-hta": ("kd", {"divergence": "hta-kl"}),
    "seal-kd-hta": ("seal-kd", {"divergence": "hta-kl"}),
    "twsnn": ("twsnn", {}),
    "sastc-every-4": ("sastc", {"sastc_every": 4}),
    "sastc-last": ("sastc", {"teacher_maps": ["stage3"]}),
    "sastc-last-side-2": ("sastc", {"teacher_maps": ["stage3"], "sastc_side": 2}),
    "sastc-side-4-every-2": ("sastc", {"sastc_every": 2, "sastc_side": 4}),
}
"""Of the comparison: name -> the method, and further settings of ``[distill]``."""


LONG = 4
"""Epochs beyond which a table shows how a lesson came there."""


def lessons(plan: Plan, n_seeds: int) -> list[Lesson]:
    """The comparison, the most wanted first."""
    found = [
        Lesson(f"{name}-{seed}", method, seed, plan.epochs, settings)
        for seed in range(n_seeds)
        for name, (method, settings) in METHODS.items()
    ]
    budgets = [
        Lesson(f"budget-{name}-{limit:g}-T{n_steps}", name, 0, plan.epochs, spending_limit(limit), n_steps)
        for limit in (0.1, 0.2, 0.3)
        for n_steps in (2,)
        for name in ("hard", "sastc")
    ]
    budgets += [
        Lesson(f"budget-{name}-{limit:g}-T{n_steps}", name, 0, plan.epochs, spending_limit(limit), n_steps)
        for n_steps, limits in ((4, (0.2, 0.4)), (1, (0.1, 0.2)))
        for limit in limits
        for name in ("hard", "sastc")
    ]
    budgets += [
        Lesson(f"free-{name}-T{n_steps}", name, 0, plan.epochs, {}, n_steps)
        for n_steps in (1, 4)
        for name in ("hard", "sastc")
    ]
    # about the CPU time that a teacher's lesson of once the epochs takes
    twice = [Lesson(f"hard-twice-{seed}", "hard", seed, 2 * plan.epochs, {}) for seed in range(n_seeds)]
    long = [Lesson(f"long-{name}", name, 0, plan.long_epochs, {}) for name in ("hard", "sastc", "kd")]
    ann = [
        Lesson(f"ann-{name}-{seed}", name, seed, plan.epochs, {"ann_epochs": 2 * plan.epochs})
        for seed in range(n_seeds)
        for name in ("hard", "kd", "sastc")
    ]
    return [*found[: len(METHODS)], *ann, *twice, *long, *found[len(METHODS) :], *budgets]


def from_shared_starts(plan: Plan, wanted: Sequence[Lesson]) -> tuple[list[Lesson], list[Lesson]]:
    """The starts that the wanted lessons need, and these lessons behind them; what starts as an ANN needs none."""
    if not plan.start_epochs:
        return [], list(wanted)
    behind = [one if "ann_epochs" in one.settings else replace(one, start=f"start-{one.seed}") for one in wanted]
    seeds = sorted({one.seed for one in behind if one.start is not None})
    return [Lesson(f"start-{seed}", "hard", seed, plan.start_epochs, {}) for seed in seeds], behind


def spending_limit(limit: float) -> dict[str, Any]:
    return {"spike_budget": {"per_synapse": limit}}


def tell(out: Path, comparison: str) -> None:
    """Adds lessons that are done to those of the comparison, and makes the table of all of them."""
    done = json.loads((out / "cifar10.json").read_text())["found"]
    figures = json.loads((RESULTS / "cifar10.json").read_text())
    found = figures[comparison]["found"]
    found |= {name: value for name, value in done.items() if "test" in value and "method" in value}
    write_figures(RESULTS / "cifar10.json", figures)
    write_table(DOCS / "distillation.md", f"cifar10.py --tell {comparison}", table(found))


def table(found: dict[str, Any]) -> list[str]:
    """A row for each lesson: mean over its seeds, and the spread where there are several."""
    lessons_of: dict[str, list[dict[str, Any]]] = {}
    for name, value in found.items():
        if "method" in value and not name.startswith("start-"):
            kind = name if value["name"].startswith(("budget", "free", "long")) else name.rpartition("-")[0]
            lessons_of.setdefault(kind, []).append(value)
    hard = {value["seed"]: value["test"] for value in lessons_of.get("hard", [])}
    lines = [
        "| lesson | seeds | test %, mean (each) | minus hard | after step 1 | per synapse | operations | CPU s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind, values in lessons_of.items():
        mean = {
            key: statistics.mean(v[key] for v in values) for key in ("test", "per_synapse", "operations", "cpu_s")
        }
        first = statistics.mean(v["anytime"][0] for v in values)
        each = ", ".join(f"{100 * v['test']:.2f}" for v in values)
        gains = [100 * (v["test"] - hard[v["seed"]]) for v in values if v["seed"] in hard]
        gain = f"{statistics.mean(gains):+.2f}" if gains and kind != "hard" else ""
        lines.append(
            f"| {kind} | {len(values)} | {100 * mean['test']:.2f} ({each}) | {gain} | {100 * first:.2f} "
            f"| {mean['per_synapse']:.3f} | {mean['operations'] / 1e6:.2f} M | {mean['cpu_s']:.0f} |"
        )
    long = {name: value for name, value in found.items() if len(value.get("validation_by_epoch", ())) > LONG}
    return lines + (by_epoch(long) if long else [])


def by_epoch(found: dict[str, Any]) -> list[str]:
    """Where a long lesson stops improving: its accuracy on the validation part after each epoch."""
    lines = ["", "| lesson | validation % after each epoch |", "|---|---|"]
    for name, value in found.items():
        each = ", ".join(f"{100 * accuracy:.1f}" for accuracy in value["validation_by_epoch"])
        lines.append(f"| {name} | {each} |")
    return lines
