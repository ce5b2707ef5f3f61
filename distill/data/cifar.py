"""CIFAR-10 and CIFAR-100 as torchvision lays them out; CIFAR-10 also as .npz shards of lossless WebP strips."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.errors import InputError
from seamount.foreign.arrays import read_npz
from seamount.foreign.images import read_image
from seamount.foreign.labels import class_labels

from ..config import DataConfig
from ..layouts import LAYOUTS, root_of
from .files import download, read_each
from .samples import Bytes, Samples, Source, in_memory

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def load(config: DataConfig, n_steps: int) -> Source:
    ten = config.name == "cifar10"
    download(config, lambda root: _kind(ten)(root, download=True))
    root = root_of(config)
    if ten and (root / "test_batch.npz").exists():
        return Source(_shards(root, "data_batch_*.npz", config), _shards(root, "test_batch.npz", config), CIFAR10)
    return _by_torchvision(root, ten, config)


def _by_torchvision(root: Path, ten: bool, config: DataConfig) -> Source:
    try:  # torchvision checks the MD5 sums before it unpickles anything
        parts = [_kind(ten)(str(root), train=train) for train in (True, False)]
    except RuntimeError:
        told = f"{_folder(ten)} is not complete or its check sums are wrong"
        raise InputError(told, where=root, ways_out=LAYOUTS[config.name].hint) from None
    train, test = (
        in_memory(np.ascontiguousarray(part.data.transpose(0, 3, 1, 2)), np.asarray(part.targets)) for part in parts
    )
    return Source(train, test, tuple(parts[0].classes))


def _kind(ten: bool) -> Any:
    from torchvision import datasets

    return datasets.CIFAR10 if ten else datasets.CIFAR100


def _folder(ten: bool) -> str:
    return "cifar-10-batches-py" if ten else "cifar-100-python"


def _shards(root: Path, pattern: str, config: DataConfig) -> Samples:
    paths = sorted(root.glob(pattern))
    shards, _ = read_each(paths, read_shard, config)
    return in_memory(np.concatenate([x for x, _ in shards]), np.concatenate([y for _, y in shards]))


def read_shard(path: Path) -> tuple[Bytes, NDArray[np.int64]]:
    """Images (N, 3, 32, 32) and labels of one shard: ``webp`` holds strips of images, ``off`` where each begins."""
    arrays = read_npz(path)
    missing = [name for name in ("webp", "off", "y") if name not in arrays]
    if missing:
        raise InputError(f"not a readable shard (has no {', '.join(missing)})")
    strips, labels = arrays["webp"], class_labels(arrays["y"], path, n_classes=len(CIFAR10))
    try:
        decoded = [np.asarray(read_image(strips[a:b].tobytes())) for a, b in pairwise(arrays["off"].tolist())]
        images = np.concatenate(decoded).reshape(len(labels), 32, 32, 3)  # one below the other
    except (TypeError, ValueError, IndexError) as error:  # places that are none, strips of other sizes
        raise InputError(f"not a readable shard ({error})") from None
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), labels
