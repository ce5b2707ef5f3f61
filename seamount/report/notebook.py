"""The report in a notebook: the card of its first screen, its tables, its figures. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import nan
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from seamount.errors import InputError, plural
from seamount.notebook import axes, card, chosen, frame, line
from seamount.shown import figure

from .parts.accuracy import Accuracy
from .parts.energy import Energy
from .parts.layers import Layer
from .parts.mapping import Mapping
from .schema import text
from .schema.values import Item, Missing, Quantity, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

    from .report import Report

P = TypeVar("P")

BESIDE: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1, 1)}
"""Where a legend goes that would lie on the curves or bars."""
LINEAR = 1000
"""Within this many chip units of 0 the axis of v is linear, beyond it logarithmic."""


def short(report: Report) -> str:
    """What ``repr`` is: the answer in a line."""
    return line("Report", report.run.name, (f"on {report.run.target}", report.headline))


def summary(report: Report) -> str:
    """Verdicts, and the ladder of accuracies."""
    run = report.run
    steps = [] if run.n_steps is None else [f"{run.n_steps} {plural(run.n_steps, 'step')}"]
    facts = [f"{run.name} on {run.target}", *steps, text.quantity(run.n_neurons), text.quantity(run.n_weights)]
    facts += [f"{fact.name}: {fact.value}" for fact in run.facts]
    verdicts = [(f"{text.SYMBOLS[v.state]} {v.title}", v.word, v.detail) for v in report.verdicts]
    rungs = report.accuracy.rungs if isinstance(report.accuracy, Accuracy) else ()
    ladder = [(r.title, text.quantity(r.accuracy), _interval(r.accuracy)) for r in rungs]
    return card(report.headline, " · ".join(facts), verdicts, *([ladder] if ladder else []))


def _interval(q: Quantity) -> str:
    return "" if q.low is None or q.high is None else f"{q.low:.1f} to {q.high:.1f} %, n = {q.n:,}"


# ------------------------------------------------------------------------------------------------- tables


def table(report: Report, what: str) -> DataFrame:
    """See ``Report.table``."""
    rows_of, columns = TABLES[chosen(what, TABLES, "table()")]
    return frame(*cells(rows_of(report), columns.split()))


def cells(items: Iterable[Item], columns: Sequence[str]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """A row an item, and the units of its columns; a quantity with an interval takes three of them.

    Energies and times are in µJ and µs, and so are the names of their columns: tables are shown with few decimals, in
    which joules and seconds of a chip are 0.000003.
    """
    rows: list[dict[str, Any]] = []
    units: dict[str, str] = {}
    for item in items:
        row: dict[str, Any] = {}
        for path in columns:
            value, name = attrgetter(path)(item), _in_micro(path.replace(".", "_"))
            value = micro(value) if isinstance(value, Quantity) else value
            if isinstance(value, Quantity):
                ends = {f"{name}_low": value.low, f"{name}_high": value.high} if value.low is not None else {}
                units |= dict.fromkeys((name, *ends), value.unit) if value.unit else {}
                row |= {name: value.value, **ends}
            else:
                row[name] = value
        rows.append(row)
    return rows, units


def _in_micro(column: str) -> str:
    stem, _, unit = column.rpartition("_")
    return f"{stem}_u{unit}" if stem and unit in ("j", "s") else column


def micro(q: Quantity) -> Quantity:
    """Joules in µJ, seconds in µs; anything else as it is."""
    if q.unit not in ("J", "s"):
        return q
    value, low, high = (None if x is None else x * 1e6 for x in (q.value, q.low, q.high))
    return q.model_copy(update={"value": value, "low": low, "high": high, "unit": f"µ{q.unit}"})


class Step(Item):
    """An answer read after ``step`` steps."""

    step: int
    accuracy: Quantity
    energy_j: Quantity | None
    latency_s: Quantity | None


def _steps(report: Report) -> list[Step]:
    found = there(report.anytime, "accuracy over time")
    rows = []
    for i, step in enumerate(found.steps):
        right = _at(found.accuracy, i)
        assert right is not None, "accuracy is never missing where there are steps"
        accuracy = right.model_copy(update={"low": found.low.values[i], "high": found.high.values[i]})
        energy, latency = _at(found.energy_j, i), _at(found.latency_s, i)
        rows.append(Step(step=step, accuracy=accuracy, energy_j=energy, latency_s=latency))
    return rows


def _at(series: Series | Missing, i: int) -> Quantity | None:
    value = None if isinstance(series, Missing) else series.values[i]
    if isinstance(series, Missing) or value is None:
        return None
    return Quantity(value=value, unit=series.unit, status=series.status, n=series.n)


def there(part: P | Missing, what: str) -> P:
    """A part of the report, or why it is not there."""
    if isinstance(part, Missing):
        raise InputError(f"not in this report, because {part.missing}", where=what)
    return part


TABLES: dict[str, tuple[Callable[[Report], Iterable[Item]], str]] = {
    "layers": (
        lambda report: there(report.layers, "layers"),
        "name kind shape n_neurons arrival spikes_float spikes_deployed change_percent damage first_divergent_step "
        "membrane_rmse rate_distance v_saturations u_wraps drive_wraps sops n_dead n_always",
    ),
    "accuracy": (
        lambda report: there(report.accuracy, "accuracy").rungs,
        "title accuracy n_correct n_unanswered lost_pp agreement",
    ),
    "time": (_steps, "step accuracy energy_j latency_s"),
    "cores": (
        lambda report: there(report.mapping, "cores").cores,
        "chip core layers sops worst.resource worst.used worst.limit worst.share",
    ),
    "energy": (lambda report: there(report.energy, "energy").sets, "name compute_j dynamic_j total_j statuses"),
    "sweep": (lambda report: there(report.sweep, "sweep"), "name accuracy energy_j spikes cores front settings"),
}
"""What -> its items, and which of their fields are columns."""


# ------------------------------------------------------------------------------------------------ figures


def plot(report: Report, what: str, ax: Axes | None) -> Axes:
    """See ``Report.plot``."""
    draw = PLOTS[chosen(what, PLOTS, "plot()")]
    return draw(report, ax)


def _accuracy(report: Report, ax: Axes | None) -> Axes:
    found = there(report.anytime, "accuracy over time")
    ax = axes(ax)
    ax.plot(found.steps, _numbers(found.accuracy), "o-", label="deployed")
    ax.fill_between(
        found.steps, _numbers(found.low), _numbers(found.high), alpha=0.2, linewidth=0, label="95 % interval"
    )
    rungs = report.accuracy.rungs if isinstance(report.accuracy, Accuracy) else ()
    for rung, style in zip([r for r in rungs if r.stage != "deployed"], ("--", ":", "-.", "--"), strict=False):
        ax.axhline(float(rung.accuracy.value or 0), linestyle=style, color="gray", label=figure(rung.title))
    ax.set(xlabel="steps until the answer is read", ylabel="accuracy [%]", xticks=found.steps)
    ax.legend()
    return ax


def _spikes(report: Report, ax: Axes | None) -> Axes:
    drawn = [layer for layer in _layers(report) if isinstance(layer.rate_deployed, Series)]
    if not drawn:
        raise InputError("no layer that spikes was recorded", where="spikes")
    ax = axes(ax)
    for layer in drawn:
        reference = figure(f"{layer.name}, {report.run.reference}")
        both = ((layer.rate_deployed, "-", figure(layer.name)), (layer.rate_float, ":", reference))
        color = None
        for rate, style, label in both:
            if isinstance(rate, Series):
                (curve,) = ax.plot(range(1, len(rate.values) + 1), _numbers(rate), style, color=color, label=label)
                color = curve.get_color()
    ax.locator_params("x", integer=True)
    ax.set(xlabel="step", ylabel="spikes per sample", ylim=(0, 1.05 * ax.get_ylim()[1]))
    ax.legend(**BESIDE)
    return ax


def _ranges(report: Report, ax: Axes | None) -> Axes:
    drawn = [(layer, layer.v) for layer in _layers(report) if not isinstance(layer.v, Missing)]
    if not drawn:
        raise InputError("v of no layer was recorded", where="ranges")
    ax = axes(ax)
    boxes = [
        {"whislo": v.box.low, "q1": v.box.q25, "med": v.box.median, "q3": v.box.q75, "whishi": v.box.high}
        for _, v in drawn
    ]
    ax.bxp(boxes, showfliers=False)
    for at, (_, v) in enumerate(drawn, start=1):
        if v.threshold is not None:
            ax.hlines(float(v.threshold.value or 0), at - 0.35, at + 0.35, color="C3")
    for end in (-drawn[0][1].limit, drawn[0][1].limit):
        ax.axhline(end, color="gray", linestyle="--", linewidth=1)
    ax.set_yscale("symlog", linthresh=LINEAR)
    # within the linear part matplotlib's own ticks would lie on each other
    ax.set_yticks([0, *(sign * LINEAR * 10**k for k in range(4) for sign in (-1, 1))])
    ax.set(ylabel="v [chip units]", title="red: threshold; dashed: ends of the 24 bits")
    ax.set_xticks(range(1, len(drawn) + 1), [figure(layer.name) for layer, _ in drawn])
    return ax


def _numbers(series: Series) -> list[float]:
    return [nan if value is None else float(value) for value in series.values]


def _layers(report: Report) -> tuple[Layer, ...]:
    """In the order in which a sample reaches them."""
    return tuple(sorted(there(report.layers, "layers"), key=lambda layer: layer.arrival))


def _cores(report: Report, ax: Axes | None) -> Axes:
    found: Mapping = there(report.mapping, "cores")
    if not found.cores:
        raise InputError(found.words, where="cores")
    ax = axes(ax)
    by_layer: dict[str, list[int]] = {}
    for at, core in enumerate(found.cores):
        by_layer.setdefault(figure(" + ".join(core.layers)), []).append(at)
    for name, cores in by_layer.items():
        ax.bar(cores, [100 * found.cores[at].worst.share for at in cores], label=name)
    ax.axhline(100, color="gray", linestyle="--", linewidth=1)
    ax.locator_params("x", integer=True)
    ax.set(xlabel="core", ylabel="of its nearest limit [%]")
    ax.legend()
    return ax


def _energy(report: Report, ax: Axes | None) -> Axes:
    found: Energy = there(report.energy, "energy")
    ax = axes(ax)
    names = list(dict.fromkeys(term.name for entry in found.sets for term in entry.terms))
    ends = dict.fromkeys((figure(entry.name) for entry in found.sets), 0.0)
    for name in names:
        of_sets = {
            figure(e.name): sum(float(t.energy_j.value or 0) for t in e.terms if t.name == name) for e in found.sets
        }
        ax.barh(list(of_sets), list(of_sets.values()), left=list(ends.values()), label=figure(name))
        ends = {entry: ends[entry] + joules for entry, joules in of_sets.items()}
    ax.xaxis.set_major_formatter(lambda joules, _: text.si(joules, "J"))
    # where the longest bar ends in a part of no width, matplotlib leaves no margin
    ax.set(xlabel=f"energy of an inference{found.mark}", xlim=(0, 1.05 * max(ends.values(), default=0) or None))
    ax.legend(**BESIDE)
    return ax


PLOTS: dict[str, Callable[[Report, Axes | None], Axes]] = {
    "accuracy": _accuracy,
    "spikes": _spikes,
    "ranges": _ranges,
    "cores": _cores,
    "energy": _energy,
}
