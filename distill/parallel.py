"""Several processes that train one network: who am I, whose samples are mine, sums and statistics over all of them.

``torchrun`` sets the environment; without it everything here is a single process and costs nothing.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.nn.modules.batchnorm import _BatchNorm

from seamount.errors import BackendMissing, ConfigError, ProcessStopped
from seamount.gpu_code import require_triton
from seamount.surroundings import usual_settings

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The processes of a run.

    Attributes:
        rank: this process, 0 is the one that writes.
        size: how many there are.
        device: where this process computes.
    """

    rank: int
    size: int
    device: torch.device

    def share(self, numbers: Tensor) -> Tensor:
        """This process's part of a batch: samples are dealt out in turn, which ``whole_batch`` undoes."""
        return numbers[self.rank :: self.size]

    def sum(self, values: Tensor) -> Tensor:
        """Over all processes."""
        if self.size > 1:
            values = values.to(self.device)
            dist.all_reduce(values)
        return values

    def wait(self) -> None:
        if self.size > 1:
            dist.barrier()

    def gathered(self, mine: T) -> list[T] | None:
        """What each process has, by rank, in the first one; None in the others."""
        if self.size == 1:
            return [mine]
        found: list[Any] | None = [None] * self.size if self.rank == 0 else None
        dist.gather_object(mine, found)
        return found


ALONE = World(0, 1, torch.device("cpu"))
"""A process that nobody started others beside; where it computes is said elsewhere."""

_openings = itertools.count()
_separate = ContextVar("separate", default=False)


@contextmanager
def separately() -> Iterator[tuple[int, int]]:
    """Within it this process works by itself, whoever torchrun started beside it: its rank, and their number."""
    before = _separate.set(True)
    try:
        yield _place_among("RANK", 0), _place_among("WORLD_SIZE", 1)
    finally:
        _separate.reset(before)


def require_device(device: str) -> None:
    """Refuses a GPU that is not there.

    Raises:
        BackendMissing: no such device, or no compiler for its kernels.
    """
    if not device.startswith("cuda"):
        return
    if not torch.cuda.is_available():
        raise BackendMissing(
            f"{device!r} asked for, but torch {torch.__version__} sees no CUDA device",
            where="device",
            ways_out=("set device = 'cpu'", "install the driver and a CUDA build of torch"),
        )
    require_triton()


@contextmanager
def open_world(device: str) -> Iterator[World]:
    """The processes that torchrun started, joined; within another one's ``with``, the same as there.

    The outermost one leaves them in order: a process group that is still there when Python exits aborts the process.

    Raises:
        BackendMissing: no such device, or no compiler for its kernels.
        ConfigError: the environment is not as torchrun leaves it.
        ProcessStopped: another process did, and this one can do nothing without it.
    """
    require_device(device)
    with usual_settings(), _joined(device) as world:
        yield world


@contextmanager
def _joined(device: str) -> Iterator[World]:
    if _separate.get() or _place_among("WORLD_SIZE", 1) == 1 or dist.is_initialized():
        yield _world(device)
        return
    try:
        agents, rank, size = next(rendezvous("env://"))
    except ValueError as error:
        raise ConfigError(
            f"several processes are asked for, but {error}", where="WORLD_SIZE", ways_out=_START_WITH_TORCHRUN
        ) from None
    # a prefix of its own: what an earlier group of this process wrote leads to ports that are closed
    store = PrefixStore(f"seamount/{next(_openings)}", agents)
    place = _place(device)
    dist.init_process_group(
        "nccl" if place.type == "cuda" else "gloo",
        store=store,
        rank=rank,
        world_size=size,
        device_id=None if place.index is None else place,  # of a GPU, which nccl would guess at the first message
    )
    try:
        yield _world(device)
    except BaseException as error:
        if isinstance(error, RuntimeError) and store.check([_STOPPED]):  # a broken connection is the others' doing
            raise ProcessStopped(store.get(_STOPPED).decode()) from error
        store.compare_set(_STOPPED, "", f"process {rank} of {size} stopped: {error or type(error).__name__}")
        with suppress(dist.DistError):  # who stops at the same step is waited for; others never come
            _meet(store, size, timedelta(seconds=1))
        raise
    else:
        _meet(store, size, timedelta(minutes=30))
    finally:
        dist.destroy_process_group()


_START_WITH_TORCHRUN = ("start them with torchrun", "unset it for one process")


def _place_among(variable: str, default: int) -> int:
    """A number that torchrun sets in the environment."""
    text = os.environ.get(variable, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) >= (variable == "WORLD_SIZE")):
        possible = "whole numbers of processes are possible"
        raise ConfigError(f"{text[:40]!r}", where=variable, possible=possible, ways_out=_START_WITH_TORCHRUN)
    return int(text)


