"""What a network gets right, after every step, and how often its neurons fire."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamount.compile.program.readout import classes

from .data.samples import Batch, Data, Samples
from .parallel import World

EVALUATION_BATCH = 256
"""Samples that a network answers at once, where no gradients are kept."""


class Output(Protocol):
    """What a student returns: logits (T, B, K), and spikes (T, B, ...) by population when asked to record."""

    @property
    def logits(self) -> Tensor: ...

    @property
    def spikes(self) -> Mapping[str, Tensor]: ...


@dataclass(frozen=True)
class Evaluation:
    """Of one part of the data.

    Attributes:
        n: samples.
        anytime: accuracy when the answer is read after step 1, 2, ..., T; a tie of all classes is none.
        loss: cross-entropy of the final answer.
        rates: population -> mean spikes per neuron and step, over all samples.
    """

    n: int
    anytime: tuple[float, ...]
    loss: float
    rates: Mapping[str, float]

    @property
    def accuracy(self) -> float:
        return self.anytime[-1]


def answers(logits: Tensor, network: nn.Module | None = None) -> Tensor:
    """What is read after each step, (T, B, K): the mean of the logits so far, their last or their largest.

    Args:
        network: whose logits they are; without a way of its own to answer (a teacher) it answers by the mean.
    """
    match getattr(network, "answer", "sum"):
        case "v":
            return logits
        case "max":
            return logits.cummax(0).values
    steps = torch.arange(1, len(logits) + 1, device=logits.device, dtype=logits.dtype)
    return logits.cumsum(0) / steps.view(-1, 1, 1)


def exact(logits: Tensor, network: nn.Module) -> Tensor:
    """In float64 and, of a student in integers, as the chip's whole numbers: ties are ties here and on the chip."""
    whole: Callable[[Tensor], Tensor] = getattr(network, "whole_logits", Tensor.double)
    return whole(logits)


def student_output(
    student: Callable[..., Output], batch: Batch, *, record: bool | Collection[str]
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Logits (T, B, K), and what the populations asked for (True: all that spike) sent, (T, B, ...)."""
    output = student(batch.x, record=record)
    return output.logits, output.spikes if record else {}


def evaluate(
    network: nn.Module,
    data: Data,
    part: Samples,
    world: World,
    *,
    batch_size: int,
    spiking: bool = True,
    mirrored: bool = False,
) -> Evaluation:
    """Runs a part of the data once, shared out over the processes; random states and training mode are left alone.

    Args:
        spiking: a student (steps, spikes) or a teacher (one answer).
        mirrored: judge by the mean of the answers to each sample and to its mirror image.
    """
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        sums, fired = _counted(network, data, part, world, batch_size, spiking, mirrored)
    network.train(was_training)
    if world.size > 1:
        fired = _of_all_populations(fired)
    # in one exchange, because each has to wait for the slowest process
    total = world.sum(torch.cat([sums, torch.stack([f.cpu() for f in fired.values()])]) if fired else sums).cpu()
    shares = (total / len(part)).tolist()
    n_steps = len(sums) - 1
    return Evaluation(
        n=len(part),
        anytime=tuple(shares[:n_steps]),
        loss=shares[n_steps],
        rates=dict(zip(fired, shares[n_steps + 1 :], strict=True)),
    )


def _of_all_populations(fired: dict[str, Tensor]) -> dict[str, Tensor]:
    """A rank without samples knows no populations: all learn the first one's."""
    names: list[Any] = [list(fired)]
    torch.distributed.broadcast_object_list(names)
    return {name: fired.get(name, torch.zeros((), dtype=torch.float64)) for name in names[0]}


def _counted(
    network: nn.Module, data: Data, part: Samples, world: World, batch_size: int, spiking: bool, mirrored: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """Of this process's samples: right answers after each step and the summed loss, (T + 1,); rates times samples."""
    sums = torch.zeros((data.n_steps if spiking else 1) + 1, dtype=torch.float64)
    fired: dict[str, Tensor] = {}
    for numbers in torch.split(world.share(torch.arange(len(part))), batch_size):
        batch = to_device(data, part, numbers, world)
        logits, spikes = _asked(network, batch, spiking, record=True)
        if mirrored:
            logits = (logits + _asked(network, mirror(batch), spiking, record=False)[0]) / 2
        for name, values in spikes.items():
            share = values.double().mean() * len(numbers)
            fired[name] = fired.get(name, torch.zeros_like(share)) + share
        read = answers(exact(logits, network), network)
        right = classes(read.cpu().numpy()) == batch.labels.cpu().numpy()
        sums[:-1] += torch.from_numpy(right.sum(-1))
        last = answers(logits.double(), network)[-1]
        sums[-1] += F.cross_entropy(last, batch.labels, reduction="sum").double().cpu()
    return sums, fired


def _asked(network: nn.Module, batch: Batch, spiking: bool, *, record: bool) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Logits (steps, B, K), and what the populations sent."""
    if spiking:
        return student_output(network, batch, record=record)
    return network(batch.teacher_x).unsqueeze(0), {}


def mirror(batch: Batch) -> Batch:
    """Every sample with its columns in reverse order."""
    return replace(batch, x=batch.x.flip(-1), teacher_x=batch.teacher_x.flip(-1))


def to_device(data: Data, part: Samples, numbers: Tensor, world: World) -> Batch:
    """Samples as they are evaluated, on this process's device."""
    values, seeds = data.read(part, numbers)
    return data.batch(values.to(world.device), seeds.to(world.device), part.labels[numbers].to(world.device))
