"""The fused LIF as torch.compile takes it: as an operator of its own, which a graph holds as it is, kernels and all.

Used only while a graph is traced: called one by one, an operator costs more than the autograd functions of
``fused_lif``. The recurrent LIF stays outside of graphs: most of it is autograd's own, step by step.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .constants import LifConstants
from .gradients import FusedRecurrentLif, fused_lif_gradient, spikes_and_potential
from .layout import form_of, unrows


def fused_lif(drive: Tensor, c: LifConstants, n_steps: int) -> Tensor:
    """As the one of ``fused_lif``."""
    spikes: Tensor = lif(
        drive, n_steps, c.a_mem, c.a_syn, c.v_leak, c.v_th, c.v_reset, c.gain, c.method, c.alpha, c.detach_reset
    )[0]
    return spikes


@torch.compiler.disable  # type: ignore[untyped-decorator]
def fused_recurrent_lif(drive: Tensor, weight: Tensor, constants: LifConstants, n_steps: int) -> Tensor:
    """As the one of ``fused_lif``."""
    spikes: Tensor = FusedRecurrentLif.apply(drive, weight, constants, n_steps)
    return spikes


# torch's operators take numbers and no objects, so these are the fields of LifConstants
_CONSTANTS = (
    "float a_mem, float? a_syn, float v_leak, float v_th, float v_reset, float gain, str method, float alpha, "
    "bool detach_reset"
)
_FORWARD = f"(Tensor drive, int n_steps, {_CONSTANTS}) -> (Tensor, Tensor)"
_BACKWARD = f"(Tensor gradient, Tensor kept, bool repeated, {_CONSTANTS}) -> Tensor"


def _forward(drive: Tensor, n_steps: int, *constants: Any) -> tuple[Tensor, Tensor]:
    return spikes_and_potential(drive, LifConstants(*constants), n_steps)


def _backward(gradient: Tensor, kept: Tensor, repeated: bool, *constants: Any) -> Tensor:
    return fused_lif_gradient(gradient, kept, LifConstants(*constants), repeated=repeated)


lif: Any = torch.library.custom_op("seamount::lif", _forward, mutates_args=(), schema=_FORWARD)
lif_gradient: Any = torch.library.custom_op("seamount::lif_gradient", _backward, mutates_args=(), schema=_BACKWARD)


# what the operators return, without computing it


def _shape_forward(drive: Tensor, n_steps: int, *constants: Any) -> tuple[Tensor, Tensor]:
    return _like_steps(drive, n_steps), _like_steps(drive, n_steps)


def _shape_backward(gradient: Tensor, kept: Tensor, repeated: bool, *constants: Any) -> Tensor:
    return _like_steps(kept, 1 if repeated else kept.shape[0])


def _like_steps(x: Tensor, n_steps: int) -> Tensor:
    """Empty, of the type and layout of ``x``: (n_steps, B, *shape)."""
    form = form_of(x)
    return unrows(x.new_empty(n_steps, math.prod(form.shape)), form)


lif.register_fake(_shape_forward)
lif_gradient.register_fake(_shape_backward)


# the gradient of one is the other


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    drive, n_steps, *ctx.constants = inputs
    ctx.save_for_backward(output[1])
    ctx.repeated = drive.shape[0] == 1 and n_steps > 1


def _differentiate(ctx: Any, gradient: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
    (kept,) = ctx.saved_tensors
    return lif_gradient(gradient, kept, ctx.repeated, *ctx.constants), *[None] * (1 + len(ctx.constants))


lif.register_autograd(_differentiate, setup_context=_keep)
