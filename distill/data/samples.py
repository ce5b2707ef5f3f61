"""Samples on disk or in memory, and a data set made of three parts of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seamount.errors import InputError
from seamount.foreign.labels import class_labels
from seamount.own import is_own

from ..config import DataConfig, Encoding
from .augment import alternating, augment
from .encode import encode
from .randomness import mix

Bytes = NDArray[np.uint8]

RESIDENT_BYTES = 8 << 30
"""So much of a data set goes to a GPU whole, where batches are cut and augmented without a copy."""


@dataclass(frozen=True)
class Pass:
    """One pass over the training part: its random choices follow from the run's seed and the epoch's number."""

    seed: int
    epoch: int


@dataclass(frozen=True)
class Samples:
    """Some samples and their labels.

    Attributes:
        labels: (N,) int64 class numbers.
        read: ids (B,) and, in training, seeds (B,) -> uint8 (B, *shape), or (B, T, *shape) for frames.
        ids: (N,) what ``read`` knows a sample by, and what its random choices follow from.
        values: what is read, by id, where all of it is in memory.
    """

    labels: Tensor
    read: Callable[[Tensor, Tensor | None], Tensor]
    ids: Tensor
    values: Bytes | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, numbers: Tensor) -> Samples:
        return replace(self, labels=self.labels[numbers], ids=self.ids[numbers])


def in_memory(values: Bytes, labels: Sequence[int] | NDArray[np.integer]) -> Samples:
    """Samples of an array (N, ...); a memory-mapped one is read as needed."""

    def read(ids: Tensor, seeds: Tensor | None) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values[ids.numpy()]))

    return Samples(torch.from_numpy(class_labels(labels, "labels")), read, torch.arange(len(values)), values)


@dataclass(frozen=True)
class Source:
    """What a loader of ``load.py`` returns: the two parts everybody agrees on.

    Attributes:
        events: samples are frames over time, (T, *shape).
        graded: their values are shares of 255, such as energies of sound, no numbers of events.
    """

    train: Samples
    test: Samples
    class_names: tuple[str, ...]
    events: bool = False
    graded: bool = False


@dataclass(frozen=True)
class Batch:
    """What the networks see.

    Attributes:
        x: the student's input: (B, *shape) in [0, 1] for direct coding, else (T, B, *shape).
        teacher_x: the teacher's, (B, *teacher_shape): the image, the mean of the frames, or lines laid together.
        labels: (B,).
    """

    x: Tensor
    teacher_x: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Data:
    """A data set, split, with its encoding.

    Attributes:
        input_shape: of one step, (C, H, W) or (F,).
        n_steps: T.
        input_scale: what the float input is multiplied by to give the chip's integers.
        input_bits: 8 for graded input, 0 for spikes.
        graded: frames of 8-bit values; else of events.
    """

    name: str
    train: Samples
    val: Samples
    test: Samples
    class_names: tuple[str, ...]
    input_shape: tuple[int, ...]
    n_steps: int
    encoding: Encoding
    config: DataConfig = field(default_factory=lambda: DataConfig())
    graded: bool = False

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    @property
    def input_bits(self) -> int:
        return 8 if self.encoding == "direct" or self.counts or self.graded else 0

    @property
    def input_scale(self) -> float:
        return 255.0 if self.encoding == "direct" or self.graded else 1.0

    @property
    def counts(self) -> bool:
        return self.encoding == "frames" and self.config.frame_values == "count" and not self.graded

    @property
    def lines(self) -> bool:
        """Whether a step is a line, (F,) or (C, 1, F), as of sound: the mean over steps would leave nothing of it."""
        return self.encoding == "frames" and (len(self.input_shape) == 1 or self.input_shape[-2:-1] == (1,))

    @property
    def passes(self) -> int:
        """How often an ANN of the student's layers would have to run for one sample: a sequence has no mean."""
        return self.n_steps if self.lines else 1

    @property
    def teacher_shape(self) -> tuple[int, ...]:
        """Of what the teacher sees; lines are laid together to an image (C, T, F)."""
        if not self.lines:
            return self.input_shape
        return (*([1] if len(self.input_shape) == 1 else self.input_shape[:-2]), self.n_steps, self.input_shape[-1])

    @property
    def augmented(self) -> bool:
        return bool(self.config.augment)

    def on(self, device: torch.device) -> Data:
        """The same with all values in a GPU's memory, where it can: they are read and augmented there, by one rule.

        "autoaugment" and changes of one's own work image by image, which processes of the CPU do faster.
        """
        one_by_one = any(name == "autoaugment" or is_own(name) for name in self.config.augment)
        if device.type == "cpu" or one_by_one:
            return self
        held: dict[int, Tensor] = {}

        def moved(part: Samples) -> Samples:
            if part.values is None or part.values.nbytes > RESIDENT_BYTES:
                return part
            if id(part.values) not in held:
                held[id(part.values)] = torch.from_numpy(np.ascontiguousarray(part.values)).to(device)
            values = held[id(part.values)]
            return replace(
                part, labels=part.labels.to(device), ids=part.ids.to(device), read=lambda ids, _: values[ids]
            )

        return replace(self, train=moved(self.train), val=moved(self.val), test=moved(self.test))

    def during(self, seed: int, epoch: int) -> Pass:
        """The pass that a run of this seed makes in an epoch; with ``data.views`` one that all runs make."""
        views = self.config.views
        return Pass(seed, epoch) if views is None else Pass(self.config.seed, epoch % views)

    def read(self, part: Samples, numbers: Tensor, during: Pass | None = None) -> tuple[Tensor, Tensor]:
        """uint8 values, augmented during a pass of training, and the samples' seeds, where the samples are."""
        ids = part.ids[numbers]
        seeds = mix(ids, 0 if during is None else int(mix(during.seed, during.epoch, 2)))
        training = during is not None and self.augmented
        values = part.read(ids, seeds if training else None)
        if during is not None and training:
            values = augment(values, seeds, self.config, alternating(ids, during.seed, during.epoch))
        return values, seeds

    def batch(self, values: Tensor, seeds: Tensor, labels: Tensor) -> Batch:
        """Floats for both networks, on the device of ``values``."""
        if self.encoding != "frames":
            return Batch(encode(values, self.encoding, self.n_steps, seeds), values.float() / 255, labels)
        if not self.counts and not self.graded:
            values = values.clamp_max(1)
        x = encode(values, self.encoding, self.n_steps, seeds)
        if self.graded:
            x = x / self.input_scale
        seen = x.transpose(0, 1)
        if self.lines:
            return Batch(x, seen.transpose(1, -2).reshape(len(values), *self.teacher_shape), labels)
        return Batch(x, seen.mean(1), labels)

    def inputs(self, part: Samples, numbers: Sequence[int] | Tensor) -> Batch:
        """The encoded samples, not augmented: what is evaluated, exported and deployed."""
        numbers = torch.as_tensor(numbers)
        values, seeds = self.read(part, numbers)
        return self.batch(values, seeds, part.labels[numbers])

    def chip_inputs(self, part: Samples, numbers: Sequence[int] | Tensor) -> NDArray[np.int64]:
        """What enters the chip at every step, integers (T, B, *shape)."""
        x = (self.inputs(part, numbers).x * self.input_scale).round().to(torch.int64)
        return (x.expand(self.n_steps, *x.shape) if self.encoding == "direct" else x).numpy()