_STOPPED = "stopped"
"""Where the first process that stops early leaves the reason for the others."""


def _meet(store: Store, size: int, patience: timedelta) -> None:
    """Waits until nobody needs the connections any more: one closed early resets those who still read.

    Through the store, which the agent of torchrun holds, and not through the connections.
    """
    if store.add("done", 1) == size:
        store.set("all done", "")
    store.wait(["all done"], patience)


def _place(device: str) -> torch.device:
    """Where this process computes, made the current device."""
    place = torch.device(device)
    if "LOCAL_RANK" in os.environ:  # torchrun's, one device each, for separate work too
        place = torch.device("cuda", _place_among("LOCAL_RANK", 0)) if device == "cuda" else place
        if place.type == "cuda":
            torch.cuda.set_device(place)
    return place


def _world(device: str) -> World:
    place = _place(device)
    return World(0, 1, place) if alone() else World(dist.get_rank(), dist.get_world_size(), place)


@contextmanager
def shared_batch_norm(module: nn.Module, world: World) -> Iterator[None]:
    """Within it, batch norms take their statistics from the samples of all processes, as a single one would.

    torch.nn.SyncBatchNorm refuses to run on a CPU, and on a GPU waits for it at every norm to look for processes
    without samples; this one runs anywhere, with as many messages.
    """
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)] if world.size > 1 else []
    kinds = [type(norm) for norm in norms]
    for norm in norms:
        norm.__class__ = _SharedBatchNorm
    try:
        yield
    finally:
        for norm, kind in zip(norms, kinds, strict=True):
            norm.__class__ = kind


class _SharedBatchNorm(_BatchNorm):
    def _check_input_dim(self, input: Tensor) -> None: ...  # noqa: A002 (torch's name)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        if not self.training:
            return super().forward(input)
        out, count, mean, variance = normalise(input, self.eps)
        if self.track_running_stats and self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                assert self.num_batches_tracked is not None
                self.num_batches_tracked += 1
                share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
                self.running_var.lerp_((variance * count / (count - 1)).to(self.running_var.dtype), share)
        if self.affine:
            view = [1, -1] + [1] * (input.ndim - 2)
            out = out * self.weight.view(view) + self.bias.view(view)
        return out.to(input.dtype)


def alone() -> bool:
    """Whether this process trains by itself."""
    return _separate.get() or not dist.is_initialized() or dist.get_world_size() == 1


def normalise(x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(B, M, ...) less its mean, over its spread, per channel of the samples of all processes, with gradients.

    Returns:
        It, in at least float32; how many values a channel has; their mean (M,) and their (biased) variance (M,).
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    axes = [d for d in range(x.ndim) if d != 1]
    view = [1, -1] + [1] * (x.ndim - 2)
    m = x.shape[1]
    zeros = x.new_zeros(m)
    own = torch.var_mean(x, axes, correction=0) if x.numel() else (zeros, zeros)  # of nothing both would be NaN
    # one message each way, because on small maps it is the messages that cost
    found = _by_rank(torch.cat([*own, x.new_tensor([x.numel() / m])]))
    variances, means, counts = found[:, :m], found[:, m:-1], found[:, -1:].detach()
    count = counts.sum()
    mean = (counts * means).sum(0) / count
    variance = (counts * (variances + (means - mean).square())).sum(0) / count
    normal = (x - mean.view(view)) * (variance + eps).rsqrt().view(view)
    return normal, count, mean.detach(), variance.detach()


def _by_rank(values: Tensor) -> Tensor:
    """Values (N,) of each process, with gradients: (processes, N), to the bit the same in all of them."""
    rows = values.new_zeros(dist.get_world_size(), len(values))
    rows[dist.get_rank()] = values
    found: Tensor = _Sum.apply(rows)
    return found


def whole_batch(rows: Tensor) -> Tensor:
    """The rows of all processes' samples in the batch's order, with gradients: (T, own, N) -> (T, B, N).

    Alone, what came in. Shares need not be equal, as long as they were dealt out by ``World.share``.
    """
    if alone():
        return rows
    count = torch.tensor(rows.shape[1], device=rows.device)
    dist.all_reduce(count)
    batch = rows.new_zeros(rows.shape[0], int(count), *rows.shape[2:])
    batch[:, dist.get_rank() :: dist.get_world_size()] = rows
    whole: Tensor = _Sum.apply(batch)
    return whole


class _Sum(torch.autograd.Function):
    """Sum over processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total
