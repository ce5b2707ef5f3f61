"""The report in at most 40 lines of 80 columns, or of 60 and more, and a few lines more."""

from __future__ import annotations

import re

from rich.console import Group, RenderableType
from rich.table import Table

from seamount.errors import plural
from seamount.shown import folded, plain
from seamount.terminal import Text

from ..parts.accuracy import Accuracy
from ..parts.energy import Energy, energy_range
from ..parts.frames import Frames
from ..parts.layers import Layer
from ..parts.mapping import Mapping, binding
from ..parts.proof import Proof
from ..parts.second_opinion import NOT_ASKED, SecondOpinion
from ..parts.verdicts import WORKS
from ..report import Report
from ..schema import text
from ..schema.values import Missing, Quantity, State

STYLES: dict[State, str] = {
    "ok": "bold green",
    "neutral": "bold",
    "warning": "bold yellow",
    "error": "bold red",
    "unknown": "dim",
}
WIDTH = 80
BAR_WIDTH = 24
N_LAYERS = 5
N_NEXT = 2


def render_terminal(report: Report, width: int = WIDTH) -> RenderableType:
    """For ``rich.print``: verdicts, accuracy, the layers that differ most, what to try.

    Args:
        width: columns that there are; 80 are used at most, and 60 are needed.
    """
    width = min(width, WIDTH)
    parts: list[RenderableType] = [_head(report, width), Text(""), _verdicts(report, width)]
    if isinstance(report.accuracy, Accuracy):
        parts += [Text(""), _accuracy(report.accuracy, width)]
    if not isinstance(report.layers, Missing):
        parts += [Text(""), _layers(report.layers, width)]
    facts = _facts(report, width)
    parts += [Text(""), *facts]
    return Group(*parts)


def _head(report: Report, width: int) -> RenderableType:
    run = report.run
    steps = [] if run.n_steps is None else [f"{run.n_steps} {plural(run.n_steps, 'step')}"]
    line = Text.assemble(("Seamount  ", "bold cyan"), (run.name, "bold"), f" on {run.target}")
    for size in (*steps, text.quantity(run.n_neurons), text.quantity(run.n_weights)):
        if len(line) + len(size) + 2 <= width:
            line.append(f", {size}")
    line.truncate(width, overflow="ellipsis")  # of a long name
    made = "; ".join(f"{fact.name}: {fact.value}" for fact in report.run.facts)
    return Group(line, *(Text(told, "dim") for told in folded(plain(made), width)), Text(report.headline))


def _verdicts(report: Report, width: int) -> Table:
    room = _beside(width)
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column(width=9)
    table.add_column(width=14)
    table.add_column(width=room)
    for verdict in report.verdicts:
        mark, style = text.SYMBOLS[verdict.state], STYLES[verdict.state]
        detail = "\n".join(_clauses(verdict.detail, room))
        table.add_row(Text(mark, style), verdict.title, Text(verdict.word, style), Text(detail, "dim"))
    return table


def _beside(width: int) -> int:
    """Columns that mark, title and word of a verdict leave."""
    return width - 28


def _accuracy(accuracy: Accuracy, width: int) -> Table:
    table = Table.grid(padding=(0, 1))
    bar = max(0, BAR_WIDTH - (WIDTH - width))
    for column in (19, 8, 13, 9, *([bar] if bar else [])):
        table.add_column(width=column, justify="right" if column in (8, 9) else "left")
    floor = max(0.0, min(float(r.accuracy.low or 0) for r in accuracy.rungs) - 5)
    for rung in accuracy.rungs:
        value = float(rung.accuracy.value or 0)
        lost = "" if rung.lost_pp is None or rung.lost_pp.value is None else f"{text.signed(-rung.lost_pp.value)} pp"
        filled = round(bar * (value - floor) / (100 - floor)) if floor < 100 else bar
        spread = f"{rung.accuracy.low:.1f} to {rung.accuracy.high:.1f}"
        style = "bold" if rung.stage == "deployed" else ""
        table.add_row(
            Text(rung.title, style),
            Text(f"{value:.2f} %", style),
            Text(spread, "dim"),
            lost,
            *([Text("█" * filled, "cyan")] if bar else []),
        )
    return table


