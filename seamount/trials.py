"""A network's sigma-delta programs by threshold: made, run against the ANN frame by frame, and one of them chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seamount.compile.lower.sigma_delta import (
    DELTA,
    INPUT,
    RealLayer,
    Scales,
    input_unit,
    sigma_delta_program,
    whole_weights,
)
from seamount.compile.neurons.delta_coding import DeltaCoding
from seamount.compile.program.program import Program
from seamount.errors import ConfigError, plural
from seamount.frames import Frames
from seamount.hardware_targets.simulator import simulate
from seamount.models.ann import AnnLayer
from seamount.run.told import Told

Reals = NDArray[np.float64]

THRESHOLDS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Of the curve; one of them is the default."""

CLOSE = 0.03
"""Error of the outputs on the calibration frames (RMS, a share of their spread) with which the default threshold is
content."""

BATCH_FRAMES = 256
"""Frames that are run at once, and by which thresholds are chosen."""

STATES_AT_ONCE = 1 << 26
"""States of neurons, of all frames and steps, that are kept in memory."""

STATES_JUDGED = 1 << 28
"""Of neurons, in all frames and steps by which a threshold is chosen: of large networks fewer frames than
``BATCH_FRAMES`` have to do, down to ``LEAST_JUDGED``."""

LEAST_JUDGED = 16

FINEST = 1e-3
"""Difference of thresholds at which the search for a number of messages ends."""

NEAR = 0.98
"""Share of the messages asked for that the search is content with."""

LOOKS = 16
"""Thresholds that a search hardly ever tries more of."""


@dataclass(frozen=True)
class Point:
    """A program with one threshold against the ANN, over all frames.

    Attributes:
        messages: a frame, of all layers, the input's among them. operations: synaptic, a frame.
        accuracy: share of frames answered with the sample's class; None without classes.
        same: share of frames with the ANN's class.
        error_max, error_rms: of the outputs against the ANN's, in its units.
        rmse: of the outputs against the real ones that were given; None without them.
        left_range: how often a state left its 24 bits.
    """

    threshold: float
    messages: float
    operations: float
    accuracy: float | None
    same: float
    error_max: float
    error_rms: float
    rmse: float | None
    left_range: int


@dataclass(frozen=True)
class Ran:
    """``outputs`` (T, B, K) in the ANN's units; messages and operations a frame."""

    outputs: Reals
    messages: float
    operations: float
    left_range: int


@dataclass(frozen=True)
class _Kept:
    """What a source keeps back of its activations.

    Attributes:
        mean: (*shape), in the ANN's units, by how much they are above what was sent of them: the residue, and the
            last bits that no message carries.
        active: (*shape), share of frames in which they are not 0.
    """

    mean: Tensor
    active: Tensor


