"""What a chunk of a run sends: the values of inputs and populations over some steps of some samples.

Spikes stand as bytes (0 or not) in the layout of their population; values other than 0 and 1 stand
beside them as whole numbers in C order. The first rows are the end of the chunk before, because synapses look back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seamount.compile.arithmetic.events import Layout
from seamount.compile.arithmetic.lanes import LANES

WORD = LANES
"""Bytes to which a row of spikes is filled up: the loops take so many at once."""


@dataclass
class Source:
    """Values of one input or population.

    Attributes:
        history: rows before the chunk's first step: the longest look back of any synapses out of it.
        spikes: (history + T, B, n rounded up to ``WORD``) uint8 in ``layout``; 255 is a ternary -1.
        values: (history + T, B, n) whole numbers in C order where spikes do not say all; else None.
        ternary: the bytes mean -1, 0, 1.
        row_ids: equal numbers mark equal neighbouring rows (an input that stands still); None: not known.
    """

    layout: Layout
    history: int
    spikes: torch.Tensor
    values: torch.Tensor | None = None
    ternary: bool = False
    row_ids: NDArray[np.int64] | None = None

    def rows(self, first: int, last: int) -> torch.Tensor:
        """Values of rows first .. last, (rows * B, *shape), in C order."""
        if self.values is not None:
            return self.values[first:last].flatten(0, 1).reshape(-1, *self.layout.shape)
        flat = self.spikes[first:last, :, : self.layout.size]
        if self.ternary:
            flat = flat.view(torch.int8)
        return to_plain(flat, self.layout).flatten(0, 1)

    @property
    def n_bytes(self) -> int:
        return sum(x.nbytes for x in (self.spikes, self.values) if x is not None)

    def begin_anew(self) -> None:
        """Silent before the first step; rows behind it are written before they are read."""
        self.row_ids = None
        for rows in (self.spikes, self.values):
            if rows is not None:
                rows[: self.history] = 0

    def keep_end(self, n_steps: int) -> None:
        """The last rows become the history of the next chunk."""
        for rows in (self.spikes, self.values):
            if rows is not None and self.history:
                rows[: self.history] = rows[n_steps : n_steps + self.history].clone()


def to_plain(values: torch.Tensor, layout: Layout) -> torch.Tensor:
    """(..., n) in a layout -> (..., *shape): a view where possible."""
    lead = values.shape[:-1]
    if layout.groups == 0:
        return values.reshape(*lead, *layout.shape)
    c, h, w = layout.shape
    grouped = values.reshape(*lead, layout.groups, h, w, c // layout.groups)
    return grouped.movedim(-1, -3).reshape(*lead, *layout.shape)


def from_plain(values: torch.Tensor, layout: Layout) -> torch.Tensor:
    """(M, *shape) -> (M, n) in a layout."""
    if layout.groups == 0:
        return values.reshape(len(values), -1)
    c, h, w = layout.shape
    grouped = values.reshape(len(values), layout.groups, c // layout.groups, h, w)
    return grouped.movedim(2, -1).reshape(len(values), -1)


def empty_source(
    layout: Layout, history: int, n_steps: int, batch: int, device: torch.device, with_values: bool, ternary: bool
) -> Source:
    width = -(-layout.size // WORD) * WORD
    spikes = torch.zeros((history + n_steps, batch, width), dtype=torch.uint8, device=device)
    values = None
    if with_values:
        values = torch.zeros((history + n_steps, batch, layout.size), dtype=torch.int32, device=device)
    return Source(layout, history, spikes, values, ternary)


def fill_input(source: Source, given: NDArray[Any], n_steps: int, last_row: NDArray[Any] | None) -> None:
    """Write the rows of a chunk; steps that ``given`` (T, B, *shape) does not have are silent.

    Args:
        last_row: the input one step before the chunk, for ``row_ids``.
    """
    have = min(len(given), n_steps)
    flat = np.ascontiguousarray(given[:have]).reshape(have, given.shape[1], source.layout.size)
    rows = slice(source.history, source.history + have)
    silent = slice(source.history + have, source.history + n_steps)
    spikes = source.spikes
    if source.values is None and spikes.device.type == "cpu":  # by numpy, which starts no threads
        spikes.numpy()[rows, :, : source.layout.size] = flat
    elif source.values is None:
        spikes[rows, :, : source.layout.size] = torch.from_numpy(flat.astype(np.uint8, copy=False)).to(spikes.device)
    else:
        source.values[rows] = torch.from_numpy(flat.astype(np.int32)).to(spikes.device)
        source.values[silent] = 0
        spikes[rows, :, : source.layout.size] = (source.values[rows] != 0).to(torch.uint8)
        source.row_ids = _row_ids(flat, source.history, n_steps, last_row)
    spikes[silent] = 0


def _row_ids(flat: NDArray[Any], history: int, n_steps: int, last_row: NDArray[Any] | None) -> NDArray[np.int64]:
    have = len(flat)
    changes = np.ones(history + n_steps, np.int64)
    if have > 1:
        changes[history + 1 : history + have] = (flat[1:] != flat[:-1]).reshape(have - 1, -1).any(axis=1)
    if have and history and last_row is not None:
        changes[history] = np.any(flat[0] != last_row.reshape(flat[0].shape))
    changes[history + have + 1 :] = 0
    return np.cumsum(changes)
