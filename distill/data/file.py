"""One's own tensors in a file (or a folder of .npy): x_train, y_train, x_test, y_test, or x, y with a fixed split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.errors import InputError
from seamount.foreign.arrays import Arrays
from seamount.foreign.labels import class_labels
from seamount.foreign.samples import read_folder, read_samples

from ..config import DataConfig
from ..layouts import LAYOUTS, root_of
from .samples import Bytes, Samples, Source, in_memory, split

TEST_SHARE, TEST_SEED = 0.2, 0


def load(config: DataConfig, n_steps: int) -> Source:
    path = root_of(config)
    arrays = _arrays(path)
    frames = config.encoding == "frames"
    if {"x_train", "y_train", "x_test", "y_test"} <= arrays.keys():
        suffixes: tuple[str, ...] = ("_train", "_test")
    elif {"x", "y"} <= arrays.keys():
        suffixes = ("",)
    else:
        held = "x alone, without labels" if arrays.keys() == {"x"} else ", ".join(arrays) or "nothing"
        raise InputError(f"holds {held}", where=path, ways_out=LAYOUTS["file"].hint)
    parts = {suffix: _samples(path, arrays, suffix, n_steps if frames else None) for suffix in suffixes}
    return source_of(parts, path, frames=frames)


Parts = dict[str, Samples]
"""Under "" everything, or the training part under "_train" and the test part under "_test"."""


def source_of(parts: Parts, where: object, *, frames: bool, class_names: Sequence[str] = ()) -> Source:
    """Both parts, of one shape; of everything a fixed fifth of each class becomes the test part."""
    if "" in parts:
        every = parts[""]
        kept, held = split(every.labels, TEST_SHARE, TEST_SEED)
        train, test = every.subset(kept), every.subset(held)
    else:
        train, test = parts["_train"], parts["_test"]
        shapes = [tuple(part.read(part.ids[:1], None).shape[1:]) for part in (train, test) if len(part)]
        if len(set(shapes)) > 1:
            raise InputError(
                f"training samples {shapes[0]}, test samples {shapes[1]}; they need one shape", where=where
            )
    n_classes = max([0, *train.labels.tolist(), *test.labels.tolist()]) + 1
    named = len(class_names) >= n_classes
    return Source(train, test, tuple(class_names) if named else tuple(map(str, range(n_classes))), events=frames)


def _arrays(path: Path) -> Arrays:
    return read_folder(path) if path.is_dir() else read_samples(path)


def _samples(path: Path, arrays: Arrays, part: str, n_steps: int | None) -> Samples:
    """
    Args:
        n_steps: T of frames.
    """
    whole = n_steps is not None
    x, y = arrays[f"x{part}"], class_labels(arrays[f"y{part}"], path, f"y{part}")
    check_samples(path, f"x{part}", x, y, whole=whole, n_steps=n_steps)
    return in_memory(to_bytes(path, f"x{part}", x, whole=whole), y)


def check_samples(
    where: object, name: str, x: NDArray[Any], y: NDArray[Any], *, whole: bool, n_steps: int | None
) -> None:
    """Refuses x that has not a sample for every label, or can hardly mean what it says.

    Args:
        whole: see ``to_bytes``.
        n_steps: T, where samples are frames (T, ...).
    """
    if x.ndim < 2 or len(x) != len(y):
        other = f"y{name.removeprefix('x')}"
        raise InputError(f"{name} {x.shape} and {other} {y.shape}; one label a sample is needed", where=where)
    if n_steps is not None and (x.ndim < 3 or x.shape[1] != n_steps):
        raise InputError(f"{name} {x.shape} as frames needs (N, {n_steps}, ...), T = student.n_steps", where=where)
    if not whole and x.ndim == 4 and x.shape[3] in (1, 3, 4) and min(x.shape[1:3]) > 4:
        ways_out = f"np.moveaxis({name}, -1, 1) brings the channels in front"
        raise InputError(f"{name} {x.shape} looks like (N, H, W, C)", where=where, ways_out=ways_out)
    if not whole:
        check_white(where, name, x)


def check_white(where: object, name: str, x: NDArray[Any]) -> None:
    """Refuses whole numbers of which 1 is the largest, where 255 is white."""
    # of a single sample it says nothing: that may be dark
    if x.dtype.kind in "iu" and len(x) > 1 and x.max(initial=0) == 1:
        raise InputError(
            f"{name} has {x.dtype} values of 0 and 1 alone, of 255",
            where=where,
            ways_out=f"if 1 is white, write {name}.astype(bool), or {name} * 255",
        )


def _ways_out(low: float, high: float) -> tuple[str, ...]:
    """What values in place of 0 to 1 usually are."""
    if low < 0:
        return ("undo the normalisation by mean and standard deviation: the first layer learns it",)
    if 16 < high <= 255:  # less is no picture of 8 bits, but values that left 0 to 1
        return ("divide by 255, or keep the pixels as uint8",)
    return ()


def to_bytes(path: object, name: str, x: NDArray[Any], *, whole: bool = False) -> Bytes:
    """8 bits a value, what the chip takes: integers 0 to 255 as they are, real numbers 0 to 1 times 255.

    Args:
        whole: values are numbers of events, not shares of 255: whole ones, of whatever type.
    """
    if x.dtype == np.uint8:
        return np.asarray(x)
    if x.dtype.kind not in "biuf":
        raise InputError(f"{name} has values of type {x.dtype}, numbers are needed", where=path)
    values = np.asarray(x, dtype=np.float64)
    shares = x.dtype.kind in "bf" and not whole
    if not np.isfinite(values).all():
        first = tuple(np.argwhere(~np.isfinite(values))[0].tolist())
        raise InputError(f"{name} has NaN or infinite values, the first at {first}", where=path)
    if whole and len(between := values[values != np.rint(values)]):
        raise InputError(
            f"{name} has {x.dtype} values such as {between[0]:.3g}",
            where=path,
            possible="needed are whole numbers: of spikes, or of events in a frame",
            ways_out="images from 0 to 1 need a student with input_bits=8, as in from_module(module, ..., "
            'input_bits=8), and in a run data.encoding = "direct"',
        )
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if low < 0 or high > (1 if shares else 255):
        bounds = "0 to 1" if shares else "0 to 255"
        raise InputError(
            f"{name} has {x.dtype} values from {low:g} to {high:g}; {bounds} is possible",
            where=path,
            ways_out=_ways_out(low, high) if shares else (),
        )
    return np.rint(values * 255 if shares else values).astype(np.uint8)
