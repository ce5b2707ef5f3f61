"""From a finished run directory to its report: reads the stages' files, adds mapping, energy and metrics."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seamount.compile.numbers import FULL_SCALE_BITS
from seamount.compile.program.activity import Activity
from seamount.compile.program.activity_file import load_activity
from seamount.compile.program.program import Program
from seamount.config import Config, load_config
from seamount.distill.data import Data, load_data
from seamount.distill.methods import needs_teacher, weights_of
from seamount.errors import InputError, plural
from seamount.files import file_hash, read_json, write_atomically
from seamount.hardware_targets.agreement import Agreement
from seamount.hardware_targets.target import Target, load_target
from seamount.own import digest, is_own
from seamount.report.evidence import Answers, Evidence, Traced, Training, Trial
from seamount.report.parts.early import Early, early
from seamount.report.render.html import render_html
from seamount.report.report import Report, assemble
from seamount.report.schema.values import Stage as StageName

from .answers import read_answers, read_arrays
from .cross_check import Asking, cross_check, require_cross_check
from .estimates import estimates
from .folder import Run
from .names import going_on
from .stage import Stage
from .stages import COMPILE, DISTILL, EXPORT, LAVA, QUANTISE, SIMULATE, STAGES, TEACHER
from .stages.compile import compiled_program
from .stages.simulate import VALIDATION, held_run
from .told import Told

ORACLE = "Lava 0.10.0, fixed point"


@dataclass(frozen=True)
class Finished:
    """A run whose stages are all done, and what the questions about it start from."""

    config: Config
    run: Run

    @cached_property
    def data(self) -> Data:
        """
        Raises:
            InputError: code of one's own gave the run its data, and is not what it was.
        """
        name = self.config.data.name
        if is_own(name):
            before = (self.run.status(SIMULATE) or {})["inputs"]
            if before.get("content of data.name") != digest(name, "data.name"):
                found = f"{name} is not the code that this run had its data from: a file of it was edited since"
                ways = ("put back what it was", f"`{going_on(self.run.folder)}` runs again what depends on it")
                raise InputError(found, where=self.run.folder, ways_out=ways)
        return load_data(self.config.data, n_steps=self.config.student.n_steps)

    @cached_property
    def target(self) -> Target:
        return load_target(self.config.target.name)

    def of(self, stage: Stage[Any]) -> Path:
        """The folder of a stage."""
        return self.run.of(stage)

    def program(self) -> Program:
        return compiled_program(self.of(COMPILE))


def report_run(
    folder: Path, sweep: Sequence[Trial] = (), told: Told | None = None, cross_checked_by: str | None = None
) -> Report:
    """Assemble the report of a run and write report.json and report.html beside its stages.

    Args:
        sweep: all points of the sweep that the run belongs to.
        cross_checked_by: see ``require_cross_check``.

    Raises:
        InputError: it is no run directory, or stages are missing; they are named.
    """
    finished = open_finished(folder)
    require_cross_check(cross_checked_by)
    try:
        evidence = gather(finished)
    except KeyError as error:
        found = f"a stage's file lacks {error}"
        raise InputError(found, where=folder, ways_out="run again with --resume or --overwrite") from None
    if cross_checked_by is not None:
        evidence = _with_opinion(finished, evidence, told or Told())
    trials = [replace(trial, current=trial.name == folder.name) for trial in sweep]
    return write_report(replace(evidence, sweep=trials), folder)


def _with_opinion(finished: Finished, evidence: Evidence, told: Told) -> Evidence:
    traced, reasons = evidence.traced, dict(evidence.reasons)
    assert traced is not None, "gather always gives it"
    assert traced.inputs is not None, "and a run has one input"
    inputs = {evidence.program.inputs[0].name: traced.inputs}
    shown = Asking(evidence.program, finished.target, evidence.placement, inputs, traced.deployed)
    return replace(evidence, opinion=cross_check(shown, reasons, told), reasons=reasons)


def write_report(evidence: Evidence, folder: Path) -> Report:
    """``report.json`` and ``report.html``."""
    report = assemble(evidence)
    write_atomically(folder / "report.json", report.to_json())
    write_atomically(folder / "report.html", render_html(report))
    return report


def open_finished(folder: Path) -> Finished:
    """The run of a folder whose stages are all done."""
    if not (folder / "resolved.toml").exists():
        found = "not a run directory (no resolved.toml)"
        raise InputError(found, where=folder, ways_out="`seamount run` makes one")
    run = Run(folder, STAGES)
    missing = [stage.name for stage in STAGES if run.status(stage) is None]
    if missing:
        found = f"stages {', '.join(missing)} have not finished"
        raise InputError(found, where=folder, ways_out=f"`{going_on(folder)}` continues")
    return Finished(load_config(folder / "resolved.toml"), run)


def gather(finished: Finished) -> Evidence:
    """Everything the report is made of."""
    run, config = finished.run, finished.config
    program, target = finished.program(), finished.target
    counts = load_activity(finished.of(SIMULATE) / "counts.npz")
    traced = load_activity(finished.of(SIMULATE) / "trace.npz")
    compiled = read_json(finished.of(COMPILE) / "compile.json")
    manifest = read_json(run.folder / "manifest.json")
    held = held_run(finished.of(SIMULATE), program)
    estimated = estimates(program, target, config.target, counts, traced, held=held, passes=finished.data.passes)
    reasons = dict(estimated.reasons)
    inputs = finished.data.chip_inputs(finished.data.test, torch.arange(traced.n_samples))
    proofs = _proofs(finished, reasons)
    return Evidence(
        name=run.folder.name,
        program=program,
        target=target,
        folder=str(run.folder),
        command=manifest["command"],
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        wall_s={stage.name: float((run.status(stage) or {})["seconds"]) for stage in STAGES},
        seeds={"run": config.run.seed, "data": config.data.seed},
        versions={"seamount": manifest["seamount"], "python": manifest["python"], **manifest["versions"]},
        hashes={
            "program.h5": file_hash(finished.of(COMPILE) / "program.h5"),
            "student.nir": file_hash(finished.of(EXPORT) / "student.nir"),
        },
        hardware=f"{platform.machine()}, {os.cpu_count()} cores, {config.run.device}",
        oracle=ORACLE if "oracle" not in reasons else None,
        facts=_facts(finished),
        answers=_answers(finished),
        trainings=_trainings(finished),
        validation=_validation(finished),
        proof=proofs,
        traced=_traced(finished, traced, inputs),
        full_run=counts,
        rounding=compiled["rounding_lines"],
        weight_bits=weight_bits(compiled),
        assumptions=compiled["assumptions"],
        deviations=[*compiled["warnings"], *estimated.assumed()],
        placement=estimated.placement,
        does_not_fit=estimated.does_not_fit,
        energy=estimated.energy,
        single_energy=estimated.single,
        held_energy=estimated.held,
        budget=next(iter((config.distill.spike_budget or {}).items()), None),
        neurobench=estimated.neurobench,
        reasons=reasons,
    )


def weight_bits(compiled: dict[str, Any]) -> dict[str, int]:
    """Synapse group -> bits; runs of before there was a choice do not say."""
    groups = [group for population in compiled["rounding"] for group in population["groups"]]
    return {group["name"]: group.get("weight_bits", FULL_SCALE_BITS) for group in groups}


def _facts(finished: Finished) -> tuple[tuple[str, str], ...]:
    """What a reviewer asks first."""
    config, data = finished.config, finished.data
    sizes = ", ".join(f"{len(part):,} {name}" for part, name in ((data.train, "train"), (data.val, "held out")))
    bits, as_ann, one_step = config.quant.weight_bits, config.distill.ann_epochs, config.distill.one_step_epochs
    return (
        ("data", f"{data.name}: {sizes}, {len(data.test):,} test, {data.n_classes} classes"),
        ("teacher", _teacher(config)),
        (
            "student",
            f"{config.student.arch}, T = {config.student.n_steps}, {config.train.epochs} epochs"
            + (f", the first {one_step} of them in one step" if one_step else "")
            + (f", after {as_ann} as an ANN" if as_ann else ""),
        ),
        ("method", config.distill.method if isinstance(config.distill.method, str) else "own weights of terms"),
        ("in integers", f"{_epochs(config.quant.epochs)}{'' if bits is None else f', weight bits {bits}'}"),
        ("seed", str(config.run.seed)),
    )


def _epochs(n: int) -> str:
    return f"{n} {plural(n, 'epoch')}"


def _teacher(config: Config) -> str:
    if not needs_teacher(weights_of(config.distill.method), config.distill.options):
        return "none"
    told = config.teacher
    return (
        f"{told.arch}, {_epochs(told.epochs)}"
        if told.checkpoint is None
        else f"{told.arch}, {Path(told.checkpoint).name}"
    )


def _trainings(finished: Finished) -> dict[StageName, Training]:
    """Of what was trained here; which epoch is best says nothing where the last one is taken anyhow."""
    found: dict[StageName, Training] = {}
    stages: tuple[tuple[Stage[Any], StageName, str], ...] = (
        (TEACHER, "teacher", "teacher.epochs"),
        (DISTILL, "float", "train.epochs"),
        (QUANTISE, "quantised", "quant.epochs"),
    )
    for stage, name, setting in stages:
        metrics = read_json(finished.of(stage) / "metrics.json")
        if history := metrics.get("history"):
            best_is_last = metrics["best_epoch"] == history[-1]["number"] and len(history) > 1
            improving = best_is_last and finished.config.train.select_on != "last-epoch"
            found[name] = Training(setting, len(history), improving)
    return found


def _answers(finished: Finished) -> list[Answers]:
    found = []
    for stage, name in (
        (TEACHER, "teacher"),
        (DISTILL, "float"),
        (QUANTISE, "quantised"),
        (SIMULATE, "deployed"),
    ):
        folder = finished.of(stage)
        if (folder / "answers.npz").exists():
            arrays = read_answers(folder)
            found.append(_of_arrays(name, arrays))  # type: ignore[arg-type]
    return found


def _of_arrays(stage: StageName, arrays: Mapping[str, NDArray[Any]]) -> Answers:
    """Runs of before have no margins."""
    margins = arrays.get("margins")
    return Answers(stage, arrays["predictions"], arrays["labels"], arrays["per_step"], margins=margins)


def _validation(finished: Finished) -> Answers | None:
    folder = finished.of(SIMULATE)
    return _of_arrays("deployed", read_answers(folder, VALIDATION)) if (folder / VALIDATION).exists() else None


def _proofs(finished: Finished, reasons: dict[str, str]) -> list[Agreement]:
    found = []
    files = [finished.of(stage) / "proof.json" for stage in (EXPORT, SIMULATE)]
    # some programs cannot be streamed, and runs of before were not
    others = [finished.of(SIMULATE) / name for name in ("stream.json", "held.json")]
    files += [file for file in others if file.exists()]
    for file in (*files, finished.of(LAVA) / "proof.json"):
        document = read_json(file)
        if "skipped" in document:
            reasons["oracle"] = document["skipped"]
        else:
            found.append(_agreement(document))
    return found


NAMES_BEFORE = {
    "membranes_compared": "membrane_compared",
    "membranes_differing": "membrane_differing",
    "first": "first_difference",
}
"""How proof.json called its fields before report.json and it agreed: older run folders load."""


def _agreement(document: dict[str, Any]) -> Agreement:
    """A stage's proof; the answers of the test set, which it compares too, count among the other values."""
    told = {NAMES_BEFORE.get(name, name): value for name, value in document.items()}
    made = Agreement(**{field.name: told[field.name] for field in fields(Agreement)})
    n, differing = told.get("answers_compared", 0), told.get("answers_differing", 0)
    return replace(
        made,
        others_compared=made.others_compared + n,
        others_differing=made.others_differing + differing,
        first_difference=made.first_difference or (f"{differing} of {n} answers" if differing else None),
    )


