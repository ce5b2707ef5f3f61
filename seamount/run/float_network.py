"""A network in real numbers on the integers that its program gets: answers of all samples, traces of the first.

Chunks of samples are shared over the processes that torchrun started; the first one has what all found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seamount.compile.network.interpret import Trace, run_network
from seamount.compile.network.network import Network
from seamount.compile.nir.readout import usual_readout
from seamount.compile.program.readout import as_quantity, classes, readout_so_far
from seamount.distill.parallel import ALONE, World
from seamount.distill.progress import Progress

TRACE_BYTES = 1 << 28
"""Of spikes, v, u and drive in float64, held at once."""
AT_ONCE = 256
"""Samples at most, so that several processes have something to share out."""


@dataclass(frozen=True)
class FloatRun:
    """What the network does.

    Attributes:
        per_step: class if read after step 1 .. T, (T, n), as the program is read. None without a readout.
        usual: the answers (n,) as the tool reads the network that it comes from, where that is another reading, and
            which one it is: a readout that was chosen wrongly shows.
        spikes: population -> (T, B, *shape), 0/1, of the first B samples; v: above v_reset, of those that fire.
    """

    per_step: NDArray[np.int64] | None
    usual: tuple[NDArray[np.int64], str] | None
    spikes: Mapping[str, NDArray[np.uint8]]
    v: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class _Part:
    """A chunk of samples: the answers (T, n) of each reading, and traces of those that are kept."""

    answers: list[NDArray[np.int64]]
    spikes: dict[str, NDArray[np.uint8]]
    v: dict[str, NDArray[np.float32]]


def run_float(
    network: Network,
    inputs: Mapping[str, NDArray[np.int64]],
    n_traced: int,
    progress: Progress,
    world: World = ALONE,
) -> FloatRun | None:
    """Runs the network as it was read, in float64; None in all processes but the first.

    Args:
        inputs: what enters the chip, (T, B, *shape) each; the network gets it over its inputs' scales.
        n_traced: keep the traces of so many samples.
    """
    n = next((x.shape[1] for x in inputs.values()), 1)
    readings, chunks = _readings(network), _chunks(network, inputs, n)
    mine = []
    progress.begin("the float network", n)
    for k in range(world.rank, len(chunks), world.size):
        start, end = chunks[k]
        traces = run_network(network, _real(network, inputs, start, end))
        mine.append(_part(network, readings, traces, min(end, n_traced) - start))
        progress.advance((end - start) * min(world.size, len(chunks) - k))  # the others are as far
    progress.end()
    shares = world.gathered(mine)
    if shares is None:
        return None
    parts = [shares[k % world.size][k // world.size] for k in range(len(chunks))]
    per_step = [np.concatenate([part.answers[i] for part in parts], axis=1) for i in range(len(readings))]
    kept = [part for part in parts if part.spikes]
    names = kept[0].spikes if kept else {}
    return FloatRun(
        per_step=per_step[0] if per_step else None,
        usual=(per_step[1][-1], "{1} of {0}".format(*readings[1])) if len(per_step) > 1 else None,
        spikes={name: np.concatenate([part.spikes[name] for part in kept], axis=1) for name in names},
        v={name: np.concatenate([part.v[name] for part in kept], axis=1) for name in names},
    )


def _part(network: Network, readings: list[tuple[str, str]], traces: Mapping[str, Trace], n_kept: int) -> _Part:
    firing = [p for p in network.populations if p.v_th is not None and n_kept > 0]
    return _Part(
        [_read(traces[name], quantity) for name, quantity in readings],
        {p.name: (traces[p.name].spikes[:, :n_kept] != 0).astype(np.uint8) for p in firing},
        {p.name: (traces[p.name].v[:, :n_kept] - p.v_reset).astype(np.float32) for p in firing},
    )


def _readings(network: Network) -> list[tuple[str, str]]:
    """(population, quantity): as the program is read, then as the tool reads it, if that is another one."""
    if network.readout is None:
        return []
    chosen = (network.readout, as_quantity(network.readout_quantity, network.name))
    usual = usual_readout(network)
    return [chosen] if usual is None or usual == chosen else [chosen, usual]


def _read(trace: Trace, quantity: str) -> NDArray[np.int64]:
    read = readout_so_far(as_quantity(quantity, "readout"), trace.spikes, trace.v)
    return classes(read.reshape(*read.shape[:2], -1))


def _chunks(network: Network, inputs: Mapping[str, NDArray[np.int64]], n: int) -> list[tuple[int, int]]:
    """First sample and the one after the last, of as many samples as there is room for."""
    n_steps = max((len(x) for x in inputs.values()), default=network.n_steps or 1)
    per_sample = sum(int(np.prod(p.shape)) for p in network.populations) * n_steps * 4 * 8
    size = max(1, min(n, AT_ONCE, TRACE_BYTES // max(per_sample, 1)))
    return [(start, min(start + size, n)) for start in range(0, n, size)]


def _real(
    network: Network, inputs: Mapping[str, NDArray[np.int64]], start: int, end: int
) -> dict[str, NDArray[np.float64]]:
    found = {}
    for i in network.inputs:
        x = inputs[i.name][:, start:end] / i.scale
        # a program holds lines as maps of height 1
        found[i.name] = x.reshape(*x.shape[:2], *i.shape)
    return found
