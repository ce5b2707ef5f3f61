"""The teacher's logits for the training images, computed once for each view of them and kept on disk.

They pay where images are seen again as they were: without augmentation, or in ``data.views`` views alike in all runs.
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from . import checkpoint
from .data.samples import Data, Pass
from .parallel import World

BATCH = 256


class TeacherLogits:
    """
    Args:
        folder: where they are kept; runs of the same teacher and data may share it.
        bf16: computed as in a training of that precision.
    """

    def __init__(self, data: Data, teacher: nn.Module, world: World, folder: Path, *, bf16: bool) -> None:
        self.data, self.teacher, self.world, self.folder, self.bf16 = data, teacher, world, folder, bf16
        self._known: dict[int, Tensor] = {}
        digest = hashlib.sha256()
        for name, value in teacher.state_dict().items():
            digest.update(
                name.encode() + value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
            )
        section = data.config.model_dump(mode="json", exclude={"root", "cache"})
        frames = data.n_steps if data.encoding == "frames" else None  # of which the teacher sees the mean
        digest.update(f"{section} {frames} {len(data.train)} {bf16}".encode())
        self._digest = digest.hexdigest()

    @staticmethod
    def possible(data: Data) -> bool:
        """Whether images come again as they were."""
        return not data.augmented or data.config.views is not None

    def of(self, numbers: Tensor, epoch: int) -> Tensor:
        """Of training samples as they are in an epoch, (B, K), on the device of the training."""
        view = epoch % self.data.config.views if self.data.augmented and self.data.config.views else 0
        if view not in self._known:
            self._known[view] = self._view(view).to(self.world.device)
        return self._known[view][numbers.to(self.world.device)]

    def _view(self, view: int) -> Tensor:
        path = self.folder / f"teacher-{self._digest[:16]}-view-{view}.safetensors"
        facts = {"digest": self._digest, "view": view}
        if self.world.rank == 0 and not (path.exists() and checkpoint.load(path)[1] == facts):
            checkpoint.save(path, {"logits": self._computed(view)}, facts)
        self.world.wait()
        return checkpoint.load(path)[0]["logits"]

    def _computed(self, view: int) -> Tensor:
        during = self.data.during(0, view) if self.data.augmented else None
        parts = []
        with torch.inference_mode(), self._precision():
            for numbers in torch.split(torch.arange(len(self.data.train)), BATCH):
                parts.append(self.teacher(self._images(numbers, during)).float().cpu())
        return torch.cat(parts)

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast(self.world.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def _images(self, numbers: Tensor, during: Pass | None) -> Tensor:
        device, data = self.world.device, self.data
        values, seeds = data.read(data.train, numbers.to(data.train.ids.device), during)
        return data.batch(values.to(device), seeds.to(device), data.train.labels[numbers].to(device)).teacher_x
