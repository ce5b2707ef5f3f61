"""What a run would do: its stages, shapes, sizes, and about how many cores and how much time; nothing is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seamount.compile.pipeline import CompileOptions, compile_graph
from seamount.config import Config
from seamount.distill.data.samples import Batch, Data
from seamount.distill.quantised import QuantisedStudent
from seamount.distill.train import rehearse
from seamount.files import file_hash
from seamount.hardware_targets.lava import lava_status
from seamount.hardware_targets.target import load_target
from seamount.models.spiking_net import READOUT, SpikingNet
from seamount.notebook import card, line

from .budget import in_operations
from .checks import Checked, check
from .estimates import estimates
from .folder import Run
from .loading import load_once
from .pipeline import inputs_of
from .readout import READ
from .stages import DISTILL, QUANTISE, STAGES, TEACHER

TIMED = (8, 40)
"""Samples of the two batches whose times are measured."""
WHAT = 9
"""Columns in which a line of the plan says what it is of."""


@dataclass(frozen=True)
class PlannedStage:
    """
    Attributes:
        state: "to do", "done before", or why it would run again.
        about_s: time of its training alone, from a few batches on this CPU; None where nothing is trained.
    """

    name: str
    state: str
    about_s: float | None


@dataclass(frozen=True)
class Network:
    """
    Attributes:
        layers: population -> its shape.
    """

    name: str
    n_parameters: int
    layers: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class RunPlan:
    """What ``seamount run --dry-run`` prints.

    Attributes:
        samples: of each part of the data.
        teacher: None where the method needs none.
        answer: what is read of the student's readout.
        cores: per kind of target; None: ``does_not_fit`` says why.
        lava: what becomes of the proof on Lava.
        warnings: see ``Checked``.
    """

    folder: Path
    stages: tuple[PlannedStage, ...]
    samples: Mapping[str, int]
    input_shape: tuple[int, ...]
    n_steps: int
    n_classes: int
    teacher: Network | None
    student: Network
    target: str
    answer: str
    cores: int | None
    does_not_fit: str | None
    lava: str
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        waiting = [stage.name for stage in self.stages if stage.state != "done before"]
        return line("RunPlan", str(self.folder), (f"to do: {' '.join(waiting) or 'nothing'}", self._fit()))

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        rows = [(told[:WHAT].strip(), told[WHAT:]) for told in self.lines()]
        return card("What is to be done", str(self.folder), rows)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {**asdict(self), "folder": str(self.folder)}

    def lines(self) -> Iterator[str]:
        """For people; the first ``WHAT`` columns say what a line is of."""
        sizes = ", ".join(f"{n} {part}" for part, n in self.samples.items())
        yield f"data     {_shape(self.input_shape)}, {self.n_classes} classes: {sizes} samples"
        for who, network in (("teacher", self.teacher), ("student", self.student)):
            if network is not None:
                yield f"{who}  {network.name}, {network.n_parameters:,} parameters"
        yield f"         {self.n_steps} steps, input {_shape(self.input_shape)}"
        yield from (f"         {name} {_shape(shape)}" for name, shape in self.student.layers.items())
        yield f"         answer: {self.answer}"
        yield from (f"warning  {warning}" for warning in self.warnings)
        yield f"target   {self.target}: {self._fit()}"
        yield f"lava     {self.lava}"
        yield f"stages   in {self.folder}"
        for stage in self.stages:
            about = "" if stage.about_s is None or stage.state == "done before" else f", about {_time(stage.about_s)}"
            yield f"         {stage.name}: {stage.state}{about}"

    def _fit(self) -> str:
        if self.cores is None:
            return f"does not fit: {self.does_not_fit}"
        return f"about {self.cores} core{'s' if self.cores != 1 else ''}"


def make_plan(config: Config, folder: Path) -> RunPlan:
    """Checks a configuration as the run would, and says what it would do.

    Raises:
        SeamountError: what would stop the run.
    """
    load = load_once()
    checked = check(config, load)
    data = checked.data
    seconds = _seconds(config, checked)
    cores, does_not_fit = _cores(config, checked)
    student = checked.student
    return RunPlan(
        folder=folder,
        stages=tuple(_stages(config, folder, seconds)),
        samples={"training": len(data.train), "validation": len(data.val), "test": len(data.test)},
        input_shape=data.input_shape,
        n_steps=data.n_steps,
        n_classes=data.n_classes,
        teacher=None if checked.teacher is None else _network(config.teacher.arch, checked.teacher, {}),
        student=_network(config.student.arch, student, {name: student.shapes[name] for name in student.order}),
        target=config.target.name,
        answer=f"{READ[student.answer]} of {READOUT}",
        cores=cores,
        does_not_fit=does_not_fit,
        lava=_lava(config),
        warnings=checked.warnings,
    )


def _network(name: str, module: nn.Module, layers: Mapping[str, tuple[int, ...]]) -> Network:
    return Network(name, sum(p.numel() for p in module.parameters()), layers)


def _stages(config: Config, folder: Path, seconds: Mapping[str, float]) -> Iterator[PlannedStage]:
    run, again = Run(folder, STAGES), set()
    for stage in STAGES:
        state = "to do"
        if run.status(stage) is not None:
            settings = stage.settings(config)
            if any(earlier.name in again for earlier in stage.needs):
                state = "again, if what it needs changes"
            else:
                stale = run.stale(stage, inputs_of(run, stage, settings, file_hash))
                state = "done before" if stale is None else f"again, {stale}"
        if state != "done before":
            again.add(stage.name)
        yield PlannedStage(stage.name, state, seconds.get(stage.name))


def _seconds(config: Config, checked: Checked) -> dict[str, float]:
    """Stage -> seconds of its training, from a few batches of each."""
    data, train = checked.data, config.train
    teacher, student = checked.teacher, checked.student
    per_sample: dict[str, float] = {}
    with torch.random.fork_rng(devices=[]):
        if teacher is not None and config.teacher.checkpoint is None and config.teacher.epochs:
            answered: nn.Module = teacher.requires_grad_(True).train()
            step = _timed(data, lambda batch: answered(batch.teacher_x).sum().backward())
            per_sample[TEACHER.name] = config.teacher.epochs * step
        allowed = in_operations(config.distill, student)

        def learning(one_step_epochs: int) -> float:
            lesson = allowed.model_copy(update={"one_step_epochs": one_step_epochs})
            return _timed(data, lambda batch: rehearse(data, teacher, student, lesson, train, n=len(batch.labels)))

        one_step, all_steps = config.distill.one_step_epochs, learning(0)
        per_sample[DISTILL.name] = (train.epochs - one_step) * all_steps
        if one_step:  # then a rehearsal is of both kinds of epochs
            per_sample[DISTILL.name] += one_step * max(0.0, learning(one_step) - all_steps)
        if config.distill.ann_epochs:
            with student.as_ann():
                per_sample[DISTILL.name] += config.distill.ann_epochs * learning(0)
        if config.quant.epochs:
            integers = _in_integers(config, checked)
            step = _timed(data, lambda batch: integers(batch.x).logits.sum().backward())
            per_sample[QUANTISE.name] = config.quant.epochs * step
    return {name: each * len(data.train) for name, each in per_sample.items()}


def _timed(data: Data, step: Callable[[Batch], object]) -> float:
    """Seconds per sample: of a larger batch beyond a smaller one, because what is paid once comes in no step."""
    few, many = (data.inputs(data.train, torch.arange(min(n, len(data.train)))) for n in TIMED)
    step(few)  # the first of all builds what the later ones find
    seconds = []
    for batch in (few, many):
        start = time.perf_counter()
        step(batch)
        seconds.append(time.perf_counter() - start)
    n_more = len(many.labels) - len(few.labels)
    # on a busy machine the smaller one may have taken longer
    return (seconds[1] - seconds[0]) / n_more if n_more and seconds[1] > seconds[0] else seconds[1] / len(many.labels)


def _in_integers(config: Config, checked: Checked) -> QuantisedStudent:
    data, formats = checked.data, load_target(config.target.name).chip.formats
    student: SpikingNet = checked.student.eval()
    made = QuantisedStudent(student, formats=formats, weight_bits=config.quant.weight_bits)
    return made.calibrate(data.inputs(data.train, torch.arange(min(TIMED[1], len(data.train)))).x)


def _cores(config: Config, checked: Checked) -> tuple[int | None, str | None]:
    """Of the untrained student: how many weights there are does not change with their values."""
    target = load_target(config.target.name)
    graph = _in_integers(config, checked).to_nir()
    program = compile_graph(graph, target, CompileOptions(weight_bits=config.quant.weight_bits)).program
    found = estimates(program, target, config.target, None, None)
    return (None if found.placement is None else found.placement.n_cores), found.does_not_fit


def _lava(config: Config) -> str:
    status = lava_status(try_it=False)
    if not config.lava.n_samples:
        return "left out, lava.n_samples is 0"
    return f"{config.lava.n_samples} samples" if status.present else f"not run: {status.message}"


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _time(seconds: float) -> str:
    """Rounded as an estimate deserves."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = seconds / 60
    return f"{round(minutes)} min" if minutes < 90 else f"{minutes / 60:.1f} h"
