"""Batches of the training part, read and augmented ahead by processes of their own, or as they are needed."""

from __future__ import annotations

import multiprocessing
import signal
import warnings
from collections.abc import Iterator
from multiprocessing.process import BaseProcess

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from seamount.errors import SeamountError

from .data.samples import Data, Pass

_Read = tuple[Tensor, Tensor] | SeamountError
"""Values and seeds, or why they cannot be read."""


class Readers:
    """The reading processes of a training; ``n`` 0 reads in its own."""

    def __init__(self, n: int) -> None:
        self.n = n
        self._processes: list[BaseProcess] = []

    def read(self, data: Data, shares: list[Tensor], during: Pass) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Values, seeds and sample numbers of each share, in order.

        Raises:
            InputError: samples that cannot be read.
        """
        with warnings.catch_warnings():
            # so many are asked for, on a machine of fewer cores, too: a reader also waits for files
            warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
            loader: DataLoader[_Read] = DataLoader(
                _Shares(data, shares, during),
                batch_size=None,
                num_workers=self.n,
                worker_init_fn=_leave_ctrl_c if self.n else None,
                # because samples are read by closures, which no other way of starting a process hands over
                multiprocessing_context="fork" if self.n else None,
            )
            before = multiprocessing.active_children()
            batches = iter(loader)
        self._processes = [process for process in multiprocessing.active_children() if process not in before]
        for share, read in zip(shares, batches, strict=True):
            if isinstance(read, SeamountError):
                raise read
            yield *read, share

    def lost(self) -> bool:
        """Whether one of them ended otherwise than in order: killed, or by an error."""
        return any(process.exitcode for process in self._processes)


class _Shares(Dataset[_Read]):
    """The batches of an epoch, read (and augmented) in a worker."""

    def __init__(self, data: Data, shares: list[Tensor], during: Pass) -> None:
        self.data, self.shares, self.during = data, shares, during

    def __len__(self) -> int:
        return len(self.shares)

    def __getitem__(self, number: int) -> _Read:
        try:
            return self.data.read(self.data.train, self.shares[number], self.during)
        except SeamountError as error:  # returned, because torch makes a traceback of what a worker raises
            return error


def _leave_ctrl_c(worker: int) -> None:
    """Ctrl-C reaches all processes of a terminal; the training decides what becomes of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
