"""What is done with a run's folder: begin it, run its stages, report, ask questions about it, run a grid of them.

Everything heavy is imported where it is used, so that the command line answers fast.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from seamount.artefacts import (
    NetworkFile,
    ProgramFile,
    ReportFile,
    ReportFolder,
    RunFolder,
    no_network,
    recognised,
    recognised_folder,
)
from seamount.asked import Asked, Reading, asked_in
from seamount.config import Config, load_config, to_toml
from seamount.errors import ConfigError, InputError
from seamount.foreign.limits import NETWORK_BYTES
from seamount.foreign.whole import file_bytes
from seamount.run.names import TRAINING
from seamount.run.told import Told, usual
from seamount.surroundings import undisturbed

DEMONSTRATION = ("student.n_steps=3", "distill.spike_budget={per_synapse=0.5}")
"""What the demonstration sets: few steps and few spikes; see docs/distillation.md."""

if TYPE_CHECKING:
    from torch import Tensor, nn

    from seamount.distill.quantised import QuantisedStudent
    from seamount.models.spiking_net import SpikingNet
    from seamount.report.compare import ReportComparison
    from seamount.report.gates import Gates, Outcome
    from seamount.report.report import Report
    from seamount.report.why import Explanation
    from seamount.run.folder import Run
    from seamount.run.plan import RunPlan
    from seamount.run.sweep import Sweep


def init(path: Path | str, settings: Sequence[str] = (), *, preset: str | None = None) -> None:
    """Write a commented configuration, the defaults or a preset; an existing file is not replaced."""
    from seamount.files import write_atomically

    path = Path(path)
    if path.exists():
        raise ConfigError("exists already", where=path, ways_out="choose another name")
    write_atomically(path, to_toml(load_config(None, settings, preset=preset)))


@undisturbed
def run(
    config: Path | str | None = None,
    settings: Sequence[str] = (),
    *,
    folder: Path | str,
    resume: bool = False,
    overwrite: bool = False,
    told: Told | None = None,
    teacher: Any = None,
    student: Any = None,
    data: Any = None,
    method: Any = None,
) -> Report | None:
    """All stages of a run and its report; None in a process that torchrun started only to help with training.

    Args:
        config: TOML file; None for the defaults, on digits.
        settings: ``section.key=value`` each.
        folder: the run directory.
        resume: continue; settings of before hold unless ``settings`` has others.
        told: who hears how it goes; None: a bar in a terminal and in a notebook. ``Told()`` is silence.
        teacher, student, data, method: one's own in place of what settings name, each the thing or a function that
            makes it (docs/own_code.md). A teacher that is a module is taken as it is, already trained, unless
            ``settings`` gives teacher.epochs.
    """
    told, folder = told or usual(), Path(folder)
    config = None if config is None else Path(config)
    things = {"teacher.arch": teacher, "student.arch": student, "data.name": data, "distill.method": method}
    with _handed({setting: thing for setting, thing in things.items() if thing is not None}) as own:
        kept = _kept(folder, [*own, *settings], resume)
        made = _sound(config, kept)
        from seamount.run.pipeline import run_stages

        _tell_changes(folder, made, resume, told)
        if run_stages(made, folder, resume=resume, overwrite=overwrite, told=told, settings=kept) is None:
            return None
        from seamount.run.reporting import report_run

        told.stage("report")
        return report_run(folder)


@contextmanager
def _handed(things: dict[str, Any]) -> Iterator[list[str]]:
    """The settings that name what was handed over, by setting."""
    from seamount import own

    if not things:
        yield []
        return
    from seamount.run.contents import digest_of

    found = {setting.split(".")[0]: (thing, digest_of(thing)) for setting, thing in things.items()}
    with own.handed(found) as names:
        settings = [f'{setting}="{names[setting.split(".")[0]]}"' for setting in things]
        if "teacher.arch" in things and not own.is_maker(things["teacher.arch"]):
            settings.append("teacher.epochs=0")
        # the student's options and the demonstration's augmentation are of what stood here before
        yield [*settings, *(["data.augment=[]"] if "data.name" in things else [])]


@undisturbed
def plan(
    config: Path | str | None = None, settings: Sequence[str] = (), *, folder: Path | str, resume: bool = False
) -> RunPlan:
    """What ``run`` would do, checked as it checks; nothing is written."""
    folder, config = Path(folder), None if config is None else Path(config)
    made = _sound(config, _kept(folder, settings, resume))
    from seamount.run.plan import make_plan

    return make_plan(made, folder)


def _sound(config: Path | None, settings: Sequence[str]) -> Config:
    """A configuration with nothing wrong in itself, which is known before what takes seconds to import."""
    from seamount.run.early import check_settings

    made = load_config(config, settings)
    check_settings(made)
    return made


def _kept(folder: Path, settings: Sequence[str], resume: bool) -> list[str]:
    """The settings of now; on resumption those that the run was begun with still hold where none of now says else."""
    from seamount.files import read_json

    manifest = folder / "manifest.json"
    before = read_json(manifest).get("settings", []) if resume and manifest.exists() else []
    last = {setting.partition("=")[0].strip(): setting for setting in [*before, *settings]}
    return [s for s in [*before, *settings] if last.get(s.partition("=")[0].strip()) == s]


def _tell_changes(folder: Path, made: Config, resume: bool, told: Told) -> None:
    from seamount.run.pipeline import changes

    for change in changes(folder, made) if resume else ():
        told.stage(f"setting changed: {change}")


@dataclass(frozen=True)
class StageAccuracy:
    stage: str
    accuracy: float
    n: int


@undisturbed
def distill(
    config: Path | str | None = None,
    settings: Sequence[str] = (),
    *,
    folder: Path | str,
    until: str = "export",
    resume: bool = False,
    overwrite: bool = False,
    told: Told | None = None,
) -> list[StageAccuracy] | None:
    """The stages that train: teacher, student, student in integers, and its NIR file. Test accuracy of each.

    None in a process that torchrun started only to help.
    """
    folder, config = Path(folder), None if config is None else Path(config)
    told, kept = told or usual(), _kept(folder, settings, resume)
    if until not in TRAINING:
        raise ConfigError(
            "no stage of training",
            where=f"--to {until}",
            possible=f"possible are {', '.join(TRAINING)}",
            ways_out="`seamount run` does the others too",
        )
    made = _sound(config, kept)
    from seamount.run.pipeline import run_stages

    _tell_changes(folder, made, resume, told)
    run = run_stages(made, folder, resume=resume, overwrite=overwrite, until=until, told=told, settings=kept)
    return None if run is None else _accuracies(run, TRAINING.index(until) + 1)


def _accuracies(run: Run, n_stages: int) -> list[StageAccuracy]:
    from seamount.run.answers import read_answers
    from seamount.run.stages import STAGES

    rows = []
    for stage in STAGES[:n_stages]:
        if (run.of(stage) / "answers.npz").exists():
            found = read_answers(run.of(stage))
            right = found["predictions"] == found["labels"]
            rows.append(StageAccuracy(stage.name, float(right.mean()), len(right)))
    return rows


@undisturbed
def report(path: Path | str, told: Told | None = None, *, cross_check: str | None = None) -> Report | None:
    """Write report.json and report.html of a finished run, or once more those of a report's folder.

    None in a process that torchrun started only to help.

    Args:
        cross_check: "sana-fe" asks SANA-FE, where it is installed, for energy and time too.
    """
    found = recognised(path)
    match found:
        case RunFolder():
            from seamount.distill.parallel import separately
            from seamount.run.reporting import report_run

            with separately() as (rank, _):  # everything was simulated, there is nothing to share
                return None if rank else report_run(found.path, told=told, cross_checked_by=cross_check)
        case ReportFolder():
            from seamount.deployment import again

            return again(found.path, told or usual(), cross_check)
        case ReportFile():
            ways = "name the folder of a run or report, a network or a program"
            raise InputError("is a report already", where=path, ways_out=ways)
        case NetworkFile() | ProgramFile():
            return deploy(path, told=told, cross_check=cross_check)
        case _:
            assert_never(found)


@undisturbed
def deploy(
    source: Path | str | nn.Module,
    data: Any = None,
    *,
    folder: Path | str | None = None,
    target: str = "loihi1",
    reading: Reading | None = None,
    n_samples: int | None = None,
    n_lava: int | None = None,
    require_lava: bool = False,
    float_answers: Path | str | None = None,
    data_settings: Sequence[str] = (),
    cross_check: str | None = None,
    told: Told | None = None,
) -> Report | None:
    """Everything that can be known of a network or a program: compile, simulate, run on Lava, report.

    None in a process that torchrun started only to help.

    Args:
        source: ``.nir``, ``.net``, a program, or the folder of a run (its exported student is taken) or of a report
            (read as that was, on its data, where nothing else is said); or a student in Python, a ``SpikingNet``
            (which is rounded) or a ``QuantisedStudent``.
        data: see ``samples_for``; without it nothing is run. Of a student in Python also a Dataset, or arrays (x, y).
        folder: where report.json, report.html and the program go; default: under runs/, called as the source.
        reading: how the network is read and lowered.
        n_samples: at most so many. n_lava: so many on Lava; None: 20, where Lava is installed.
        require_lava: refuse to go on without Lava.
        float_answers: a ``.npz`` with the answers of one's own network: ``answers``, classes (n,) or scores (n, K).
        data_settings: of a data set, see ``samples_for``.
        cross_check: "sana-fe" asks SANA-FE, where it is installed, for energy and time too.
        told: see ``run``.
    """
    if n_lava == 0 and require_lava:
        raise ConfigError(
            "Lava is required, and 0 samples are for it", where="--require-lava", ways_out="set one of both"
        )
    asked = Asked(
        source="",
        target=target,
        reading=reading or Reading(),
        n_samples=n_samples,
        n_lava=n_lava,
        require_lava=require_lava,
        float_answers=_named(float_answers),
        data_settings=tuple(data_settings),
        cross_check=cross_check,
    )
    told = told or usual()
    if isinstance(source, Path | str):
        return _deploy_file(Path(source), data, folder, asked, told)
    return _deploy_student(source, data, Path("runs/student" if folder is None else folder), asked, told)


def _deploy_file(source: Path, data: Any, folder: Path | str | None, asked: Asked, told: Told) -> Report | None:
    from seamount.prepared import prepare

    if not source.exists():
        possible = "a report is made of a run's folder, a .nir, .net or program file"
        raise InputError("no such file or folder", where=source, possible=possible)
    if data is not None and not isinstance(data, Path | str):
        possible = "of a network's file or a program they are a file, too, or the name of a data set"
        ways_out = "np.savez('x.npz', x=x, y=y) makes one, of whole numbers as the chip takes them"
        raise InputError(f"a {type(data).__name__}", where="data", possible=possible, ways_out=ways_out)
    place = folder_for(source) if folder is None else Path(folder)
    if isinstance(report := recognised(source), ReportFolder):  # read as it was, where nobody says else
        before = asked_in(report.path)
        # not the folder itself, which the new report may replace
        source = Path(before.source) if Path(before.source).exists() else report.network()
        if asked.reading == Reading():
            asked = replace(asked, reading=before.reading)
        if data is None:
            data, asked = before.data, replace(asked, data_settings=before.data_settings)
    asked = replace(asked, source=str(source.absolute()), data=_named(data))
    # before deployment is imported, which loads torch, so that mistakes in files are told at once
    prepared = prepare(asked, place, told if os.environ.get("RANK", "0") == "0" else Told())
    from seamount import deployment

    return deployment.deploy(asked, place, told, prepared)


def _deploy_student(student: nn.Module, data: Any, folder: Path, asked: Asked, told: Told) -> Report | None:
    from seamount import deployment
    from seamount.distill.parallel import separately
    from seamount.students import written

    folder = folder.absolute()
    with separately() as (rank, _):  # each process has a student of its own, and the folder holds one
        if rank:
            return None
        with written(student, None if isinstance(data, Path | str) else data, folder, asked) as made:
            if isinstance(data, Path | str):
                made = replace(made, data=_named(data))
            return deployment.deploy(made, folder, told)


@undisturbed
def quantise(student: SpikingNet, x: Tensor, **settings: Any) -> QuantisedStudent:
    """A student in the chip's integers, to train on or to ``deploy``; see ``students.quantise``."""
    from seamount.students import quantise as made

    return made(student, x, **settings)


