"""Weights and states in the room that they have."""

from __future__ import annotations

from markupsafe import Markup

from seamount.errors import plural

from ...parts.ranges import StateRange, Weights
from ..charts import Scale, anchor, figure, rect, rule, text


def weight_histogram(weights: Weights) -> Markup:
    counts, edges = weights.bin_counts, weights.bins
    low_end, high_end = (-256, 256) if max(-edges[0], edges[-1]) < 300 else (edges[0], edges[-1])
    scale = Scale(low_end, high_end)
    top = max(counts, default=1) or 1
    zero = scale(0)
    within = 0.1 < zero < 0.9  # else its 0 would stand on an end's value
    parts = [rule(zero, 2, zero, 50, "rule")] if within else []
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
        *([text(zero, 64, "0", "tick", "middle")] if within else []),
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
        parts.append(text(scale(0), 40, "0", "tick", anchor(scale(0))))
    parts.append(rule(scale(0), 11, scale(0), 19, "axis"))
    return figure(44, words, parts)


def bits(found: StateRange, name: str) -> Markup:
    """A cell for each bit of the register, filled where the values need it."""
    width = 1 / found.bits_held
    css = ["fill deployed" if i < found.bits_used else "track-fill" for i in range(found.bits_held)]
    parts = [rect(i * width, 1, width * 0.78, 8, css[i], radius=1.5) for i in range(found.bits_held)]
    return figure(10, f"{name} uses {found.bits_used} of {found.bits_held} bits", parts)
