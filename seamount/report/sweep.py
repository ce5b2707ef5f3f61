"""``sweep.json``, ``sweep.csv`` and ``sweep.html``: all points of a sweep side by side, those that failed as well."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Group, RenderableType
from rich.table import Table

from seamount.errors import plural
from seamount.notebook import axes, card, frame, headed, line
from seamount.shown import cell, figure, markdown
from seamount.terminal import Text

from .evidence import Trial
from .gates import Outcome
from .markdown import table
from .notebook import cells
from .parts.sweep import SweepPoint, sweep_points
from .render.html import page
from .schema import text
from .schema.values import Item

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

REACHED = ["accuracy", "energy_j", "spikes", "spikes_per_synapse", "cores", "front"]
"""Columns of the table in Python, behind those of the axes."""


class Axis(Item):
    """A setting, and the values that it is given."""

    key: str
    values: tuple[str, ...]


class NotReached(Item):
    """A point without a report. ``reason``: what it failed with; None: it is not finished."""

    name: str
    values: tuple[str, ...]
    reason: str | None


class SweptPoint(Item):
    """A point with a report.

    ``values``: of the axes, in their order. ``report``: where its page is, beside this one. ``trained``: the stages
    of training that it ran itself; the others were taken from another point. ``not_held``: the gates that it misses;
    None where no gate was asked for.
    """

    values: tuple[str, ...]
    report: str
    trained: tuple[str, ...]
    not_held: tuple[str, ...] | None
    point: SweepPoint


class SweepReport(Item):
    """``notes``: what a reader must know to compare the points."""

    schema_name: Literal["seamount.sweep"] = "seamount.sweep"
    schema_version: int = 1
    name: str
    headline: str
    axes: tuple[Axis, ...]
    points: tuple[SweptPoint, ...]
    not_reached: tuple[NotReached, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return line("SweepReport", self.name, (self.headline,))

    def _repr_html_(self) -> str:
        waiting = [(", ".join(p.values), p.reason or "not finished") for p in self.not_reached]
        return card(self.headline, " ".join(self.notes), headed(self._rows()), *([waiting] if waiting else []))

    def table(self) -> DataFrame:
        """A row a finished point: its values of the axes, then what it reached. Units stand in ``attrs["units"]``."""
        return frame(self._rows(), cells((p.point for p in self.points), REACHED)[1])

    def _rows(self) -> list[dict[str, Any]]:
        keys = [axis.key for axis in self.axes]
        reached, _ = cells((p.point for p in self.points), REACHED)
        return [dict(zip(keys, p.values, strict=True)) | row for p, row in zip(self.points, reached, strict=True)]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Accuracy against energy, points that none beats filled; without energies against spikes."""
        ax = axes(ax)
        priced = all(p.point.energy_j.value is not None for p in self.points)
        for swept in self.points:
            cost = swept.point.energy_j if priced else swept.point.spikes
            if cost.value is not None and swept.point.accuracy.value is not None:
                at = float(cost.value), float(swept.point.accuracy.value)
                ax.plot(*at, "o", color="C0", fillstyle="full" if swept.point.front else "none")
                ax.annotate(figure(", ".join(swept.values)), at, xytext=(5, 4), textcoords="offset points")
        if priced:
            ax.xaxis.set_major_formatter(lambda joules, _: text.si(joules, "J"))
        ax.set(xlabel="energy of an inference" if priced else "spikes per sample", ylabel="accuracy [%]")
        return ax

    def to_json(self) -> str:
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=1) + "\n"


def sweep_report(
    name: str,
    axes: Sequence[Axis],
    trials: Mapping[tuple[str, ...], Trial],
    not_reached: Sequence[NotReached],
    *,
    trained: Mapping[str, Sequence[str]],
    outcomes: Mapping[str, Sequence[Outcome]],
) -> SweepReport:
    """
    Args:
        trials: the finished points by their values of the axes.
        trained: point -> stages of training that it ran itself.
        outcomes: point -> what the gates found; empty: none was asked for.
    """
    points = tuple(
        SweptPoint(
            values=values,
            report=f"points/{point.name}/report.html",
            trained=tuple(trained[point.name]),
            not_held=None if not outcomes else tuple(_missed(point.name, outcomes[point.name])),
            point=point,
        )
        for values, point in zip(trials, sweep_points(list(trials.values())), strict=True)
    )
    return SweepReport(
        name=name,
        headline=_headline(points, not_reached),
        axes=tuple(axes),
        points=points,
        not_reached=tuple(not_reached),
        notes=tuple(_notes(points)),
    )


