"""Limits of a layer on its cores."""

from __future__ import annotations

from markupsafe import Markup

from ...parts.mapping import MappedLayer
from ..charts import figure, rect, text


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
