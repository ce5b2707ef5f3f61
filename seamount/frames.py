"""Still images or sequences of frames, on which a network that is converted is calibrated and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seamount import own
from seamount.chip_samples import arrays_of
from seamount.config import load_config
from seamount.distill.data import Data, load_data
from seamount.distill.data.file import check_white, to_bytes
from seamount.distill.data.own import both_parts
from seamount.distill.data.samples import Samples
from seamount.errors import ConfigError, InputError
from seamount.foreign.labels import check_outputs, class_labels
from seamount.foreign.samples import ENDINGS

Array = NDArray[Any]


@dataclass(frozen=True)
class Frames:
    """Samples of T frames; a still image is one frame.

    Attributes:
        x: uint8 (T, B, *shape); the network sees x / 255.
        labels: classes (B,), where they are known.
        targets: real outputs (T, B, K) in their place, of a regression.
    """

    x: NDArray[np.uint8]
    what: str
    labels: NDArray[np.int64] | None = None
    targets: NDArray[np.float64] | None = None

    @property
    def n_steps(self) -> int:
        return len(self.x)

    @property
    def n(self) -> int:
        return int(self.x.shape[1])

    @property
    def shape(self) -> tuple[int, ...]:
        return self.x.shape[2:]

    def part(self, first: int, last: int | None) -> Frames:
        labels = None if self.labels is None else self.labels[first:last]
        targets = None if self.targets is None else self.targets[:, first:last]
        return replace(self, x=self.x[:, first:last], labels=labels, targets=targets)

    def at(self, numbers: NDArray[np.int64]) -> Frames:
        """The samples of these numbers."""
        labels = None if self.labels is None else self.labels[numbers]
        targets = None if self.targets is None else self.targets[:, numbers]
        return replace(self, x=self.x[:, numbers], labels=labels, targets=targets)

    def real(self) -> Tensor:
        """float32 (T, B, *shape), as the network sees it."""
        return as_seen(self.x)


def as_seen(x: NDArray[np.uint8]) -> Tensor:
    """Pixels as a network sees them, float32."""
    return torch.from_numpy(x).float() / 255


def frames_of(data: Any, *, frames: bool, settings: Sequence[str] = ()) -> tuple[Frames, Frames]:
    """What is calibrated on, and what is compared on: the training and the test part, or all of it where it has none.

    Args:
        data: a file (``ENDINGS``) with x (B, *shape), as frames (T, B, *shape), and perhaps y, classes (B,) or real
            outputs (B, K) or (T, B, K); the name of a data set, or of one's own (mine.py:make_data); or what such a
            function gives, whose samples are frames (T, *shape) each, and whose y may be real outputs (B, K) or
            (B, T, K), too. Numbers from 0 to 1, or whole ones up to 255.
        frames: whether samples are sequences.
        settings: of a data set, as data.root=FOLDER.
    """
    if isinstance(data, Path | str):
        if Path(data).suffix in ENDINGS and not Path(data).is_dir():
            if settings:
                raise ConfigError(f"{data} is a file, which is read as it is", where=f"--set {settings[0]}")
            arrays = arrays_of(data)
            return _both(_of_arrays(arrays["x"], arrays.get("y"), str(data), frames=frames, time_first=True))
        return _of_data_set(str(data), frames, settings)
    if isinstance(data, np.ndarray | Tensor):
        return _both(_of_arrays(_array(data), None, "data", frames=frames, time_first=False))
    return _of_parts(data, "data", frames)


def _both(found: Frames) -> tuple[Frames, Frames]:
    return found, found


def _of_data_set(name: str, frames: bool, settings: Sequence[str]) -> tuple[Frames, Frames]:
    config = load_config(None, [f'data.name="{name}"', *settings]).data
    if own.is_own(name):
        offered: Mapping[str, Any] = {"root": config.root}
        return _of_parts(own.make(name, "--data", offered, config.options), name, frames)
    if frames:
        ways = "name a function of yours that makes them, as mine.py:make_data, or a file"
        raise ConfigError(f"{name} holds no sequences of images", where="--frames", ways_out=ways)
    return parts_of(load_data(config, n_steps=1))


def parts_of(loaded: Data) -> tuple[Frames, Frames]:
    """Training and test part of a data set of images.

    Raises:
        InputError: it is one of events.
    """
    if loaded.encoding == "frames":
        found = f"{loaded.name} holds recordings of events, whose counts are no values from 0 to 1"
        raise InputError(found, where="--data", ways_out="`seamount distill` trains a student on them")
    both = (loaded.train, "training"), (loaded.test, "test")
    train, test = (_of_samples(part, f"{loaded.name} {which} set", False) for part, which in both)
    return train, test


def _of_parts(made: Any, what: str, frames: bool) -> tuple[Frames, Frames]:
    train, test = (_of_arrays(x, y, what, frames=frames, time_first=False) for x, y in both_parts(made, what))
    return train, test


def _of_samples(samples: Samples, what: str, frames: bool) -> Frames:
    values = samples.read(samples.ids, None).numpy()
    return _of_arrays(values, samples.labels.numpy(), what, frames=frames, time_first=False)


def _of_arrays(x: Array, y: Array | None, what: str, *, frames: bool, time_first: bool) -> Frames:
    if x.ndim < 2 + frames or x.size == 0:
        axes = "(T, B, ...)" if frames and time_first else "(B, T, ...)" if frames else "(B, ...)"
        raise InputError(f"x {x.shape}", where=what, possible=f"needed is {axes}")
    check_white(what, "x", x)
    x = to_bytes(what, "x", x)
    x = x[None] if not frames else x if time_first else np.moveaxis(x, 1, 0)
    if y is None:
        return Frames(x, what)
    if not _is_real(y):
        return Frames(x, what, class_labels(y, what, n_samples=x.shape[1]))
    check_outputs(y, what, "y[None]" if time_first else "y[:, None]")
    y = y if y.ndim == 3 and time_first else np.moveaxis(y, 1, 0) if y.ndim == 3 else y.reshape(1, len(y), -1)
    if y.shape[1] != x.shape[1] or y.shape[0] not in (1, len(x)) or not np.isfinite(y).all():
        needed = f"needed are finite outputs, ({x.shape[1]}, K) or one a frame"
        raise InputError(f"y {y.shape} for x {x.shape}", where=what, possible=needed)
    targets = np.broadcast_to(y, (len(x), *y.shape[1:])).astype(np.float64)
    return Frames(x, what, targets=targets)


def _is_real(y: Any) -> bool:
    return isinstance(y, np.ndarray | Tensor) and _array(y).dtype.kind == "f"


def _array(value: Any) -> Array:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
