"""The report's figures, each from its part of the report. They scale and place; every number was there before."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode

from markupsafe import Markup, escape

from seamount.errors import plural

from ..report import (
    Accuracy,
    Anytime,
    Band,
    Energy,
    Graph,
    Layer,
    MappedLayer,
    Missing,
    Node,
    Picture,
    RasterRow,
    Series,
    StateRange,
    SweepPoint,
    Weights,
)
from ..schema.text import count, digits, joule, si, signed
from .charts import Frame, Scale, dot, figure, fitted, polygon, polyline, rect, rule, stretched, text


def _floats(found: Series) -> list[float]:
    return [float(v) for v in found.values if v is not None]


def ladder(accuracy: Accuracy) -> Markup:
    """A row a stage: the interval as a bar, the value as a dot, the loss against the row above beside it."""
    lows = [float(r.accuracy.low or 0) for r in accuracy.rungs]
    floor = max(0.0, 5 * ((min(lows) - 1) // 5))
    scale, row = Scale(floor, 100.0), 50
    height = row * len(accuracy.rungs) + 24
    parts = [rule(scale(t), 22, scale(t), height - 18, "rule") for t in scale.ticks(5)]
    words = []
    for i, rung in enumerate(accuracy.rungs):
        y = i * row
        value = float(rung.accuracy.value or 0)
        low, high = float(rung.accuracy.low or 0), float(rung.accuracy.high or 0)
        css = "deployed" if rung.stage == "deployed" else "stage"
        lost = ""
        if rung.lost_pp is not None and rung.lost_pp.value is not None:
            lost = f"{signed(-rung.lost_pp.value)} pp"
        parts += [
            text(0, y + 15, rung.title, f"name {css}"),
            text(1, y + 15, f"{value:.2f} %", "value", "end"),
            f'<text x="99%" y="{y + 15}" dx="-72" text-anchor="end" class="tick">{escape(lost)}</text>',
            rule(0, y + 32, 1, y + 32, "track"),
            rule(scale(low), y + 32, scale(high), y + 32, f"interval {css}"),
            dot(scale(value), y + 32, 6, f"dot {css}", f"{rung.title}: {value:.2f} %, {low:.1f} to {high:.1f} %"),
        ]
        words.append(f"{rung.title} {value:.2f} %")
    for tick in scale.ticks(5):
        anchor = "start" if scale(tick) < 0.04 else "end" if scale(tick) > 0.96 else "middle"
        parts.append(text(scale(tick), height - 4, f"{tick:g} %", "tick", anchor))
    return figure(height, "Accuracy by stage: " + ", ".join(words), parts)


def bar(value: float, top: float, label: str, css: str = "deployed") -> Markup:
    share = value / top if top > 0 else 0
    return figure(
        10,
        label,
        [rect(0, 2, 1, 6, "track-fill", radius=3), rect(0, 2, max(share, 0.004), 6, f"fill {css}", radius=3)],
    )


# --------------------------------------------------------------------------------------------- over time


def over_time(layer: Layer) -> Markup:
    """Spikes per step of float student (dashed) and deployed program."""
    trains = [
        (css, _floats(found))
        for css, found in (("float", layer.rate_float), ("deployed", layer.rate_deployed))
        if isinstance(found, Series)
    ]
    n_steps = len(trains[0][1])
    frame = Frame(118, Scale(1, max(n_steps, 2)), fitted([v for _, t in trains for v in t], zero=True))
    parts = frame.grid([(t, count(t)) for t in frame.y.ticks(2)[1:]], _step_labels(n_steps))
    parts.append(rule(0, frame.up(0), 1, frame.up(0), "axis"))
    lines = "".join(polyline([frame.point(i + 1, v) for i, v in enumerate(train)], css) for css, train in trains)
    parts.append(stretched(118, lines))
    for css, train in trains:
        if css == "deployed":
            parts += [
                dot(*frame.point(i + 1, v), 2.4, f"dot {css}", f"step {i + 1}: {v:.1f}") for i, v in enumerate(train)
            ]
    words = "; ".join(f"{css} from {t[0]:.1f} to {t[-1]:.1f}" for css, t in trains)
    return figure(118, f"{layer.name}, spikes per step and sample: {words}", parts)


def _step_labels(n_steps: int) -> list[tuple[float, str]]:
    return [(1, "step 1")] if n_steps == 1 else [(1, "step 1"), (n_steps, str(n_steps))]


def agreement(layer: Layer) -> Markup:
    """A strip of cells, one a step: the share of positions at which both sides do the same."""
    assert isinstance(layer.agreement_per_step, Series), "the page asks only where there is one"
    values = _floats(layer.agreement_per_step)
    width = 1 / len(values)
    gap = min(0.008, width / 6)
    parts = [
        rect(i * width, 0, width - gap, 16, f"heat heat-{_heat(v)}", f"step {i + 1}: {v:.2f} % agree", 2)
        for i, v in enumerate(values)
    ]
    label = f"{layer.name}: agreement per step between {min(values):.2f} and {max(values):.2f} %"
    return figure(16, label, parts)


def _heat(percent: float) -> int:
    """0: equal; 1 .. 5: ever more positions differ."""
    bounds = (0.0, 0.1, 1.0, 5.0, 20.0)
    return sum(100 - percent > b + 1e-9 for b in bounds)


def rates(layer: Layer) -> Markup:
    """How many neurons fire how often; silent and always firing ones lie in the outer bins."""
    assert isinstance(layer.rates, Series), "the page asks only where there is one"
    counts = [int(c) for c in _floats(layer.rates)]
    top = max(counts) or 1
    width = 1 / len(counts)
    parts = [
        rect(
            i * width,
            52 - 48 * c / top,
            width - 0.006,
            48 * c / top,
            "fill deployed soft",
            f"{layer.rate_edges[i]:.2f} to {layer.rate_edges[i + 1]:.2f} spikes a step: {c} {plural(c, 'neuron')}",
            1,
        )
        for i, c in enumerate(counts)
        if c
    ]
    parts += [rule(0, 52.5, 1, 52.5, "axis"), text(0, 66, "never", "tick"), text(1, 66, "every step", "tick", "end")]
    return figure(70, f"{layer.name}: neurons by spikes per step, {int(counts[0])} in the lowest bin", parts)


# ------------------------------------------------------------------------------------------------ ranges


def weight_histogram(weights: Weights) -> Markup:
    counts, edges = weights.bin_counts, weights.bins
    low_end, high_end = (-256, 256) if max(-edges[0], edges[-1]) < 300 else (edges[0], edges[-1])
    scale = Scale(low_end, high_end)
    top = max(counts, default=1) or 1
    parts = [rule(scale(0), 2, scale(0), 50, "rule")]
    for c, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
        if c:
            tall = max(1.0, 44 * c / top)
            tip = f"{low} to {high - 1}: {c} {plural(c, 'weight')}"
            parts.append(
                rect(
                    scale(low), 50 - tall, max(scale(high) - scale(low) - 0.001, 0.002), tall, "fill deployed", tip, 0
                )
            )
    parts += [
        rule(0, 50.5, 1, 50.5, "axis"),
        text(0, 64, f"{scale.low:g}", "tick"),
        text(scale(0), 64, "0", "tick", "middle"),
        text(1, 64, f"{scale.high:g}", "tick", "end"),
    ]
    return figure(
        68, f"{weights.name}: weights from {edges[0] if edges else 0} to {edges[-1] if edges else 0}", parts
    )


def state_box(found: StateRange, name: str) -> Markup:
    """Range, quartiles and, for v, the threshold."""
    box = found.box
    threshold = None if found.threshold is None else float(found.threshold.value or 0)
    ends = [float(box.low), float(box.high), 0.0] + ([threshold * 1.12] if threshold else [])
    scale = Scale(min(ends), max(ends) if max(ends) > min(ends) else min(ends) + 1)
    q25, q75 = scale(float(box.q25)), scale(float(box.q75))
    parts = [
        rule(scale(float(box.low)), 15, scale(float(box.high)), 15, "whisker"),
        rect(q25, 8, max(q75 - q25, 0.004), 14, "fill deployed soft", f"half of all values: {box.q25} to {box.q75}"),
        rule(scale(float(box.median)), 6, scale(float(box.median)), 24, "median"),
    ]
    words = f"{name} from {box.low:g} to {box.high:g}, median {box.median:g}"
    if threshold:
        parts += [
            rule(scale(threshold), 2, scale(threshold), 28, "threshold"),
            text(scale(threshold), 40, "threshold", "tick threshold-text", "end"),
        ]
        words += f", threshold {threshold:g}"
    if not threshold or scale(threshold) - scale(0) > 0.4:
        anchor = "start" if scale(0) < 0.04 else "end" if scale(0) > 0.96 else "middle"
        parts.append(text(scale(0), 40, "0", "tick", anchor))
    parts.append(rule(scale(0), 11, scale(0), 19, "axis"))
    return figure(44, words, parts)


def bits(found: StateRange, name: str) -> Markup:
    """A cell for each bit of the register, filled where the values need it."""
    width = 1 / found.bits_held
    css = ["fill deployed" if i < found.bits_used else "track-fill" for i in range(found.bits_held)]
    parts = [rect(i * width, 1, width * 0.78, 8, css[i], radius=1.5) for i in range(found.bits_held)]
    return figure(10, f"{name} uses {found.bits_used} of {found.bits_held} bits", parts)


# ------------------------------------------------------------------------------------------------ raster


def raster_panel(row: RasterRow, n_steps: int) -> Markup:
    """Deployed spikes filled, float ones outlined: a filled outline agrees, the other two do not."""
    cell, width = 8, 1000 / n_steps
    height = cell * len(row.neurons)
    shapes: dict[str, list[str]] = {"agree": [], "only-deployed": [], "only-float": []}
    for i, deployed in enumerate(row.steps_deployed):
        other = set(deployed) if isinstance(row.steps_float, Missing) else set(row.steps_float[i])
        for css, steps in (
            ("agree", set(deployed) & other),
            ("only-deployed", set(deployed) - other),
            ("only-float", other - set(deployed)),
        ):
            for step in sorted(steps):
                x, y = (step - 1) * width + 0.12 * width, i * cell + 1.5
                shapes[css].append(f"M{x:.1f} {y:g}h{0.76 * width:.1f}v{cell - 3}h{-0.76 * width:.1f}z")
    grid = (
        "".join(f'<path d="M{k * width:.1f} 0V{height}" class="rule"/>' for k in range(n_steps + 1))
        if n_steps <= 64
        else ""
    )
    paths = "".join(f'<path d="{"".join(d)}" class="spike {css}"/>' for css, d in shapes.items() if d)
    over = f"{n_steps} {plural(n_steps, 'step')}"
    label = f"{row.name}: spikes of {len(row.neurons)} of {row.n_neurons} neurons over {over}"
    if row.n_agree is not None:
        label += f"; {row.n_agree} agree, {row.n_only_float} only float, {row.n_only_deployed} only deployed"
    return figure(height, label, [stretched(height, grid + paths)])


def picture(found: Picture, label: str) -> Markup:
    """The input as a small grey PNG."""
    rows = found.rows
    raw = b"".join(b"\0" + bytes(row) for row in rows)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")
    source = b64encode(png).decode()
    return Markup(
        f'<img class="picture" width="144" height="{144 * len(rows) // len(rows[0])}" alt="{escape(label)}" '
        f'src="data:image/png;base64,{source}">'
    )


# ----------------------------------------------------------------------------------------------- anytime


def anytime_accuracy(found: Anytime) -> Markup:
    values, low, high = _floats(found.accuracy), _floats(found.low), _floats(found.high)
    n = len(values)
    frame = Frame(200, Scale(1, max(n, 2)), Scale(max(0.0, 10 * (min(low) // 10)), 100.0))
    parts = frame.grid([(t, f"{t:g} %") for t in frame.y.ticks(4)], _step_labels(n))
    band = [frame.point(i + 1, v) for i, v in enumerate(high)]
    band += [frame.point(i + 1, low[i]) for i in reversed(range(n))]
    line = [frame.point(i + 1, v) for i, v in enumerate(values)]
    parts.append(stretched(200, polygon(band, "band") + polyline(line, "deployed")))
    parts += [dot(*p, 3.2, "dot deployed", f"step {i + 1}: {values[i]:.2f} %") for i, p in enumerate(line)]
    return figure(200, f"Accuracy rises from {values[0]:.1f} % at step 1 to {values[-1]:.1f} % at step {n}", parts)


def anytime_energy(energies: Series) -> Markup:
    values = _floats(energies)
    n = len(values)
    frame = Frame(200, Scale(1, max(n, 2)), fitted(values, zero=True))
    parts = frame.grid([(t, si(t, "J")) for t in frame.y.ticks(3)[1:]], _step_labels(n))
    line = [frame.point(i + 1, v) for i, v in enumerate(values)]
    parts += [rule(0, frame.up(0), 1, frame.up(0), "axis"), stretched(200, polyline(line, "energy"))]
    parts += [dot(*p, 2.6, "dot energy", f"step {i + 1}: {si(values[i], 'J')}") for i, p in enumerate(line)]
    return figure(200, f"Dynamic energy rises to {si(values[-1], 'J')} at step {n}", parts)


# ---------------------------------------------------------------------------------------- cores, energy


def uses(layer: MappedLayer) -> Markup:
    """A bar for each limit; the binding one is marked."""
    row = 30
    parts = []
    for i, use in enumerate(layer.uses):
        css = "deployed" if use.resource == layer.binding else "stage"
        css = "bad" if use.share > 1 else css
        mark = " (binding)" if use.resource == layer.binding else ""
        parts += [
            text(0, i * row + 12, use.resource + mark, "tick strong" if mark else "tick"),
            text(1, i * row + 12, f"{100 * use.share:.0f} %", "tick strong" if mark else "tick", "end"),
            rect(0, i * row + 17, 1, 6, "track-fill", radius=3),
            rect(0, i * row + 17, max(min(use.share, 1.0), 0.004), 6, f"fill {css}", radius=3),
        ]
    label = ", ".join(f"{u.resource} {100 * u.share:.0f} %" for u in layer.uses)
    return figure(row * len(layer.uses), f"{layer.name}: {label}", parts)


def energy_bars(energy: Energy) -> Markup:
    """A bar a set of constants, a colour a term, all in one scale."""
    names: list[str] = []
    for entry in energy.sets:
        names += [t.name for t in entry.terms if t.name not in names]
    top = max((sum(float(t.energy_j.value or 0) for t in s.terms) for s in energy.sets), default=0) or 1
    row = 46
    parts = []
    for i, entry in enumerate(energy.sets):
        total = sum(float(t.energy_j.value or 0) for t in entry.terms)
        parts.append(text(0, i * row + 14, entry.name, "name"))
        parts.append(text(1, i * row + 14, f"{si(total, 'J')}", "value", "end"))
        at = 0.0
        for term in entry.terms:
            share = float(term.energy_j.value or 0) / top
            if share > 0:
                tip = f"{term.name}: {si(float(term.energy_j.value or 0), 'J')}"
                parts.append(
                    rect(
                        at,
                        i * row + 22,
                        max(share - 0.002, 0.001),
                        14,
                        f"term term-{names.index(term.name) % 7}",
                        tip,
                        1,
                    )
                )
            at += share
    words = ", ".join(f"{s.name} {si(float(s.total_j.value or 0), 'J')}" for s in energy.sets)
    return figure(row * len(energy.sets), f"Energy per inference by set of constants: {words}", parts)


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
    for tick in ticks:
        anchor = "start" if scale(tick) < 0.05 else "end" if scale(tick) > 0.95 else "middle"
        parts.append(text(scale(tick), height - 3, si(tick, "J", 1), "tick", anchor))
    return figure(height, "Energy per inference: " + ", ".join(words), parts)


def sensitivity(energy: Energy) -> Markup:
    """Total against step period, both logarithmic: where static power takes over."""
    xs, mid = _floats(energy.sensitivity_s), _floats(energy.sensitivity_mid_j)
    low, high = _floats(energy.sensitivity_low_j), _floats(energy.sensitivity_high_j)
    dynamic = next(float(s.dynamic_j.value or 0) for s in energy.sets if s.name == energy.mid)
    tall = 300
    frame = Frame(tall, Scale(xs[0], xs[-1], log=True), Scale(min([*low, dynamic]) / 1.5, max(high) * 1.8, log=True))
    x_text = [(t, si(t, "s", 1)) for t in frame.x.ticks(6)]
    parts = frame.grid([(t, si(t, "J", 1)) for t in frame.y.ticks(4)], x_text)
    band = [frame.point(x, y) for x, y in zip(xs, high, strict=True)]
    band += [frame.point(x, y) for x, y in reversed(list(zip(xs, low, strict=True)))]
    lines = polygon(band, "band energy") + polyline([frame.point(x, dynamic) for x in xs], "stage")
    lines += polyline([frame.point(x, y) for x, y in zip(xs, mid, strict=True)], "energy")
    parts.append(stretched(tall, lines))
    step = float(energy.step_s.value or 0)
    if xs[0] <= step <= xs[-1]:
        share = frame.x(step)
        anchor, beside = ("end", -0.01) if share > 0.5 else ("start", 0.01)
        parts.append(rule(share, 4, share, tall - 22, "threshold"))
        parts.append(text(share + beside, 14, f"this run: {si(step, 's')}", "tick halo threshold-text", anchor))
    label = f"Energy per inference against step period: {si(mid[0], 'J')} at {si(xs[0], 's')}"
    return figure(tall, f"{label}, {si(mid[-1], 'J')} at {si(xs[-1], 's')}; dynamic alone {si(dynamic, 'J')}", parts)


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
    anchor = "start" if share < 0.3 else "end" if share > 0.7 else "middle"
    parts.append(rule(share, 18, share, height - 18, "threshold"))
    parts.append(text(share, height - 4, f"this network: {digits(value)}", "tick threshold-text", anchor))
    words = ", ".join(f"{b.verdict} {b.name} ({b.low:g} to {b.high:g})" for b in bands)
    return figure(height, f"This network, {digits(value)}: {words}", parts)


# ---------------------------------------------------------------------------------------- sweep, network


def trade_off(points: tuple[SweepPoint, ...]) -> Markup:
    """Accuracy against energy (else spikes); the points nobody beats are joined."""
    use_energy = all(p.energy_j.value is not None for p in points)
    costs = [float((p.energy_j if use_energy else p.spikes).value or 0) for p in points]
    values = [float(p.accuracy.value or 0) for p in points]
    span = max(values) - min(values) or 1
    low, high = min(costs) or 1e-12, max(costs)
    frame = Frame(
        240, Scale(low / 1.25, high * 1.25, log=True), Scale(min(values) - 0.15 * span, max(values) + 0.15 * span)
    )
    unit = "J" if use_energy else "spikes"
    ticks = frame.x.ticks(5) if len(frame.x.ticks(5)) > 1 else [low, high]
    parts = frame.grid([(t, f"{t:g} %") for t in frame.y.ticks(4)], [(t, si(t, unit)) for t in ticks])
    joined = sorted((c, v) for c, v, p in zip(costs, values, points, strict=True) if p.front)
    parts.append(stretched(240, polyline([frame.point(*p) for p in joined], "deployed")))
    for c, v, p in zip(costs, values, points, strict=True):
        css = "dot current" if p.current else "dot deployed" if p.front else "dot beaten"
        share, y = frame.point(c, v)
        parts.append(dot(share, y, 5.5 if p.front else 4, css, f"{p.name}: {v:.2f} %, {si(c, unit)}"))
        if p.front:
            anchor = "end" if share > 0.8 else "start"
            parts.append(text(share + (0.012 if anchor == "start" else -0.012), y + 16, p.name, "tick halo", anchor))
    return figure(240, f"{len(points)} runs, {len(joined)} of them not beaten by another", parts)


def network(graph: Graph) -> Markup:
    """Top to bottom by rank; an edge over more than one rank bows to the side."""
    ranks: dict[int, list[Node]] = {}
    for node in graph.nodes:
        ranks.setdefault(node.rank, []).append(node)
    order = {rank: i for i, rank in enumerate(sorted(ranks))}
    row, box = 78, 42
    room = 0.74 if max(_spans(graph, order), default=1) > 1 else 1.0
    half = max(0.1, min(0.3, 0.43 / max(len(nodes) for nodes in ranks.values()))) * room
    place = {
        n.name: (room * (i + 0.5) / len(nodes), order[rank] * row + 4)
        for rank, nodes in ranks.items()
        for i, n in enumerate(nodes)
    }
    height = row * len(ranks) - (row - box) + 10
    lines, labels = [], []
    for edge, span in zip(graph.edges, _spans(graph, order), strict=True):
        (x1, y1), (x2, y2) = place[edge.source], place[edge.target]
        if span == 1:
            top, bottom = y1 + box, y2
            lines.append(_curve((x1, top), (x1, top + 18), (x2, bottom - 18), (x2, bottom)))
            labels.append(text((x1 + x2) / 2, (top + bottom) / 2 + 4, edge.label, "tick halo beside"))
        else:
            side, a, b = min(0.995, max(x1, x2) + half + 0.2), y1 + box / 2, y2 + box / 2
            lines.append(_curve((x1 + half, a), (side, a), (side, b), (x2 + half, b)))
            for i, line in enumerate(edge.label.split(", ")):
                labels.append(text(max(x1, x2) + half, (a + b) / 2 + 4 + 14 * i, line, "tick halo beside"))
    boxes = []
    for node in graph.nodes:
        x, y = place[node.name]
        shape = "×".join(str(n) for n in node.shape)
        css = "node" + (" input" if node.kind == "Input" else "") + ("" if node.supported else " bad")
        boxes.append(rect(x - half, y, 2 * half, box, css, f"{node.kind} {node.name} {shape}: {node.note}", 8))
        boxes.append(text(x, y + 18, node.name, "name", "middle"))
        boxes.append(text(x, y + 34, f"{node.kind} {shape}", "tick", "middle"))
    label = f"{len(graph.nodes)} nodes and {len(graph.edges)} edges: " + ", ".join(n.name for n in graph.nodes)
    return figure(height, label, [stretched(height, "".join(lines)), *boxes, *labels])


def _spans(graph: Graph, order: dict[int, int]) -> list[int]:
    """Ranks that each edge crosses; 1: to the next one down. Loops and steps back count as crossing more."""
    rank = {n.name: order[n.rank] for n in graph.nodes}
    spans = [rank[e.target] - rank[e.source] for e in graph.edges]
    return [span if span > 0 else 2 for span in spans]


def _curve(*points: tuple[float, float]) -> str:
    start, *rest = (f"{1000 * x:.1f} {y:g}" for x, y in points)
    return f'<path d="M{start}C{" ".join(rest)}" class="edge"/>'


def terms(energy: Energy) -> list[str]:
    """Names of the energy terms in the order of their colours."""
    return list(dict.fromkeys(t.name for s in energy.sets for t in s.terms))
