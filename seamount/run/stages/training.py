"""What the stages that train have in common: threads, and what they leave behind."""

from __future__ import annotations

import math
from dataclasses import asdict

import torch
from torch import nn

from seamount.config import RunConfig
from seamount.distill import checkpoint
from seamount.distill.data import Data
from seamount.distill.train import Trained
from seamount.files import write_json

from ..answers import Logits, answer, write_answers
from ..folder import TIMING
from ..stage import Place

SMALL_SAMPLE = 256
"""Values of a sample below which more threads cost more than they give."""


def use_threads(run: RunConfig, data: Data) -> None:
    """As configured; one for small samples, whose layers are done before a second thread is awake.

    The demonstration takes 57 s with one thread and 236 s with two while another process runs (2 cores, n = 1).
    """
    if run.n_threads is not None:
        torch.set_num_threads(run.n_threads)
    elif math.prod(data.input_shape) < SMALL_SAMPLE:
        torch.set_num_threads(1)


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
