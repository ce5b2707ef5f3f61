"""The stages of a run, in order: each writes a folder, from the configuration and what earlier folders hold.

teacher -> distill -> quantise -> export -> compile -> simulate -> lava -> report
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from seamount.compile.lower.rounding_table import RoundingTable
from seamount.compile.pipeline import compile_graph
from seamount.compile.program.activity import Activity, Events
from seamount.compile.program.activity_file import save_activity
from seamount.compile.program.file import load_program, save_program
from seamount.compile.program.program import Program
from seamount.config import Config
from seamount.distill import checkpoint
from seamount.distill.data import Data, load_data
from seamount.distill.evaluate import answers
from seamount.distill.methods import needs_teacher, weights_of
from seamount.distill.progress import QUIET, Progress
from seamount.distill.quantised import QuantisedStudent
from seamount.distill.train import Trained, distill, finetune_quantised, train_teacher
from seamount.files import write_atomically, write_json
from seamount.hardware_targets.agreement import compare_runs, compare_student
from seamount.hardware_targets.lava import run_on_lava
from seamount.hardware_targets.simulator import simulate
from seamount.hardware_targets.target import Target, load_target
from seamount.models.spiking_net import SpikingNet
from seamount.models.zoo import build_student, build_teacher
from seamount.run.export import export_student, write_graph
from seamount.run.folder import Run, Stage

Array = NDArray[Any]

STAGES = (
    Stage("teacher"),
    Stage("distill", ("teacher",)),
    Stage("quantise", ("teacher", "distill")),
    Stage("export", ("distill", "quantise")),
    Stage("compile", ("export",)),
    Stage("simulate", ("distill", "quantise", "compile")),
    Stage("lava", ("compile",)),
)

BATCH = 256
"""Test samples that are evaluated at once."""

SMALL_SAMPLE = 256
"""Values of a sample below which more threads cost more than they give."""


@dataclass(frozen=True)
class Context:
    """What every stage works with; ``leads`` is False in a process that only helps with training, writing nothing."""

    config: Config
    run: Run
    progress: Progress = QUIET
    leads: bool = True

    @cached_property
    def data(self) -> Data:
        return load_data(self.config.data, n_steps=self.config.student.n_steps)

    @cached_property
    def target(self) -> Target:
        return load_target(self.config.target.name)

    def folder(self, stage: str) -> Path:
        return self.run.stage_folder(stage)

    def program(self) -> Program:
        return load_program(self.folder("compile") / "program.h5")

    @property
    def has_teacher(self) -> bool:
        return needs_teacher(weights_of(self.config.distill.method))

    def teacher(self) -> nn.Module | None:
        """The trained teacher; None for a method without one."""
        if not self.has_teacher:
            return None
        network = build_teacher(
            self.config.teacher.arch,
            n_classes=self.data.n_classes,
            input_shape=self.data.input_shape,
        )
        return _filled(network, self.folder("teacher") / "teacher.safetensors")

    def new_student(self) -> SpikingNet:
        torch.manual_seed(self.config.run.seed)
        return build_student(
            self.config.student.arch,
            n_classes=self.data.n_classes,
            input_shape=self.data.input_shape,
            n_steps=self.config.student.n_steps,
            input_bits=self.data.input_bits,
            input_scale=self.data.input_scale,
            **self.config.student.options,
        )

    def student(self) -> SpikingNet:
        network = _filled(self.new_student(), self.folder("distill") / "student.safetensors")
        assert isinstance(network, SpikingNet)
        return network

    def new_quantised(self) -> QuantisedStudent:
        return QuantisedStudent(self.student())

    def quantised(self) -> QuantisedStudent:
        network = _filled(self.new_quantised(), self.folder("quantise") / "quantised.safetensors")
        assert isinstance(network, QuantisedStudent)
        return network

    def batches(self, n: int | None = None) -> list[torch.Tensor]:
        numbers = torch.arange(len(self.data.test))[:n]
        return list(torch.split(numbers, BATCH))


def _filled(network: nn.Module, path: Path) -> nn.Module:
    checkpoint.put(network, checkpoint.load_weights(path), str(path))
    return network.eval()


def use_threads(context: Context) -> None:
    """As configured; one for small samples, whose layers are done before a second thread is awake.

    The demonstration takes 57 s with one thread and 236 s with two while another process runs (2 cores, n = 1).
    """
    if context.config.run.n_threads is not None:
        torch.set_num_threads(context.config.run.n_threads)
    elif math.prod(context.data.input_shape) < SMALL_SAMPLE:
        torch.set_num_threads(1)


# --------------------------------------------------------------------------------------------------- stages


def teacher_stage(context: Context, folder: Path) -> None:
    if not context.has_teacher:
        if context.leads:
            write_json(folder / "metrics.json", {"skipped": f"{context.config.distill.method} needs no teacher"})
        return
    config = context.config
    use_threads(context)
    trained = train_teacher(
        context.data,
        config.teacher,
        config.train,
        folder / "state",
        seed=config.run.seed,
        device=config.run.device,
        progress=context.progress,
    )

    def logits(numbers: torch.Tensor) -> torch.Tensor:
        x = context.data.inputs(context.data.test, numbers).teacher_x.to(config.run.device)
        result: torch.Tensor = trained.network(x).unsqueeze(0)
        return result

    _keep(context, trained, folder, "teacher.safetensors", logits)


def distill_stage(context: Context, folder: Path) -> None:
    config = context.config
    use_threads(context)
    student = context.new_student()
    if config.student.checkpoint is not None:
        path = Path(config.student.checkpoint)
        checkpoint.put(student, checkpoint.load_weights(path), str(path))
    trained = distill(
        context.data,
        context.teacher(),
        student,
        config.distill,
        config.train,
        folder / "state",
        seed=config.run.seed,
        device=config.run.device,
        progress=context.progress,
    )
    _keep(context, trained, folder, "student.safetensors", _student_logits(context, trained.network))


def quantise_stage(context: Context, folder: Path) -> None:
    config = context.config
    use_threads(context)
    trained = finetune_quantised(
        context.data,
        context.teacher(),
        context.new_quantised(),
        config.distill,
        config.quant,
        config.train,
        folder / "state",
        seed=config.run.seed,
        device=config.run.device,
        progress=context.progress,
    )
    _keep(context, trained, folder, "quantised.safetensors", _student_logits(context, trained.network))


def export_stage(context: Context, folder: Path) -> None:
    """Writes float and quantised student as NIR; the float one first proves that its graph means the same."""
    proof = export_student(context.student(), folder / "float.nir", seed=context.config.run.seed)
    write_json(folder / "proof.json", asdict(proof))
    write_graph(context.quantised().to_nir(), folder / "student.nir")


def compile_stage(context: Context, folder: Path) -> None:
    compiled = compile_graph(context.folder("export") / "student.nir", context.target)
    save_program(compiled.program, folder / "program.h5")
    assert compiled.rounding is not None, "only .net files come without rounding"
    rounding = {p.name: list(RoundingTable((p,)).lines()) for p in compiled.rounding.populations}
    write_json(folder / "compile.json", {**compiled.to_dict(), "rounding_lines": rounding})


def simulate_stage(context: Context, folder: Path) -> None:
    """The whole test set for the answers and counts; some samples with every spike and membrane for the proof."""
    program, data = context.program(), context.data
    assert program.readout is not None
    readout = program.readout.population
    first = program.arrivals()[readout]
    parts = []
    reads: list[Array] = []
    context.progress.begin("simulate the test set", len(data.test))
    for numbers in context.batches():
        part = simulate(
            program,
            data.chip_inputs(data.test, numbers),
            record=("v", "spikes"),
            populations=[readout],
            device=context.config.run.device,
        )
        parts.append(part)
        quantity = part.v if program.readout.quantity == "v" else part.spikes
        trace = quantity[readout][first:].reshape(data.n_steps, len(numbers), -1)
        reads.append(trace if program.readout.quantity == "v" else trace.cumsum(0))
        context.progress.advance(len(numbers))
    context.progress.end()
    per_step = np.concatenate([read.argmax(-1) for read in reads], axis=1)
    predictions = np.concatenate([part.predictions() for part in parts])
    _write_answers(folder, predictions, data.test.labels.numpy(), per_step)
    save_activity(joined(parts), folder / "counts.npz")

    n = min(context.config.report.n_compared, len(data.test))
    values = data.chip_inputs(data.test, torch.arange(n))
    traced = simulate(program, values, record=("spikes", "v", "u"))
    save_activity(traced, folder / "trace.npz")
    recorded = context.quantised().record(torch.from_numpy(values))
    agreement = compare_student(program, numpy_of(recorded.spikes), numpy_of(recorded.v), traced)
    quantised = read_answers(context.folder("quantise"))["predictions"]
    write_json(
        folder / "proof.json",
        {
            **asdict(agreement),
            "answers_compared": len(predictions),
            "answers_differing": int((predictions != quantised).sum()),
        },
    )
    with torch.inference_mode():
        x = data.inputs(data.test, torch.arange(n)).x
        float_spikes = context.student()(x, record=True).spikes
    _save_arrays(folder / "float_spikes.npz", {name: s.numpy().astype(np.uint8) for name, s in float_spikes.items()})


def lava_stage(context: Context, folder: Path) -> None:
    """Some samples on Lava itself, against the simulator."""
    program, data, config = context.program(), context.data, context.config.lava
    n = min(config.n_samples, len(data.test))
    if n == 0:
        write_json(folder / "proof.json", {"skipped": "lava.n_samples is 0"})
        return
    values = data.chip_inputs(data.test, torch.arange(n))
    on_lava = run_on_lava(program, values, record=("spikes", "v"), time_limit_s=config.time_limit_s)
    simulated = simulate(program, values, record=("spikes", "v"))
    agreement = compare_runs(program, ("simulator", simulated), ("Lava 0.10.0", on_lava))
    same = int((on_lava.predictions() != simulated.predictions()).sum())
    write_json(folder / "proof.json", {**asdict(agreement), "answers_compared": n, "answers_differing": same})


# -------------------------------------------------------------------------------------------------- answers


Logits = Callable[[torch.Tensor], torch.Tensor]
"""Numbers of test samples (B,) -> (T, B, K)."""


def _keep(context: Context, trained: Trained, folder: Path, name: str, logits: Logits) -> None:
    """The network's weights, how it came about, and its answers on the test set; written by the leading process."""
    if not context.leads:
        return
    checkpoint.save(folder / name, trained.network.state_dict(), {"best_epoch": trained.best_epoch})
    write_json(
        folder / "metrics.json",
        {
            "best_epoch": trained.best_epoch,
            "history": [asdict(epoch) for epoch in trained.history],
            "validation": asdict(trained.validation),
            "test": asdict(trained.test),
        },
    )
    save_answers(context, folder, logits)


