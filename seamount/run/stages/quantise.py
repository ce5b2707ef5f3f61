"""Rounds the student to the chip's integers and fine-tunes it in them."""

from __future__ import annotations

from pathlib import Path

from seamount.config import RunConfig
from seamount.distill import checkpoint
from seamount.distill.config import DataConfig, DistillConfig, QuantConfig, Section, TrainConfig
from seamount.distill.quantised import QuantisedStudent
from seamount.distill.train import finetune_quantised
from seamount.hardware_targets.target import load_target
from seamount.models.spiking_net import SpikingNet

from ..budget import in_operations
from ..settings import ChipFormats, Readout, Student, Teacher, WeightBits
from ..stage import Place, Stage
from .distill import DISTILL, trained_student
from .teacher import TEACHER, trained_teacher
from .training import keep, small_step, student_logits, use_threads

WEIGHTS = "quantised.safetensors"


class Reads(Section):
    run: RunConfig
    data: DataConfig
    teacher: Teacher
    student: Student
    compile: Readout
    distill: DistillConfig
    train: TrainConfig
    quant: QuantConfig
    target: ChipFormats


def work(reads: Reads, place: Place) -> None:
    data = place.data(reads.data, reads.student.n_steps)
    student = trained_student(place.of(DISTILL), reads.student, reads.compile, data)
    use_threads(reads.run, small=small_step(student, reads.train.batch_size))
    trained = finetune_quantised(
        data,
        trained_teacher(place.of(TEACHER), reads.teacher, data),
        _in_integers(student, reads.quant, reads.target),
        in_operations(reads.distill, student),
        reads.quant,
        reads.train,
        place.folder / "state",
        seed=reads.run.seed,
        device=reads.run.device,
        progress=place.progress,
    )
    keep(place, WEIGHTS, trained, data, student_logits(trained.network, data, reads.run.device))


QUANTISE = Stage("quantise", Reads, work, needs=(TEACHER, DISTILL), together=True)


def _in_integers(student: SpikingNet, quant: QuantConfig | WeightBits, target: ChipFormats) -> QuantisedStudent:
    formats = load_target(target.name).chip.formats
    return QuantisedStudent(student, formats=formats, weight_bits=quant.weight_bits)


def trained_quantised(folder: Path, student: SpikingNet, quant: WeightBits, target: ChipFormats) -> QuantisedStudent:
    """The student in integers that this stage left, made of the float one."""
    network = _in_integers(student, quant, target)
    checkpoint.put(network, checkpoint.load_weights(folder / WEIGHTS), str(folder / WEIGHTS))
    return network.eval()
