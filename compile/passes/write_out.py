"""Writes a chain of operators out as a matrix, or as the entries of one where most would be 0.

The entries are computed a block of neurons at a time, from the last operator back to the first, so that no matrix of
all neurons is ever held. What is made has to fit ``limit_bytes``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, assert_never

import numpy as np
import torch
from scipy.sparse import csr_array, vstack

from seamount.errors import Unsupported

from ..network.interpret import apply_op
from ..network.network import (
    Convolution,
    Delay,
    Entries,
    Ints,
    Linear,
    Op,
    Reals,
    Reshape,
    Scale,
    Shape,
    SumPool,
    chain_shapes,
    reals,
    size,
)
from .fold_pooling import pools_as_convs
from .written_as import FEW_VALUES, LIMIT_BYTES, SPARSE_BELOW

ENTRY_BYTES = 24
"""A weight, a row and a column of 64 bits."""


def write_out(ops: tuple[Op, ...], source: Shape, name: str, limit_bytes: int = LIMIT_BYTES) -> Linear | Entries:
    """The chain on the flattened source as one operator on flat vectors.

    Args:
        ops: without delays.
        name: of the connection, for the message.

    Raises:
        Unsupported: it has more than ``limit_bytes``.
    """
    shapes = chain_shapes(ops, source)
    n_target, n_source = size(shapes[-1]), size(source)
    # a matrix on a flat vector meets nearly all that the operators around it see
    if any(isinstance(op, Linear) and len(shape) == 1 for op, shape in zip(ops, shapes, strict=False)):
        if n_target * n_source * 8 > limit_bytes:
            raise _too_large(source, shapes[-1], n_target * n_source * 8, limit_bytes, name)
        return Linear(matrix(ops, source))
    rows, n_bytes, n_done = [], 0, 0
    for block in _row_blocks(ops, source):
        rows.append(block)
        n_bytes, n_done = n_bytes + block.nnz * ENTRY_BYTES, n_done + block.shape[0]
        if n_bytes > limit_bytes:
            raise _too_large(source, shapes[-1], n_bytes * n_target // n_done, limit_bytes, name)
    order = _row_order(ops, source)
    entries = vstack(rows, format="csr")[np.argsort(order)]
    if n_target * n_source <= FEW_VALUES or entries.nnz >= SPARSE_BELOW * n_target * n_source:
        return Linear(reals(entries.toarray()))
    return _as_entries(entries)


def _too_large(source: Shape, target: Shape, n_bytes: int, limit_bytes: int, name: str) -> Unsupported:
    return Unsupported(
        f"operators between {source} and {target} fit no single convolution, and written out their weights take "
        f"{n_bytes / 2**30:.3g} GiB",
        where=name,
        possible=f"possible are {limit_bytes / 2**30:.3g} GiB",
        ways_out="put a neuron between them, or raise the limit (--set matrix_gib=...)",
    )


def _as_entries(matrix: Any) -> Entries:
    matrix.eliminate_zeros()
    matrix.sort_indices()
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    columns: Ints = matrix.indices.astype(np.int64)
    return Entries(reals(matrix.data), rows, columns, matrix.shape[0], matrix.shape[1])


# ---------------------------------------------------------------------------------------------------- entries

BLOCK_ENTRIES = 1 << 21
"""Entries of one operator that are looked at together."""


def _row_blocks(ops: tuple[Op, ...], source: Shape) -> Iterator[Any]:
    """Rows of the chain's matrix in the order of ``_row_order``, some at a time."""
    steps = [
        (op, shape)
        for op, shape in zip(pools_as_convs(ops, source), chain_shapes(ops, source), strict=False)
        if not isinstance(op, Reshape)
    ]
    order, n_source = _row_order(ops, source), size(source)
    n_at_once = max(1, BLOCK_ENTRIES // max([_fan_in(op) for op, _ in steps], default=1))
    for first in range(0, len(order), n_at_once):
        rows = order[first : first + n_at_once]
        block = csr_array((np.ones(len(rows)), (np.arange(len(rows)), rows)), shape=(len(rows), len(order)))
        for op, shape in reversed(steps):
            needed, column = np.unique(block.indices, return_inverse=True)
            block = csr_array((block.data, column.reshape(-1), block.indptr), shape=(len(rows), len(needed)))
            block = block @ op_rows(op, shape, needed)
        assert block.shape[1] == n_source
        block.eliminate_zeros()
        yield block


def _row_order(ops: Sequence[Op], source: Shape) -> Ints:
    """Neurons of a map place by place: those of a block share most of what they see."""
    end = len(ops)
    while end and isinstance(ops[end - 1], Reshape):
        end -= 1
    shape = chain_shapes(tuple(ops[:end]), source)[-1]
    order = np.arange(size(shape)).reshape(shape)
    return np.moveaxis(order, 0, -1).reshape(-1)


def _fan_in(op: Op) -> int:
    match op:
        case Convolution(weight=weight):
            return int(np.prod(weight.shape[1:]))
        case Linear(weight=weight):
            return int(weight.shape[-1])
        case _:
            return 1


def op_rows(op: Op, shape: Shape, rows: Ints) -> Any:
    """Rows of the matrix that ``op`` is on flat values of ``shape``: (len(rows), values) in scipy's CSR."""
    n_source = size(shape)
    match op:
        case Convolution():
            return _conv_rows(op, shape, rows)
        case Linear(weight=weight):
            *leading, n_out, n_in = weight.shape
            place, out = np.divmod(rows, n_out)
            values = weight.reshape(-1, n_out, n_in)[place if leading else 0, out]
            columns = place[:, None] * n_in + np.arange(n_in)
        case Scale(scale=scale):
            values, columns = np.broadcast_to(scale, shape).reshape(-1)[rows][:, None], rows[:, None]
        case Entries():
            return csr_array((op.weights, (op.rows, op.columns)), shape=(op.n_target, n_source))[rows]
        case SumPool() | Reshape() | Delay():
            raise AssertionError(f"{type(op).__name__} is no matrix of its own here")
        case _:
            assert_never(op)
    starts = np.arange(len(rows) + 1) * columns.shape[1]
    return csr_array((values.reshape(-1), columns.reshape(-1), starts), shape=(len(rows), n_source))


def _conv_rows(conv: Convolution, shape: Shape, rows: Ints) -> Any:
    c_out, c_in, k_h, k_w = conv.weight.shape
    _, height, width = chain_shapes((conv,), shape)[-1]
    channel, place = np.divmod(rows, height * width)
    row, column = (at[:, None] for at in np.divmod(place, width))
    seen, i, j = (a.reshape(-1) for a in np.meshgrid(np.arange(c_in), np.arange(k_h), np.arange(k_w), indexing="ij"))
    seen = seen + (channel // (c_out // conv.window.groups) * c_in)[:, None]
    y, x = conv.window.source(0, row, i), conv.window.source(1, column, j)
    values = conv.weight.reshape(c_out, -1)[channel]
    inside = (y >= 0) & (y < shape[1]) & (x >= 0) & (x < shape[2]) & (values != 0)
    columns = (seen * shape[1] + y) * shape[2] + x
    starts = np.concatenate([[0], np.cumsum(inside.sum(1))])
    return csr_array((values[inside], columns[inside], starts), shape=(len(rows), size(shape)))


# ----------------------------------------------------------------------------------------------------- matrix

AT_ONCE = 256
"""Columns or rows that are computed together: few enough that maps between the operators fit the memory."""


def matrix(ops: tuple[Op, ...], source: Shape) -> Reals:
    """The chain written out, (n_target, n_source): along the shorter side."""
    n_source, n_target = size(source), size(chain_shapes(ops, source)[-1])
    return reals(_by_columns(ops, source, n_target) if n_source <= n_target else _by_rows(ops, source, n_target))


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
