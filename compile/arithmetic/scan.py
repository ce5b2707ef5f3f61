"""All T steps of a population in one call, on torch tensors: the definition's integers, for simulator and student.

CPU runs the compiled loops of ``kernels.py``, CUDA those of ``scan_triton.py``. Where it is proved that 32 bits hold
a population they compute in 32 bits, else in 64.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from seamount.errors import ConfigError, InputError

from ..neurons.lif import Lif
from ..neurons.ternary_lif import TernaryLif
from ..numbers import DRIVE_SHIFT, V_MAX, Ints
from ..program.program import Reset
from .neurons import DRIVE_LIMIT, NeuronTable, RawScan, Real, State, empty_traces, neuron_table

TRACES = ("spikes", "v", "u", "v_before_reset")


def reset_steps(reset: Reset | None, n_steps: int, first_step: int = 0) -> tuple[int, ...]:
    """Which of ``n_steps`` steps clear the state before they begin (``definition.is_reset``); the first is 0."""
    if reset is None:
        return ()
    return tuple(range((reset.offset - first_step - 1) % reset.interval, n_steps, reset.interval))


@dataclass(frozen=True)
class ScanResult:
    """What T steps of a population did; traces that were not asked for are None.

    Attributes:
        spikes: (T, B, *shape) uint8, int8 for ternary neurons.
        v, u: after each step, int32; v after its reset.
        v_before_reset: the v that was compared with the threshold, int32.
        final_u, final_v: (B, *shape) int32: hand them to the next call to go on.
        final_rest: steps for which each neuron still rests (refractory period), int32.
        spike_counts: (B, *shape) int32.
        n_spikes: per step (T,) int64.
        n_active_updates, n_u_wraps, n_v_saturations: as ``Events`` has them, unless they were not asked for. The
            first of them that is read waits for the GPU.
    """

    spikes: torch.Tensor
    v: torch.Tensor | None
    u: torch.Tensor | None
    v_before_reset: torch.Tensor | None
    final_u: torch.Tensor
    final_v: torch.Tensor
    final_rest: torch.Tensor
    spike_counts: torch.Tensor
    per_step: torch.Tensor | None
    totals: torch.Tensor | None

    @cached_property
    def n_spikes(self) -> torch.Tensor:
        if self.per_step is not None:
            return self.per_step
        steps = self.spikes.flatten(1)
        if self.spikes.dtype == torch.int8:
            return torch.count_nonzero(steps, dim=1)
        return steps.sum(1, dtype=torch.int64)

    @property
    def n_active_updates(self) -> int:
        return self._sums[0]

    @property
    def n_u_wraps(self) -> int:
        return self._sums[1]

    @property
    def n_v_saturations(self) -> int:
        return self._sums[2]

    @cached_property
    def _sums(self) -> list[int]:
        assert self.totals is not None, "lif_scan was called with counts=False"
        sums: list[int] = self.totals.sum(0).tolist()
        return sums


def lif_scan(
    drive: torch.Tensor,
    lif: Lif | TernaryLif,
    shape: tuple[int, ...],
    *,
    reset_at: Sequence[int] = (),
    u: torch.Tensor | None = None,
    v: torch.Tensor | None = None,
    rest: torch.Tensor | None = None,
    want: Collection[str] = ("spikes", "v", "u"),
    drive_limit: int | None = None,
    table: NeuronTable | None = None,
    counts: bool = True,
) -> ScanResult:
    """Step a population through all T steps of its drive. Its gradient is a surrogate, in ``distill/integer.py``.

    Args:
        drive: (T, B, *shape), whole numbers in float32, float64, int32 or int64; CPU or CUDA.
        reset_at: steps before which u and v are cleared.
        u, v, rest: (B, *shape) to start from; default: the population's initial state.
        want: of "spikes" (always given), "v", "u", "v_before_reset".
        drive_limit: what is proved of the largest \\|drive\\|, in the steps that led to u and v too; without it the
            drive and the states are looked through, for which a GPU has to be waited for.
        table: ``neuron_table(lif, shape)``, if it is at hand.
        counts: whether active updates, wraps and saturations are asked for; a GPU is a third faster without.
    """
    _check(drive, shape, want)
    if table is None:
        table = neuron_table(lif, shape)
    flat, start, fast = _ready(drive, table, u, v, rest, drive_limit)
    n_steps, batch = flat.shape[:2]
    clear = _cleared(n_steps, reset_at)
    if _on_gpu(drive):
        from .scan_triton import scan_triton

        raw = scan_triton(flat, start, table, clear, want, fast=fast, counts=counts)
    else:
        turns = u is not None or drive_limit is None or drive_limit > table.turn_free
        raw = _scan_cpu(flat, start, table, clear, want, fast, turns)
    return _shaped(raw, n_steps, batch, tuple(shape), table, counts)


def spikes_and_potential(
    drive: torch.Tensor, lif: Lif, shape: tuple[int, ...], real: Real, table: NeuronTable, drive_limit: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a student learns from: spikes, and v - threshold before the reset in real units, (T, B, *shape) each.

    Signs of the potential are exact, so they say which neurons fired. A GPU writes nothing else; arguments are those
    of ``lif_scan``, for neurons that share one threshold.
    """
    want = ("v_before_reset",)
    if _on_gpu(drive):
        from .scan_triton import scan_triton

        _check(drive, shape, want)
        flat, start, fast = _ready(drive, table, None, None, None, drive_limit)
        clear = _cleared(flat.shape[0], ())
        raw = scan_triton(flat, start, table, clear, (), fast=fast, counts=False, real=real)
        return raw.spikes.view(drive.shape), raw.traces[2].view(drive.shape)
    done = lif_scan(drive, lif, shape, want=want, drive_limit=drive_limit, table=table, counts=False)
    assert done.v_before_reset is not None
    return done.spikes.to(real.dtype), potential(done.v_before_reset, lif, real)


