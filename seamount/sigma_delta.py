"""From an ANN to a sigma-delta program without training: calibrate, round, choose a threshold, compare each frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from seamount.compile.lower.calibration import moments_of
from seamount.compile.lower.sigma_delta import (
    INPUT,
    RealLayer,
    RealPart,
    choose_scales,
    weight_bits,
)
from seamount.compile.network.network import reals
from seamount.compile.program.program import Program
from seamount.compile.program.symptoms import beside_chance
from seamount.distill.progress import QUIET, Progress
from seamount.errors import ConfigError, InputError, Reason, Unsupported, plural
from seamount.frames import Frames, as_seen
from seamount.models.ann import AnnLayer, Part, ann_layers, as_trained
from seamount.models.fold import FoldedConv
from seamount.notebook import card, frame, headed, line
from seamount.run.told import Told
from seamount.trials import BATCH_FRAMES, THRESHOLDS, Point, Reals, Trials, accuracy_of, few_of, rmse_of

if TYPE_CHECKING:
    from pandas import DataFrame

CALIBRATION_FRAMES = 512
"""Real frames by which scales are chosen: the largest sums of more are hardly larger, and states have room."""

TYPICAL = 0.999
"""Share of activations that a threshold's unit is not exceeded by: the largest one alone may be an outlier."""