class Trials:
    """The programs of a network, each threshold's made, run and compared once.

    Attributes:
        points: those that were compared, by threshold.
    """

    def __init__(
        self,
        name: str,
        layers: Sequence[AnnLayer],
        real: Sequence[RealLayer],
        scales: Scales,
        few: Frames,
        test: Frames,
        outputs: Reals,
        told: Told,
        *,
        late_biases: bool,
    ) -> None:
        """
        Args:
            late_biases: see ``sigma_delta_program``.
            few: of the calibration, by which biases are made up for and a threshold is chosen.
            test: what is compared. outputs: the ANN's there, (T, B, K).
        """
        self.name, self.layers, self.real, self.scales = name, layers, real, scales
        self.few, self.test, self.outputs, self.told = few, test, outputs, told
        self.weights = whole_weights(real, scales)
        self.late_biases = late_biases
        self.points: dict[float, Point] = {}
        self._programs: dict[float, Program] = {}

    def program(self, at: float) -> Program:
        if at not in self._programs:
            self._programs[at] = self._made(self._made_up_for(self._made(self.real, at)), at)
        return self._programs[at]

    def _made(self, layers: Sequence[RealLayer], at: float) -> Program:
        shape, n_steps = self.test.shape, self.test.n_steps
        return sigma_delta_program(
            self.name, shape, layers, self.scales, self.weights, at, n_steps, late_biases=self.late_biases
        )

    def compare(self, thresholds: Sequence[float]) -> None:
        """Fill ``points``."""
        n = self.test.n
        self.told.stage(f"compare {len(thresholds)} thresholds on {n:,} {plural(n, 'sample')}")
        missing = [t for t in thresholds if t not in self._programs]
        self.told.progress.begin("compare", len(thresholds) * n + len(missing) * self.few.n)
        for at in thresholds:
            self._compared(at)
        self.told.progress.end()

    def _compared(self, at: float) -> Point:
        ran = self._run(at, self.test)
        error = ran.outputs - self.outputs
        self.points[at] = Point(
            threshold=at,
            messages=ran.messages,
            operations=ran.operations,
            accuracy=accuracy_of(ran.outputs, self.test),
            same=float(np.mean(ran.outputs.argmax(-1) == self.outputs.argmax(-1))),
            error_max=float(np.abs(error).max()),
            error_rms=float(np.sqrt(np.mean(error**2))),
            rmse=rmse_of(ran.outputs, self.test),
            left_range=ran.left_range,
        )
        return self.points[at]

    # ---------------------------------------------------------------------------------------- which threshold

    def close_threshold(self, expected: Reals) -> float:
        """The largest threshold of the curve whose outputs stay ``CLOSE`` to the ANN's on the few frames; where none
        does, that of the least error, which need not be 0: each message loses its last bits.

        Args:
            expected: the ANN's outputs on them, (T, n, K).
        """
        self.told.stage(f"choose a threshold on {self.few.n:,} samples of the calibration")
        self.told.progress.begin("choose", 2 * self.few.n * len(THRESHOLDS))
        spread = float(np.sqrt(np.mean((expected - expected.mean((0, 1))) ** 2)))
        chosen, least = THRESHOLDS[0], float("inf")
        for threshold in THRESHOLDS:
            error = float(np.sqrt(np.mean((self._run(threshold, self.few).outputs - expected) ** 2)))
            if error > max(CLOSE * spread, least):
                break
            chosen, least = threshold, min(error, least)
        self.told.progress.end()
        return chosen

    def threshold_for(self, messages: float) -> float:
        """The least threshold with at most so many messages a frame on the few frames, to ``FINEST`` or ``NEAR``.

        Raises:
            ConfigError: not even the largest threshold has so few.
        """
        few = self.few.n
        self.told.stage(f"look for {messages:,g} messages on {few:,} {plural(few, 'sample')} of the calibration")
        self.told.progress.begin("look", LOOKS * 2 * few)
        least = self._sent(1.0)
        if least > messages:
            self.told.progress.end()
            possible = f"{least:.1f} a frame and more are possible"
            raise ConfigError(f"{messages:g}", where="--messages", possible=possible)
        found = self._searched(messages)
        self.told.progress.end()
        return found

    def _searched(self, messages: float) -> float:
        low, more = 0.0, 0.0
        for high in (*THRESHOLDS, 1.0):  # the curve's are made in any case
            less = _excess(self._sent(high), messages)
            if less <= 0:
                break
            low, more = high, less
        while high - low > FINEST and less < math.log(NEAR):
            middle = low + (high - low) * min(max(more / (more - less), 0.1), 0.9)
            found = _excess(self._sent(middle), messages)
            if found <= 0:
                high, less = middle, found
            else:
                low, more = middle, found
        return high

    def _sent(self, at: float) -> float:
        sent = self._run(at, self.few).messages
        self.told.progress.say(f"threshold {at:.3g}: {sent:,.0f} messages")
        return sent

    # -------------------------------------------------------------------------------------------- running it

    def _run(self, at: float, frames: Frames) -> Ran:
        program = self.program(at).with_(n_steps=frames.n_steps)
        assert program.readout is not None, "made with one"
        name, n_steps = program.readout.population, frames.n_steps
        arrival = program.arrivals()[name]
        size = _at_once(program, frames)
        outputs, messages, operations, left = [], 0, 0, 0
        for first in range(0, frames.n, size):
            x = frames.x[:, first : first + size]
            run = simulate(program, x, record=("spikes",), populations=(name,))
            outputs.append(program.readout.real(run.spikes[name][arrival:][:n_steps]))
            for layer, events in run.events.items():
                # all steps: the last frame stays, so behind it only the answer is sent
                steps = slice(None) if layer != name else slice(arrival + n_steps)
                messages += int(events.n_spikes[steps].sum())
                operations += int(events.sops.sum())
                left += events.n_u_wraps + events.n_v_saturations + events.n_drive_wraps
            self.told.progress.advance(x.shape[1])
        n = frames.n * n_steps
        return Ran(np.concatenate(outputs, axis=1), messages / n, operations / n, left)

    def _made_up_for(self, program: Program) -> list[RealLayer]:
        """The layers with biases that make up for what a threshold keeps back in the mean of the few frames.

        An activation that rises from 0 is sent late or never, so what is kept back has a sign. A layer without biases
        gets none, because its zeros, as those of largest values, would become messages: what its sources lack it
        lacks, too, as often as it is not 0, and the next layer that has biases makes up for it, or the last.
        """
        kept = self._kept_back(program)
        moved = []
        for layer, one in zip(self.layers, self.real, strict=True):
            lacks = torch.zeros(layer.shape, dtype=torch.float64)
            for part in layer.parts:
                mean = kept[part.source].mean[None]
                lacks += (part.sums(mean) - part.sums(torch.zeros_like(mean))).reshape(layer.shape)
            if layer is not self.layers[-1] and not one.bias.any():
                own = kept[layer.name]
                kept[layer.name] = replace(own, mean=own.mean + own.active * lacks)
                moved.append(one)
            else:
                shift = lacks.flatten(1).mean(1) if lacks.ndim > 1 else lacks
                moved.append(replace(one, bias=one.bias + shift.numpy()))
        return moved

    def _kept_back(self, program: Program) -> dict[str, _Kept]:
        """What sources keep back on the few frames, by their names in the ANN."""
        frames = self.few
        program = program.with_(n_steps=frames.n_steps)
        sources = [(INPUT, DELTA, input_unit(self.scales))]
        sources += [(at.name, at.name, to.state) for at, to in zip(self.layers, self.scales.layers, strict=True)]
        exponents = {p.name: p.neuron.state_exp for p in program.populations if isinstance(p.neuron, DeltaCoding)}
        arrivals, n_steps = program.arrivals(), frames.n_steps
        total: dict[str, Any] = dict.fromkeys(exponents, 0)
        active: dict[str, Any] = dict.fromkeys(exponents, 0)
        size = _at_once(program, frames)
        for first in range(0, frames.n, size):
            x = frames.x[:, first : first + size]
            run = simulate(program, x, record=("spikes", "act"))
            for _, name, _ in sources:
                act = run.states["act"][name][arrivals[name] :][:n_steps]
                # what is sent in a step is there in all frames from then on
                frames_left = np.minimum(n_steps, arrivals[name] + n_steps - np.arange(run.n_steps)).clip(0)
                sent = np.tensordot(frames_left, run.spikes[name].sum(1, dtype=np.int64), 1)
                total[name] = total[name] + act.sum((0, 1), dtype=np.int64) - (sent << exponents[name])
                active[name] = active[name] + np.count_nonzero(act, (0, 1))
            self.told.progress.advance(x.shape[1])
        n = frames.n * n_steps
        return {
            source: _Kept(torch.from_numpy(total[name] / (n * unit)), torch.from_numpy(active[name] / n))
            for source, name, unit in sources
        }


def _excess(sent: float, messages: float) -> float:
    return math.log(max(sent, 1e-9) / messages)


def few_of(calibration: Frames, layers: Sequence[AnnLayer]) -> Frames:
    """Some of the samples, from all over."""
    n_steps = calibration.n_steps
    each = sum(prod(layer.shape) for layer in layers) * (n_steps + len(layers))
    most = min(BATCH_FRAMES, max(LEAST_JUDGED, STATES_JUDGED // each * n_steps))
    n = min(calibration.n, max(1, most // n_steps))
    return calibration.at(np.linspace(0, calibration.n - 1, n).astype(int))


def _at_once(program: Program, frames: Frames) -> int:
    """Samples."""
    each = sum(p.n_neurons for p in program.populations) * (frames.n_steps + max(program.arrivals().values()))
    return max(1, min(BATCH_FRAMES // frames.n_steps, STATES_AT_ONCE // each))


def accuracy_of(outputs: Reals, frames: Frames) -> float | None:
    return None if frames.labels is None else float(np.mean(outputs.argmax(-1) == frames.labels))


def rmse_of(outputs: Reals, frames: Frames) -> float | None:
    return None if frames.targets is None else float(np.sqrt(np.mean((outputs - frames.targets) ** 2)))
