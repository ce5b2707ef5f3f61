"""Feeds files that mean something to the readers: ``python -m tests.fuzz.meaning N`` makes N of them.

Where ``readers.py`` damages bytes, this makes valid NIR, program and ``.net`` files of odd structure: one dataset
under many names, groups in two places, chunks far larger than their dataset, values at the ends of their ranges,
names that are commands, paths or empty. Each is refused with a reason, or taken; and what is taken must give the same
integers in the definition and the simulator, before and after it was saved (as a ``.net`` file, too), and its traces
must come back from their file.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import itertools
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.inspect import inspect_file
from seamount.compile.net.read import read_net
from seamount.compile.nir.read import Discretisation, NirOptions, read_nir
from seamount.compile.pipeline import compile_graph
from seamount.compile.program.activity import EVERY_STATE, Activity
from seamount.compile.program.activity_file import load_activity, save_activity
from seamount.compile.program.file import HEAD_BYTES, load_program, program_bytes, save_program, sealed
from seamount.compile.program.program import Program
from seamount.errors import SeamountError, Unsupported
from seamount.hardware_targets.lava import write_net
from seamount.hardware_targets.simulator import simulate
from tests.simulator.random_programs import random_case

TRACES = ("spikes", EVERY_STATE, "drive")
SECONDS = 30
MEMORY_BYTES = 1 << 30

Random = np.random.Generator

NAMES = (
    "l[b]if",
    "[/x]",
    "p\x1b]0;PWNED\x07",
    "\u202etxt",
    "a:b",
    "a/b",
    "../../up",
    ".",
    "",
    " ",
    "x" * 300,
    "名前",
    "spikes",
    "a\nb",
    "in0.x",
    "a.npy",
    "a\x00b",
    "<script>",
)


# -------------------------------------------------------------------------------------------------------- NIR


def values(random: Random, *shape: int, low: float = -1, high: float = 1) -> np.ndarray:
    """Real numbers in any type and order of bytes; now and then far outside of what a chip has."""
    found = random.uniform(low, high, shape)
    if random.random() < 0.03:
        found *= float(random.choice([1e-320, 1e-30, 1e-8, 1e8, 1e30, 1e300]))
    if random.random() < 0.02 and found.size:
        found.flat[int(random.integers(found.size))] = random.choice([0.0, -0.0, np.nan, np.inf, 1e308, 5e-324])
    with np.errstate(over="ignore"):
        return found.astype(str(random.choice(["<f8", "<f8", ">f8", "<f4", "<f2"])))


def neuron(random: Random, n: int) -> tuple[str, dict[str, Any]]:
    shape = (n,) if random.random() < 0.7 else ()
    common = {
        "r": values(random, *shape, low=0.5, high=200),
        "v_threshold": values(random, *shape, low=0.1, high=2),
        "v_reset": np.zeros(shape),
    }
    tau = values(random, *shape, low=2e-3, high=0.1)
    match int(random.integers(4)):
        case 0:
            return "IF", common
        case 1:
            more = {"tau_syn": tau, "tau_mem": tau * 2, "v_leak": np.zeros(shape), "w_in": np.ones(shape)}
            return "CubaLIF", common | more
        case 2:
            return "LIF", common | {"tau": tau, "v_leak": values(random, *shape, low=-0.1, high=0.1)}
        case _:
            return "LIF", common | {"tau": tau, "v_leak": np.zeros(shape)}


def nir_file(random: Random, path: Path) -> None:
    """A chain of linear operators and neurons, perhaps with a loop, perhaps within a graph of its own."""
    sizes = [int(n) for n in random.integers(1, 7, int(random.integers(2, 5)))]
    nodes: dict[str, tuple[str, dict[str, Any]]] = {"input": ("Input", {"shape": np.array([sizes[0]])})}
    for k, (before, after) in enumerate(itertools.pairwise(sizes)):
        weight = values(random, after, before)
        nodes[f"w{k}"] = ("Affine", {"weight": weight, "bias": values(random, after, low=-0.1, high=0.1)})
        if random.random() < 0.5:
            nodes[f"w{k}"] = ("Linear", {"weight": weight})
        nodes[f"n{k}"] = neuron(random, after)
    nodes["output"] = ("Output", {"shape": np.array([sizes[-1]])})
    edges = list(itertools.pairwise(nodes))
    if random.random() < 0.3:
        nodes["loop"] = ("Linear", {"weight": values(random, sizes[1], sizes[1])})
        edges += [("n0", "loop"), ("loop", "n0")]
    if random.random() < 0.3:
        called = {name: str(random.choice(NAMES)) for name in nodes if random.random() < 0.3}
        nodes = {called.get(name, name): node for name, node in nodes.items()}
        edges = [(called.get(a, a), called.get(b, b)) for a, b in edges]
    with h5py.File(path, "w") as file:
        file["version"] = "1.0"
        graph = file.create_group("node")
        if random.random() < 0.2:
            graph["type"] = "NIRGraph"
            graph["edges"] = np.array([("a", "g"), ("g", "b")], dtype=h5py.string_dtype())
            for name, kind, size in (("a", "Input", sizes[0]), ("b", "Output", sizes[-1])):
                graph[f"nodes/{name}/type"], graph[f"nodes/{name}/shape"] = kind, np.array([size])
            write_graph(random, graph.create_group("nodes/g"), nodes, edges)
        else:
            write_graph(random, graph, nodes, edges)
        file["node/metadata/discretization/dt"] = 1e-3
        file["node/metadata/discretization/reset"] = "value"
        file["node/metadata/seamount/n_steps"] = int(random.integers(1, 9))


def write_graph(random: Random, group: h5py.Group, nodes: dict[str, Any], edges: list[tuple[str, str]]) -> None:
    text: Any = h5py.string_dtype() if random.random() < 0.7 else "S300"
    group["type"] = "NIRGraph"
    group["edges"] = np.array(
        [tuple(n if text != "S300" else n.encode()[:300] for n in edge) for edge in edges], dtype=text
    )
    known: dict[tuple[int, ...], str] = {}
    for name, (kind, parameters) in nodes.items():
        node = group.require_group("nodes").require_group(name or "unnamed")
        node["type"] = kind
        for key, value in parameters.items():
            place, shape = f"{node.name}/{key}", np.shape(value)
            if shape in known and random.random() < 0.1:  # one dataset under two names
                node[key] = group.file[known[shape]]
                continue
            options: dict[str, Any] = {}
            if shape and random.random() < 0.3:
                options = {"chunks": shape, "compression": "gzip", "shuffle": bool(random.random() < 0.5)}
            node.create_dataset(key, data=value, **options)
            if np.asarray(value).dtype.kind == "f":
                known[shape] = place


def trapped(random: Random, path: Path) -> str | None:
    """Perhaps adds to a file what must be refused, or must not matter, and says what."""
    if random.random() < 0.6:
        return None
    with h5py.File(path, "a") as file:
        places: list[str] = []
        file.visit(places.append)
        groups = [name for name in places if isinstance(file[name], h5py.Group)] or ["/"]
        group = file[str(random.choice(groups))]
        kinds = ("group twice", "tree of links", "large chunk", "packed twice", "nothing in it", "away", "attributes")
        kind = str(random.choice(kinds))
        match kind:
            case "group twice":
                group["again"] = file[str(random.choice(groups))]
            case "tree of links":
                level = group.create_group("level")
                for _ in range(8):
                    below = level.create_group("l0")
                    for i in range(1, 9):
                        level[f"l{i}"] = below
                    level = below
            case "large chunk" | "packed twice":
                plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                plist.set_chunk((1 << 27 if kind == "large chunk" else 2,))
                for _ in range(1 if kind == "large chunk" else 2):
                    plist.set_deflate(9)
                space = h5py.h5s.create_simple((3,), (h5py.h5s.UNLIMITED,))
                h5py.h5d.create(group.id, b"trap", h5py.h5t.IEEE_F64LE, space, plist)
            case "nothing in it":
                group.create_dataset("trap", (1 << 15, 1 << 10), dtype="f4", chunks=(1 << 10, 1 << 10))
            case "away":
                group["trap"] = h5py.ExternalLink("/etc/passwd", "/") if random.random() < 0.5 else h5py.SoftLink("/")
            case _:
                group.attrs["NIR"] = "x" * 1000
                return None
    return kind


# ------------------------------------------------------------------------------------------------------- .net


RESONATORS = ("RF_PHASE", "RF_IZHIKEVICH")


def whole(random: Random, low: int, high: int, *shape: int) -> np.ndarray:
    """Whole numbers in any type that holds them, now and then the ends of their range or beyond it."""
    found = random.integers(low, high + 1, shape)
    if random.random() < 0.1:
        found = np.where(random.random(shape) < 0.3, random.choice([low, high], shape), found)
    if random.random() < 0.02 and found.size:
        found.flat[0] = random.choice([low - 1, high + 1, -(1 << 31), (1 << 31) - 1])
    kinds = [t for t in ("<i8", "<i4", ">i4", "<i2", "i1", "u1") if np.array_equal(found.astype(t), found)]
    return found.astype(str(random.choice([*kinds, "<f4", "<f8"])))


def net_layer(random: Random, kind: str, before: tuple[int, ...], of: str) -> tuple[dict[str, Any], tuple[int, ...]]:
    """The datasets of a layer of neurons of one type, behind neurons of shape ``before``, and its own shape."""
    resonates = of in RESONATORS
    if resonates and kind not in ("conv", "pool") and random.random() < 0.9:  # lava-dl has no others of them
        kind = "dense"
    layer: dict[str, Any] = {"type": kind}
    if kind in ("conv", "pool"):
        kernel, padding = int(random.integers(1, 4)), int(random.integers(0, 2))
        stride = int(random.integers(1, 3))
        side = (before[1] + 2 * padding - kernel) // stride + 1
        shape: tuple[int, ...] = (before[0] if kind == "pool" else int(random.integers(1, 4)), side, side)
        layer |= {"stride": stride, "padding": padding, "dilation": 1, "groups": 1}
        if kind == "pool":
            layer |= {"kernelSize": np.array([kernel, kernel]), "weight": whole(random, 1, 127)}
        else:
            layer["weight"] = whole(random, -127, 127, shape[0], before[0], kernel, kernel)
    else:
        shape = (int(random.integers(1, 7)),)
        n_before = int(np.prod(before))
        high = int(random.choice([127, 127, 254, 20, 1]))
        low, parts = -high if random.random() < 0.8 else 0, ("weight",)
        if resonates:
            parts = ("weight/real", "weight/imag")
        layer |= {part: whole(random, low, high, shape[0], n_before) for part in parts}
        if kind in ("dense_rec", "recurrent"):
            layer["weight_rec"] = whole(random, -high, high, shape[0], shape[0])
        if random.random() < (0.03 if resonates else 0.3):
            layer["delay"] = whole(random, 0, 62, *((shape, (n_before,), ())[int(random.integers(3))]))
    if random.random() < (0.03 if resonates else 0.5):
        layer["bias"] = whole(random, -4096, 4096, shape[0])
    return layer | {"shape": np.array(shape)} | net_neuron(random, shape, of), shape


def net_neuron(random: Random, shape: tuple[int, ...], of: str) -> dict[str, Any]:
    """Neurons of slayer's: of spikes, of changes, resonators."""
    match of:
        case "SDNN":
            found = {"neuron/type": of, "neuron/vThMant": whole(random, 1, 2000 if random.random() < 0.2 else 50)}
            if random.random() < 0.5:
                found["neuron/messageBits"] = whole(random, 0, 24)
            if random.random() < 0.1:
                found["neuron/sigma_output"] = 1
            return found
        case _ if of in RESONATORS:
            most = random.choice(
                [(2900, 2900)] * 8 + [(0, 4096), (4096, 0)]
            )  # the last two only decay, and only turn
            pairs = zip(("sinDecay", "cosDecay"), most, strict=True)
            found = {f"neuron/{key}": whole(random, -int(largest), int(largest)) for key, largest in pairs}
            found |= {"neuron/gradedSpike": 1} if random.random() < 0.1 else {}
            v_th = whole(random, 1, 131071 if random.random() < 0.2 else 3000)
            return found | {"neuron/type": of, "neuron/vThMant": v_th}
    each = shape if random.random() < 0.3 and len(shape) == 1 else ()
    return {
        "neuron/type": of,
        "neuron/iDecay": whole(random, 0, 4096, *each),
        "neuron/vDecay": whole(random, 0, 4096, *each),
        "neuron/vThMant": whole(random, 1, 131071 if random.random() < 0.2 else 500, *each),
        "neuron/refDelay": 1,
    }


