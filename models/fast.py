"""A teacher that learns CIFAR-10 in minutes of a CPU: whitening, three stages, global pooling.

After airbench94 (Jordan, arXiv 2404.00498), with plain batch norms and ReLU, which cost a CPU less.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .choices import FastOptions, image_shape

SMALLEST = 16
"""Side of an image that three stages, each halving it, leave something of."""

EPS = 5e-4
"""Added to the variances by which the first layer divides."""

LOGIT_SCALE = 1 / 9
"""Of the last layer, so that the first answers are not sure of anything."""


class Fast(nn.Module):
    """Its first layer is no learner: ``start_from`` computes it from the data, as the patches' whitening."""

    mean: Tensor
    std: Tensor

    def __init__(self, n_classes: int, input_shape: tuple[int, int, int], options: FastOptions) -> None:
        super().__init__()
        c_in = input_shape[0]
        self.register_buffer("mean", torch.zeros(c_in, 1, 1))
        self.register_buffer("std", torch.ones(c_in, 1, 1))
        self.whiten = nn.Conv2d(c_in, 8 * c_in, 2)
        self.whiten.weight.requires_grad_(False)
        widths = [8 * c_in, *options.channels()]
        self.stage1, self.stage2, self.stage3 = (Stage(a, b, options.depth) for a, b in pairwise(widths))
        self.head = nn.Linear(widths[-1], n_classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.whiten((x - self.mean) / self.std).relu()
        x = self.stage3(self.stage2(self.stage1(x)))
        logits: Tensor = self.head(x.amax((2, 3)))
        return logits * LOGIT_SCALE

    @torch.no_grad()
    def start_from(self, images: Tensor) -> None:
        """Normalisation and the whitening of 2x2 patches, and their opposites, from images (N, C, H, W)."""
        mean, std = images.mean((0, 2, 3)), images.std((0, 2, 3)).clamp_min(1e-3)
        self.mean.copy_(mean.view(-1, 1, 1))
        self.std.copy_(std.view(-1, 1, 1))
        patches = F.unfold((images - self.mean) / self.std, 2).transpose(1, 2).flatten(0, 1).double()
        variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = (directions / (variances + EPS).sqrt()).T.flip(0).reshape(-1, images.shape[1], 2, 2)
        self.whiten.weight.copy_(torch.cat([filters, -filters]))
        self.whiten.bias.zero_()  # type: ignore[union-attr]


class Stage(nn.Module):
    """conv, pool, norm, ReLU, then conv, norm, ReLU; with depth 3 two more convolutions stand beside a skip."""

    def __init__(self, c_in: int, c_out: int, depth: int) -> None:
        super().__init__()
        self.first = _conv(c_in, c_out)
        self.norm = nn.BatchNorm2d(c_out)
        self.rest = nn.ModuleList(nn.Sequential(_conv(c_out, c_out), nn.BatchNorm2d(c_out)) for _ in range(depth - 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(F.max_pool2d(self.first(x), 2)).relu()
        if len(self.rest) == 1:
            out: Tensor = self.rest[0](x).relu()
            return out
        beside: Tensor = self.rest[1](self.rest[0](x).relu()) + x
        return beside.relu()


def _conv(c_in: int, c_out: int) -> nn.Conv2d:
    """3x3, of which the first channels start by handing on what comes in."""
    conv = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
    nn.init.dirac_(conv.weight.data[: min(c_in, c_out)])
    return conv


def fast(name: str, n_classes: int, input_shape: Sequence[int], **options: Any) -> nn.Module:
    """For images (C, H, W), with ``FastOptions``."""
    shape = image_shape(f"teacher {name}", input_shape, SMALLEST)
    return Fast(n_classes, shape, FastOptions(**options))