def _layers(layers: tuple[Layer, ...], width: int) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column("layer", width=18 - max(0, WIDTH - width) // 4, no_wrap=True, overflow="ellipsis")
    column = 10 if width == WIDTH else 6
    for name in ("unmatched", "spikes", "float", "first step" if column == 10 else "first", "overflow"):
        table.add_column(name, justify="right", width=max(column, len(name)), no_wrap=True)
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


def _work(report: Report) -> str:
    """Of an inference, as a stream where there is one."""
    alone = f"{text.quantity(report.run.spikes)}, {text.quantity(report.run.sops)} ({_samples(report.run.sops)})"
    if isinstance(report.streaming, Missing) or report.streaming.costs[0].mode != "streamed":
        return alone
    first = report.streaming.costs[0]
    return f"streamed {text.quantity(first.spikes)}, {text.quantity(first.operations)}; alone {alone}"


def _frames(frames: Frames) -> str:
    """How far behind the answers are, and how far off."""
    late = f"an answer comes {frames.latency} {plural(frames.latency, 'frame')} later"
    of = f"of {frames.error_rms.n or frames.rmse.n} samples"
    if frames.error_rms.value is not None:
        found = f"error RMS {text.quantity(frames.error_rms)}, largest {text.quantity(frames.error_max)}"
        late += f"; {found}, {of}"
    return late if frames.rmse.value is None else f"{late}; RMSE {text.quantity(frames.rmse)}, {of}"


def _facts(report: Report, width: int) -> list[RenderableType]:
    # what the strip above has room for is not said again
    above = [" ".join(_clauses(verdict.detail, _beside(width))) for verdict in report.verdicts]
    broken = [c.message.removeprefix("Works: no; ") for c in report.checks if (c.code, c.state) == (WORKS, "error")]
    lines = [("works", f"no; {told}") for told in broken if told not in above]
    if report.run.spikes.value is not None:
        lines.append(("work", _work(report)))
    if not isinstance(report.frames, Missing):
        lines.append(("frames", _frames(report.frames)))
    match report.mapping:
        case Mapping(fits=False, words=told) if told not in above:  # with the ways out
            lines.append(("fits", f"no; {told}"))
        case Mapping() as mapping if mapping.cores:
            lines.append(("cores", f"{text.quantity(mapping.n_cores)}, {binding(mapping.cores, mapping.layers)}"))
        case _:
            pass
    match report.energy:
        case Energy() as energy if energy_range(energy) is not None:
            lines.append(("energy", energy.words))
        case _:
            pass
    match report.second_opinion:
        case SecondOpinion() as opinion:
            lines.append(("opinion", opinion.words))
        case Missing() as absent if absent.missing != NOT_ASKED:
            lines.append(("opinion", absent.missing))
        case Missing():
            pass
    match report.proof:
        case Proof() as proof:
            lines.append(("proof", proof.compared()))
        case Missing() as absent:
            lines.append(("proof", absent.missing))
    lines += [("try", f"{o.title}{f': {o.command}' if o.command else ''}") for o in report.opportunities[:N_NEXT]]
    if len(report.opportunities) > N_NEXT:
        n = len(report.opportunities) - N_NEXT
        lines.append(("", f"{n} more {plural(n, 'suggestion')} in report.html, section What to try"))
    return [_fact(name, words, width - 8) for name, words in lines]


def _samples(q: Quantity) -> str:
    return "counted" if q.n is None else f"counted, n={q.n:,}"


def _fact(name: str, words: str, width: int) -> RenderableType:
    # of no use without their ends: a command, what there is to install, and of two opinions the second one
    body = (
        folded(plain(words), width)
        if name in ("works", "fits", "try", "opinion", "proof")
        else _clauses(words, width)
    )
    return Text.assemble((f"{name:<8}", "dim"), ("\n        ".join(body), "red" if name in ("works", "fits") else ""))


def _clauses(words: str, width: int) -> list[str]:
    """As many clauses as two lines hold, and the first one in any case; the page has them all."""
    # not within brackets, which would stay open
    first, *others = re.split(r"(?<=[;.]) (?![^()]*\))", words)
    told = first
    for clause in others:
        if len(folded(plain(f"{told} {clause}"), width)) > 2:
            break
        told = f"{told} {clause}"
    return folded(plain(told.rstrip(";.")), width)