def net_file(random: Random, path: Path) -> None:
    """An input of lava-dl's, convolutions and pools, perhaps flattened into dense and recurrent layers."""
    of_maps = random.random() < 0.5
    side = int(random.integers(3, 8))
    shape: tuple[int, ...] = (int(random.integers(1, 3)), side, side) if of_maps else (int(random.integers(1, 7)),)
    layers: list[dict[str, Any]] = [{"type": "input", "shape": np.array(shape)}]
    usual = str(random.choice(["LOIHI", "LOIHI", "CUBA", "SDNN", "SDNN", *RESONATORS]))
    if usual in RESONATORS and of_maps:
        of_maps, shape = False, (int(random.integers(1, 7)),)
        layers[0]["shape"] = np.array(shape)

    def of() -> str:
        return usual if random.random() < 0.9 else str(random.choice(["LOIHI", "CUBA", "SDNN", "RF_PHASE"]))

    if of_maps or random.random() < 0.5:
        layers[0] |= net_neuron(random, (), of()) | {"bias": whole(random, -64, 64), "weight": whole(random, -64, 64)}
    kinds = [str(random.choice(["conv", "pool"])) for _ in range(int(random.integers(1, 3)))] if of_maps else []
    n_dense = int(random.integers(0, 3)) if of_maps else int(random.integers(1, 4))
    kinds += ["flatten"] * (of_maps and n_dense > 0)
    kinds += [str(random.choice(["dense", "dense", "dense_rec", "recurrent"])) for _ in range(n_dense)]
    for kind in kinds:
        layer, shape = ({"type": "flatten"}, shape) if kind == "flatten" else net_layer(random, kind, shape, of())
        layers.append(layer)
    if random.random() < 0.1:
        layers.append({"type": "average", "shape": np.array([int(random.integers(1, 3))])})
    with h5py.File(path, "w") as file:
        for i, layer in enumerate(layers):
            for key, value in layer.items():
                packed = {"chunks": np.shape(value), "compression": "gzip"} if np.ndim(value) else {}
                file.create_dataset(f"layer/{i}/{key}", data=value, **(packed if random.random() < 0.2 else {}))
        if random.random() < 0.3:
            file["simulation/tSample"] = int(random.integers(1, 9))


