"""The ladder of stages."""

from __future__ import annotations

from markupsafe import Markup

from seamount.shown import html

from ...parts.accuracy import Accuracy
from ...schema.text import signed
from ..charts import Scale, anchor, dot, figure, rule, text


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
            f'<text x="99%" y="{y + 15}" dx="-72" text-anchor="end" class="tick">{html(lost)}</text>',
            rule(0, y + 32, 1, y + 32, "track"),
            rule(scale(low), y + 32, scale(high), y + 32, f"interval {css}"),
            dot(scale(value), y + 32, 6, f"dot {css}", f"{rung.title}: {value:.2f} %, {low:.1f} to {high:.1f} %"),
        ]
        words.append(f"{rung.title} {value:.2f} %")
    for tick in scale.ticks(5):
        parts.append(text(scale(tick), height - 4, f"{tick:g} %", "tick", anchor(scale(tick))))
    return figure(height, "Accuracy by stage: " + ", ".join(words), parts)
