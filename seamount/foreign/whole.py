"""A foreign file as bytes: a regular one, of a size that may be read; packed ones no further than a limit."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from seamount.errors import InputError

from .limits import Limit


def regular(path: Path, limit: Limit) -> int:
    """The size of a regular file within the limit.

    Raises:
        InputError: nothing there, or a folder, a pipe, a device; larger than the limit.
    """
    try:
        length = path.stat().st_size
        if not path.is_file():
            raise InputError("not a file", where=path)
    except FileNotFoundError:
        raise InputError("no such file", where=path) from None
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    limit.check(length, path)
    return length


def file_bytes(path: Path, limit: Limit) -> bytes:
    """The whole file, so that it cannot change while it is looked at."""
    regular(path, limit)
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None


def gunzipped(path: Path, limit: Limit) -> bytes:
    """What a .gz file holds, no further than the limit."""
    regular(path, limit)
    try:
        with gzip.open(path) as file:
            content = file.read(limit.value + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"damaged gzip file ({error})", where=path, ways_out="fetch it again") from None
    limit.check(len(content), path, f"more than {limit.value} bytes when it is unpacked")
    return content


def unreadable(path: Path, error: Exception) -> InputError:
    told = getattr(error, "strerror", None) or first_line(error)  # a name with a zero byte is a ValueError
    return InputError(f"cannot be read ({told})", where=path)


def first_line(error: BaseException) -> str:
    """What a library said, short: the messages of HDF5 and torch run on over many lines."""
    return str(error).split("\n")[0][:160]
