"""What is shown to people goes through here: one function for terminals, one for pages.

Names, titles and texts of foreign files may hold anything: commands to a terminal, markup, characters that reorder a
line. They are shown as what they are, letter by letter, and what cannot be shown is written as an escape.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

from markupsafe import Markup, escape
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Categories of Unicode: control, format (also of direction), halves of pairs, separators of lines and paragraphs."""

NARROWEST, USUAL, WIDEST = 40, 80, 1000
"""Columns of a terminal: rich lays nothing out in none, and fills as many as it is told."""


def plain(text: str) -> str:
    """Text without a character that does something instead of being seen; lines and tabs stay."""
    if text.isprintable():
        return text
    return "".join(_escaped(c) if unicodedata.category(c) in HIDDEN and c not in "\n\t" else c for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def html(text: object) -> Markup:
    """The same for a page, brackets and quotes included; what is a piece of a page already stays."""
    return text if isinstance(text, Markup) else escape(plain(str(text)))


def for_page(value: Any) -> Any:
    """What a template's value becomes before the template escapes it."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


class PlainConsole(Console):
    """A console of rich that reads no markup in texts and lets no control character through."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        # here, because every text passes by, in whatever table it stands, before rich adds its own control characters
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        raise


def console(*, stderr: bool = False, soft_wrap: bool = False) -> Console:
    """A console for foreign texts, of a width that something fits into."""
    made = PlainConsole(stderr=stderr, soft_wrap=soft_wrap, markup=False, emoji=False, highlight=False)
    made.width = min(max(made.width or USUAL, NARROWEST), WIDEST)
    return made
