"""What the integers use of the room the chip gives them: weights on their grid, v and u in their registers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from seamount.compile.synapses.kinds import Synapses, Wire

from ..evidence import Array
from ..schema.quantities import box
from ..schema.values import Box, Item, Missing, Quantity


class Weights(Item):
    """One group of synapses into a population."""

    name: str
    source: str
    kind: str
    shape: tuple[int, ...]
    bits: int
    exponent: int
    n_stored: int
    n_zero: int
    n_at_limit: int
    box: Box | Missing
    bins: tuple[int, ...]
    bin_counts: tuple[int, ...]


class StateRange(Item):
    """Where v or u went in the traced samples, in integer units of the chip."""

    box: Box
    threshold: Quantity | None
    limit: int
    bits_used: int
    bits_held: int


STATE_LIMIT = (1 << 23) - 1


WEIGHT_BINS = 64


def _weights(synapses: Synapses) -> Weights:
    kind = synapses.kind
    assert not isinstance(kind, Wire), f"{synapses.name}: a wire has no weights"
    values = np.atleast_1d(kind.weights)
    flat = values.ravel()
    limit = int(np.abs(flat).max(initial=0))
    counts, edges = _grid_histogram(flat)
    return Weights(
        name=synapses.name,
        source=synapses.source,
        kind=type(kind).__name__,
        shape=values.shape,
        bits=max(limit.bit_length() + (1 if flat.size and flat.min() < 0 else 0), 1),
        exponent=synapses.exponent,
        n_stored=int(flat.size),
        n_zero=int(np.sum(flat == 0)),
        n_at_limit=int(np.sum(np.abs(flat) >= 254)),
        box=box(flat, "weight units", "counted") if flat.size else Missing(missing="no synapse is stored"),
        bins=tuple(edges),
        bin_counts=tuple(counts),
    )


def _grid_histogram(values: Array) -> tuple[list[int], list[int]]:
    """Counts in bins of one width, a multiple of the grid step: no bin holds more grid points than another."""
    if values.size == 0:
        return [], []
    step = max(int(np.gcd.reduce(values)), 1) if np.unique(values).size > 1 else 1
    low, high = int(values.min()), int(values.max())
    points = (high - low) // step + 1
    width = step * -(-points // WEIGHT_BINS)
    edges = list(range(low, high + width + 1, width))
    edges = edges if edges[-1] > high else [*edges, edges[-1] + width]
    counts = np.histogram(values, edges)[0].tolist()
    while len(counts) > 1 and counts[-1] == 0:
        counts.pop()
        edges.pop()
    return counts, edges


def _weight_words(weights: Iterable[Weights]) -> Iterable[str]:
    for group in weights:
        if group.n_stored and group.n_at_limit / group.n_stored > 0.01:
            share = 100 * group.n_at_limit / group.n_stored
            yield f"{share:.1f} % of the weights of {group.name} lie at the end of the 8-bit grid: clipped?"
        if group.n_stored and group.bits < 7 and group.n_stored > 8:
            yield f"{group.name} uses {group.bits} of 8 weight bits: its scale leaves precision unused."
