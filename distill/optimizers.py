"""The optimiser of a training, and its learning rate at each moment."""

from __future__ import annotations

import math

import torch
from torch import nn

from .config import TrainConfig


def learning_rate(config: TrainConfig, epoch: float) -> float:
    """At a moment of training, counted in epochs: a linear rise, then the schedule."""
    if epoch < config.warmup_epochs:
        return config.lr * (epoch + 1e-3) / max(config.warmup_epochs, 1e-3)
    match config.schedule:
        case "cosine":
            share = (epoch - config.warmup_epochs) / max(config.epochs - config.warmup_epochs, 1e-9)
            return config.lr * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
        case "one-cycle":
            return config.lr * max(0.0, config.epochs - epoch) / max(config.epochs - config.warmup_epochs, 1e-9)
        case "steps":
            return config.lr * 0.1 ** sum(epoch >= milestone for milestone in config.milestones)
        case "constant":
            return config.lr


def make_optimizer(module: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Weight decay on matrices and kernels; none on biases, norms and scales."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = all(p.is_cuda for p in parameters) or None  # one kernel for all weights; on a CPU torch's own choice
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, config.lr, momentum=config.momentum, nesterov=config.nesterov, fused=fused)
    return torch.optim.AdamW(groups, config.lr, fused=fused)