def _traced(finished: Finished, activity: Activity, inputs: NDArray[np.int64]) -> Traced:
    folder = finished.of(SIMULATE)
    return Traced(
        deployed=activity,
        float_spikes=read_arrays(folder / "float_spikes.npz"),
        # runs of before have none
        float_v=read_arrays(folder / "float_v.npz") if (folder / "float_v.npz").exists() else None,
        inputs=inputs,
        labels=finished.data.test.labels[: activity.n_samples].numpy(),
        note=f"the first {activity.n_samples} test samples",
    )


def trial_of(folder: Path, name: str, settings: str, label: str) -> Trial:
    """A finished run as one point of a sweep."""
    evidence = gather(open_finished(folder))
    deployed = next(a for a in evidence.answers if a.stage == "deployed")
    run = evidence.full_run
    assert run is not None, "gather always gives the counts"
    sure = early(evidence)
    return Trial(
        name=name,
        settings=settings,
        accuracy=float(np.mean(deployed.predictions == deployed.labels)),
        n_samples=len(deployed.labels),
        energy_j=None if evidence.energy is None else evidence.energy.boundaries["on_chip_dynamic"].mid,
        placeholder=evidence.energy is not None and bool(evidence.energy.placeholder),
        spikes=sum(int(events.n_spikes.sum()) for events in run.events.values()) / run.n_samples
        if evidence.energy is None
        else evidence.energy.counts.spikes,
        cores=None if evidence.placement is None else evidence.placement.n_cores,
        early_steps=sure.chosen.steps.value if isinstance(sure, Early) else None,
        early_accuracy=(sure.chosen.accuracy.value or 0.0) / 100 if isinstance(sure, Early) else None,
        label=label,
        target=evidence.target.name,
        spikes_per_synapse=None if evidence.energy is None else evidence.energy.spikes_per_synapse,
    )
