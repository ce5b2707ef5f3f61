"""Recordings of networks that stand in a .net file.

With ``meta``, of netx in Lava, step by step: ``meta`` holds ``net_file``, netx's arguments (``net_kwargs``) and the
steps (``graph.T``); ``p:src.data`` is the input, ``r:lifN.u|v|s`` is of layer N of the file.

Without ``meta``, of a whole network: CASE.npz beside CASE.net, or NAME_anything.npz beside NAME.net; the network of
NAME_gts_anything.npz is ``gts/NAME/network.net`` of the installed lava-dl. ``net``, a text, may name the file itself,
from where the recording stands. ``x`` is the input; every other array is compared, its kind is in its name:

* ``out``: what the last layer sent, ``sigmaN`` (or ``uN``, ``vN``): that state of layer N after the last step. By
  netx in Lava: maps are (W, H, C), time last, N counts netx's layers (a flatten layer is none).
* ``layerN``: what layer N of the file sent. By slayer: maps are (C, H, W), time last, N counts the file's layers; a
  flatten layer sends what it is given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.compile.net.read import read_net
from seamount.compile.neurons.delta import Delta
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Input, Program
from seamount.errors import InputError, Unsupported

from .graph import Arrays, Replay, chw, value_range
from .netx import installed

ARGUMENTS = {
    "reset_interval": "reset_interval",
    "reset_offset": "reset_offset",
    "num_layers": "n_layers",
    "skip_layers": "skip_layers",
    "input_message_bits": "input_bits",
}
NET = "net"
WITHOUT_EFFECT = {"sparse", "sparse_fc_layer", "net_config"}  # the same integers from another process


def net_replays(path: Path, meta: Mapping[str, Any], arrays: Arrays) -> list[Replay]:
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


def network_replays(path: Path, arrays: Arrays, net: Path | None = None) -> list[Replay]:
    """A whole network from its first step on; ``net`` is its file, if it stands somewhere else."""
    x = whole_numbers(arrays)
    by_slayer = any(name.startswith("layer") for name in arrays)
    shape = x.shape[:-1] if by_slayer else x.shape[-2::-1]
    program = read_net(net or net_of(path, arrays), input_shape=shape)
    entry = program.inputs[0]
    if entry.shape != shape:
        layout = "(C, H, W), time last" if by_slayer else "(W, H, C), time last"
        raise InputError(f"x is {x.shape} in {layout}, but the network takes (C, H, W) {entry.shape}")
    ours = np.moveaxis(x, -1, 0)[:, None] if by_slayer else x.T[:, None]
    made = SlayerReplay if by_slayer else NetxReplay
    return [made("net", _with_input(program, entry, ours), {entry.name: ours}, {})]


def whole_numbers(arrays: Arrays) -> NDArray[np.int64]:
    """The input of a whole network."""
    if "x" not in arrays:
        raise InputError("neither meta nor x", possible="a recording has meta, that of a whole network has x")
    x = arrays["x"]
    if x.dtype.kind not in "buif" or x.ndim not in (2, 4) or not x.size:
        raise InputError(
            f"x is {x.dtype} {x.shape}",
            possible="numbers of shape (N, T), or of maps with their time last, are possible",
        )
    if not np.all(np.isfinite(x)) or np.any(x % 1):
        raise InputError("x holds other numbers than whole ones")
    return x.astype(np.int64)


def net_of(path: Path, arrays: Arrays) -> Path:
    """The .net file of a recording without ``meta``.

    Raises:
        InputError: it is not there.
    """
    if NET in arrays:
        possible = [path.parent / str(arrays[NET])]
    else:
        possible = [path.with_name(f"{name}.net") for name in (path.stem, path.stem.rpartition("_")[0]) if name]
        folder, brought = installed(), path.stem.partition("_gts")
        if folder is not None and brought[1]:
            possible.append(folder / "gts" / brought[0] / "network.net")
    found = next((file for file in possible if file.is_file()), None)
    if found is None:
        raise InputError(
            f"no network: {', '.join(map(str, possible))} {'is' if len(possible) == 1 else 'are'} not there",
            ways_out=f"name it with --net {path.stem}=FILE",
        )
    return found


@dataclass(frozen=True)
class NetxReplay(Replay):
    """What netx in Lava recorded of a whole network."""

    def trace(self, activity: Activity, name: str) -> NDArray[Any] | None:
        if name == "out":
            return activity.spikes[self.program.populations[-1].name][:, 0].T
        found = re.fullmatch(r"([a-z]+)(\d+)", name)
        if found is None or int(found[2]) >= len(self.program.populations):
            return None
        population = self.program.populations[int(found[2])]
        if isinstance(population.neuron, Delta) and found[1] == "sigma":
            return np.zeros(population.shape[::-1])  # Lava declares it and never writes it
        of_all = activity.final_states.get(found[1], {})
        return of_all[population.name][0].T if population.name in of_all else None


@dataclass(frozen=True)
class SlayerReplay(Replay):
    """What slayer recorded of a whole network."""

    def trace(self, activity: Activity, name: str) -> NDArray[Any] | None:
        layers = [population.name for population in self.program.populations]
        if name in layers:
            return np.moveaxis(activity.spikes[name][:, 0], 0, -1)
        found = re.fullmatch(r"layer(\d+)", name)
        numbers = [int(layer.removeprefix("layer")) for layer in layers]
        if found is None or not numbers[0] < int(found[1]) < numbers[-1]:
            return None
        before = layers[sum(n < int(found[1]) for n in numbers) - 1]
        return activity.spikes[before][:, 0].reshape(activity.n_steps, -1).T


def _with_input(program: Program, entry: Input, values: NDArray[np.int64]) -> Program:
    """Lava's source sends any numbers; the program's input is widened to hold them."""
    if entry.low <= values.min() and values.max() <= entry.high:
        return program
    return program.with_(inputs=(Input(entry.name, entry.shape, *value_range(values)),))
