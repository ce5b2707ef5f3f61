"""From a quantised student's parameters to the chip's integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seamount.compile.arithmetic.synapses import largest_sums
from seamount.compile.formats import NumberFormats, grid_ends, grid_step
from seamount.compile.lower.quantise import split_bias
from seamount.compile.neurons.lif import NEVER_FIRES
from seamount.compile.numbers import DRIVE_SHIFT, FULL_SCALE_BITS
from seamount.models.spiking_net import INPUT

from .integer import OnGrid
from .plan import StudentPlan

if TYPE_CHECKING:
    from .quantised import QuantisedStudent

ANY_SPIKE_SCALE = 128
"""Of max-pooling neurons, so the weight of each spike: on the grid of every number of bits."""

SKIP_LIMIT = grid_ends("excitatory")[1]
"""A plain skip weighs one whole number, of one sign."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class WeightGrid:
    """Where a synapse's weights may lie: multiples of ``step`` up to ``limit``, of either sign.

    They keep clear of -256, which a one-signed matrix could not hold.
    """

    step: int
    limit: int

    @classmethod
    def of(cls, weight_bits: int, shift: int = 0) -> WeightGrid:
        """Of so many bits, sign included, ``shift`` places below the top of the chip's 8-bit scale."""
        return cls(grid_step("mixed", weight_bits) >> shift, grid_ends("mixed", weight_bits)[1] >> shift)


def shifts(weight_bits: int, formats: NumberFormats) -> range:
    """How far down a group's weights may stand beside others that share its population's scale.

    On the chip the synapse format's exponent does it, and the low bits that the weights do not use make it whole.
    """
    return range(min(FULL_SCALE_BITS - weight_bits, max(0, -formats.weight_exponent[0])) + 1)


def nearest_skip(weight: float, weight_bits: int, formats: NumberFormats) -> int:
    """The nearest whole weight of at most so many significant bits, 1 to 255."""
    whole = min(SKIP_LIMIT, max(1, round(weight)))
    lowest = FULL_SCALE_BITS - weight_bits - shifts(weight_bits, formats)[-1]
    spare = max(lowest, whole.bit_length() - weight_bits)
    held = max(1, round(whole / (1 << spare))) << spare
    return held if held <= SKIP_LIMIT else ((1 << weight_bits) - 1) << spare


@dataclass(frozen=True)
class Integers:
    """A forward pass's integers: weights and biases as tensors with gradient, the rest as numbers."""

    scale: dict[str, float]
    v_th_mant: dict[str, int]
    weights: dict[str, Tensor]
    bounds: dict[str, int]
    bias: dict[str, Tensor]
    bias_mant: dict[str, Ints]
    bias_exp: dict[str, Ints]


def rounded(student: QuantisedStudent) -> Integers:
    """All integers that the parameters are now."""
    scale, grids, formats = student.scales(), student.grids(), student.formats
    weights, bias = {}, {}
    for name, source, target in student.net.edges:
        if target not in student.log_scales:
            weights[name] = torch.full_like(getattr(student, f"weights_of_{name}"), ANY_SPIKE_SCALE).float()
            continue
        s, log_scale, plan = scale[target], student.log_scales[target], student.plans[target]
        if student.ops[name] is None:
            one = log_scale.new_ones(())
            weights[name] = OnGrid.apply(one, log_scale, s * plan.a_mem, 1, 0, SKIP_LIMIT)
            continue
        factor = s * plan.a_mem / (student.input_scale if source == INPUT else 1.0)
        grid = grids[name]
        there = getattr(student, f"entries_of_{name}", None)
        real = student.weights[name] if there is None else student.weights[name] * there
        weights[name] = OnGrid.apply(real, log_scale, factor, grid.step, -grid.limit, grid.limit)
    for name, values in student.biases.items():
        factor = (1 << DRIVE_SHIFT) * scale[name] * student.plans[name].a_mem
        bias[name] = OnGrid.apply(values, student.log_scales[name], factor, 1, -formats.bias_max, formats.bias_max)
    mant, exponent = _split(bias, formats)
    for name, held in _beside(bias, {name: mant[name] << exponent[name] for name in bias}).items():
        bias[name] = bias[name] + (held - bias[name]).detach()
    return _with_limits(student, scale, weights, bias, mant, exponent)


def frozen(student: QuantisedStudent) -> Integers:
    """All integers as ``freeze`` wrote them into the buffers."""
    scale = {name: float(getattr(student, f"scale_of_{name}")) for name in student.log_scales} | any_spike_scales(
        student
    )
    weights = {name: getattr(student, f"weights_of_{name}").float() for name in student.ops}
    bias = {name: getattr(student, f"bias_of_{name}").float() for name in student.biases}
    return _with_limits(student, scale, weights, bias, *_split(bias, student.formats))


def any_spike_scales(student: QuantisedStudent) -> dict[str, float]:
    return {name: float(ANY_SPIKE_SCALE) for name in student.plans if name not in student.log_scales}


def _split(bias: Mapping[str, Tensor], formats: NumberFormats) -> tuple[dict[str, Ints], dict[str, Ints]]:
    mant: dict[str, Ints] = {}
    exponent: dict[str, Ints] = {}
    if not bias:
        return mant, exponent
    # all in one transfer, because each would wait for the GPU by itself
    together = torch.cat([whole.detach().flatten() for whole in bias.values()]).cpu().double()
    parts = torch.split(together, [whole.numel() for whole in bias.values()])
    for (name, whole), values in zip(bias.items(), parts, strict=True):
        found = values.reshape(whole.shape).numpy()
        mant[name], exponent[name] = split_bias(found, formats.bias_mant_max, formats.bias_exp_max, where=name)
    return mant, exponent


def _beside(bias: Mapping[str, Tensor], values: Mapping[str, Ints]) -> dict[str, Tensor]:
    """Values as tensors where the biases are, and of their type, in one transfer."""
    if not bias:
        return {}
    like = next(iter(bias.values()))
    together = torch.from_numpy(np.concatenate([values[name].ravel() for name in bias])).to(like)
    parts = torch.split(together, [whole.numel() for whole in bias.values()])
    return {name: part.view(whole.shape) for (name, whole), part in zip(bias.items(), parts, strict=True)}


def _with_limits(
    student: QuantisedStudent,
    scale: dict[str, float],
    weights: dict[str, Tensor],
    bias: dict[str, Tensor],
    mant: dict[str, Ints],
    exponent: dict[str, Ints],
) -> Integers:
    thresholds = _thresholds(student.plans, scale, student.formats)
    return Integers(scale, thresholds, weights, _bounds(student, weights), bias, mant, exponent)


def _thresholds(
    plans: Mapping[str, StudentPlan], scale: Mapping[str, float], formats: NumberFormats
) -> dict[str, int]:
    return {
        name: NEVER_FIRES if plan.v_th is None else min(formats.v_th_mant_max, max(1, round(scale[name] * plan.v_th)))
        for name, plan in plans.items()
    }


def _bounds(student: QuantisedStudent, weights: Mapping[str, Tensor]) -> dict[str, int]:
    """Synapse -> largest |sum| that its source could cause."""
    top = (1 << student.input_bits) - 1 if student.input_bits else 1
    return largest_sums(weights, {name: top if source == INPUT else 1 for name, source, _ in student.net.edges})
