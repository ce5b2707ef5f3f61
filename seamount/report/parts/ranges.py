"""What the integers use of the room the chip gives them: weights on their grid, v and u in their registers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from seamount.compile.fit.chip import Chip
from seamount.compile.fit.place.rules import weight_format
from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import FULL_SCALE_BITS, STATE_BITS, V_MAX
from seamount.compile.program.program import Population
from seamount.compile.synapses.kinds import Synapses, Wire

from ..evidence import UNREACHED, Array, Evidence, window
from ..schema.quantities import box, known
from ..schema.values import Box, Item, Missing, Quantity
from .divergence import can_fire


class Weights(Item):
    """One group of synapses into a population.

    Attributes:
        bits: of the narrowest format that holds the weights exactly, sign included. bits_allowed: that it was given.
        n_at_limit: weights in the last step of the grid, at either end.
    """

    name: str
    source: str
    kind: str
    shape: tuple[int, ...]
    bits: int
    bits_allowed: int = FULL_SCALE_BITS
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


WEIGHT_BINS = 64


def weights(synapses: Synapses, bits_allowed: int, chip: Chip) -> Weights:
    kind = synapses.kind
    assert not isinstance(kind, Wire), f"{synapses.name}: a wire has no weights"
    values = np.atleast_1d(kind.weights)
    flat = values.ravel()
    bits = weight_format(flat, synapses.exponent, chip).needed_bits
    counts, edges = _grid_histogram(flat)
    return Weights(
        name=synapses.name,
        source=synapses.source,
        kind=type(kind).__name__,
        shape=values.shape,
        bits=bits,
        bits_allowed=bits_allowed,
        exponent=synapses.exponent,
        n_stored=int(flat.size),
        n_zero=int(np.sum(flat == 0)),
        # a group that needs fewer bits than it was given ends before the grid does
        n_at_limit=_at_the_ends(flat, bits_allowed) if bits >= bits_allowed else 0,
        box=box(flat, "weight units", "counted") if flat.size else Missing(missing="no synapse is stored"),
        bins=tuple(edges),
        bin_counts=tuple(counts),
    )


def _at_the_ends(weights: Array, bits: int) -> int:
    """Weights may stand anywhere on the full scale (few bits are its top ones, or shifted into the exponent)."""
    common = int(np.gcd.reduce(weights))
    step = common & -common  # grids are powers of two apart
    largest = (1 << (bits - 1)) - 1 if weights.min() < 0 < weights.max() else (1 << bits) - 1
    return int(np.sum(np.abs(weights) >= step * largest))


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


def weight_words(group: Weights) -> Iterator[str]:
    """What the grid does to these weights, if it does something."""
    # a single one is the largest, which a scale that uses the whole grid puts there
    if group.n_at_limit > 1 and group.n_at_limit / group.n_stored > 0.01:
        share = 100 * group.n_at_limit / group.n_stored
        grid = f"{group.bits_allowed}-bit grid"
        yield f"{share:.1f} % of the weights of {group.name} lie at the end of the {grid}: clipped?"
    if group.n_stored > 8 and group.bits < group.bits_allowed - 1:
        used = f"{group.bits} of {group.bits_allowed} weight bits"
        yield f"{group.name} uses {used}: its scale leaves precision unused."


def state(evidence: Evidence, population: Population, which: Literal["v", "u"]) -> StateRange | Missing:
    traced, name, neuron = evidence.traced, population.name, population.neuron
    traces = {} if traced is None else traced.deployed.v if which == "v" else traced.deployed.u
    if traced is None or name not in traces:
        return Missing(missing=f"{which} was not recorded")
    trace = window(evidence.program, traced.deployed, name, traces[name])
    if not len(trace):
        return Missing(missing=f"{which}: {UNREACHED}")
    threshold = None
    if which == "v" and isinstance(neuron, Lif) and can_fire(population):
        threshold = known(int(np.median(neuron.v_th_mant)) << 6, "chip units", "derived")
    return StateRange(
        box=box(trace, "chip units", "measured"),
        threshold=threshold,
        limit=V_MAX,
        # one bit for the sign
        bits_used=int(np.abs(trace.astype(np.int64)).max(initial=0)).bit_length() + 1,
        bits_held=STATE_BITS,
    )
