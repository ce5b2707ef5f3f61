"""What is shown goes through here: a function for terminals (see ``terminal.py``), pages, Markdown, figures, tables.

Names, titles and texts of foreign files may hold anything: commands to a terminal, markup, characters that reorder a
line. They are shown as what they are, letter by letter, and what cannot be shown is written as an escape.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from typing import Any

from markupsafe import Markup, escape

HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Categories of Unicode: control, format (also of direction), halves of pairs, separators of lines and paragraphs."""


BLANK = "\u115f\u1160\u2800\u3164\uffa0"
"""Fillers and an empty pattern: letters and signs to Unicode, of which nothing is seen."""

MARKS = 4
"""On one letter, at most: more of them climb over the lines around it, and no language writes them."""


def plain(text: str) -> str:
    """Text without a character that does something instead of being seen; lines and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    shown, marks = [], 0
    for c in text:
        kind = unicodedata.category(c)
        marks = marks + 1 if kind in ("Mn", "Me") else 0
        hidden = (kind in HIDDEN and c not in "\n\t") or c in BLANK or marks > MARKS
        shown.append(_escaped(c) if hidden else c)
    return "".join(shown)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


UNBROKEN = re.compile(r"(?<=\d) (?=[%×]|(?:pp|SOP|[fpnµmkMG]?[JWsB])\b)|(?<=\b[nT]) (?==)|(?<=\b[nT] =) (?=\d)")


def joined(words: str, by: str = "\N{NO-BREAK SPACE}") -> str:
    """No line breaks between a number and its unit, per cent or times sign, nor in n = 8 and T = 4."""
    return UNBROKEN.sub(by, words)


def folded(words: str, width: int, indent: str = "") -> list[str]:
    """Lines of ``width``, all but the first indented; a number stays with its unit, a name with its hyphens.

    A word that is longer, an address or a path, stays whole, so that it can be copied.
    """
    made = textwrap.wrap(
        joined(words), width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in made]


def html(text: object) -> Markup:
    """The same for a page, brackets and quotes included; what is a piece of a page already stays."""
    return text if isinstance(text, Markup) else escape(plain(str(text)))


FORMULA, NUMBER = re.compile(r"\s*[=+\-@]"), re.compile(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?")

IN_MARKDOWN = re.compile(r"[\\`*\[\]<>&|~]|(?<![^\W_])_|_(?![^\W_])")
"""What means something in a line of Markdown; "_" does at the ends of a word alone."""


def markdown(text: object) -> str:
    """The same for a line of Markdown as GitHub shows it: one line, in which nothing is markup or hides the rest."""
    line = " ".join(plain(str(text)).split())
    return IN_MARKDOWN.sub(lambda found: f"&#{ord(found[0])};", line)


def figure(text: object) -> str:
    """The same for matplotlib, which reads mathematics between dollars and takes names with a "_" for its own."""
    told = plain(str(text)).replace("$", r"\$")
    return f" {told}" if told.startswith("_") else told


def cell(text: object) -> str:
    """The same for a table as CSV, which a spreadsheet would compute where it begins as a formula; numbers stay."""
    told = plain(str(text))
    return f"'{told}" if FORMULA.match(told) and not NUMBER.fullmatch(told) else told


def for_page(value: Any) -> Any:
    """What a template's value becomes before the template escapes it."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
