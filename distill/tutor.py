"""What the teacher says in a step: asked then, or once for all steps where its answers never change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
    """The teacher's part in a step."""

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
    if teacher is None:
        return Tutor(settings, lambda batch, _, moment: (batch, None, {}, moment))
    if needs_maps(weights, config.options):
        return _tutor_of_maps(data, teacher, student, config, train, world, folder, progress)
    kept = _kept_logits(data, teacher, config, train, world, folder)
    if kept is not None:
        return Tutor(settings, lambda batch, numbers, moment: (batch, *kept.of(numbers, moment.epoch), moment))
    run = compiled(teacher) if train.compile else teacher

    def logits_only(batch: Batch, _: Tensor, moment: Moment) -> tuple[Any, ...]:
        with torch.no_grad():
            return batch, run(batch.teacher_x), {}, moment

    return Tutor(settings, logits_only)


def _tutor_of_maps(
    data: Data,
    teacher: nn.Module,
    student: nn.Module,
    config: DistillConfig,
    train: TrainConfig,
    world: World,
    folder: Path,
    progress: Progress,
) -> Tutor:
    """Also hands over what the teacher's inner layers say; which ones, and their shapes, one sample shows."""
    batch = to_device(data, data.train, torch.zeros(1, dtype=torch.int64), world)
    was_training = student.training
    student.eval()  # because a batch norm cannot learn from one sample
    with torch.no_grad():
        spikes = student_output(student, batch, record=True)[1]
    student.train(was_training)
    settings = Settings(
        config.temperature,
        config.divergence,
        config.sta_target,
        maps.choose("student", maps.student_shapes(spikes), config.student_maps or _features(student)),
        maps.choose("teacher", maps.teacher_shapes(teacher, batch.teacher_x), config.teacher_maps),
        exact_batch=train.batch_size if config.sastc == "exact" else None,
        sastc_every=config.sastc_every,
        sastc_side=config.sastc_side,
        options=config.options,
        label_smoothing=train.label_smoothing,
    )
    shapes, side = settings.teacher_shapes or {}, config.sastc_side
    kept_maps = _kept_maps(data, teacher, config, train, world, folder, shapes, progress)
    kept = _kept_logits(data, teacher, config, train, world, folder) if config.sastc_every > 1 else None

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


def _kept_logits(
    data: Data, teacher: nn.Module, config: DistillConfig, train: TrainConfig, world: World, folder: Path
) -> TeacherAnswers | None:
    """The teacher's logits from disk, where they may be used and images come again."""
    if not (config.cache_teacher and TeacherAnswers.possible(data)):
        return None
    return TeacherAnswers(data, teacher, world, _cache(config, folder), bf16=train.precision == "bf16")


def _cache(config: DistillConfig, folder: Path) -> Path:
    return folder if config.teacher_cache is None else named_path(config.teacher_cache, "distill.teacher_cache")


def _kept_maps(
    data: Data,
    teacher: nn.Module,
    config: DistillConfig,
    train: TrainConfig,
    world: World,
    folder: Path,
    shapes: Mapping[str, maps.Shape],
    progress: Progress,
) -> TeacherAnswers | None:
    """Likewise with maps, where they may take room and it suffices; the user is told what they take."""
    if not (config.cache_teacher and config.teacher_cache_gib and TeacherAnswers.possible(data)):
        return None
    kept = TeacherAnswers(
        data,
        teacher,
        world,
        _cache(config, folder),
        bf16=train.precision == "bf16",
        shapes=shapes,
        side=config.sastc_side,
    )
    if kept.n_bytes > config.teacher_cache_gib * 2**30:
        limit = f"distill.teacher_cache_gib allows {size(config.teacher_cache_gib * 2**30)}"
        progress.begin(f"the teacher is asked in every step: its maps take {size(kept.n_bytes)}, {limit}", 1, 1)
        progress.end()
        return None
    kept.prepare(progress)
    return kept
