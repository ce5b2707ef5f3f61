"""AEDAT 4 recordings (iniVation's DV), read with every length checked: a damaged file is refused, whatever it holds.

Not left to the package ``aedat``: its decoder (2.3.0) aborts the whole process at some damaged files.

A file: the line ``#!AER-DAT4.0``; the length (int32) of a header and the header, a flatbuffer; packets, each of a
stream's number and a length (int32 both) and so many bytes, compressed as the header says; a table of the packets,
which is not needed here. A packet of events, decompressed: its length (uint32) and a flatbuffer, which holds a vector
of events of 16 bytes: time (int64, microseconds), x, y (int16), polarity (bool).
Source: iniVation, "AEDAT 4.0" and the schemas of dv-runtime (IOHeader.fbs, events.fbs); flatbuffers' "Internals".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from seamount.errors import BackendMissing, InputError
from seamount.foreign.limits import NETWORK_BYTES
from seamount.foreign.whole import file_bytes

MAGIC = b"#!AER-DAT4.0\r\n"

LARGEST = 1 << 28
"""Bytes of a packet, decompressed: 16 million events; DV writes some 10 ms into one."""

EVENT = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1"), ("unused", "V3")])

Decompress = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Stream:
    """The events' part of a header."""

    number: int
    width: int
    height: int


def read_aedat4(path: Path) -> NDArray[np.void]:
    """The events of the first stream that has any, as ``EVENT``.

    Raises:
        InputError: not such a file, cut off, or of lengths and places that cannot be.
        BackendMissing: the package that decompresses it is not installed.
    """
    raw = file_bytes(path, NETWORK_BYTES)
    if not raw.startswith(MAGIC):
        raise InputError(f"not an AEDAT 4 file, starts with {raw[: len(MAGIC)]!r}")
    (size,) = _unpack("<i", raw, len(MAGIC), "the header's length")
    first = len(MAGIC) + 4 + size
    if size < 8 or first > len(raw):
        raise InputError(f"a header of {size} bytes in a file of {len(raw)}; it is cut off or damaged")
    compression, table, description = _header(raw[len(MAGIC) + 4 : first])
    if not (table == -1 or first <= table <= len(raw)):
        raise InputError(
            f"the table of packets is to be at byte {table} of {len(raw)}; the file is cut off or damaged"
        )
    stream = _stream(description)
    decompress = _decompressor(compression)
    parts, n_bytes = [], 0
    for number, at, packet in _packets(raw, first, len(raw) if table == -1 else table):
        if number == stream.number:
            unpacked = decompress(packet)
            n_bytes += len(unpacked)
            NETWORK_BYTES.check(n_bytes, "", f"{n_bytes} bytes of events and more when it is unpacked")
            parts.append(_events(unpacked, at))
    found = np.concatenate(parts) if parts else np.empty(0, EVENT)
    x, y = found["x"], found["y"]
    outside = (x < 0) | (x >= stream.width) | (y < 0) | (y >= stream.height) | (found["p"] > 1)
    if outside.any():
        k = int(np.argmax(outside))
        raise InputError(
            f"event {k} is x {x[k]}, y {y[k]}, polarity {found['p'][k]}; the header says "
            f"{stream.width} x {stream.height} pixels"
        )
    return found


def _packets(raw: bytes, at: int, end: int) -> Iterator[tuple[int, int, bytes]]:
    """Stream, place and bytes of every packet."""
    while at < end:
        number, size = _unpack("<ii", raw, at, "a packet's head")
        if size < 0 or at + 8 + size > end:
            raise InputError(
                f"the packet at byte {at} is to have {size} bytes, {end - at - 8} are left; it is cut off"
            )
        yield number, at, raw[at + 8 : at + 8 + size]
        at += 8 + size


def _events(packet: bytes, place: int) -> NDArray[np.void]:
    what = f"the packet at byte {place}"
    (size,) = _unpack("<I", packet, 0, what)
    if size + 4 != len(packet):
        raise InputError(f"{what} holds {len(packet)} bytes and says {size + 4}; it is damaged")
    table = Table(packet, 4, b"EVTS", what)
    at = table.target(0)
    if at is None:
        return np.empty(0, EVENT)
    (n,) = _unpack("<I", packet, at, what)
    if at + 4 + n * EVENT.itemsize > len(packet):
        raise InputError(f"{what} is to have {n} events, but only {len(packet)} bytes; it is damaged")
    return np.frombuffer(packet, EVENT, n, at + 4)


