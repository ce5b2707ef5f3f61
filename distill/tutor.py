"""What the teacher says in a step: asked then, or once for all steps where its answers never change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seamount.files import named_path

from . import maps
from .compiled import compiled
from .config import DistillConfig, TrainConfig
from .data.samples import Batch, Data
from .evaluate import student_output, to_device
from .loop import Moment
from .methods import Settings, needs_maps
from .parallel import World
from .progress import Progress
from .teacher_answers import TeacherAnswers, size


@dataclass(frozen=True)
class Tutor:
    """The teacher's part in a step.

    Attributes:
        settings: of the loss, which may compare maps.
        prepare: a batch of B, its samples' numbers (B,) and the moment -> what ``StudentLearner`` is called with: the
            batch, the teacher's logits (B, K) or None, its maps (B, C, H, W) by module, the moment.
    """

    settings: Settings
    prepare: Callable[[Batch, Tensor, Moment], tuple[Any, ...]]


def make_tutor(
    data: Data,
    teacher: nn.Module | None,
    student: nn.Module,
    config: DistillConfig,
    weights: Mapping[str, float],
    train: TrainConfig,
    world: World,
    folder: Path,
    progress: Progress,
) -> Tutor:
    """Runs the teacher in every step, or once for all where its answers never change."""
    settings = Settings(
        config.temperature,
        config.divergence,
        config.sta_target,
        options=config.options,
        label_smoothing=train.label_smoothing,
    )
    if needs_maps("student", weights, config.options):
        settings = replace(settings, student_shapes=_student_maps(data, student, config, world))
    if teacher is None:
        return Tutor(settings, lambda batch, _, moment: (batch, None, {}, moment))
    asked = _Asked(teacher, data, config, train, world, folder)
    if needs_maps("teacher", weights, config.options):
        return _tutor_of_maps(asked, settings, progress)
    kept = asked.kept_logits()
    if kept is not None:
        return Tutor(settings, lambda batch, numbers, moment: (batch, *kept.of(numbers, moment.epoch), moment))
    run = compiled(teacher) if train.compile else teacher

    def logits_only(batch: Batch, _: Tensor, moment: Moment) -> tuple[Any, ...]:
        with torch.no_grad():
            return batch, run(batch.teacher_x), {}, moment

    return Tutor(settings, logits_only)


@dataclass(frozen=True)
class _Asked:
    """A teacher, what it is asked about, and where its answers may be kept."""

    teacher: nn.Module
    data: Data
    config: DistillConfig
    train: TrainConfig
    world: World
    folder: Path

    def kept_logits(self) -> TeacherAnswers | None:
        """Its logits from disk, where they may be used and images come again."""
        return self._kept({}, None) if self._may_keep else None

    def kept_maps(self, shapes: Mapping[str, maps.Shape], progress: Progress) -> TeacherAnswers | None:
        """Likewise with maps, where they may take room and it suffices; the user is told what they take."""
        room = self.config.teacher_cache_gib * 2**30
        if not (room and self._may_keep):
            return None
        kept = self._kept(shapes, self.config.sastc_side)
        if kept.n_bytes > room:
            limit = f"distill.teacher_cache_gib allows {size(room)}"
            progress.begin(f"the teacher is asked in every step: its maps take {size(kept.n_bytes)}, {limit}", 1, 1)
            progress.end()
            return None
        kept.prepare(progress)
        return kept

    @property
    def _may_keep(self) -> bool:
        return self.config.cache_teacher and TeacherAnswers.possible(self.data)

    def _kept(self, shapes: Mapping[str, maps.Shape], side: int | None) -> TeacherAnswers:
        shared = self.config.teacher_cache
        folder = self.folder if shared is None else named_path(shared, "distill.teacher_cache")
        bf16 = self.train.precision == "bf16"
        return TeacherAnswers(self.data, self.teacher, self.world, folder, bf16=bf16, shapes=shapes, side=side)


def _student_maps(data: Data, student: nn.Module, config: DistillConfig, world: World) -> dict[str, maps.Shape]:
    """Which of the student's populations are compared, and their shapes: one sample shows them."""
    batch = to_device(data, data.train, torch.zeros(1, dtype=torch.int64), world)
    was_training = student.training
    student.eval()  # because a batch norm cannot learn from one sample
    with torch.no_grad():
        spikes = student_output(student, batch, record=True)[1]
    student.train(was_training)
    return maps.choose("student", maps.student_shapes(spikes), config.student_maps or _features(student))


def _tutor_of_maps(asked: _Asked, settings: Settings, progress: Progress) -> Tutor:
    """Also hands over what the teacher's inner layers say; which ones, and their shapes, one sample shows."""
    teacher, config = asked.teacher, asked.config
    batch = to_device(asked.data, asked.data.train, torch.zeros(1, dtype=torch.int64), asked.world)
    settings = replace(
        settings,
        teacher_shapes=maps.choose("teacher", maps.teacher_shapes(teacher, batch.teacher_x), config.teacher_maps),
        exact_batch=asked.train.batch_size if config.sastc == "exact" else None,
        sastc_every=config.sastc_every,
        sastc_side=config.sastc_side,
    )
    shapes, side = settings.teacher_shapes or {}, config.sastc_side
    kept_maps = asked.kept_maps(shapes, progress)
    kept = asked.kept_logits() if config.sastc_every > 1 else None

    def with_maps(batch: Batch, numbers: Tensor, moment: Moment) -> tuple[Any, ...]:
        if moment.step % config.sastc_every:
            if kept is not None:
                return batch, *kept.of(numbers, moment.epoch), moment
            with torch.no_grad():
                return batch, teacher(batch.teacher_x), {}, moment
        if kept_maps is not None:
            return batch, *kept_maps.of(numbers, moment.epoch), moment
        with torch.no_grad(), maps.recorded(teacher, list(shapes)) as found:
            logits = teacher(batch.teacher_x)
            return batch, logits, maps.pooled(found, side), moment

    return Tutor(settings, with_maps)


def _features(student: nn.Module) -> tuple[str, ...]:
    """The populations that the architecture names for this purpose, where it names any."""
    features: Sequence[str] = getattr(student, "features", ())
    return tuple(features)
