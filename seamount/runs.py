"""What is done with a run's folder: begin it, run its stages, report, ask questions about it, run a grid of them.

Everything heavy is imported where it is used, so that the command line answers fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seamount.config import load_config, to_toml
from seamount.errors import ConfigError, InputError
from seamount.run.told import Told

if TYPE_CHECKING:
    from seamount.report.compare import ReportComparison
    from seamount.report.gates import Gates, Outcome
    from seamount.report.report import Report
    from seamount.report.why import Explanation
    from seamount.run.folder import Run
    from seamount.run.stage import Stage
    from seamount.run.sweep import Sweep


def init(path: Path, settings: Sequence[str] = ()) -> None:
    """Write a commented configuration; an existing file is not replaced."""
    from seamount.files import write_atomically

    if path.exists():
        raise ConfigError("exists already", where=path, ways_out="choose another name")
    write_atomically(path, to_toml(load_config(None, settings)))


def run(
    config: Path | None,
    settings: Sequence[str] = (),
    *,
    folder: Path,
    resume: bool = False,
    overwrite: bool = False,
    told: Told | None = None,
) -> Report | None:
    """All stages of a run and its report; None in a process that torchrun started only to help with training.

    Args:
        config: TOML file; None for the defaults, the demonstration on digits.
        settings: ``section.key=value`` each.
        folder: the run directory.
    """
    from seamount.run.pipeline import run_stages
    from seamount.run.reporting import report_run

    told = told or Told()
    if run_stages(load_config(config, settings), folder, resume=resume, overwrite=overwrite, told=told) is None:
        return None
    told.stage("report")
    return report_run(folder)


@dataclass(frozen=True)
class StageAccuracy:
    stage: str
    accuracy: float
    n: int


def distill(
    config: Path | None,
    settings: Sequence[str] = (),
    *,
    folder: Path,
    until: str = "export",
    resume: bool = False,
    overwrite: bool = False,
    told: Told | None = None,
) -> list[StageAccuracy] | None:
    """The stages that train: teacher, student, student in integers, and its NIR file. Test accuracy of each.

    None in a process that torchrun started only to help.
    """
    from seamount.run.pipeline import run_stages
    from seamount.run.stages import TRAINING

    names = [stage.name for stage in TRAINING]
    if until not in names:
        raise ConfigError(
            "no stage of training",
            where=f"--to {until}",
            possible=f"possible are {', '.join(names)}",
            ways_out="`seamount run` does the others too",
        )
    made = load_config(config, settings)
    run = run_stages(made, folder, resume=resume, overwrite=overwrite, until=until, told=told)
    return None if run is None else _accuracies(run, TRAINING[: names.index(until) + 1])


def _accuracies(run: Run, stages: Sequence[Stage[Any]]) -> list[StageAccuracy]:
    from seamount.run.answers import read_answers

    rows = []
    for stage in stages:
        if (run.of(stage) / "answers.npz").exists():
            found = read_answers(run.of(stage))
            right = found["predictions"] == found["labels"]
            rows.append(StageAccuracy(stage.name, float(right.mean()), len(right)))
    return rows


def report(folder: Path) -> Report:
    """Write report.json and report.html of a finished run."""
    from seamount.run.reporting import report_run

    return report_run(folder)


def load_report(path: Path) -> Report:
    """The report of a run directory, or a report.json."""
    from seamount.report.report import from_json

    file = path / "report.json" if path.is_dir() else path
    if not file.exists():
        raise InputError("no such report", where=file, ways_out=f"`seamount report {path}` writes one")
    return from_json(file.read_bytes(), str(file))


def compare(a: Path, b: Path) -> ReportComparison:
    """Two reports, row by row."""
    from seamount.report.compare import compare as rows

    return rows(load_report(a), load_report(b))


def check(run: Path, gates: Gates) -> tuple[Outcome, ...]:
    """Which of the gates a run passes."""
    from seamount.report.gates import check as outcomes

    return outcomes(load_report(run), gates)


def why(folder: Path, layer: str, n_samples: int = 16) -> Explanation:
    """What makes a layer of a run's program differ from the float student: each effect alone, and all but it.

    "weights" holds both rounding and what fine-tuning in integers changed.
    """
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


def sweep(
    config: Path | None, over: Sequence[str], settings: Sequence[str] = (), *, folder: Path, told: Told | None = None
) -> Sweep:
    """Every combination of the axes ``over`` (``section.key=value,value``), each an ordinary run below ``folder``."""
    from seamount.run.sweep import sweep as grid

    return grid(config, over, settings, folder, told or Told())