@dataclass(frozen=True)
class Reference:
    """The ANN on the same frames.

    Attributes:
        outputs: (T, B, K). operations: multiplications a frame, those with zeros among them.
        largest: its largest |output|, beside which errors are read.
        chance: why its classes are no better, or hardly better, than chance; "" where they are.
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
        why: what chose the threshold, and on which samples.
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
    why: str

    def __repr__(self) -> str:
        compared = f"{self.n_samples} {plural(self.n_samples, 'sample')} of {self.what}"
        near = f"{100 * self.chosen.same:.2f} % answered as the ANN does"
        if self.chosen.rmse is not None:
            near = f"outputs {self.chosen.error_rms:.3g} (RMS) from the ANN's"
        return line("Conversion", self.program.name, (f"threshold {self.chosen.threshold:g}", near, compared))

    def _repr_html_(self) -> str:
        title = f"{self.program.name} as sigma-delta: threshold {self.chosen.threshold:.3g}, {self.why}"
        compared = f"{self.n_samples:,} {plural(self.n_samples, 'sample')} of {self.what}"
        chance = f"; the ANN's {self.reference.chance}" if self.reference.chance else ""
        return card(title, f"{compared}{chance}", headed([asdict(point) for point in self.curve]))

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
            "why": self.why,
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
    told: Told | None = None,
) -> Conversion:
    """See ``conversion.convert``; ``thresholds`` are those of the curve."""
    _check(threshold, messages)
    told = told or Told()
    layers = ann_layers(module, test.shape, name)
    module = as_trained(module)
    if for_netx:
        _require_chain(layers, name)
    told.stage("calibrate")
    real = calibrated(layers, calibration, told.progress)
    scales, reference = (
        choose_scales(real, for_netx=for_netx, sequences=test.n_steps > 1),
        _reference(module, layers, test),
    )
    few = few_of(calibration, layers)
    trials = Trials(name, layers, real, scales, few, test, reference.outputs, told, late_biases=not for_netx)
    if messages is not None:
        at = trials.threshold_for(messages)
    else:
        at = trials.close_threshold(_outputs(module, few)) if threshold is None else threshold
    trials.compare(sorted({*thresholds, at}))
    program, points = trials.program(at), trials.points
    return Conversion(
        program=program,
        chosen=points[at],
        curve=tuple(points[t] for t in sorted({*thresholds, at})),
        reference=reference,
        weight_bits=weight_bits(real, scales),
        latency=max(program.arrivals().values()),
        what=test.what,
        n_samples=test.n,
        n_frames=test.n * test.n_steps,
        why=_why(threshold, messages, few.n, the_same=np.may_share_memory(calibration.x, test.x)),
    )


def _why(threshold: float | None, messages: float | None, few: int, *, the_same: bool) -> str:
    if threshold is not None:
        return "as asked for"
    found = "the largest close to the ANN" if messages is None else f"at most {messages:,g} messages a frame"
    where = f"on {few:,} {plural(few, 'sample')} of the calibration"
    return f"{found} {where}{', which is what is compared' if the_same else ''}"


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


def _require_chain(layers: Sequence[AnnLayer], name: str) -> None:
    """
    Raises:
        Unsupported: layers that netx has no place for, counted, because largest values are made of many.
    """
    sources = [INPUT, *(layer.name for layer in layers)]
    sums = [
        layer.name
        for layer, before in zip(layers, sources, strict=False)
        if [part.source for part in layer.parts] != [before] or layer.parts[0].weight.ndim == 0
    ]
    signed = [layer.name for layer in layers[:-1] if not layer.rectified]
    reasons = [
        Reason(
            f"{len(found)} {plural(len(found), 'layer')} {told}, as {found[0]}", name, possible, ("leave out --net",)
        )
        for found, told, possible in (
            (sums, "of sums or largest values", "a .net file holds a chain of layers"),
            (signed, "without ReLU", "netx rectifies every layer"),
        )
        if found
    ]
    if reasons:
        raise Unsupported.together(reasons)


# ------------------------------------------------------------------------------------------------ calibration


def calibrated(layers: Sequence[AnnLayer], frames: Frames, progress: Progress = QUIET) -> list[RealLayer]:
    """What the layers' sums and activations reach on real frames, in float64.

    Raises:
        InputError: a layer whose activations are all 0.
    """
    x = frames.x.reshape(-1, *frames.shape)
    # spread over the samples, which may stand in the order of their classes
    numbers = torch.linspace(0, len(x) - 1, min(len(x), CALIBRATION_FRAMES)).long().numpy()
    values, real = {INPUT: as_seen(x[numbers]).double()}, list[RealLayer]()
    last_reader = {part.source: k for k, layer in enumerate(layers) for part in layer.parts}
    progress.begin("calibrate", len(layers))
    with torch.no_grad():
        for k, layer in enumerate(layers):
            sums = layer.sums(values)
            values[layer.name] = layer.activations(sums)
            real.append(_real_layer(layer, sums, values))
            # those of all layers together would be gigabytes
            values = {name: x for name, x in values.items() if last_reader.get(name, 0) > k}
            progress.advance()
    progress.end()
    return real


def _real_layer(layer: AnnLayer, sums: Tensor, values: Mapping[str, Tensor]) -> RealLayer:
    bias, activations = layer.bias, values[layer.name]
    own = [axis for axis in range(sums.ndim) if axis != 1]
    ends = np.stack([sums.amin(own).numpy(), sums.amax(own).numpy()])
    largest = float(np.maximum(np.abs(ends), np.abs(ends - bias)).max())
    typical = float(np.quantile((activations if layer.rectified else activations.abs()).numpy(), TYPICAL))
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


# -------------------------------------------------------------------------------------------------- comparing


def _reference(module: nn.Module, layers: Sequence[AnnLayer], frames: Frames) -> Reference:
    outputs = _outputs(module, frames)
    if frames.targets is not None and frames.targets.shape[-1] != outputs.shape[-1]:
        found = f"y has {frames.targets.shape[-1]} outputs, the network {outputs.shape[-1]}"
        raise InputError(found, where=frames.what)
    accuracy, rmse = accuracy_of(outputs, frames), rmse_of(outputs, frames)
    return Reference(outputs, _multiplications(layers), accuracy, rmse, _chance(outputs, frames))


def _outputs(module: nn.Module, frames: Frames) -> Reals:
    """(T, B, K)."""
    x = frames.real().flatten(0, 1)
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    with torch.no_grad():
        answered = [module(part.to(device)).cpu().double().flatten(1) for part in torch.split(x, BATCH_FRAMES)]
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


def _chance(outputs: Reals, frames: Frames) -> str:
    if frames.labels is None:
        return ""
    answers = outputs.argmax(-1)
    return "".join(beside_chance(answers.ravel(), np.broadcast_to(frames.labels, answers.shape).ravel()))
