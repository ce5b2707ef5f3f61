"""How a population advances during a simulation.

On CPU, spikes are scattered event by event where they are few, and everything else is summed by matrix products and
convolutions (``compile/arithmetic/synapses.py``); then all steps are scanned. Tiles of some steps of some samples
stay in the cache between the two. On CUDA all sums are products, and the scan is Triton's. A neuron model without a
scan is stepped by its definition.
"""

from __future__ import annotations

from collections.abc import Mapping

from seamount.compile.arithmetic.kernels import count_operations

from .products import fires_often, summed
from .running import Running, Span
from .sources import Source
from .tiles import advance_tiles
from .whole import advance_whole, whole_drive

SUM_VALUES = 1 << 24
"""Values that a matrix product or a convolution makes at once."""


def advance(run: Running, sources: Mapping[str, Source], out: Source, span: Span) -> None:
    """Compute the steps of ``span`` of a population: what it sends goes to ``out``."""
    plan, step = run.plan, span.n_steps
    start, first, last = span
    busy = [part for part in plan.events if fires_often(run, part, sources[part.source], first, last)]
    scattered = [part for part in plan.events if part not in busy]
    summing = plan.sums + [part.product for part in busy]
    for part in busy:
        source = sources[part.source]
        rows = (0, run.batch, step, source.history + first - part.lag, start + first - part.lag)
        count_operations(rows, source.spikes.numpy(), part.counted, run.operations)
    if summing:
        widest = max(plan.layout.size, *(sources[part.source].layout.size for part in summing))
        step = max(1, min(step, run.sum_values // (run.batch * widest)))
    tiled = plan.table is not None and run.device.type == "cpu" and plan.drive_bound < 1 << 31
    for k in range(first, last, step):
        piece = Span(start, k, min(k + step, last))
        if tiled:
            total = summed(run, summing, sources, piece.first, piece.last) if summing else None
            advance_tiles(run, sources, out, piece, total, scattered)
            continue
        drives = []
        for name in plan.population.neuron.drives:
            sums = [part for part in summing if part.drive == name]
            total = summed(run, sums, sources, piece.first, piece.last) if sums else None
            drives.append(whole_drive(run, sources, piece, total, [part for part in scattered if part.drive == name]))
        advance_whole(run, out, piece, drives)
