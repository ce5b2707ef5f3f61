"""Shares a batch among threads: compiled kernels release the GIL.

A pool of our own, because numba's parallel loops must not run in several threads at once with its default layer, nor
after a fork with OpenMP; and so torch's setting of threads holds here too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import lru_cache
from threading import Barrier

import torch


def threads_at_hand() -> int:
    """As many as torch has, but no more than there are processors: others would wait for one."""
    return min(torch.get_num_threads(), os.cpu_count() or 1)


@lru_cache(maxsize=4)
def _pool(n_threads: int) -> ThreadPoolExecutor:
    """Threads whose own torch has one thread."""
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(n_threads, "seamount", _one_thread_of_torch)
    begun = Barrier(n_threads)
    wait([pool.submit(begun.wait) for _ in range(n_threads)])
    torch.set_num_threads(before)  # because threads that others begin later take what was set last
    return pool


def _one_thread_of_torch() -> None:
    torch.get_num_threads()  # at first use a thread takes what holds for all: not after the next line
    torch.set_num_threads(1)


def share(work: Callable[[int, int], None], n_samples: int) -> None:
    """Call ``work(first, last)`` for slices of the batch, on the threads at hand.

    The caller's thread takes slices too, and does not wait for helpers that a busy machine did not let begin.
    """
    n_threads = threads_at_hand()
    each, some = _slices(work, n_samples, n_samples, n_threads)
    helpers = [_pool(n_threads).submit(some) for _ in range(min(n_threads, len(each)) - 1)]
    try:
        some()
    finally:
        begun = [helper for helper in helpers if not helper.cancel()]
        wait(begun)
    for helper in begun:
        helper.result()


def share_apart(work: Callable[[int, int], None], n_samples: int, at_once: int, n_threads: int) -> None:
    """Call ``work(first, last)``, which computes with torch, for slices of at most ``at_once`` samples.

    Where there are several threads the caller's leaves the work to them. Its own torch may have many threads, which
    wait for each other spinning after every operation, on cores that the others need. When the caller is interrupted,
    slices that have begun go on.
    """
    each, some = _slices(work, n_samples, at_once, n_threads)
    if n_threads == 1 or len(each) == 1:
        some()
        return
    helpers = [_pool(threads_at_hand()).submit(some) for _ in range(min(n_threads, len(each)))]
    try:
        wait(helpers, return_when=FIRST_COMPLETED)  # no slice is left, or one has failed
        begun = [helper for helper in helpers if not helper.cancel()]
        wait(begun)
    finally:
        for helper in helpers:
            helper.cancel()
    for helper in begun:
        helper.result()


def _slices(
    work: Callable[[int, int], None], n_samples: int, at_once: int, n_threads: int
) -> tuple[list[tuple[int, int]], Callable[[], None]]:
    """Slices of one size, as many for each thread; and what takes one after the other, in any number of threads."""
    rounds = -(-n_samples // (at_once * n_threads))
    size = -(-n_samples // (rounds * n_threads))
    each = [(b, min(b + size, n_samples)) for b in range(0, n_samples, size)]
    left = iter(each)  # threads may take turns at an iterator of a list

    def some() -> None:
        for first, last in left:
            work(first, last)

    return each, some


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
