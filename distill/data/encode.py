"""How pixels become the student's input: the same value at every step, spikes at a rate, one spike, or frames."""

from __future__ import annotations

from typing import assert_never

import torch
from torch import Tensor

from ..config import Encoding
from .randomness import mix, uniform


def encode(values: Tensor, encoding: Encoding, n_steps: int, seeds: Tensor) -> Tensor:
    """uint8 values to the student's float input.

    Args:
        values: (B, *shape) pixels; for frames (B, T, *shape) events.
        seeds: (B,) int64, for rate coding.

    Returns:
        direct: (B, *shape) in [0, 1]; else (T, B, *shape), spikes 0 and 1 or, for frames, the values.
    """
    match encoding:
        case "direct":
            return values.float() / 255
        case "rate":
            return rate(values, n_steps, seeds)
        case "latency":
            return latency(values, n_steps)
        case "frames":
            return values.transpose(0, 1).float()
        case _:
            assert_never(encoding)


def rate(values: Tensor, n_steps: int, seeds: Tensor) -> Tensor:
    """Bernoulli spikes with probability pixel / 255 at each step, which follow from each sample's seed alone."""
    pixels = torch.arange(values[0].numel(), device=values.device).view(values.shape[1:])
    steps = torch.arange(n_steps, device=values.device).view(-1, *[1] * values.ndim)
    own = seeds.to(values.device).view(1, -1, *[1] * (values.ndim - 1))
    return (uniform(mix(own, steps, pixels)) < values.double() / 255).float()


def latency(values: Tensor, n_steps: int) -> Tensor:
    """One spike per pixel, the brighter the earlier: 255 at the first step, 1 at the last, 0 never."""
    at = ((255 - values.long()) * n_steps) // 255
    steps = torch.arange(n_steps, device=values.device).view(-1, *[1] * values.ndim)
    return (at.unsqueeze(0) == steps).float()
