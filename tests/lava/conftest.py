"""Lava, imported once: runs in forks of one process, where it is not the point how Lava's process starts and ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from seamount.errors import BackendMissing
from seamount.hardware_targets.lava import plain_lava
from seamount.hardware_targets.lava import run as running

HOST = """
import os, sys
sys.path.append(sys.argv[1])
import plain_lava

plain_lava.make_importable()
plain_lava._models()
for line in iter(sys.stdin.readline, ""):
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)  # what Lava says is no answer
        sys.argv = ["run.py", *line.rstrip("\\n").split("\\t")]
        sys.exit(plain_lava.main())
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="session")
def host() -> Iterator[subprocess.Popen[str]]:
    """A process that runs Lava with the arguments of each line it is told, and answers with the exit code."""
    command = [sys.executable, "-c", HOST, str(Path(plain_lava.__file__).parent)]
    own = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    # it ends when its stdin does
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=nowhere, env=os.environ | own, text=True
    ) as process:
        yield process


@pytest.fixture
def lava_imported_once(host: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """``run_on_lava`` asks the host, and spares the second that Lava's import takes."""

    def supervise(folder: Path, time_limit_s: float) -> None:
        assert host.stdin is not None
        assert host.stdout is not None
        host.stdin.write(f"{folder}\t--quiet\n")
        host.stdin.flush()
        if (code := host.stdout.readline().strip()) != "0":
            error = folder / "error.txt"
            raise BackendMissing(error.read_text() if error.exists() else f"ended with code {code}", where="Lava")

    monkeypatch.setattr(running, "supervise", supervise)
