"""Runs any program on Lava 0.10.0 in fixed point, in a process of its own, and reads it back as an ``Activity``."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.compile.arithmetic.inputs import check_inputs, default_steps, n_samples, readout_window
from seamount.compile.program.activity import Activity, check_record, states_to_record
from seamount.compile.program.program import Program
from seamount.compile.program.readout import Quantity, read_on
from seamount.compile.program.streaming import why_not_streamed
from seamount.errors import BackendMissing, ConfigError

from ..watched import LONGEST_S, watched
from . import plain_lava
from .lower import lava_graph
from .shim import require_lava
from .stream import Schedule, fresh_schedule, streamed_schedule

Array = NDArray[Any]

LEAST_FREE = 1 << 16
"""Bytes; on a disk with less Lava's processes write down neither results nor why they ended."""

SOCKETS_IN = 70
"""Bytes of a folder in which Python's processes still make their sockets: a name has 107, 33 of them are theirs."""

WRITING_S = 10
"""In which a process that has opened error.txt, and waits for its turn on a busy machine, writes into it."""


def run_on_lava(
    program: Program,
    inputs: Any,
    *,
    n_steps: int | None = None,
    record: Collection[str] = ("spikes", "v"),
    streamed: bool | None = None,
    time_limit_s: float = 600.0,
) -> Activity:
    """Run a program on Lava's fixed-point process models; what comes back means what ``simulate`` means.

    All samples go through one Lava runtime, in one of two ways:

    * *started afresh*: every sample runs ``n_steps`` steps from the initial state, each Lava process putting back its
      own state (u, v, synapse buffers, delay lines) when a sample begins. Every value of every step equals
      ``simulate``.
    * *streamed*: samples follow each other without a pause, as on the chip, and only the program's own resets
      (LIFReset) separate them. A population then shows a sample in its window, steps [a, a + n_steps) with a its
      arrival, and **only there traces are comparable** (``compare_runs``). Outside of it they are 0; spike counts and
      final states are those of the window.

    For the raw stream of a whole session, pass it as one sample: inputs (T, 1, *shape) and ``n_steps=T``.

    Args:
        inputs: as for ``simulate``: (T, B, *shape), or a mapping from name to such arrays.
        n_steps: of one sample's run; default as for ``simulate``. Streamed runs have no choice.
        record: of "spikes" and the states by name ("v", "u", ...; "states": all of them).
        streamed: None streams where that is exact and there is more than one sample.
        time_limit_s: Lava is stopped after it [s].

    Raises:
        ConfigError: a time limit or a record that there is not.
        BackendMissing: Lava is not installed, stopped with an error, or did not answer in time.
        Unsupported: Lava cannot hold the program exactly.
    """
    check_record(program, record)
    if "drive" in record:
        raise ConfigError("cannot record drive", where="Lava", possible="possible are spikes and states")
    if not 0 < time_limit_s <= LONGEST_S:
        raise ConfigError(f"{time_limit_s:g} s", where="time limit", possible=f"possible are up to {LONGEST_S:g} s")
    require_lava()
    steps = default_steps(program, inputs) if n_steps is None else n_steps
    values = check_inputs(program, inputs, steps)
    batch = n_samples(values)
    obstacle = why_not_streamed(program) if n_steps is None else "the number of steps is given"
    if streamed and obstacle:
        raise ConfigError(f"{program.name} cannot be streamed: {obstacle}", where="Lava")
    stream = streamed or (streamed is None and obstacle is None and batch > 1)
    schedule = streamed_schedule(program, steps) if stream else fresh_schedule(program, steps)
    with tempfile.TemporaryDirectory(prefix="seamount-lava-") as name:
        folder = Path(name)
        write_job(folder, program, schedule, record)
        save_inputs(folder, values)
        supervise(folder, time_limit_s)
        return _activity(program, schedule, plain_lava.traces(folder), batch, record)


