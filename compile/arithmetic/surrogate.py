"""The scan as a differentiable function: forward gives the chip's integers, backward a surrogate gradient.

Backward treats rounding as straight-through and the threshold as a smooth step: with k the share that a state keeps,
u[t] = k_u u[t-1] + 64 drive[t], v'[t] = k_v v[t-1] + u[t] + bias, s[t] = step(v'[t] - v_th), v[t] = v'[t] (1 - s[t]).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch

from seamount.compile.program import Lif
from seamount.errors import Unsupported

from .scan import NeuronTable, lif_scan, neuron_table

Surrogate = Literal["sigmoid", "triangle", "superspike", "arctan"]


def _sigmoid(x: torch.Tensor, slope: float) -> torch.Tensor:
    rising = torch.sigmoid(slope * x)
    return slope * rising * (1 - rising)


def _triangle(x: torch.Tensor, slope: float) -> torch.Tensor:
    return slope * torch.clamp(1 - slope * x.abs(), min=0)


def _superspike(x: torch.Tensor, slope: float) -> torch.Tensor:
    return 1 / (slope * x.abs() + 1) ** 2


def _arctan(x: torch.Tensor, slope: float) -> torch.Tensor:
    return slope / (2 * (1 + (np.pi / 2 * slope * x) ** 2))


SURROGATES: dict[str, Callable[[torch.Tensor, float], torch.Tensor]] = {
    "sigmoid": _sigmoid,
    "triangle": _triangle,
    "superspike": _superspike,
    "arctan": _arctan,
}
"""Derivative of the smooth step at x = v - v_th in real units, for a slope."""


def lif_spikes(
    drive: torch.Tensor,
    lif: Lif,
    shape: tuple[int, ...],
    *,
    bias: torch.Tensor | None = None,
    surrogate: Surrogate = "superspike",
    slope: float = 10.0,
    unit: float = 1.0,
    reset_at: Sequence[int] = (),
    through_reset: bool = True,
    drive_limit: int | None = None,
    table: NeuronTable | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Spikes and v after each step, (T, B, *shape) in the dtype of the drive; gradients to drive and bias.

    Args:
        drive: whole numbers in float32 or float64.
        bias: as ``lif`` has it, in units of v: only a place for its gradient, its value is not read.
        unit: units of v per real unit of the membrane (64 times the population's scale): the surrogate sees
            (v - v_th) / unit, and a gradient to v counts in units of v.
        through_reset: let gradients pass through the reset's own spike.
        drive_limit, table: as for ``lif_scan``.
    """
    if lif.refractory_steps:
        raise Unsupported("a refractory period has no surrogate gradient here; train without one")
    found = neuron_table(lif, shape) if table is None else table
    given = drive.new_zeros(()) if bias is None else bias
    spikes, v = _LifSpikes.apply(
        drive, given, lif, shape, found, (surrogate, slope, unit, tuple(reset_at), through_reset, drive_limit)
    )
    return spikes, v


class _LifSpikes(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        drive: torch.Tensor,
        bias: torch.Tensor,
        lif: Lif,
        shape: tuple[int, ...],
        table: NeuronTable,
        options: tuple[str, float, float, tuple[int, ...], bool, int | None],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        result = lif_scan(
            drive, lif, shape, reset_at=options[3], want=("v", "v_before_reset"), drive_limit=options[5], table=table
        )
        assert result.v is not None
        assert result.v_before_reset is not None
        ctx.save_for_backward(result.spikes, result.v_before_reset)
        ctx.table, ctx.shape, ctx.options = table, shape, options
        ctx.bias_shape = bias.shape if ctx.needs_input_grad[1] else None
        return result.spikes.to(drive.dtype), result.v.to(drive.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        to_spikes, to_v = gradients
        spikes, before = ctx.saved_tensors
        surrogate, slope, unit, reset_at, through_reset, _ = ctx.options
        table: NeuronTable = ctx.table

        def parameter(values: Any) -> torch.Tensor:
            return torch.from_numpy(values).to(to_spikes.device, to_spikes.dtype).reshape(ctx.shape)

        keep_u, keep_v, v_th = parameter(table.keep_u) / 4096, parameter(table.keep_v) / 4096, parameter(table.high)
        to_drive = torch.empty_like(to_spikes)
        to_bias = torch.zeros_like(to_spikes[0])
        u_later, v_later = torch.zeros_like(to_spikes[0]), torch.zeros_like(to_spikes[0])
        for t in range(len(spikes) - 1, -1, -1):
            v_before = before[t].to(to_spikes.dtype)
            fired = spikes[t].to(to_spikes.dtype)
            into_v = to_v[t] + v_later
            into_spike = to_spikes[t] - into_v * v_before if through_reset else to_spikes[t]
            steep = SURROGATES[surrogate]((v_before - v_th) / unit, slope) / unit
            into_before = into_v * (1 - fired) + into_spike * steep
            into_u = into_before + u_later
            to_drive[t] = 64 * into_u
            to_bias += into_before
            kept = t not in reset_at
            u_later, v_later = into_u * keep_u * kept, into_before * keep_v * kept
        bias_gradient = None
        if ctx.bias_shape is not None:
            bias_gradient = to_bias.sum(dim=0).sum_to_size(ctx.bias_shape)
        return to_drive, bias_gradient, None, None, None, None
