""".npz and .npy files: what they announce is compared with what they hold before an array is made of it."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from seamount.errors import InputError

from .limits import DATA_BYTES, Limit
from .whole import first_line, regular, unreadable

DAMAGE = (
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,  # zipfile's of members that need a password; NotImplementedError and RecursionError are such, too
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""zipfile and numpy raise all of these on damaged files."""

PACKED_AS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What numpy writes; others unpack to more than their tables say, or not at all."""


def read_npz(path: Path, limit: Limit = DATA_BYTES) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz file by name; members that are no arrays are left out.

    Raises:
        InputError: not such a file, damaged, a name twice, objects (which would be unpickled), or more bytes than the
            limit when it is unpacked.
    """
    regular(path, limit)
    with explained(path, "not a readable .npz file"), zipfile.ZipFile(path) as archive:
        members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
        n_bytes = sum(m.file_size for m in members)
        limit.check(n_bytes, path, f"{n_bytes} bytes when it is unpacked")
        arrays: dict[str, NDArray[Any]] = {}
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name in arrays:
                raise InputError(f"holds {name} twice", where=path)
            if member.compress_type not in PACKED_AS:
                raise InputError(
                    f"{name} is packed as kind {member.compress_type}, numpy packs as 0 or 8", where=path
                )
            with archive.open(member) as file:
                _check_announced(file, member.file_size, name, path)
            with archive.open(member) as file:
                arrays[name] = npy.read_array(file, allow_pickle=False)
        return arrays


def read_npy(path: Path, limit: Limit = DATA_BYTES, *, mapped: bool = False) -> NDArray[Any]:
    """The array of a .npy file; ``mapped`` reads it from disk when it is used, whatever its size."""
    if not mapped:
        regular(path, limit)
    with explained(path, "not a readable .npy file"):
        with path.open("rb") as file:
            _check_announced(file, path.stat().st_size, "the array", path)
        found: NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        return found


@contextmanager
def explained(path: Path, what: str) -> Iterator[None]:
    """Turns whatever the libraries raise for a damaged file into an ``InputError`` that names it."""
    try:
        yield
    except FileNotFoundError:
        raise InputError("no such file", where=path) from None
    except OSError as error:
        raise unreadable(path, error) from None
    except DAMAGE as error:
        raise InputError(f"{what} ({first_line(error) or type(error).__name__})", where=path) from None


def _check_announced(file: IO[bytes], size: int, name: str, path: Path) -> None:
    """Refuses a head that says more than ``size`` bytes hold, before numpy takes memory for it."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):  # 3.0 names fields of structures beyond Latin letters
        raise InputError(f"{name} is of version {version} of .npy, 1.0 and 2.0 are read", where=path)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise InputError(f"{name} holds objects, numbers are needed: what could run code is never read", where=path)
    n_bytes = float(np.prod([float(n) for n in shape])) * dtype.itemsize  # in floats: whole numbers would overflow
    if min(shape, default=0) < 0 or n_bytes > size - file.tell():
        raise InputError(
            f"{name} announces shape {shape} of {dtype}, the file has {size} bytes of it; it is damaged", where=path
        )
