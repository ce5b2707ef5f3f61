"""Prophesee's recordings: .dat, and .raw of EVT 2.0 and EVT 3.0, as columns x, y, t (microseconds), p.

Not left to expelliarmus (1.1.12): it takes any time of a DAT file that falls for one that ran over its 32 bits, looks
for a header's end for ever, reads EVT 2.1 as 2.0, and adds 4,096 microseconds wherever the low bits of an EVT 3.0
time fall, though the high bits were told before: its own sample, of 8,801 microseconds, lasts 53,857.
Source: Prophesee, "EVT 2.0 Format", "EVT 3.0 Format".
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.errors import InputError
from seamount.foreign.limits import DATA_BYTES, NETWORK_BYTES
from seamount.foreign.whole import file_bytes

Ints = NDArray[np.int64]
Columns = tuple[Ints, Ints, Ints, Ints]

HEADER = re.compile(rb"(?=% )(?:%(?: (?!end\b)[^\n]*)?\n)+(?:% end\r?\n)?|% end\r?\n")
"""Lines of "%" and a blank, up to "% end" where that is told: what follows may begin with any byte, "%" too."""

VERSION = re.compile(rb"^% *(?:evt +|format +evt)([\d.]+)", re.IGNORECASE | re.MULTILINE)
"""In a header's line; files without one are of EVT 2.0."""

# words of EVT 2.0
OFF, ON, TIME = 0, 1, 8
KINDS_2 = (OFF, ON, TIME, 10, 14, 15)
"""The last three are triggers and what is a vendor's own."""

# words of EVT 3.0
ROW, COLUMN, BASE, VECTOR_12, VECTOR_8, LOW, HIGH = 0, 2, 3, 4, 5, 6, 8
KINDS_3 = (ROW, COLUMN, BASE, VECTOR_12, VECTOR_8, LOW, 7, HIGH, 10, 14, 15)


def read_dat(path: Path) -> Columns:
    """Type and size of an event, then for each its time and x, y (14 bits) and polarity in 32 bits."""
    _, body = _parts(path)
    if len(body) % 8 != 2 or body[1] != 8:
        raise InputError(f"{len(body)} bytes behind the header, not two and then 8 for each event; it is cut off")
    t, place = np.frombuffer(body, "<u4", offset=2).reshape(-1, 2).T.astype(np.int64)
    over = np.diff(t, prepend=t[:1]) < -(1 << 31)
    return place & 0x3FFF, place >> 14 & 0x3FFF, t + (np.cumsum(over) << 32), place >> 28


def read_raw(path: Path) -> Columns:
    """Events of the version that the header tells."""
    head, body = _parts(path)
    found = VERSION.search(head)
    version = found[1].decode() if found else "2"
    if version.removesuffix(".0") not in ("2", "3"):
        ways = "write it as EVT 2.0 or 3.0, or as .dat"
        raise InputError(f"a recording of EVT {version}", possible="2.0 and 3.0 are read", ways_out=ways)
    is_3 = version.startswith("3")
    if len(body) % (2 if is_3 else 4):
        raise InputError(f"{len(body)} bytes behind the header, not a whole number of words; it is cut off")
    return _evt3(np.frombuffer(body, "<u2")) if is_3 else _evt2(np.frombuffer(body, "<u4"))


def _parts(path: Path) -> tuple[bytes, bytes]:
    """The header and the rest."""
    raw = file_bytes(path, NETWORK_BYTES)
    head = HEADER.match(raw)
    if head is None:
        found = (
            "a header without an end"
            if raw.startswith(b"% ")
            else f"no Prophesee header, starts with {raw[:4].hex()}"
        )
        raise InputError(found)
    return head[0], raw[head.end() :]


def _evt2(words: NDArray[np.uint32]) -> Columns:
    """Each event is a word, with the lower 6 bits of its time; the higher are in words of their own."""
    kind = words >> 28
    _check_kinds(kind, KINDS_2, "2.0")
    events = np.flatnonzero((kind <= ON) & _told(kind == TIME))
    high = _latest(words & 0x0FFF_FFFF, kind == TIME, events)
    word = words[events].astype(np.int64)
    return word >> 11 & 0x7FF, word & 0x7FF, high << 6 | word >> 22 & 0x3F, word >> 28


def _evt3(words: NDArray[np.uint16]) -> Columns:
    """A word tells what changes: row, time (twice 12 bits), one column, or which of 12 or 8 from a base on."""
    kind, value = words >> 12, words & 0xFFF
    _check_kinds(kind, KINDS_3, "3.0")
    one, size = kind == COLUMN, np.array([0, 0, 0, 0, 12, 8, *[0] * 10])[kind]
    placed = _told(kind == ROW) & _told(kind == HIGH) & _told(kind == LOW)
    events = np.flatnonzero(placed & (one | (size > 0) & _told(kind == BASE)))
    covered = np.cumsum(size) - size  # columns of all vectors before
    base = _latest((value & 0x7FF) - covered, kind == BASE, events) + covered[events]
    bits = np.where(one, 1, np.where(kind == VECTOR_8, value & 0xFF, value))[events]
    told = np.unpackbits(bits.astype("<u2").view(np.uint8).reshape(-1, 2), axis=1, bitorder="little")
    DATA_BYTES.check(32 * int(told.sum()), "", f"{int(told.sum())} events of 32 bytes")
    at, bit = np.nonzero(told)
    one, low_11 = one[events][at], (value & 0x7FF).astype(np.int64)[events][at]
    sign = np.where(one, value[events][at] >> 11, _latest(value >> 11, kind == BASE, events)[at])
    x, y = np.where(one, low_11, base[at] + bit), _latest(value & 0x7FF, kind == ROW, events)[at]
    return x, y, _times(kind, value, events)[at], sign.astype(np.int64)


def _times(kind: NDArray[Any], value: NDArray[Any], events: NDArray[np.intp]) -> Ints:
    """Of these words; 24 bits run over after 17 seconds."""
    over = np.zeros(len(kind), np.int64)
    high = value[kind == HIGH].astype(np.int64)
    over[kind == HIGH] = np.diff(high, prepend=high[:1]) < -(1 << 11)
    loops = np.cumsum(over)[events]
    return loops << 24 | _latest(value, kind == HIGH, events) << 12 | _latest(value, kind == LOW, events)


def _check_kinds(kind: NDArray[Any], known: tuple[int, ...], version: str) -> None:
    odd = ~np.isin(kind, known)
    if odd.any():
        k = int(np.argmax(odd))
        raise InputError(f"word {k} is of kind {kind[k]}, which EVT {version} does not have; it is damaged")


def _told(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where such a word came before: events without place or time, at the start of what was cut, are left out."""
    return np.logical_or.accumulate(mask)


def _latest(values: NDArray[Any], mask: NDArray[np.bool_], events: NDArray[np.intp]) -> Ints:
    """For each of the events, the value of the last word before it where the mask is set."""
    at = np.maximum.accumulate(np.where(mask, np.arange(len(mask)), 0))[events]
    return values[at].astype(np.int64)


__all__ = ["read_dat", "read_raw"]