def folder_for(source: Path) -> Path:
    """Where the report of a file goes, unless somebody says it: under runs/, called as the file."""
    return Path("runs") / source.absolute().name.split(".")[0]


def _named(path: Path | str | None) -> str | None:
    """A file by its whole path, so that a report can be made again from another folder; a data set by its name."""
    if path is None:
        return None
    return str(Path(path).absolute()) if Path(path).exists() else str(path)


def load_report(path: Path | str) -> Report:
    """The report of a run or of a network or program: its folder, or its report.json."""
    from seamount.report.report import from_json

    path = Path(path)
    # any folder will do: a report may be kept without the run that it came from
    if not path.is_dir() and isinstance(found := recognised(path), NetworkFile | ProgramFile) and path.exists():
        kind = "network" if isinstance(found, NetworkFile) else "program"
        raise InputError(
            f"is a {kind}, a report is needed",
            where=path,
            ways_out=f"`seamount report {shlex.quote(str(path))} --data x.npz` makes one, and names its folder",
        )
    file = path / "report.json" if path.is_dir() else path
    if not file.exists():
        ways = "name a report.json, or the folder of one"
        if path.is_dir() and recognised_folder(path):
            ways = f"`seamount report {shlex.quote(str(path))}` writes one"
        raise InputError("no such report", where=file, ways_out=ways)
    return from_json(file_bytes(file, NETWORK_BYTES), str(file))