def _header(raw: bytes) -> tuple[int, int, str]:
    """Compression, place of the table of packets (-1: none), description of the streams."""
    table = Table(raw, 0, b"IOHE", "the header")
    compression, place, text = table.number(0, "<i", 0), table.number(1, "<q", -1), table.target(2)
    if text is None:
        raise InputError("the header describes no streams; it is damaged")
    (n,) = _unpack("<I", raw, text, "the header")
    if text + 4 + n > len(raw):
        raise InputError(f"the header's description is to have {n} bytes; it is damaged")
    return compression, place, raw[text + 4 : text + 4 + n].decode("utf-8", "replace")


def _stream(description: str) -> Stream:
    """The stream of events of the lowest number, of those that the header's XML describes."""
    try:
        if "<!" in description:  # no recorder writes declarations, and they can make a parser run for ever
            raise ValueError("it holds declarations")
        root = ElementTree.fromstring(description)
        streams = []
        for node in root.iterfind(".//node[@name='outInfo']/node"):
            kinds = [a.text for a in node.iterfind("attr[@key='typeIdentifier']")]
            if kinds == ["EVTS"]:
                info = {a.get("key"): a.text or "" for a in node.iterfind("node[@name='info']/attr")}
                streams.append(Stream(int(node.get("name", "")), int(info["sizeX"]), int(info["sizeY"])))
    except (ElementTree.ParseError, ValueError, KeyError) as error:
        raise InputError(f"the header's description of the streams cannot be read ({error}); it is damaged") from None
    if not streams:
        raise InputError("no stream of events in it")
    return min(streams, key=lambda s: s.number)


def _decompressor(compression: int) -> Decompress:
    match compression:
        case 0:
            return lambda packet: packet
        case 1 | 2:
            frame = _package("lz4.frame", "lz4")
            return lambda packet: _inflated(frame.LZ4FrameDecompressor().decompress, packet, "LZ4")
        case 3 | 4:
            zstandard = _package("zstandard", "zstandard")

            def read(packet: bytes, size: int) -> Any:
                return zstandard.ZstdDecompressor().stream_reader(packet).read(size)

            return lambda packet: _inflated(read, packet, "Zstandard")
        case _:
            raise InputError(f"compression {compression}; known are 0 to 4 (none, LZ4, Zstandard); it is damaged")


def _inflated(read: Callable[[bytes, int], Any], packet: bytes, kind: str) -> bytes:
    try:
        inflated = bytes(read(packet, LARGEST + 1))
    except Exception as error:  # each package has its own
        raise InputError(f"a packet is no {kind} ({error}); it is damaged") from None
    if len(inflated) > LARGEST:
        raise InputError(f"a packet of more than {LARGEST >> 20} MiB; it is damaged")
    return inflated


def _package(module: str, name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        raise BackendMissing(f".aedat4 files packed like this one need {name}; pip install {name}") from None


def _unpack(kind: str, raw: bytes, at: int, what: str) -> tuple[Any, ...]:
    if at < 0 or at + struct.calcsize(kind) > len(raw):
        raise InputError(f"{what} ends at byte {len(raw)}, byte {at} is needed; it is cut off or damaged")
    return struct.unpack_from(kind, raw, at)


class Table:
    """The root table of a flatbuffer that begins at ``start``: fields are found through a table of their places."""

    def __init__(self, raw: bytes, start: int, kind: bytes, what: str) -> None:
        self.raw, self.what = raw, what
        (root,) = _unpack("<I", raw, start, what)
        if raw[start + 4 : start + 8] != kind:
            raise InputError(f"{what} is {raw[start + 4 : start + 8]!r} instead of {kind!r}; it is damaged")
        self.at = start + root
        (back,) = _unpack("<i", raw, self.at, what)
        self.places = self.at - back
        (self.size,) = _unpack("<H", raw, self.places, what)

    def place(self, field: int) -> int | None:
        """Where a field is; None: it has its default."""
        if 4 + 2 * field + 2 > self.size:
            return None
        (offset,) = _unpack("<H", self.raw, self.places + 4 + 2 * field, self.what)
        return self.at + offset if offset else None

    def number(self, field: int, kind: str, default: int) -> int:
        at = self.place(field)
        return default if at is None else int(_unpack(kind, self.raw, at, self.what)[0])

    def target(self, field: int) -> int | None:
        """Where the vector or text lies that a field points at."""
        at = self.place(field)
        return None if at is None else at + int(_unpack("<I", self.raw, at, self.what)[0])
