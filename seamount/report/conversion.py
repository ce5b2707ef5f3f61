"""``conversion.html``: what became of an ANN as a sigma-delta program, with its curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .render.html import page

if TYPE_CHECKING:
    from seamount.sigma_delta import Conversion


def render_conversion_html(done: Conversion) -> str:
    return page("conversion.html.j2", c=done, headline=_headline(done))


def _headline(done: Conversion) -> str:
    ann, point = done.reference, done.chosen
    share = f"{100 * point.operations / ann.operations:.3g} % of its operations"
    if ann.accuracy is not None and point.accuracy is not None:
        return f"{100 * point.accuracy:.2f} % right, the ANN {100 * ann.accuracy:.2f} %, with {share}"
    if ann.rmse is not None and point.rmse is not None:
        return f"RMSE {point.rmse:.4g}, the ANN {ann.rmse:.4g}, with {share}"
    return f"{100 * point.same:.2f} % answered as the ANN does, with {share}"
