"""Trains a tiny student; run by the tests in processes of its own, alone and under torchrun.

python distill_worker.py FOLDER METHOD EPOCHS
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

from seamount.distill.config import Augmentation, DataConfig, DistillConfig, TrainConfig
from seamount.distill.data import Data, load_data
from seamount.distill.train import Trained, distill
from seamount.models.spiking_net import SpikingNet
from seamount.models.students import StudentOptions, small

N_STEPS = 3


def digits(max_train: int = 220, augment: tuple[Augmentation, ...] = ("crop",)) -> Data:
    return load_data(DataConfig(max_train=max_train, max_test=60, augment=augment), n_steps=N_STEPS)


def student(n_classes: int = 10, width: float = 0.5) -> SpikingNet:
    torch.manual_seed(0)
    return small("small", n_classes, (1, 8, 8), N_STEPS, StudentOptions(width=width))


def teacher(n_classes: int = 10) -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 16, n_classes),
    )


def train(folder: Path, method: str = "seal-kd", epochs: int = 2, **changes: object) -> Trained:
    settings = {"epochs": epochs, "batch_size": 32, "lr": 2e-3, "checkpoint_every_s": 1e-3, **changes}
    config = TrainConfig(**settings)  # type: ignore[arg-type]
    return distill(digits(), teacher(), student(), DistillConfig(method=method), config, folder)


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
