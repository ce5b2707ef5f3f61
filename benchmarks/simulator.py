"""How fast the simulator is: against Lava 0.10.0, lava-dl's slayer and our own definition, in one run.

    python benchmarks/simulator.py [--samples 3] [--sweep] [--pilotnet] [--device cuda]
    python benchmarks/simulator.py --networks pilotnet-sdnn audio-sdnn --out FILE
    python benchmarks/simulator.py --profile

Networks and inputs: ``networks.py``. Lava's time is that of stepping alone, best sample of several times the batch;
its output and final states are compared with ours in the same run. Beside wall times stand CPU times (of Lava's
processes together), whose ratio other processes disturb less. Writes results/simulator.json, and with --sweep
results/simulator.svg. The recordings are not part of the project: --folder names where dense.net, conv.net and their
inputs lie.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import itertools
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figures import RESULTS, cpu_name, write_figures
from networks import LIF, SIGMA_DELTA, Net, network

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.net.read import read_net
from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import ints
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Input, Population, Program, Readout
from seamount.compile.synapses.kinds import Conv, Dense, Synapses
from seamount.compile.synapses.shape import target_shape
from seamount.hardware_targets.simulator import engine, simulate, tiles
from seamount.hardware_targets.simulator.plan import plans
from seamount.windows import Window

simulator_run = importlib.import_module("seamount.hardware_targets.simulator.simulate")  # a function has its name
HERE = Path(__file__).parent
T = 100
STATES = ("u", "v", "sigma")
LIMITS = {("dense", 64): (300, 1000), ("conv", 64): (300, 1500), ("dense", 1): (30, 100), ("conv", 1): (30, 100)}
"""Ratio to Lava that must be reached, and that is aimed at."""


@dataclass(frozen=True)
class Row:
    """One line of the table; seconds for the whole batch."""

    network: str
    batch: int
    ours_s: float
    lava_s: float
    ours_cpu_s: float
    lava_cpu_s: float
    slayer_s: float | None
    definition_s: float | None
    values_compared: int
    values_differing: int
    updates_per_s: float
    sops_per_s: float

    @property
    def ratio(self) -> float:
        return self.lava_s / self.ours_s

    @property
    def cpu_ratio(self) -> float:
        return self.lava_cpu_s / self.ours_cpu_s


@dataclass(frozen=True)
class Best:
    """The fastest of several runs, after one to warm up: seconds, CPU seconds of all threads, what it returned."""

    seconds: float
    cpu_s: float
    result: Any


def best(run: Callable[[], Any], repeats: int) -> Best:
    result, seconds, cpu = run(), [], []
    for _ in range(repeats):
        start, cpu_start = time.perf_counter(), time.process_time()
        result = run()
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_start)
    return Best(min(seconds), min(cpu), result)


def ours(x: np.ndarray) -> np.ndarray:
    """Lava's layout -> (T, B, C, H, W) or (T, B, N)."""
    axes = (4, 0, 3, 2, 1) if x.ndim == 5 else (2, 0, 1)
    return np.ascontiguousarray(x.transpose(axes))


