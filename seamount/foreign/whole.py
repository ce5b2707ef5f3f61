"""A foreign file as bytes: a regular one, of a size that may be read; packed ones no further than a limit."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from seamount.errors import InputError
from seamount.files import special

from .limits import Limit

LFS_POINTER = b"version https://git-lfs.github.com/spec/"

HDF5_START = b"\x89HDF\r\n\x1a\n"

STARTS = (
    (b"PK\x03\x04", "a zip archive", "unpack it; torch's .pt and numpy's .npz are such archives, too"),
    (b"\x1f\x8b", "a gzip archive", "unpack it"),
    (b"\x93NUMPY", "a numpy array", "give the network's file"),
    (b"\x80", "a pickle", "export the network to NIR first"),
)
"""First bytes of what is given in place of HDF5, its name, and what to do."""


def regular(path: Path, limit: Limit, *, filled: bool = True) -> int:
    """The size of a regular file within the limit.

    Args:
        filled: refuse an empty one, which only text may be.

    Raises:
        InputError: nothing there, or a folder, a pipe, a device; empty, or larger than the limit.
    """
    try:
        length = path.stat().st_size
        if not path.is_file():
            raise InputError(f"not a file but {special(path)}", where=path)
    except FileNotFoundError:
        raise InputError("no such file", where=path) from None
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    if filled and length == 0:
        raise InputError("an empty file", where=path, ways_out="was it written to the end? write or fetch it again")
    limit.check(length, path)
    return length


def file_bytes(path: Path, limit: Limit, *, filled: bool = True) -> bytes:
    """The whole file, so that it cannot change while it is looked at."""
    regular(path, limit, filled=filled)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None
    if content.startswith(LFS_POINTER):
        told = "a Git LFS pointer, which stands for a file that was not fetched"
        raise InputError(told, where=path, ways_out="run `git lfs pull` in its repository")
    return content


def not_hdf5(content: bytes, path: Path, needed: str) -> InputError:
    """What a file is that should be HDF5, as far as its first bytes tell.

    Args:
        needed: what the file is not, for the message ("so not a NIR file").
    """
    for start, kind, way in STARTS:
        if content.startswith(start):
            return InputError(f"{kind}, not an HDF5 file{needed}", where=path, ways_out=way)
    return InputError(f"not an HDF5 file{needed}", where=path)


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