def potential(v_before_reset: torch.Tensor, lif: Lif, real: Real) -> torch.Tensor:
    """v - threshold in real units; what is given is overwritten."""
    out = torch.empty(v_before_reset.shape, dtype=real.dtype, device=v_before_reset.device)
    return torch.mul(v_before_reset.sub_(int(lif.v_th_mant) << DRIVE_SHIFT), real.unit, out=out)


def _ready(
    drive: torch.Tensor,
    table: NeuronTable,
    u: torch.Tensor | None,
    v: torch.Tensor | None,
    rest: torch.Tensor | None,
    drive_limit: int | None,
) -> tuple[torch.Tensor, State, bool]:
    """The drive as (T, B, n), the state to start from, and whether 32 bits hold everything."""
    batch = int(drive.shape[1])
    flat = drive.detach().reshape(-1, batch, table.n)
    fast = table.fits_32_bits and rest is None
    if fast and drive_limit is None:
        fast = _within(flat, DRIVE_LIMIT) and all(x is None or _within(x, V_MAX + 1) for x in (u, v))
    else:
        fast = fast and drive_limit is not None and drive_limit <= DRIVE_LIMIT
    start = State(
        _start(u, table.u_init, batch, table.n, drive.device),
        _start(v, table.v_init, batch, table.n, drive.device),
        _resting(rest, batch, table.n, drive.device, fast),
    )
    return flat, start, fast


def _cleared(n_steps: int, reset_at: Sequence[int]) -> torch.Tensor:
    clear = torch.zeros(n_steps, dtype=torch.bool, device="cpu")
    clear[list(reset_at)] = True
    return clear


def _on_gpu(drive: torch.Tensor) -> bool:
    return drive.device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"


def _check(drive: torch.Tensor, shape: tuple[int, ...], want: Collection[str]) -> None:
    unknown = set(want) - set(TRACES)
    if unknown:
        raise ConfigError(
            f"trace {', '.join(sorted(unknown))} does not exist",
            where="lif_scan",
            possible=f"possible are {', '.join(TRACES)}",
        )
    if drive.ndim < 2 or tuple(drive.shape[2:]) != tuple(shape):
        raise InputError(
            f"drive {tuple(drive.shape)} found",
            where="lif_scan",
            possible=f"possible is (T, B, {', '.join(map(str, shape))})",
        )


def _scan_cpu(
    drive: torch.Tensor,
    start: State,
    table: NeuronTable,
    clear: torch.Tensor,
    want: Collection[str],
    fast: bool,
    turns: bool,
) -> RawScan:
    from .threads import share

    n_steps, batch, n = drive.shape
    traces = empty_traces(want, n_steps, batch, n, drive.device)
    spikes = torch.empty((n_steps, batch, n), dtype=torch.uint8, device="cpu")
    counts = torch.zeros((batch, n), dtype=torch.int32, device="cpu")
    sums: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    drive = _contiguous(drive, fast)
    arrays = Arrays(
        start.u.numpy(), start.v.numpy(), start.rest.numpy(), spikes.numpy(), counts.numpy(),
        tuple(x.numpy() for x in traces),
    )  # fmt: skip

    def work(first: int, last: int) -> None:
        part = Part(first, last, n_steps)
        sums.append(scan_part(part, drive.numpy(), arrays, table, clear.numpy(), fast=fast, turns=turns))

    share(work, batch)
    n_spikes, totals = (torch.from_numpy(np.stack(x)) for x in zip(*sums, strict=True))
    return RawScan(spikes, traces, start, counts, n_spikes.sum(0), totals)