def check_labels(name: str, part: str, labels: Tensor, class_names: Sequence[str], *, every_class: bool) -> None:
    """Refuses labels out of range and, in the training part, a class without samples."""
    n_classes = len(class_names)
    if len(labels) == 0:
        raise InputError(f"the {part} part has no samples", where=name)
    outside = labels[(labels < 0) | (labels >= n_classes)]
    if len(outside):
        raise InputError(
            f"{len(outside)} labels of the {part} part are out of range, such as {int(outside[0])}; {n_classes} "
            f"classes have labels 0 to {n_classes - 1}",
            where=name,
        )
    present = torch.bincount(labels, minlength=n_classes)
    empty = [class_names[k] for k in range(n_classes) if present[k] == 0]
    if every_class and empty:
        raise InputError(
            f"no {part} sample of class {_few(empty)}; a class that is never seen cannot be learned: add "
            "samples, or leave the class out of the labels",
            where=name,
        )


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more


def split(labels: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Numbers of the samples kept and of those held out: the share is taken of every class, at least one of two."""
    rng = np.random.default_rng(seed)
    values = labels.numpy()
    out = np.zeros(len(values), dtype=bool)
    for label in np.unique(values):
        members = rng.permutation(np.flatnonzero(values == label))
        n_held = min(max(round(share * len(members)), 1), len(members) - 1)
        out[members[:n_held]] = True
    return torch.from_numpy(np.flatnonzero(~out)), torch.from_numpy(np.flatnonzero(out))


def in_turns(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Numbers of all samples: the first of every class, then the second of every one, and so on."""
    rank = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members] = np.arange(len(members))
    return np.lexsort((labels, rank))


def first_of_each(labels: Tensor, n: int) -> Tensor:
    """Numbers of at most n samples: the first of every class in turn, so that small parts stay balanced."""
    return torch.from_numpy(np.sort(in_turns(labels.numpy())[:n]))
