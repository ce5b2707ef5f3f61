"""Opens HDF5 files: looked over from end to end before the HDF5 library may follow a link or take memory for values.

Every reader gets a file in which groups form a tree, nothing lies outside of the file, and all values together are no
more than the limit; so none of them can forget a rule.
"""

from __future__ import annotations

import math
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from seamount.errors import InputError, Reason

from .heap import heap_damage
from .limits import DATA_BYTES, NETWORK_BYTES, Limit
from .whole import first_line, regular

MAX_OBJECTS = 1 << 18
"""Groups and datasets of a file: 20,000 nodes with a dozen of them each."""

MAX_DEPTH = 40
"""Groups in groups: two for each of the NIR reader's levels of subgraphs, and some around them."""

MAX_LINK_NAME = 1024
"""Characters of a name in a file."""

LEAST_BYTES = 1 << 27
"""Where no limit is set, a network or program may unpack to 100 times its size, and any to this."""

LARGE_CHUNK = 1 << 24
"""Bytes; h5py makes chunks of at most 1 MiB, which may be more than a short dataset has."""

MOST_COMPRESSION = 1100
"""Deflate reaches 1032; a dataset that stores less than its size says is damaged, or a trap."""

TEXT_ENTRY = 16
"""Bytes of a value of variable length where it is referred to: its length, and where it lies."""

SHOWN = 20
"""Problems that are named before the rest is counted."""

DEFLATE, SHUFFLE = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE
FILTERS = {
    DEFLATE: "deflate",
    SHUFFLE: "shuffle",
    h5py.h5z.FILTER_FLETCHER32: "fletcher32",
    h5py.h5z.FILTER_SZIP: "szip",
    h5py.h5z.FILTER_NBIT: "nbit",
    h5py.h5z.FILTER_SCALEOFFSET: "scaleoffset",
    h5py.h5z.FILTER_LZF: "lzf",
}
"""Those of HDF5 and h5py themselves: another would be looked for in plug-ins, which are code."""

LINKS = {h5py.h5l.TYPE_SOFT: "SoftLink", h5py.h5l.TYPE_EXTERNAL: "ExternalLink"}

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

Content = bytes | mmap


def opened(content: bytes, where: object) -> h5py.File:
    """The network or program that these bytes are; ``where`` names the file in messages.

    Raises:
        InputError: it breaks a rule of this file. Damage: one of DAMAGE, here or when values are read.
    """
    _check_heaps(content, where)
    file = h5py.File(h5py.h5f.open_file_image(content))
    limit = NETWORK_BYTES.value
    budget = limit if NETWORK_BYTES.is_set else min(limit, max(LEAST_BYTES, 100 * len(content)))
    # 8 bytes a value: what networks and programs hold becomes int64 and float64
    _Check(content, budget, NETWORK_BYTES, value_bytes=8).whole(file, where)
    return file


@contextmanager
def opened_data(path: Path) -> Iterator[h5py.File]:
    """A file of samples, which is not read whole.

    Raises:
        InputError: none that can be read, or one that breaks a rule of this file.
    """
    regular(path, DATA_BYTES)
    try:
        with (
            path.open("rb") as raw,
            mmap(raw.fileno(), 0, access=ACCESS_READ) as content,
            h5py.File(path, "r") as file,
        ):
            _check_heaps(content, path)
            _Check(content, DATA_BYTES.value, DATA_BYTES, value_bytes=1).whole(file, path)
            yield file
    except DAMAGE as error:
        raise InputError(
            f"not a readable HDF5 file ({first_line(error)})", where=path, ways_out="write or fetch it again"
        ) from None


def _check_heaps(content: Content, where: object) -> None:
    damage = heap_damage(content, len(content))
    if damage is not None:
        raise InputError(damage, where=where)


class _Stored:
    """A dataset as h5py's inner functions tell of it; its outer ones ask HDF5 again at every turn."""

    def __init__(self, item: Any) -> None:
        self.id = item
        self.plist = item.get_create_plist()
        self.layout = self.plist.get_layout()
        self.chunks = self.plist.get_chunk() if self.layout == h5py.h5d.CHUNKED else None
        kind = item.get_type()
        self.dtype, self.stored_bytes, self.shape = kind.dtype, kind.get_size(), item.shape


