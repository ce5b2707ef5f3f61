"""MNIST and Fashion-MNIST: idx files as torchvision lays them out, plain or .gz."""

from __future__ import annotations

import struct
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seamount.errors import InputError
from seamount.foreign.limits import NETWORK_BYTES
from seamount.foreign.whole import file_bytes, gunzipped

from ..config import DataConfig
from ..layouts import idx_places, root_of
from .files import download
from .samples import Samples, Source, in_memory

FOLDERS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}
FASHION = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def load(config: DataConfig, n_steps: int) -> Source:
    folder = FOLDERS[config.name]
    download(config, partial(_fetch, folder))
    root = root_of(config)
    names = FASHION if config.name == "fashion-mnist" else tuple(str(k) for k in range(10))
    return Source(_part(root, folder, "train"), _part(root, folder, "t10k"), names)


def _fetch(folder: str, root: str) -> None:
    from torchvision import datasets

    getattr(datasets, folder)(root, download=True)


def _part(root: Path, folder: str, part: str) -> Samples:
    images = read_idx(_find(root, folder, f"{part}-images-idx3-ubyte"), 3)
    labels = read_idx(_find(root, folder, f"{part}-labels-idx1-ubyte"), 1)
    if len(images) != len(labels):
        raise InputError(
            f"{len(images)} {part} images, but {len(labels)} labels", where=root, ways_out="fetch the files again"
        )
    return in_memory(images[:, None], labels)


def _find(root: Path, folder: str, name: str) -> Path:
    return next(root / place for place in idx_places(folder, name) if (root / place).exists())


def read_idx(path: Path, n_axes: int) -> NDArray[np.uint8]:
    """An idx file of bytes (http://yann.lecun.com/exdb/mnist): magic number, sizes, values."""
    raw = (gunzipped if path.suffix == ".gz" else file_bytes)(path, NETWORK_BYTES)
    head = 4 + 4 * n_axes
    if len(raw) < head or raw[:4] != bytes([0, 0, 8, n_axes]):
        raise InputError(f"not an idx file of bytes with {n_axes} axes, starts with {raw[:4].hex()}", where=path)
    sizes = struct.unpack(f">{n_axes}I", raw[4:head])
    if len(raw) - head != int(np.prod(sizes, dtype=np.int64)):
        raise InputError(f"holds {len(raw) - head} values, its head says {'x'.join(map(str, sizes))}", where=path)
    return np.frombuffer(raw, np.uint8, offset=head).reshape(sizes)