# --------------------------------------------------------------------------------------------------- programs


def renamed(program: Program, random: Random) -> Program:
    """Some names of populations and inputs replaced by names that no file should stumble over."""
    called = {p.name: str(random.choice(NAMES)) for p in program.populations if random.random() < 0.3}
    groups = tuple(
        dataclasses.replace(s, source=called.get(s.source, s.source), target=called.get(s.target, s.target))
        for s in program.synapses
    )
    populations = tuple(dataclasses.replace(p, name=called.get(p.name, p.name)) for p in program.populations)
    readout = program.readout
    if readout is not None:
        readout = dataclasses.replace(readout, population=called.get(readout.population, readout.population))
    return dataclasses.replace(program, populations=populations, synapses=groups, readout=readout)


def program_file(random: Random, path: Path) -> str | None:
    """A program of any kind, saved; perhaps trapped and sealed anew, as a hostile writer would."""
    program, _, _ = random_case(int(random.integers(1 << 32)), graded=bool(random.random() < 0.5))
    if random.random() < 0.4:
        program = renamed(program, random)
    save_program(program, path)
    body = path.with_suffix(".body")
    body.write_bytes(path.read_bytes())
    trap = trapped(random, body)
    path.write_bytes(sealed(body.read_bytes()[HEAD_BYTES:]))
    return trap


