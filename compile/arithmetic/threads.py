"""Shares a batch among threads: compiled kernels release the GIL.

A pool of our own, because numba's parallel loops must not run in several threads at once with its default layer, nor
after a fork with OpenMP; and so torch's setting of threads holds here too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache

import torch


@lru_cache(maxsize=4)
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads, thread_name_prefix="seamount")


def share(work: Callable[[int, int], None], n_samples: int, at_once: int) -> None:
    """Call ``work(first, last)`` for slices of the batch, of at most ``at_once`` samples, on torch's threads.

    The caller's thread takes slices too, and does not wait for helpers that a busy machine did not let begin. There
    are as many slices for each thread, and all of one size, so that none works while the others have nothing left.
    """
    n_threads = torch.get_num_threads()
    rounds = -(-n_samples // (at_once * n_threads))
    size = -(-n_samples // (rounds * n_threads))
    slices = iter([(b, min(b + size, n_samples)) for b in range(0, n_samples, size)])

    def some() -> None:
        for first, last in slices:  # threads may take turns at an iterator of a list
            work(first, last)

    n_helpers = min(n_threads, -(-n_samples // size)) - 1
    helpers = [_pool(n_threads).submit(some) for _ in range(n_helpers)]
    try:
        some()
    finally:
        begun = [helper for helper in helpers if not helper.cancel()]
        wait(begun)
    for helper in begun:
        helper.result()


_os_threads = 1


def _before_fork() -> None:
    global _os_threads
    try:
        _os_threads = len(os.listdir("/proc/self/task"))
    except OSError:  # not Linux: there may have been more than this one
        _os_threads = 2


def _after_fork_in_child() -> None:
    """A fork copies no threads, and OpenMP waits for ever for those that torch had: the child computes alone."""
    _pool.cache_clear()
    if _os_threads > 1:
        torch.set_num_threads(1)


os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
