"""Replays recordings of Lava and its relatives: ``python -m tests.vectors.lava DIR [--net CASE=FILE]``.

Each CASE.npz below DIR is one of

* a graph of Lava processes (or a .net file with netx's arguments), its input, and u, v, s of the neurons and a of the
  synapses after every step (``graph.py``; ``meta`` has ``graph``, or ``net_file`` too);
* one process with what its ports received and sent (``processes.py``; ``meta`` has ``proc``);
* a whole network beside its .net file, recorded by netx in Lava or by slayer (``net.py``; no ``meta``, but ``x``);
  a network that is not there is told before the first case is replayed;
* blocks of nengo-loihi's emulator (``nengo.py``; ``meta`` has ``blocks``).

Every case is run by the definition and by every fast implementation, and every recorded value is compared. Lava
orders maps (W, H, C); ``graph.py`` is where that becomes our (C, H, W). A case that cannot be compared whole is
refused with the reason. Exit code 0: everything was compared and nothing differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Program
from seamount.errors import InputError, SeamountError
from seamount.foreign.arrays import read_npz

from .graph import Arrays, Replay, graph_replays
from .nengo import nengo_replays
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


@dataclass(frozen=True)
class Case:
    """What a file asks for: the same recorded values from every replay that shows them."""

    replays: list[Replay]
    recorded: Arrays


def read_case(path: Path, net: Path | None = None) -> Case:
    """The programs that a file means, and what was recorded of them.

    Args:
        net: the .net file of a whole network that stands somewhere else.
    """
    packed = read_npz(path)
    arrays = {name: packed[name] for name in packed if name != "meta"}
    if "meta" not in packed:
        from .net import NET, network_replays  # h5py is needed for these alone

        recorded = {name: values for name, values in arrays.items() if name not in ("x", NET)}
        return Case(network_replays(path, arrays, net), recorded)
    meta = json.loads(str(packed["meta"]))
    if not isinstance(meta, dict):
        raise InputError("meta is no JSON object")
    if "blocks" in meta:
        return Case(*nengo_replays(path.stem, meta, arrays))
    recorded = {
        name.removeprefix("r:"): values
        for name, values in arrays.items()
        if name.startswith(("r:", "out:", "state:"))
    }
    if "proc" in meta:
        return Case(process_replays(path.stem, meta, arrays), recorded)
    if "net_file" in meta:
        from .net import net_replays

        return Case(net_replays(path, meta, arrays), recorded)
    return Case(graph_replays(meta.get("name", path.stem), meta["graph"], arrays), recorded)


def check_case(path: Path, runs: dict[str, Run], net: Path | None = None) -> Outcome:
    """Replay one file with every implementation and compare every recorded value.

    Raises:
        SeamountError: it cannot be replayed.
    """
    case = read_case(path, net)
    n_compared = n_differing = 0
    first = ""
    seen: set[str] = set()
    for replay in case.replays:
        for run_name, run in runs.items():
            activity = run(replay.program, replay.inputs, replay.n_steps)
            for name, expected in case.recorded.items():
                found = replay.trace(activity, name)
                if found is None:
                    continue
                seen.add(name)
                differing = np.argwhere(found != expected) if found.shape == expected.shape else [()]
                n_compared += expected.size
                n_differing += expected.size if found.shape != expected.shape else len(differing)
                if len(differing) and not first:
                    first = f"{run_name}, {replay.form}: {name}{_at(found, expected, differing[0])}"
    unseen = sorted(set(case.recorded) - seen)
    told = f"no trace for {', '.join(unseen)}" if unseen else "" if seen else "nothing was recorded"
    return Outcome(path.stem, n_compared, n_differing, first, told)


def _at(found: NDArray[Any], expected: NDArray[Any], index: Any) -> str:
    if found.shape != expected.shape:
        return f" has shape {found.shape}, recorded {expected.shape}"
    where = tuple(int(i) for i in index)
    return f" at index {where}: {found[where]}, recorded {expected[where]}"


def outcomes(
    folder: Path, runs: dict[str, Run] | None = None, nets: Mapping[str, Path] | None = None
) -> Iterator[Outcome]:
    """Every .npz file of a folder, one by one. A file that cannot be read or replayed counts as refused."""
    chosen = implementations() if runs is None else runs
    for path in sorted(folder.rglob("*.npz")):
        try:
            yield check_case(path, chosen, (nets or {}).get(path.stem))
        except KeyError as error:
            yield Outcome(path.stem, 0, 0, refused=f"{error.args[0]} is missing")
        except SeamountError as error:
            yield Outcome(path.stem, 0, 0, refused=str(error))
        except (OSError, ValueError, TypeError, IndexError, AttributeError) as error:
            yield Outcome(path.stem, 0, 0, refused=f"{type(error).__name__}: {error}")


def without_network(folder: Path, nets: Mapping[str, Path]) -> Iterator[str]:
    """Recordings of whole networks whose .net file is not there, and how it is named."""
    from .net import NET, net_of

    for path in sorted(folder.rglob("*.npz")):
        try:
            packed = read_npz(path)
            if "meta" not in packed and path.stem not in nets:
                net_of(path, {NET: packed[NET]} if NET in packed else {})
        except InputError as error:
            yield f"{path.stem}: {error}"


def named_net(text: str) -> tuple[str, Path]:
    case, equals, file = text.partition("=")
    if not (case and equals and file):
        raise argparse.ArgumentTypeError(f"{text!r} is not CASE=FILE")
    return case, Path(file)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.vectors.lava",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of .npz recordings")
    parser.add_argument(
        "--net",
        type=named_net,
        action="append",
        default=[],
        metavar="CASE=FILE",
        help="the .net file of CASE.npz, if it does not stand beside it",
    )
    chosen = parser.parse_args(arguments)
    if not chosen.folder.is_dir():
        parser.error(f"{chosen.folder} is no folder")
    nets = dict(chosen.net)
    for told in without_network(chosen.folder, nets):  # at once: the others take minutes
        print(told, file=sys.stderr, flush=True)
    found = list(outcomes(chosen.folder, nets=nets))
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
