"""Feeds damaged and hostile files to the readers: ``python -m tests.fuzz.readers N`` tries N of them.

NIR, program and .net files are truncated, flipped, overwritten, and edited inside (absent keys, wrong types, NaN,
zero and negative time constants, cycles, huge shapes, hostile names). Each reader must return or raise a
SeamountError within 10 s and 2 GiB; a program that loads must be the one that was saved. Files are read in a child
process, so that a crash of the HDF5 library would be seen, too.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import itertools
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np

KINDS = ("nir", "program", "net")
SECONDS = 10
"""Of CPU, because on a machine that others use they pass while nothing is read."""
LONGEST_S = 900
"""By the clock: of a reader that waits and does not compute."""
MEMORY_BYTES = 2 << 30


# ---------------------------------------------------------------------------------------------- whole files


def write_originals(folder: Path) -> dict[str, list[Path]]:
    """Whole files of every kind."""
    from seamount.compile.nir.read import Discretisation, NirOptions, read_nir
    from seamount.compile.pipeline import compile_graph
    from seamount.compile.program.file import save_program
    from seamount.hardware_targets.lava import write_net

    nirs = [
        _dense(folder / "dense.nir"),
        _maps(folder / "maps.nir"),
        _head(folder / "head.nir"),
        _nested(folder / "nested.nir"),
        _lines(folder / "lines.nir"),
        _pooled(folder / "pooled.nir"),
    ]
    programs, nets = [], []
    for path, readout in zip(nirs[:3], ("lif2:max", "li:mean", "output:sum"), strict=True):
        network = read_nir(path, NirOptions(discretisation=Discretisation(dt=1e-3), n_steps=8, readout=readout))
        program = compile_graph(network).program
        programs.append(path.with_suffix(".h5"))
        save_program(program, programs[-1])
    network = read_nir(
        _dense(folder / "chain.nir", recurrent=False), NirOptions(discretisation=Discretisation(dt=1e-3))
    )
    nets.append(folder / "chain.net")
    write_net(compile_graph(network).program, nets[-1])
    return {"nir": nirs, "program": programs, "net": nets}


def _write(path: Path, nodes: dict[str, tuple[str, dict[str, Any]]], edges: list[tuple[str, str]]) -> Path:
    with h5py.File(path, "w") as file:
        file["version"] = "1.0.8"
        root = file.create_group("node")
        _graph(root, nodes, edges)
        file["node/metadata/discretization/dt"] = 1e-3
        file["node/metadata/discretization/reset"] = "value"
        file["node/metadata/seamount/n_steps"] = 8
    return path


def _graph(group: h5py.Group, nodes: dict[str, tuple[str, dict[str, Any]]], edges: list[tuple[str, str]]) -> None:
    group["type"] = "NIRGraph"
    group.create_dataset("edges", data=np.array(edges, dtype=h5py.string_dtype()))
    for name, (kind, values) in nodes.items():
        node = group.require_group("nodes").create_group(name)
        if kind == "NIRGraph":
            _graph(node, values["nodes"], values["edges"])
            continue
        node["type"] = kind
        for key, value in values.items():
            array = np.asarray(value)
            options = {"compression": "gzip"} if array.ndim and array.dtype.kind == "f" else {}
            node.create_dataset(key, data=value, **options)


def _lif(n: int | tuple[int, ...]) -> tuple[str, dict[str, Any]]:
    f = np.ones(n)
    return "LIF", {"tau": f * 0.01, "r": f, "v_leak": f * 0, "v_threshold": f, "v_reset": f * 0}


def _dense(path: Path, recurrent: bool = True) -> Path:
    rng = np.random.default_rng(0)
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "input": ("Input", {"shape": np.array([4])}),
        "fc1": ("Linear", {"weight": rng.normal(size=(6, 4))}),
        "lif1": _lif(6),
        "fc2": ("Affine", {"weight": rng.normal(size=(3, 6)), "bias": np.zeros(3)}),
        "lif2": _lif(3),
        "output": ("Output", {"shape": np.array([3])}),
    }
    names = list(nodes)
    edges = list(itertools.pairwise(names))
    if recurrent:
        nodes["rec"] = ("Linear", {"weight": rng.normal(size=(6, 6))})
        edges += [("lif1", "rec"), ("rec", "lif1")]
    return _write(path, nodes, edges)


def _maps(path: Path) -> Path:
    rng = np.random.default_rng(1)
    conv = {"stride": np.array([1, 1]), "padding": np.array([1, 1]), "dilation": np.array([1, 1]), "groups": 1}
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "input": ("Input", {"shape": np.array([2, 8, 8])}),
        "conv": (
            "Conv2d",
            {"weight": rng.normal(size=(3, 2, 3, 3)), "bias": np.zeros(3), "input_shape": np.array([8, 8]), **conv},
        ),
        "if": ("IF", {"r": np.full((3, 8, 8), 1000.0), "v_threshold": np.ones((3, 8, 8))}),
        "pool": (
            "AvgPool2d",
            {"kernel_size": np.array([2, 2]), "stride": np.array([2, 2]), "padding": np.array([0, 0])},
        ),
        "flat": ("Flatten", {"input_type": np.array([3, 4, 4]), "start_dim": 0, "end_dim": -1}),
        "fc": ("Affine", {"weight": rng.normal(size=(5, 48)), "bias": rng.normal(size=5)}),
        "li": ("LI", {"tau": np.full(5, 0.01), "r": np.ones(5), "v_leak": np.zeros(5)}),
        "output": ("Output", {"shape": np.array([5])}),
    }
    names = list(nodes)
    return _write(path, nodes, list(itertools.pairwise(names)))


def _head(path: Path) -> Path:
    """A head without neurons, and a file that says how it is read."""
    rng = np.random.default_rng(2)
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "input": ("Input", {"shape": np.array([4])}),
        "fc": ("Linear", {"weight": rng.normal(size=(6, 4))}),
        "lif": _lif(6),
        "scale": ("Scale", {"scale": np.full(6, 2.0)}),
        "head": ("Affine", {"weight": rng.normal(size=(3, 6)), "bias": rng.normal(size=3)}),
        "flat": ("Flatten", {"input_type": np.array([3]), "start_dim": 0, "end_dim": -1}),
        "output": ("Output", {"shape": np.array([3])}),
    }
    _write(path, nodes, list(itertools.pairwise(nodes)))
    with h5py.File(path, "a") as file:
        file["node/metadata/seamount/readout"] = "output"
        file["node/metadata/seamount/readout_quantity"] = "mean"
    return path


def _nested(path: Path) -> Path:
    cuba = {"tau_syn": 0.005, "tau_mem": 0.01, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "w_in": 2.0}
    inner: dict[str, tuple[str, dict[str, Any]]] = {
        "input": ("Input", {"shape": np.array([4])}),
        "scale": ("Scale", {"scale": np.ones(4) * 2}),
        "cuba": ("CubaLIF", cuba),
        "output": ("Output", {"shape": np.array([4])}),
    }
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "in": ("Input", {"shape": np.array([4])}),
        "block": ("NIRGraph", {"nodes": inner, "edges": [("input", "scale"), ("scale", "cuba"), ("cuba", "output")]}),
        "delay": ("Delay", {"delay": np.full(4, 0.002)}),
        "lif": _lif(4),
        "out": ("Output", {"shape": np.array([4])}),
    }
    return _write(
        path, nodes, [("in", "block"), ("block", "delay"), ("delay", "lif"), ("block", "lif"), ("lif", "out")]
    )


def _lines(path: Path) -> Path:
    rng = np.random.default_rng(3)
    conv = {"stride": np.array([1]), "padding": np.array([1]), "dilation": np.array([1]), "groups": 1}
    cuba = {"tau_syn": np.full(2, 0.005), "tau_mem": np.full(2, 0.01), "r": np.ones(2), "v_leak": np.zeros(2)}
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "input": ("Input", {"shape": np.array([2, 9])}),
        "conv": ("Conv1d", {"weight": rng.normal(size=(3, 2, 3)), "bias": np.zeros(3), "input_shape": 9, **conv}),
        "if": ("IF", {"r": np.full((3, 9), 1000.0), "v_threshold": np.ones((3, 9))}),
        "same": ("Identity", {}),
        "flat": ("Flatten", {"input_type": np.array([3, 9]), "start_dim": 0, "end_dim": -1}),
        "fc": ("Linear", {"weight": rng.normal(size=(2, 27))}),
        "cubali": ("CubaLI", {**cuba, "w_in": np.ones(2)}),
        "output": ("Output", {"shape": np.array([2])}),
    }
    return _write(path, nodes, list(itertools.pairwise(nodes)))


def _pooled(path: Path) -> Path:
    """Max-pooling of spikes, and an integrator."""
    rng = np.random.default_rng(4)
    windows = {"kernel_size": np.array([2, 2]), "stride": np.array([2, 2]), "padding": np.array([0, 0])}
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "input": ("Input", {"shape": np.array([2, 4, 4])}),
        "sum": ("SumPool2d", windows),
        "any": ("Threshold", {"threshold": np.full((2, 2, 2), 0.5)}),
        "flat": ("Flatten", {"input_type": np.array([2, 2, 2]), "start_dim": 0, "end_dim": -1}),
        "fc": ("Linear", {"weight": rng.normal(size=(3, 8))}),
        "i": ("I", {"r": np.ones(3)}),
        "output": ("Output", {"shape": np.array([3])}),
    }
    return _write(path, nodes, list(itertools.pairwise(nodes)))


# ------------------------------------------------------------------------------------------------ mutations


def mutated(original: bytes, path: Path, rng: np.random.Generator) -> str:
    """Writes a changed copy to ``path`` and says how it was changed."""
    if rng.random() < 0.45:
        name, content = _bytes_changed(original, rng)
        path.write_bytes(content)
        return name
    path.write_bytes(original)
    names = []
    with (
        contextlib.suppress(OSError, KeyError, ValueError, TypeError, RuntimeError, IndexError),
        h5py.File(path, "a") as file,
    ):
        for _ in range(int(rng.integers(1, 4))):
            names.append(_edited(file, rng))
    return "+".join(names) or "unchanged"


def _bytes_changed(original: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    content = bytearray(original)
    n = len(content)
    match int(rng.integers(6)):
        case 0:
            return "truncated", bytes(content[: int(rng.integers(0, n))])
        case 1:
            for _ in range(int(rng.integers(1, 20))):
                content[int(rng.integers(n))] ^= 1 << int(rng.integers(8))
            return "bits flipped", bytes(content)
        case 2:
            start, length = int(rng.integers(n)), int(rng.integers(1, 200))
            content[start : start + length] = rng.bytes(min(length, n - start))
            return "block overwritten", bytes(content)
        case 3:
            start, length = int(rng.integers(n)), int(rng.integers(1, 2000))
            content[start : start + length] = bytes(min(length, n - start))
            return "block zeroed", bytes(content)
        case 4:
            start = int(rng.integers(n))
            return "bytes inserted", bytes(content[:start]) + rng.bytes(int(rng.integers(1, 64))) + bytes(
                content[start:]
            )
        case _:
            at = int(rng.integers(0, max(1, n - 8)))
            content[at : at + 8] = (2**63 - 1, 2**64 - 1, 2**32, 0, 2**40)[int(rng.integers(5))].to_bytes(8, "little")
            return "length forged", bytes(content)


HOSTILE_NAMES = ("..", "a" * 5000, "\u202e", "x\ny", "lif1.input", " ", "🧨", "node", "type")
HOSTILE_VALUES: tuple[Any, ...] = (
    np.nan,
    np.inf,
    -np.inf,
    0.0,
    -1.0,
    1e300,
    1e-300,
    2**62,
    -(2**62),
    "text",
    "",
    b"\xff\xfe",
    1 + 2j,
    True,
    np.zeros(0),
    np.zeros((0, 3)),
    np.ones((3, 3, 3, 3)),
    np.array([2**40, 2**40]),
    np.array([-1, 5]),
    np.full(7, np.nan),
    np.array(["a", "b"], dtype=h5py.string_dtype()),
)


READOUTS = (None, None, None, None, None, ":max", ":sum", ":mean", ":last", "output:final", ":", "a:b:c")
"""Asked for in turn; those without a name fit every file with one Output."""


def _names(file: h5py.File) -> tuple[list[str], list[str]]:
    """Paths of all groups and of all datasets."""
    names: list[str] = []
    file.visit(names.append)
    groups = [name for name in names if isinstance(file[name], h5py.Group)]
    return ["/", *groups], [name for name in names if name not in groups]


def _edited(file: h5py.File, rng: np.random.Generator) -> str:
    """One change of the content."""
    groups, datasets = _names(file)
    group = file[str(rng.choice(groups))]
    name = str(rng.choice(datasets)) if datasets else "x"
    match int(rng.integers(11)):
        case 0:
            del file[name]
            return "value removed"
        case 1 | 2 | 3:
            del file[name]
            file[name] = HOSTILE_VALUES[int(rng.integers(len(HOSTILE_VALUES)))]
            return "value replaced"
        case 4:
            array = np.array(file[name][()]) if file[name].size and file[name].size < 1 << 16 else np.zeros(0)
            if array.dtype.kind in "iuf" and array.size:
                flat = array.reshape(-1)
                flat[int(rng.integers(flat.size))] = (
                    rng.choice([0, 1, 127, -1])
                    if array.dtype.kind != "f"
                    else (rng.choice([np.nan, np.inf, 0.0, -1.0, 1e30]))
                )
                file[name][...] = array
            return "element changed"
        case 5:
            del file[name]
            shape = [(1 << 40,), (1 << 20, 1 << 20), (1 << 31, 4), (1 << 16, 1 << 10)][int(rng.integers(4))]
            file.create_dataset(name, shape, dtype="f8", chunks=(1 << 10,) * len(shape), compression="gzip")
            return "huge shape"
        case 6:
            target = file[str(rng.choice(groups))]
            group[HOSTILE_NAMES[int(rng.integers(len(HOSTILE_NAMES)))]] = target
            return "group linked again"
        case 7:
            link = h5py.SoftLink(name) if rng.random() < 0.5 else h5py.ExternalLink("other.h5", "/node")
            group[f"link{rng.integers(100)}"] = link
            return "foreign link"
        case 8:
            if "node/edges" in file:
                edges = file["node/edges"].asstr()[()]
                names = [*list(file["node/nodes"]), "ghost", "block.cuba", ""]
                edges[int(rng.integers(len(edges))), int(rng.integers(2))] = str(rng.choice(names))
                more = [(str(rng.choice(names)), str(rng.choice(names))) for _ in range(int(rng.integers(4)))]
                del file["node/edges"]
                rows = [*map(tuple, edges), *more]
                file.create_dataset("node/edges", data=np.array(rows, dtype=h5py.string_dtype()))
            return "edges changed"
        case 9:
            source, moved = str(rng.choice(groups)), HOSTILE_NAMES[int(rng.integers(len(HOSTILE_NAMES)))]
            if source != "/":
                file.move(source, f"{source.rsplit('/', 1)[0]}/{moved}")
            return "group renamed"
        case _:
            for key in list(group.attrs):
                group.attrs[key] = [1, "x", b"\x00", 2**40, np.nan][int(rng.integers(5))]
            return "attributes changed"


# --------------------------------------------------------------------------------------------------- trying


def try_reading(path: Path, kind: str, original: Any, inspect: bool) -> str:
    """ "accepted" or "refused"; anything else is what went wrong."""
    from seamount.compile.inspect import inspect_file
    from seamount.compile.lower.scale_search import SearchOptions
    from seamount.compile.net.read import read_net
    from seamount.compile.nir.read import Discretisation, NirOptions, read_nir
    from seamount.compile.pipeline import CompileOptions, compile_graph
    from seamount.compile.program.file import load_program
    from seamount.errors import SeamountError

    try:
        match kind:
            case "nir":
                readout = READOUTS[path.stat().st_size % len(READOUTS)]  # the same in every try of a file
                network = read_nir(path, NirOptions(discretisation=Discretisation(dt=1e-3), readout=readout))
                if sum(p.n_neurons for p in network.populations) < 10_000:
                    str(compile_graph(network, None, CompileOptions(search=SearchOptions("max-fit"))).program)
            case "program":
                loaded = str(load_program(path))
                if original is not None and loaded != original:
                    return "another program was loaded"
            case _:
                str(read_net(path))
        if inspect:
            inspect_file(path)
    except SeamountError as error:
        return "refused" if str(error) else "refused without a reason"
    return "accepted"


@dataclasses.dataclass
class Tally:
    outcomes: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    failures: list[str] = dataclasses.field(default_factory=list)
    slowest_s: float = 0.0
    largest_bytes: int = 0
    largest: str = ""


def run_child(n: int, first: int, seed: int) -> None:
    """Tries files first .. n - 1, a JSON line each; started by ``run``."""
    import torch

    from seamount.compile.program.file import HEAD_BYTES, load_program, sealed

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        originals = write_originals(Path(folder))
        contents = {kind: [(p, p.read_bytes()) for p in paths] for kind, paths in originals.items()}
        told = {p: str(load_program(p)) for p in originals["program"]}
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        for i in range(first, n):
            rng = np.random.default_rng([seed, i])
            kind = KINDS[int(rng.choice(3, p=[0.6, 0.2, 0.2]))]
            path, content = contents[kind][int(rng.integers(len(contents[kind])))]
            trial = Path(folder) / f"trial{path.suffix}"
            how = mutated(content, trial, rng)
            same = told.get(path)
            if kind == "program" and rng.random() < 0.5:  # a hostile file has the right checksum
                trial.write_bytes(sealed(trial.read_bytes()[HEAD_BYTES:]))
                same = None
            started = time.process_time()
            # end the process, wherever it hangs; the parent goes on behind this file
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            signal.alarm(LONGEST_S)
            try:
                outcome = try_reading(trial, kind, same, inspect=i % 4 == 0)
            except BaseException:  # whatever it is, it should have been a SeamountError
                outcome = traceback.format_exc()
            signal.alarm(0)
            signal.setitimer(signal.ITIMER_PROF, 0)
            used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
            line = {
                "i": i,
                "kind": kind,
                "how": how,
                "outcome": outcome,
                "s": time.process_time() - started,
                "bytes": used,
            }
            print(json.dumps(line), flush=True)


def run(n: int, seed: int = 0, python: str = sys.executable) -> Tally:
    """Tries n files in child processes; a child that dies is a failure, and the next one goes on behind it."""
    tally = Tally()
    first = 0
    while first < n:
        command = [python, "-m", "tests.fuzz.readers", str(n), "--seed", str(seed), "--child", str(first)]
        child = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
        lines = [json.loads(line) for line in child.stdout.splitlines() if line.startswith("{")]
        for line in lines:
            kind, outcome = line["kind"], line["outcome"]
            tally.slowest_s = max(tally.slowest_s, line["s"])
            if line["bytes"] > tally.largest_bytes:
                tally.largest_bytes, tally.largest = line["bytes"], f"file {line['i']} ({kind}, {line['how']})"
            if line["bytes"] > MEMORY_BYTES:
                outcome = f"took {line['bytes']} bytes"
            good = outcome in ("accepted", "refused")
            tally.outcomes[f"{kind} {outcome if good else 'FAILED'}"] += 1
            if not good:
                tally.failures.append(f"file {line['i']} ({kind}, {line['how']}): {outcome}")
        if not lines and child.returncode != 0:
            raise SystemExit(f"the child ended before its first file:\n{child.stderr[-2000:]}")
        first = lines[-1]["i"] + 1 if lines else n
        if child.returncode != 0:
            tally.failures.append(
                f"file {first}: the reader's process ended with {child.returncode}: {child.stderr[-2000:]}"
            )
            first += 1
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", type=int, help="files to try")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        run_child(given.n, given.child, given.seed)
        return
    started = time.monotonic()
    tally = run(given.n, given.seed)
    for outcome, count in sorted(tally.outcomes.items()):
        print(f"{outcome}: {count}")
    print(
        f"slowest {tally.slowest_s:.2f} s of CPU; memory grew by {tally.largest_bytes / 2**20:.0f} MiB, "
        f"most by {tally.largest}"
    )
    print(f"{given.n} files in {time.monotonic() - started:.0f} s, {len(tally.failures)} failures")
    for failure in tally.failures[:20]:
        print(failure)
    sys.exit(1 if tally.failures else 0)


if __name__ == "__main__":
    main()
