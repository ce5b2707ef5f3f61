"""Training in bf16: only where a device multiplies it, because others imitate it at a tenth of fp32's speed."""

from __future__ import annotations

import os
import warnings

import torch
from llvmlite.binding import get_host_cpu_features

from .config import TrainConfig
from .parallel import World

CPU_FEATURES = ("avx512bf16", "amx-bf16", "bf16")
"""As LLVM calls them: of x86 the first two, of Arm the last. AVX-512 alone imitates bf16."""

WITHOUT_BF16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")
"""What oneDNN, which multiplies for torch, may be told to make do with."""


def multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in WITHOUT_BF16:
        return False
    features = get_host_cpu_features()
    return device.type != "cpu" or any(features.get(name, False) for name in CPU_FEATURES)


def settled(train: TrainConfig, world: World) -> TrainConfig:
    """With precision "auto" decided: bf16 where the devices of all processes multiply it."""
    if train.precision == "fp32":
        return train
    everywhere = int(world.sum(torch.tensor(int(multiplies_bf16(world.device))))) == world.size
    if train.precision == "auto":
        return train.model_copy(update={"precision": "bf16" if everywhere else "fp32"})
    if not everywhere:
        warnings.warn(
            f"{world.device} does not multiply bf16 but imitates it, which can take ten times as long as fp32; "
            'train.precision = "auto" takes fp32 here',
            RuntimeWarning,
            stacklevel=3,
        )
    return train
