"""Trains the network to learn from, or takes its weights from a checkpoint; a method without a teacher needs none."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import nn

from seamount.config import RunConfig
from seamount.distill import checkpoint
from seamount.distill.config import DataConfig, Section, TeacherConfig, TrainConfig
from seamount.distill.data import Data
from seamount.distill.methods import needs_teacher, weights_of
from seamount.distill.train import train_teacher
from seamount.files import write_json
from seamount.models.teachers import build_teacher

from ..settings import Frames, Method, Teacher
from ..stage import Place, Stage
from .training import SMALL_SAMPLE, keep, use_threads

WEIGHTS = "teacher.safetensors"


class Reads(Section):
    run: RunConfig
    data: DataConfig
    teacher: TeacherConfig
    train: TrainConfig
    student: Frames
    distill: Method


def work(reads: Reads, place: Place) -> None:
    if not needs_teacher(weights_of(reads.distill.method), reads.distill.options):
        if place.leads:
            write_json(place.folder / "metrics.json", {"skipped": f"{reads.distill.method} needs no teacher"})
        return
    data = place.data(reads.data, reads.student.n_steps)
    use_threads(reads.run, small=math.prod(data.input_shape) < SMALL_SAMPLE)
    trained = train_teacher(
        data,
        reads.teacher,
        reads.train,
        place.folder / "state",
        seed=reads.run.seed,
        device=reads.run.device,
        progress=place.progress,
    )

    mirrored = reads.teacher.training(reads.train).test_flip

    def logits(numbers: torch.Tensor) -> torch.Tensor:
        x = data.inputs(data.test, numbers).teacher_x.to(reads.run.device)
        result: torch.Tensor = trained.network(x)
        if mirrored:
            result = (result + trained.network(x.flip(-1))) / 2
        return result.unsqueeze(0)  # an answer after its only step

    keep(place, WEIGHTS, trained, data, logits)


TEACHER = Stage("teacher", Reads, work, together=True)


def trained_teacher(folder: Path, teacher: Teacher, data: Data) -> nn.Module | None:
    """The teacher that this stage left; None for a method without one."""
    if not (folder / WEIGHTS).exists():
        return None
    network = build_teacher(teacher.arch, n_classes=data.n_classes, input_shape=data.teacher_shape, **teacher.options)
    checkpoint.put(network, checkpoint.load_weights(folder / WEIGHTS), str(folder / WEIGHTS))
    return network.eval()
