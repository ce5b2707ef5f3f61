"""The simulator in surroundings that others choose: the same integers, or a clear refusal.

Each case is a process of its own, because the settings are the whole process's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PROGRAMS = """
import numpy as np
from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import ints
from seamount.compile.program.program import Input, Population, Program, Readout
from seamount.compile.synapses.kinds import Conv, Dense, Synapses
from seamount.hardware_targets.simulator import simulate

random = np.random.default_rng(0)
counting = Lif(ints(4096), ints(1024), ints(40))
silent = Lif(ints(4096), ints(0), ints(131071))

def even(*shape):
    return ints(random.integers(-60, 61, shape) * 2)

# graded values meet a kernel, then spikes meet a kernel, then spikes meet a matrix
PROGRAM = Program(
    "surrounded",
    (Input("in", (2, 9, 9), 8),),
    (Population("h", (4, 9, 9), counting), Population("k", (3, 9, 9), counting), Population("o", (10,), silent)),
    (
        Synapses("first", "in", "h", Conv(even(4, 2, 3, 3), padding=(1, 1)), graded=True),
        Synapses("second", "h", "k", Conv(even(3, 4, 3, 3), padding=(1, 1))),
        Synapses("third", "k", "o", Dense(even(10, 243))),
    ),
    Readout("o", "v"),
    n_steps=6,
)
RECORD = ("spikes", "v", "u", "drive")

def inputs(batch):
    return np.random.default_rng(1).integers(0, 256, (6, batch, 2, 9, 9))

def expected(batch):
    return run_definition(PROGRAM, inputs(batch))

def n_wrong(batch, reference=None):
    reference = reference or expected(batch)
    found = simulate(PROGRAM, inputs(batch), record=RECORD)
    return int((found.readout != reference.readout).sum()) + sum(
        int((getattr(found, what)[name] != getattr(reference, what)[name]).sum())
        for what in RECORD for name in getattr(reference, what)
    )
"""


def python(code: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """Run code after PROGRAMS in a new process, with changes of its environment; None takes a variable away."""
    changed = {"OMP_NUM_THREADS": "1", **environment}
    kept = {k: v for k, v in (os.environ | changed).items() if v is not None}
    return subprocess.run(
        [sys.executable, "-W", "ignore:.*torch.jit.*", "-c", PROGRAMS + code],
        env=kept,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_without_a_place_for_compiled_code_it_compiles_anew_and_says_so(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.write_text("")  # a file where a folder should be: closed to everybody, root too
    code = f"""
import numba.core.caching as caching
caching.InTreeCacheLocator.get_cache_path = lambda self: {str(closed / "pycache")!r}
print(n_wrong(2))
"""
    # the locators must be closed before the first compiled function is made
    head, _, tail = code.partition("print")
    done = subprocess.run(
        [sys.executable, "-W", "ignore:.*torch.jit.*", "-c", head + PROGRAMS + "print" + tail],
        env={k: v for k, v in os.environ.items() if k not in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR")}
        | {"HOME": str(closed), "NUMBA_CACHE_DIR": str(closed / "numba"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0"]
    assert done.stderr.count("compiled code cannot be kept: neither") == 1
    assert "set NUMBA_CACHE_DIR to a folder that can be" in done.stderr
