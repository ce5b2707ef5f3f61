"""Event recordings from files of all common kinds, and their frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.errors import InputError
from seamount.foreign.arrays import read_npy, read_npz
from seamount.foreign.limits import NETWORK_BYTES
from seamount.foreign.whole import file_bytes

from ..config import DataConfig
from .aedat4 import read_aedat4
from .prophesee import read_dat, read_raw
from .recordings import recordings
from .samples import Bytes, Samples

FURTHEST = 1 << 53
"""Of times and places: what files of real numbers hold exactly; as milliseconds it is 63 bits of microseconds."""

READING = 2
"""Raise where files become other events, so that frames of earlier ones are not taken."""

OVER = 240
"""In place of y in a .bin file; sensors of that format have fewer rows."""

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
            events = Events(*read_raw(path))
        case ".dat":
            events = Events(*read_dat(path))
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
    """N-MNIST's 40 bits: x, y, polarity (1 bit) and time (23); where y is ``OVER``, time ran over by 2^13, no event.

    Not left to tonic (1.7.0), whose time grows with the square of the number of these.
    """
    content = np.frombuffer(file_bytes(path, NETWORK_BYTES), np.uint8)
    if len(content) % 5:
        raise InputError(f"{len(content)} bytes, not a whole number of 5-byte events")
    x, y, high, middle, low = content.reshape(-1, 5).T.astype(np.int64)
    over = y == OVER
    t = ((high & 0x7F) << 16 | middle << 8 | low) + (np.cumsum(over) << 13)
    return Events(*(column[~over] for column in (x, y, t, high >> 7)))


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

    facts = [READING, str(sensor), config.size, n_steps, config.frames_by, config.skip_corrupt]
    return recordings(name, paths, labels, frames, (n_steps, 2, height, width), facts, config)
