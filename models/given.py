"""Somebody's module before it is read: without its wrappers, and whether its weights are numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim.swa_utils import AveragedModel

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


def unwrapped(module: nn.Module) -> nn.Module:
    """Without what runs it on several devices, or compiled, or averages its weights."""
    while True:
        match module:
            case nn.DataParallel() | nn.parallel.DistributedDataParallel() | AveragedModel():
                module = module.module
            case _ if isinstance(compiled := getattr(module, "_orig_mod", None), nn.Module):
                module = compiled
            case _:
                return module
