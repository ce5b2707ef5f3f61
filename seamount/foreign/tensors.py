"""Weights in safetensors files and in torch's own .pt files, of which nothing but tensors is read."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from seamount.errors import InputError

from .limits import DATA_BYTES
from .whole import first_line, regular

State = dict[str, Tensor]


def read_safetensors(path: Path) -> tuple[State, dict[str, Any]]:
    """The tensors, on the CPU, and the facts that ``distill/checkpoint.py`` wrote beside them."""
    regular(path, DATA_BYTES)
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            if not isinstance(facts, dict):
                raise ValueError(f"its facts are {type(facts).__name__}")
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
        found = f"not a readable safetensors file ({first_line(error)})"
        raise InputError(found, where=path, ways_out="delete it to start anew") from None


def read_state_dict(path: Path) -> State:
    """A .pt file that holds a state dict, or one under the key ``state_dict``, and nothing else."""
    regular(path, DATA_BYTES)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                n_bytes = sum(member.file_size for member in archive.infolist())
            DATA_BYTES.check(n_bytes, path, f"{n_bytes} bytes when it is unpacked")
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except pickle.UnpicklingError:  # torch's own words tell how to run the code in it all the same
        found = "not a state dict (it holds more than tensors, which could run code and is never read)"
        raise InputError(found, where=path, ways_out="save the module's state_dict()") from None
    except Exception as error:  # torch's other errors have no common class
        raise InputError(f"not a state dict ({first_line(error) or type(error).__name__})", where=path) from None
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise InputError(f"holds {type(loaded).__name__}, not a state dict of tensors", where=path)
    return {name: plain(value, name, path) for name, value in state.items()}


def plain(value: Tensor, name: str, path: Path) -> Tensor:
    """Refuses tensors that are no plain real numbers in memory."""
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_complex() or value.is_quantized:
        raise InputError(
            f"{name} is {value.dtype}, {value.layout} on {value.device}",
            where=path,
            possible="dense real numbers are",
        )
    if value.is_floating_point() and not bool(
        torch.isfinite(value.float() if value.element_size() == 1 else value).all()
    ):
        raise InputError(f"{name} holds NaN or infinity", where=path, ways_out="train it again")
    return value
