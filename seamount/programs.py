"""What is done with a network or a program on disk: compile it, write it in other forms, load and show it.

Everything heavy is imported where it is used, so that the command line answers fast.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np
from numpy.typing import NDArray

from seamount.artefacts import (
    NetworkFile,
    ProgramFile,
    ReportFile,
    ReportFolder,
    RunFolder,
    no_network,
    recognised,
)
from seamount.asked import Reading
from seamount.chip_samples import arrays_of, n_classes
from seamount.compile.program.program import Program
from seamount.compile.program.readout import as_quantity, classes, readout_so_far
from seamount.errors import ConfigError, InputError, plural
from seamount.files import check_apart, make_folder
from seamount.foreign.labels import class_labels
from seamount.notebook import card, line
from seamount.surroundings import undisturbed

if TYPE_CHECKING:
    from pandas import DataFrame

    from seamount.compile.fit.finding import Finding
    from seamount.compile.passes.split_populations import Split
    from seamount.compile.pipeline import Compiled, CompileOptions
    from seamount.hardware_targets.lava import NetFile


@dataclass(frozen=True)
class CompiledFile:
    """A program on disk.

    Attributes:
        findings: where the program exceeds the target, and what its fitting assumes; the file is written all the
            same, for the simulator.
        rounded: what rounding changed on the calibration samples; None without them, or without a readout.
    """

    path: Path
    compiled: Compiled
    findings: tuple[Finding, ...]
    rounded: RoundedAnswers | None = None

    def __repr__(self) -> str:
        found = f"{len(self.findings)} {plural(len(self.findings), 'finding')}"
        return line("CompiledFile", str(self.path), (repr(self.compiled.program), found))

    def _repr_html_(self) -> str:
        notes = [(finding.severity, str(finding)) for finding in self.findings]
        return card(str(self.path), repr(self.compiled.program), self.compiled.card_rows(), notes)

    def table(self) -> DataFrame:
        """What rounding did, see ``Compiled.table``."""
        return self.compiled.table()


@dataclass(frozen=True)
class RoundedAnswers:
    """The program's answers beside the float network's, on the ``n`` samples it was calibrated with.

    The float network is read as the tool reads it that it comes from, whatever was chosen for the program, so that a
    readout that was chosen wrongly shows.

    Attributes:
        n_same: answers equal to the float network's. n_same_read_alike: to those of the float network read as the
            program is, from which only rounding can differ.
        n_unanswered: samples without an answer, see ``NO_ANSWER``.
        readout, float_readout: how program and float network are read.
        float_accuracy, accuracy: of network and program; None without labels.
    """

    n: int
    n_same: int
    n_same_read_alike: int
    n_unanswered: int
    readout: str
    float_readout: str
    float_accuracy: float | None
    accuracy: float | None

    def __str__(self) -> str:
        told = f"calibration: {self.n_same} of {self.n} answers are the float network's"
        if self.readout != self.float_readout:
            told += f" ({self.float_readout}), {self.n_same_read_alike} if that, too, is read as {self.readout}"
        if self.n_unanswered:
            told += f"; no answer in {self.n_unanswered} of {self.n} samples"
        if self.float_accuracy is None or self.accuracy is None:
            return told
        points = 100 * (self.accuracy - self.float_accuracy)
        return (
            f"{told}; accuracy {100 * self.accuracy:.2f} %, float {100 * self.float_accuracy:.2f} % ({points:+.2f})"
        )


@undisturbed
def compile_source(
    source: Path | str,
    target: str = "loihi1",
    out: Path | str | None = None,
    options: CompileOptions | None = None,
    labels: NDArray[Any] | None = None,
) -> CompiledFile:
    """Lower a NIR file, a lava-dl ``.net`` file or a finished run's student to a program file.

    Args:
        source: ``.nir``, ``.net``, or the folder of a run (its exported student is taken) or of a report.
        target: name or file of a target, whose number formats are kept and against which the program is verified.
        out: where the program goes; default: beside the source (in the run folder), ending ``.program.h5``.
        labels: of the calibration samples, (B,).
    """
    from seamount.compile.fit.verify import verify_program
    from seamount.compile.pipeline import compile_graph
    from seamount.compile.program.file import save_program
    from seamount.hardware_targets.target import load_target

    source, out = Path(source), None if out is None else Path(out)
    check_apart({"out": out}, [source])
    found = network_of(source)
    chip = load_target(target)
    compiled = compile_graph(found, chip, options)
    calibration = None if options is None else options.calibration
    rounded = None if calibration is None else rounded_answers(compiled, calibration, labels)
    path = out or (source if source.is_dir() else source.parent) / f"{found.stem}.program.h5"
    save_program(compiled.program, path)
    return CompiledFile(path, compiled, tuple(verify_program(compiled.program, chip)), rounded)


@undisturbed
def rounded_answers(compiled: Compiled, inputs: Any, labels: NDArray[Any] | None) -> RoundedAnswers | None:
    """Network and program on the calibration samples, as ``CompileOptions.calibration``."""
    from seamount.compile.network.interpret import named_inputs, run_network
    from seamount.compile.nir.readout import usual_readout
    from seamount.hardware_targets.simulator import simulate as run

    network = compiled.source
    if network is None or network.readout is None:
        return None
    given = named_inputs(network, inputs)
    n = next(iter(given.values())).shape[1]
    _check_labels(labels, n, compiled.program)
    chosen = (network.readout, as_quantity(network.readout_quantity, network.name))
    usual = usual_readout(network) or chosen
    traces = run_network(network, given)
    reference, alike = (
        classes(readout_so_far(quantity, traces[name].spikes, traces[name].v)[-1].reshape(n, -1))
        for name, quantity in (usual, chosen)
    )
    whole = {i.name: np.rint(given[i.name] * i.scale).astype(np.int64) for i in network.inputs}
    activity = run(compiled.program, whole)
    answers = activity.predictions()
    return RoundedAnswers(
        n,
        n_same=int(np.sum(answers == reference)),
        n_same_read_alike=int(np.sum(answers == alike)),
        n_unanswered=activity.n_unanswered(),
        readout=f"{chosen[1]} of {chosen[0]}",
        float_readout=f"{usual[1]} of {usual[0]}",
        float_accuracy=None if labels is None else float(np.mean(reference == labels)),
        accuracy=None if labels is None else float(np.mean(answers == labels)),
    )


def _check_labels(labels: NDArray[Any] | None, n: int, program: Program) -> None:
    if labels is not None:
        class_labels(labels, "calibration", n_classes=n_classes(program), n_samples=n)


@undisturbed
def write_split(program: Program, target: str, path: Path | str) -> Split:
    """Write a program with the same integers whose populations each fit a core of the target."""
    from seamount.compile.passes.split_populations import split_populations
    from seamount.compile.program.file import save_program
    from seamount.hardware_targets.target import load_target

    split = split_populations(program, load_target(target))
    save_program(split.program, Path(path))
    return split


@undisturbed
def write_one_by_one(program: Program, path: Path | str) -> None:
    """Write a program that gives the same values to single samples, with neurons held outside their windows.

    Raises:
        Unsupported: states are not reset when a sample arrives.
    """
    from seamount.compile.passes.one_by_one import one_by_one
    from seamount.compile.program.file import save_program

    save_program(one_by_one(program), Path(path))


def write_nir(program: Program, path: Path | str) -> None:
    """Write a program as a NIR file that compiles to it again; refuses what NIR cannot say exactly."""
    from seamount.compile.to_nir import net_to_nir
    from seamount.run.export import write_graph

    write_graph(net_to_nir(program), Path(path))


def write_net(program: Program, path: Path | str) -> NetFile:
    """Write a program as a lava-dl ``.net`` file; the result says what netx must be told beside its path."""
    from seamount.hardware_targets.lava import write_net as write

    make_folder(Path(path).parent)
    return write(program, Path(path))


def write_standalone(program: Program, folder: Path | str) -> Path:
    """Write a program as a folder that runs on Lava without Seamount, and waits for inputs."""
    from seamount.hardware_targets.lava import write_standalone as write

    return write(program, Path(folder))


def network_of(path: Path) -> Path:
    """The network that a path stands for: the file itself, or that of a run's or report's folder."""
    found = recognised(path)
    match found:
        case RunFolder() | ReportFolder():
            return found.network()
        case NetworkFile():
            return found.path
        case ReportFile():
            raise no_network(path, "a report")
        case ProgramFile():
            if not path.exists():
                raise InputError("no such file", where=path)
            raise no_network(path, "no network file")
        case _:
            assert_never(found)


def options_of(reading: Reading) -> tuple[CompileOptions, NDArray[Any] | None]:
    """How a network is lowered, and the labels of the samples that it is calibrated with."""
    from seamount.compile.options import compile_options

    samples = None if reading.calibrate is None else arrays_of(reading.calibrate)
    labels = None if samples is None else samples.get("y")
    options = compile_options(
        written_by=reading.written_by,
        settings=reading.settings,
        n_steps=reading.n_steps,
        calibration=samples,
        soft_reset=reading.soft_reset,
        readout=reading.readout,
    )
    return options, labels


def load_any_program(
    path: Path | str, target: str | None = None, *, readout: str | None = None, reading: Reading | None = None
) -> Program:
    """A program file, that of a run's or report's folder, or one made on the spot of a NIR or a ``.net`` file.

    Args:
        target, reading: of a program that is made here: for which chip (default: loihi1), how the network is read.
        readout: a population or an Output, and perhaps ":" and how it is read; short for a reading with it alone.
    """
    from seamount.compile.pipeline import compile_graph
    from seamount.compile.program.file import load_program
    from seamount.hardware_targets.target import load_target

    found, reading = recognised(path), reading or Reading()
    if readout is not None:
        reading = replace(reading, readout=readout)
    if isinstance(found, NetworkFile):
        return compile_graph(found.path, load_target(target or "loihi1"), options_of(reading)[0]).program
    _refuse_reading(path, target, reading)
    if isinstance(found, ReportFile):
        raise InputError(
            "is a report by itself", where=path, possible="needed is a program, a network, or the folder of a report"
        )
    return load_program(found.path if isinstance(found, ProgramFile) else found.program())


def _refuse_reading(path: Path | str, target: str | None, reading: Reading) -> None:
    """Of a program, which was read and lowered before."""
    if reading.readout is not None:
        raise ConfigError(
            f"{path} is a program, which holds its readout already",
            where=f"--readout {reading.readout}",
            ways_out="compile it again with --readout",
        )
    if target is not None or reading != Reading():
        raise ConfigError(
            "is a program, in which target and reading are settled",
            where=path,
            ways_out="compile the network again with these options",
        )


def inspect(path: Path | str) -> list[str]:
    """A NIR, ``.net`` or program file, a line an item."""
    from seamount.compile.inspect import inspect_file

    return list(inspect_file(Path(path)))
