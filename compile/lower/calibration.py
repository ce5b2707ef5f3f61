"""What the network does on the user's data, in a float64 run: how much arrives at every weight, how far states go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from seamount.errors import InputError
from seamount.windows import Window

from ..network.interpret import named_inputs, run_network
from ..network.network import Network, Reals, reals
from .joint_rounding import BLOCK, Moments
from .real_groups import RealGroup, real_groups

Inputs = NDArray[np.float64] | Mapping[str, NDArray[np.float64]]

FRAMES = 512
"""Frames (a sample at a step) of a connection's source that are looked at."""

PATCHES = 1 << 15
"""Patches of those frames that a convolution meets."""

CHUNK = 32
"""Frames taken apart at once."""


@dataclass(frozen=True)
class Calibration:
    """
    Attributes:
        moments: by connection. reached: largest |u| by population.
    """

    moments: Mapping[str, Moments]
    reached: Mapping[str, float]


def calibrate(network: Network, inputs: Inputs) -> Calibration:
    """Run the network on real inputs (T, B, *shape), or on a mapping input -> array.

    Args:
        network: behind ``merge_linear``.
        inputs: as ``run_network`` takes them.
    """
    given = named_inputs(network, inputs)
    for name, x in given.items():
        _check(name, x)
    traces = run_network(network, given)
    moments = {}
    for p in network.populations:
        for g in real_groups(network, p.name):
            source = g.connection.source
            if source in traces:
                x = traces[source].spikes
            else:
                x = np.asarray(given[source], dtype=np.float64) * network.input(source).scale
            moments[g.connection.name] = _moments(g, reals(x.reshape(-1, *network.shape(source))))
    reached = {name: float(np.abs(trace.u).max(initial=0.0)) for name, trace in traces.items()}
    return Calibration(moments, reached)


def _check(name: str, x: NDArray[np.float64]) -> None:
    if x.dtype.kind not in "fiub":
        raise InputError(f"calibration of {name}: values of type {x.dtype}; real numbers are needed")
    if x.size == 0:
        raise InputError(f"calibration of {name}: array of shape {x.shape} holds no sample")
    if not np.all(np.isfinite(x)):
        raise InputError(f"calibration of {name}: {int(np.sum(~np.isfinite(x)))} values are NaN or infinite")


def _moments(g: RealGroup, frames: Reals) -> Moments:
    frames = frames[:: max(1, len(frames) // FRAMES)]
    if g.is_one_to_one:
        square = np.mean(frames**2, axis=0)
        return Moments((), reals(square if g.weight.shape == square.shape else square.mean()))
    if g.entries is not None:
        # weights of different neurons, which lie apart: each is rounded by itself
        return Moments((), reals(np.mean(frames.reshape(len(frames), -1) ** 2, axis=0)[g.entries.columns]))
    return moments_of(frames, g.weight.shape, None if g.conv is None else g.conv.window)


def moments_of(frames: Reals, weights: tuple[int, ...], window: Window | None) -> Moments:
    """Of what the weights of a matrix, or of a convolution with a ``window``, multiply.

    Args:
        frames: (N, *shape of the source).
        weights: their shape.
    """
    n_groups = 1 if window is None else window.groups
    n_columns = int(np.prod(weights[1:]))
    blocks = [[np.zeros((n, n)) for n in _sizes(n_columns)] for _ in range(n_groups)]
    n_patches = 0
    for patches in _patches(frames, weights[2:], window):
        n_patches += patches.shape[2]
        for group, own in zip(patches, blocks, strict=True):
            first = 0
            for block in own:
                some = group[first : first + len(block)]
                block += some @ some.T
                first += len(block)
    kept = tuple(tuple(reals(block / n_patches) for block in own) for own in blocks)
    squares = np.stack([np.concatenate([np.diag(block) for block in own]) for own in kept])
    rows = np.repeat(squares, weights[0] // n_groups, axis=0)
    return Moments(kept, reals(rows.reshape(weights) if window is not None else rows))


def _sizes(n: int) -> list[int]:
    return [min(BLOCK, n - first) for first in range(0, n, BLOCK)]


def _patches(frames: Reals, kernel: tuple[int, ...], window: Window | None) -> Iterator[Reals]:
    """What a neuron of each group sees: (groups, weights, positions), some frames at a time."""
    if window is None:
        yield reals(frames.reshape(1, len(frames), -1).transpose(0, 2, 1))
        return
    stride, padding, dilation, groups = window
    every = 0
    for first in range(0, len(frames), CHUNK):
        some = torch.from_numpy(np.array(frames[first : first + CHUNK], dtype=np.float32))
        columns = functional.unfold(some, kernel, dilation, padding, stride)
        every = every or max(1, columns.shape[2] * len(frames) // PATCHES)
        columns = columns.permute(1, 0, 2).reshape(groups, columns.shape[1] // groups, -1)
        yield reals(columns[:, :, ::every].double().numpy())
