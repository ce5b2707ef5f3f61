"""Trains a tiny student; run by the tests in processes of its own, alone and under torchrun.

python distill_worker.py train FOLDER EPOCHS BATCH METHOD...   (into FOLDER/METHOD)
python distill_worker.py sastc FILE                           (the loss and its gradients, in float64)
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

from seamount.distill.config import Augmentation, DataConfig, DistillConfig, TrainConfig
from seamount.distill.data import Data, load_data
from seamount.distill.methods.lesson import Lesson
from seamount.distill.methods.sastc import Sastc
from seamount.distill.parallel import open_world
from seamount.distill.train import Trained, distill
from seamount.models.spiking_net import SpikingNet
from seamount.models.students import StudentOptions, small

N_STEPS = 3

SASTC_CASES = ((33, False), (8, False), (3, False), (9, True))
"""Samples over all processes, and whether in the exact mode."""


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


def sastc_gradients(batch: int, *, exact: bool) -> dict[str, torch.Tensor]:
    """SASTC's loss over all processes, the gradients of its parameters and of the maps, and its buffers."""
    world = open_world("cpu")
    torch.manual_seed(1)
    shapes = {"a": (3, 4, 4), "b": (5, 1, 1)}
    module = Sastc(shapes, {"x": (4, 2, 2), "y": (6, 1, 1)}, batch_size=batch if exact else None).double()
    own = world.share(torch.arange(batch))
    # real values: pooled to one pixel, spikes would be the same everywhere and have no spread
    maps = {
        name: torch.rand(N_STEPS, batch, *shape).double()[:, own].requires_grad_() for name, shape in shapes.items()
    }
    teachers = {name: torch.randn(batch, *shape).double()[own] for name, shape in module.teacher.items()}
    logits = torch.zeros(N_STEPS, len(own), 10)
    loss = module(Lesson(logits, own, None, maps, teachers)) * len(own) / batch
    loss.backward()
    found = {"loss": world.sum(loss.detach())}
    found |= {f"{name}.grad": world.sum(p.grad) for name, p in module.named_parameters() if p.grad is not None}
    for name, values in maps.items():
        assert values.grad is not None
        whole = torch.zeros(N_STEPS, batch, *values.shape[2:], dtype=torch.float64)
        whole[:, own] = values.grad
        found[f"{name}.grad"] = world.sum(whole)
    return found | dict(module.named_buffers())


if __name__ == "__main__":
    torch.set_num_threads(1)
    match sys.argv[1:]:
        case ["train", folder, epochs, batch, *methods]:
            for method in methods:
                train(Path(folder) / method, method, int(epochs), batch_size=int(batch))
        case ["sastc", file]:
            results = {f"{n} {exact}": sastc_gradients(n, exact=exact) for n, exact in SASTC_CASES}
            if open_world("cpu").rank == 0:
                torch.save(results, file)
