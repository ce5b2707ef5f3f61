"""The simulator in surroundings that others choose: the same integers, or a clear refusal.

Each case is a process of its own, because the settings are the whole process's: a fork of one that has imported all,
numba's own parts too, and computed nothing but what is expected, unless it is about how a process starts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numba
import pytest
import torch

from seamount.compiled import compiled
from seamount.errors import ConfigError
from tests.conftest import Once

Said = Callable[[str], str]

PROGRAMS = """
import importlib
import numpy as np
from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.neurons.delta import Delta
from seamount.compile.neurons.lif import Lif
from seamount.compile.neurons.resonator import DECAY_BITS
from seamount.compile.neurons.rf import Rf
from seamount.compile.neurons.sigma_delta import SigmaDelta
from seamount.compile.numbers import ints
from seamount.compile.program.program import Input, Population, Program, Readout
from seamount.compile.synapses.kinds import Conv, Dense, Synapses, Wire
from seamount.hardware_targets.simulator import simulate
from seamount.windows import Window

# even these are shared among threads, where there are several
importlib.import_module("seamount.hardware_targets.simulator.simulate").CALL_VALUES = 1

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
        Synapses("first", "in", "h", Conv(even(4, 2, 3, 3), Window(padding=(1, 1))), graded=True),
        Synapses("second", "h", "k", Conv(even(3, 4, 3, 3), Window(padding=(1, 1)))),
        Synapses("third", "k", "o", Dense(even(10, 243))),
    ),
    Readout("o", "v"),
    n_steps=6,
)

# changes meet a matrix, and messages the two parts of complex states
GRADED = Program(
    "graded",
    (Input("in", (2, 9, 9), 8),),
    (
        Population("d", (2, 9, 9), Delta(ints(3000), 6, 6)),
        Population("sd", (20,), SigmaDelta(ints(5000), ints(70), 6, 6)),
        Population("rf", (12,), Rf(ints(700), ints(3900), ints(2000), 3, DECAY_BITS)),
        Population("o", (10,), silent),
    ),
    (
        Synapses("zeroth", "in", "d", Wire()),
        Synapses("first", "d", "sd", Dense(even(20, 162)), exponent=-4, graded=True),
        Synapses("real", "sd", "rf", Dense(even(12, 20)), exponent=-6, graded=True, drive="real"),
        Synapses("imag", "sd", "rf", Dense(even(12, 20)), exponent=-6, graded=True, drive="imag"),
        Synapses("last", "rf", "o", Dense(even(10, 12))),
    ),
    Readout("o", "v"),
    n_steps=6,
)
RECORD = ("spikes", "states", "drive")

def inputs(batch):
    return np.random.default_rng(1).integers(0, 256, (6, batch, 2, 9, 9))

def expected(batch):
    return [run_definition(program, inputs(batch), record=RECORD) for program in (PROGRAM, GRADED)]

def n_wrong(batch, reference=None):
    runs = zip((PROGRAM, GRADED), reference or expected(batch), strict=True)
    return sum(differing(simulate(program, inputs(batch), record=RECORD), known) for program, known in runs)

def differing(found, known):
    assert found.traces().keys() == known.traces().keys()
    return int((found.readout != known.readout).sum()) + sum(
        int((found.traces()[what][name] != values).sum())
        for what, of in known.traces().items() for name, values in of.items()
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
        timeout=3600,
        check=False,
    )


def test_loops_that_are_not_to_be_compiled_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    with pytest.raises(ConfigError, match="NUMBA_DISABLE_JIT: switches off the compiler of the loops that simulate"):
        compiled(lambda: None)


