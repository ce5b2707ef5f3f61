"""Weights in safetensors files and in torch's own .pt files, of which nothing but tensors is read."""

from __future__ import annotations

import json
import pickle
import warnings
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

NOT_NUMPYS = (
    *(torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2),
    *(torch.float8_e4m3fnuz, torch.float8_e5m2fnuz),
)
FLOATS = (torch.float64, torch.float32, torch.float16, *NOT_NUMPYS)
INTEGERS = (
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.bool),
    *(torch.uint64, torch.uint32, torch.uint16, torch.uint8),
)
"""Of torch's other types (complex, quantised, two numbers in a byte) most operators compute nothing."""


MOST_AXES = 32
"""numpy has no more; torch computes with up to 64, and reads any number."""


def read_safetensors(path: Path, ways_out: str = "save or fetch it again") -> tuple[State, dict[str, Any]]:
    """The tensors, on the CPU, and the facts that ``distill/checkpoint.py`` wrote beside them.

    Raises:
        InputError: none that can be read; ``ways_out`` says what to do then.
    """
    regular(path, DATA_BYTES)
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            if not isinstance(facts, dict):
                raise ValueError(f"its facts are {type(facts).__name__}")
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
        found = f"not a readable safetensors file ({first_line(error)})"
        raise InputError(found, where=path, ways_out=ways_out) from None


def read_tensors(path: Path) -> State:
    """A .pt file of samples: tensors by name, or one called x, or two called x and y.

    Raises:
        InputError: anything else in it.
    """
    loaded = _loaded(path, "a file of tensors", "save a dict of tensors, as torch.save({'x': x, 'y': y}, path)")
    if isinstance(loaded, Tensor):
        loaded = {"x": loaded}
    if isinstance(loaded, tuple | list) and len(loaded) == 2:
        loaded = dict(zip("xy", loaded, strict=True))
    if not isinstance(loaded, dict) or not all(isinstance(name, str) for name in loaded):
        found = f"holds {type(loaded).__name__}"
        raise InputError(found, where=path, possible="needed are tensors by name, or one, or two (x, y)")
    tensors = {name: value for name, value in loaded.items() if isinstance(value, Tensor)}
    for name, value in loaded.items():
        # a y that is passed over would be labels that nobody misses
        if name not in tensors and value is not None and (not tensors or name.split("_")[0] in ("x", "y")):
            ways = f"save torch.as_tensor({name})" if isinstance(value, list) else "save dense tensors by name"
            raise InputError(f"{name} is of type {type(value).__name__}, not a tensor", where=path, ways_out=ways)
    for name, value in tensors.items():
        _dense(value, name, path)
    _check_sizes(tensors, path)
    return {n: (t.float() if t.dtype in NOT_NUMPYS else t).detach().resolve_neg() for n, t in tensors.items()}


def read_state_dict(path: Path) -> State:
    """A .pt file that holds a state dict, or one under the key ``state_dict``, and nothing else."""
    loaded = _loaded(path, "a state dict", "save the module's state_dict()")
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise InputError(f"holds {type(loaded).__name__}, not a state dict of tensors", where=path)
    for name, value in state.items():
        _dense(value, name, path)
    _check_sizes(state, path)
    return {name: plain(value, name, path) for name, value in state.items()}


def _check_sizes(tensors: State, path: Path) -> None:
    """Views may repeat what they show, so that a few bytes are a tensor of any size, and one is many."""
    n_bytes = sum(value.numel() * value.element_size() for value in tensors.values())
    DATA_BYTES.check(n_bytes, path, f"tensors of {n_bytes} bytes")


def _loaded(path: Path, what: str, ways_out: str) -> Any:
    """What torch saved, without any code."""
    regular(path, DATA_BYTES)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                n_bytes = sum(member.file_size for member in archive.infolist())
            DATA_BYTES.check(n_bytes, path, f"{n_bytes} bytes when it is unpacked")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sparse tensors, TorchScript and quantised ones, all refused anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except pickle.UnpicklingError:  # torch's own words tell how to run the code in it all the same
        found = f"not {what} (it holds more than tensors, which could run code and is never read)"
        raise InputError(found, where=path, ways_out=ways_out) from None
    except Exception as error:  # torch's other errors have no common class
        raise InputError(f"not {what} ({first_line(error) or type(error).__name__})", where=path) from None


def plain(value: Tensor, name: str, path: Path) -> Tensor:
    """Refuses tensors that are no plain real numbers in memory, or none at all."""
    _dense(value, name, path)
    if value.is_floating_point() and not bool(
        torch.isfinite(value.float() if value.element_size() == 1 else value).all()
    ):
        raise InputError(f"{name} holds NaN or infinity", where=path, ways_out="train it again")
    return value


def _dense(value: Tensor, name: str, path: Path) -> None:
    is_dense = value.layout == torch.strided and not value.is_nested
    if not is_dense or value.device.type != "cpu" or value.dtype not in (*FLOATS, *INTEGERS):
        layout = "nested" if value.is_nested else value.layout
        found = f"{name} is {value.dtype}, {layout} on {value.device}"
        raise InputError(found, where=path, possible="dense real numbers are")
    if value.ndim > MOST_AXES:
        raise InputError(f"{name} has {value.ndim} axes", where=path, possible=f"possible are {MOST_AXES}")
