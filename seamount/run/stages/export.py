"""Writes float and quantised student as NIR; the float one first proves that its graph means the same."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from seamount.distill.config import DataConfig, Section
from seamount.files import write_json

from ..export import export_student, write_graph
from ..settings import ChipFormats, Readout, Seed, Student, WeightBits
from ..stage import Place, Stage
from .distill import DISTILL, trained_student
from .quantise import QUANTISE, trained_quantised


class Reads(Section):
    run: Seed
    data: DataConfig
    student: Student
    compile: Readout
    quant: WeightBits
    target: ChipFormats


def work(reads: Reads, place: Place) -> None:
    data = place.data(reads.data, reads.student.n_steps)
    student = trained_student(place.of(DISTILL), reads.student, reads.compile, data)
    proof = export_student(student, place.folder / "float.nir", seed=reads.run.seed)
    write_json(place.folder / "proof.json", asdict(proof))
    # only written: its integers are proven behind the compiler, in every spike and membrane
    quantised = trained_quantised(place.of(QUANTISE), student, reads.quant, reads.target)
    write_graph(quantised.to_nir(), quantised_graph(place.folder))


EXPORT = Stage("export", Reads, work, needs=(DISTILL, QUANTISE))


def float_graph(folder: Path) -> Path:
    return folder / "float.nir"


def quantised_graph(folder: Path) -> Path:
    return folder / "student.nir"