def test_without_a_place_for_compiled_code_it_compiles_anew_and_says_so(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.write_text("")  # a file where a folder should be: closed to everybody, root too
    # the locators must be closed before the first compiled function is made
    closing = f"""
import numba.core.caching as caching
caching.InTreeCacheLocator.get_cache_path = lambda self: {str(closed / "pycache")!r}
"""
    simulating = """
dense = Synapses("dense", "in", "k", Dense(even(10, 162)), graded=True)  # each kernel takes seconds
small = Program("small", PROGRAM.inputs, (Population("k", (10,), counting),), (dense,), Readout("k", "v"), n_steps=6)
known = run_definition(small, inputs(2), record=RECORD)
print(differing(simulate(small, inputs(2), record=RECORD), known), known.spikes["k"].any())
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore:.*torch.jit.*", "-c", closing + PROGRAMS + simulating],
        env={k: v for k, v in os.environ.items() if k not in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR")}
        | {"HOME": str(closed), "NUMBA_CACHE_DIR": str(closed / "numba"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "True"]
    assert done.stderr.count("compiled code cannot be kept: neither") == 1
    assert "set NUMBA_CACHE_DIR to a folder that can be" in done.stderr


@pytest.mark.parametrize("n", ["0", "999"])
def test_any_number_of_threads_that_is_asked_for_changes_no_integer(n: str) -> None:
    done = python("print(n_wrong(16))", OMP_NUM_THREADS=n)
    assert done.stdout.split() == ["0"], done.stderr


SETTINGS = {
    "oneDNN off": "torch._C._set_mkldnn_enabled(False)",
    "oneDNN and NNPACK off": "torch._C._set_mkldnn_enabled(False); torch._C._set_nnpack_enabled(False)",
    "float64": "torch.set_default_dtype(torch.float64)",
    "bfloat16": "torch.set_default_dtype(torch.bfloat16)",
    "float16": "torch.set_default_dtype(torch.float16)",
    "device meta": "torch.set_default_device('meta')",
    "deterministic": "torch.use_deterministic_algorithms(True)",
    "denormals flushed": "torch.set_flush_denormal(True)",
    "products in bf16": "torch.set_float32_matmul_precision('medium')",
    "products in bf16, by the new name": "torch.backends.mkldnn.matmul.fp32_precision = 'bf16'",
    "autocast": "torch.autocast('cpu', torch.bfloat16).__enter__()",
    "inference": "torch.inference_mode().__enter__()",
    "anomalies looked for": "torch.autograd.detect_anomaly(check_nan=True).__enter__()",
    "two threads": "torch.set_num_threads(2)",
    "numpy raises": "np.seterr(all='raise')",
    "warnings are errors": "import warnings; warnings.simplefilter('error')",
    "float16 by autocast": "torch.autocast('cpu', torch.float16).__enter__()",
    "every call of torch seen by another": """
from torch.utils._python_dispatch import TorchDispatchMode
class Seen(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))
Seen().__enter__()
""",
    "a folder that is gone": "import tempfile; os.chdir(gone := tempfile.mkdtemp()); os.rmdir(gone)",
    "no environment": "os.environ.clear()",
    "no standard streams, but one": "sys.stderr = sys.stdin = None",
    "few levels of calls": "sys.setrecursionlimit(300)",
}

CASES = {
    **{
        f"setting {name}": f"{setting}\nprint([n_wrong(batch, known) for batch, known in references.items()])"
        for name, setting in SETTINGS.items()
    },
    "oneDNN off in between": """
print(n_wrong(16, references[16]), end=" ")
torch._C._set_mkldnn_enabled(False)
print(n_wrong(16, references[16]), end=" ")
torch._C._set_mkldnn_enabled(True)
print(n_wrong(16, references[16]))
""",
    "nothing left changed": """
import logging, random, signal, warnings
def state():
    return [
        torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate(), np.geterr(),
        torch.get_num_threads(), list(logging.root.handlers), logging.root.level, dict(os.environ), os.getcwd(),
        list(sys.argv), sys.stdout, sys.getrecursionlimit(), sys.excepthook,
        [signal.getsignal(number) for number in signal.valid_signals()],
    ]
before = state()
wrong = n_wrong(16, references[16])
print(wrong, [k for k, (a, b) in enumerate(zip(before, state())) if a != b])
""",
    # emulates a CPU that multiplies in bfloat16 where it may: a product in the wrong precision is a wrong integer
    "several threads": """
import sys, threading
from seamount.compile.arithmetic import products
from seamount.compile.arithmetic.products import matrix_sum
torch.set_num_threads(1)
sys.setswitchinterval(1e-5)
switch = torch.backends.mkldnn.matmul

class Emulated:
    def __getattr__(self, name):
        return getattr(torch.nn.functional, name)
    def linear(self, x, weights):
        if switch.fp32_precision == "bf16":
            x, weights = x.bfloat16().float(), weights.bfloat16().float()
        return torch.nn.functional.linear(x, weights)

products.F = Emulated()
switch.fp32_precision = "none"

def dense(low, bits, n):
    weights = np.random.default_rng(n).integers(-low, low + 1, (50, n))
    return Program("d", (Input("in", (n,), bits),), (Population("h", (50,), silent),),
        (Synapses("s", "in", "h", Dense(ints(weights)), graded=True),), Readout("h", "v"), n_steps=4)

