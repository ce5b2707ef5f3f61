"""What the stages that train have in common: threads, and what they leave behind."""

from __future__ import annotations

import math
import os
from dataclasses import asdict

import torch
from torch import nn

from seamount.config import RunConfig
from seamount.distill import checkpoint
from seamount.distill.data import Data
from seamount.distill.train import Trained
from seamount.files import write_json
from seamount.models.spiking_net import SpikingNet

from ..answers import Logits, answer, write_answers
from ..folder import TIMING
from ..stage import Place

SMALL_SAMPLE = 256
"""Values of a teacher's sample below which more threads cost more than they give."""

SMALL_STEP = 1 << 24
"""Neurons x steps x samples of a student's training step, below which it is the same: a layer is done before a second
thread is awake where the machine does something else, too. See docs/distillation.md for what was measured.
"""


def use_threads(run: RunConfig, *, small: bool) -> None:
    """As configured; as OMP_NUM_THREADS says, but one a core at most; else one for small work."""
    if run.n_threads is not None:
        torch.set_num_threads(run.n_threads)
    elif os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(min(torch.get_num_threads(), os.cpu_count() or 1))
    elif small:
        torch.set_num_threads(1)


def small_step(student: SpikingNet, batch_size: int) -> bool:
    n_neurons = sum(math.prod(student.shapes[name]) for name in student.order)
    return n_neurons * student.n_steps * batch_size < SMALL_STEP


def keep(place: Place, name: str, trained: Trained, data: Data, logits: Logits) -> None:
    """The network's weights, how it came about, and its answers on the test set; written by the leading process."""
    if not place.leads:
        return
    checkpoint.save(place.folder / name, trained.network.state_dict(), {"best_epoch": trained.best_epoch})
    write_json(
        place.folder / "metrics.json",
        {
            "best_epoch": trained.best_epoch,
            "history": [{k: v for k, v in asdict(epoch).items() if k != "seconds"} for epoch in trained.history],
            "validation": asdict(trained.validation),
            "test": asdict(trained.test),
        },
    )
    write_json(place.folder / TIMING, {"seconds": [epoch.seconds for epoch in trained.history]})
    write_answers(place.folder, data.test, answer(data.test, logits, trained.network))


def student_logits(student: nn.Module, data: Data, device: str) -> Logits:
    def logits(numbers: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = student(data.inputs(data.test, numbers).x.to(device)).logits
        return result

    return logits
