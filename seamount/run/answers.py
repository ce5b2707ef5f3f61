"""The classes that a stage answered on the test set, read after each step: ``answers.npz``."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from seamount.compile.program.readout import classes
from seamount.distill.data import Samples
from seamount.distill.evaluate import answers, exact
from seamount.files import write_atomically
from seamount.foreign.arrays import read_npz

Array = NDArray[Any]

BATCH = 256
"""Test samples that are evaluated at once."""

Logits = Callable[[torch.Tensor], torch.Tensor]
"""Numbers of test samples (B,) -> (T, B, K)."""


def batches(n_samples: int) -> list[torch.Tensor]:
    """Numbers of all samples, in order."""
    return list(torch.split(torch.arange(n_samples), BATCH))


def write_answers(
    folder: Path, part: Samples, per_step: Array, margins: Array | None = None, name: str = "answers.npz"
) -> None:
    """Classes after each step, (T, n); the last one is the answer. Of the first n samples of a part.

    Args:
        margins: by how much it led after each step, (T, n).
    """
    labels = part.labels[: per_step.shape[1]].numpy()
    found = {"predictions": per_step[-1], "labels": labels, "per_step": per_step}
    write_arrays(folder / name, found if margins is None else {**found, "margins": margins})


def read_answers(folder: Path, name: str = "answers.npz") -> dict[str, Array]:
    """predictions (n,), labels (n,), per_step (T, n), perhaps margins (T, n)."""
    return read_arrays(folder / name)


def answer(test: Samples, logits: Logits, network: nn.Module) -> Array:
    """A network's classes of the test set after each step, (T, n); see ``classes`` for ties."""
    per_step = []
    with torch.inference_mode():
        for numbers in batches(len(test)):
            per_step.append(classes(answers(exact(logits(numbers), network), network).cpu().numpy()))
    return np.concatenate(per_step, axis=1)


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_atomically(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, Array]:
    return dict(read_npz(path))
