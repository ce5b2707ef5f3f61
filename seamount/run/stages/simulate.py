"""Runs the whole test set on the simulator, and proves some samples in every spike and membrane.

Only the samples of the proof keep their traces: those of a test set would fill a disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields

import numpy as np
import torch

from seamount.compile.network.interpret import run_network
from seamount.compile.nir.read import read_nir
from seamount.compile.program.activity import Activity, Events
from seamount.compile.program.activity_file import save_activity
from seamount.compile.program.program import Program
from seamount.compile.program.readout import classes, readout_so_far
from seamount.distill.config import DataConfig, Section
from seamount.distill.data import Data
from seamount.files import write_json
from seamount.hardware_targets.agreement import compare_student
from seamount.hardware_targets.simulator import simulate
from seamount.models.export import to_nir
from seamount.models.spiking_net import SpikingNet
from seamount.report.evidence import window

from ..answers import Array, batches, read_answers, write_answers, write_arrays
from ..settings import ChipFormats, Compared, Device, Student, WeightBits
from ..stage import Place, Stage
from .compile import COMPILE, compiled_program
from .distill import DISTILL, trained_student
from .quantise import QUANTISE, trained_quantised


class Reads(Section):
    run: Device
    data: DataConfig
    student: Student
    report: Compared
    quant: WeightBits
    target: ChipFormats


def work(reads: Reads, place: Place) -> None:
    program, data = compiled_program(place.of(COMPILE)), place.data(reads.data, reads.student.n_steps)
    predictions = _whole_test_set(program, data, reads.run.device, place)

    n = min(reads.report.n_compared, len(data.test))
    values = data.chip_inputs(data.test, torch.arange(n))
    traced = simulate(program, values, record=("spikes", "v", "u"))
    save_activity(traced, place.folder / "trace.npz")
    student = trained_student(place.of(DISTILL), reads.student, data)
    quantised = trained_quantised(place.of(QUANTISE), student, reads.quant, reads.target)
    recorded = quantised.record(torch.from_numpy(values))
    agreement = compare_student(program, _numpy(recorded.spikes), _numpy(recorded.v), traced)
    differing = int((predictions != read_answers(place.of(QUANTISE))["predictions"]).sum())
    write_json(
        place.folder / "proof.json",
        {**asdict(agreement), "answers_compared": len(predictions), "answers_differing": differing},
    )
    write_arrays(place.folder / "float_spikes.npz", _float_spikes(student, data, n))
    write_arrays(place.folder / "float_v.npz", float_membranes(student, data.inputs(data.test, torch.arange(n)).x))


SIMULATE = Stage("simulate", Reads, work, needs=(DISTILL, QUANTISE, COMPILE))


def _whole_test_set(program: Program, data: Data, device: str, place: Place) -> Array:
    """Writes answers and counts; the answers (n,)."""
    assert program.readout is not None, "a student has one"
    readout = program.readout.population
    parts: list[Activity] = []
    per_step: list[Array] = []
    place.progress.begin("simulate the test set", len(data.test))
    for numbers in batches(len(data.test)):
        values = data.chip_inputs(data.test, numbers)
        part = simulate(program, values, record=("v", "spikes"), populations=[readout], device=device)
        spikes, v = (window(program, part, readout, trace[readout]) for trace in (part.spikes, part.v))
        read = readout_so_far(program.readout.quantity, spikes, v)
        per_step.append(classes(read.reshape(data.n_steps, len(numbers), -1)))
        parts.append(part)
        place.progress.advance(len(numbers))
    place.progress.end()
    save_activity(joined(parts), place.folder / "counts.npz")
    answered = np.concatenate(per_step, axis=1)
    write_answers(place.folder, data.test, answered)
    predictions: Array = np.concatenate([part.predictions() for part in parts])
    assert (predictions == answered[-1]).all(), "the answer is what is read after the last step"
    return predictions


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
