"""How many threads train."""

import os

import pytest
import torch

from seamount.config import RunConfig
from seamount.models.zoo import build_student
from seamount.run.stages.training import small_step, use_threads


@pytest.fixture(autouse=True)
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", found.append)
    return found


def test_small_work_takes_one_thread_and_large_work_what_torch_chose(chosen: list[int]) -> None:
    use_threads(RunConfig(), small=False)
    assert chosen == []
    use_threads(RunConfig(), small=True)
    assert chosen == [1]


def test_who_says_how_many_threads_gets_them(chosen: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    for n_cores in (4, 2):  # 999 on two cores would do nothing but take turns
        monkeypatch.setattr(os, "cpu_count", lambda n_cores=n_cores: n_cores)
        use_threads(RunConfig(), small=True)
    use_threads(RunConfig(n_threads=5), small=True)
    assert chosen == [3, 2, 5]


@pytest.mark.parametrize(("width", "small"), [(0.25, True), (2.0, False)])
def test_a_step_is_small_by_its_neurons_steps_and_samples(width: float, small: bool) -> None:
    student = build_student("small", n_classes=10, input_shape=(1, 28, 28), n_steps=16, width=width)
    assert small_step(student, 128) == small
    assert small_step(student, 1)