# ----------------------------------------------------------------------------------------------------- trying


def tried(path: Path, trap: str | None, random: Random) -> str:
    """ "accepted" or "refused"; raises AssertionError with what went wrong."""
    try:
        if path.suffix == ".net":
            program = read_net(path)
        elif path.suffix == ".nir":
            network = read_nir(path, NirOptions(discretisation=Discretisation(dt=1e-3)))
            program = compile_graph(network).program
        else:
            program = load_program(path)
        inspect_file(path)
    except SeamountError as error:
        return "refused" if str(error) else "refused without a reason"
    assert trap is None, f"accepted with {trap}"
    inputs, expected = check(program, path.parent, random)
    if path.suffix == ".net":
        check_written_again(program, inputs, expected, path.parent / "again.net")
    return "accepted"


def check(program: Program, folder: Path, random: Random) -> tuple[dict[str, Any], Activity]:
    """Same integers in definition and simulator, before and after saving; same traces from their file."""
    length = int(random.integers(1, 7)) if program.n_steps is None else min(6, program.n_steps)
    inputs = {}
    for entry in program.inputs:
        # graded values that an input may hold are seldom as large; small ones keep states away from their ends
        most = int(random.choice([entry.high, min(entry.high, 300)]))
        x = random.integers(max(entry.low, -most), most + 1, (length, 2, *entry.shape))
        inputs[entry.name] = np.where(random.random(x.shape) < 0.1, entry.high, x)
    n_steps = length + int(random.integers(0, 6))
    expected = run_definition(program, inputs, n_steps, TRACES)
    found = simulate(program, inputs, n_steps=n_steps, record=TRACES)
    same(expected, found)
    save_program(program, folder / "again.program.h5")
    loaded = load_program(folder / "again.program.h5")
    assert program_bytes(loaded) == program_bytes(program), "another program came back"
    same(expected, simulate(loaded, inputs, n_steps=n_steps, record=TRACES))
    save_activity(found, folder / "traces.npz")
    same(found, load_activity(folder / "traces.npz"))
    return inputs, expected


