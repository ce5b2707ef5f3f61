"""What a report of a network or a program needs before anything takes time: program, samples, one's own answers.

All that can be wrong with files and settings is told here. torch is loaded only where they ask for it, because that
takes longer than everything else here together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from seamount.artefacts import (
    DEPLOYMENT,
    NetworkFile,
    ProgramFile,
    ReportFile,
    ReportFolder,
    RunFolder,
    no_network,
    recognised,
)
from seamount.asked import Asked, Reading, asked_in
from seamount.chip_samples import ChipSamples, require_data, samples_for
from seamount.compile.pipeline import Compiled, compile_graph
from seamount.compile.program.file import load_program
from seamount.compile.program.program import Program
from seamount.compile.program.readout import classes
from seamount.errors import ConfigError, InputError
from seamount.files import check_place
from seamount.foreign.arrays import read_npz
from seamount.hardware_targets.lava import require_lava
from seamount.hardware_targets.target import load_target
from seamount.programs import options_of
from seamount.run.cross_check import require_cross_check
from seamount.run.told import Told

Array = NDArray[Any]


@dataclass(frozen=True)
class Prepared:
    """What is asked for, read and checked.

    Attributes:
        compiled: None of a program, which holds integers already.
        samples: None where no data was given.
        own: the answers of one's own network, (n,). outputs: its outputs after each frame, (T, n, K), if it told
            them.
        cross_check: another simulator that is asked. wall_s: how long it took.
    """

    compiled: Compiled | None
    program: Program
    samples: ChipSamples | None
    own: Array | None
    outputs: Array | None
    cross_check: str | None
    wall_s: float


def prepare(asked: Asked, folder: Path, told: Told) -> Prepared:
    """Compiles, reads, checks; writes nothing.

    Raises:
        ConfigError: the folder holds something else.
        InputError, Unsupported: see ``compile_graph`` and ``samples_for``.
        BackendMissing: Lava is required, or something is to cross-check, and is not there.
    """
    require_room(folder)
    if asked.require_lava:
        require_lava()
    require_cross_check(asked.cross_check)
    require_data(asked.data, asked.data_settings)
    if asked.float_answers is not None and not Path(asked.float_answers).exists():
        raise InputError("no such file", where=asked.float_answers)
    told.stage("compile")
    start = perf_counter()
    compiled, program = program_of(asked)
    wall_s = perf_counter() - start
    samples = None
    if asked.data is not None or not program.inputs:
        samples = samples_for(program, asked.data, asked.n_samples, asked.data_settings)
        if asked.data is not None:  # a reader of the report looks for no path of another machine
            samples = replace(samples, what=samples.what.replace(asked.data, Path(asked.data).name))
        _check_samples(samples, program, asked)
    own, outputs = (None, None) if asked.float_answers is None else _own_answers(Path(asked.float_answers), samples)
    return Prepared(compiled, program, samples, own, outputs, asked.cross_check, wall_s)


def source_of(path: Path) -> Path:
    """The network or program that a path stands for."""
    found = recognised(path)
    match found:
        case RunFolder():
            return found.network()
        case ReportFolder():
            return Path(asked_in(found.path).source)
        case ProgramFile() if path.suffix in (".npz", ".npy"):
            raise InputError("holds arrays, a network or a program is needed", where=path, ways_out=f"--data {path}")
        case NetworkFile() | ProgramFile():
            return found.path
        case ReportFile():
            raise no_network(path, "a report")
        case _:
            assert_never(found)


def require_room(folder: Path) -> None:
    """Refuses a folder of something else; a student and samples that were handed over stand in it already."""
    check_place(folder)
    given = {"network.nir", "data.npz"}
    held = {path.name for path in folder.iterdir()} - given if folder.exists() else set()
    if held and DEPLOYMENT not in held:
        raise ConfigError("holds something else", where=folder, ways_out="name another folder with --out")


def program_of(asked: Asked) -> tuple[Compiled | None, Program]:
    """The network as it was lowered, None of a program; and the program."""
    source, reading = source_of(Path(asked.source)), asked.reading
    if not isinstance(recognised(source), NetworkFile):
        if reading != Reading():
            ways = "compile the network again with these options"
            raise ConfigError("is a program, in which all of that is settled", where=source, ways_out=ways)
        return None, load_program(source)
    compiled = compile_graph(source, load_target(asked.target), options_of(reading)[0])
    return compiled, compiled.program


def _check_samples(samples: ChipSamples, program: Program, asked: Asked) -> None:
    if samples.n == 0:
        raise InputError("holds no sample", where=samples.what)
    if program.n_steps is None:
        # not taken from the samples: (B, T, ...) given as (T, B, ...) would then go unseen
        longest = max(map(len, samples.inputs.values()), default=1)
        steps = f"--steps {longest}, if one is as long as those of {samples.what}" if longest > 1 else "--steps 16"
        again = "" if isinstance(recognised(source_of(Path(asked.source))), NetworkFile) else "compile it again with "
        raise InputError("no number of steps says how long a sample is", where=program.name, ways_out=again + steps)


def _own_answers(path: Path, samples: ChipSamples | None) -> tuple[Array, Array | None]:
    """Classes (n,), and outputs (T, n, K) where the file has them.

    In ``answers``, or in the only array there is: classes (n,), scores (n, K) of which the largest counts, or outputs
    (T, n, K) after each frame.
    """
    arrays = read_npz(path)
    name = "answers" if "answers" in arrays or len(arrays) != 1 else next(iter(arrays))
    if name not in arrays:
        raise InputError(
            f"holds {', '.join(arrays) or 'nothing'}", where=path, possible="needed is the array answers"
        )
    found = arrays[name]
    n = 0 if samples is None else samples.n
    if found.ndim == 3:
        n_steps = 0 if samples is None else max(map(len, samples.inputs.values()), default=0)
        if found.shape[0] != n_steps or found.shape[1] < n or found.dtype.kind != "f":
            needed = f"needed are outputs ({n_steps}, {n}, K), of each frame and sample"
            raise InputError(f"answers {found.shape} of type {found.dtype}", where=path, possible=needed)
        return classes(found[-1, :n]), found[:, :n].astype(np.float64)
    if found.ndim not in (1, 2) or len(found) < n or (found.ndim == 1 and found.dtype.kind not in "iu"):
        needed = f"needed are classes ({n},), scores ({n}, K), or outputs (T, {n}, K) of each frame"
        raise InputError(f"answers {found.shape} of type {found.dtype}", where=path, possible=needed)
    return (classes(found[:n]) if found.ndim == 2 else found[:n].astype(np.int64)), None