def _missed(name: str, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Without the point's name, beside which it will stand."""
    return (o.message.removeprefix(f"{name}: ") for o in outcomes if not o.passed)


def _headline(points: Sequence[SweptPoint], not_reached: Sequence[NotReached]) -> str:
    n, found = len(points) + len(not_reached), []
    if not points:
        return f"None of {n} {plural(n, 'point')} is finished."
    best = max((p.point for p in points), key=lambda p: float(p.accuracy.value or 0))
    on_front = sum(p.point.front for p in points)
    reached = f"{n}" if not not_reached else f"{len(points)} of {n}"
    found.append(f"{reached} {plural(n, 'point')}, up to {text.quantity(best.accuracy)}")
    found.append(f"{on_front} that no other beats" if on_front else "no energies to compare them by")
    if points[0].not_held is not None:
        found.append(f"{sum(not p.not_held for p in points)} that hold every gate")
    return f"{'; '.join(found)}."


def _notes(points: Sequence[SweptPoint]) -> list[str]:
    notes = [
        "Energy is what is dynamic on the chip, per inference, estimated from published constants; of streamed "
        "samples where a program can be streamed."
    ]
    if len({p.point.target for p in points}) > 1:
        notes.append(
            "Energies and cores of two targets do not compare: their constants come from different papers, and their "
            "cores hold different amounts. Each target has a front of its own."
        )
    if any(p.point.placeholder for p in points):
        notes.append(
            "Energies marked as placeholders are of another chip's constants: none of this one are published."
        )
    return notes


# ---------------------------------------------------------------------------------------------- as files


def render_sweep_html(report: SweepReport) -> str:
    """One page that needs no other file, with links to the points' reports and to the table as CSV."""
    return page("sweep.html.j2", s=report, points=tuple(p.point for p in report.points))


COLUMNS = (
    "accuracy",
    "low",
    "high",
    "n",
    "energy_j",
    "placeholder",
    "spikes_per_synapse",
    "spikes_per_sample",
    "cores",
    "mean_steps_when_sure",
    "accuracy_when_sure",
    "front",
    "front_spikes",
    "front_cores",
)


def render_sweep_csv(report: SweepReport) -> str:
    """A row a point: each axis a column, accuracies in per cent, energies in J; empty is unknown."""
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(["point", *(cell(axis.key) for axis in report.axes), "state", *COLUMNS, "reason"])
    for swept in report.points:
        p = swept.point
        numbers = (p.accuracy.value, p.accuracy.low, p.accuracy.high, p.accuracy.n, p.energy_j.value, p.placeholder)
        costs = (p.spikes_per_synapse.value, p.spikes.value, p.cores.value)
        rest = (p.early_steps.value, p.early_accuracy.value, p.front, p.front_spikes, p.front_cores)
        state = "finished" if not swept.not_held else "gate missed"
        reason = "; ".join(swept.not_held or ())
        rows.writerow([*map(cell, (p.name, *swept.values)), state, *(numbers + costs + rest), cell(reason)])
    for missed in report.not_reached:
        state, reason = ("not finished", "") if missed.reason is None else ("failed", missed.reason)
        rows.writerow([*map(cell, (missed.name, *missed.values)), state, *("" for _ in COLUMNS), cell(reason)])
    return written.getvalue()


# ---------------------------------------------------------------------------------------------- in the terminal


def render_sweep_terminal(report: SweepReport, width: int) -> RenderableType:
    """A line a point, by the values of the axes; what failed with its whole reason below.

    Args:
        width: columns that there are; where they are few, each point is two lines.
    """
    keys = ", ".join(axis.key for axis in report.axes)
    parts: list[RenderableType] = [Text(report.headline), Text(f"points by {keys}", "dim"), Text("")]
    if report.points:
        parts.append(_points(report.points, width))
    parts += [Text(f"! {note}", "yellow") for note in report.notes[1:]]
    for swept in report.points:
        parts += [Text(f"✕ {swept.point.label}: {message}", "red") for message in swept.not_held or ()]
    for missed in report.not_reached:
        values = ", ".join(missed.values)
        told = "not finished, another process's share" if missed.reason is None else f"failed: {missed.reason}"
        parts.append(Text(f"✕ {values}: {told}", "red" if missed.reason else "dim"))
    return Group(*parts)


def _points(points: Sequence[SweptPoint], width: int) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column("point", overflow="fold")
    room = width >= 72
    for title in ("accuracy", "energy", *(("spikes/synapse",) if room else ()), "cores", "front"):
        table.add_column(title, justify="right", no_wrap=True)
    for swept in points:
        p = swept.point
        energy = text.quantity(p.energy_j) + ("*" if p.placeholder else "")
        spikes = (text.number(p.spikes_per_synapse),) if room else ()
        front = Text("✓" if p.front else "", "green")
        table.add_row(p.label, text.quantity(p.accuracy), energy, *spikes, text.number(p.cores), front)
    if any(p.point.placeholder for p in points):
        table.caption = "* placeholder"
    return table


def render_sweep_markdown(report: SweepReport) -> str:
    """For GitHub: the points as a table, what failed below it."""
    keys = [markdown(axis.key) for axis in report.axes]
    gated = bool(report.points) and report.points[0].not_held is not None
    head = [*keys, "accuracy", "energy", "spikes/synapse", "cores", *(["gates"] if gated else [])]
    rows = []
    for swept in report.points:
        p = swept.point
        cells = [text.quantity(p.accuracy), text.quantity(p.energy_j) + (" (placeholder)" if p.placeholder else "")]
        cells += [text.number(p.spikes_per_synapse), text.number(p.cores)]
        cells += ["❌ " + markdown("; ".join(swept.not_held)) if swept.not_held else "✅"] if gated else []
        bold = "**" if p.front else ""
        rows.append([*(f"{bold}{markdown(value)}{bold}" for value in swept.values), *cells])
    lines = [f"### {markdown(report.name)}: {markdown(report.headline)}", "", *(table(head, rows) if rows else [])]
    lines += ["", "Bold: no other point beats it in accuracy and energy."] if report.points else []
    lines += [f"- {markdown(note)}" for note in report.notes[1:]]
    for missed in report.not_reached:
        told = "not finished" if missed.reason is None else f"failed: {missed.reason}"
        lines.append(f"- ❌ {markdown(', '.join(missed.values))}: {markdown(told)}")
    return "\n".join(lines) + "\n"
