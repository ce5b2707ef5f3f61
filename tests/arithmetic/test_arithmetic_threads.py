"""Slices of a batch in threads: each once, what fails is told, and the caller can be interrupted."""

from __future__ import annotations

from signal import SIGINT, pthread_kill, signal
from threading import Event, current_thread, main_thread

import pytest
import torch

from seamount.compile.arithmetic.threads import share_apart


@pytest.mark.parametrize(
    ("n_samples", "at_once", "n_threads", "sizes"),
    [(64, 20, 2, [16] * 4), (64, 64, 1, [64]), (7, 7, 3, [3, 3, 1]), (2, 1, 4, [1, 1]), (50, 20, 1, [17, 17, 16])],
)
def test_slices_are_of_one_size_and_each_is_done_once(
    n_samples: int, at_once: int, n_threads: int, sizes: list[int]
) -> None:
    done: list[tuple[int, int]] = []
    share_apart(lambda first, last: done.append((first, last)), n_samples, at_once, n_threads)
    assert sorted(done) == [(sum(sizes[:k]), sum(sizes[: k + 1])) for k in range(len(sizes))]


def test_threads_beside_the_callers_compute_with_one_thread_of_torch() -> None:
    before, found = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        share_apart(
            lambda first, last: found.append((current_thread() is main_thread(), torch.get_num_threads())), 4, 1, 2
        )
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert found == [(False, 1)] * 4


def test_what_fails_in_a_thread_is_told() -> None:
    def work(first: int, last: int) -> None:
        if first == 2:
            raise ValueError("the third")

    with pytest.raises(ValueError, match="the third"):
        share_apart(work, 4, 1, 2)


def test_the_caller_can_be_interrupted_while_threads_compute() -> None:
    let_go, asked, ended = Event(), Event(), Event()

    def once(*_: object) -> None:
        if not asked.is_set():
            asked.set()
            raise KeyboardInterrupt

    def work(first: int, last: int) -> None:
        # again and again, because a caller that is about to wait may sleep through a signal;
        # a signal, because a wait that has begun does not see interrupt_main
        while first == 0 and not let_go.wait(0.2):
            pthread_kill(main_thread().ident or 0, SIGINT)
        ended.set()
        assert let_go.wait(900)

    before = signal(SIGINT, once)
    try:
        with pytest.raises(KeyboardInterrupt):
            share_apart(work, 2, 1, 2)
    finally:
        let_go.set()
        ended.wait(900)  # otherwise its last signal could come after the next line
        signal(SIGINT, before)
