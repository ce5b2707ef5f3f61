"""What is wrong before anything is trained: everything is built once, and one batch goes through it.

What builds a network is imported when its turn comes: norse, and then all that trains, takes longer to load than a
mistake in data or teacher takes to be found.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from seamount import own
from seamount.compile.formats import NumberFormats
from seamount.config import Config
from seamount.distill import checkpoint
from seamount.distill.compiled import check_compiler
from seamount.distill.data import Data
from seamount.distill.methods import needs_teacher, weights_of
from seamount.distill.parallel import World, require_device
from seamount.errors import ENDS, ConfigError, SeamountError, out_of_memory
from seamount.hardware_targets.target import load_target
from seamount.models.teachers import build_teacher

from .early import check_settings
from .loading import LoadData
from .settings import own_code

if TYPE_CHECKING:
    from seamount.models.spiking_net import SpikingNet

T = TypeVar("T")

FEW = 2
"""Samples that are sent through."""
HEARD = 16
"""Samples in which a layer should fire at least once."""


@dataclass(frozen=True)
class Checked:
    """What a run is made of, untrained.

    Attributes:
        teacher: None for a method without one.
        warnings: what is possible, and will hardly be meant.
    """

    data: Data
    teacher: nn.Module | None
    student: SpikingNet
    warnings: tuple[str, ...] = ()


def check(config: Config, load: LoadData, *, trains_only: bool = False) -> Checked:
    """Builds what the configuration names and sends one batch through it.

    Args:
        trains_only: the run ends before the student becomes integers: it may be one that no chip holds.

    Raises:
        ConfigError, InputError, Unsupported, BackendMissing: what would have stopped the run later.
    """
    check_settings(config)
    require_device(config.run.device)
    formats = load_target(config.target.name).chip.formats
    if config.train.compile:
        check_compiler(World(0, 1, torch.device(config.run.device)))
    with torch.random.fork_rng(devices=[]):  # every stage draws as if this had not been
        data = load(config.data, config.student.n_steps)
        teacher = _teacher(config, data)
        student = _student(config, data, None if trains_only else formats)
        _rehearse(config, data, teacher, student)
        warnings = tuple(_silence(student, data, config))
    return Checked(data, teacher, student, warnings)


def _student(config: Config, data: Data, formats: NumberFormats | None) -> SpikingNet:
    """
    Args:
        formats: those that must hold it; None: it need not become integers.
    """
    from seamount.distill.plan import check_quantisable

    from .new_student import new_student

    student = new_student(config.student, config.compile, data)
    if config.student.checkpoint is not None:
        _put(student, config.student.checkpoint, "student.checkpoint")
    if student.n_classes != data.n_classes:
        found = f"the student answers with {student.n_classes} classes, the data have {data.n_classes}"
        raise ConfigError(found, where="student.arch", ways_out=f"build it with n_classes = {data.n_classes}")
    if formats is not None:
        check_quantisable(student, formats, config.quant.weight_bits)
    return student


def _rehearse(config: Config, data: Data, teacher: nn.Module | None, student: SpikingNet) -> None:
    from seamount.distill.train import rehearse

    from .budget import in_operations

    allowed = in_operations(config.distill, student)
    call = functools.partial(rehearse, data, teacher, student, allowed, config.train)
    _named("training", "in its first batch", config, call)


def _silence(student: SpikingNet, data: Data, config: Config) -> Iterator[str]:
    """Layers through which nothing can be learned at first, because they send nothing."""
    x = data.inputs(data.train, torch.arange(min(HEARD, len(data.train)))).x
    with torch.no_grad():
        sent = _named("student", "in its first batch", config, lambda: student.train()(x, record=True).spikes)
    silent = [name for name, spikes in sent.items() if not spikes.any()]
    if silent:
        yield (
            f"student: {', '.join(silent)} {'sends' if len(silent) == 1 else 'send'} nothing on {len(x)} training "
            "samples, and hardly anything is learned through silent neurons; a lower v_th, a membrane that takes in "
            "more of a step (tau_mem_inv nearer to 1 / dt) or larger weights make them fire"
        )


def _teacher(config: Config, data: Data) -> nn.Module | None:
    if not needs_teacher(weights_of(config.distill.method), config.distill.options):
        return None
    settings = config.teacher
    teacher = build_teacher(
        settings.arch, n_classes=data.n_classes, input_shape=data.teacher_shape, **settings.options
    )
    if settings.checkpoint is not None:
        _put(teacher, settings.checkpoint, "teacher.checkpoint")
    elif settings.epochs == 0 and not own.is_own(settings.arch):
        raise ConfigError(
            f"0 leaves {settings.arch} untrained",
            where="teacher.epochs",
            ways_out=("train it", "give teacher.checkpoint"),
        )
    x = data.inputs(data.test, torch.arange(min(FEW, len(data.test)))).teacher_x
    where = f"teacher.arch = {settings.arch}"
    answer = _named(where, f"for images {tuple(x.shape)}", config, lambda: _evaluated(teacher, x))
    wanted = (len(x), data.n_classes)
    if not isinstance(answer, Tensor) or tuple(answer.shape) != wanted:
        shape = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        found = f"answers images {tuple(x.shape)} with {shape}"
        raise ConfigError(found, where=where, possible=f"needed are logits {wanted}")
    return teacher


def _evaluated(network: nn.Module, x: Tensor) -> Any:
    network.eval()
    with torch.no_grad():
        return network(x)


def _put(network: nn.Module, path: str, setting: str) -> None:
    try:
        checkpoint.put(network, checkpoint.load_weights(Path(path)), path)
    except SeamountError as error:
        raise type(error).together(reason.inside(setting) for reason in error.reasons) from None


def _named(what: str, when: str, config: Config, call: Callable[[], T]) -> T:
    """The call; what somebody's own code raises in it is told with its line."""
    try:
        return call()
    except (SeamountError, *ENDS):
        raise
    except BaseException as error:
        # of memory the training knows how much is left; anything else of ours would be a bug
        if out_of_memory(error) or not any(own_code(config)):
            raise
        raise ConfigError(f"raises {own.said(error)} {when}", where=what) from error
