"""The runs of a sweep."""

from __future__ import annotations

from markupsafe import Markup

from ...parts.sweep import SweepPoint
from ...schema.text import si
from ..charts import Frame, Scale, dot, polyline, stretched, text


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
    taken: dict[tuple[int, int], int] = {}
    for c, v, p in zip(costs, values, points, strict=True):
        share, y = frame.point(c, v)
        place = round(100 * share), round(y / 6)
        taken[place] = earlier = taken.get(place, -1) + 1
        mark = " (placeholder)" if use_energy and p.placeholder else ""
        parts += _point(p, share, y, f"{p.name}: {v:.2f} %, {si(c, unit)}{mark}", earlier)
    return frame.figure(f"{len(points)} runs, {len(joined)} of them not beaten by another", parts)


def _point(p: SweepPoint, share: float, y: float, tip: str, earlier: int) -> list[str]:
    """``earlier``: points drawn at the same place before; this one is a ring around them, its name a line lower."""
    css = "dot current" if p.current else "dot deployed" if p.front else "dot beaten"
    radius = (5.5 if p.front else 4) + 5 * earlier
    marks = [dot(share, y, radius, f"{css} ring" if earlier else css, tip)]
    if p.front:
        left = share > 0.8  # or the name would leave the figure
        beside = share - 0.012 if left else share + 0.012
        marks.append(text(beside, y + 16 + 14 * earlier, p.name, "tick halo", "end" if left else "start"))
    return marks
