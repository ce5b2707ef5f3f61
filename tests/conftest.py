"""What holds for every test, and what tests of several folders ask for."""

from __future__ import annotations

import fcntl
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# containers often turn it off, and then every worker and every process of a test would compile each module anew
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# no deadlines, because a machine that others use too misses any of them by chance
settings.register_profile("seamount", deadline=None)
settings.load_profile("seamount")


Once = Callable[[str, Callable[[Path], str]], str]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """``once(name, make)``: what ``make(folder)`` tells, made by the first worker that asks; others wait for it."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def made(name: str, make: Callable[[Path], str]) -> str:
        (folder := shared / f"once-{name}").mkdir(exist_ok=True)
        told = folder / "told"
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not told.exists():
                told.write_text(make(folder))
        return told.read_text()

    return made


@pytest.fixture(scope="session")
def quick_python(once: Once) -> str:
    """An executable that is Python with torch and Seamount loaded already; see tests/forks.py."""
    owner = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()  # of all workers

    def start(folder: Path) -> str:
        executable, log = folder / "quick_python", folder / "log"
        forks, socket = Path(__file__).with_name("forks.py"), folder / "socket"
        command = shlex.join([sys.executable, "-S", "-E", str(forks), str(socket)])
        executable.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        executable.chmod(0o755)
        with log.open("w") as out:  # no pipe, which would stay open as long as it serves
            done = subprocess.run(
                [sys.executable, "-m", "tests.forks", "serve", str(socket), str(owner)],
                cwd=forks.parents[1],
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        assert done.returncode == 0, log.read_text()
        return str(executable)

    return once("quick_python", start)


@pytest.fixture
def no_window() -> Iterator[None]:
    """Matplotlib draws without a screen, and forgets its figures."""
    import matplotlib  # here, because few tests draw
    from matplotlib import pyplot

    before = matplotlib.get_backend()
    matplotlib.use("Agg")
    yield
    pyplot.close("all")
    matplotlib.use(before)
