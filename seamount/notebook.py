"""What a notebook shows of a result: a card below the cell, a table as pandas' DataFrame, axes of matplotlib.

Both libraries are optional and imported when something is asked of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from .errors import BackendMissing, InputError, none_of
from .shown import html, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

INSTALL = "pip install 'seamount[notebook]'"

STYLE = Markup(
    "<style>.seamount { max-width: 60rem; line-height: 1.45; }"
    ".seamount table { border-collapse: collapse; margin: .5rem 0 0; }"
    ".seamount th, .seamount td { text-align: left; padding: .15rem .8rem .15rem 0; vertical-align: top; }"
    ".seamount th { font-weight: 600; white-space: nowrap; }"
    ".seamount td:not(:last-child) { white-space: nowrap; }"
    ".seamount small { opacity: .75; }</style>"
)
"""No colours: a notebook may be light or dark, and pages that show notebooks take the style away."""


def line(kind: str, name: str, facts: Iterable[str]) -> str:
    """The short ``repr`` of a result: <Program net: 2 populations, 14 neurons>."""
    return f"<{kind} {plain(name)}: {', '.join(plain(fact) for fact in facts)}>"


def card(title: str, facts: str, *tables: Iterable[Sequence[object]]) -> str:
    """A title, a line of facts and rows; the first cell of a row is its head."""
    parts = [Markup("<strong>{}</strong><br><small>{}</small>").format(html(title), html(facts))]
    for rows in tables:
        parts.append(Markup("<table>{}</table>").format(Markup("").join(_row(row) for row in rows)))
    return Markup('<div class="seamount">{}{}</div>').format(STYLE, Markup("").join(parts))


def _row(cells: Sequence[object]) -> Markup:
    first, *others = (html(cell) for cell in cells)
    told = Markup("").join(Markup("<td>{}</td>").format(cell) for cell in others)
    return Markup("<tr><th>{}</th>{}</tr>").format(first, told)


def headed(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Rows for a card, below the names of their columns."""
    return [list(rows[0]), *([_told(value) for value in row.values()] for row in rows)] if rows else []


def _told(value: Any) -> str:
    match value:
        case None:
            return "\N{EM DASH}"
        case float():
            return f"{value:,.4g}"
        case tuple():
            return ", ".join(map(str, value))
        case _:
            return str(value)


def frame(rows: Iterable[Mapping[str, Any]], units: Mapping[str, str] | None = None) -> DataFrame:
    """Rows as a DataFrame; what is not known is None there. ``units`` of columns go into its ``attrs["units"]``."""
    try:
        import pandas
    except ImportError:
        where, found = "table()", "pandas is not installed"
        raise BackendMissing(found, where=where, ways_out=INSTALL) from None
    made = pandas.DataFrame(list(rows))
    made.attrs["units"] = dict(units or {})
    return made


def axes(given: Axes | None = None) -> Axes:
    """The axes that were given, or those of a new figure."""
    if given is not None:
        return given
    try:
        from matplotlib import pyplot
    except ImportError:
        where, found = "plot()", "matplotlib is not installed"
        raise BackendMissing(found, where=where, ways_out=INSTALL) from None
    made: Axes = pyplot.subplots(figsize=(6.4, 3.4), layout="constrained")[1]
    return made


def chosen(what: str, known: Iterable[str], where: str) -> str:
    """``what``, refused if it is none of ``known``."""
    if what not in (names := tuple(known)):
        raise InputError(none_of(what, names), where=where)
    return what