def save_inputs(folder: Path, values: Mapping[str, Array]) -> None:
    """inputs.npz, whatever the inputs are called (``np.savez`` takes no array of the name "file")."""
    with zipfile.ZipFile(folder / "inputs.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in values.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array.astype(np.int32), allow_pickle=False)


def write_job(folder: Path, program: Program, schedule: Schedule, record: Collection[str]) -> None:
    """Write down all that ``plain_lava.py`` needs but the inputs, and the script itself, as run.py.

    Raises:
        Unsupported: Lava cannot hold the program exactly.
    """
    graph = lava_graph(program)
    keys = list(graph.nodes)
    nodes = []
    arrays: dict[str, Any] = {}
    for i, (key, node) in enumerate(graph.nodes.items()):
        is_population = key.startswith("population/")
        start, length = schedule.windows[node.name] if is_population else (0, 0)
        nodes.append(
            {
                "name": node.name,
                "type": node.type,
                "is_whc": node.is_whc,
                "settings": dict(node.settings),
                "arrays": list(node.arrays),
                "initial": dict(node.initial),
                "variables": dict(node.variables),
                "records": _records(program, node.name, record) if is_population else [],
                "start": start,
                "length": length,
            }
        )
        arrays |= {f"{i}.{name}": value for name, value in node.arrays.items()}
    network = {
        "program": program.name,
        "steps": schedule.n_steps,
        "period": schedule.period,
        "restart": schedule.restart,
        "nodes": nodes,
        # by place, because names of a program may be anything, and keys of an archive may not
        "edges": [[keys.index(e.source), keys.index(e.target), list(e.changes), e.port] for e in graph.edges],
    }
    (folder / "network.json").write_text(json.dumps(network, indent=1, default=int), encoding="utf-8")
    np.savez(folder / "arrays.npz", **arrays)
    (folder / "run.py").write_text(Path(plain_lava.__file__).read_text(encoding="utf-8"), encoding="utf-8")


def _records(program: Program, name: str, record: Collection[str]) -> list[str]:
    """What a population writes down: what was asked for, what the readout needs, counts and last states always."""
    states = program.population(name).neuron.shown
    wanted = asked_for(program, name, record)
    if program.readout is not None and program.readout.population == name:
        wanted.append(_read_from(program.readout.quantity, states))
    return [*dict.fromkeys(wanted), "counts", *(f"last_{state}" for state in states)]


def asked_for(program: Program, name: str, record: Collection[str]) -> list[str]:
    """Traces of a population that ``record`` means and Lava shows."""
    states = states_to_record(program.population(name).neuron, record)
    return [*(["spikes"] if "spikes" in record else []), *states]


def _read_from(quantity: Quantity, states: Collection[str]) -> str:
    """The trace that an answer is read of: what has no v is read by what it sends."""
    return "v" if quantity != "count" and "v" in states else "spikes"


def _activity(
    program: Program,
    schedule: Schedule,
    traces: Mapping[str, Mapping[str, Array]],
    batch: int,
    record: Collection[str],
) -> Activity:
    asked: dict[str, dict[str, Array]] = {}
    for population in program.populations:
        for trace in asked_for(program, population.name, record):
            asked.setdefault(trace, {})[population.name] = traces[trace][population.name]
    return Activity(
        n_steps=schedule.n_steps,
        n_samples=batch,
        spikes=asked.pop("spikes", {}),
        states=asked,
        readout=_readout(program, traces, schedule.n_steps),
        spike_counts=traces["counts"],
        final_states={
            name.removeprefix("last_"): found for name, found in traces.items() if name.startswith("last_")
        },
    )


def _readout(program: Program, traces: Mapping[str, Mapping[str, Array]], n_steps: int) -> Array | None:
    if program.readout is None:
        return None
    name = program.readout.population
    start, end = readout_window(program, n_steps)
    trace = traces[_read_from(program.readout.quantity, program.population(name).neuron.shown)][name]
    if end <= start:  # a run that ends before the sample arrives reads nothing
        return np.zeros(trace.shape[1:], np.int64)
    return read_on(program.readout.quantity, None, trace[start:end])


# ------------------------------------------------------------------------------------------------ the process


def supervise(folder: Path, time_limit_s: float) -> None:
    """Run the folder's script to its end, or end its process group: Lava hangs when one of its processes dies."""
    # each of Lava's processes would start threads for all cores, and they only wait for each other
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    if len(os.fsencode(folder)) <= SOCKETS_IN:  # what its processes talk through then goes with the folder
        environment["TMPDIR"] = str(folder)
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            watched(folder, time_limit_s, folder / "run.py", str(folder), "--quiet"),
            stdin=subprocess.PIPE,  # closed when this process ends, however it ends; Lava's ends with it
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            start_new_session=True,  # a group of its own, so that all of Lava's processes can be ended together
        )
        try:
            _wait(process, folder, time_limit_s)
        finally:
            _end_group(process)


def _wait(process: subprocess.Popen[bytes], folder: Path, time_limit_s: float) -> None:
    deadline = time.monotonic() + time_limit_s
    while process.poll() is None and not (folder / "error.txt").exists():
        if time.monotonic() > deadline:
            raise BackendMissing(
                f"not done within {time_limit_s:g} s", where="Lava", ways_out="allow more time or send fewer samples"
            )
        time.sleep(0.02)
    if (error := folder / "error.txt").exists():
        _check_space(folder)
        deadline = time.monotonic() + WRITING_S
        while error.stat().st_size == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        lines = error.read_text(encoding="utf-8").strip().splitlines()
        raise BackendMissing(lines[0] if lines else "stopped with an error", where="Lava")
    if process.returncode or not (folder / "done").exists():
        last = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        _check_space(folder)
        raise BackendMissing(
            f"the process ended with code {process.returncode} before the run was done"
            f"{': ' + last[0] if last else ''}",
            where="Lava",
        )


def _check_space(folder: Path) -> None:
    """A full disk is said to be one: Lava's processes had no place to say so."""
    if shutil.disk_usage(folder).free < LEAST_FREE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.parent))


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ends what is left of Lava's processes; after a run that went well nothing is."""
    went_well = process.poll() == 0
    # Terminate first: Python's resource tracker outlives it, and removes the shared memory of the others.
    for kind in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, kind)
        if kind is signal.SIGTERM and not went_well:
            time.sleep(0.5)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()
