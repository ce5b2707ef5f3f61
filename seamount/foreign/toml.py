"""TOML: configurations and targets."""

from __future__ import annotations

import tomllib
from typing import Any

from seamount.errors import InputError

from .whole import first_line

DEPTH = 32
"""Tables and lists within each other that a document may have; those of the project have four."""


def parse_toml(content: bytes | str, where: object) -> dict[str, Any]:
    """The document.

    Raises:
        InputError: not TOML, or nested too deeply to be meant.
    """
    try:
        document = tomllib.loads(content.decode("utf-8-sig") if isinstance(content, bytes) else content)
    except RecursionError:
        raise InputError("not TOML: nested too deeply", where=where) from None
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are such; so are numbers of 5,000 digits
        raise InputError(f"not TOML: {first_line(error)}", where=where) from None
    # tomllib reads dotted keys in a loop: a.a.a... of any length comes back as tables that nobody can walk through
    if _deeper_than(DEPTH, document):
        raise InputError("not TOML: nested too deeply", where=where, possible=f"possible are {DEPTH} levels")
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
