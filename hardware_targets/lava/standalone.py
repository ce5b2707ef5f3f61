"""Writes a folder that runs a program on Lava without Seamount: numbers, one script, a README."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from seamount.compile.arithmetic.inputs import check_inputs, default_steps
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Program
from seamount.compile.program.readout import told
from seamount.errors import InputError
from seamount.files import make_folder

from .run import asked_for, save_inputs, write_job
from .shim import INSTALL
from .stream import fresh_schedule

README = """# {name} on Lava

A spiking network in integers, to be run by Lava 0.10.0's fixed-point models. Nothing else of the tool that wrote it
is needed.

    {install}
    python run.py

* `network.json`, `arrays.npz`: the Lava processes, their parameters and their connections.
* `inputs.npz`: {inputs}. Write your own there: one integer array for each input,
  shape (steps, samples, then the input's shape, maps as channels, height, width); a run takes {steps} steps a sample
  and the input is silent after its own; what only Delta neurons hear keeps its last frame, whose end is no change.
* `run.py`: builds the processes, runs every sample from the initial state, and records. It also holds the two repairs
  that Lava 0.10.0 needs on Python 3.11 and later and on numpy 2.4 and later; nothing on disk is changed.
* `results/`: what was recorded. In Python: `from run import traces; traces(Path("."))["spikes"]`.
* `expected.npz`{expected}.

The inputs are {entries}. The answer is {readout}.

## The network

```
{program}
```
"""


def write_standalone(
    program: Program,
    folder: str | Path,
    inputs: Any = None,
    *,
    n_steps: int | None = None,
    expected: Activity | None = None,
    record: Collection[str] = ("spikes", "v"),
) -> Path:
    """Write a program as a folder with a plain Lava script; returns the folder.

    Args:
        inputs: as for ``run_on_lava``; without them the folder waits for an ``inputs.npz``.
        n_steps: of one sample; default as for ``simulate``.
        expected: a run of the same inputs (by ``simulate``); the script compares its traces with it, value by value.

    Raises:
        InputError: the folder holds something else already, or nothing says how many steps a sample takes.
        Unsupported: Lava cannot hold the program exactly.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError("exists and is not an empty folder", where=folder, ways_out="name another")
    if n_steps is None:
        n_steps = program.steps_per_run() if inputs is None else default_steps(program, inputs)
    values = None if inputs is None else check_inputs(program, inputs, n_steps)
    make_folder(folder)
    write_job(folder, program, fresh_schedule(program, n_steps), record)
    if values is not None:
        save_inputs(folder, values)
    if expected is not None:
        found: dict[str, Any] = {
            f"{quantity}:{name}": trace
            for quantity, traces in expected.traces().items()
            for name, trace in traces.items()
            if quantity in asked_for(program, name, record)  # never the drive, which Lava does not show
        }
        np.savez_compressed(folder / "expected.npz", **found)
    (folder / "README.md").write_text(
        _readme(program, n_steps, values is not None, expected is not None), encoding="utf-8"
    )
    return folder


def _readme(program: Program, n_steps: int, has_inputs: bool, has_expected: bool) -> str:
    entries = ", ".join(
        f"`{i.name}` {'x'.join(map(str, i.shape))} ({'0 or 1' if i.bits == 0 else f'{i.low} to {i.high}'})"
        for i in program.inputs
    )
    readout = "not named"
    if program.readout is not None:
        readout = f"{told(program.readout.quantity)} of `{program.readout.population}`"
    return README.format(
        name=program.name,
        install=INSTALL.replace(" && ", "\n    "),
        inputs=_inputs_told(program, has_inputs),
        steps=n_steps,
        expected=": what the simulator computed; `run.py` says how many values differ"
        if has_expected
        else " is absent",
        entries=entries or "none",
        readout=readout,
        program=program,
    )


def _inputs_told(program: Program, has_inputs: bool) -> str:
    if not program.inputs:
        return "not needed, the program has no input"
    return "samples that were written with it" if has_inputs else "is not there yet"