def compare(a: Path | str, b: Path | str) -> ReportComparison:
    """Two reports, row by row."""
    from seamount.report.compare import compare as rows

    return rows(load_report(a), load_report(b))


def check(run: Path | str, gates: Gates) -> tuple[Outcome, ...]:
    """Which of the gates a run passes."""
    from seamount.report.gates import check as outcomes

    return outcomes(load_report(run), gates)


@undisturbed
def why(
    path: Path | str,
    layer: str,
    n_samples: int = 16,
    data: str | None = None,
    settings: Sequence[str] = (),
    *,
    target: str | None = None,
    reading: Reading | None = None,
) -> Explanation:
    """What makes a layer of a program differ from the network in real numbers: each effect alone, and all but it.

    Of a run, "weights" holds both rounding and what fine-tuning in integers changed.

    Args:
        path: the folder of a run or report, or a network file.
        data, settings: see ``samples_for``; a run has its test set, a report its samples.
        target, reading: of a network file, see ``deploy``.
    """
    path, reading = Path(path), reading or Reading()
    found = recognised(path)
    if isinstance(found, RunFolder | ReportFolder) and (target is not None or reading != Reading()):
        raise ConfigError(
            "says itself how its network is read", where=path, ways_out="leave these options out, or name the network"
        )
    match found:
        case RunFolder() if data is None:
            return _why_of_run(found.path, layer, n_samples)
        case RunFolder():
            raise ConfigError(f"{path} is a run, which is explained by its test set", where=f"--data {data}")
        case ReportFolder():
            return _why_of_network(asked_in(found.path), found.path, layer, n_samples, data, settings)
        case NetworkFile():
            asked = Asked(str(found.path), target=target or "loihi1", reading=reading)
            return _why_of_network(asked, found.path, layer, n_samples, data, settings)
        case ReportFile():
            raise no_network(path, "a report by itself")
        case ProgramFile():
            raise no_network(path, "a program, which holds integers alone" if path.exists() else "not there")
        case _:
            assert_never(found)