def work(program, x, reference):
    for _ in range(150):
        tried.append(1)
        if (simulate(program, x).readout != reference).any():
            wrong.append(program)

wrong, tried, threads = [], [], []
for program, high in ((dense(127, 8, 200), 256), (dense(127, 10, 120), 1024)) * 2:  # narrow, then wide products
    x = np.random.default_rng(0).integers(0, high, (4, 8, *program.inputs[0].shape))
    reference = run_definition(program, x).readout
    threads.append(threading.Thread(target=work, args=(program, x, reference)))
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(tried), len(wrong), switch.fp32_precision, torch.backends.mkldnn.conv.fp32_precision)
""",
    "first runs": """
import threading
found, start = [], threading.Barrier(6)
def work():
    start.wait()
    found.append(n_wrong(16, references[16]))
threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(found)
""",
    **{
        f"fork after {first!r}": f"""
import signal
torch.set_num_threads(2)
{first}
child = os.fork()
if child == 0:
    signal.alarm(600)  # threads that a fork did not copy are waited for without end
    os._exit(n_wrong(64, references[64]) != 0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), n_wrong(64, references[64]), torch.get_num_threads())
"""
        for first in ("", "n_wrong(64)")
    },
    "fork in a sum": """
import signal, threading
from seamount.compile.arithmetic.precision import exactly
torch.set_num_threads(1)
matmul = torch.backends.mkldnn.matmul
before, inside, out = matmul.fp32_precision, threading.Event(), threading.Event()
def hold():
    with exactly(torch.device("cpu"), True):
        inside.set()
        out.wait()
holder = threading.Thread(target=hold)
holder.start()
inside.wait()
child = os.fork()
if child == 0:
    signal.alarm(600)
    os._exit(2 * (matmul.fp32_precision != before) + (n_wrong(2) != 0))
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
out.set()
holder.join()
print(code, matmul.fp32_precision == before)
""",
}

ONE_BY_ONE = f"""
import os, sys, traceback, torch
from numba.core.registry import cpu_target

cpu_target.target_context.refresh()  # half a second, which each fork would spend for its first kernel
references = {{batch: expected(batch) for batch in (1, 16, 64)}}
for name, code in {CASES!r}.items():
    if os.fork() == 0:
        print(name, end=": ", flush=True)
        try:
            exec(code, globals())
        except BaseException:
            print()  # the next case has a line of its own
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def said(once: Once) -> Said:
    """What each case prints, in a fork of a process that has imported all and simulated nothing yet."""

    def say(_: Path) -> str:
        done = python(ONE_BY_ONE, OMP_WAIT_POLICY="passive")  # otherwise two threads on a busy core wait by computing
        return json.dumps([done.stdout, done.stderr])

    stdout, stderr = json.loads(once("surroundings", say))
    found = dict(line.split(": ", 1) for line in stdout.splitlines() if ": " in line)

    def of(case: str) -> str:
        if "mkldnn.matmul" in CASES[case] and not hasattr(torch.backends.mkldnn, "matmul"):
            pytest.skip(f"torch {torch.__version__} has no such switch")
        assert found.get(case), stdout + stderr
        return found[case]

    return of


@pytest.mark.parametrize("chosen", SETTINGS)
def test_settings_of_the_process_change_no_integer(chosen: str, said: Said) -> None:
    assert said(f"setting {chosen}") == "[0, 0, 0]"


def test_a_run_leaves_the_process_as_it_was(said: Said) -> None:
    """Its seeds, too: nothing is drawn."""
    assert said("nothing left changed") == "0 []"


def test_onednn_switched_off_between_two_runs_changes_no_integer(said: Said) -> None:
    assert said("oneDNN off in between") == "0 0 0"


def test_runs_in_several_threads_are_exact_and_put_the_precision_back(said: Said) -> None:
    assert said("several threads") == "600 0 none none"


def test_the_first_runs_in_many_threads_at_once_are_exact(said: Said) -> None:
    assert said("first runs") == "[0, 0, 0, 0, 0, 0]"


@pytest.mark.parametrize("first", ["", "n_wrong(64)"])
def test_a_forked_process_simulates_whether_its_parent_had_threads_or_not(first: str, said: Said) -> None:
    assert said(f"fork after {first!r}") == "0 0 2"


def test_a_fork_while_another_thread_sums_leaves_the_child_free(said: Said) -> None:
    assert said("fork in a sum") == "0 True"
