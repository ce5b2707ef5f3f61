"""Trains the spiking student in real numbers, by the method of the configuration."""

from __future__ import annotations

from pathlib import Path

from seamount.config import RunConfig
from seamount.distill import checkpoint
from seamount.distill.config import DataConfig, DistillConfig, Section, StudentConfig, TrainConfig
from seamount.distill.data import Data
from seamount.distill.train import distill
from seamount.models.spiking_net import SpikingNet

from ..budget import in_operations
from ..new_student import new_student
from ..settings import Readout, Student, Teacher
from ..stage import Place, Stage
from .teacher import TEACHER, trained_teacher
from .training import keep, small_step, student_logits, use_threads

WEIGHTS = "student.safetensors"


class Reads(Section):
    run: RunConfig
    data: DataConfig
    teacher: Teacher
    student: StudentConfig
    compile: Readout
    distill: DistillConfig
    train: TrainConfig


def work(reads: Reads, place: Place) -> None:
    data = place.data(reads.data, reads.student.n_steps)
    student = new_student(reads.student, reads.compile, data, reads.run.seed)
    use_threads(reads.run, small=small_step(student, reads.train.batch_size))
    if reads.student.checkpoint is not None:
        checkpoint.put(student, checkpoint.load_weights(Path(reads.student.checkpoint)), reads.student.checkpoint)
    trained = distill(
        data,
        trained_teacher(place.of(TEACHER), reads.teacher, data),
        student,
        in_operations(reads.distill, student),
        reads.train,
        place.folder / "state",
        seed=reads.run.seed,
        device=reads.run.device,
        progress=place.progress,
    )
    keep(place, WEIGHTS, trained, data, student_logits(trained.network, data, reads.run.device))


DISTILL = Stage("distill", Reads, work, needs=(TEACHER,), together=True)


def trained_student(folder: Path, student: Student, compiled: Readout, data: Data) -> SpikingNet:
    """The student that this stage left."""
    network = new_student(student, compiled, data)
    checkpoint.put(network, checkpoint.load_weights(folder / WEIGHTS), str(folder / WEIGHTS))
    return network.eval()
