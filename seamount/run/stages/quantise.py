"""Rounds the student to the chip's integers and fine-tunes it in them."""

from __future__ import annotations

from pathlib import Path

from seamount.config import RunConfig
from seamount.distill import checkpoint
from seamount.distill.config import DataConfig, DistillConfig, QuantConfig, Section, TrainConfig
from seamount.distill.quantised import QuantisedStudent
from seamount.distill.train import finetune_quantised
from seamount.models.spiking_net import SpikingNet

from ..settings import Student, Teacher
from ..stage import Place, Stage
from .distill import DISTILL, trained_student
from .teacher import TEACHER, trained_teacher
from .training import keep, student_logits, use_threads

WEIGHTS = "quantised.safetensors"


class Reads(Section):
    run: RunConfig
    data: DataConfig
    teacher: Teacher
    student: Student
    distill: DistillConfig
    train: TrainConfig
    quant: QuantConfig


def work(reads: Reads, place: Place) -> None:
    data = place.data(reads.data, reads.student.n_steps)
    use_threads(reads.run, data)
    trained = finetune_quantised(
        data,
        trained_teacher(place.of(TEACHER), reads.teacher.arch, data),
        QuantisedStudent(trained_student(place.of(DISTILL), reads.student, data)),
        reads.distill,
        reads.quant,
        reads.train,
        place.folder / "state",
        seed=reads.run.seed,
        device=reads.run.device,
        progress=place.progress,
    )
    keep(place, WEIGHTS, trained, data, student_logits(trained.network, data, reads.run.device))


QUANTISE = Stage("quantise", Reads, work, needs=(TEACHER, DISTILL), together=True)


def trained_quantised(folder: Path, student: SpikingNet) -> QuantisedStudent:
    """The student in integers that this stage left, made of the float one."""
    network = QuantisedStudent(student)
    checkpoint.put(network, checkpoint.load_weights(folder / WEIGHTS), str(folder / WEIGHTS))
    return network.eval()
