"""Random changes of training images as the two papers use them; whole batches at once, except AutoAugment.

Each choice follows from its sample's seed (``randomness.py``). Frames (B, T, C, H, W) change alike at every step.
"""

from __future__ import annotations

import math
from typing import assert_never, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from seamount import own
from seamount.errors import ConfigError
from seamount.own import is_own

from ..config import Augmentation, DataConfig
from .randomness import choice, mix, uniform

AUGMENT = "data.augment"


def augment(values: Tensor, seeds: Tensor, config: DataConfig, mirrored: Tensor | None = None) -> Tensor:
    """uint8 (B, ..., H, W) -> the same shape, where they are.

    Args:
        mirrored: (B,) which ones "alternating-flip" mirrors; ``alternating`` says how they are chosen.
    """
    if values.ndim < 4 and not all(map(is_own, config.augment)):
        raise ConfigError(
            f"samples of shape {tuple(values.shape[1:])} are no images",
            where=AUGMENT,
            ways_out="set data.augment = []",
        )
    for name in config.augment:
        if is_own(name):
            values = own_augment(values, seeds, name)
            continue
        kind = cast(Augmentation, name)
        match kind:
            case "crop":
                values = crop(values, seeds, config.crop_padding)
            case "flip":
                values = _where(choice(seeds, 1, 2) == 1, values.flip(-1), values)
            case "alternating-flip":
                assert mirrored is not None, "which ones follows from more than the seeds"
                values = _where(mirrored, values.flip(-1), values)
            case "autoaugment":
                values = autoaugment(values, seeds)
            case "cutout":
                values = cutout(values, seeds, config.cutout_size)
            case "resized-crop":
                pass  # done where the file is decoded: what is cut depends on the full image
            case "roll-rotate-cutout":
                values = roll_rotate_cutout(values, seeds, config.cutout_size)
            case "time-shift":
                values = time_shift(values, seeds, config.shift_steps)
            case "gain":
                values = gain(values, seeds, config.gain)
            case _:
                assert_never(kind)
    return values


def own_augment(values: Tensor, seeds: Tensor, name: str) -> Tensor:
    """One's own function (or torchvision transform) of a sample, with torch's generator set for each."""
    change = own.find(name, AUGMENT)
    change = change() if isinstance(change, type) else change
    samples = []
    with torch.random.fork_rng(devices=[]):
        for sample, seed in zip(values, mix(seeds, 14).tolist(), strict=True):
            torch.manual_seed(seed)
            changed = own.called(name, AUGMENT, change, {}, sample)
            if not isinstance(changed, Tensor) or changed.shape != sample.shape or changed.dtype != sample.dtype:
                kind = f"{changed.dtype} {tuple(changed.shape)}" if isinstance(changed, Tensor) else type(changed)
                needed = f"needed is {sample.dtype} {tuple(sample.shape)}, as it was given"
                raise ConfigError(f"{name} returned {kind}", where=AUGMENT, possible=needed)
            samples.append(changed)
    return torch.stack(samples)


def alternating(ids: Tensor, seed: int, epoch: int) -> Tensor:
    """Whether each sample is mirrored in an epoch: by chance in the first, then every other time (airbench94)."""
    return choice(mix(ids, seed), 11, 2) == epoch % 2


def crop(values: Tensor, seeds: Tensor, padding: int) -> Tensor:
    """Shifts by up to ``padding`` pixels each way, lines along themselves alone; zeros come in."""
    rows = choice(seeds, 2, 2 * padding + 1) - padding
    if values.shape[-2] == 1:
        rows = torch.zeros_like(rows)
    columns = choice(seeds, 3, 2 * padding + 1) - padding
    return _shift(values, rows, columns, padding)


def cutout(values: Tensor, seeds: Tensor, size: int) -> Tensor:
    """Blanks a square round a random pixel (DeVries and Taylor, arXiv 1708.04552)."""
    height, width = values.shape[-2:]
    top, left = choice(seeds, 4, height) - size // 2, choice(seeds, 5, width) - size // 2
    rows, columns = (torch.arange(n, device=values.device) for n in (height, width))
    inside_rows = (rows >= top[:, None]) & (rows < top[:, None] + size)
    inside_columns = (columns >= left[:, None]) & (columns < left[:, None] + size)
    hole = inside_rows[:, :, None] & inside_columns[:, None, :]
    return values.masked_fill(hole.view(len(values), *[1] * (values.ndim - 3), height, width), 0)


