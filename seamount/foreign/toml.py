"""TOML: configurations and targets."""

from __future__ import annotations

import tomllib
from typing import Any

from seamount.errors import InputError

from .whole import first_line


def parse_toml(content: bytes | str, where: object) -> dict[str, Any]:
    """The document.

    Raises:
        InputError: not TOML, or nested too deeply to be meant.
    """
    try:
        return tomllib.loads(content.decode("utf-8-sig") if isinstance(content, bytes) else content)
    except RecursionError:
        raise InputError("not TOML: nested too deeply", where=where) from None
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are such; so are numbers of 5,000 digits
        raise InputError(f"not TOML: {first_line(error)}", where=where) from None
