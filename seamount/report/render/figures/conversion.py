"""What the threshold of a sigma-delta program costs and gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from ...schema.text import tick
from ..charts import Anchor, Frame, Scale, dot, polyline, rule, stretched, text
from .sweep import HEIGHT, Names, along, box

if TYPE_CHECKING:
    from seamount.sigma_delta import Conversion
    from seamount.trials import Point


def threshold_curves(done: Conversion) -> Iterator[tuple[str, Markup]]:
    """How good the answers are, by operations and by threshold: title and drawing."""
    word, unit, values, ann = _quality(done)
    span = max(*values, ann) - min(*values, ann) or 1.0
    y = Scale(min(*values, ann) - 0.08 * span, max(*values, ann) + 0.12 * span)
    named = [f"{point.threshold:.3g}" for point in done.curve]
    most = max(point.operations for point in done.curve)
    costs = Frame(HEIGHT, Scale(0, 1.05 * most), y)
    operations = [point.operations for point in done.curve]
    yield (
        f"{word} by synaptic operations a frame, thresholds beside the points",
        _plot(costs, operations, values, ann, unit, done, [(t, tick(t)) for t in costs.x.ticks(5)], named, "start"),
    )
    thresholds = Frame(HEIGHT, Scale(-0.3, len(named) - 0.7), y)
    places = [float(i) for i in range(len(named))]
    yield (
        f"{word} by threshold",
        _plot(thresholds, places, values, ann, unit, done, list(zip(places, named, strict=True)), None, "end"),
    )


def _quality(done: Conversion) -> tuple[str, str, list[float], float]:
    """What is drawn upwards, its unit, its values, and the ANN's."""
    ann = done.reference
    if ann.accuracy is not None:
        return "Accuracy", " %", [100 * (p.accuracy or 0.0) for p in done.curve], 100 * ann.accuracy
    if ann.rmse is not None:
        return "RMSE", "", [p.rmse or 0.0 for p in done.curve], ann.rmse
    return "Error of the outputs (RMS)", "", [p.error_rms for p in done.curve], 0.0


def _plot(
    frame: Frame,
    across: Sequence[float],
    values: Sequence[float],
    ann: float,
    unit: str,
    done: Conversion,
    ticks: Sequence[tuple[float, str]],
    names: Sequence[str] | None,
    ann_at: Anchor,
) -> Markup:
    parts = frame.grid([(t, f"{t:g}{unit}") for t in frame.y.ticks(4)], ticks)
    line = [frame.point(x, v) for x, v in zip(across, values, strict=True)]
    parts.append(rule(0, frame.up(ann), 1, frame.up(ann), "axis"))
    # where the threshold is largest, which is where the curve is far away
    parts.append(
        text(1.0 if ann_at == "end" else 0.0, frame.up(ann) - 5, f"ANN {ann:.4g}{unit}", "tick halo", ann_at)
    )
    parts.append(stretched(frame.height, polyline(line, "deployed")))
    for place, value, point in zip(line, values, done.curve, strict=True):
        chosen = point.threshold == done.chosen.threshold
        parts.append(dot(*place, 5.0, "dot current" if chosen else "dot deployed", _tip(point, value, unit)))
    if names is not None:
        across_ann = [(0.0, frame.up(ann)), (0.5, frame.up(ann)), (1.0, frame.up(ann))]
        found = Names([*(box(*place) for place in line), *along(line), *along(across_ann)])
        for name, place in zip(names, line, strict=True):
            found.put(name, *place, 5.0)
        parts += found.parts
    told = f"threshold {done.curve[0].threshold:g} to {done.curve[-1].threshold:g}"
    return frame.figure(
        f"From {values[0]:.4g}{unit} to {values[-1]:.4g}{unit}, {told}; the ANN {ann:.4g}{unit}", parts
    )


def _tip(point: Point, value: float, unit: str) -> str:
    costs = f"{point.messages:,.0f} messages, {point.operations:,.0f} operations a frame"
    return f"threshold {point.threshold:.3g}: {value:.4g}{unit}, {costs}"
