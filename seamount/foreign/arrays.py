""".npz and .npy files: what they announce is compared with what they hold before an array is made of it."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Arrays(Mapping[str, NDArray[Any]]):
    """Arrays by name; each is read anew when it is asked for, so that what nobody asks for takes no memory.

    Attributes:
        read: the array of a name; raises InputError.
    """

    names: tuple[str, ...]
    read: Callable[[str], NDArray[Any]]

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self.names:
            raise KeyError(name)
        return self.read(name)

    def __contains__(self, name: object) -> bool:  # Mapping's own would read the array
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def read_npz(path: Path, limit: Limit = DATA_BYTES) -> Arrays:
    """The arrays of a .npz file; members that are no arrays are left out. All are looked at, none is unpacked.

    Raises:
        InputError: not such a file, damaged, a name twice, objects (which would be unpickled), or more bytes than the
            limit when it is unpacked.
    """
    regular(path, limit)
    with explained(path, "not a readable .npz file"):
        archive = zipfile.ZipFile(path)  # open as long as somebody may ask for an array of it
        found = [m for m in archive.infolist() if m.filename.endswith(".npy")]
        n_bytes = sum(m.file_size for m in found)
        limit.check(n_bytes, path, f"{n_bytes} bytes when it is unpacked")
        members: dict[str, zipfile.ZipInfo] = {}
        for member in found:
            name = member.filename.removesuffix(".npy")
            if name in members:
                raise InputError(f"holds {name} twice", where=path)
            _check_member(archive, member, path)
            members[name] = member
    return Arrays(tuple(members), lambda name: _unpacked(archive, members[name], path))


def _check_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    name = member.filename.removesuffix(".npy")
    if member.compress_type not in PACKED_AS:
        raise InputError(f"{name} is packed as kind {member.compress_type}, numpy packs as 0 or 8", where=path)
    with archive.open(member) as file:
        _check_announced(file, member.file_size, name, path)


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> NDArray[Any]:
    with explained(path, "not a readable .npz file"):
        _check_member(archive, member, path)  # once more, because the file may have been written to since
        with archive.open(member) as file:
            array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
            return array


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
