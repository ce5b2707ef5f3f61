"""A grid of runs: every combination of some settings, resumable, shared out over the ranks of ``torchrun``.

runs/NAME/
    sweep.html, sweep.csv   all points side by side
    sweep.json              the same for machines
    points/student.n_steps=4,quant.weight_bits=8/
                            an ordinary run directory each; its report shows the whole front

Points take finished stages over from each other where their inputs are the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seamount.config import Config, load_config
from seamount.distill.parallel import separately
from seamount.errors import ConfigError, SeamountError
from seamount.files import write_atomically
from seamount.report.evidence import Trial
from seamount.report.gates import Gates, Outcome, check
from seamount.report.sweep import (
    Axis,
    NotReached,
    SweepReport,
    render_sweep_csv,
    render_sweep_html,
    sweep_report,
)

from .folder import Run
from .pipeline import run_stages
from .reporting import open_finished, report_run, trial_of
from .sharing import TAKEN_FROM, Siblings
from .stages import STAGES, TRAINING
from .told import Told

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

LONGEST_NAME = 255
"""Bytes of a folder's name."""


@dataclass(frozen=True)
class Point:
    """One combination: its folder's name, the settings that make it, and their values alone."""

    name: str
    settings: tuple[str, ...]
    values: tuple[str, ...]


@dataclass(frozen=True)
class Sweep:
    """What a sweep found. ``failed`` maps a point to its error; ``waiting`` are points of other ranks."""

    trials: tuple[Trial, ...]
    failed: dict[str, str]
    waiting: tuple[str, ...]
    report: SweepReport

    def __repr__(self) -> str:
        return repr(self.report).replace("SweepReport", "Sweep", 1)

    def _repr_html_(self) -> str:
        return self.report._repr_html_()

    def table(self) -> DataFrame:
        """A row a point, see ``SweepReport.table``."""
        return self.report.table()

    def plot(self, ax: Axes | None = None) -> Axes:
        """Accuracy against energy, see ``SweepReport.plot``."""
        return self.report.plot(ax)


def grid(over: Sequence[str]) -> list[Point]:
    """Points of ``section.key=value,value,...`` axes (spaces part them too), in order, the last axis fastest."""
    axes = axes_of(over)
    points = []
    for values in itertools.product(*(axis.values for axis in axes)):
        settings = tuple(f"{axis.key}={value}" for axis, value in zip(axes, values, strict=True))
        # a value may be a path, and the name becomes a folder
        points.append(Point(",".join(settings).replace("/", "_"), settings, values))
    _refuse_same_folders(points)
    return points


def axes_of(over: Sequence[str]) -> list[Axis]:
    """Each setting with its values."""
    axes = []
    for axis in [word for words in over for word in words.split()]:
        key, sign, values = axis.partition("=")
        choices = tuple(value.strip() for value in values.split(",") if value.strip())
        if not sign or not choices:
            raise ConfigError("needs the form section.key=value,value,...", where=f"--over {axis}")
        axes.append(Axis(key=key.strip(), values=choices))
    if not axes:
        raise ConfigError("no axis", where="--over", ways_out="name at least one, as student.n_steps=2,4,8")
    return axes


def _refuse_same_folders(points: Sequence[Point]) -> None:
    """Two points in one folder would be one run, with two rows of its figures."""
    known: dict[str, Point] = {}
    for point in points:
        if point.name in known:
            settings = " and ".join(" ".join(p.settings) for p in (known[point.name], point))
            raise ConfigError(
                f"{settings} both make the folder {point.name}", where="--over", ways_out="name each point once"
            )
        if len(point.name.encode()) > LONGEST_NAME:
            raise ConfigError(
                f"the folder of a point would have a name of {len(point.name.encode())} bytes, {point.name[:40]}...",
                where="--over",
                possible=f"file systems take {LONGEST_NAME}",
            )
        known[point.name] = point


def sweep(
    config: Path | None,
    over: Sequence[str],
    settings: Sequence[str],
    folder: Path,
    told: Told,
    gates: Gates | None = None,
) -> Sweep:
    """Run what is not done yet of the grid; every rank takes its share, and each writes the reports it can.

    A point that fails is noted with its error and the others go on.

    Args:
        gates: what each point is asked to hold.
    """
    points, axes = grid(over), axes_of(over)
    for point in points:  # all before the first, so that a mistake in the last costs no time
        _config(config, settings, point)
    failed = {}
    with separately() as (rank, n_ranks):  # ranks share the points out; a point is trained by one process
        for number, point in enumerate(points[rank::n_ranks]):
            told.stage(f"point {rank + number * n_ranks + 1} of {len(points)}: {point.name}")
            place = folder / "points" / point.name
            try:
                made = _config(config, settings, point)
                run_stages(made, place, resume=place.exists(), told=told, siblings=Siblings(place.parent))
            except SeamountError as error:
                failed[point.name] = str(error)
    return collect(folder, axes, points, failed, gates)


def _config(config: Path | None, settings: Sequence[str], point: Point) -> Config:
    return load_config(config, [*settings, *point.settings])


def collect(
    folder: Path,
    axes: Sequence[Axis],
    points: Sequence[Point],
    failed: Mapping[str, str],
    gates: Gates | None = None,
) -> Sweep:
    """Gather the finished points, draw each one's report with all of them in it, and the page of all."""
    runs, done, missed = folder / "points", [], []
    for point in points:
        try:
            open_finished(runs / point.name)
        except SeamountError:
            missed.append(NotReached(name=point.name, values=point.values, reason=failed.get(point.name)))
        else:
            done.append(point)
    trials = {p.values: trial_of(runs / p.name, p.name, ", ".join(p.settings), ", ".join(p.values)) for p in done}
    outcomes: dict[str, tuple[Outcome, ...]] = {}
    for point in done:
        report = report_run(runs / point.name, list(trials.values()))
        if gates is not None:
            outcomes[point.name] = check(report, gates)
    trained = {p.name: _trained(runs / p.name) for p in done}
    made = sweep_report(folder.name, axes, trials, missed, trained=trained, outcomes=outcomes)
    write_atomically(folder / "sweep.json", made.to_json())
    write_atomically(folder / "sweep.csv", render_sweep_csv(made))
    write_atomically(folder / "sweep.html", render_sweep_html(made))
    waiting = tuple(m.name for m in missed if m.reason is None)
    return Sweep(tuple(trials.values()), dict(failed), waiting, made)


def _trained(folder: Path) -> list[str]:
    """The stages of training that a run did itself."""
    run = Run(folder, STAGES)
    return [s.name for s in TRAINING if s.together and TAKEN_FROM not in (run.status(s) or {TAKEN_FROM: ""})]
