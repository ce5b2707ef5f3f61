"""Spikes over time, layer by layer."""

from __future__ import annotations

from markupsafe import Markup

from seamount.errors import plural

from ...parts.frames import FrameLayer
from ...parts.layers import Layer
from ...schema.text import tick
from ...schema.values import Series
from ..charts import Frame, Scale, dot, figure, fitted, floats, polyline, rect, rule, step_labels, stretched, text


def bar(value: float, top: float, label: str, css: str = "deployed") -> Markup:
    parts = [rect(0, 2, 1, 6, "track-fill", radius=3)]
    if value > 0:
        parts.append(rect(0, 2, max(value / top, 0.004), 6, f"fill {css}", radius=3))
    return figure(10, label, parts)


def over_time(layer: Layer) -> Markup:
    """Spikes per step of float student (dashed) and deployed program."""
    trains = [
        (css, floats(found))
        for css, found in (("float", layer.rate_float), ("deployed", layer.rate_deployed))
        if isinstance(found, Series)
    ]
    n_steps = len(trains[0][1])
    frame = Frame(118, Scale(1, max(n_steps, 2)), fitted([v for _, t in trains for v in t], zero=True))
    parts = frame.grid([(t, tick(t)) for t in frame.y.ticks(2)], step_labels(n_steps))
    parts.append(rule(0, frame.up(0), 1, frame.up(0), "axis"))
    lines = "".join(polyline([frame.point(i + 1, v) for i, v in enumerate(train)], css) for css, train in trains)
    parts.append(stretched(118, lines))
    for css, train in trains:
        if css == "deployed":
            parts += [
                dot(*frame.point(i + 1, v), 2.4, f"dot {css}", f"step {i + 1}: {v:.1f}") for i, v in enumerate(train)
            ]
    words = "; ".join(f"{css} from {t[0]:.1f} to {t[-1]:.1f}" for css, t in trains)
    return frame.figure(f"{layer.name}, spikes per step and sample: {words}", parts)


def agreement(layer: Layer) -> Markup:
    """A strip of cells, one a step: the share of positions at which both sides do the same.

    A cell's middle is below the step's point of ``over_time``.
    """
    assert isinstance(layer.agreement_per_step, Series), "the page asks only where there is one"
    values = floats(layer.agreement_per_step)
    scale = Scale(1, max(len(values), 2))
    gap = min(0.008, (scale(2) - scale(1)) / 6)
    parts = [
        rect(
            scale(step - 0.5),
            0,
            scale(step + 0.5) - scale(step - 0.5) - (gap if step < len(values) else 0),
            16,
            f"heat heat-{_heat(v)}",
            f"step {step}: {v:.2f} % agree",
            2,
        )
        for step, v in enumerate(values, start=1)
    ]
    label = f"{layer.name}: agreement per step between {min(values):.2f} and {max(values):.2f} %"
    return figure(16, label, parts, "framed")


HEAT_BOUNDS = (0.0, 0.1, 1.0, 5.0, 20.0)
HEAT_LEVELS = ("equal", "to 0.1 %", "to 1 %", "to 5 %", "to 20 %", "more")
"""Differing positions, per cent: the bounds between the colours, and their words in the legend."""


def _heat(percent: float) -> int:
    """0: equal; 1 .. 5: ever more positions differ."""
    return sum(100 - percent > b + 1e-9 for b in HEAT_BOUNDS)


def rates(layer: Layer) -> Markup:
    """How many neurons fire how often; silent and always firing ones lie in the outer bins."""
    assert isinstance(layer.rates, Series), "the page asks only where there is one"
    counts = [int(c) for c in floats(layer.rates)]
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


def frame_shares(layer: FrameLayer) -> Markup:
    """Shares of a layer's neurons that send (line) and that are 0 (dashed), after each frame."""
    trains = [("deployed", "send", layer.sending)]
    if isinstance(layer.zero, Series):
        trains.append(("float", "are 0", layer.zero))
    n = len(layer.sending.values)
    frame = Frame(118, Scale(1, max(n, 2)), Scale(0, 100))
    parts = frame.grid([(t, f"{t:g} %") for t in (0.0, 50.0, 100.0)], step_labels(n))
    parts.append(rule(0, frame.up(0), 1, frame.up(0), "axis"))
    lines = [polyline([frame.point(i + 1, v) for i, v in enumerate(floats(one))], css) for css, _, one in trains]
    parts.append(stretched(118, "".join(lines)))
    words = ", ".join(f"{floats(one)[0]:.1f} to {floats(one)[-1]:.1f} % {word}" for _, word, one in trains)
    return frame.figure(f"{layer.name}, from the first frame to the last: {words}", parts)
