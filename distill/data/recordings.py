"""Frames of many recordings, made once and kept on disk beside the data or in ``data.cache``, memory-mapped."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seamount.errors import InputError
from seamount.files import make_folder, replacing
from seamount.foreign.arrays import read_npy
from seamount.foreign.limits import DATA_BYTES

from ..config import DataConfig
from .files import read_each
from .samples import Bytes, Samples, in_memory


def recordings(
    name: str,
    paths: Sequence[Path],
    labels: Sequence[int],
    frames: Callable[[Path], Bytes],
    shape: Sequence[int],
    facts: Sequence[object],
    config: DataConfig,
) -> Samples:
    """
    Args:
        frames: makes those of one file, (T, ...): of this shape.
        facts: all that they depend on beside the files.
    """
    if not paths:
        raise InputError(f"no recordings for {name} of {config.name}", where=config.root)
    size = len(paths) * math.prod(shape)
    DATA_BYTES.check(size, config.root, f"{len(paths)} recordings of {config.name} make {size} bytes of frames")
    folder = Path(config.cache) if config.cache else Path(str(config.root)) / ".seamount-frames"
    files = [
        # the time of change, because a recording may be replaced by one of the same length
        (path.name, (found := path.stat()).st_size, found.st_mtime_ns, label)
        for path, label in zip(paths, labels, strict=True)
    ]
    digest = hashlib.sha256(json.dumps([facts, files]).encode()).hexdigest()[:16]
    stem = folder / f"{config.name}-{name}-{shape[0]}-{digest}"
    values, kept = stem.with_suffix(".frames.npy"), stem.with_suffix(".labels.npy")
    if not (values.exists() and kept.exists()):
        made, numbers = read_each(paths, frames, config)
        _write(values, np.stack(made))
        _write(kept, np.asarray(labels, dtype=np.int64)[numbers])  # last: its presence says that all is there
    return in_memory(read_npy(values, mapped=True), read_npy(kept))


def _write(path: Path, array: NDArray[np.generic]) -> None:
    try:
        make_folder(path.parent)
        # an open file: np.save ends a name that lacks .npy with it
        with replacing(path) as fresh, fresh.open("wb") as file:
            np.save(file, array)
    except OSError as error:
        raise InputError(
            f"frames cannot be kept here ({error})", where=path, ways_out="set data.cache to another folder"
        ) from None
