"""How much of the CIFAR-10 benchmark is done, and its teacher."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from seamount.distill import checkpoint
from seamount.distill.config import DataConfig, TeacherConfig, TrainConfig
from seamount.distill.data import Data
from seamount.distill.train import train_teacher
from seamount.models.teachers import build_teacher
from seamount.presets import FAST_TEACHER, PRESETS


@dataclass(frozen=True)
class Plan:
    """How much is done.

    Attributes:
        ends: time.time() at which all is over; headline_ends: at which the deployed students are.
        start_epochs: of hard labels, from whose weights all lessons of a seed go on; 0: each from its own start.
        given_teacher: weights to use instead of training.
        views: of each image that lessons see in turn, so that the teacher is asked once for all of them.
    """

    device: str
    root: str
    work: Path
    ends: float
    headline_ends: float
    tiny: bool
    teacher_epochs: int
    teacher_width: float
    epochs: int
    long_epochs: int
    start_epochs: int
    batch_size: int
    n_train: int | None
    given_teacher: Path | None
    views: int | None

    def data(self, **changes: Any) -> DataConfig:
        # a tenth is held out, or differences of a point could not be seen in it
        section = {**PRESETS["cifar10"]["data"], "validation": 0.1, "root": self.root, **changes}
        if self.tiny:
            section |= {"max_train": self.n_train, "max_test": 200}
        return DataConfig.model_validate(section)

    @property
    def teacher_file(self) -> Path:
        return self.given_teacher or self.work / "teacher.safetensors"

    def teacher(self) -> TeacherConfig:
        return TeacherConfig(
            arch="fast",
            options={"width": self.teacher_width},
            epochs=self.teacher_epochs,
            lr=0.3,
            train={**FAST_TEACHER, "warmup_epochs": 0.2 * self.teacher_epochs},
        )


def train_the_teacher(plan: Plan, data: Data) -> dict[str, Any]:
    started, cpu = time.monotonic(), time.process_time()
    trained = train_teacher(data, plan.teacher(), TrainConfig(), plan.work / "teacher", device=plan.device)
    # half the bytes, and the same answers but for a few of ten thousand
    halves = {name: v.bfloat16() if v.is_floating_point() else v for name, v in trained.network.state_dict().items()}
    checkpoint.save(plan.teacher_file, halves, {"best_epoch": trained.best_epoch})
    return {
        "test": trained.test.accuracy,
        "parameters": n_parameters(trained.network),
        "epochs": plan.teacher_epochs,
        "width": plan.teacher_width,
        "validation_by_epoch": [e.validation[-1] for e in trained.history],
        "seconds_by_epoch": [round(e.seconds, 3) for e in trained.history],
        "wall_s": time.monotonic() - started,
        "cpu_s": time.process_time() - cpu,
    }


def the_teacher(plan: Plan, data: Data) -> torch.nn.Module:
    network = build_teacher("fast", n_classes=data.n_classes, input_shape=data.input_shape, width=plan.teacher_width)
    checkpoint.put(network, checkpoint.load_weights(plan.teacher_file), str(plan.teacher_file))
    return network.eval()


def n_parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
