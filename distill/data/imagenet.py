"""A folder of images per class, ROOT/train/CLASS/*.jpg and ROOT/val/CLASS/*.jpg, decoded when needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from seamount.errors import InputError
from seamount.foreign.images import read_image

from ..config import DataConfig
from ..layouts import root_of
from .files import Damaged, classes_in_turns, report
from .randomness import choice, mix, uniform
from .samples import Bytes, Samples, Source

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm")
SIZE = 224
SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
"""Of the random crop: share of the area, and width to height (Szegedy et al., CVPR 2015)."""


def load(config: DataConfig, n_steps: int) -> Source:
    root = root_of(config)
    names = sorted(folder.name for folder in (root / "train").glob("*") if folder.is_dir())
    return Source(_part(root / "train", names, config), _part(root / "val", names, config), tuple(names))


def _part(folder: Path, names: list[str], config: DataConfig) -> Samples:
    files = [
        (path, label)
        for label, name in enumerate(names)
        for path in sorted(p for p in (folder / name).glob("*") if p.suffix.lower() in ENDINGS)
    ]
    files = classes_in_turns(files)
    paths, labels = [path for path, _ in files], [label for _, label in files]
    if config.skip_corrupt:
        good = [number for number, path in enumerate(paths) if _readable(path)]
        paths, labels = [paths[k] for k in good], [labels[k] for k in good]

    def read(ids: Tensor, seeds: Tensor | None) -> Tensor:
        cropped = seeds if "resized-crop" in config.augment else None
        return _read([paths[number] for number in ids.tolist()], cropped, config)

    return Samples(torch.tensor(labels, dtype=torch.int64), read, torch.arange(len(paths)))


def _read(paths: list[Path], seeds: Tensor | None, config: DataConfig) -> Tensor:
    """uint8 (B, 3, side, side). All that cannot be read is told at once, because there may be thousands of files."""
    images, damaged = [], []
    for k, path in enumerate(paths):
        try:
            images.append(decode(path, config.size or SIZE, None if seeds is None else seeds[k : k + 1]))
        except InputError as error:
            damaged.append(Damaged.of(path, error))
    if damaged:
        raise InputError(report(damaged, len(paths), config))
    return torch.from_numpy(np.stack(images))


def decode(path: Path, side: int, seed: Tensor | None) -> Bytes:
    """(3, side, side): a random part where there is a seed, else the middle of the image at 8/7 of that size."""
    from PIL import Image

    image = read_image(path)
    if seed is None:
        scale = side * 8 / 7 / min(image.size)
        width, height = (max(side, round(n * scale)) for n in image.size)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + side, top + side))
    else:
        box = random_box(image.size, seed)
        image = image.resize((side, side), Image.Resampling.BILINEAR, box=box)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def random_box(size: tuple[int, int], seed: Tensor) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of a part of random area and shape; the first of ten tries that fits, else all."""
    width, height = size
    for attempt in range(10):
        draw = mix(seed, 20 + attempt)
        area = width * height * (SCALE[0] + (SCALE[1] - SCALE[0]) * float(uniform(mix(draw, 1))))
        low, high = np.log(RATIO)
        ratio = float(np.exp(low + (high - low) * float(uniform(mix(draw, 2)))))
        w, h = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            left, top = int(choice(draw, 3, width - w + 1)), int(choice(draw, 4, height - h + 1))
            return left, top, left + w, top + h
    return 0, 0, width, height


def _readable(path: Path) -> bool:
    try:
        decode(path, 8, None)
    except InputError:
        return False
    return True