@dataclass
class _Check:
    """Goes through a file once.

    Attributes:
        bytes_left: what the datasets not yet seen may take.
        value_bytes: at least so many for each value.
    """

    content: Content
    bytes_left: float
    limit: Limit
    value_bytes: int
    problems: list[Reason] = field(default_factory=list)
    n_objects: int = 0

    def whole(self, file: h5py.File, where: object) -> None:
        """Refuses the file with everything that is wrong with it; closed then."""
        try:
            self._groups(file)
        except BaseException:
            file.close()
            raise
        if self.problems:
            file.close()
            more = len(self.problems) - SHOWN
            told = sorted(self.problems, key=lambda r: r.where)[:SHOWN] + (
                [Reason(f"and {more} more")] if more > 0 else []
            )
            raise InputError.together(reason.inside(str(where)) for reason in told)

    def _groups(self, file: h5py.File) -> None:
        root = h5py.h5g.open(file.id, b"/")
        known = {h5py.h5o.get_info(root).addr: "/"}
        waiting = deque([(root, "", 0)])
        while waiting and self.n_objects <= MAX_OBJECTS and len(self.problems) <= 5 * SHOWN:
            group, path, depth = waiting.popleft()
            if depth > MAX_DEPTH:
                self._refuse(path, f"groups more than {MAX_DEPTH} deep")
                continue
            self.n_objects += len(group)
            if self.n_objects > MAX_OBJECTS:
                self._refuse(path or "/", f"more than {MAX_OBJECTS} groups and datasets")
                return
            for name in group:
                where = f"{path}/{name.decode(errors='backslashreplace')}"
                item = self._linked(group, name, where)
                if not isinstance(item, h5py.h5g.GroupID):
                    continue
                # a group with two names makes paths without number out of few objects; datasets may have several,
                # because they end a path, and their bytes count each time
                address = h5py.h5o.get_info(item).addr
                if address in known:
                    self._refuse(where, f"the same group as {known[address]}; a graph must not contain itself")
                    continue
                known[address] = where
                waiting.append((item, where, depth + 1))

    def _linked(self, group: Any, name: bytes, where: str) -> Any:
        """What a link leads to, looked at; None where it must not be followed."""
        if len(name) > MAX_LINK_NAME:
            self._refuse(where[:40], f"a name of {len(name)} bytes, up to {MAX_LINK_NAME} are read")
            return None
        kind = group.links.get_info(name).type
        if kind != h5py.h5l.TYPE_HARD:
            self._refuse(where, f"a {LINKS.get(kind, 'link of another kind')}; only data inside of the file is read")
            return None
        item = h5py.h5o.open(group, name)
        if isinstance(item, h5py.h5d.DatasetID):
            self._dataset(_Stored(item), where)
        return item

    def _dataset(self, item: _Stored, where: str) -> None:
        if item.layout == h5py.h5d.VIRTUAL or item.plist.get_external_count() > 0:
            self._refuse(where, "its data lie outside of the file")
        elif item.shape is None:
            return
        elif item.dtype.hasobject and not _is_variable(item):
            self._refuse(where, f"values of type {item.dtype} that refer to others; needed are numbers or text")
        elif (problem := _filters(item) or self._size(item)) is not None:
            self._refuse(where, problem)

    def _size(self, item: _Stored) -> str | None:
        """Takes what the values need from the bytes that are left, and says what is wrong with them."""
        stored = item.stored_bytes
        # in floats, because the sizes that a damaged file claims overflow integers
        n_values = math.prod(map(float, item.shape))
        n_bytes = n_values * stored
        chunk = math.prod(map(float, item.chunks)) * stored if item.chunks else 0.0
        if chunk > max(n_bytes, LARGE_CHUNK):
            return f"chunks of {chunk:.0f} bytes for a dataset of {n_bytes:.0f}"
        needed = n_values * max(stored, self.value_bytes) + chunk
        if needed <= self.bytes_left and _is_variable(item):
            lengths = _lengths(item, self.content)
            if lengths is None:
                return "texts or rows of variable length, stored so that their lengths cannot be checked"
            n_bytes_each = 1 if h5py.check_string_dtype(item.dtype) else h5py.check_vlen_dtype(item.dtype).itemsize
            needed += float(lengths.sum()) * n_bytes_each
            if float(lengths.sum()) * n_bytes_each > 4 * len(self.content):
                return "texts that are longer than the file"
        if needed > self.bytes_left:
            found = f"shape {item.shape} needs {needed:.0f} bytes, left are {self.bytes_left:.0f}"
            return f"{found}; {self.limit.way_out}"
        if n_bytes > LARGE_CHUNK and item.id.get_storage_size() * MOST_COMPRESSION < n_bytes:
            return f"{n_bytes:.0f} bytes announced, but they are not in the file"
        self.bytes_left -= needed
        return None

    def _refuse(self, where: str, found: str) -> None:
        self.problems.append(Reason(found, where=where))


