"""Where a quantised student starts: scales that round its weights with the smallest error and overflow nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from seamount.compile.formats import U_ROOM, NumberFormats
from seamount.compile.numbers import DRIVE_SHIFT
from seamount.models.spiking_net import INPUT, READOUT, Sum

from .grid import SKIP_LIMIT, WeightGrid, shifts

if TYPE_CHECKING:
    from .quantised import QuantisedStudent

HEAD_ROOM = 1.5
"""Of the largest drive seen in calibration, before it would wrap."""


def calibrate(student: QuantisedStudent, x: Tensor) -> None:
    """Sets every scale by the float student's drives for real samples x, as for ``forward``."""
    largest = _largest_drives(student, x)
    for name in student.log_scales:
        set_scale(student, name, largest[name])


def set_scale(student: QuantisedStudent, name: str, largest_drive: float = 0.0) -> None:
    """Sets a population's scale, and how far down the 8-bit scale the weights of each of its synapses stand.

    Args:
        largest_drive: seen in the float student, units of its membrane; 0 where none was.
    """
    scale = _best_scale(student, name, largest_drive)
    with torch.no_grad():
        student.log_scales[name].fill_(math.log(scale))
    for synapse, weights in _weights_into(student, name).items():
        student.set_shift(synapse, _best_shift(weights, scale, student.bits[synapse], student.formats)[1])


def _largest_drives(student: QuantisedStudent, x: Tensor) -> dict[str, float]:
    largest: dict[str, float] = {}
    handles: list[torch.utils.hooks.RemovableHandle] = []

    def see(name: str) -> None:
        def hook(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            largest[name] = max(largest.get(name, 0.0), float(given[0].abs().max()))

        handles.append(student.net.populations[name].register_forward_pre_hook(hook))

    try:
        for name in student.net.neurons():
            see(name)
        with torch.no_grad():
            device = student.log_scales[READOUT].device
            logits = student.net.to(device)(student.to_input(x.to(device)) / student.input_scale).logits
    finally:
        for handle in handles:
            handle.remove()
    if isinstance(student.net.readout, Sum):
        largest[READOUT] = float(logits.abs().max()) * len(logits)
    return largest


def _best_scale(student: QuantisedStudent, name: str, largest_drive: float) -> float:
    plan, formats = student.plans[name], student.formats
    limits = [U_ROOM / max(HEAD_ROOM * plan.a_mem * largest_drive, 1e-9)]
    if plan.v_th is not None:
        limits.append(formats.v_th_mant_max / plan.v_th)
    if name in student.biases:
        largest_bias = float(student.biases[name].detach().abs().max())
        limits.append(formats.bias_max / max((1 << DRIVE_SHIFT) * plan.a_mem * largest_bias, 1e-9))
    if any(student.ops[synapse] is None for synapse, _, target in student.net.edges if target == name):
        limits.append(SKIP_LIMIT / plan.a_mem)
    groups = _weights_into(student, name)
    # the scales at which each group's largest weight is the end of its grid; the group that needs the lowest decides
    fits = [WeightGrid.of(student.bits[n]).limit / m for n, g in groups.items() if (m := float(g.abs().max()))]
    if not fits:
        return min(limits)
    candidates = [min(min(fits) * 2 ** (k / 8), *limits) for k in range(20)]

    def error(scale: float) -> float:
        return sum(_best_shift(g, scale, student.bits[n], formats)[0] for n, g in groups.items())

    return min(dict.fromkeys(candidates), key=error)


def _weights_into(student: QuantisedStudent, name: str) -> dict[str, Tensor]:
    """Synapse -> its weights in units of the population's membrane, plain skips left out."""
    a_mem = student.plans[name].a_mem
    from_input = a_mem / student.input_scale
    return {
        synapse: student.weights[synapse].detach().double() * (from_input if source == INPUT else a_mem)
        for synapse, source, target in student.net.edges
        if target == name and student.ops[synapse] is not None
    }


def _best_shift(weights: Tensor, scale: float, weight_bits: int, formats: NumberFormats) -> tuple[float, int]:
    """(rounding error, how far down the weights stand for it)."""
    possible = shifts(weight_bits, formats)
    return min((_rounding_error(weights, scale, WeightGrid.of(weight_bits, shift)), shift) for shift in possible)


def _rounding_error(weights: Tensor, scale: float, grid: WeightGrid) -> float:
    real = weights * scale
    rounded = (grid.step * torch.round(real / grid.step)).clamp(-grid.limit, grid.limit)
    return float(((rounded - real) ** 2).sum() / (real**2).sum().clamp_min(1e-30))
