"""Merges every chain into one operator, which is what a synapse group can hold.

Behind this pass a connection is, after its delays: nothing (one to one), a Scale (one weight per neuron), a
Convolution, or a Linear over the flattened source.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from seamount.errors import Unsupported

from ..network.interpret import apply_op
from ..network.network import (
    Connection,
    Convolution,
    Delay,
    Linear,
    Network,
    Op,
    Reals,
    Reshape,
    Scale,
    Shape,
    chain_shapes,
    reals,
    size,
)
from .fold_pooling import compose_neighbours, pools_as_convs

MAX_MATRIX = 1 << 26
"""Values of a matrix that a chain is written out as."""


def merge_linear(network: Network) -> Network:
    """Every chain as one operator."""
    return network.with_(connections=tuple(_merged(c, network) for c in network.connections))


def _merged(c: Connection, network: Network) -> Connection:
    source, target = network.shape(c.source), network.shape(c.target)
    delays = tuple(op for op in c.ops if isinstance(op, Delay))
    if any(isinstance(op, Delay) for op in c.ops[len(delays) :]):
        raise Unsupported(
            "a delay per neuron behind a weight",
            where=c.name,
            ways_out="put it in front of the weight, as a synapse has it",
        )
    ops = c.ops[len(delays) :]
    # fold_pooling looked at connections that pool alone; two convolutions in a row elsewhere are one as well
    if not all(isinstance(op, Reshape | Scale) for op in ops):
        ops = compose_neighbours(pools_as_convs(ops, source), source)
    core = tuple(op for op in ops if not isinstance(op, Reshape))
    match core:
        case ():
            merged: tuple[Op, ...] = _shaped((), source, target)
        case (Scale(scale=scale),) if source == target:
            merged = (Scale(scale),)
        case (Convolution(),) if ops == core:
            merged = core
        case (Linear(weight=weight),) if weight.ndim == 2 and weight.shape[1] == size(source):
            merged = _shaped((Linear(weight),), source, target)
        case _:
            merged = _shaped((Linear(matrix(ops, source, c.name)),), source, target)
    return replace(c, ops=(*delays, *merged))


def _shaped(core: tuple[Op, ...], source: Shape, target: Shape) -> tuple[Op, ...]:
    """The operator between the reshapes to flat and to the target's shape, those that change something."""
    if not core:
        return () if source == target else (Reshape(target),)
    flat, back = (size(source),), (size(target),)
    return (
        *(() if source == flat else (Reshape(flat),)),
        *core,
        *(() if target == back else (Reshape(target),)),
    )


def matrix(ops: tuple[Op, ...], source: Shape, name: str) -> Reals:
    """The chain written out, (n_target, n_source): along the shorter side."""
    target = chain_shapes(ops, source)[-1]
    n_source, n_target = size(source), size(target)
    if n_source * n_target > MAX_MATRIX:
        raise Unsupported(
            f"operators between {source} and {target} fit no single convolution, and as a matrix they "
            f"have {n_source * n_target} entries (possible: {MAX_MATRIX})",
            where=name,
            ways_out="put a neuron between them",
        )
    return reals(_by_columns(ops, source, n_target) if n_source <= n_target else _by_rows(ops, source, n_target))


AT_ONCE = 256
"""Columns or rows that are computed together: few enough that maps between the operators fit the memory."""


def _by_columns(ops: tuple[Op, ...], source: Shape, n_target: int) -> Reals:
    n_source = size(source)
    result = np.empty((n_target, n_source))
    for start in range(0, n_source, AT_ONCE):
        unit = torch.eye(n_source, dtype=torch.float64)[start : start + AT_ONCE].reshape(-1, *source)
        for op in ops:
            unit = apply_op(op, unit)
        result[:, start : start + AT_ONCE] = unit.reshape(len(unit), -1).numpy().T
    return result


def _by_rows(ops: tuple[Op, ...], source: Shape, n_target: int) -> Reals:
    """Row o is the gradient of output o: the transpose of a chain of linear operators."""
    result = np.empty((n_target, size(source)))
    for start in range(0, n_target, AT_ONCE):
        rows = torch.eye(n_target, dtype=torch.float64)[start : start + AT_ONCE]
        x = torch.zeros((len(rows), *source), dtype=torch.float64, requires_grad=True)
        y = x
        for op in ops:
            y = apply_op(op, y)
        (y.reshape(len(rows), -1) * rows).sum().backward()  # type: ignore[no-untyped-call]
        assert x.grad is not None
        result[start : start + AT_ONCE] = x.grad.reshape(len(rows), -1).numpy()
    return result
