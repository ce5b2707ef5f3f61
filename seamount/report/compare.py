"""Two reports side by side, with what differs and which of the two is better where that has a meaning."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Literal

from rich.console import Group, RenderableType
from rich.table import Table

from seamount.notebook import card, frame, line
from seamount.terminal import Text

from .notebook import cells, micro
from .parts.accuracy import Accuracy
from .parts.energy import PLACEHOLDER, WITH_STATIC, Energy
from .parts.layers import Layer
from .parts.mapping import Mapping
from .parts.verdicts import overflows
from .render.html import page
from .report import Report
from .schema import text
from .schema.values import Item, Missing, Quantity

if TYPE_CHECKING:
    from pandas import DataFrame

Verdict = Literal["same", "better", "worse", "different", "unknown"]
MARKS: dict[str, tuple[str, str]] = {
    "better": ("▲", "ok"),
    "worse": ("▼", "error"),
    "different": ("≠", "warning"),
    "unknown": ("?", "unknown"),
}
STYLES: dict[Verdict, str] = {
    "same": "dim",
    "better": "green",
    "worse": "red",
    "different": "yellow",
    "unknown": "dim",
}
Sense = Literal["higher", "lower", "neither"]
ENERGY = "Energy, latency"


class ComparedValue(Item):
    """One row; ``verdict`` is about B: better, worse, or only different."""

    section: str
    name: str
    a: Quantity | str
    b: Quantity | str
    a_text: str
    b_text: str
    change: str
    verdict: Verdict


class ReportComparison(Item):
    a: str
    b: str
    a_fingerprint: str
    b_fingerprint: str
    headline: str
    notes: tuple[str, ...]
    rows: tuple[ComparedValue, ...]

    def __repr__(self) -> str:
        return line("ReportComparison", f"{self.a}, {self.b}", (self.headline,))

    def _repr_html_(self) -> str:
        # a table a section, because names of layers stand in two of them
        tables = [
            [(section, self.a, self.b, "B against A"), *((r.name, r.a_text, r.b_text, r.change) for r in rows)]
            for section, rows in groupby(self.rows, key=lambda row: row.section)
        ]
        return card(self.headline, " ".join(self.notes), *tables)

    def table(self) -> DataFrame:
        """A row a value: of A, of B, in which unit, and what it means for B."""
        rows, _ = cells(self.rows, ["section", "name", "a", "b", "change", "verdict"])
        units = [
            next((micro(x).unit for x in (row.a, row.b) if isinstance(x, Quantity) and x.unit), "")
            for row in self.rows
        ]
        return frame({**row, "unit": unit} for row, unit in zip(rows, units, strict=True))


def compare(a: Report, b: Report) -> ReportComparison:
    """B against A, row by row; what makes them incomparable stands in ``notes``."""
    rows = (*_verdicts(a, b), *_accuracy(a, b), *_work(a, b), *_energy(a, b), *_mapping(a, b), *_layers(a, b))
    counts = {v: sum(row.verdict == v for row in rows) for v in ("better", "worse", "different")}
    if a.fingerprint() == b.fingerprint():
        headline = "The two reports are the same."
    elif not any(counts.values()):
        headline = "No value that both have differs."
    else:
        told = [f"{verdict} in {n} {'row' if n == 1 else 'rows'}" for verdict, n in counts.items() if n]
        headline = f"B is {', '.join(told)}."
    return ReportComparison(
        a=a.run.name,
        b=b.run.name,
        a_fingerprint=a.fingerprint(),
        b_fingerprint=b.fingerprint(),
        headline=headline,
        notes=tuple(_notes(a, b)),
        rows=rows,
    )


def _different_targets(a: Report, b: Report) -> list[str]:
    if a.run.target != b.run.target:
        return [f"Different targets: {a.run.target} and {b.run.target}."]
    if a.run.target_version != b.run.target_version:
        return [f"Different versions of {a.run.target}: {a.run.target_version} and {b.run.target_version}."]
    return []


def _notes(a: Report, b: Report) -> list[str]:
    def parts(name: str) -> list[tuple[str, object]]:
        return [("A", getattr(a, name)), ("B", getattr(b, name))]

    notes = _different_targets(a, b)
    if isinstance(a.accuracy, Accuracy) and isinstance(b.accuracy, Accuracy):
        if a.accuracy.n_samples != b.accuracy.n_samples:
            notes.append(f"Test sets of {a.accuracy.n_samples:,} and {b.accuracy.n_samples:,} samples.")
        for absent, name in ((a.accuracy.absent, "A"), (b.accuracy.absent, "B")):
            if absent:
                notes.append(f"{name} has no answers of: {', '.join(absent)}.")
    if isinstance(a.energy, Energy) and isinstance(b.energy, Energy):
        periods = text.quantity(a.energy.step_s), text.quantity(b.energy.step_s)
        if periods[0] != periods[1]:
            notes.append(f"Step periods of {periods[0]} and {periods[1]}: totals with static power follow them.")
    for name in ("accuracy", "proof", "layers", "mapping", "energy"):
        lacking = [f"{x} lacks {name}: {p.missing}." for x, p in parts(name) if isinstance(p, Missing)]
        notes += lacking if len(lacking) < 2 else [f"Neither has {name}."]
    return notes


def _value(section: str, name: str, a: Quantity | None, b: Quantity | None, sense: Sense) -> ComparedValue:
    absent = Quantity(value=None, unit="", status="unknown", reason="not in this report")
    a, b = a or absent, b or absent
    verdict: Verdict
    if a.value is None or b.value is None:
        change, verdict = "", "same" if a.value == b.value else "unknown"
    elif a.value == b.value:
        change, verdict = "same", "same"
    else:
        delta = float(b.value) - float(a.value)
        change = _change(float(a.value), delta, a.unit)
        verdict = "different"
        if sense != "neither":
            verdict = "better" if (delta > 0) == (sense == "higher") else "worse"
    return ComparedValue(
        section=section,
        name=name,
        a=a,
        b=b,
        a_text=_short(a),
        b_text=_short(b),
        change=change,
        verdict=verdict,
    )


def _short(q: Quantity) -> str:
    """With its unit only where the row's name does not say it."""
    return text.quantity(q) if q.unit in ("J", "s", "B", "%") else text.number(q)


