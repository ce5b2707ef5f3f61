"""Limits of a layer on its cores."""

from __future__ import annotations

from markupsafe import Markup

from ...parts.mapping import MappedLayer
from ...schema.text import share
from ..charts import figure, rect, text


def uses(layer: MappedLayer) -> Markup:
    """A bar for each limit; the binding one is marked where it asks for several cores."""
    row = 30
    parts = []
    # what is fuller than the nearest limit is none: the one format or configuration that every layer has
    shown = [use for use in layer.uses if use.share <= layer.share]
    for i, use in enumerate(shown):
        binds = use.resource == layer.binding and layer.n_cores > 1
        css = "bad" if use.share > 1 else "deployed" if binds else "stage"
        mark = " (binding)" if binds else ""
        parts += [
            text(0, i * row + 12, use.resource + mark, "tick strong" if mark else "tick"),
            text(1, i * row + 12, share(use.share), "tick strong" if mark else "tick", "end"),
            rect(0, i * row + 17, 1, 6, "track-fill", radius=3),
            rect(0, i * row + 17, max(min(use.share, 1.0), 0.004), 6, f"fill {css}", radius=3),
        ]
    label = ", ".join(f"{u.resource} {share(u.share)}" for u in shown)
    return figure(row * len(shown), f"{layer.name}: {label}", parts)
