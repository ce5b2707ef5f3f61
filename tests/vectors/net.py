"""Recordings of networks that Lava read from a .net file: node ``lifN`` is layer N of the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.compile.net.read import read_net
from seamount.compile.program.program import Input, Program
from seamount.errors import Unsupported

from .graph import Replay, chw, value_range

ARGUMENTS = {
    "reset_interval": "reset_interval",
    "reset_offset": "reset_offset",
    "num_layers": "n_layers",
    "skip_layers": "skip_layers",
    "input_message_bits": "input_bits",
}
WITHOUT_EFFECT = {"sparse", "sparse_fc_layer", "net_config"}  # the same integers from another process


def net_replays(path: Path, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> list[Replay]:
    """netx's arguments become those of ``read_net``; layers of unknown type are left out, as netx does."""
    arguments = dict(meta.get("net_kwargs", {}))
    shape = arguments.pop("input_shape", None)
    unknown = sorted(set(arguments) - set(ARGUMENTS) - WITHOUT_EFFECT)
    if unknown:
        raise Unsupported(f"{path.stem}: netx argument {', '.join(unknown)} is not defined here")
    program = read_net(
        path.parent / meta["net_file"],
        input_shape=None if shape is None else tuple(int(n) for n in shape[::-1]),
        skip_unknown=True,
        **{ARGUMENTS[name]: value for name, value in arguments.items() if name in ARGUMENTS},
    )
    n_steps = int(meta["graph"]["T"])
    given = np.trunc(arrays["p:src.data"]).astype(np.int64)
    entry = program.inputs[0]
    in_time = np.moveaxis(given[..., np.arange(n_steps) % given.shape[-1]], -1, 0)
    ours = in_time.reshape(n_steps, -1)[:, chw(given.shape[:-1])].reshape(n_steps, 1, *entry.shape)
    places = {}
    for population in program.populations:
        lava = population.shape[::-1]
        places[population.name.replace("layer", "lif")] = (population.name, chw(lava), lava)
    return [Replay("net", _with_input(program, entry, ours), {entry.name: ours}, places)]


def _with_input(program: Program, entry: Input, values: NDArray[np.int64]) -> Program:
    """Lava's source sends any numbers; the program's input is widened to hold them."""
    bits, signed = value_range(values)
    if bits <= entry.bits:
        return program
    return program.with_(inputs=(Input(entry.name, entry.shape, bits, signed),))
