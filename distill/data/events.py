"""Event recordings from files of all common kinds, and their frames; the only place that imports tonic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.errors import BackendMissing, InputError
from seamount.foreign.arrays import read_npy, read_npz
from seamount.foreign.limits import NETWORK_BYTES
from seamount.foreign.whole import file_bytes, regular

from ..config import DataConfig
from .aedat4 import read_aedat4
from .recordings import recordings
from .samples import Bytes, Samples

FURTHEST = 1 << 53
"""Of times and places: what files of real numbers hold exactly; as milliseconds it is 63 bits of microseconds."""

ENDINGS = (".bin", ".aedat4", ".raw", ".dat", ".npy", ".npz")


@dataclass(frozen=True)
class Events:
    """One recording: columns of equal length, in the order of time.

    Attributes:
        t: microseconds.
        p: polarity, 0 or 1.
    """

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    t: NDArray[np.int64]
    p: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.t)


def read_events(path: Path) -> Events:
    """A recording: .bin (40 bits an event), .aedat4, Prophesee .raw (EVT2, EVT3) and .dat, or columns x y t p.

    Raises:
        InputError: nothing readable, no event, places below 0, other polarities, or times that run backwards.
        BackendMissing: the package that reads this kind is not installed.
    """
    match path.suffix.lower():
        case ".bin":
            events = _read_bin(path)
        case ".aedat4":
            events = _columns(read_aedat4(path))
        case ".raw":
            events = _read_raw(path)
        case ".dat":
            events = _read_dat(path)
        case ".npy":
            events = _read_rows(path)
        case ".npz":
            events = _read_columns(path)
        case _:
            raise InputError(f"unknown kind {path.suffix!r}", possible=f"possible are {', '.join(ENDINGS)}")
    if len(events) == 0:
        raise InputError("no event in it")
    odd = (events.x < 0) | (events.y < 0) | (events.p < 0) | (events.p > 1)
    if odd.any():
        k = int(np.argmax(odd))
        found = f"event {k} is x {events.x[k]}, y {events.y[k]}, polarity {events.p[k]}"
        raise InputError(found, possible="possible are places from 0, and polarities 0 and 1")
    if np.any(np.diff(events.t) < 0):
        raise InputError(f"time runs backwards at event {int(np.argmax(np.diff(events.t) < 0)) + 1}")
    return events


def _read_rows(path: Path) -> Events:
    """As tonic writes DVS-Gesture: rows x, y, p, t, where t is in milliseconds."""
    columns = read_npy(path, NETWORK_BYTES)
    if columns.ndim != 2 or columns.shape[1] != 4 or columns.dtype.kind not in "biuf":
        raise InputError(f"an array {columns.shape}", possible="needed are rows of x, y, p, t")
    x, y, p, t = (_whole(column) for column in columns.T)
    return Events(x, y, t * 1000, p)


def _read_columns(path: Path) -> Events:
    arrays = read_npz(path, NETWORK_BYTES)
    missing = [name for name in "xytp" if name not in arrays]
    if missing:
        raise InputError(f"has no {', '.join(missing)}", possible="columns x, y, t (microseconds), p are needed")
    return _of_columns(*(arrays[name] for name in "xytp"))


def _read_bin(path: Path) -> Events:
    size = regular(path, NETWORK_BYTES)
    if size % 5:
        raise InputError(f"{size} bytes, not a whole number of 5-byte events")
    if size == 0:
        raise InputError("no event in it")
    tonic_io = _tonic()
    columns = np.dtype([("x", np.int64), ("y", np.int64), ("t", np.int64), ("p", np.int64)])
    return _columns(tonic_io.read_mnist_file(str(path), dtype=columns))


def _read_dat(path: Path) -> Events:
    """Prophesee's DAT: type and size of an event, then for each its time and x, y (14 bits) and polarity in 32 bits.

    Not left to expelliarmus (1.1.12), which takes any time that falls for one that ran over its 32 bits.
    """
    _, body = _prophesee(path)
    if len(body) % 8 != 2 or body[1] != 8:
        raise InputError(f"{len(body)} bytes behind the header, not two and then 8 for each event; it is cut off")
    t, place = np.frombuffer(body, "<u4", offset=2).reshape(-1, 2).T.astype(np.int64)
    over = np.diff(t, prepend=t[:1]) < -(1 << 31)
    return Events(place & 0x3FFF, place >> 14 & 0x3FFF, t + (np.cumsum(over) << 32), place >> 28)


def _prophesee(path: Path) -> tuple[bytes, bytes]:
    """Its header, lines that begin with %, and the rest.

    Each line must end: expelliarmus (1.1.12) looks for the end for ever.
    """
    raw, at = file_bytes(path, NETWORK_BYTES), 0
    while raw[at : at + 1] == b"%":
        at = raw.find(b"\n", at) + 1
        if at == 0:
            raise InputError("a header without an end")
    if at == 0:
        raise InputError(f"no Prophesee header, starts with {raw[:4].hex()}")
    return raw[:at], raw[at:]


def _read_raw(path: Path) -> Events:
    try:
        from expelliarmus import Wizard
    except ImportError:
        raise BackendMissing(f"{path.suffix} needs tonic (pip install tonic)", where=path) from None
    head, body = _prophesee(path)
    kind, word_bytes = ("evt3", 2) if b"evt 3" in head.lower() else ("evt2", 4)
    if len(body) % word_bytes:
        raise InputError(f"{len(body)} bytes behind the header, not a whole number of words; it is cut off")
    try:
        found = Wizard(encoding=kind).read(str(path))
    except Exception as error:  # the reader's own classes
        raise InputError(f"not a readable {kind} file ({error})") from None
    if found is None:
        raise InputError(f"not a readable {kind} file (words that are none of {kind}'s)")
    return _columns(found)


def _of_columns(*columns: NDArray[Any]) -> Events:
    if len({column.shape for column in columns}) != 1 or any(
        c.ndim != 1 or c.dtype.kind not in "biuf" for c in columns
    ):
        found = ", ".join(f"{column.shape} {column.dtype}" for column in columns)
        raise InputError(f"columns x, y, t, p are {found}; one number an event is needed in each")
    return Events(*map(_whole, columns))


def _whole(column: NDArray[Any]) -> NDArray[np.int64]:
    most = np.float64(FURTHEST)  # as such, because float16 holds no number like it
    outside = ~((column >= -most) & (column <= most))  # NaN is outside, too
    if outside.any():
        k = int(np.argmax(outside))
        raise InputError(f"event {k} holds {column[k]}", possible=f"possible are numbers up to {FURTHEST:g}")
    return column.astype(np.int64)


def _columns(found: NDArray[np.void]) -> Events:
    return Events(*(np.ascontiguousarray(found[name]).astype(np.int64) for name in "xytp"))


def _tonic() -> Any:
    try:
        import tonic.io as tonic_io
    except ImportError:
        raise BackendMissing("event recordings need tonic; pip install tonic") from None
    return tonic_io


# ---------------------------------------------------------------------------------------------------- frames


def to_frames(events: Events, sensor: tuple[int, int], size: int | None, n_steps: int, by: str) -> Bytes:
    """Events counted into frames, (T, 2, H, W), at most 255 a pixel.

    Args:
        sensor: (height, width).
        size: side to which the sensor is brought, by dividing coordinates; None for its own.
        by: "time", T equal parts of the recording, or "count", T equal numbers of events.
    """
    height, width = sensor
    if min(events.x.min(), events.y.min(), events.p.min()) < 0 or events.x.max() >= width or events.y.max() >= height:
        raise InputError(
            f"events reach x {int(events.x.max())}, y {int(events.y.max())}, the sensor has {width} x {height} pixels"
        )
    if by == "time":
        elapsed = events.t - events.t[0]
        if int(elapsed[-1]) * n_steps >= 1 << 63:
            raise InputError(f"lasts {int(elapsed[-1])} microseconds, too long for {n_steps} steps")
        step = elapsed * n_steps // (int(elapsed[-1]) + 1)
    else:
        step = np.arange(len(events)) * n_steps // len(events)
    rows, columns = events.y, events.x
    if size is not None:
        rows, columns, height, width = rows * size // height, columns * size // width, size, size
    flat = ((step * 2 + (events.p > 0)) * height + rows) * width + columns
    counts = np.bincount(flat, minlength=n_steps * 2 * height * width)
    return np.minimum(counts, 255).astype(np.uint8).reshape(n_steps, 2, height, width)


def framed(
    name: str,
    paths: Sequence[Path],
    labels: Sequence[int],
    sensor: tuple[int, int],
    n_steps: int,
    config: DataConfig,
) -> Samples:
    """Frames of many recordings, kept."""
    height, width = sensor if config.size is None else (config.size, config.size)

    def frames(path: Path) -> Bytes:
        return to_frames(read_events(path), sensor, config.size, n_steps, config.frames_by)

    facts = [str(sensor), config.size, n_steps, config.frames_by, config.skip_corrupt]
    return recordings(name, paths, labels, frames, (n_steps, 2, height, width), facts, config)