class Part(NamedTuple):
    """Which samples and how many steps a thread owns, and the row and sample at which they begin in each array."""

    first: int
    last: int
    n_steps: int
    drive_t: int = 0
    drive_b: int = 0
    spikes_t: int = 0
    trace_t: int = 0


@dataclass(frozen=True)
class Arrays:
    """What the loops write: states and counts (B, n), spikes (T, B, >= n), traces v, u, v_before_reset (T, B, n)."""

    u: NDArray[np.int32]
    v: NDArray[np.int32]
    rest: NDArray[np.int32]
    spikes: NDArray[np.uint8]
    counts: NDArray[np.int32]
    traces: tuple[NDArray[np.int32], ...]


def scan_part(
    part: Part,
    drive: NDArray[Any],
    arrays: Arrays,
    table: NeuronTable,
    clear: NDArray[np.bool_],
    *,
    fast: bool,
    turns: bool,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Run the compiled loop on one part; returns spikes per step, and (active updates, u wraps, v saturations).

    Every array is whole and C-contiguous, so that the loops are compiled once. ``fast``: 32 bits hold everything;
    ``turns``: u may leave its 24 bits.
    """
    from .kernels import scan_fast, scan_general

    want = np.array([x.size > 0 for x in arrays.traces])
    per_step, totals = np.zeros(part.n_steps, np.int64), np.zeros(3, np.int64)
    outputs = (clear, arrays.spikes, want, *arrays.traces, arrays.counts, per_step, totals)
    if fast:
        scan_fast(part, drive, arrays.u, arrays.v, *table.narrow, turns, *outputs)
    else:
        scan_general(part, drive, arrays.u, arrays.v, arrays.rest, *table.wide, table.refractory_steps, *outputs)
    return per_step, totals


def _contiguous(drive: torch.Tensor, fast: bool) -> torch.Tensor:
    if fast and drive.dtype in (torch.float32, torch.int32):
        return drive.contiguous()
    return drive.to(torch.int32 if fast else torch.int64).contiguous()


def _within(values: torch.Tensor, limit: int) -> bool:
    if not values.numel():
        return True
    # not abs().max(), because -2**31 has no absolute value in its own type
    low, high = values.aminmax()
    return -limit <= int(low) and int(high) <= limit


def _start(given: torch.Tensor | None, init: Ints, batch: int, n: int, device: torch.device) -> torch.Tensor:
    if given is not None:
        return given.detach().reshape(batch, n).to(device, torch.int32, copy=True)
    if not init.any():
        return torch.zeros((batch, n), dtype=torch.int32, device=device)
    # repeated on the device, so that only one row is copied to it
    return torch.from_numpy(init.astype(np.int32)).to(device).expand(batch, n).contiguous()


def _resting(given: torch.Tensor | None, batch: int, n: int, device: torch.device, fast: bool) -> torch.Tensor:
    if given is not None:
        return given.detach().reshape(batch, n).to(device, torch.int32, copy=True)
    if fast:  # because nobody writes it, one zero is enough, seen (B, n) times
        return torch.zeros((1, 1), dtype=torch.int32, device=device).expand(batch, n)
    return torch.zeros((batch, n), dtype=torch.int32, device=device)


def _shaped(
    raw: RawScan, n_steps: int, batch: int, shape: tuple[int, ...], table: NeuronTable, counts: bool
) -> ScanResult:
    def whole(trace: torch.Tensor) -> torch.Tensor | None:
        return trace.reshape(n_steps, batch, *shape) if trace.numel() else None

    spikes = raw.spikes.view(torch.int8) if table.ternary else raw.spikes
    return ScanResult(
        spikes=spikes.reshape(n_steps, batch, *shape),
        v=whole(raw.traces[0]),
        u=whole(raw.traces[1]),
        v_before_reset=whole(raw.traces[2]),
        final_u=raw.final.u.reshape(batch, *shape),
        final_v=raw.final.v.reshape(batch, *shape),
        final_rest=raw.final.rest.reshape(batch, *shape),
        spike_counts=raw.counts.reshape(batch, *shape),
        per_step=raw.n_spikes,
        totals=raw.totals if counts else None,
    )
