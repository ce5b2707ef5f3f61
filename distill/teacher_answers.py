"""What the teacher says to the training images, computed once for each view of them and kept on disk.

It pays where images are seen again as they were: without augmentation, or in ``data.views`` views alike in all runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from . import checkpoint, maps
from .data.samples import Data, Pass
from .parallel import World
from .progress import QUIET, Progress

BATCH = 256
LOGITS = "logits"

LOOKED_AT = 64
"""Of images that are files of their own, by which another data set in the same place shows."""


class TeacherAnswers:
    """
    Args:
        folder: where they are kept; runs of the same teacher and data may share it.
        bf16: computed as in a training of that precision.
        shapes: layers whose maps are kept beside the logits -> (C, H, W) as they come out of the teacher.
        side: larger maps are pooled to it.
    """

    def __init__(
        self,
        data: Data,
        teacher: nn.Module,
        world: World,
        folder: Path,
        *,
        bf16: bool,
        shapes: Mapping[str, maps.Shape] | None = None,
        side: int | None = None,
    ) -> None:
        self.data, self.teacher, self.world, self.folder, self.bf16 = data, teacher, world, folder, bf16
        self.shapes, self.side = dict(shapes or {}), side
        self._known: dict[int, dict[str, Tensor]] = {}
        digest = hashlib.sha256(repr(teacher).encode())
        for name, value in teacher.state_dict().items():
            digest.update(
                name.encode() + value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
            )
        section = data.config.model_dump(mode="json", exclude={"root", "cache"})
        frames = data.n_steps if data.encoding == "frames" else None  # of which the teacher sees the mean
        digest.update(f"{section} {frames} {bf16}".encode())
        for values in _asked_about(data):
            digest.update(np.ascontiguousarray(values).data)
        if self.shapes:
            digest.update(f"{list(self.shapes)} {side}".encode())
        self._digest = digest.hexdigest()

    @staticmethod
    def possible(data: Data) -> bool:
        """Whether images come again as they were."""
        return not data.augmented or data.config.views is not None

    @property
    def n_views(self) -> int:
        return (self.data.config.views or 1) if self.data.augmented else 1

    @property
    def n_bytes(self) -> int:
        """On disk, of all views' maps."""
        values = sum(c * min(h, self.side or h) * min(w, self.side or w) for c, h, w in self.shapes.values())
        return self.n_views * len(self.data.train) * values * (2 if self.bf16 else 4)

    def of(self, numbers: Tensor, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits (B, K) and maps of training samples as they are in an epoch, on the device of the training."""
        view = epoch % self.n_views
        if view not in self._known:
            if self.shapes:  # which take room: those of one view are in memory, and the logits of all
                self._known = {}
            self._known[view] = self._view(view)
        known, device = self._known[view], self.world.device
        found = {name: values[numbers.to(values.device)].to(device) for name, values in known.items()}
        return found.pop(LOGITS), found

    def prepare(self, progress: Progress) -> None:
        """Computes all views that are not on disk yet, and says so."""
        for view in range(self.n_views):
            if self.world.rank == 0 and not self._there(view):
                takes = size(self.n_bytes / self.n_views)
                words = f"the teacher's maps, view {view + 1} of {self.n_views}, {takes} in {self.folder}"
                progress.begin(words, len(self.data.train))
                checkpoint.save(self._path(view), self._computed(view, progress), self._facts(view))
                progress.end()
        self.world.wait()

    def _path(self, view: int) -> Path:
        return self.folder / f"teacher-{self._digest[:16]}-view-{view}.safetensors"

    def _facts(self, view: int) -> dict[str, object]:
        return {"digest": self._digest, "view": view}

    def _there(self, view: int) -> bool:
        path = self._path(view)
        return path.exists() and checkpoint.load(path)[1] == self._facts(view)

    def _view(self, view: int) -> dict[str, Tensor]:
        if self.world.rank == 0 and not self._there(view):
            checkpoint.save(self._path(view), self._computed(view, QUIET), self._facts(view))
        self.world.wait()
        found = checkpoint.load(self._path(view))[0]
        # maps stay where there is room for them
        return {name: values.to(self.world.device) if name == LOGITS else values for name, values in found.items()}

    def _computed(self, view: int, progress: Progress) -> dict[str, Tensor]:
        during = self.data.during(0, view) if self.data.augmented else None
        parts: dict[str, list[Tensor]] = {name: [] for name in (LOGITS, *self.shapes)}
        with torch.inference_mode(), self._precision(), maps.recorded(self.teacher, list(self.shapes)) as found:
            for numbers in torch.split(torch.arange(len(self.data.train)), BATCH):
                parts[LOGITS].append(self.teacher(self._images(numbers, during)).float().cpu())
                for name, values in maps.pooled(found, self.side).items():
                    parts[name].append(values.cpu())
                progress.advance(len(numbers))
        return {name: torch.cat(values) for name, values in parts.items()}

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast(self.world.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def _images(self, numbers: Tensor, during: Pass | None) -> Tensor:
        device, data = self.world.device, self.data
        values, seeds = data.read(data.train, numbers.to(data.train.ids.device), during)
        return data.batch(values.to(device), seeds.to(device), data.train.labels[numbers].to(device)).teacher_x


def _asked_about(data: Data) -> Iterator[NDArray[Any]]:
    """Which images, in which order: all values that are in memory; of images that are read one by one, some."""
    part = data.train
    yield part.labels.cpu().numpy()
    yield part.ids.cpu().numpy()
    if part.values is not None:
        yield part.values
        return
    numbers = torch.linspace(0, len(part) - 1, min(len(part), LOOKED_AT)).long()
    yield data.read(part, numbers)[0].numpy()


def size(n_bytes: float) -> str:
    return f"{n_bytes / 2**30:.2f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.3g} MiB"
