"""The students of the CIFAR-10 benchmark that go all the way to the program."""

from __future__ import annotations

import json
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from cifar10_jobs import stamp
from cifar10_plan import Plan, the_teacher

from seamount.config import Config, parse
from seamount.distill.data import Data, Samples
from seamount.distill.quantised import QuantisedStudent
from seamount.distill.train import distill, finetune_quantised
from seamount.models.zoo import build_student
from seamount.presets import PRESETS
from seamount.run.pipeline import run_stages
from seamount.run.told import Told


@dataclass(frozen=True)
class Deployed:
    """A student that goes all the way to the program."""

    name: str
    arch: str
    width: float
    n_steps: int
    seed: int = 0


DEPLOYED = (
    Deployed("cifar10-resnet18", "resnet18", 0.5, 2),
    Deployed("cifar10-vgg9", "vgg9", 0.5, 2),
)
TINY_DEPLOYED = (Deployed("cifar10-vgg9", "vgg9", 0.0625, 2),)


def deploy(plan: Plan, data: Data, found: Deployed) -> dict[str, Any]:
    """Measures an epoch, chooses as many as the time allows, and runs the product's stages."""
    started = time.monotonic()
    torch.set_num_threads(1 if plan.tiny else 4)
    config = deployed_config(plan, found, epochs=2, quant_epochs=0)
    probe = run_probe(plan, data, found, config)
    left = plan.headline_ends - time.time()
    reserve = 10 if plan.tiny else 45
    quant = 1 if probe["integer_epoch_s"] < 0.15 * left else 0
    # with half as many as an ANN before, which take half of the time
    of_one = max(1.25 * probe["epoch_s"], 1e-3)
    epochs = int((left - reserve - quant * probe["integer_epoch_s"]) * 0.85 / of_one)
    epochs = 1 if plan.tiny else max(8, min(epochs, 150))
    print(f"{found.name}: {probe}, {epochs} epochs, {quant} in integers, {left:.0f} s left", flush=True)
    config = deployed_config(plan, found, epochs=epochs, quant_epochs=quant)
    folder = plan.work / "runs" / found.name
    run_stages(
        config,
        folder,
        resume=folder.exists(),
        until="simulate",
        told=Told(stage=lambda text: stamp(found.name, text)),
    )
    return {"probe": probe, "epochs": epochs, "wall_s": time.monotonic() - started, **read_run(folder)}


def deployed_config(plan: Plan, found: Deployed, *, epochs: int, quant_epochs: int) -> Config:
    preset = PRESETS["cifar10"]
    document = {
        **preset,
        "run": {"device": plan.device, "seed": found.seed},
        "data": plan.data(augment=["crop", "alternating-flip", "cutout"], cutout_size=8).model_dump(),
        "teacher": {**plan.teacher().model_dump(), "checkpoint": str(plan.teacher_file)},
        "student": {"arch": found.arch, "n_steps": found.n_steps, "options": {"width": found.width}},
        "distill": {
            **preset["distill"],
            "ann_epochs": epochs // 2,
            "one_step_epochs": 0,
            "spike_budget": None if plan.tiny else {"per_synapse": 0.35},
        },
        "train": {**preset["train"], "epochs": epochs, "batch_size": 256 if not plan.tiny else plan.batch_size},
        "quant": {**preset["quant"], "epochs": quant_epochs},
        "report": {"n_compared": 2 if plan.tiny else 32},
    }
    return parse(document, found.name)


def run_probe(plan: Plan, data: Data, found: Deployed, config: Config) -> dict[str, float]:
    """Seconds of an epoch of each kind, from two epochs and from a few integer steps."""
    torch.manual_seed(1)
    student = build_student(
        found.arch,
        n_classes=data.n_classes,
        input_shape=data.input_shape,
        n_steps=found.n_steps,
        width=found.width,
    )
    folder = plan.work / "probes" / found.name
    teacher = the_teacher(plan, data)
    data = replace(data, n_steps=found.n_steps)
    # without the budget, which may silence a student that is trained so briefly
    plain = config.distill.model_copy(update={"spike_budget": None, "ann_epochs": 0})
    trained = distill(data, teacher, student, plain, config.train, folder / "float", device=plan.device)
    result = {"epoch_s": min(e.seconds for e in trained.history[-1:]), "integer_epoch_s": float("inf")}
    try:
        n = min(4 * config.train.batch_size, len(data.train))
        few = first_images(data, n)
        quant = config.quant.model_copy(update={"epochs": 2, "calibration_samples": 64})
        integers = QuantisedStudent(trained.network.cpu())  # type: ignore[arg-type]
        tuned = finetune_quantised(
            few, teacher, integers, plain, quant, config.train, folder / "integers", device=plan.device
        )
        result["integer_epoch_s"] = tuned.history[-1].seconds * len(data.train) / n
    except Exception:  # the integers are the part that may fail on a new machine: rounding alone is left then
        traceback.print_exc()
    return result


def first_images(data: Data, n: int) -> Data:
    """The same with n training images, and a few of the other parts."""

    def first(part: Samples, most: int) -> Samples:
        return part.subset(torch.arange(min(most, len(part))))

    return replace(data, train=first(data.train, n), val=first(data.val, 64), test=first(data.test, 64))


def read_run(folder: Path) -> dict[str, Any]:
    """What the stages of a run say that are done."""
    found: dict[str, Any] = {}
    for stage in sorted((folder / "stages").glob("*")):
        for name in ("metrics.json", "proof.json", "status.json"):
            if (stage / name).exists():
                content = json.loads((stage / name).read_text())
                if name == "status.json":
                    content = {"seconds": content["seconds"]}
                found[f"{stage.name}/{name}"] = content
    return found
