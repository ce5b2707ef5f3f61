"""What is done with a network or a program on disk: compile it, write it in other forms, run it, compare and show it.

Everything heavy is imported where it is used, so that the command line answers fast.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np
from numpy.typing import NDArray

from seamount.artefacts import (
    SAMPLES,
    NetworkFile,
    ProgramFile,
    ReportFile,
    ReportFolder,
    RunFolder,
    no_network,
    recognised,
)
from seamount.asked import Reading
from seamount.compile.program.activity import EVERY_STATE, Activity, side_by_side
from seamount.compile.program.notebook import work
from seamount.compile.program.program import Input, Program
from seamount.compile.program.readout import as_quantity, classes, readout_so_far
from seamount.compile.program.symptoms import Symptoms, symptoms
from seamount.errors import ConfigError, InputError, nearest, plural
from seamount.files import check_apart, make_folder
from seamount.foreign.arrays import Arrays
from seamount.foreign.labels import class_labels
from seamount.foreign.samples import ENDINGS, read_samples
from seamount.hardware_targets.agreement import Agreement, sample_windows
from seamount.notebook import card, headed, line
from seamount.surroundings import undisturbed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

    from seamount.compile.fit.finding import Finding
    from seamount.compile.passes.split_populations import Split
    from seamount.compile.pipeline import Compiled, CompileOptions
    from seamount.distill.config import DataConfig
    from seamount.hardware_targets.lava import NetFile
    from seamount.hardware_targets.simulator.diff import Difference

N_TRACED = 16
"""Samples whose states are looked at where a layer is silent."""

Ints = NDArray[np.int64]
Reals = NDArray[np.float64]


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
        class_labels(labels, "calibration", n_classes=_n_classes(program), n_samples=n)


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


# ------------------------------------------------------------------------------------------------- samples


@dataclass(frozen=True)
class ChipSamples:
    """What enters the chip: ``inputs``, integers (T, B, *shape) by input; ``labels`` (B,) where they are known, or in
    their place real ``targets`` (T, B, K)."""

    inputs: Mapping[str, Ints]
    labels: Ints | None
    what: str
    targets: Reals | None = None

    def __repr__(self) -> str:
        arrays = [f"{name} {x.shape}" for name, x in self.inputs.items()]
        return line("ChipSamples", self.what, (*arrays, "no labels" if self.labels is None else "labels"))

    @property
    def n(self) -> int:
        """Samples; a program without inputs, which biases alone drive, runs one."""
        return next((x.shape[1] for x in self.inputs.values()), 1)

    def first(self, n: int | None) -> ChipSamples:
        """At most so many of the samples."""
        cut = {name: x[:, :n] for name, x in self.inputs.items()}
        labels = None if self.labels is None else self.labels[:n]
        return replace(self, inputs=cut, labels=labels, targets=None if self.targets is None else self.targets[:, :n])


def data_for(path: Path | str, data: Path | str | None) -> str | None:
    """What was asked for, else the samples of the run or report that ``path`` is the folder of."""
    if data is not None:
        return str(data)
    found = recognised(path)
    if isinstance(found, RunFolder):
        return str(found.path)
    if isinstance(found, ReportFolder) and (samples := found.path / SAMPLES).exists():
        return str(samples)
    return None


def require_data(data: str | None, settings: Sequence[str] = ()) -> None:
    """Refuses samples that are not there, as ``samples_for`` would, before minutes go into lowering a network.

    Raises:
        InputError, ConfigError: no such file, run, data set or function of one's own.
    """
    if data is None:
        return
    _check_settings_of(data, settings)
    if not _is_file(data):
        _config_of(data, settings)
    elif not Path(data).exists():
        raise InputError("no such file", where=data)


def _is_file(data: str) -> bool:
    return Path(data).suffix in ENDINGS and not Path(data).is_dir()


def _check_settings_of(data: str, settings: Sequence[str]) -> None:
    other = [setting for setting in settings if not setting.startswith("data.")]
    if other:
        raise ConfigError("no setting of data", where=f"--set {other[0]}", ways_out="as data.root=FOLDER")
    if settings and _is_file(data):
        raise ConfigError(f"{data} is a file, which is read as it is", where=f"--set {settings[0]}")


def _config_of(data: str, settings: Sequence[str]) -> DataConfig:
    """Of the run in that folder, or of the data set called so; its files are looked for."""
    from seamount.config import load_config
    from seamount.distill.choices import DATA_SETS
    from seamount.distill.layouts import LAYOUTS, root_of
    from seamount.own import is_own
    from seamount.own_source import check_source

    if Path(data).is_dir():
        config = load_config(Path(data) / "resolved.toml", settings).data
    elif not is_own(data) and data not in DATA_SETS:
        possible = f"a file ends in {', '.join(ENDINGS)}, data sets are {', '.join(DATA_SETS)}"
        raise InputError(
            "neither a file nor a data set", where=data, possible=possible, ways_out=nearest(data, DATA_SETS)
        )
    else:
        config = load_config(None, [f'data.name="{data}"', *settings]).data
    if is_own(config.name):
        check_source(config.name, "data.name", config.options)
    if config.name in LAYOUTS and not config.download:
        root_of(config)
    return config


@undisturbed
def samples_for(
    program: Program, data: str | None, n: int | None = None, settings: Sequence[str] = ()
) -> ChipSamples:
    """Integers for a program's inputs.

    Args:
        data: a file (``ENDINGS``) with an array for each input, called as the input (``x`` where there is one):
            integers (T, B, *shape), or (B, *shape) for a still image shown at every step, and perhaps ``y`` (B,); a
            run folder (its test set); or the name of a data set, or of one's own (mine.py:make_data). None for a
            program without inputs.
        n: at most so many samples.
        settings: of the data set, as data.root=FOLDER.
    """
    names = [i.name for i in program.inputs]
    if data is None:
        if names:
            raise ConfigError(f"{program.name} has the inputs {', '.join(names)}", where="--data", ways_out=NPZ)
        return ChipSamples({}, None, "no input")
    _check_settings_of(data, settings)
    if _is_file(data):
        return _samples_from_file(program, Path(data)).first(n)
    if len(names) != 1:
        told = f"{data} holds one array a sample, {program.name} has {len(names)} inputs ({', '.join(names)})"
        raise ConfigError(told, where="--data", ways_out=NPZ)
    return _test_set(data, settings, program, names[0], n)


def _test_set(data: str, settings: Sequence[str], program: Program, entry: str, n: int | None) -> ChipSamples:
    config = _config_of(data, settings)
    from seamount.distill.data import load_data  # after it, because it loads torch

    loaded = load_data(config, n_steps=program.n_steps or 1)
    numbers = list(range(len(loaded.test)))[:n]
    labels = loaded.test.labels[: len(numbers)].numpy()
    return ChipSamples({entry: loaded.chip_inputs(loaded.test, numbers)}, labels, f"{loaded.name} test set")


NPZ = f"pass a file ({', '.join(ENDINGS)}) with an array for each input"


def arrays_of(path: Path | str) -> Arrays:
    """x, or an array for each input by its name, and perhaps y, the labels; each is read when it is asked for."""
    path = Path(path)
    arrays = read_samples(path)
    if not set(arrays) - {"y"}:
        raise InputError(f"holds {', '.join(arrays) or 'nothing'}; x is needed, and y for labels", where=path)
    return arrays


def _n_classes(program: Program) -> int | None:
    """A class is a neuron of the population that is read out."""
    return None if program.readout is None else program.population(program.readout.population).n_neurons


def _samples_from_file(program: Program, path: Path) -> ChipSamples:
    arrays = arrays_of(path)
    names = [i.name for i in program.inputs]
    # an input may be called y: then that is no label
    y = None if "y" in names else arrays.get("y")
    keys = {names[0]: "x"} if len(names) == 1 and names[0] not in arrays else {name: name for name in names}
    missing = sorted(set(keys.values()) - set(arrays))
    if missing:
        raise InputError(
            f"holds {', '.join(arrays)} and not {', '.join(missing)}",
            where=path,
            possible=f"needed is an array for each of the inputs ({', '.join(names)}), and perhaps y for labels",
        )
    inputs = {i.name: _over_time(program, i, arrays[key := keys[i.name]], key, path) for i in program.inputs}
    n = next((x.shape[1] for x in inputs.values()), 1)
    n_given = max(map(len, inputs.values()), default=program.n_steps)
    targets = None
    # one number a sample is the output of a network with one; of another they are labels
    if y is not None and y.dtype.kind == "f" and (y.ndim != 1 or _n_classes(program) in (None, 1)):
        targets, y = _targets(program, y, n, n_given or 1, path), None
    if y is not None:
        y = class_labels(y, path, n_classes=_n_classes(program), n_samples=n)
    short = program.n_steps is not None and n_given is not None and n_given < program.n_steps
    # not refused, because a pulse at the first steps is a sample, too
    told = f" ({n_given} of {program.n_steps} steps are in the file, silence fills up the others)" if short else ""
    dark = "".join(_dark(entry, inputs[entry.name], keys[entry.name]) for entry in program.inputs)
    return ChipSamples(inputs, y, f"{path}{told}{dark}", targets)


def _dark(entry: Input, x: NDArray[Any], key: str) -> str:
    """What is told of values that are hardly any: real images in black and white, perhaps.

    They may be meant, so they are not refused; and not multiplied, because 0 and 1 are whole numbers as they stand.
    """
    if entry.bits < 2 or x.dtype.kind not in "biuf" or not x.size or x.max() > 1:
        return ""
    return f" ({key} goes to {float(x.max()):g} where {entry.high} is possible)"


def _targets(program: Program, y: NDArray[Any], n: int, n_steps: int, path: Path) -> Reals:
    """Real outputs (T, B, K); those of the samples are those of each of their frames."""
    k = _n_classes(program)
    if k is None:
        raise InputError("y are real outputs, and the program has no readout", where=path)
    found = y.reshape(1, n, -1) if y.ndim in (1, 2) and len(y) == n else y
    if found.shape[1:] != (n, k) or found.shape[0] not in (1, n_steps) or not np.isfinite(found).all():
        needed = f"needed are finite outputs ({n}, {k}), or ({n_steps}, {n}, {k}) of each frame"
        raise InputError(f"y {y.shape} of type {y.dtype}", where=path, possible=needed)
    return np.broadcast_to(found, (n_steps, n, k)).astype(np.float64)


def _over_time(program: Program, entry: Input, x: NDArray[Any], key: str, path: Path) -> NDArray[Any]:
    """(T, B, *shape); a still image stands at every step."""
    lines, found = entry.shape[:1] + entry.shape[2:], (x.shape[1:], x.shape[2:])
    if entry.shape[1:2] == (1,) and lines in found and entry.shape not in found:
        x = np.expand_dims(x, -2)  # (C, L), which the program holds as maps of height 1
    if x.shape[1:] == entry.shape:
        if program.n_steps is None:
            raise InputError(
                f"{key} {x.shape} has one image a sample, but the program names no number of steps",
                where=path,
                ways_out="say --steps 16, for as many steps as each is to be shown",
            )
        x = np.broadcast_to(x, (program.n_steps, *x.shape))
    _require_axes(x, entry.shape, program.n_steps, key, path)
    return x


def _require_axes(x: NDArray[Any], shape: tuple[int, ...], n_steps: int | None, key: str, path: Path) -> None:
    """Refuses axes that stand in another order than (T, B, *shape), as far as the numbers show it."""
    if x.shape[2:] != shape:
        needed = ", ".join(str(n) for n in shape)
        last = len(shape) == 3 and x.shape[-3:] == (*shape[1:], shape[0])
        ways = (
            (f"this looks like (..., H, W, C): np.moveaxis({key}, -1, -3) brings the channels in front",)
            if last
            else ()
        )
        raise InputError(
            f"{key} {x.shape}; the program needs (T, B, {needed}), or without T", where=path, ways_out=ways
        )
    if n_steps is not None and len(x) != n_steps and x.shape[1] == n_steps:
        raise InputError(
            f"{key} {x.shape} looks like (B, T, ...): samples of this program have {n_steps} steps, and time comes "
            "first",
            where=path,
            ways_out=f"write {key}.swapaxes(0, 1)",
        )


# -------------------------------------------------------------------------------------------------- running


@dataclass(frozen=True)
class Simulated:
    """A run of a program on samples.

    Attributes:
        accuracy: None without labels or readout.
        rmse: of the outputs after the last frame, in the readout's units; None without real targets.
        symptoms: signs that the network does not work.
    """

    program: Program
    samples: ChipSamples
    activity: Activity
    accuracy: float | None
    symptoms: Symptoms
    rmse: float | None = None

    def __repr__(self) -> str:
        return line("Simulated", self.program.name, self._facts())

    def _repr_html_(self) -> str:
        return card(f"{self.program.name}, simulated", " · ".join(self._facts()), headed(work(self.activity)))

    def _facts(self) -> list[str]:
        n = f"{self.samples.n:,} {plural(self.samples.n, 'sample')} of {self.samples.what}"
        accuracy = [] if self.accuracy is None else [f"accuracy {100 * self.accuracy:.2f} %"]
        return [n, *accuracy, *self.symptoms.lines()]

    def table(self) -> DataFrame:
        """What each population did, see ``Activity.table``."""
        return self.activity.table()

    def plot(self, ax: Axes | None = None) -> Axes:
        """Spikes of every step, see ``Activity.plot``."""
        return self.activity.plot(ax)


@undisturbed
def simulate(
    program: Path | str,
    data: Path | str | None = None,
    *,
    target: str | None = None,
    readout: str | None = None,
    reading: Reading | None = None,
    n_samples: int | None = None,
    record: Collection[str] = (),
    populations: Collection[str] | None = None,
    device: str = "cpu",
    memory_limit_bytes: int | None = None,
    stream: bool = False,
    settings: Sequence[str] = (),
) -> Simulated | None:
    """Run a program on the simulator: exact integers, counts always, traces where asked for.

    Processes that torchrun started share the samples; the result is the first one's, the others get None.

    Args:
        target, readout, reading: of a network that is compiled on the spot, see ``load_any_program``.
        settings: of the data set, see ``samples_for``.
        stream: samples enter without a pause, and counts are of their windows; else each runs alone.
    """
    loaded, samples = _both(program, data, target, readout, reading, n_samples, settings)
    from seamount.distill.parallel import open_world  # after it, because they load torch
    from seamount.hardware_targets.simulator import simulate as alone
    from seamount.hardware_targets.simulator import simulate_stream

    run = partial(
        simulate_stream if stream else alone,
        loaded,
        record=record,
        populations=populations,
        device=device,
        memory_limit_bytes=memory_limit_bytes,
    )
    with open_world("cpu") as world:
        shares = _shares(samples, 1 if stream else world.size)
        mine = run(shares[world.rank]) if world.rank < len(shares) else None
        found = world.gathered(mine)
    if found is None:
        return None
    activity = side_by_side([part for part in found if part is not None])
    answers = None if activity.readout is None else activity.predictions()
    signs = symptoms(loaded, activity, answers, samples.labels)
    if signs.silent:  # how far the signal comes is in states, which are recorded of a few samples alone
        few = alone(loaded, samples.first(N_TRACED).inputs, record=(EVERY_STATE,))
        signs = symptoms(loaded, activity, answers, samples.labels, few)
    if not stream:
        activity = replace(activity, windows=sample_windows(loaded, activity.n_steps))
    return Simulated(loaded, samples, activity, _accuracy(activity, samples), signs, _rmse(loaded, activity, samples))


def _both(
    path: Path | str,
    data: Path | str | None,
    target: str | None,
    readout: str | None,
    reading: Reading | None,
    n_samples: int | None,
    settings: Sequence[str],
) -> tuple[Program, ChipSamples]:
    """The program and its samples; that they are there is seen before anything is lowered."""
    if not Path(path).exists():
        raise InputError("no such file", where=path)
    named = data_for(path, data)
    require_data(named, settings)
    program = load_any_program(path, target, readout=readout, reading=reading)
    return program, samples_for(program, named, n_samples, settings)


def _shares(samples: ChipSamples, n_processes: int) -> list[dict[str, Ints]]:
    """Consecutive samples for each process, at least one each."""
    n = min(n_processes, max(1, samples.n))
    borders = [samples.n * k // n for k in range(n + 1)]
    return [{name: x[:, a:b] for name, x in samples.inputs.items()} for a, b in pairwise(borders)]


def _accuracy(activity: Activity, samples: ChipSamples) -> float | None:
    if samples.labels is None or activity.readout is None:
        return None
    return float(np.mean(activity.predictions() == samples.labels))


def _rmse(program: Program, activity: Activity, samples: ChipSamples) -> float | None:
    if samples.targets is None or activity.readout is None or program.readout is None:
        return None
    outputs = program.readout.real(activity.readout.reshape(activity.n_samples, -1))
    return float(np.sqrt(np.mean((outputs - samples.targets[-1]) ** 2)))


@dataclass(frozen=True)
class LavaRun:
    """The same samples on Lava and on the simulator, and how far they agree."""

    lava: Activity
    simulated: Activity
    agreement: Agreement
    accuracy: float | None

    def __repr__(self) -> str:
        return f"<LavaRun {self.agreement}>"


@undisturbed
def run_lava(
    program: Path | str,
    data: Path | str | None = None,
    *,
    target: str | None = None,
    readout: str | None = None,
    reading: Reading | None = None,
    n_samples: int = 20,
    time_limit_s: float = 600.0,
    settings: Sequence[str] = (),
) -> LavaRun:
    """Run a program on Lava's fixed-point processes and compare every spike and membrane with the simulator."""
    loaded, samples = _both(program, data, target, readout, reading, n_samples, settings)
    from seamount.hardware_targets.agreement import compare_runs
    from seamount.hardware_targets.lava import run_on_lava
    from seamount.hardware_targets.simulator import simulate as run  # after the files, because it loads torch

    traces = ("spikes", EVERY_STATE)
    on_lava = run_on_lava(loaded, samples.inputs, record=traces, time_limit_s=time_limit_s)
    simulated = run(loaded, samples.inputs, record=traces)
    agreement = compare_runs(loaded, ("simulator", simulated), ("Lava", on_lava))
    windows = sample_windows(loaded, on_lava.n_steps)
    on_lava, simulated = (replace(run, windows=windows) for run in (on_lava, simulated))
    return LavaRun(on_lava, simulated, agreement, _accuracy(on_lava, samples))


def diff(a: Path | str, b: Path | str) -> Difference | None:
    """The first step, population and neuron in which two trace files differ; None if they are equal.

    Of runs of one program, only the steps are compared in which populations answer to the sample.
    """
    from seamount.compile.program.activity_file import load_activity

    ours, theirs = load_activity(Path(a)), load_activity(Path(b))
    from seamount.hardware_targets.simulator.diff import first_difference  # after them, because it loads torch

    return first_difference(ours, theirs)


def inspect(path: Path | str) -> list[str]:
    """A NIR, ``.net`` or program file, a line an item."""
    from seamount.compile.inspect import inspect_file

    return list(inspect_file(Path(path)))
