"""Lowers the student's NIR file to a program for the target."""

from __future__ import annotations

from pathlib import Path

from seamount.compile.lower.rounding_table import RoundingTable
from seamount.compile.pipeline import Compiled, CompileOptions, compile_graph
from seamount.compile.program.file import load_program, save_program
from seamount.compile.program.program import Program
from seamount.distill.config import Section
from seamount.files import write_json
from seamount.hardware_targets.target import load_target

from ..settings import ChipName, WeightBits
from ..stage import Place, Stage
from .export import EXPORT, quantised_graph

PROGRAM = "program.h5"


class Reads(Section):
    target: ChipName
    quant: WeightBits


def work(reads: Reads, place: Place) -> None:
    options = CompileOptions(weight_bits=reads.quant.weight_bits)
    compiled = compile_graph(quantised_graph(place.of(EXPORT)), load_target(reads.target.name), options)
    save_program(compiled.program, place.folder / PROGRAM)
    write_json(place.folder / "compile.json", {**compiled.to_dict(), "rounding_lines": rounding_lines(compiled)})


COMPILE = Stage("compile", Reads, work, needs=(EXPORT,))


def rounding_lines(compiled: Compiled) -> dict[str, list[str]]:
    """Population -> what rounding did there; empty of a .net file, which comes without rounding."""
    populations = () if compiled.rounding is None else compiled.rounding.populations
    return {p.name: list(RoundingTable((p,)).lines()) for p in populations}


def compiled_program(folder: Path) -> Program:
    """The program that this stage left."""
    return load_program(folder / PROGRAM)
