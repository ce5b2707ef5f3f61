"""Trains a tiny student; run by the tests in processes of its own, alone and under torchrun.

python distill_worker.py train FOLDER EPOCHS BATCH METHOD...   (into FOLDER/METHOD)
python distill_worker.py double FOLDER METHOD...              (one_step and smooth, into FOLDER/METHOD; SASTC's loss
                                                              and its gradients, in float64, into FOLDER/sastc.pt;
                                                              then the second process stops with an error)
python distill_worker.py killed FOLDER                        (the second process is killed outright)
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from seamount.distill.config import Augmentation, DataConfig, DistillConfig, TrainConfig
from seamount.distill.data import Data, load_data
from seamount.distill.methods.lesson import Lesson
from seamount.distill.methods.sastc import Sastc
from seamount.distill.parallel import World, open_world
from seamount.distill.train import Trained, distill
from seamount.errors import ConfigError, SeamountError
from seamount.models.choices import StudentOptions
from seamount.models.spiking_net import SpikingNet, StudentOutput
from seamount.models.students import small

N_STEPS = 3

SASTC_CASES = ((33, False), (8, False), (3, False), (9, True))
"""Samples over all processes, and whether in the exact mode."""


def digits(max_train: int = 220, augment: tuple[Augmentation, ...] = ("crop",), views: int | None = None) -> Data:
    config = DataConfig(max_train=max_train, max_test=60, augment=augment, views=views)
    return load_data(config, n_steps=N_STEPS)


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


@contextmanager
def double() -> Iterator[None]:
    """Within it, modules are made in float64."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def seen_in_double(network: nn.Module) -> nn.Module:
    """The network, which turns its input into float64."""
    network.register_forward_pre_hook(lambda _, arguments: tuple(a.double() for a in arguments))
    return network


class Smooth(nn.Module):
    """A student without spikes: what differs by rounding stays so small over any number of steps."""

    features = ("first", "second")

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh())
        self.second = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.Tanh())
        self.last = nn.Linear(6 * 16, 10)

    def forward(self, x: Tensor, *, record: bool | Collection[str] = False) -> StudentOutput:
        first = self.first(x)
        second = self.second(first)
        step = torch.arange(1.0, N_STEPS + 1, device=x.device) / N_STEPS  # steps that differ
        maps = {n: torch.stack([v * k for k in step]) for n, v in (("first", first), ("second", second))}
        return StudentOutput(torch.stack([self.last(v.flatten(1)) for v in maps["second"]]), maps if record else {})


def one_step(folder: Path, method: str) -> None:
    """One step of plain gradient descent of the spiking student in float64, by which weights lose their gradient."""
    with double():
        network = student()
        for neurons in network.neurons().values():
            neurons.fused = False  # which computes in float32
        settings = TrainConfig(epochs=1, batch_size=33, lr=1, optimizer="sgd", momentum=0, weight_decay=0)
        data, config = digits(max_train=43), DistillConfig(method=method)  # 33 after the validation part
        assert len(data.train) == settings.batch_size
        distill(data, seen_in_double(teacher()), seen_in_double(network), config, settings, folder)


def smooth(folder: Path, method: str) -> None:
    """Two epochs of a student that has no spikes which could flip, in float64; the last batches are uneven."""
    with double():
        torch.manual_seed(3)
        settings = TrainConfig(epochs=2, batch_size=33, lr=0.05, optimizer="sgd", clip_norm=5)
        config = DistillConfig(method=method)
        distill(digits(), seen_in_double(teacher()), seen_in_double(Smooth()), config, settings, folder)


def refuse() -> None:
    raise ConfigError("no more", where="second")


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def end_the_second(end: Callable[[], None], folder: Path) -> None:
    """As ``train``, but the second of the processes ends in its third step."""
    network, steps = student(), itertools.count(1)
    with open_world("cpu") as world:
        if world.rank == 1:
            network.register_forward_pre_hook(lambda *_: end() if network.training and next(steps) == 3 else None)
        distill(digits(), teacher(), network, DistillConfig(), TrainConfig(epochs=2, batch_size=32), folder)


def sastc_gradients(batch: int, *, exact: bool) -> dict[str, Tensor]:
    """SASTC's loss over all processes, the gradients of its parameters and of the maps, and its buffers."""
    with open_world("cpu") as world:
        return _sastc_gradients(batch, exact, world)


def _sastc_gradients(batch: int, exact: bool, world: World) -> dict[str, Tensor]:
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
        case ["double", folder, *methods]:
            for method in methods:
                one_step(Path(folder) / method / "one_step", method)
                smooth(Path(folder) / method / "smooth", method)
            results = {f"{n} {exact}": sastc_gradients(n, exact=exact) for n, exact in SASTC_CASES}
            with open_world("cpu") as world:
                if world.rank == 0:
                    torch.save(results, Path(folder) / "sastc.pt")
            try:
                end_the_second(refuse, Path(folder) / "failed")
            except SeamountError as error:
                sys.exit(f"error: {error}")
        case ["killed", folder]:
            end_the_second(kill, Path(folder))
