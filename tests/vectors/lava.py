"""Replays recordings of Lava's fixed-point models: ``python -m tests.vectors.lava DIR``.

Each CASE.npz holds a graph of Lava processes (or the name of a .net file), its input, and u, v, s of the neurons and
a of the synapses after every step; or one process with what its ports received and sent (``processes.py``). Every
case is run by the definition and by every fast implementation, and every recorded value is compared. Lava orders maps
(W, H, C); ``graph.py`` is where that becomes our (C, H, W).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Program
from seamount.errors import SeamountError

from .graph import Replay, graph_replays
from .processes import process_replays

RECORD = ("spikes", "states", "drive")

Run = Callable[[Program, NDArray[np.int64], int], Activity]


@dataclass(frozen=True)
class Outcome:
    """What became of one case: values compared and differing, where, and the reason if it was refused."""

    name: str
    n_compared: int
    n_differing: int
    first: str = ""
    refused: str = ""


def implementations() -> dict[str, Run]:
    """Every implementation that must give the recorded integers, by name."""
    runs: dict[str, Run] = {"definition": lambda p, x, n: run_definition(p, x, n, RECORD)}
    try:
        from seamount.hardware_targets.simulator.simulate import Chunk, memory_needed, simulate
    except ModuleNotFoundError as missing:  # numpy alone is enough for the definition
        print(f"simulator left out: {missing}", file=sys.stderr)
        return runs
    runs["simulator"] = lambda p, x, n: simulate(p, x, n_steps=n, record=RECORD)

    def in_chunks(program: Program, inputs: Any, n_steps: int) -> Activity:
        limit = memory_needed(program, Chunk(steps=3, samples=1, sum_values=1 << 20))
        return simulate(program, inputs, n_steps=n_steps, record=RECORD, memory_limit_bytes=limit)

    runs["simulator, three steps at a time"] = in_chunks
    return runs


def replays(path: Path, meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> list[Replay]:
    """The programs that a case means: the same graph built in more than one way."""
    if "proc" in meta:
        return process_replays(path.stem, meta, arrays)
    if "net_file" in meta:
        from .net import net_replays  # h5py is needed for these alone

        return net_replays(path, meta, arrays)
    return graph_replays(meta.get("name", path.stem), meta["graph"], arrays)


def check_case(path: Path, runs: dict[str, Run]) -> Outcome:
    """Replay one file with every implementation and compare every recorded value."""
    with np.load(path, allow_pickle=False) as file:
        meta = json.loads(str(file["meta"]))
        arrays = {name: file[name] for name in file.files if name != "meta"}
    recorded = {
        name.removeprefix("r:"): values
        for name, values in arrays.items()
        if name.startswith(("r:", "out:", "state:"))
    }
    try:
        built = replays(path, meta, arrays)
    except SeamountError as error:
        return Outcome(path.stem, 0, 0, refused=str(error))
    n_compared = n_differing = 0
    first = ""
    seen: set[str] = set()
    for replay in built:
        for run_name, run in runs.items():
            activity = run(replay.program, replay.inputs, replay.n_steps)
            for name, expected in recorded.items():
                found = replay.trace(activity, name)
                if found is None:
                    continue
                seen.add(name)
                differing = np.argwhere(found != expected) if found.shape == expected.shape else [()]
                n_compared += expected.size
                n_differing += expected.size if found.shape != expected.shape else len(differing)
                if len(differing) and not first:
                    first = f"{run_name}, {replay.form}: {name}{_at(found, expected, differing[0])}"
    unseen = sorted(set(recorded) - seen)
    if unseen:
        return Outcome(path.stem, n_compared, n_differing, first, f"no trace for {', '.join(unseen)}")
    return Outcome(path.stem, n_compared, n_differing, first)


def _at(found: NDArray[Any], expected: NDArray[Any], index: Any) -> str:
    if found.shape != expected.shape:
        return f" has shape {found.shape}, recorded {expected.shape}"
    where = tuple(int(i) for i in index)
    return f" at neuron {where[:-1]} step {where[-1]}: {found[where]}, recorded {expected[where]}"


def outcomes(folder: Path, runs: dict[str, Run] | None = None) -> Iterator[Outcome]:
    """Every .npz file of a folder, one by one. A file that cannot be read or replayed counts as refused."""
    chosen = implementations() if runs is None else runs
    for path in sorted(folder.rglob("*.npz")):
        try:
            yield check_case(path, chosen)
        except (OSError, KeyError, ValueError, TypeError, IndexError) as error:
            yield Outcome(path.stem, 0, 0, refused=f"{type(error).__name__}: {error}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.vectors.lava", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of .npz recordings")
    folder = parser.parse_args(arguments).folder
    found = list(outcomes(folder))
    for outcome in found:
        if outcome.refused:
            print(f"{outcome.name}: refused: {outcome.refused}")
        if outcome.n_differing:
            print(f"{outcome.name}: {outcome.n_differing} of {outcome.n_compared} differ; first: {outcome.first}")
    n_refused = sum(bool(o.refused) for o in found)
    n_compared, n_differing = sum(o.n_compared for o in found), sum(o.n_differing for o in found)
    print(
        f"cases {len(found)}, values compared {n_compared}, values differing {n_differing}, cases refused {n_refused}"
    )
    return 0 if found and n_compared and not n_differing and not n_refused else 1


if __name__ == "__main__":
    sys.exit(main())