def check_written_again(program: Program, inputs: dict[str, Any], expected: Activity, path: Path) -> None:
    """What ``write_net`` makes of a program is the same program, where the format can hold it."""
    try:
        arguments = dict(write_net(program, path).arguments)
    except Unsupported:
        return
    again = read_net(path, input_bits=arguments.pop("input_message_bits", 0), **arguments)
    found = simulate(again, inputs, n_steps=expected.n_steps, record=TRACES)
    for a, b in zip(program.populations, again.populations, strict=True):
        for what, ours in expected.traces().items():
            if what != "drive" and a.name in ours:
                theirs = found.traces()[what][b.name]
                assert np.array_equal(ours[a.name], theirs), f"{what} of {a.name!r} differ after write_net"


def same(a: Activity, b: Activity) -> None:
    left, right = (
        {**run.traces(), "counts": run.spike_counts}
        | {f"final {state}": values for state, values in run.final_states.items()}
        for run in (a, b)
    )
    assert set(left) == set(right), f"recorded {set(left) ^ set(right)}"
    for what, ours in left.items():
        theirs = right[what]
        assert set(ours) == set(theirs), f"{what} of {set(ours) ^ set(theirs)}"
        for name in ours:
            assert np.array_equal(ours[name], theirs[name]), f"{what} of {name!r} differ"
    assert (a.readout is None) == (b.readout is None)
    assert a.readout is None or np.array_equal(a.readout, b.readout), "readouts differ"
    assert set(a.events) == set(b.events), "events of other populations"
    for name, events in a.events.items():
        for field in dataclasses.fields(events):
            one, other = getattr(events, field.name), getattr(b.events[name], field.name)
            assert np.array_equal(one, other), f"{field.name} of {name!r} differ"


@dataclasses.dataclass
class Tally:
    outcomes: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    failures: list[str] = dataclasses.field(default_factory=list)
    slowest_s: float = 0.0
    resident_bytes: list[int] = dataclasses.field(default_factory=list)  # at first and after every tenth of the files


FILES = {"nir": ("a.nir", nir_file), "program": ("a.program.h5", program_file), "net": ("a.net", net_file)}


def run(n: int, seed: int = 0) -> Tally:
    """Makes and tries n files."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(n):
            if i % max(1, n // 10) == 0:
                tally.resident_bytes.append(resident_bytes())
            random = np.random.default_rng([seed, i])
            kind = str(random.choice(list(FILES)))
            path = Path(folder) / FILES[kind][0]
            trap = made(random, path, kind)
            if trap == "not made":  # two names met, or a loop without a delay: there is no such file
                tally.outcomes[f"{kind} {trap}"] += 1
                continue
            started = time.process_time()
            try:
                with limit_of_time():
                    outcome = tried(path, trap, random)
                tally.outcomes[f"{kind} {outcome}"] += 1
                if outcome not in ("accepted", "refused"):
                    tally.failures.append(f"file {i} ({kind}, {trap}): {outcome}")
            except BaseException:  # whatever it is, it should have been a SeamountError
                tally.outcomes[f"{kind} FAILED"] += 1
                tally.failures.append(f"file {i} ({kind}, {trap}): {traceback.format_exc()}")
            tally.slowest_s = max(tally.slowest_s, time.process_time() - started)
    tally.resident_bytes.append(resident_bytes())
    return tally


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def made(random: Random, path: Path, kind: str) -> str | None:
    path.unlink(missing_ok=True)
    try:
        if kind == "program":
            return program_file(random, path)
        FILES[kind][1](random, path)
        return trapped(random, path)
    except (SeamountError, ValueError, OSError, TypeError, KeyError):
        return "not made"


@contextlib.contextmanager
def limit_of_time() -> Any:
    def late(*_: object) -> None:
        raise TimeoutError(f"longer than {SECONDS} s")

    # of CPU, because on a machine that others use a minute passes while a kernel is compiled
    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", type=int, help="files to make")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    started = time.monotonic()
    tally = run(given.n, given.seed)
    for outcome, count in sorted(tally.outcomes.items()):
        print(f"{outcome}: {count}")
    resident = ", ".join(f"{held / 2**20:.0f}" for held in tally.resident_bytes)
    print(f"slowest {tally.slowest_s:.2f} s of CPU; MiB resident at first and after every tenth: {resident}")
    print(f"{given.n} files in {time.monotonic() - started:.0f} s, {len(tally.failures)} failures")
    for failure in tally.failures[:10]:
        print(failure)
    sys.exit(1 if tally.failures else 0)


if __name__ == "__main__":
    main()
