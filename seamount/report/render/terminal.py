"""The report in at most 40 lines of 80 columns."""

from __future__ import annotations

import textwrap

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from seamount.errors import plural

from ..parts.accuracy import Accuracy
from ..parts.energy import Energy, energy_range
from ..parts.layers import Layer
from ..parts.mapping import Mapping, binding
from ..parts.proof import Proof
from ..report import Report
from ..schema import text
from ..schema.values import Missing, Quantity, State

STYLES: dict[State, str] = {"ok": "bold green", "warning": "bold yellow", "error": "bold red", "unknown": "dim"}
DETAIL_WIDTH = 52
BAR_WIDTH = 24
N_LAYERS = 5
N_NEXT = 2


def render_terminal(report: Report) -> RenderableType:
    """For ``rich.print``: verdicts, accuracy, the layers that differ most, what to try."""
    parts: list[RenderableType] = [_head(report), Text(""), _verdicts(report)]
    if isinstance(report.accuracy, Accuracy):
        parts += [Text(""), _accuracy(report.accuracy)]
    if not isinstance(report.layers, Missing):
        parts += [Text(""), _layers(report.layers)]
    facts = _facts(report)
    parts += [Text(""), *facts]
    return Group(*parts)


def _head(report: Report) -> RenderableType:
    line = Text.assemble(
        ("Seamount  ", "bold cyan"),
        (report.run.name, "bold"),
        f" on {report.run.target}",
        "" if report.run.n_steps is None else f", {report.run.n_steps} {plural(report.run.n_steps, 'step')}",
        f", {text.quantity(report.run.n_neurons)}, {text.quantity(report.run.n_weights)}",
    )
    line.truncate(80, overflow="ellipsis")
    return Group(line, Text(report.headline))


def _verdicts(report: Report) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column(width=9)
    table.add_column(width=14)
    table.add_column(width=DETAIL_WIDTH)
    for verdict in report.verdicts:
        mark, style = text.SYMBOLS[verdict.state], STYLES[verdict.state]
        lines = _wrapped(verdict.detail, DETAIL_WIDTH)
        detail = "\n".join(
            lines
            if len(lines) <= 2
            else [lines[0], textwrap.shorten(" ".join(lines[1:]), DETAIL_WIDTH, placeholder="…")]
        )
        table.add_row(Text(mark, style), verdict.title, Text(verdict.word, style), Text(detail, "dim"))
    return table


def _accuracy(accuracy: Accuracy) -> Table:
    table = Table.grid(padding=(0, 1))
    for width in (19, 8, 13, 9, BAR_WIDTH):
        table.add_column(width=width, justify="right" if width in (8, 9) else "left")
    floor = max(0.0, min(float(r.accuracy.low or 0) for r in accuracy.rungs) - 5)
    for rung in accuracy.rungs:
        value = float(rung.accuracy.value or 0)
        lost = "" if rung.lost_pp is None or rung.lost_pp.value is None else f"{text.signed(-rung.lost_pp.value)} pp"
        filled = round(BAR_WIDTH * (value - floor) / (100 - floor)) if floor < 100 else BAR_WIDTH
        spread = f"{rung.accuracy.low:.1f} to {rung.accuracy.high:.1f}"
        style = "bold" if rung.stage == "deployed" else ""
        table.add_row(
            Text(rung.title, style),
            Text(f"{value:.2f} %", style),
            Text(spread, "dim"),
            lost,
            Text("█" * filled, "cyan"),
        )
    return table


def _layers(layers: tuple[Layer, ...]) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column("layer", width=18, no_wrap=True, overflow="ellipsis")
    for name in ("unmatched", "spikes", "float", "first step", "overflow"):
        table.add_column(name, justify="right", width=10, no_wrap=True)
    for layer in layers[:N_LAYERS]:
        overflow = layer.n_overflows or 0
        damage = "—" if layer.damage.value is None else f"{layer.damage.value:.2f} %"
        table.add_row(
            layer.name,
            damage,
            text.number(layer.spikes_deployed),
            text.number(layer.spikes_float),
            text.number(layer.first_divergent_step),
            Text(text.count(overflow), "yellow" if overflow else ""),
        )
    if len(layers) > N_LAYERS:
        table.add_row(Text(f"and {len(layers) - N_LAYERS} more", "dim"))
    return table


def _facts(report: Report) -> list[Text]:
    lines: list[tuple[str, str]] = [
        (
            "work",
            f"{text.quantity(report.run.spikes)}, {text.quantity(report.run.sops)} ({_samples(report.run.sops)})",
        )
    ]
    match report.mapping:
        case Mapping() as mapping if mapping.cores:
            lines.append(("cores", f"{text.quantity(mapping.n_cores)}, {binding(mapping.cores, mapping.layers)}"))
        case _:
            pass
    match report.energy:
        case Energy() as energy if energy_range(energy) is not None:
            lines.append(("energy", energy.words))
        case _:
            pass
    match report.proof:
        case Proof() as proof:
            lines.append(("proof", proof.compared()))
        case Missing():
            pass
    lines += [("try", f"{o.title}{f': {o.command}' if o.command else ''}") for o in report.opportunities[:N_NEXT]]
    if len(report.opportunities) > N_NEXT:
        lines.append(
            ("", f"{len(report.opportunities) - N_NEXT} more suggestions in report.html, section What to try")
        )
    return [_fact(name, words) for name, words in lines]


def _samples(q: Quantity) -> str:
    return "not measured" if q.n is None else f"counted, n={q.n:,}"


def _fact(name: str, words: str) -> Text:
    body = _wrapped(words, 72)
    if len(body) > 2:
        body = [body[0], textwrap.shorten(" ".join(body[1:]), 72, placeholder="…")]
    return Text.assemble((f"{name:<8}", "dim"), "\n        ".join(body))


def _wrapped(words: str, width: int) -> list[str]:
    """Lines of ``width``; a number stays with its per cent sign, a name with its hyphens."""
    joined = words.replace(" %", "\N{NO-BREAK SPACE}%")
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in textwrap.wrap(joined, width, break_on_hyphens=False)]
