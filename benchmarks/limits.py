"""Whether the simulator keeps its limits: peak memory under a limit, cost against neurons and spikes, long runs.

    python benchmarks/limits.py [--threads 1]

* Memory: a convolution with 73,728 neurons, 64 samples, 100 steps, under limits of 64 MiB to 1 GiB, each in a process
  of its own: the peak of resident memory beyond what the process had before and twice what it returns, because
  results are put together from those of chunks. A first call proves its sums exact as well; its peak is kept, too.
* Cost: seconds against neurons (a 3 x 3 convolution over growing maps), and against spikes (one input, ever denser),
  both over two decades. The slope of a power law fitted to them is 1 where cost is linear.
* Length: a recurrent net of 64 neurons over 1,000 to 100,000 steps: peak memory and seconds a step.

Writes results/limits.json and results/limits.svg.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figures import RESULTS, cpu_name, write_figures

from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import ints
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Input, Population, Program, Readout
from seamount.compile.synapses.kinds import Conv, Dense, Sparse, Synapses
from seamount.hardware_targets.simulator import simulate
from seamount.windows import Window

LIMITS = tuple(1 << k for k in (26, 27, 28, 29, 30))
LENGTHS = (1_000, 10_000, 100_000)
SIDES = (10, 18, 32, 57, 100)
DENSITIES = (0.001, 0.003, 0.01, 0.03, 0.1)

NEURONS = Lif(ints(4096), ints(1024), ints(400))


def convolution(side: int, n_channels: int = 32) -> Program:
    """Neurons that all see 3 x 3 inputs of two channels."""
    weights = np.random.default_rng(0).integers(-60, 80, (n_channels, 2, 3, 3))
    return Program(
        "convolution",
        (Input("x", (2, side, side)),),
        (Population("h", (n_channels, side, side), NEURONS),),
        (Synapses("s", "x", "h", Conv(ints(weights), Window(padding=(1, 1)))),),
        Readout("h", "count"),
    )


def sparse(n: int = 20_000, fan_in: int = 16) -> Program:
    """So few synapses that only the sources that fire are looked at."""
    random = np.random.default_rng(0)
    targets = np.repeat(np.arange(n), fan_in)
    sources = random.integers(0, n, n * fan_in)
    targets, sources = np.unique(np.stack([targets, sources]), axis=1)  # sorted, as the format wants them
    weights = random.integers(1, 80, len(targets))
    return Program(
        "sparse",
        (Input("x", (n,)),),
        (Population("h", (n,), NEURONS),),
        (Synapses("s", "x", "h", Sparse(ints(weights), ints(targets), ints(sources), n, n)),),
        Readout("h", "count"),
    )


def recurrent(n: int = 64) -> Program:
    random = np.random.default_rng(0)
    into, back = random.integers(-60, 80, (n, 8)), random.integers(-60, 60, (n, n))
    return Program(
        "recurrent",
        (Input("x", (8,)),),
        (Population("h", (n,), NEURONS),),
        (Synapses("in", "x", "h", Dense(ints(into))), Synapses("back", "h", "h", Dense(ints(back)))),
        Readout("h", "count"),
    )


def measured(program: Program, n_steps: int, batch: int, density: float, **options: Any) -> dict[str, float]:
    """Seconds, spikes, and the peak of resident memory beyond all before and twice the results; in a new process."""
    shape = (n_steps, batch, *program.inputs[0].shape)
    x = (np.random.default_rng(1).random(shape, dtype=np.float32) < density).astype(np.uint8)
    simulate(program, x[:2, :1])  # loads and compiles what any program needs
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    peaks, seconds = [], []
    for _ in range(2):  # the first call proves its sums
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        started = time.perf_counter()
        activity = simulate(program, x, **options)
        seconds.append(time.perf_counter() - started)
        peak = next(k for k in Path("/proc/self/status").read_text().splitlines() if k.startswith("VmHWM"))
        peaks.append(float(int(peak.split()[1]) * 1024 - before - 2 * returned_bytes(activity)))
        n_spikes = int(x.sum()) + sum(int(e.n_spikes.sum()) for e in activity.events.values())
        del activity
    return {"seconds": seconds[1], "spikes": n_spikes, "peak_bytes": peaks[1], "first_peak_bytes": peaks[0]}


def returned_bytes(activity: Activity) -> int:
    kept = (activity.spike_counts, activity.final_u, activity.final_v)
    arrays = [array for of_populations in kept for array in of_populations.values()]
    return sum(a.nbytes for a in [*arrays, activity.readout] if a is not None)


def child(what: str, value: float) -> dict[str, float]:
    match what:
        case "memory":
            return measured(convolution(48), 100, 64, 0.1, memory_limit_bytes=int(value))
        case "length":
            return measured(recurrent(), int(value), 1, 0.2, memory_limit_bytes=1 << 27)
        case "neurons":
            return measured(convolution(int(value)), 100, 8, 0.1)
        case "spikes":
            return measured(sparse(), 100, 8, value)
    raise ValueError(what)


def in_process(what: str, value: float, threads: int, repeats: int = 3) -> dict[str, float]:
    """The fastest of several processes."""
    command = [sys.executable, __file__, "--child", what, str(value), "--threads", str(threads)]
    found = []
    for _ in range(repeats):
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=1800)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return min(found, key=lambda one: one["seconds"])


def slope(rows: list[dict[str, float]], key: str) -> float:
    """Of the power law through the points: 1 is linear."""
    return float(np.polyfit(np.log([r[key] for r in rows]), np.log([r["seconds"] for r in rows]), 1)[0])


def plot(found: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 4, figsize=(16, 3), layout="constrained")
    curves = (
        ("neurons", "neurons", "seconds", 1),
        ("spikes", "spikes", "seconds", 1),
        ("length", "steps", "seconds", 1),
        ("memory", "limit_bytes", "peak_bytes", 1 << 20),
    )
    for axis, (what, x, y, unit) in zip(axes, curves, strict=True):
        xs, ys = ([row[key] / unit for row in found[what]] for key in (x, y))
        axis.loglog(xs, ys, "o-")
        axis.loglog(xs, [ys[-1] * k / xs[-1] for k in xs], ":", color="gray")
        axis.set_xlabel("memory limit, MiB" if what == "memory" else x)
        axis.set_ylabel("peak beyond the start, MiB" if what == "memory" else "s")
    figure.savefig(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS / "limits.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.child:
        print(json.dumps(child(options.child[0], float(options.child[1]))))
        return 0

    def rows(what: str, name: str, values: tuple[float, ...], scale: int = 1) -> list[dict[str, float]]:
        found = [in_process(what, v, options.threads, options.repeats) for v in values]
        return [{name: v if scale == 1 else scale * v * v} | row for v, row in zip(values, found, strict=True)]

    found: dict[str, Any] = {
        "date": str(date.today()),
        "machine": {"cpu": cpu_name(), "threads": options.threads, "load": os.getloadavg()},
        "python": platform.python_version(),
        "memory": rows("memory", "limit_bytes", LIMITS),
        "length": rows("length", "steps", LENGTHS),
        "neurons": rows("neurons", "neurons", SIDES, scale=32),
        "spikes": rows("spikes", "density", DENSITIES),
    }
    found["slopes"] = {what: slope(found[what], what) for what in ("neurons", "spikes")}
    write_figures(options.out, found)
    plot(found, options.out.with_suffix(".svg"))
    for row in found["memory"]:
        limit, peak = row["limit_bytes"] / 2**20, row["peak_bytes"] / 2**20
        print(f"limit {limit:.0f} MiB: peak {peak:.0f} MiB, {row['seconds']:.1f} s")
    for row in found["length"]:
        us = 1e6 * row["seconds"] / row["steps"]
        print(f"{row['steps']} steps: peak {row['peak_bytes'] / 2**20:.1f} MiB, {us:.1f} us a step")
    print("cost grows with the power of " + ", ".join(f"{v:.2f} of {k}" for k, v in found["slopes"].items()))
    return 1 if any(row["peak_bytes"] > row["limit_bytes"] for row in found["memory"]) else 0


if __name__ == "__main__":
    sys.exit(main())
