"""Rows for the kernels: (T, B, *shape) as (T, N) in the order of memory, channels last or not, and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Form:
    """Shape behind the time axis, and whether maps lie with their channels last."""

    shape: tuple[int, ...]
    channels_last: bool


def form_of(x: Tensor) -> Form:
    maps = x.flatten(0, 1)
    last = maps.dim() == 4 and not maps.is_contiguous() and maps.is_contiguous(memory_format=torch.channels_last)
    return Form(tuple(x.shape[1:]), last)


def like_form(x: Tensor, form: Form) -> Tensor:
    """Gradients come in any layout: bring them into the one of the forward pass."""
    if not form.channels_last:
        return x.contiguous()
    return x.flatten(0, 1).contiguous(memory_format=torch.channels_last).view(x.shape)


def rows(x: Tensor) -> Tensor:
    """(T, B, *shape) -> (T, N) in the order of memory."""
    if form_of(x).channels_last:
        return x.permute(0, 1, 3, 4, 2).reshape(x.shape[0], -1)
    return x.contiguous().view(x.shape[0], -1)


def unrows(x: Tensor, form: Form) -> Tensor:
    """Undoes ``rows``."""
    if form.channels_last:
        batch, channels, height, width = form.shape
        return x.view(x.shape[0], batch, height, width, channels).permute(0, 1, 4, 2, 3)
    return x.view(x.shape[0], *form.shape)
