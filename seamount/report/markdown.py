"""A report or a comparison as GitHub shows it in a job's summary or a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from seamount.shown import markdown

from .compare import MARKS, ReportComparison
from .gates import Outcome, cores, deployed_accuracy, dynamic_energy, spikes_per_synapse
from .parts.accuracy import Accuracy
from .parts.energy import Energy
from .report import Report
from .schema import text
from .schema.values import State

SIGNS: dict[State, str] = {"ok": "✅", "neutral": "≈", "warning": "⚠️", "error": "❌", "unknown": "❔"}


def row(cells: Sequence[str]) -> str:
    """Of a table. Cells are Markdown: texts from outside have gone through ``markdown``, which ends no cell."""
    return f"| {' | '.join(cells)} |"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [row(head), row(["---"] * len(head)), *map(row, rows)]


def gates_markdown(outcomes: Sequence[Outcome]) -> str:
    """A line a gate."""
    return "\n".join(f"- {'✅' if o.passed else '❌'} {markdown(o.message)}" for o in outcomes) + "\n"


def report_markdown(report: Report, outcomes: Sequence[Outcome] = ()) -> str:
    """Verdicts, figures, the accuracy ladder and the gates, if there were any."""
    run, mark = report.run, report.energy.mark if isinstance(report.energy, Energy) else ""
    lines = [f"### {markdown(run.name)} on {markdown(run.target)}: {markdown(report.headline)}", ""]
    lines += [f"{markdown(fact.name)}: {markdown(fact.value)}  " for fact in run.facts]
    lines += [
        "",
        *table(
            ("", "", ""),
            [
                (SIGNS[v.state], f"**{markdown(v.title)}** {markdown(v.word)}", markdown(v.detail))
                for v in report.verdicts
            ],
        ),
    ]
    figures = {
        "accuracy": text.quantity(deployed_accuracy(report)),
        "energy": text.quantity(dynamic_energy(report)) + mark,
        "spikes/synapse": text.number(spikes_per_synapse(report)),
        "cores": text.number(cores(report)),
    }
    lines += ["", *table(tuple(figures), [tuple(figures.values())])]
    if isinstance(report.accuracy, Accuracy):
        rungs = [(markdown(rung.title), text.quantity(rung.accuracy)) for rung in report.accuracy.rungs]
        lines += ["", *table(("stage", f"accuracy, n = {report.accuracy.n_samples:,}"), rungs)]
    gates = ["", gates_markdown(outcomes)] if outcomes else []
    return "\n".join([*lines, *gates]).rstrip("\n") + "\n"


def comparison_markdown(comparison: ReportComparison) -> str:
    """The rows that differ."""
    a, b = markdown(comparison.a), markdown(comparison.b)
    lines = [f"### {b} against {a}: {markdown(comparison.headline)}", ""]
    lines += [f"- ⚠️ {markdown(note)}" for note in comparison.notes]
    rows = [
        [
            *map(markdown, (r.section, r.name, r.a_text, r.b_text)),
            f"{MARKS[r.verdict][0]} {markdown(r.change)}".strip(),
        ]
        for r in comparison.rows
        if r.verdict in MARKS
    ]
    if rows:
        lines += ["", *table(("", "", a, b, "change"), rows)]
    return "\n".join(lines).rstrip("\n") + "\n"
