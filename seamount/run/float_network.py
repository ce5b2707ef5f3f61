"""A network in real numbers on the integers that its program gets: answers of all samples, traces of the first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seamount.compile.network.interpret import Trace, run_network
from seamount.compile.network.network import Network
from seamount.compile.nir.readout import usual_readout
from seamount.compile.program.readout import as_quantity, classes, readout_so_far
from seamount.distill.progress import Progress

TRACE_BYTES = 1 << 28
"""Of spikes, v, u and drive in float64, held at once."""


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


def run_float(
    network: Network, inputs: Mapping[str, NDArray[np.int64]], n_traced: int, progress: Progress
) -> FloatRun:
    """Runs the network as it was read, in float64.

    Args:
        inputs: what enters the chip, (T, B, *shape) each; the network gets it over its inputs' scales.
        n_traced: keep the traces of so many samples.
    """
    n = next((x.shape[1] for x in inputs.values()), 1)
    readings, firing = _readings(network), [p for p in network.populations if p.v_th is not None]
    answers: list[list[NDArray[np.int64]]] = [[] for _ in readings]
    spikes: dict[str, list[NDArray[np.uint8]]] = {p.name: [] for p in firing}
    v: dict[str, list[NDArray[np.float32]]] = {p.name: [] for p in firing}
    progress.begin("the float network", n)
    for start, end in _chunks(network, inputs, n):
        traces = run_network(network, _real(network, inputs, start, end))
        for (name, quantity), found in zip(readings, answers, strict=True):
            found.append(_read(traces[name], quantity))
        kept = min(end, n_traced) - start
        for p in firing if kept > 0 else ():
            spikes[p.name].append((traces[p.name].spikes[:, :kept] != 0).astype(np.uint8))
            v[p.name].append((traces[p.name].v[:, :kept] - p.v_reset).astype(np.float32))
        progress.advance(end - start)
    progress.end()
    per_step = [np.concatenate(found, axis=1) for found in answers]
    return FloatRun(
        per_step=per_step[0] if per_step else None,
        usual=(per_step[1][-1], "{1} of {0}".format(*readings[1])) if len(per_step) > 1 else None,
        spikes={name: np.concatenate(found, axis=1) for name, found in spikes.items()},
        v={name: np.concatenate(found, axis=1) for name, found in v.items()},
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
    size = max(1, min(n, TRACE_BYTES // max(per_sample, 1)))
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
