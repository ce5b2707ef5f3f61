"""One population during a simulation: its synapses made ready, its state, its counts, and how it advances.

On CPU, spikes are scattered event by event where they are few, and everything else is summed by matrix products and
convolutions (``compile/arithmetic/synapses.py``); then all steps are scanned. Tiles of some steps of some samples
stay in the cache between the two. On CUDA all sums are products, and the scan is Triton's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from threading import Lock, local
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seamount.compile.arithmetic.events import aligned
from seamount.compile.arithmetic.kernels import LANES, count_operations, scatter
from seamount.compile.arithmetic.neurons import DRIVE_LIMIT, Scanned
from seamount.compile.arithmetic.scan import Arrays, Part, lif_scan, reset_steps, scan_part
from seamount.compile.arithmetic.synapses import Lowered, drive, wrap
from seamount.compile.arithmetic.threads import share
from seamount.compile.program.activity import Events

from .plan import EventPart, Plan, SumPart
from .sources import Source, from_plain, to_plain

TILE_VALUES = 1 << 18
"""Drive values that a thread computes before it scans them: 1 MiB, half of a core's second cache."""

SUM_VALUES = 1 << 24
"""Values that a matrix product or a convolution makes at once."""


# ----------------------------------------------------------------------------------------------------- running


class Running:
    """A population during a run of one batch chunk: state, counts and traces."""

    def __init__(
        self,
        plan: Plan,
        batch: int,
        n_steps: int,
        want: Collection[str],
        device: torch.device,
        sum_values: int = SUM_VALUES,
    ) -> None:
        self.plan, self.batch, self.device, self.sum_values = plan, batch, device, sum_values
        n = plan.layout.size
        table = plan.table
        if table is not None:
            init = [np.repeat(x[None].astype(np.int32), batch, axis=0) for x in (table.u_init, table.v_init)]
            self.u, self.v = (torch.from_numpy(x).to(device) for x in init)
            self.rest = torch.zeros((batch, n), dtype=torch.int32, device=device)
        self.spike_counts = torch.zeros((batch, n), dtype=torch.int32, device=device)
        self.want = tuple(name for name in ("v", "u") if name in want and table is not None)
        self.want_drive = "drive" in want
        self.n_spikes = np.zeros(n_steps, np.int64)
        self.operations = np.zeros((n_steps, 2), np.int64)
        self.totals = np.zeros(3, np.int64)
        self.n_drive_wraps = 0
        self.lock = Lock()
        self.traces: dict[str, torch.Tensor] = {}
        self.drives: torch.Tensor | None = None

    def new_chunk(self, n_steps: int) -> None:
        """Room for the traces of a chunk, (n_steps, B, n) in the population's layout."""
        shape = (n_steps, self.batch, self.plan.layout.size)
        for name in self.want:
            self.traces[name] = torch.empty(shape, dtype=torch.int32, device=self.device)
        if self.want_drive:
            self.drives = torch.empty(shape, dtype=torch.int32, device=self.device)

    def advance(self, sources: Mapping[str, Source], out: Source, start: int, first: int, last: int) -> None:
        """Compute steps first .. last of a chunk that begins at step ``start`` of the run."""
        plan = self.plan
        n = plan.layout.size
        step = last - first
        busy = [part for part in plan.events if self._fires_often(part, sources[part.source], first, last)]
        scattered = [part for part in plan.events if part not in busy]
        summing = plan.sums + [part.product for part in busy]
        for part in busy:
            source = sources[part.source]
            rows = (0, self.batch, step, source.history + first - part.lag, start + first - part.lag)
            count_operations(rows, source.words(), part.counted, self.operations)
        if summing:
            widest = max(n, *(sources[part.source].layout.size for part in summing))
            step = max(1, min(step, self.sum_values // (self.batch * widest)))
        for k in range(first, last, step):
            end = min(k + step, last)
            summed = self._sum(summing, sources, k, end) if summing else None
            if plan.table is None or self.device.type != "cpu" or plan.drive_bound >= 1 << 31:
                self._advance_whole(sources, out, start, k, end, summed, scattered)
            else:
                self._advance_tiles(sources, out, start, k, end, summed, scattered)

    def _fires_often(self, part: EventPart, source: Source, first: int, last: int) -> bool:
        """Looks at up to eight of the steps."""
        rows = source.spikes[source.history + first - part.lag : source.history + last - part.lag]
        looked_at = rows[:: max(1, len(rows) // 8)]
        n_values = len(looked_at) * self.batch * source.layout.size
        return int(torch.count_nonzero(looked_at)) > part.busy * n_values

    # --------------------------------------------------------------------------------------------- products

    def _sum(self, parts: Sequence[SumPart], sources: Mapping[str, Source], first: int, last: int) -> torch.Tensor:
        """Drive of all summed parts, (steps, B, n) in the population's layout, whole numbers."""
        total: torch.Tensor | None = None
        wide = self.plan.drive_bound >= 1 << 24
        for part in parts:
            source = sources[part.source]
            row = source.history + first - part.lag
            values, n_wraps = self._drive_of_rows(part.lowered, source, row, row + last - first)
            self.n_drive_wraps += n_wraps
            if wide:
                values = values.to(torch.int64)
            total = values if total is None else total + values
        assert total is not None
        return from_plain(total, self.plan.layout).reshape(last - first, self.batch, -1)

    def _drive_of_rows(self, lowered: Lowered, source: Source, first: int, last: int) -> tuple[torch.Tensor, int]:
        if source.row_ids is None:
            return drive(lowered, source.rows(first, last))
        ids, inverse, repeats = np.unique(source.row_ids[first:last], return_inverse=True, return_counts=True)
        if len(ids) == last - first:
            return drive(lowered, source.rows(first, last))
        rows = first + np.searchsorted(source.row_ids[first:last], ids)
        each = [drive(lowered, source.rows(int(row), int(row) + 1)) for row in rows]
        stacked = torch.stack([values for values, _ in each])
        n_wraps = sum(n * int(times) for (_, n), times in zip(each, repeats, strict=True))
        return stacked[torch.from_numpy(inverse).to(stacked.device)].flatten(0, 1), n_wraps

    def count_sums(self, sources: Mapping[str, Source], start: int, n_steps: int) -> None:
        """Synaptic operations of the summed groups, in the steps in which their sources sent."""
        for name, fans in self.plan.counts:
            source = sources[name]
            size = max(1, self.sum_values // (self.batch * source.layout.size))
            for k in range(0, n_steps, size):
                end = min(k + size, n_steps)
                rows = source.rows(source.history + k, source.history + end)
                per_source = (rows.reshape(end - k, self.batch, -1) != 0).sum(dim=1).to(torch.float64)
                self.operations[start + k : start + end] += (per_source @ fans).cpu().numpy().astype(np.int64)

    def count_rest(self, sources: Mapping[str, Source], n_steps: int, chunk: int) -> None:
        """Operations of the last spikes, which reach this population after the end of the run."""
        for part in self.plan.events:
            if part.counted.any():
                source = sources[part.source]
                late = min(part.lag, n_steps)
                rows = (0, self.batch, late, source.history + chunk - late, n_steps - late)
                count_operations(rows, source.words(), part.counted, self.operations)

    # ------------------------------------------------------------------------------------------------ tiles

    def _advance_tiles(
        self,
        sources: Mapping[str, Source],
        out: Source,
        start: int,
        first: int,
        last: int,
        summed: torch.Tensor | None,
        scattered: Sequence[EventPart],
    ) -> None:
        plan, table = self.plan, self.plan.table
        assert table is not None
        n = plan.layout.size
        fast = table.fits_32_bits and plan.drive_bound <= DRIVE_LIMIT
        no_trace = np.zeros((0, 0, 0), np.int32)
        traces = tuple(self.traces[x].numpy() if x in self.traces else no_trace for x in ("v", "u"))
        arrays = Arrays(
            self.u.numpy(), self.v.numpy(), self.rest.numpy(), out.spikes.numpy(), self.spike_counts.numpy(),
            (*traces, no_trace),
        )  # fmt: skip
        reset = np.zeros(last - first, np.bool_)
        reset[list(reset_steps(plan.population.reset, last - first, start + first))] = True
        steps = max(1, min(last - first, TILE_VALUES // n))
        samples = max(1, TILE_VALUES // (n * steps))
        width = -(-n // LANES) * LANES + LANES  # every row begins on a cache line

        def work(low: int, high: int) -> None:
            tile = _buffer("drive", (steps, high - low, width))
            totals = np.zeros(3, np.int64)
            for k in range(first, last, steps):
                end = min(k + steps, last)
                tile[:] = 0
                if summed is not None:
                    _add_summed(tile, summed, k - first, end - first, low, high, n)
                for part in scattered:
                    self._scatter(part, sources[part.source], tile, (low, high, k, end), start)
                if self.drives is not None:
                    self.drives.numpy()[k:end, low:high] = tile[: end - k, :, :n]
                at = Part(low, high, end - k, 0, low, out.history + k, k)
                values = tile if fast else tile.astype(np.int64)
                per_step, found = scan_part(at, values, arrays, table, reset[k - first : end - first], fast)
                totals += found
                with self.lock:
                    self.n_spikes[start + k : start + end] += per_step
            with self.lock:
                self.totals += totals

        share(work, self.batch, samples)

    def _scatter(
        self,
        part: EventPart,
        source: Source,
        tile: NDArray[np.int32],
        at: tuple[int, int, int, int],
        start: int,
    ) -> None:
        low, high, k, end = at
        target = tile if part.down == 0 else _buffer("shifted", tile.shape)
        if part.down:
            target[:] = 0
        operations = np.zeros((end - k, 2), np.int64)
        where = (low, high, end - k, source.history + k - part.lag, 0)
        r = part.runs
        scatter(
            where, source.words(), target, r.first, r.target, r.start, r.length, r.weights, part.counted, operations
        )
        if part.down:
            tile += target >> part.down
        sent = start + k - part.lag  # the first step in which these spikes fired; before the run there are none
        with self.lock:
            if sent < 0:
                operations, sent = operations[-sent:], 0
            self.operations[sent : sent + len(operations)] += operations

    # ------------------------------------------------------------------------- relays, and everything on CUDA

    def _advance_whole(
        self,
        sources: Mapping[str, Source],
        out: Source,
        start: int,
        first: int,
        last: int,
        summed: torch.Tensor | None,
        scattered: Sequence[EventPart],
    ) -> None:
        plan = self.plan
        n = plan.layout.size
        shape = (last - first, self.batch, n)
        total = torch.zeros(shape, dtype=torch.int64, device=self.device) if summed is None else summed
        for part in scattered:
            tile = np.zeros((last - first, self.batch, n + LANES), np.int32)
            self._scatter(part, sources[part.source], tile, (0, self.batch, first, last), start)
            total = total + torch.from_numpy(tile[:, :, :n])
        if plan.drive_bound >= 1 << 31:
            held = wrap(total.to(torch.int64), 32)
            self.n_drive_wraps += int((held != total).sum())
            total = held
        if self.drives is not None:
            self.drives[first:last] = total.to(torch.int32)
        rows = slice(out.history + first, out.history + last)
        if plan.table is None:
            assert out.values is not None
            out.values[rows] = total.to(torch.int32)
            sent = out.values[rows] != 0
            out.spikes[rows, :, :n] = sent.to(torch.uint8)
            self.spike_counts += sent.sum(dim=0, dtype=torch.int32)
            self.n_spikes[start + first : start + last] += sent.sum(dim=(1, 2)).cpu().numpy()
            self.totals[0] += int(sent.sum())
            return
        neuron = plan.population.neuron
        assert isinstance(neuron, Scanned), "what has a table"
        result = lif_scan(
            total,
            neuron,
            (n,),
            reset_at=reset_steps(plan.population.reset, last - first, start + first),
            u=self.u,
            v=self.v,
            rest=self.rest if plan.table.refractory_steps else None,
            want=self.want,
            drive_limit=plan.drive_bound,
            table=plan.table,
        )
        self.u, self.v, self.rest = result.final_u, result.final_v, result.final_rest
        out.spikes[rows, :, :n] = result.spikes.view(torch.uint8)
        self.spike_counts += result.spike_counts
        self.n_spikes[start + first : start + last] += result.n_spikes.cpu().numpy()
        self.totals += (result.n_active_updates, result.n_u_wraps, result.n_v_saturations)
        for name, trace in (("v", result.v), ("u", result.u)):
            if trace is not None:
                self.traces[name][first:last] = trace

    # ---------------------------------------------------------------------------------------------- results

    def plain(self, values: torch.Tensor) -> NDArray[Any]:
        """(..., n) in the population's layout -> (..., *shape) in C order."""
        found: NDArray[Any] = to_plain(values, self.plan.layout).cpu().numpy()
        return found


def events_of(parts: list[Running], n_steps: int, batch: int) -> Events:
    """The counts of a population, added over the batch chunks of a run."""
    operations = np.sum([part.operations for part in parts], axis=0)
    totals = np.sum([part.totals for part in parts], axis=0)
    return Events(
        n_spikes=np.sum([part.n_spikes for part in parts], axis=0),
        n_updates=n_steps * batch * parts[0].plan.layout.size,
        n_active_updates=int(totals[0]),
        sops=operations[:, 0],
        sops_with_zeros=operations[:, 1],
        n_u_wraps=int(totals[1]),
        n_v_saturations=int(totals[2]),
        n_drive_wraps=sum(part.n_drive_wraps for part in parts),
    )


_buffers = local()


def _buffer(name: str, shape: tuple[int, ...]) -> NDArray[np.int32]:
    """A thread's own int32 buffer, kept between tiles."""
    held: NDArray[np.int32] | None = getattr(_buffers, name, None)
    if held is None or held.shape != shape:
        held = aligned(shape)
        setattr(_buffers, name, held)
    return held


def _add_summed(
    tile: NDArray[np.int32], summed: torch.Tensor, first: int, last: int, low: int, high: int, n: int
) -> None:
    tile[: last - first, :, :n] = summed.numpy()[first:last, low:high]
