"""Recordings of nengo-loihi's emulator: blocks ``bK`` and what ``x`` (T, N) made of them, time first.

Per block ``bK``: decay_u, decay_v, vth, bias, refract_delay, vmin, vmax, the weights wJ (source, target) of its J-th
synapses in ``meta``'s ``syn``, and what was recorded: spiked, current, voltage, longer than x, after which nothing
arrives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import V_MAX, ints
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Input, Population, Program
from seamount.compile.synapses.kinds import Dense, Synapses
from seamount.errors import Unsupported

from .graph import Arrays, Replay

RECORDED = {"spiked": "spikes", "current": "u", "voltage": "v"}


@dataclass(frozen=True)
class NengoReplay(Replay):
    def trace(self, activity: Activity, name: str) -> NDArray[Any] | None:
        block, _, what = name.partition(".")
        traces = {"spikes": activity.spikes, **activity.states}[RECORDED[what]]
        return traces[block][:, 0] if block in traces else None


def nengo_replays(name: str, meta: Mapping[str, Any], arrays: Arrays) -> tuple[list[Replay], Arrays]:
    """The chain of blocks as one program, and the recorded values of it."""
    recorded = {key: values for key, values in arrays.items() if key.rpartition(".")[2] in RECORDED}
    blocks = [f"b{k}" for k in range(len(meta["blocks"]))]
    x = arrays["x"].astype(np.int64)
    n_steps = len(arrays[f"{blocks[0]}.spiked"])
    given = np.zeros((n_steps, 1, x.shape[1]), np.int64)
    given[: len(x), 0] = x[:n_steps]
    program = Program(
        name,
        (Input("x", (x.shape[1],)),),
        tuple(Population(block, arrays[f"{block}.vth"].shape, neuron(block, arrays)) for block in blocks),
        tuple(synapses for block in blocks for synapses in into(block, meta, arrays)),
    )
    return [NengoReplay("blocks", program, {"x": ints(given)}, {})], recorded


def neuron(block: str, arrays: Arrays) -> Lif:
    """Its u has one more in the decay, its refractory delay one more than ours."""

    def of(key: str) -> NDArray[Any]:
        return arrays[f"{block}.{key}"]

    if np.any(of("vmax") != V_MAX):
        raise Unsupported(f"vmax {of('vmax')}", where=block, possible=f"{V_MAX} is possible")
    delays = np.unique(of("refract_delay"))
    if delays.size > 1:
        raise Unsupported(f"refractory delays {delays}, ours are one a population", where=block)
    return Lif(
        du=ints(of("decay_u") + 1),
        dv=ints(of("decay_v")),
        v_th_mant=in_weights(of("vth"), f"{block}.vth"),
        bias_mant=ints(of("bias")),
        refractory_steps=int(delays[0]) - 1,
        v_floor=ints(of("vmin")),
    )


def into(block: str, meta: Mapping[str, Any], arrays: Arrays) -> list[Synapses]:
    sources = [synapses["source"] for synapses in meta["syn"] if f"b{synapses['block']}" == block]
    return [
        Synapses(f"{block}.w{j}", "x" if source == "in" else source, block, Dense(weights))
        for j, source in enumerate(sources)
        for weights in [in_weights(arrays[f"{block}.w{j}"].T, f"{block}.w{j}")]
    ]


def in_weights(values: NDArray[Any], name: str) -> NDArray[np.int64]:
    """64 of its units are one of ours."""
    if np.any(values % 64):
        raise Unsupported("values that are no multiples of 64", where=name)
    return ints(values // 64)
