"""Lines of length L with C channels become maps (C, 1, L), so that a Conv1d is the one convolution that it is.

A synapse group convolves maps alone. Where a network convolves lines, all its values of two axes get the height of 1
between them; nothing is computed otherwise, and every value keeps its place in C order.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, assert_never

import numpy as np

from ..network.network import (
    Connection,
    Convolution,
    Delay,
    Entries,
    Linear,
    Network,
    Op,
    Population,
    Reals,
    Reshape,
    Scale,
    Shape,
    SumPool,
    chain_shapes,
    reals,
)


def lines_as_maps(network: Network) -> Network:
    """The same network on maps of height 1; one that convolves no lines is left as it is."""
    if not any(_convolves_lines(c, network.shape(c.source)) for c in network.connections):
        return network
    return network.with_(
        inputs=tuple(replace(i, shape=as_map(i.shape)) for i in network.inputs),
        populations=tuple(_population(p) for p in network.populations),
        scales={name: s if np.ndim(s) < 2 else _values(reals(s)) for name, s in network.scales.items()},
        connections=tuple(replace(c, ops=_chain(c.ops, network.shape(c.source))) for c in network.connections),
    )


def as_map(shape: Shape) -> Shape:
    """(C, L) as (C, 1, L), every other shape as it is."""
    return (shape[0], 1, shape[1]) if len(shape) == 2 else shape


def _convolves_lines(c: Connection, source: Shape) -> bool:
    shapes = chain_shapes(c.ops, source)
    windows = [i for i, op in enumerate(c.ops) if isinstance(op, Convolution | SumPool)]
    around = {len(shapes[i]) for first in windows[:1] for i in range(first + 1)} | {
        len(shapes[i]) for last in windows[-1:] for i in range(last + 1, len(shapes))
    }
    return 2 in around


def _population(p: Population) -> Population:
    if len(p.shape) != 2:
        return p
    arrays: dict[str, Any] = {k: _values(v) for k, v in vars(p).items() if isinstance(v, np.ndarray)}
    return replace(p, shape=as_map(p.shape), **arrays)


def _values(values: Reals) -> Reals:
    """What broadcasts to (C, L) so that it broadcasts to (C, 1, L)."""
    return reals(values[:, None]) if values.ndim == 2 else values


def _chain(ops: tuple[Op, ...], source: Shape) -> tuple[Op, ...]:
    found: list[Op] = []
    for op, before in zip(ops, chain_shapes(ops, source), strict=False):
        if len(before) == 2:
            op = _on_map(op)
        if not isinstance(op, Reshape):
            found.append(op)
        elif as_map(op.shape) != as_map(before):
            found.append(Reshape(as_map(op.shape)))
    return tuple(found)


def _on_map(op: Op) -> Op:
    match op:
        case Scale(scale=scale):
            return Scale(_values(scale))
        case Delay(steps=steps):
            return Delay(steps[:, None] if steps.ndim == 2 else steps)
        case Linear(weight=weight):
            return Linear(reals(weight[:, None])) if weight.ndim == 3 else op
        case Entries() | Convolution() | SumPool() | Reshape():
            return op
        case _:
            assert_never(op)