def _why_of_network(
    asked: Asked, path: Path, layer: str, n_samples: int, data: str | None, settings: Sequence[str]
) -> Explanation:
    from seamount.chip_samples import data_for, require_data, samples_for
    from seamount.prepared import program_of

    named = data_for(path, data)
    require_data(named, settings)
    compiled, program = program_of(asked)
    if compiled is None or compiled.network is None:
        found = "holds integers alone, no network in real numbers"
        raise InputError(found, where=asked.source, possible="needed is a .nir file, or the folder of its report")
    samples = samples_for(program, named, n_samples, settings)
    from seamount.report.why import why as explain  # after them, because it loads torch

    return explain(compiled.network, compiled.program, samples.inputs, layer)


def _why_of_run(folder: Path, layer: str, n_samples: int) -> Explanation:
    import torch

    from seamount.compile.pipeline import compile_graph
    from seamount.report.why import why as explain
    from seamount.run.reporting import open_finished
    from seamount.run.stages import EXPORT
    from seamount.run.stages.export import float_graph

    finished = open_finished(folder)
    network = compile_graph(float_graph(finished.of(EXPORT)), finished.target).network
    assert network is not None, "a NIR file gives a network"
    test = finished.data.test
    inputs = finished.data.chip_inputs(test, torch.arange(min(n_samples, len(test))))
    return explain(network, finished.program(), inputs, layer)


@undisturbed
def sweep(
    config: Path | str | None,
    over: Sequence[str],
    settings: Sequence[str] = (),
    *,
    folder: Path | str,
    told: Told | None = None,
    gates: Gates | None = None,
) -> Sweep:
    """Every combination of the axes ``over`` (``section.key=value,value``), each an ordinary run below ``folder``.

    Training is done once for all points that need the same. ``folder`` holds sweep.html, sweep.csv and sweep.json.

    Args:
        gates: what each point is asked to hold.
    """
    from seamount.run.sweep import sweep as grid

    return grid(None if config is None else Path(config), over, settings, Path(folder), told or usual(), gates)
