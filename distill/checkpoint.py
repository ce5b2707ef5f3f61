"""Tensors and facts in one safetensors file, written so that a crash leaves the old file or the new one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save as as_bytes
from torch import Tensor, nn

from seamount.errors import InputError
from seamount.files import write_atomically
from seamount.foreign.tensors import plain, read_safetensors, read_state_dict


def save(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """The whole file or nothing; its folder is made."""
    # clones: safetensors refuses tensors that share memory, as tied weights do
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    # by Python, because of a full disk safetensors tells in words of its own, without a number
    write_atomically(path, as_bytes(copies, metadata={"facts": json.dumps(facts)}))


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors (on the CPU) and the facts of a state that ``save`` wrote, without which training begins anew."""
    return read_safetensors(path, ways_out="delete it to start anew")


def load_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from .safetensors (also our own checkpoints) or from a .pt file that holds nothing else."""
    if path.suffix != ".safetensors":
        return read_state_dict(path)
    tensors, _ = read_safetensors(path)
    networks = {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
    return {name: plain(value, name, path) for name, value in (networks or tensors).items()}


def put(module: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Loads a state dict; one of another architecture is refused with the names that differ."""
    if differing := _differences(module.state_dict(), state):
        raise InputError(
            f"a checkpoint of another architecture; {'; '.join(differing)}",
            where=where,
            ways_out="give the architecture and options with which it was made",
        )
    module.load_state_dict(dict(state))


def _differences(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    missing = [name for name in own if name not in state]
    foreign = [name for name in state if name not in own]
    shapes = [
        f"{name} is {tuple(state[name].shape)}, needed {tuple(own[name].shape)}"
        for name in own
        if name in state and own[name].shape != state[name].shape
    ]
    return [
        f"{label} {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
        for label, names in (("missing:", missing), ("unknown:", foreign), ("shapes:", shapes))
        if names
    ]
