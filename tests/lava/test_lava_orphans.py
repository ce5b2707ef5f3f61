"""Lava's processes and files end with the process that started them, however that ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

pytest.importorskip("lava")

RUN = """
import numpy as np
from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import ints
from seamount.compile.program.program import Input, Population, Program, Readout
from seamount.compile.synapses.kinds import Dense, Synapses
from seamount.hardware_targets.lava.run import run_on_lava
program = Program("long", (Input("x", (4,)),), (Population("o", (3,), Lif(ints(0), ints(0), ints(9))),),
    (Synapses("s", "x", "o", Dense(ints(np.full((3, 4), 2)))),), Readout("o", "count"), n_steps=400_000)
run_on_lava(program, np.ones((400_000, 1, 4), int), record=())
"""


def lava_processes(folder: Path) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def shared_memory(processes: list[int]) -> set[str]:
    """What these processes alone have in /dev/shm; other runs of Lava may go on beside the test."""
    maps = [Path(f"/proc/{process}/maps").read_text() for process in processes]
    return set(re.findall(r"/dev/shm/psm_\w+", "".join(maps)))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_lava_ends_with_the_process_that_started_it(sent: signal.Signals) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # short: from some length on its sockets lie elsewhere
        _ends_with_its_parent(Path(folder), sent)


def _ends_with_its_parent(tmp_path: Path, sent: signal.Signals) -> None:
    parent = subprocess.Popen([sys.executable, "-W", "ignore", "-c", RUN], env=os.environ | {"TMPDIR": str(tmp_path)})
    try:
        deadline = time.monotonic() + 900
        while len(lava_processes(tmp_path)) < 4 and time.monotonic() < deadline:
            time.sleep(0.1)
        shared = shared_memory(lava_processes(tmp_path))
        assert shared
    finally:
        parent.send_signal(sent)
        parent.wait()
    deadline = time.monotonic() + 300
    while (lava_processes(tmp_path) or any(map(os.path.exists, shared))) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert lava_processes(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    assert [name for name in shared if os.path.exists(name)] == []
