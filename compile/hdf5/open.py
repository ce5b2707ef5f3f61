"""Opens HDF5 files of strangers: read whole, within limits, and looked over before the HDF5 library may allocate."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from seamount.errors import InputError

from .heap import heap_damage

MAX_FILE_BYTES = 1 << 30
MAX_VALUES_BYTES = 1 << 30
MIN_VALUES_BYTES = 1 << 27
"""Of all arrays of a file together, unpacked: 100 times the file's size, within these bounds."""
TEXT_ENTRY = 16
"""Bytes of a text of variable length where it is referred to: its length, and where it lies."""

DAMAGE = (
    OSError,
    LookupError,
    ValueError,
    TypeError,
    RuntimeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
)
"""h5py raises all of these on damaged files."""


def file_bytes(path: Path) -> bytes:
    """The whole file, no larger than MAX_FILE_BYTES, so that it cannot change while it is read."""
    try:
        length = path.stat().st_size
        if not path.is_file():
            raise InputError("not a file", where=path)
        if length > MAX_FILE_BYTES:
            raise InputError(f"{length} bytes", where=path, possible=f"the reader takes up to {MAX_FILE_BYTES}")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        told = getattr(error, "strerror", None) or first_line(error)
        raise InputError(f"cannot be read ({told})", where=path) from None


def opened(content: bytes, where: object = "") -> h5py.File:
    """The HDF5 file that these bytes are; ``where`` names it in messages.

    Raises:
        InputError: its heaps of texts are damaged. Any other damage: one of DAMAGE, here or when values are read.
    """
    damage = heap_damage(content, len(content))
    if damage is not None:
        raise InputError(damage, where=where)
    return h5py.File(h5py.h5f.open_file_image(content))


def values_limit(content: bytes) -> int:
    """Bytes that all values of a file may take, unpacked: a small file cannot fill the memory."""
    return min(MAX_VALUES_BYTES, max(MIN_VALUES_BYTES, 100 * len(content)))


def stored_elsewhere(item: h5py.Dataset) -> bool:
    """True where the values lie in other files, which are never followed."""
    return bool(item.is_virtual or item.external)


def text_fits(item: h5py.Dataset, content: bytes) -> bool:
    """False where a text of ``item`` claims to be longer than the file: HDF5 would take that much memory first."""
    if item.dtype.kind != "O" or item.size == 0:
        return True
    plist = item.id.get_create_plist()
    if plist.get_layout() == h5py.h5d.CONTIGUOUS:
        blocks = [(item.id.get_offset(), item.size)]
    elif plist.get_layout() == h5py.h5d.CHUNKED and plist.get_nfilters() == 0:
        infos = [item.id.get_chunk_info(i) for i in range(item.id.get_num_chunks())]
        blocks = [(info.byte_offset, info.size // TEXT_ENTRY) for info in infos]
    else:  # the lengths are packed, so that they cannot be looked at without HDF5
        return False
    for offset, n in blocks:
        if offset is None or offset + n * TEXT_ENTRY > len(content):
            return offset is None  # never written: all texts are empty
        lengths = np.frombuffer(content, "<u4", n * (TEXT_ENTRY // 4), offset)[:: TEXT_ENTRY // 4]
        if int(lengths.astype(np.int64).sum()) > 4 * len(content):
            return False
    return True


def first_line(error: Exception) -> str:
    """What h5py said, short: its messages run on over many lines."""
    return str(error).split("\n")[0][:160]
