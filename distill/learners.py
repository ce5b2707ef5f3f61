"""What a step of the optimiser runs: a network and its loss as one module; a student's may hold a spike budget."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .budget import SpikeBudget, spike_budget
from .compiled import compiled
from .config import DistillConfig, TrainConfig
from .data.samples import Batch, Data
from .evaluate import EVALUATION_BATCH, student_output
from .loop import Loss, Moment
from .methods import Lesson, Settings, WeightedSum
from .parallel import World


class TeacherLearner(nn.Module):
    """An ANN and its cross-entropy."""

    def __init__(self, network: nn.Module, train: TrainConfig) -> None:
        super().__init__()
        self.network = network
        self.run = compiled(network) if train.compile else network.__call__
        self.label_smoothing = train.label_smoothing

    def forward(self, x: Tensor, labels: Tensor) -> Loss:
        loss = F.cross_entropy(self.run(x).float(), labels, label_smoothing=self.label_smoothing)
        return loss, {}


class StudentLearner(nn.Module):
    """Student and loss together, because a loss may have parameters of its own (SASTC)."""

    def __init__(
        self,
        student: nn.Module,
        loss: WeightedSum,
        train: TrainConfig,
        budget: Budget | None,
        settings: Settings,
        one_step_epochs: int,
    ) -> None:
        super().__init__()
        self.student, self.loss, self.budget, self.one_step_epochs = student, loss, budget, one_step_epochs
        self.maps = tuple(settings.student_shapes or ())
        self.record: bool | Collection[str] = self.maps if budget is None else True
        self.run = compiled(student) if train.compile else student.__call__

    def forward(
        self, batch: Batch, teacher_logits: Tensor | None, teacher_maps: Mapping[str, Tensor], moment: Moment
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if moment.epoch < self.one_step_epochs:
            batch = replace(batch, x=batch.x[None])
        logits, spikes = student_output(self.run, batch, record=self.record)
        # no other maps, which are there only where spikes have a budget
        maps = {name: spikes[name] for name in self.maps}
        loss, terms = self.loss(Lesson(logits, batch.labels, teacher_logits, maps, teacher_maps))
        if self.budget is None:
            return loss, terms
        over, operations = self.budget(spikes, loss.detach(), moment)
        return loss + over, {**terms, "spike-budget": over.detach(), "operations": operations}


class Budget(nn.Module):
    """A budget's part in the loss."""

    def __init__(self, spikes: SpikeBudget, config: DistillConfig) -> None:
        super().__init__()
        self.spikes, self.weight, self.ramp = spikes, config.budget_weight, config.budget_ramp

    def forward(self, spikes: Mapping[str, Tensor], loss: Tensor, moment: Moment) -> tuple[Tensor, Tensor]:
        over, operations = self.spikes(spikes)
        risen = min(1.0, moment.share / self.ramp) if self.ramp else 1.0
        # with the size of the rest of the loss, because SASTC's is ten times a cross-entropy
        return self.weight * risen * loss.clamp_min(1.0) * over, operations

    def overspent(self, terms: Mapping[str, float]) -> float:
        """The share of its budget by which an epoch was above it: 1 % is worth a point of accuracy."""
        return max(0.0, terms["operations"] / self.spikes.limit - 1)


def make_budget(data: Data, student: nn.Module, config: DistillConfig, world: World) -> Budget | None:
    """What the configuration sets; the input's operations are a mean over some training samples."""
    if config.spike_budget is None:
        return None
    x = data.inputs(data.train, torch.arange(min(len(data.train), EVALUATION_BATCH))).x
    sent = (x * data.input_scale).round() != 0
    still = data.encoding == "direct"
    found = spike_budget(
        student, config, sent.float().mean(0) * data.n_steps if still else sent.float().mean(1).sum(0)
    )
    return None if found is None else Budget(found, config).to(world.device)
