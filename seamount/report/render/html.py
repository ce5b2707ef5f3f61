"""The report as one page: no network, no foreign script, light and dark, phone to wide screen, paper."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from seamount.errors import plural
from seamount.shown import for_page, html, joined

from ..parts.second_opinion import NOT_ASKED
from ..report import SECTIONS, Report
from ..schema import text
from ..schema.values import Missing, Quantity, Series
from . import charts, figures
from .glossary import GLOSSARY, linked

WORDS = {"ok": "passed", "neutral": "no verdict", "warning": "warning", "error": "failed", "unknown": "unknown"}


def render_html(report: Report) -> str:
    """The whole page; the same report gives the same bytes."""
    return page("page.html.j2", r=report, sections=SECTIONS, fingerprint=report.fingerprint()[:16])


def page(template: str, **context: Any) -> str:
    """A page in the report's dress."""
    style = Markup(_file("page.css"))
    whole = _environment().get_template(template).render(style=style, contours=charts.contours(), **context)
    head, end, body = whole.partition("</head>")
    return head + end + joined(body)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_file),
        autoescape=True,
        finalize=for_page,
        undefined=jinja2.StrictUndefined,  # a misspelt field is an error, not an empty cell
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "q": quantity,
        "num": number,
        "interval": spread,
        "si": text.si,
        "count": text.count,
        "plural": plural,
        "signed": text.signed,
        "shape": lambda shape: "×".join(str(n) for n in shape) or "1",
        "columns": columns,
        "linked": linked,
        "share": text.share,
    }
    environment.tests |= {
        "missing": lambda part: isinstance(part, Missing),
        "series": lambda p: isinstance(p, Series),
    }
    environment.globals |= {
        "figures": figures,
        "glossary": GLOSSARY,
        "symbols": text.SYMBOLS,
        "not_asked": NOT_ASKED,
        "words": WORDS,
        "spread": spread,
    }
    return environment


def _file(name: str) -> str:
    return (files(__package__) / "templates" / name).read_text(encoding="utf-8")


def columns(n: int) -> int:
    """Of a grid of ``n`` cards, at most 3: that none stands alone in the last row, where that can be."""
    if n < 3:
        return max(n, 1)
    return 2 if n % 3 == 1 and n % 2 == 0 else 3


def quantity(q: Quantity) -> Markup:
    """Number and unit; what is not known is a dash that says why."""
    return _told(q, text.quantity(q))


def number(q: Quantity) -> Markup:
    return _told(q, text.number(q))


def _told(q: Quantity, written: str) -> Markup:
    if q.value is None:
        return Markup('<span class="unknown" title="{0}">—<span class="sr"> unknown: {0}</span></span>').format(
            html(q.reason)
        )
    return Markup("{}").format(written)


def spread(q: Quantity) -> str:
    """The interval of a quantity, in its unit."""
    if q.low is None or q.high is None:
        return ""
    return f"{text.digits(float(q.low), 3)} to {text.digits(float(q.high), 3)} {q.unit}"