def peer(who: str, net: Path, x: np.ndarray, n_threads: int, time_limit_s: float) -> dict[str, np.ndarray]:
    """Lava or slayer on these samples, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        given, result = Path(folder) / "x.npy", Path(folder) / "result.npz"
        np.save(given, x)
        command = [
            sys.executable,
            str(HERE / "lava_peers.py"),
            who,
            str(net),
            str(given),
            str(result),
            str(n_threads),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=time_limit_s, check=False)
        if not result.exists():
            raise SystemExit(f"{who} failed on {net.name}:\n{done.stderr[-2000:]}")
        return dict(np.load(result))


def compare(program: Program, x: np.ndarray, lava: dict[str, np.ndarray], device: str) -> tuple[int, int]:
    """Values compared and differing: output at every step, final u and v (sigma) of every layer."""
    n, n_steps = len(x), x.shape[-1]
    activity = simulate(program, ours(x), n_steps=n_steps, record=("spikes",), device=device)
    last = program.populations[-1].name
    pairs = [
        (np.moveaxis(activity.spikes[last].reshape(n_steps, n, -1), 0, -1), lava["output"].reshape(n, -1, n_steps))
    ]
    for k, population in enumerate(program.populations):
        for state in STATES:
            found = activity.final_states.get(state, {})
            if population.name not in found:
                continue
            theirs = lava[f"{state}{k}"].reshape(n, *population.shape[::-1])
            pairs.append((found[population.name], theirs.transpose(0, *range(theirs.ndim - 1, 0, -1))))
    return sum(a.size for a, _ in pairs), sum(int(np.count_nonzero(a != b)) for a, b in pairs)


def measure(net: Net, n_lava: int, device: str) -> list[Row]:
    program = read_net(net.file)
    n_threads = torch.get_num_threads()
    few = net.samples(n_lava)
    print(f"{net.name}: Lava, {n_lava} samples ...", file=sys.stderr)
    lava = peer("lava", net.file, few, n_threads, 3600)
    lava_s, lava_cpu_s = float(lava["seconds"].min()), float(lava["cpu_s"].min())
    n_compared, n_differing = compare(program, few, lava, device)
    one = ours(few[:1])
    print(f"{net.name}: definition ...", file=sys.stderr)
    start = time.perf_counter()
    run_definition(program, one, len(one), record=())
    definition_s = time.perf_counter() - start
    rows = []
    for batch in net.batches:
        x = net.samples(batch)
        values = ours(x)
        fastest = best(lambda v=values: simulate(program, v, n_steps=len(v), device=device), 15)
        slayer_s = None
        if net.in_slayer:
            slayer_s = float(peer("slayer", net.file, x, n_threads, 3600)["seconds"].min())
        events = fastest.result.events.values()
        rows.append(
            Row(
                network=net.name,
                batch=batch,
                ours_s=fastest.seconds,
                lava_s=lava_s * batch,
                ours_cpu_s=fastest.cpu_s,
                lava_cpu_s=lava_cpu_s * batch,
                slayer_s=slayer_s,
                definition_s=definition_s if batch == 1 else None,
                values_compared=n_compared,
                values_differing=n_differing,
                updates_per_s=sum(e.n_updates for e in events) / fastest.seconds,
                sops_per_s=sum(int(e.sops.sum()) for e in events) / fastest.seconds,
            )
        )
    return rows


def table(rows: list[Row]) -> str:
    lines = [
        f"{'network':14}{'batch':>6}{'ours [ms]':>11}{'Lava [ms]':>12}{'ratio':>8}{'of CPU':>8}{'must':>6}{'aim':>6}"
        f"{'slayer [ms]':>13}{'ratio':>7}{'definition':>12}{'updates/s':>11}{'SOP/s':>10}{'differing':>20}"
    ]
    for row in rows:
        must, aim = LIMITS.get((row.network, row.batch), ("", ""))
        slayer = "" if row.slayer_s is None else f"{row.slayer_s * 1e3:.1f}"
        slayer_ratio = "" if row.slayer_s is None else f"{row.slayer_s / row.ours_s:.1f}"
        definition = "" if row.definition_s is None else f"{row.definition_s * 1e3:.0f} ms"
        lines.append(
            f"{row.network:14}{row.batch:6}{row.ours_s * 1e3:11.2f}{row.lava_s * 1e3:12.0f}{row.ratio:8.0f}"
            f"{row.cpu_ratio:8.0f}{must:6}{aim:6}{slayer:>13}{slayer_ratio:>7}{definition:>12}{row.updates_per_s:11.2e}{row.sops_per_s:10.2e}"
            f"{f'{row.values_differing} of {row.values_compared}':>20}"
        )
    return "\n".join(lines)


# ------------------------------------------------------------------------------- where the time goes, in one thread


def profile(net: Net, batch: int) -> list[dict[str, Any]]:
    """CPU seconds of each phase of a run in one thread, and its share of what the machine can do at most.

    Held against a copy in the second cache: of the input, of each weight that is added, in the bytes in which it is
    held, of each neuron's drive and spike. Products, and neurons that are stepped without a scan, have no such bound;
    phases that a network does not have are left out.
    """
    program, values = read_net(net.file), ours(net.samples(batch))
    torch.set_num_threads(1)
    activity = simulate(program, values, n_steps=len(values))
    watched = (
        (simulator_run, "fill_input", "take the input"),
        (tiles, "scatter", "add weights of spikes"),
        (tiles, "add_rows", "add weights of spikes"),
        (engine, "summed", "sum by products"),
        (tiles, "scan_part", "scan neurons"),
        (engine, "advance_whole", "step neurons without a scan"),
    )
    spent = {phase: 0.0 for _, _, phase in watched}
    kept = [(module, name, getattr(module, name)) for module, name, _ in watched]

    def timed(function: Callable[..., Any], phase: str) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            start = time.process_time()
            result = function(*arguments, **options)
            spent[phase] += time.process_time() - start
            return result

        return run

    for (module, name, function), (_, _, phase) in zip(kept, watched, strict=True):
        setattr(module, name, timed(function, phase))
    runs = 10
    start = time.process_time()
    for _ in range(runs):
        simulate(program, values, n_steps=len(values))
    whole = (time.process_time() - start) / runs
    for module, name, function in kept:
        setattr(module, name, function)
    copied = copied_per_s()
    scanned = [name for name, plan in plans(program, torch.device("cpu")).items() if plan.table is not None]
    n_updates = sum(activity.events[name].n_updates for name in scanned)
    most = {
        "take the input": 2 * values.nbytes / copied,
        "add weights of spikes": added_bytes(program, activity) / copied,
        "scan neurons": 3 * n_updates / copied,
    }
    each = {phase: seconds / runs for phase, seconds in spent.items() if seconds}
    rows: list[dict[str, Any]] = [
        {"phase": k, "seconds": v, "share_of_peak": most[k] / v if k in most else None} for k, v in each.items()
    ]
    rest = whole - sum(row["seconds"] for row in rows)
    return [*rows, {"phase": "everything else", "seconds": rest, "share_of_peak": None}]


def added_bytes(program: Program, activity: Activity) -> int:
    """Bytes of the weights that spikes add, as the loops hold them."""
    total = 0
    for name, plan in plans(program, torch.device("cpu")).items():
        sizes = {part.held.weights.itemsize for part in plan.events}
        total += max(sizes, default=0) * int(activity.events[name].sops_with_zeros.sum())
    return total


def copied_per_s() -> float:
    """Bytes that a core copies in its second cache in a CPU second, read and written."""
    source, target = (np.ones(1 << 18, np.uint8) for _ in range(2))

    def copies() -> None:
        for _ in range(200):
            np.copyto(target, source)

    return 400 * source.size / best(copies, 15).cpu_s


def profile_table(network: str, batch: int, rows: list[dict[str, Any]]) -> str:
    lines = [f"{network}, batch {batch}, one thread: phase, CPU ms, share of a copy's rate"]
    for row in rows:
        share = "" if row["share_of_peak"] is None else f"{row['share_of_peak']:8.0%}"
        lines.append(f"  {row['phase']:28}{row['seconds'] * 1e3:9.2f}{share}")
    return "\n".join(lines)


# ------------------------------------------------------------------------------------- memory, and how cost grows


def chain(shape: tuple[int, ...], layers: list[tuple[int, ...]], bits: int, threshold: int) -> Program:
    """Random weights: (channels, kernel, stride) is a convolution, (n,) a dense layer; LIFBox neurons."""
    random = np.random.default_rng(0)
    populations, groups = [], []
    source, graded = "x", bits > 0
    made = shape
    for k, layer in enumerate(layers):
        if len(layer) == 3:
            channels, size, stride = layer
            kind: Conv | Dense = Conv(
                ints(random.integers(-60, 80, (channels, made[0], size, size))), Window((stride, stride))
            )
        else:
            kind = Dense(ints(random.integers(-60, 80, (layer[0], int(np.prod(made))))))
        found = target_shape(kind, made, "chain")
        made = found if isinstance(found, tuple) else (found,)
        scale = threshold * (128 if graded else 1)
        populations.append(Population(f"p{k}", made, Lif(ints(4096), ints(400), ints(scale))))
        groups.append(Synapses(f"s{k}", source, f"p{k}", kind, graded=graded))
        source, graded = f"p{k}", False
    readout = Readout(source, "count")
    return Program("chain", (Input("x", shape, bits),), tuple(populations), tuple(groups), readout, T)


PILOTNET: list[tuple[int, ...]] = [
    (24, 5, 2), (36, 5, 2), (48, 5, 2), (64, 3, 1), (64, 3, 1), (100,), (50,), (10,), (1,),
]  # fmt: skip


def pilotnet(batch: int) -> dict[str, float]:
    """Peak memory and time of PilotNet on 8-bit frames that change at every step; meant for a fresh process."""
    program = chain((3, 66, 200), PILOTNET, bits=8, threshold=900)
    frames = np.random.default_rng(1).integers(0, 256, (T, batch, 3, 66, 200), dtype=np.uint8)
    start = time.perf_counter()
    activity = simulate(program, frames, n_steps=T)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    n_spikes = sum(int(e.n_spikes.sum()) for e in activity.events.values())
    return {"batch": batch, "seconds": seconds, "peak_bytes": float(peak), "n_spikes": n_spikes}


def sweep() -> dict[str, list[tuple[float, float]]]:
    """Seconds of a convolutional network, growing one thing at a time."""

    def seconds(steps: int = 50, batch: int = 8, channels: int = 16, density: float = 0.05) -> float:
        program = chain((2, 34, 34), [(channels, 5, 2), (channels, 3, 1), (10,)], bits=0, threshold=400)
        x = (np.random.default_rng(2).random((steps, batch, 2, 34, 34)) < density).astype(np.uint8)
        return best(lambda: simulate(program, x, n_steps=steps), 3).seconds

    return {
        "time steps": [(k, seconds(steps=k)) for k in (10, 20, 50, 100, 200, 400)],
        "batch": [(k, seconds(batch=k)) for k in (1, 2, 4, 8, 16, 32, 64)],
        "channels": [(k, seconds(channels=k)) for k in (4, 8, 16, 32, 64)],
        "spike density of the input": [(k, seconds(density=k)) for k in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)],
    }


def plot(curves: dict[str, list[tuple[float, float]]], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(curves), figsize=(4 * len(curves), 3), layout="constrained")
    for axis, (name, points) in zip(axes, curves.items(), strict=True):
        axis.loglog(*zip(*[(x, y * 1e3) for x, y in points], strict=True), "o-")
        axis.set_xlabel(name)
        axis.set_ylabel("ms")
    figure.savefig(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=HERE.parents[1] / "shared" / "golden" / "lava_bench")
    parser.add_argument("--samples", type=int, default=3, help="samples that Lava runs")
    parser.add_argument("--networks", nargs="+", default=[*LIF], choices=[*LIF, *SIGMA_DELTA])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--profile", action="store_true", help="only where the time goes, without Lava")
    parser.add_argument("--sweep", action="store_true", help="also measure how cost grows, and plot it")
    parser.add_argument("--pilotnet", action="store_true", help="also measure PilotNet's memory")
    parser.add_argument("--pilotnet-child", type=int, metavar="BATCH", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS / "simulator.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.pilotnet_child:
        print(json.dumps(pilotnet(options.pilotnet_child)))
        return 0
    with tempfile.TemporaryDirectory() as made:
        nets = [network(name, options.folder, Path(made)) for name in options.networks]
        if options.profile:
            for net, batch in itertools.product(nets, (64, 1)):
                print(profile_table(net.name, batch, profile(net, batch)))
            return 0
        rows = [row for net in nets for row in measure(net, options.samples, options.device)]
    found: dict[str, Any] = {
        "date": str(date.today()),
        "machine": {
            "cpu": cpu_name(),
            "threads": options.threads,
            "load": os.getloadavg(),
            "python": platform.python_version(),
        },
        "versions": {n: importlib.metadata.version(n) for n in ("numpy", "torch", "numba", "lava-nc", "lava-dl")},
        "device": options.device,
        "lava_samples": options.samples,
        "rows": [asdict(row) | {"ratio": row.ratio, "cpu_ratio": row.cpu_ratio} for row in rows],
    }
    print(
        f"{found['machine']['cpu']}, {options.threads} threads, load {os.getloadavg()[0]:.1f}, {found['date']}; "
        f"Lava: best of {options.samples} samples, times the batch"
    )
    print(table(rows))
    if options.pilotnet:
        command = [sys.executable, __file__, "--pilotnet-child", "16", "--threads", str(options.threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=1800)
        found["pilotnet"] = json.loads(done.stdout.splitlines()[-1])
        print(f"PilotNet 3x66x200, T = {T}, batch 16: {found['pilotnet']['seconds']:.1f} s, "
              f"peak {found['pilotnet']['peak_bytes'] / 2**30:.2f} GiB")  # fmt: skip
    if options.sweep:
        found["sweep"] = sweep()
        plot(found["sweep"], options.out.with_suffix(".svg"))
    write_figures(options.out, found)
    return 1 if any(row.values_differing for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
