"""The few shapes that every figure is drawn with.

SVG whose x is in per cent of the width: a figure fills a phone and a wide screen alike while its text keeps its size.
Colours are classes; the style sheet knows light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from seamount.shown import html

from ..schema.values import Series

Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Scale:
    """From values to 0 .. 1; logarithmic where asked for."""

    low: float
    high: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        at = math.log(max(value, self.low)) if self.log else value
        return min(1.0, max(0.0, (at - low) / (high - low))) if high > low else 0.5

    def ticks(self, n: int = 4) -> list[float]:
        """Round values inside the scale."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            every = max(1, math.ceil((last - first + 1) / n))
            return [10.0**k for k in range(first, last + 1, every)]
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        raw = span / n
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
        start = math.ceil(self.low / step - 1e-9)
        found: list[float] = []
        while (start + len(found)) * step <= self.high + 1e-9 * span:
            found.append(float(f"{(start + len(found)) * step:.12g}"))
        return found


def fitted(values: Iterable[float], *, zero: bool = False) -> Scale:
    """A scale around the values with a little air above."""
    found = list(values)
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    low = min(0.0, low) if zero else low
    high = high if high > low else low + 1.0
    return Scale(low, high + 0.06 * (high - low))


def across(share: float) -> str:
    """An x coordinate or a width."""
    return f"{100 * share:.2f}%"


def anchor(share: float, margin: float = 0.04) -> Anchor:
    """How a text at x is set so that it stays on the drawing: near an end it runs away from it."""
    return "start" if share < margin else "end" if share > 1 - margin else "middle"


def figure(height: float, label: str, parts: Iterable[str], css: str = "") -> Markup:
    """A drawing as wide as its place; ``label`` says in words what it shows."""
    body, classes = "".join(parts), f"chart {css}".strip()
    return Markup(
        f'<svg class="{classes}" role="img" aria-label="{html(label)}" width="100%" height="{height:g}">{body}</svg>'
    )


def stretched(height: float, body: str) -> str:
    """Paths in a box 1000 wide that stretches with the page; strokes keep their width."""
    return (
        f'<svg x="{across(0)}" y="0" width="{across(1)}" height="{height:g}" viewBox="0 0 1000 {height:g}" '
        f'preserveAspectRatio="none" overflow="visible">{body}</svg>'
    )


def text(share: float, y: float, content: str, css: str = "", at: Anchor = "start") -> str:
    return f'<text x="{across(share)}" y="{y:g}" text-anchor="{at}" class="{css}">{html(content)}</text>'


def rect(
    share: float, y: float, share_width: float, height: float, css: str, title: str = "", radius: float = 2
) -> str:
    tip = f"<title>{html(title)}</title>" if title else ""
    return (
        f'<rect x="{across(share)}" y="{y:g}" width="{across(share_width)}" height="{height:g}" rx="{radius:g}" '
        f'class="{css}">{tip}</rect>'
    )


def dot(share: float, y: float, radius: float, css: str, title: str = "") -> str:
    tip = f"<title>{html(title)}</title>" if title else ""
    return f'<circle cx="{across(share)}" cy="{y:g}" r="{radius:g}" class="{css}">{tip}</circle>'


def rule(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    return f'<line x1="{across(x1)}" y1="{y1:g}" x2="{across(x2)}" y2="{y2:g}" class="{css}"/>'


def polyline(points: Sequence[tuple[float, float]], css: str) -> str:
    """Points (share, y) for ``stretched``."""
    at = " ".join(f"{1000 * x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{at}" class="line {css}"/>'


def polygon(points: Sequence[tuple[float, float]], css: str) -> str:
    at = " ".join(f"{1000 * x:.1f},{y:.1f}" for x, y in points)
    return f'<polygon points="{at}" class="{css}"/>'


@dataclass(frozen=True)
class Frame:
    """A plot area: rules with their values left of them, where no curve comes, and x values below."""

    height: float
    x: Scale
    y: Scale
    top: float = 10
    foot: float = 22

    def up(self, value: float) -> float:
        return self.top + (self.height - self.top - self.foot) * (1 - self.y(value))

    def point(self, x: float, y: float) -> tuple[float, float]:
        return self.x(x), self.up(y)

    def grid(self, y_text: Sequence[tuple[float, str]], x_text: Sequence[tuple[float, str]]) -> list[str]:
        parts = []
        for value, label in y_text:
            parts.append(rule(0, self.up(value), 1, self.up(value), "rule"))
            parts.append(
                f'<text x="0" dx="-8" y="{self.up(value) + 4:g}" text-anchor="end" class="tick">{html(label)}</text>'
            )
        for value, label in x_text:
            share = self.x(value)
            parts.append(text(share, self.height - 6, label, "tick", anchor(share)))
        return parts

    def figure(self, label: str, parts: Iterable[str]) -> Markup:
        """The drawing, with room for the values at its left."""
        return figure(self.height, label, parts, "framed")


def contours() -> Markup:
    """The sea floor behind the title: depth lines of a seamount."""
    curves = []
    for i in range(11):
        radius = 26 + 24 * i
        points = []
        for k in range(72):
            angle = 2 * math.pi * k / 72
            wobble = 1 + 0.10 * math.sin(2 * angle + 0.5 * i) + 0.06 * math.sin(3 * angle - 0.35 * i + 1)
            wobble += 0.03 * math.sin(7 * angle + i)
            points.append(
                (300 + 1.25 * radius * wobble * math.cos(angle), 150 + 0.72 * radius * wobble * math.sin(angle))
            )
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z"
        curves.append(f'<path d="{path}" style="opacity:{0.75 - 0.058 * i:.2f}"/>')
    return Markup(
        '<svg class="contours" aria-hidden="true" focusable="false" viewBox="0 0 600 300" '
        f'preserveAspectRatio="xMidYMid slice">{"".join(curves)}</svg>'
    )


def floats(found: Series) -> list[float]:
    return [float(v) for v in found.values if v is not None]


def step_labels(n_steps: int) -> list[tuple[float, str]]:
    return [(1, "step 1")] if n_steps == 1 else [(1, "step 1"), (n_steps, str(n_steps))]
