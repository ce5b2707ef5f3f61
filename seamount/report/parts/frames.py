"""What a program that sends changes does from frame to frame: messages, values, and how near its outputs stay."""

from __future__ import annotations

import numpy as np

from seamount.compile.program.activity import Activity
from seamount.compile.program.messages import sending_changes
from seamount.compile.program.program import UNSAID, Program

from ..evidence import Array, Evidence, Outputs, window
from ..schema.quantities import known, series, unknown
from ..schema.values import Item, Missing, Quantity, Series


class FrameLayer(Item):
    """Shares of a layer's neurons in per cent, after each frame: those that sent something, and those that are 0."""

    name: str
    n_neurons: int
    messages: Quantity
    sending: Series
    zero: Series | Missing


class Frames(Item):
    """
    Attributes:
        latency: frames after which the answer to a frame is there.
        layers: of the samples that were traced.
        error_max, error_rms: of all samples' outputs against the network's in real numbers; ``error``: RMS of each
            frame. rmse: against the outputs that were to come out.
    """

    n_frames: int
    latency: int
    layers: tuple[FrameLayer, ...]
    error_max: Quantity
    error_rms: Quantity
    error: Series | Missing
    rmse: Quantity


NO_OUTPUTS = "no outputs of a network in real numbers were given, --float-answers does, (T, n, K)"
NO_TARGETS = "no real outputs y were given"


def frames(evidence: Evidence) -> Frames | Missing:
    program, traced = evidence.program, evidence.traced
    coding = sending_changes(program)
    if not coding:
        return Missing(missing="no neurons that send changes")
    if traced is None:
        return Missing(missing=evidence.reason("traced", "no run was traced"))
    run = traced.deployed
    made = []
    for population in coding:
        name = population.name
        messages = window(program, run, name, run.spikes[name])
        if not len(messages):  # the run ends before a frame reaches it
            continue
        sent = messages.reshape(-1, run.n_samples, population.n_neurons) != 0
        act = run.states.get("act", {}).get(name)
        zero: Series | Missing = Missing(missing="its activations were not recorded")
        if act is not None:
            zero = series(_share(window(program, run, name, act) == 0), "%", "counted", run.n_samples)
        each = known(float(sent.sum(axis=2).mean()), "messages/frame", "counted", run.n_samples)
        sending = series(_share(sent), "%", "counted", run.n_samples)
        made.append(FrameLayer(name=name, n_neurons=population.n_neurons, messages=each, sending=sending, zero=zero))
    unsaid = UNSAID if program.readout is not None and program.readout.scale is None else None
    error_max, error_rms, error = _errors(evidence.outputs, unsaid or NO_OUTPUTS)
    return Frames(
        n_frames=len(_of_readout(program, run)) if program.readout is not None else run.n_steps,
        latency=0 if program.readout is None else program.arrivals()[program.readout.population],
        layers=tuple(made),
        error_max=error_max,
        error_rms=error_rms,
        error=error,
        rmse=_rmse(evidence.outputs, unsaid or NO_TARGETS),
    )


def _of_readout(program: Program, run: Activity) -> Array:
    assert program.readout is not None, "asked for where it is read"
    name = program.readout.population
    return window(program, run, name, run.spikes[name])


def _share(found: Array) -> Array:
    """(T, B, ...) -> per cent after each step."""
    return np.asarray(100 * found.reshape(len(found), -1).mean(axis=1))


def _errors(outputs: Outputs | None, why: str) -> tuple[Quantity, Quantity, Series | Missing]:
    """``why``: there are no outputs, if there are none."""
    if outputs is None or outputs.network is None or outputs.network.shape != outputs.read.shape:
        if outputs is not None and outputs.network is not None:
            why = f"{outputs.network.shape} were given, {outputs.read.shape} are needed"
        return unknown("output", why), unknown("output", why), Missing(missing=why)
    error, n = np.abs(outputs.read - outputs.network), outputs.read.shape[1]
    per_frame = np.sqrt(np.mean(error**2, axis=(1, 2)))
    largest, mean = float(error.max()), float(np.sqrt(np.mean(error**2)))
    return (
        known(largest, "output", "measured", n),
        known(mean, "output", "measured", n),
        series(per_frame, "output", "measured", n),
    )


def _rmse(outputs: Outputs | None, why: str) -> Quantity:
    if outputs is None or outputs.targets is None or outputs.targets.shape != outputs.read.shape:
        return unknown("output", why)
    rmse = float(np.sqrt(np.mean((outputs.read - outputs.targets) ** 2)))
    return known(rmse, "output", "measured", outputs.read.shape[1])
