"""Energy: boundaries, terms, step period, break-even bands."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from ...parts.energy import Band, Energy, EnergySet
from ...schema.text import digits, joule, si, tick
from ..charts import Frame, Scale, anchor, dot, figure, floats, polygon, polyline, rect, rule, stretched, text


def energy_bars(energy: Energy) -> Markup:
    """A bar a set of constants, a colour a term, all in one scale."""
    names = terms(energy)
    top = max((sum(float(t.energy_j.value or 0) for t in s.terms) for s in energy.sets), default=0) or 1
    row = 46
    parts = []
    for i, entry in enumerate(energy.sets):
        total = sum(float(t.energy_j.value or 0) for t in entry.terms)
        parts.append(text(0, i * row + 14, entry.name, "name"))
        parts.append(text(1, i * row + 14, f"{si(total, 'J')}", "value", "end"))
        parts += _term_bars(entry, i * row + 22, top, names)
    words = ", ".join(f"{s.name} {si(float(s.total_j.value or 0), 'J')}" for s in energy.sets)
    return figure(row * len(energy.sets), f"Energy per inference by set of constants: {words}", parts)


def _term_bars(entry: EnergySet, y: float, top: float, names: list[str]) -> Iterator[str]:
    at = 0.0
    for term in entry.terms:
        joules = float(term.energy_j.value or 0)
        share = joules / top
        if share > 0:  # one of nothing is neither drawn nor in the legend
            # a little short, so that two terms of one colour are seen to be two
            wide, css = max(share - 0.002, 0.001), f"term term-{names.index(term.name) % 7}"
            yield rect(at, y, wide, 14, css, f"{term.name}: {si(joules, 'J')}", 1)
        at += share


def boundaries(energy: Energy) -> Markup:
    """The three boundaries over all sets, and below them what else papers print; one logarithmic scale."""
    rows = [(b.name, b.energy_j, "deployed") for b in energy.boundaries]
    rows += [(v.name, v.energy_j, "stage") for v in energy.rivals if v.energy_j.value]
    values = [float(x) for _, q, _ in rows for x in (q.value, q.low, q.high) if x]
    scale, row = Scale(min(values) / 2, max(values) * 2, log=True), 42
    height = row * len(rows) + 20
    ticks = scale.ticks(4)
    parts = [rule(scale(t), 8, scale(t), height - 18, "rule") for t in ticks]
    words = []
    for i, (name, q, css) in enumerate(rows):
        y, value = i * row, float(q.value or 0)
        low, high = (value if q.low is None else float(q.low)), (value if q.high is None else float(q.high))
        written = joule(low, high)
        parts += [
            text(0, y + 14, name, f"name halo {css}"),
            text(1, y + 14, written, "value halo", "end"),
            rule(0, y + 28, 1, y + 28, "track"),
            rule(scale(low), y + 28, scale(high), y + 28, f"interval {css}"),
            dot(scale(value), y + 28, 5.5, f"dot {css}", f"{name}: {written}"),
        ]
        words.append(f"{name} {written}")
    for t in ticks:
        parts.append(text(scale(t), height - 3, tick(t, "J"), "tick", anchor(scale(t), 0.05)))
    return figure(height, "Energy per inference: " + ", ".join(words), parts)


def sensitivity(energy: Energy) -> Markup:
    """Total against step period, both logarithmic: where static power takes over."""
    xs, mid = floats(energy.sensitivity_s), floats(energy.sensitivity_mid_j)
    low, high = floats(energy.sensitivity_low_j), floats(energy.sensitivity_high_j)
    dynamic = next(float(s.dynamic_j.value or 0) for s in energy.sets if s.name == energy.mid)
    tall = 300
    frame = Frame(tall, Scale(xs[0], xs[-1], log=True), Scale(min([*low, dynamic]) / 1.5, max(high) * 1.8, log=True))
    x_text = [(t, tick(t, "s")) for t in frame.x.ticks(6)]
    parts = frame.grid([(t, tick(t, "J")) for t in frame.y.ticks(4)], x_text)
    band = [frame.point(x, y) for x, y in zip(xs, high, strict=True)]
    band += [frame.point(x, y) for x, y in reversed(list(zip(xs, low, strict=True)))]
    lines = polygon(band, "band energy") + polyline([frame.point(x, dynamic) for x in xs], "stage")
    lines += polyline([frame.point(x, y) for x, y in zip(xs, mid, strict=True)], "energy")
    parts.append(stretched(tall, lines))
    step = float(energy.step_s.value or 0)
    if xs[0] <= step <= xs[-1]:
        share = frame.x(step)
        parts.append(rule(share, 4, share, tall - 22, "threshold"))
        words, css = f"this run: {si(step, 's')}", "tick halo threshold-text"
        parts.append(text(share - 0.01, 14, words, css, "end") if share > 0.5 else text(share + 0.01, 14, words, css))
    label = f"Energy per inference against step period: {si(mid[0], 'J')} at {si(xs[0], 's')}"
    return frame.figure(f"{label}, {si(mid[-1], 'J')} at {si(xs[-1], 's')}; dynamic alone {si(dynamic, 'J')}", parts)


def break_even(bands: tuple[Band, ...]) -> Markup:
    """Published bands of one quantity, our value across them."""
    value = float(bands[0].value.value or 0)
    ends = [x for b in bands for x in (b.low, b.high) if x > 0] + ([value] if value > 0 else [])
    scale, row = Scale(min(ends) / 2, max(ends) * 2, log=True), 44
    height = row * len(bands) + 22
    parts = []
    for i, band in enumerate(bands):
        y = i * row
        start = scale(band.low) if band.low > 0 else 0.0
        tip = f"{band.name}: {band.low:g} to {band.high:g}; {band.meaning}"
        parts += [
            text(0, y + 14, band.name, "name"),
            text(1, y + 14, band.verdict, "value", "end"),
            rect(0, y + 22, 1, 10, "track-fill", radius=3),
            rect(start, y + 22, max(scale(band.high) - start, 0.012), 10, "fill stage", tip, 3),
        ]
    share = scale(value)
    parts.append(rule(share, 18, share, height - 18, "threshold"))
    parts.append(text(share, height - 4, f"this network: {digits(value)}", "tick threshold-text", anchor(share, 0.3)))
    words = ", ".join(f"{b.verdict} {b.name} ({b.low:g} to {b.high:g})" for b in bands)
    return figure(height, f"This network, {digits(value)}: {words}", parts)


def terms(energy: Energy) -> list[str]:
    """Names of the energy terms that cost something, in the order of their colours."""
    return list(dict.fromkeys(t.name for s in energy.sets for t in s.terms if t.energy_j.value))
