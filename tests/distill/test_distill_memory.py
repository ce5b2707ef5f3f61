"""What a step frees is there for the next one."""

from __future__ import annotations

import platform
import subprocess

import pytest

SCRIPT = """
import resource
import torch
from seamount.distill.memory import kept_for_the_next_step

def faults_of_a_step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    values = [torch.ones(1 << 21) for _ in range(4)]
    del values
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with kept_for_the_next_step():
    faults_of_a_step()
    print(min(faults_of_a_step() for _ in range(5)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_a_step_finds_the_pages_of_the_last_one(quick_python: str) -> None:
    # in a process of its own, because the thresholds stay
    done = subprocess.run([quick_python, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=300)
    assert int(done.stdout) < 1000, "32 MiB are 8192 pages"
