"""Teacher, distilled student, student in integers: three trainings that each live in a folder and resume from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from seamount.errors import ConfigError
from seamount.models.teachers import build_teacher

from . import checkpoint
from .budget import check_silent
from .compiled import check_compiler
from .config import DistillConfig, QuantConfig, TeacherConfig, TrainConfig
from .data.randomness import mix
from .data.samples import Data, Pass
from .evaluate import EVALUATION_BATCH, Evaluation, evaluate, student_output, to_device
from .learners import StudentLearner, TeacherLearner, make_budget
from .loop import Epoch, Moment, Task, fit
from .methods import WeightedSum, needs_teacher, weights_of
from .parallel import World, open_world
from .precision import settled
from .progress import QUIET, Progress
from .tutor import make_tutor

REHEARSED = 2
"""Samples of a rehearsal."""

KEPT = {"cache_teacher", "teacher_cache", "teacher_cache_gib"}
"""Settings that say what is computed once: they make no other result."""

STARTING_SAMPLES = 5000
"""Of the training part, from which a network takes what it starts from."""


@runtime_checkable
class StartsFromData(Protocol):
    """A network whose first layer, or normalisation, is computed from the data before it is trained."""

    def start_from(self, images: Tensor) -> None:
        """From training images (N, C, H, W) in [0, 1], not augmented."""


@runtime_checkable
class HasAnn(Protocol):
    """A student whose graph and weights an ANN has too."""

    def as_ann(self) -> AbstractContextManager[None]:
        """Inside, the student answers as that ANN."""


@dataclass(frozen=True)
class Trained:
    """A trained network and how it came about.

    Attributes:
        network: with the best epoch's weights, in evaluation mode.
        history: every epoch, also those before a resumption.
        best_epoch: its number in ``history``.
        validation, test: of the best weights; ``anytime`` has the accuracy after each step.
        last_test: of the last epoch's weights where they are not the best.
        folder: best.safetensors, last.safetensors and TensorBoard's log.
        seconds: of training, in all sittings.
    """

    network: nn.Module
    history: tuple[Epoch, ...]
    best_epoch: int
    validation: Evaluation
    test: Evaluation
    last_test: Evaluation
    folder: Path
    seconds: float


def train_teacher(
    data: Data,
    config: TeacherConfig,
    train: TrainConfig,
    folder: Path,
    *,
    network: nn.Module | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress = QUIET,
) -> Trained:
    """Trains the teacher on hard labels; with a checkpoint, or for no epochs, only evaluates it.

    Args:
        network: a module of one's own that gives logits (B, K); by default ``config.arch``.
    """
    with open_world(device) as world:
        as_it_is = config.checkpoint is not None or config.epochs == 0
        if train.compile and not as_it_is:
            check_compiler(world)
        if network is None:
            with _seeded(seed, 11):
                network = build_teacher(
                    config.arch, n_classes=data.n_classes, input_shape=data.teacher_shape, **config.options
                )
        data = data.on(world.device)
        network.to(world.device)
        if config.checkpoint is not None:
            checkpoint.put(network, checkpoint.load_weights(Path(config.checkpoint)), config.checkpoint)
        elif not as_it_is and isinstance(network, StartsFromData):
            numbers = torch.arange(len(data.train))[:STARTING_SAMPLES]
            network.start_from(to_device(data, data.train, numbers, world).teacher_x)
        check_classes(data, network, None, world)
        own = settled(config.training(train), world)
        settings = _settings(data, own, seed, teacher=config.model_dump(exclude={"train"}))
        if data.encoding != "frames":  # still images are seen as they are: the number of steps is the student's
            del settings["n_steps"]
        task = Task(
            name="teacher",
            learner=TeacherLearner(network, own),
            network=network,
            prepare=lambda batch, *_: (batch.teacher_x, batch.labels),
            evaluate=_evaluator(network, data, world, own, spiking=False),
            settings=settings,
        )
        if as_it_is:
            network.eval()
            return _result(task, (), folder)
        return _train(task, data, own, folder, seed, world, progress)


def distill(
    data: Data,
    teacher: nn.Module | None,
    student: nn.Module,
    config: DistillConfig,
    train: TrainConfig,
    folder: Path,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress = QUIET,
    name: str = "student",
) -> Trained:
    """Trains a spiking student by a method of ``choices.py``.

    Args:
        teacher: any module that gives logits (B, K); None for methods without one.
        student: gives ``Output`` (logits (T, B, K), spikes when asked to record).

    With ``config.ann_epochs`` it first learns as an ANN (its steps cost a fraction, and its gradients are true ones),
    by the same losses, in ``folder/ann``; from these weights it goes on as spikes (hybrid training: Rathi et al.,
    ICLR 2020). In its first ``config.one_step_epochs`` a still image is seen for one step.

    Raises:
        ConfigError: a student, a method or data that cannot be learned so.
    """
    _check_one_step(data, config, train)
    if config.ann_epochs:
        train_as_ann(
            data, teacher, student, config, train, folder / "ann", seed=seed, device=device, progress=progress
        )
    with open_world(device) as world:
        if train.compile:
            check_compiler(world)
        train = settled(train, world)
        data = data.on(world.device)
        student.to(world.device)
        weights = weights_of(config.method)
        teacher = _ready(teacher, config, train, world) if needs_teacher(weights, config.options) else None
        check_classes(data, teacher, student, world)
        tutor = make_tutor(data, teacher, student, config, weights, train, world, folder, progress)
        with _seeded(seed, 12):
            loss = WeightedSum(weights, tutor.settings).to(world.device, _type_of(student))
        budget = make_budget(data, student, config, world)
        task = Task(
            name=name,
            learner=StudentLearner(student, loss, train, budget, tutor.settings, config.one_step_epochs),
            network=student,
            prepare=tutor.prepare,
            evaluate=_evaluator(student, data, world, train, spiking=True),
            settings=_settings(data, train, seed, distill=config.model_dump(exclude=KEPT)),
            drop_short=tutor.settings.exact_batch is not None,
            # or an epoch from before the budget's weight had risen would be the best one
            overspent=budget.overspent if budget is not None else lambda terms: 0.0,
        )
        trained = _train(task, data, train, folder, seed, world, progress)
        check_silent(trained.validation.rates, config, folder)
        return trained


def train_as_ann(
    data: Data,
    teacher: nn.Module | None,
    student: nn.Module,
    config: DistillConfig,
    train: TrainConfig,
    folder: Path,
    **where: Any,
) -> Trained:
    """``config.ann_epochs`` of a student's graph with ReLUs.

    Args:
        where: ``seed``, ``device`` and ``progress`` as ``distill`` has them.

    Raises:
        ConfigError: the student has no such form.
    """
    train = train.model_copy(update={"epochs": config.ann_epochs})
    changed = {
        "ann_epochs": 0,
        "one_step_epochs": 0,
        "spike_budget": None,  # because ReLUs have no spikes to be counted
        "teacher_cache": config.teacher_cache or str(folder.parent),
    }
    config = config.model_copy(update=changed)
    with _as_ann(student):
        return distill(data, teacher, student, config, train, folder, name="student as an ANN", **where)


def _check_one_step(data: Data, config: DistillConfig, train: TrainConfig) -> None:
    if not config.one_step_epochs:
        return
    if data.encoding != "direct":
        raise ConfigError(
            f"{data.name} comes as {data.n_steps} frames, and not one of them is the sample",
            where="distill.one_step_epochs",
            ways_out="set it to 0",
        )
    if config.one_step_epochs >= train.epochs:
        raise ConfigError(
            f"{config.one_step_epochs} of {train.epochs} epochs",
            where="distill.one_step_epochs",
            possible="needed is at least one epoch with all steps behind them",
            ways_out="lower it, raise train.epochs, or train a student of n_steps = 1",
        )


def _as_ann(student: nn.Module) -> AbstractContextManager[None]:
    if not isinstance(student, HasAnn):
        raise ConfigError(
            f"{type(student).__name__} has no form as an ANN", where="distill.ann_epochs", ways_out="set it to 0"
        )
    return student.as_ann()


def rehearse(
    data: Data,
    teacher: nn.Module | None,
    student: nn.Module,
    config: DistillConfig,
    train: TrainConfig,
    *,
    n: int = REHEARSED,
) -> None:
    """One batch of a training, on the CPU and without a step: what cannot work raises what the training would.

    Networks are left with gradients and other statistics of their batch norms.
    """
    world = World(0, 1, torch.device("cpu"))
    # whatever the training's device multiplies: this is a batch on the CPU
    train = train.model_copy(update={"compile": False, "precision": "fp32"})
    _check_one_step(data, config, train)
    if config.ann_epochs:
        with _as_ann(student):
            pass
    config = config.model_copy(update={"cache_teacher": False})  # whose logits would be computed for all samples
    teacher = _ready(teacher, config, train, world) if teacher is not None else None
    tutor = make_tutor(data, teacher, student, config, weights_of(config.method), train, world, Path(), QUIET)
    loss = WeightedSum(weights_of(config.method), tutor.settings).to(_type_of(student))
    budget = make_budget(data, student, config, world)
    learner = StudentLearner(student, loss, train, budget, tutor.settings, config.one_step_epochs)
    numbers = torch.arange(min(len(data.train), tutor.settings.exact_batch or n))
    values, seeds = data.read(data.train, numbers, Pass(0, 0))
    batch = data.batch(values, seeds, data.train.labels[numbers])
    learner.train()
    for epoch in sorted({0, config.one_step_epochs}):
        value, _ = learner(*tutor.prepare(batch, numbers, Moment(0.0, 0, epoch)))
        value.backward()


def _type_of(student: nn.Module) -> torch.dtype:
    """That of its maps and logits, and so of what a loss learns beside it."""
    return next((p.dtype for p in student.parameters() if p.is_floating_point()), torch.float32)


def _ready(teacher: nn.Module | None, config: DistillConfig, train: TrainConfig, world: World) -> nn.Module:
    """The teacher where it is asked, and unable to learn."""
    if teacher is None:
        raise ConfigError(f"{config.method} learns from a teacher, but there is none", where="distill.method")
    teacher = teacher.to(world.device).eval().requires_grad_(False)
    # with the student's layout, because both see the same images
    return teacher.to(memory_format=torch.channels_last) if train.precision == "bf16" else teacher


class Quantisable(Protocol):
    """What fine-tuning needs of a student in integers, beside being a student."""

    def calibrate(self, x: Tensor) -> object:
        """Sets the scales from samples (as ``Batch.x``)."""

    def freeze(self) -> object:
        """Fixes the integers."""


def finetune_quantised(
    data: Data,
    teacher: nn.Module | None,
    student: nn.Module,
    config: DistillConfig,
    quant: QuantConfig,
    train: TrainConfig,
    folder: Path,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress = QUIET,
) -> Trained:
    """Trains a student whose forward pass is the chip's arithmetic, by the same losses; freezes its integers.

    Args:
        student: a ``Quantisable`` module, scales not set yet.
    """
    with open_world(device) as world:
        student.to(world.device)
        numbers = torch.arange(len(data.train))[: quant.calibration_samples]
        quantised = cast(Quantisable, student)
        quantised.calibrate(to_device(data, data.train, numbers, world).x)
        if quant.epochs == 0:
            return _rounded(data, student, train, folder, world)
        # fp32, because bf16 holds integers of 8 bits only, and the sums of the chip are wider
        changed = {
            "epochs": quant.epochs,
            "lr": quant.lr,
            "warmup_epochs": 0.0,
            "precision": "fp32",
            "compile": False,
            # because what is frozen and judged are the integers themselves, for the images that the chip gets
            "average_epochs": 0.0,
            "test_flip": False,
        }
        own = train.model_copy(update=changed)
        result = distill(
            data,
            teacher,
            student,
            # at once, because the student in real numbers keeps to its budget already
            config.model_copy(update={"budget_ramp": 0.0, "ann_epochs": 0, "one_step_epochs": 0}),
            own,
            folder,
            seed=seed,
            device=device,
            progress=progress,
            name="quantised student",
        )
        quantised.freeze()
        return result


def _rounded(data: Data, student: nn.Module, train: TrainConfig, folder: Path, world: World) -> Trained:
    """The student with its integers fixed as they come from the scales, without any training."""
    task = Task(
        name="quantised student",
        learner=student,
        network=student,
        prepare=lambda *_: (),
        evaluate=_evaluator(student, data, world, train.model_copy(update={"test_flip": False}), spiking=True),
        settings={},
    )
    cast(Quantisable, student).freeze()
    return _result(task, (), folder)


def check_classes(data: Data, teacher: nn.Module | None, student: nn.Module | None, world: World) -> None:
    """Runs one sample through both; refuses answers that do not fit the data or each other."""
    batch = to_device(data, data.train, torch.zeros(1, dtype=torch.int64), world)
    found = {}
    with torch.no_grad():
        for who, network in (("teacher", teacher), ("student", student)):
            if network is None:
                continue
            was_training = network.training
            network.eval()
            answer = network(batch.teacher_x) if who == "teacher" else student_output(network, batch, record=False)[0]
            network.train(was_training)
            found[who] = _n_classes(who, answer, (1,) if who == "teacher" else (data.n_steps, 1), data)
    wrong = [f"the {who} answers with {n} classes" for who, n in found.items() if n != data.n_classes]
    if wrong:
        raise ConfigError(
            f"has {data.n_classes} classes, but {' and '.join(wrong)}",
            where=data.name,
            ways_out=f"build it with n_classes = {data.n_classes}",
        )


def _n_classes(who: str, answer: object, wanted: tuple[int, ...], data: Data) -> int:
    if not isinstance(answer, Tensor) or tuple(answer.shape[:-1]) != wanted:
        shape = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise ConfigError(
            f"answers one sample with {shape}", where=who, possible=f"needed are logits {(*wanted, data.n_classes)}"
        )
    return answer.shape[-1]


def _evaluator(
    network: nn.Module, data: Data, world: World, train: TrainConfig, *, spiking: bool
) -> Callable[[str], Evaluation]:
    parts = {"validation": data.val, "test": data.test}

    def judge(part: str) -> Evaluation:
        return evaluate(
            network,
            data,
            parts[part],
            world,
            batch_size=EVALUATION_BATCH,
            spiking=spiking,
            mirrored=train.test_flip,
        )

    return judge


def _train(
    task: Task, data: Data, config: TrainConfig, folder: Path, seed: int, world: World, progress: Progress
) -> Trained:
    folder.mkdir(parents=True, exist_ok=True)
    history = fit(task, data, config, folder, seed=seed, world=world, progress=progress)
    return _result(task, history, folder)


def _result(task: Task, history: tuple[Epoch, ...], folder: Path) -> Trained:
    """Evaluates the best weights, and the last ones where they are others."""
    validation, test = task.evaluate("validation"), task.evaluate("test")
    best, last_test = 0, test
    if history:
        best = int(checkpoint.load(folder / "best.safetensors")[1]["epoch"])
        if best != history[-1].number:
            good = {name: value.clone() for name, value in task.network.state_dict().items()}
            tensors, _ = checkpoint.load(folder / "last.safetensors")
            learner = {k.removeprefix("learner."): v for k, v in tensors.items() if k.startswith("learner.")}
            task.learner.load_state_dict(learner)
            averaged = {k.removeprefix("average."): v for k, v in tensors.items() if k.startswith("average.")}
            task.network.load_state_dict(averaged, strict=False)
            last_test = task.evaluate("test")
            task.network.load_state_dict(good)
    task.network.eval()
    return Trained(task.network, history, best, validation, test, last_test, folder, sum(e.seconds for e in history))


def _settings(data: Data, train: TrainConfig, seed: int, **more: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the weights at the end; how fast it goes and the batch size may change on resumption."""
    free = {"n_workers", "checkpoint_every_s", "batch_size", "compile"}
    facts: dict[str, Any] = {"seed": seed, "n_steps": data.n_steps, "encoding": data.encoding, "n": len(data.train)}
    sections = {"train": train.model_dump(exclude=free), "data": data.config.model_dump(exclude={"root", "cache"})}
    for section, values in {**sections, **more}.items():
        facts |= {f"{section}.{key}": value for key, value in values.items()}
    return facts


@contextmanager
def _seeded(seed: int, stream: int) -> Iterator[None]:
    """Within it, torch's generator of the CPU starts from this seed; afterwards it is as before."""
    with torch.random.fork_rng(devices=[]):  # networks are made on the CPU; others would be begun, each GPU there is
        torch.manual_seed(int(mix(seed, stream)) % 2**63)
        yield
