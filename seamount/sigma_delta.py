"""From an ANN to a sigma-delta program without training: calibrate, round, choose a threshold, compare each frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seamount.compile.lower.calibration import moments_of
from seamount.compile.lower.sigma_delta import (
    DELTA,
    INPUT,
    RealLayer,
    RealPart,
    Scales,
    choose_scales,
    input_unit,
    sigma_delta_program,
    weight_bits,
    whole_weights,
)
from seamount.compile.network.network import reals
from seamount.compile.program.program import Program
from seamount.compile.program.streaming import sent_from
from seamount.compile.program.symptoms import by_chance
from seamount.errors import ConfigError, InputError, plural
from seamount.frames import Frames, as_seen
from seamount.hardware_targets.simulator import simulate
from seamount.models.ann import AnnLayer, Part, ann_layers, run_layers
from seamount.models.fold import FoldedConv
from seamount.notebook import frame, line

if TYPE_CHECKING:
    from pandas import DataFrame

Reals = NDArray[np.float64]

CALIBRATION_FRAMES = 512
"""Real frames by which scales are chosen: the largest sums of more are hardly larger, and states have room."""

TYPICAL = 0.999
"""Share of activations that a threshold's unit is not exceeded by: the largest one alone may be an outlier."""

THRESHOLDS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Of the curve; one of them is the default."""

CLOSE = 0.03
"""Error of the outputs on the calibration frames (RMS, a share of their spread) with which the default threshold is
content."""

BATCH_FRAMES = 256
"""Frames that are run at once, and by which thresholds are judged."""

STATES_AT_ONCE = 1 << 26
"""States of neurons, of all frames and steps, that are kept in memory."""

STATES_JUDGED = 1 << 28
"""Of neurons, in all frames and steps by which a threshold is judged: of large networks fewer frames than
``BATCH_FRAMES`` have to do, down to ``LEAST_JUDGED``."""

LEAST_JUDGED = 16

SEARCH_STEPS = 10
"""Of the bisection for a number of messages: thresholds are then known to a thousandth."""


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
class Reference:
    """The ANN on the same frames.

    Attributes:
        outputs: (T, B, K). operations: multiplications a frame, those with zeros among them.
        largest: its largest |output|, beside which errors are read.
        chance: why its classes are no better than chance; "" where they are.
    """

    outputs: Reals
    operations: int
    accuracy: float | None
    rmse: float | None
    chance: str

    @property
    def largest(self) -> float:
        return float(np.abs(self.outputs).max())


@dataclass(frozen=True)
class Conversion:
    """What became of an ANN.

    Attributes:
        program: with the threshold that was chosen.
        chosen: that threshold's point. curve: points by threshold.
        weight_bits: that the largest weight of each layer (of each of its sources) uses.
        latency: frames after which the answer to a frame is there.
        what, n_samples, n_frames: what was compared.
    """

    program: Program
    chosen: Point
    curve: tuple[Point, ...]
    reference: Reference
    weight_bits: dict[str, float]
    latency: int
    what: str
    n_samples: int
    n_frames: int

    def __repr__(self) -> str:
        compared = f"{self.n_samples} {plural(self.n_samples, 'sample')} of {self.what}"
        same = f"{100 * self.chosen.same:.2f} % answered as the ANN does"
        return line("Conversion", self.program.name, (f"threshold {self.chosen.threshold:g}", same, compared))

    def table(self) -> DataFrame:
        """A row a threshold of the curve."""
        return frame(asdict(point) for point in self.curve)

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers; the ANN's outputs are left out."""
        r = self.reference
        return {
            "name": self.program.name,
            "data": {"what": self.what, "samples": self.n_samples, "frames": self.n_frames},
            "ann": {
                "operations": r.operations,
                "accuracy": r.accuracy,
                "chance": r.chance,
                "rmse": r.rmse,
                "largest_output": r.largest,
            },
            "chosen": asdict(self.chosen),
            "curve": [asdict(point) for point in self.curve],
            "weight_bits": self.weight_bits,
            "latency_frames": self.latency,
        }


