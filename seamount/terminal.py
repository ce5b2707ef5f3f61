"""Prints to a terminal what is to be shown, foreign texts included.

Apart from ``shown.py``, because rich takes longer to load than all that it shows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.style import Style
from rich.text import Text as AnyText

from .shown import joined, plain

NARROWEST, USUAL, WIDEST = 40, 80, 1000
"""Columns of a terminal: rich lays nothing out in none, and fills as many as it is told."""

JOINT = "\u2800"
"""A blank that rich breaks no line at, while it breaks lines (at a no-break space it does); shown as a space.

One of ``shown.BLANK``, so that none is left in a text.
"""


class Text(AnyText):
    """rich's, but nothing is left out of it: two names would look the same without their bells."""

    def __init__(self, text: str = "", *args: Any, **kwargs: Any) -> None:
        super().__init__(plain(text), *args, **kwargs)

    def append(self, text: AnyText | str, style: str | Style | None = None) -> AnyText:
        return super().append(plain(text) if isinstance(text, str) else text, style)


class PlainConsole(Console):
    """A console of rich that reads no markup in texts and lets no control character through."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        # here, because every text passes by, in whatever table it stands, before rich adds its own control characters
        if isinstance(renderable, str):
            renderable = self.render_str(renderable)
        if isinstance(renderable, AnyText):
            renderable = renderable.copy()
            renderable.plain = joined(renderable.plain, JOINT)
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text.replace(JOINT, " ")), segment.style)

    def render_str(self, text: str, **kwargs: Any) -> AnyText:
        # before it is measured; and as in Text
        return super().render_str(plain(text), **kwargs)

    def on_broken_pipe(self) -> None:
        raise


def console(*, stderr: bool = False, soft_wrap: bool = False) -> Console:
    """A console for foreign texts, of a width that something fits into."""
    made = PlainConsole(stderr=stderr, soft_wrap=soft_wrap, markup=False, emoji=False, highlight=False)
    made.width = min(max(made.width or USUAL, NARROWEST), WIDEST)
    return made