def _change(before: float, delta: float, unit: str) -> str:
    if unit in ("%", "pp"):
        return f"{text.signed(delta)} pp"
    if before:
        return f"{text.signed(100 * delta / before, 1)} %"
    return f"{delta:+g}"


def _words(section: str, name: str, a: str, b: str, verdict: Verdict) -> ComparedValue:
    change = "same" if a == b else ""
    return ComparedValue(
        section=section,
        name=name,
        a=a,
        b=b,
        a_text=a,
        b_text=b,
        change=change,
        verdict="same" if a == b else verdict,
    )


def _verdicts(a: Report, b: Report) -> list[ComparedValue]:
    rank = {"ok": 3, "warning": 2, "error": 1, "unknown": 0}
    rows = []
    for one, other in zip(a.verdicts, b.verdicts, strict=True):
        if one.id not in ("bit-exact", "fit"):  # the others have a number, and a row of their own
            continue
        verdict: Verdict = "unknown"
        if "unknown" not in (one.state, other.state):
            verdict = "better" if rank[other.state] > rank[one.state] else "worse"
        rows.append(_words("Verdicts", one.title, one.word, other.word, verdict))
    counts = [overflows(report.layers) for report in (a, b)]
    made = [
        Quantity(value=None, unit="events", status="unknown", reason="not counted")
        if n is None
        else Quantity(value=n, unit="events", status="counted")
        for n in counts
    ]
    rows.append(_value("Verdicts", "Overflow", made[0], made[1], "lower"))
    return rows


def _accuracy(a: Report, b: Report) -> list[ComparedValue]:
    rungs = [
        {r.title: r.accuracy for r in report.accuracy.rungs} if isinstance(report.accuracy, Accuracy) else {}
        for report in (a, b)
    ]
    names = list(dict.fromkeys([*rungs[0], *rungs[1]]))
    return [_value("Accuracy", name, rungs[0].get(name), rungs[1].get(name), "higher") for name in names]


def _work(a: Report, b: Report) -> list[ComparedValue]:
    rows: list[tuple[str, str, Sense]] = [
        ("Spikes per sample", "spikes", "lower"),
        ("SOP per sample", "sops", "lower"),
        ("Neurons", "n_neurons", "neither"),
        ("Weights", "n_weights", "neither"),
        ("Footprint", "footprint_bytes", "lower"),
    ]
    made = [_value("Work", title, getattr(a.run, key), getattr(b.run, key), sense) for title, key, sense in rows]
    steps = [str(r.run.n_steps) if r.run.n_steps is not None else "unknown" for r in (a, b)]
    return [*made, _words("Work", "Steps", steps[0], steps[1], "different")]