def convert(
    module: nn.Module,
    calibration: Frames,
    test: Frames,
    *,
    name: str = "ann",
    threshold: float | None = None,
    messages: float | None = None,
    for_netx: bool = False,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Conversion:
    """See ``conversion.convert``; ``thresholds`` are those of the curve."""
    _check(threshold, messages)
    layers = ann_layers(module, test.shape, name)
    real = calibrated(layers, calibration)
    scales = choose_scales(real, for_netx=for_netx)
    weights = whole_weights(real, scales)
    few = _few(calibration, layers)

    @cache
    def made(at: float) -> Program:
        plain = sigma_delta_program(name, test.shape, real, scales, weights, at, test.n_steps)
        moved = _made_up_for(plain, layers, real, scales, few)
        return sigma_delta_program(name, test.shape, moved, scales, weights, at, test.n_steps)

    reference = _reference(module, layers, test)
    if messages is not None:
        judged = test.part(0, 2 * few.n)
        threshold = _threshold_for(messages, lambda at: _run(made(at), judged).messages)
    at = _close_threshold(made, module, few) if threshold is None else threshold
    points = {t: _point(made(t), t, test, reference) for t in sorted({*thresholds, at})}
    return Conversion(
        program=made(at),
        chosen=points[at],
        curve=tuple(points.values()),
        reference=reference,
        weight_bits=weight_bits(real, scales),
        latency=max(made(at).arrivals().values()),
        what=test.what,
        n_samples=test.n,
        n_frames=test.n * test.n_steps,
    )


def _check(threshold: float | None, messages: float | None) -> None:
    if threshold is not None and messages is not None:
        raise ConfigError(
            "one of them chooses the threshold", where="--threshold, --messages", ways_out="leave one out"
        )
    if threshold is not None and not 0 <= threshold <= 1:
        found, possible = f"{threshold:g}", "0 to 1 is possible: a share of each layer's usual largest activation"
        raise ConfigError(found, where="--threshold", possible=possible)
    if messages is not None and not 0 < messages < float("inf"):
        raise ConfigError(f"{messages:g}", where="--messages", possible="more than 0 a frame is possible")


# ------------------------------------------------------------------------------------------------ calibration


def calibrated(layers: Sequence[AnnLayer], frames: Frames) -> list[RealLayer]:
    """What the layers' sums and activations reach on real frames, in float64.

    Raises:
        InputError: a layer whose activations are all 0.
    """
    x = frames.x.reshape(-1, *frames.shape)
    # spread over the samples, which may stand in the order of their classes
    numbers = torch.linspace(0, len(x) - 1, min(len(x), CALIBRATION_FRAMES)).long().numpy()
    with torch.no_grad():
        values = run_layers(layers, as_seen(x[numbers]))
        return [_real_layer(layer, values) for layer in layers]


def _real_layer(layer: AnnLayer, values: Mapping[str, Tensor]) -> RealLayer:
    sums, bias, activations = layer.sums(values), layer.bias, values[layer.name]
    without = sums - torch.from_numpy(bias).reshape(-1, *(1,) * (len(layer.shape) - 1))
    largest = float(torch.maximum(sums.abs(), without.abs()).max())
    typical = float(np.quantile(activations.abs().numpy(), TYPICAL))
    if not np.isfinite(largest):
        raise InputError("its sums are not finite on the calibration frames", where=layer.name)
    if not activations.any():
        found = "its activations are all 0 on the calibration frames, so nothing is known of their size"
        raise InputError(found, where=layer.name, ways_out="calibrate on other frames, or train the network")
    parts = tuple(_real_part(part, values[part.source]) for part in layer.parts)
    typical = typical or float(activations.abs().max())
    return RealLayer(layer.name, parts, bias, layer.shape, layer.rectified, largest, typical)


def _real_part(part: Part, before: Tensor) -> RealPart:
    window = part.op.window if isinstance(part.op, FoldedConv) else None
    if part.only_adds:
        return RealPart(part.source, part.weight, window)
    moments = moments_of(reals(before.numpy()), part.weight.shape, window)
    return RealPart(part.source, part.weight, window, moments)


def _few(calibration: Frames, layers: Sequence[AnnLayer]) -> Frames:
    """Some of the samples, from all over."""
    n_steps = calibration.n_steps
    each = sum(prod(layer.shape) for layer in layers) * (n_steps + len(layers))
    most = min(BATCH_FRAMES, max(LEAST_JUDGED, STATES_JUDGED // each * n_steps))
    n = min(calibration.n, max(1, most // n_steps))
    return calibration.at(np.linspace(0, calibration.n - 1, n).astype(int))


def _made_up_for(
    program: Program, layers: Sequence[AnnLayer], real: Sequence[RealLayer], scales: Scales, frames: Frames
) -> list[RealLayer]:
    """The layers with biases that make up for what a threshold keeps back in the mean of these frames.

    An activation that rises from 0 is sent late or never, so what is kept back has a sign.
    """
    kept = _kept_back(program, scales, frames)
    moved = []
    for layer, one in zip(layers, real, strict=True):
        shift = np.zeros(layer.shape[0])
        for part in layer.parts:
            mean = kept[part.source][None]
            missing = (part.sums(mean) - part.sums(torch.zeros_like(mean))).reshape(layer.shape)
            shift = shift + missing.flatten(1).mean(1).numpy() if len(layer.shape) > 1 else shift + missing.numpy()
        moved.append(replace(one, bias=one.bias + shift))
    return moved


def _kept_back(program: Program, scales: Scales, frames: Frames) -> dict[str, Tensor]:
    """Mean residue of each source by its name in the ANN, in the ANN's units, (*shape)."""
    program = program.with_(n_steps=frames.n_steps)
    units = {DELTA: input_unit(scales)}
    names = [p.name for p in program.populations[1:-1]]
    units |= {name: scale.state for name, scale in zip(names, scales.layers, strict=True)}
    arrivals, n_steps = program.arrivals(), frames.n_steps
    each = sum(p.n_neurons for p in program.populations) * (n_steps + max(arrivals.values()))
    size = max(1, min(frames.n, STATES_AT_ONCE // each))
    total: dict[str, Any] = dict.fromkeys(units, 0.0)
    for first in range(0, frames.n, size):
        x = _held(frames.x[:, first : first + size], program)
        run = simulate(program, x, n_steps=len(x), record=("residue",))
        for name in units:
            residue = run.states["residue"][name][arrivals[name] :][:n_steps]
            total[name] = total[name] + residue.sum((0, 1), dtype=np.float64)
    means = {name: torch.from_numpy(total[name] / (frames.n * n_steps * unit)) for name, unit in units.items()}
    return {INPUT if name == DELTA else name: mean for name, mean in means.items()}


def _close_threshold(made: Callable[[float], Program], module: nn.Module, frames: Frames) -> float:
    """The largest threshold of the curve whose outputs stay ``CLOSE`` to the ANN's on these frames; else 0."""
    expected = _outputs(module, frames)
    spread = float(np.sqrt(np.mean((expected - expected.mean((0, 1))) ** 2)))
    chosen = 0.0
    for threshold in THRESHOLDS[1:]:
        error = _run(made(threshold), frames).outputs - expected
        if np.sqrt(np.mean(error**2)) > CLOSE * spread:
            break
        chosen = threshold
    return chosen


# -------------------------------------------------------------------------------------------------- comparing


@dataclass(frozen=True)
class _Ran:
    """``outputs`` (T, B, K) in the ANN's units; messages and operations a frame."""

    outputs: Reals
    messages: float
    operations: float
    left_range: int


def _run(program: Program, frames: Frames) -> _Ran:
    program = program.with_(n_steps=frames.n_steps)
    assert program.readout is not None, "made with one"
    name, n_steps, arrivals, sent = program.readout.population, frames.n_steps, program.arrivals(), sent_from(program)
    size = max(1, BATCH_FRAMES // n_steps)
    outputs, messages, operations, left = [], 0, 0, 0
    for first in range(0, frames.n, size):
        x = _held(frames.x[:, first : first + size], program)
        run = simulate(program, x, n_steps=len(x), record=("spikes",), populations=(name,))
        outputs.append(program.readout.real(run.spikes[name][arrivals[name] :][:n_steps]))
        for layer, events in run.events.items():
            # from the start, when biases are sent, to the last frame: what follows it is no frame's
            messages += int(events.n_spikes[: arrivals[layer] + n_steps].sum())
            operations += int(events.sops[: (sent[layer] or 0) + n_steps].sum())
            left += events.n_u_wraps + events.n_v_saturations + events.n_drive_wraps
    n = frames.n * n_steps
    return _Ran(np.concatenate(outputs, axis=1), messages / n, operations / n, left)


def _held(x: NDArray[np.uint8], program: Program) -> NDArray[np.int64]:
    """Frames (T, B, *shape), of which the last one stays until it has passed the network, so that nothing changes
    behind it."""
    stays = np.repeat(x[-1:], max(program.arrivals().values()), axis=0)
    return np.concatenate([x, stays]).astype(np.int64)


def _point(program: Program, threshold: float, frames: Frames, reference: Reference) -> Point:
    ran = _run(program, frames)
    error = ran.outputs - reference.outputs
    same = float(np.mean(ran.outputs.argmax(-1) == reference.outputs.argmax(-1)))
    return Point(
        threshold=threshold,
        messages=ran.messages,
        operations=ran.operations,
        accuracy=_accuracy(ran.outputs, frames),
        same=same,
        error_max=float(np.abs(error).max()),
        error_rms=float(np.sqrt(np.mean(error**2))),
        rmse=_rmse(ran.outputs, frames),
        left_range=ran.left_range,
    )


def _reference(module: nn.Module, layers: Sequence[AnnLayer], frames: Frames) -> Reference:
    outputs = _outputs(module, frames)
    if frames.targets is not None and frames.targets.shape[-1] != outputs.shape[-1]:
        found = f"y has {frames.targets.shape[-1]} outputs, the network {outputs.shape[-1]}"
        raise InputError(found, where=frames.what)
    accuracy, rmse = _accuracy(outputs, frames), _rmse(outputs, frames)
    return Reference(outputs, _multiplications(layers), accuracy, rmse, _chance(outputs, frames))


def _outputs(module: nn.Module, frames: Frames) -> Reals:
    """(T, B, K), outside of training."""
    x = frames.real().flatten(0, 1)
    training, device = module.training, next((p.device for p in module.parameters()), torch.device("cpu"))
    module.eval()
    with torch.no_grad():
        answered = [module(part.to(device)).cpu().double().flatten(1) for part in torch.split(x, BATCH_FRAMES)]
    module.train(training)
    outputs: Reals = torch.cat(answered).reshape(frames.n_steps, frames.n, -1).numpy()
    return outputs


def _multiplications(layers: Sequence[AnnLayer]) -> int:
    """Of a frame: each output's weights, padding among them, as they are usually counted."""
    return sum(
        prod(layer.shape) * prod(part.weight.shape[1:])
        for layer in layers
        for part in layer.parts
        if not part.only_adds
    )


def _accuracy(outputs: Reals, frames: Frames) -> float | None:
    return None if frames.labels is None else float(np.mean(outputs.argmax(-1) == frames.labels))


def _chance(outputs: Reals, frames: Frames) -> str:
    if frames.labels is None:
        return ""
    answers = outputs.argmax(-1)
    return by_chance(answers.ravel(), np.broadcast_to(frames.labels, answers.shape).ravel())


def _rmse(outputs: Reals, frames: Frames) -> float | None:
    return None if frames.targets is None else float(np.sqrt(np.mean((outputs - frames.targets) ** 2)))


def _threshold_for(messages: float, sent: Any) -> float:
    """The least threshold with at most so many messages a frame.

    Raises:
        ConfigError: not even the largest threshold has so few.
    """
    low, high = 0.0, 1.0
    if sent(low) <= messages:
        return low
    if (least := sent(high)) > messages:
        raise ConfigError(f"{messages:g}", where="--messages", possible=f"{least:.1f} a frame and more are possible")
    for _ in range(SEARCH_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if sent(middle) <= messages else (middle, high)
    return high
