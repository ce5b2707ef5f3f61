"""TOML: configurations and targets."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from seamount.errors import InputError

from .whole import first_line

DEPTH = 32
"""Tables and lists within each other that a document may have; those of the project have four."""

JOINED = re.compile(
    r"""(?:(?:(?<![A-Za-z0-9_-])[A-Za-z0-9_-]++|(?<!\\)"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+)"""
    f"{{{DEPTH}}}"
)
"""A key of so many names with a dot behind each. Nothing in it is tried twice, so that it takes one walk."""


def parse_toml(content: bytes | str, where: object) -> dict[str, Any]:
    """The document.

    Raises:
        InputError: not TOML, or nested too deeply to be meant.
    """
    too_deep = InputError("not TOML: nested too deeply", where=where, possible=f"possible are {DEPTH} levels")
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        # tomllib reads dotted keys in a loop and keeps all their beginnings: 100 kB take 10 GB; and a.a.a... comes
        # back as tables that nobody can walk through
        if JOINED.search(text):
            raise too_deep
        document = tomllib.loads(text)
    except RecursionError:
        raise too_deep from None
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are such; so are numbers of 5,000 digits
        raise InputError(f"not TOML: {first_line(error)}", where=where) from None
    if _deeper_than(DEPTH, document):  # lists in tables in lists
        raise too_deep
    return document


def _deeper_than(depth: int, document: dict[str, Any]) -> bool:
    level: list[Any] = [document]
    for _ in range(depth):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return bool(level)
