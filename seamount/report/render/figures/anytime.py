"""Answers after each step."""

from __future__ import annotations

from markupsafe import Markup

from ...parts.anytime import Anytime
from ...schema.text import si, tick
from ...schema.values import Series
from ..charts import Frame, Scale, dot, fitted, floats, polygon, polyline, rule, step_labels, stretched


def anytime_accuracy(found: Anytime) -> Markup:
    values, low, high = floats(found.accuracy), floats(found.low), floats(found.high)
    n = len(values)
    frame = Frame(200, Scale(1, max(n, 2)), Scale(max(0.0, 10 * (min(low) // 10)), 100.0))
    parts = frame.grid([(t, f"{t:g} %") for t in frame.y.ticks(4)], step_labels(n))
    band = [frame.point(i + 1, v) for i, v in enumerate(high)]
    band += [frame.point(i + 1, low[i]) for i in reversed(range(n))]
    line = [frame.point(i + 1, v) for i, v in enumerate(values)]
    parts.append(stretched(200, polygon(band, "band") + polyline(line, "deployed")))
    parts += [dot(*p, 3.2, "dot deployed", f"step {i + 1}: {values[i]:.2f} %") for i, p in enumerate(line)]
    return frame.figure(f"Accuracy rises from {values[0]:.1f} % at step 1 to {values[-1]:.1f} % at step {n}", parts)


def anytime_energy(energies: Series) -> Markup:
    values = floats(energies)
    n = len(values)
    frame = Frame(200, Scale(1, max(n, 2)), fitted(values, zero=True))
    parts = frame.grid([(t, tick(t, "J")) for t in frame.y.ticks(3)], step_labels(n))
    line = [frame.point(i + 1, v) for i, v in enumerate(values)]
    parts += [rule(0, frame.up(0), 1, frame.up(0), "axis"), stretched(200, polyline(line, "energy"))]
    parts += [dot(*p, 2.6, "dot energy", f"step {i + 1}: {si(values[i], 'J')}") for i, p in enumerate(line)]
    return frame.figure(f"Dynamic energy rises to {si(values[-1], 'J')} at step {n}", parts)
