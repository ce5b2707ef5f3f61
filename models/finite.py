"""Weights of somebody's module that are no numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from seamount.errors import InputError


def check_finite(module: nn.Module, name: str) -> None:
    """Refuses NaN and infinity by the weight, before answers are compared: NaN equals nothing, so each would differ.

    Raises:
        InputError: weights that are no numbers.
    """
    for key, value in module.state_dict().items():
        if isinstance(value, Tensor) and not is_lazy(value) and not bool(torch.isfinite(value).all()):
            raise InputError(
                f"{key} holds NaN or infinity", where=name, ways_out="train it again, or take an earlier checkpoint"
            )