def _is_variable(item: _Stored) -> bool:
    """Whether its values are texts, or rows of numbers, of variable length."""
    rows = h5py.check_vlen_dtype(item.dtype)
    is_text = h5py.check_string_dtype(item.dtype) is not None
    return item.dtype.kind == "O" and (is_text or (rows is not None and not np.dtype(rows).hasobject))


def _filters(item: _Stored) -> str | None:
    """What is wrong with how the values are packed."""
    plist = item.plist
    found = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    unknown = [f"filter {number}" for number in found if number not in FILTERS]
    if unknown:
        return f"packed by {', '.join(unknown)}; known are {', '.join(FILTERS.values())}"
    if len(set(found)) < len(found):  # packed twice, a few bytes become gigabytes
        return f"packed twice by {', '.join(name for number, name in FILTERS.items() if found.count(number) > 1)}"
    return None


def _lengths(item: _Stored, content: Content) -> NDArray[np.int64] | None:
    """What the values of variable length claim to be long, before HDF5 takes so much memory; None: not to be seen."""
    plist, size = item.plist, math.prod(item.shape)
    if size == 0:
        return np.zeros(0, np.int64)
    if item.layout == h5py.h5d.CONTIGUOUS:
        offset = item.id.get_offset()
        if offset is None:  # never written: all are empty
            return np.zeros(0, np.int64)
        return _claimed(content[offset : offset + size * TEXT_ENTRY], size)
    if item.layout != h5py.h5d.CHUNKED:
        return None
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if not set(filters) <= {DEFLATE, SHUFFLE}:
        return None
    chunks: list[Any] = []
    item.id.chunk_iter(chunks.append)
    n_entries = math.prod(item.chunks or ())
    found = []
    for chunk in chunks:
        raw = bytes(content[chunk.byte_offset : chunk.byte_offset + chunk.size])
        lengths = _claimed(_unpacked(raw, filters, chunk.filter_mask, n_entries * TEXT_ENTRY), n_entries)
        if lengths is None:
            return None
        found.append(lengths)
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _claimed(raw: bytes, n: int) -> NDArray[np.int64] | None:
    if len(raw) != n * TEXT_ENTRY:
        return None
    return np.frombuffer(raw, "<u4")[:: TEXT_ENTRY // 4].astype(np.int64)


def _unpacked(raw: bytes, filters: list[int], mask: int, size: int) -> bytes:
    """A chunk of entries as it was before its filters, which are undone from the last; at most ``size`` bytes."""
    for place in reversed(range(len(filters))):
        if mask >> place & 1:  # this chunk went past the filter
            continue
        if filters[place] == DEFLATE:
            try:
                raw = zlib.decompressobj().decompress(raw, size)
            except zlib.error:
                return b""
        elif len(raw) == size:
            raw = np.frombuffer(raw, np.uint8).reshape(TEXT_ENTRY, -1).T.tobytes()
    return raw
