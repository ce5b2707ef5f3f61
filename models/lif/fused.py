"""All T steps of a layer of norse's LIF and LIFBox cells in one call, forward and backward, keeping one tensor only.

Defined by norse's own stepping (``cells.Neurons`` with ``fused=False``); tests hold the two together.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .constants import LifConstants
from .gradients import FusedLif, FusedRecurrentLif


def fused_lif(drive: Tensor, constants: LifConstants, n_steps: int) -> Tensor:
    """Spikes of all steps from the drive of all steps.

    Args:
        drive: (T, B, *shape), or (1, B, *shape) for a drive that is the same at every step; float32, bf16, on a GPU
            fp16 too.
        n_steps: T.

    Returns:
        (T, B, *shape) zeros and ones of the drive's type and memory layout.
    """
    if torch.compiler.is_compiling():
        from . import operators  # here, because it imports the compiler, which takes seconds

        return operators.fused_lif(drive, constants, n_steps)
    spikes: Tensor = FusedLif.apply(drive, constants, n_steps)
    return spikes


def fused_recurrent_lif(drive: Tensor, weight: Tensor, constants: LifConstants, n_steps: int) -> Tensor:
    """As ``fused_lif``, for a population whose spikes drive it in the next step through ``weight`` (N, N).

    Steps cannot be taken together here; what is saved is autograd's record of each of them, and the gradient of the
    weights is one product.

    Args:
        drive: (T or 1, B, N).
    """
    if torch.compiler.is_compiling():
        from . import operators

        outside: Tensor = operators.fused_recurrent_lif(drive, weight, constants, n_steps)
        return outside
    spikes: Tensor = FusedRecurrentLif.apply(drive, weight, constants, n_steps)
    return spikes
