"""Runs the whole test set on the simulator, and proves some samples in every spike and membrane.

Only the samples of the proof keep their traces: those of a test set would fill a disk. torchrun's processes share the
test set; the rest is the first one's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch

from seamount.compile.network.interpret import run_network
from seamount.compile.nir.read import read_nir
from seamount.compile.passes.one_by_one import one_by_one
from seamount.compile.program.activity_file import load_activity, save_activity
from seamount.compile.program.program import Program
from seamount.compile.program.streaming import why_not_streamed, windows_of
from seamount.distill.config import DataConfig, Section
from seamount.distill.data import Data
from seamount.files import write_json
from seamount.hardware_targets.agreement import compare_runs, compare_student
from seamount.hardware_targets.simulator import simulate, simulate_stream
from seamount.models.export import to_nir
from seamount.models.spiking_net import SpikingNet

from ..answers import Array, batches, read_answers, write_answers, write_arrays
from ..held import Held, run_held
from ..settings import ChipFormats, Compared, Device, Readout, Student, WeightBits
from ..stage import Place, Stage
from ..whole_set import run_all
from .compile import COMPILE, compiled_program
from .distill import DISTILL, trained_student
from .quantise import QUANTISE, trained_quantised

VALIDATION = "validation.npz"
TRACES = ("spikes", "v", "u")
N_VALIDATION = 2048
"""Samples on which a threshold is chosen: half a point is ten of them."""


class Reads(Section):
    run: Device
    data: DataConfig
    student: Student
    compile: Readout
    report: Compared
    quant: WeightBits
    target: ChipFormats


def work(reads: Reads, place: Place) -> None:
    program, data = compiled_program(place.of(COMPILE)), place.data(reads.data, reads.student.n_steps)
    predictions = _whole_test_set(program, data, reads.run.device, place)
    _validation(program, data, reads.run.device, place)
    if predictions is None:  # this process has helped
        return

    n = min(reads.report.n_compared, len(data.test))
    values = data.chip_inputs(data.test, torch.arange(n))
    traced = simulate(program, values, record=TRACES)
    save_activity(traced, place.folder / "trace.npz")
    student = trained_student(place.of(DISTILL), reads.student, reads.compile, data)
    quantised = trained_quantised(place.of(QUANTISE), student, reads.quant, reads.target)
    recorded = quantised.record(torch.from_numpy(values))
    agreement = compare_student(program, _numpy(recorded.spikes), _numpy(recorded.v), traced)
    differing = int((predictions != read_answers(place.of(QUANTISE))["predictions"]).sum())
    write_json(
        place.folder / "proof.json",
        {**asdict(agreement), "answers_compared": len(predictions), "answers_differing": differing},
    )
    if why_not_streamed(program) is None:
        streamed = simulate_stream(program, values, record=TRACES)
        alone = ("single samples", windows_of(program, traced))
        found = compare_runs(program, alone, ("the same as a stream", streamed), whole=True)
        write_json(place.folder / "stream.json", asdict(found))
    held = run_held(program, values, traced, TRACES)
    if held is not None:
        save_activity(held[0].counts, place.folder / "held.npz")
        write_json(place.folder / "held.json", asdict(held[1]))
    write_arrays(place.folder / "float_spikes.npz", _float_spikes(student, data, n))
    write_arrays(place.folder / "float_v.npz", float_membranes(student, data.inputs(data.test, torch.arange(n)).x))


SIMULATE = Stage("simulate", Reads, work, needs=(DISTILL, QUANTISE, COMPILE), together=True)


def held_run(folder: Path, program: Program) -> Held | None:
    """The run of held samples that this stage left; runs of before have none."""
    path = folder / "held.npz"
    return Held(one_by_one(program), load_activity(path)) if path.exists() else None


def _whole_test_set(program: Program, data: Data, device: str, place: Place) -> Array | None:
    """Writes answers and counts; the answers (n,), in the process that leads."""
    parts = [partial(data.chip_inputs, data.test, numbers) for numbers in batches(len(data.test))]
    whole = run_all(program, parts, len(data.test), device=device, progress=place.progress, world=place.world)
    if whole is None:
        return None
    assert whole.per_step is not None, "a student has a readout"
    save_activity(whole.counts, place.folder / "counts.npz")
    write_answers(place.folder, data.test, whole.per_step, whole.margins)
    answered: Array = whole.per_step[-1]
    return answered


def _validation(program: Program, data: Data, device: str, place: Place) -> None:
    """Writes answers on samples that neither training nor the test saw, on which thresholds may be chosen."""
    n = min(len(data.val), N_VALIDATION)
    parts = [partial(data.chip_inputs, data.val, numbers) for numbers in batches(n)]
    whole = run_all(program, parts, n, device=device, progress=place.progress, world=place.world)
    if whole is None:
        return
    assert whole.per_step is not None, "a student has a readout"
    write_answers(place.folder, data.val, whole.per_step, whole.margins, VALIDATION)


def _float_spikes(student: SpikingNet, data: Data, n: int) -> dict[str, Array]:
    """What the student in real numbers sends for the samples of the proof, 0/1."""
    with torch.inference_mode():
        spikes = student(data.inputs(data.test, torch.arange(n)).x, record=True).spikes
    return {name: s.numpy().astype(np.uint8) for name, s in spikes.items()}


def float_membranes(student: SpikingNet, x: torch.Tensor) -> dict[str, Array]:
    """v of the spiking populations after each step and reset, above v_reset, (T, B, *shape).

    From the student's graph: its cells hand out spikes alone, and the program's scales are per unit of the graph. The
    export proves that graph and student are equal.

    Args:
        x: (B, *input_shape) or (T, B, *input_shape), as the student takes it.
    """
    network, spiking = read_nir(to_nir(student)), student.spiking()
    frames = student.frames(x.double())
    if len(frames) == 1:  # a still image, seen at every step
        frames = frames.expand(student.n_steps, *frames.shape[1:])
    parts: dict[str, list[Array]] = {name: [] for name in spiking}
    # a few samples at a time: a trace holds spikes, v, u and drive of every neuron in float64
    for start in range(0, frames.shape[1], 8):
        traces = run_network(network, frames[:, start : start + 8].numpy())
        for name in spiking:
            parts[name].append((traces[name].v - network.population(name).v_reset).astype(np.float32))
    return {name: np.concatenate(found, axis=1) for name, found in parts.items()}


def _numpy(traces: Mapping[str, torch.Tensor]) -> dict[str, Array]:
    return {name: x.cpu().numpy() for name, x in traces.items()}