def autoaugment(values: Tensor, seeds: Tensor) -> Tensor:
    """The CIFAR-10 policy, or for images of 64 pixels and more the ImageNet policy (arXiv 1805.09501)."""
    from torchvision.transforms import AutoAugment, AutoAugmentPolicy

    if values.ndim != 4 or values.shape[1] not in (1, 3):
        raise ConfigError(f"autoaugment takes images, not samples of shape {tuple(values.shape[1:])}", where=AUGMENT)
    policy = AutoAugment(AutoAugmentPolicy.CIFAR10 if values.shape[-1] < 64 else AutoAugmentPolicy.IMAGENET)
    images = []
    with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
        for image, seed in zip(values, mix(seeds, 6).tolist(), strict=True):
            torch.manual_seed(seed)
            images.append(policy(image))
    return torch.stack(images)


def roll_rotate_cutout(values: Tensor, seeds: Tensor, size: int) -> Tensor:
    """For event frames, as SeAl-KD's code: exactly one of a roll by up to 5, a turn by up to 30 degrees, a cutout."""
    which = choice(seeds, 7, 3)
    rolled = _roll(values, choice(seeds, 8, 11) - 5, choice(seeds, 9, 11) - 5)
    turned = _rotate(values, (uniform(mix(seeds, 10)) * 2 - 1) * math.radians(30))
    return _where(which == 0, rolled, _where(which == 1, turned, cutout(values, seeds, size)))


def time_shift(values: Tensor, seeds: Tensor, most: int) -> Tensor:
    """Frames (B, T, ...) begin by up to so many steps earlier or later; zeros come in."""
    if values.ndim < 5:
        raise ConfigError(f"time-shift takes frames, not samples of shape {tuple(values.shape[1:])}", where=AUGMENT)
    flat = values.flatten(2).unsqueeze(1)
    return _shift(flat, choice(seeds, 12, 2 * most + 1) - most, torch.zeros_like(seeds), most).view_as(values)


def gain(values: Tensor, seeds: Tensor, most: int) -> Tensor:
    """Adds one whole number of up to ``most`` to all values of a sample: logarithms, so louder or softer; 0 stays."""
    added = (choice(seeds, 13, 2 * most + 1) - most).view(-1, *[1] * (values.ndim - 1))
    changed = (values.long() + added).clamp(0, 255).to(values.dtype)
    return torch.where(values > 0, changed, values)


def _where(condition: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return torch.where(condition.view(-1, *[1] * (first.ndim - 1)), first, second)


def _shift(values: Tensor, rows: Tensor, columns: Tensor, most: int) -> Tensor:
    """Moves every sample's window by its own number of rows and columns, at most so many each way; zeros come in."""
    height, width = values.shape[-2:]
    down, across = min(most, height), min(most, width)  # of what moved farther nothing is left either
    framed = F.pad(values.reshape(len(values), -1, height, width), (across, across, down, down))
    windows = framed.unfold(2, height, 1).unfold(3, width, 1)
    sample = torch.arange(len(values), device=values.device)
    at = down + rows.clamp(-down, down), across + columns.clamp(-across, across)
    return windows[sample, :, *at].reshape(values.shape)


def _roll(values: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Rolls every sample by its own number of rows and columns: what leaves comes in on the other side."""
    height, width = values.shape[-2:]
    at_rows = (torch.arange(height, device=values.device) + rows[:, None]) % height
    at_columns = (torch.arange(width, device=values.device) + columns[:, None]) % width
    flat = values.reshape(len(values), -1, height, width)
    sample = torch.arange(len(values), device=values.device)[:, None, None]
    moved = flat.permute(0, 2, 3, 1)[sample, at_rows[:, :, None], at_columns[:, None, :]]
    return moved.permute(0, 3, 1, 2).reshape(values.shape)


def _rotate(values: Tensor, angles: Tensor) -> Tensor:
    """Turns every sample round its middle by its own angle [rad]; nearest pixel, zeros come in."""
    height, width = values.shape[-2:]
    flat = values.reshape(len(values), -1, height, width).float()
    cos, sin, zero = angles.cos().float(), angles.sin().float(), torch.zeros_like(angles, dtype=torch.float32)
    matrices = torch.stack([cos, -sin * height / width, zero, sin * width / height, cos, zero], -1).view(-1, 2, 3)
    grid = F.affine_grid(matrices, list(flat.shape), align_corners=False)
    turned = F.grid_sample(flat, grid, mode="nearest", align_corners=False)
    return turned.round().to(values.dtype).view(values.shape)
