"""A program is run by a user who may write nowhere: another's checkout, read-only, and no home, as in a container."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import ints
from seamount.compile.program.file import save_program
from seamount.compile.program.program import Input, Population, Program, Readout
from seamount.compile.synapses.kinds import Dense, Synapses
from seamount.hardware_targets.simulator import simulate

ROOT = Path(__file__).resolve().parents[2]

# may read what it must not write, as where Python lies in root's home; containers may lack this capability
READING = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def other_user() -> tuple[str, ...] | None:
    """What makes a command that of a user who owns nothing: nobody, where we are root. None: he cannot run Python."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        return None
    ways = ((*AS_NOBODY, *READING), AS_NOBODY)
    try_it = (sys.executable, "-c", "import numba")
    return next((w for w in ways if not subprocess.run((*w, *try_it), capture_output=True).returncode), None)


@pytest.fixture
def checkout() -> Iterator[Path]:
    """A fresh copy that others may read and nobody may write; not in pytest's folder, which is closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="seamount-test-"))
    left_out = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc")
    for name in ("models", "distill", "compile", "hardware_targets", "seamount"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=left_out)
    try:
        yield folder
    finally:
        _let_write(folder, True)
        shutil.rmtree(folder)


def _let_write(folder: Path, writable: bool) -> None:
    for place, _, files in os.walk(folder):
        os.chmod(place, 0o755 if writable else 0o555)
        for file in files:
            if not (path := Path(place, file)).is_symlink():
                path.chmod(0o644 if writable else 0o444)


def test_a_user_who_may_write_nowhere_gets_the_same_integers(checkout: Path) -> None:
    user = other_user()
    if user is None:
        pytest.skip("another user may not read this Python")
    random = np.random.default_rng(0)
    program = Program(
        "small",
        (Input("in", (5,)),),
        (Population("out", (3,), Lif(ints(4096), ints(512), ints(40))),),
        (Synapses("dense", "in", "out", Dense(ints(random.integers(-60, 61, (3, 5)) * 2))),),
        Readout("out", "count"),
        n_steps=8,
    )
    x = random.integers(0, 2, (8, 4, 5))
    expected = simulate(program, x)
    save_program(program, checkout / "small.program.h5")
    np.savez(checkout / "x.npz", x=x, y=expected.predictions())
    _let_write(checkout, False)
    done = subprocess.run(
        [*user, sys.executable, "-m", "seamount", "simulate", "small.program.h5", "--data", "x.npz", "--json"],
        cwd=checkout,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(checkout), "HOME": "/nonexistent", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["accuracy"] == 1.0
    assert "compiled code cannot be kept: neither" in done.stderr
