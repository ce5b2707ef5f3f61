"""A grid of runs: every combination of some settings, resumable, shared out over the ranks of ``torchrun``.

runs/NAME/
    sweep.json              the grid and what each point reached
    points/T=4,bits=8/      an ordinary run directory each; its report shows the whole front
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from seamount.config import Config, load_config
from seamount.distill.parallel import separately
from seamount.errors import ConfigError, SeamountError
from seamount.files import write_json
from seamount.report.evidence import Trial

from .pipeline import run_stages
from .reporting import open_finished, report_run, trial_of
from .told import Told

LONGEST_NAME = 255
"""Bytes of a folder's name."""


@dataclass(frozen=True)
class Point:
    """One combination: its folder's name and the settings that make it."""

    name: str
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Sweep:
    """What a sweep found. ``failed`` maps a point to its error; ``waiting`` are points of other ranks."""

    trials: tuple[Trial, ...]
    failed: dict[str, str]
    waiting: tuple[str, ...]


def grid(over: Sequence[str]) -> list[Point]:
    """Points of ``section.key=value,value,...`` axes (spaces part them too), in order, the last axis fastest."""
    axes = []
    for axis in [word for words in over for word in words.split()]:
        key, sign, values = axis.partition("=")
        choices = [value.strip() for value in values.split(",") if value.strip()]
        if not sign or not choices:
            raise ConfigError("needs the form section.key=value,value,...", where=f"--over {axis}")
        axes.append([(key.strip(), value) for value in choices])
    if not axes:
        raise ConfigError("no axis", where="--over", ways_out="name at least one, as student.n_steps=2,4,8")
    points = []
    for combination in itertools.product(*axes):
        name = ",".join(f"{key.split('.')[-1]}={value}" for key, value in combination)
        # a value may be a path, and the name becomes a folder
        points.append(Point(name.replace("/", "_"), tuple(f"{key}={value}" for key, value in combination)))
    _refuse_same_folders(points)
    return points


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


def sweep(config: Path | None, over: Sequence[str], settings: Sequence[str], folder: Path, told: Told) -> Sweep:
    """Run what is not done yet of the grid; every rank takes its share, and each writes the reports it can.

    A point that fails is noted with its error and the others go on.
    """
    points = grid(over)
    for point in points:  # all before the first, so that a mistake in the last costs no time
        _config(config, settings, point)
    failed = {}
    with separately() as (rank, n_ranks):  # ranks share the points out; a point is trained by one process
        for number, point in enumerate(points[rank::n_ranks]):
            told.stage(f"point {rank + number * n_ranks + 1} of {len(points)}: {point.name}")
            place = folder / "points" / point.name
            try:
                run_stages(_config(config, settings, point), place, resume=place.exists(), told=told)
            except SeamountError as error:
                failed[point.name] = str(error)
    return collect(folder, points, failed)


def _config(config: Path | None, settings: Sequence[str], point: Point) -> Config:
    return load_config(config, [*settings, *point.settings])


def collect(folder: Path, points: Sequence[Point], failed: dict[str, str]) -> Sweep:
    """Gather the finished points, and draw each one's report with all of them in it."""
    done, waiting = [], []
    for point in points:
        try:
            open_finished(folder / "points" / point.name)
        except SeamountError:
            waiting.append(point.name)
        else:
            done.append(point)
    trials = [trial_of(folder / "points" / p.name, p.name, ", ".join(p.settings)) for p in done]
    for point in done:
        report_run(folder / "points" / point.name, trials)
    found = Sweep(tuple(trials), failed, tuple(name for name in waiting if name not in failed))
    write_json(folder / "sweep.json", asdict(found))
    return found