def _energy(a: Report, b: Report) -> list[ComparedValue]:
    """Energies of another target, and totals at another step period, are different rather than better."""
    found = [p if isinstance(p, Energy) else None for p in (a.energy, b.energy)]
    if found == [None, None]:
        return []
    by_name = [{x.name: x.energy_j for x in e.boundaries} if e is not None else {} for e in found]
    # no verdict, because the constants of two targets come from different papers: their difference is no gain
    steps, latencies = (
        [getattr(e, key) if e is not None else None for e in found] for key in ("step_s", "latency_s")
    )
    dynamic: Sense = "lower" if a.run.target == b.run.target else "neither"
    total: Sense = dynamic if steps[0] == steps[1] else "neither"
    names = dict.fromkeys([*by_name[0], *by_name[1]])
    marks = ["" if e is None else e.mark for e in found]
    return [
        *(
            _marked(
                _value(ENERGY, n, by_name[0].get(n), by_name[1].get(n), total if n == WITH_STATIC else dynamic), marks
            )
            for n in names
        ),
        _value(ENERGY, "step", steps[0], steps[1], "neither"),
        _value(ENERGY, "latency", latencies[0], latencies[1], total),
    ]


def _marked(row: ComparedValue, marks: list[str]) -> ComparedValue:
    return row.model_copy(update={"a_text": row.a_text + marks[0], "b_text": row.b_text + marks[1]})


def _mapping(a: Report, b: Report) -> list[ComparedValue]:
    found = [p if isinstance(p, Mapping) else None for p in (a.mapping, b.mapping)]
    if found == [None, None]:
        return []
    sense: Sense = "lower" if a.run.target == b.run.target else "neither"
    made = []
    for title, key in (
        ("Cores", "n_cores"),
        ("Chips", "n_chips"),
        ("Imbalance", "imbalance"),
        ("Chip crossings", "crossings"),
    ):
        one, other = (getattr(m, key) if m is not None else None for m in found)
        made.append(_value("Cores", title, one, other, sense))
    return made


def _layers(a: Report, b: Report) -> list[ComparedValue]:
    found: list[dict[str, Layer]] = [
        {} if isinstance(report.layers, Missing) else {layer.name: layer for layer in report.layers}
        for report in (a, b)
    ]
    rows = []
    for name in dict.fromkeys([*found[0], *found[1]]):
        pair = [layers.get(name) for layers in found]
        damage = [layer.damage if layer is not None else None for layer in pair]
        spikes = [layer.spikes_deployed if layer is not None else None for layer in pair]
        rows.append(_value("Unmatched spikes", name, damage[0], damage[1], "lower"))
        rows.append(_value("Spikes per sample", name, spikes[0], spikes[1], "lower"))
    return sorted(rows, key=lambda row: row.section != "Unmatched spikes")


# ---------------------------------------------------------------------------------------------- rendering


def render_comparison_terminal(comparison: ReportComparison) -> RenderableType:
    """Rows that differ in colour and with a mark; equal ones dim."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column("", max_width=31, overflow="fold")
    for name in ("A", "B", "B against A"):
        table.add_column(name, justify="right", max_width=15, overflow="fold")
    for section, rows in groupby(comparison.rows, key=lambda row: row.section):
        table.add_row(Text(section, "bold"))
        for row in rows:
            style = STYLES[row.verdict]
            mark = f"{MARKS[row.verdict][0]} " if row.verdict in MARKS else ""
            # a mark that is a word would take half of the line
            a, b = (told.replace(f" ({PLACEHOLDER})", "*") for told in (row.a_text, row.b_text))
            table.add_row(f"  {row.name}", a, b, Text(mark + row.change, style))
    head = Text.assemble(("Seamount  ", "bold cyan"), "A: ", (comparison.a, "bold"), "  B: ", (comparison.b, "bold"))
    notes = [Text(f"! {line}", "yellow") for line in comparison.notes]
    if any(PLACEHOLDER in told for row in comparison.rows for told in (row.a_text, row.b_text)):
        table.caption = "* placeholder: of another chip's constants"
    return Group(head, Text(comparison.headline), *notes, Text(""), table)


def render_comparison_html(comparison: ReportComparison) -> str:
    sections = [(name, list(rows)) for name, rows in groupby(comparison.rows, key=lambda row: row.section)]
    return page("compare.html.j2", comparison=comparison, sections=sections, marks=MARKS)