def _student_logits(context: Context, student: nn.Module) -> Logits:
    def logits(numbers: torch.Tensor) -> torch.Tensor:
        x = context.data.inputs(context.data.test, numbers).x.to(context.config.run.device)
        result: torch.Tensor = student(x).logits
        return result

    return logits


def save_answers(context: Context, folder: Path, logits: Logits) -> None:
    """Classes of the test set, read after each step."""
    per_step = []
    with torch.inference_mode():
        for numbers in context.batches():
            # double: sums of integer logits stay exact, so that ties are ties here and on the chip
            per_step.append(answers(logits(numbers).double()).argmax(-1).cpu().numpy())
    joined_steps = np.concatenate(per_step, axis=1)
    _write_answers(folder, joined_steps[-1], context.data.test.labels.numpy(), joined_steps)


def _write_answers(folder: Path, predictions: Array, labels: Array, per_step: Array) -> None:
    _save_arrays(folder / "answers.npz", {"predictions": predictions, "labels": labels, "per_step": per_step})


def read_answers(folder: Path) -> dict[str, Array]:
    """predictions (n,), labels (n,), per_step (T, n)."""
    with np.load(folder / "answers.npz") as file:
        return {name: file[name] for name in file.files}


def _save_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_atomically(path, buffer.getvalue())


def numpy_of(traces: Mapping[str, torch.Tensor]) -> dict[str, Array]:
    return {name: x.cpu().numpy() for name, x in traces.items()}


def joined(parts: Sequence[Activity]) -> Activity:
    """Runs of consecutive samples as one, counts only."""
    names = list(parts[0].events)
    counts = [field.name for field in fields(Events)]
    events = {
        name: Events(**{count: sum(getattr(part.events[name], count) for part in parts) for count in counts})
        for name in names
    }
    return Activity(
        n_steps=parts[0].n_steps,
        n_samples=sum(part.n_samples for part in parts),
        readout=np.concatenate([part.readout for part in parts if part.readout is not None]),
        spike_counts={name: np.concatenate([part.spike_counts[name] for part in parts]) for name in names},
        events=events,
    )
