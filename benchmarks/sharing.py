"""A large set of samples on one process with one thread, on one with N, and on N processes with one each.

    python benchmarks/sharing.py [--n 2] [--turns 5]

The simulator's part of a run and of ``deploy``: all samples in batches, counts and answers (``run_all``), of a dense
and of a convolutional network. The processes live at once and take turns, so that whatever else the machine does
hurts all alike; N processes are joined as torchrun joins them. Writes results/sharing.json.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
from datetime import date
from functools import partial
from typing import Any

import numpy as np
import torch
from figures import RESULTS, cpu_name, write_figures

from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import ints
from seamount.compile.program.program import Input, Population, Program, Readout
from seamount.compile.synapses.kinds import Conv, Dense, Synapses
from seamount.distill.parallel import open_world
from seamount.distill.progress import QUIET
from seamount.run.answers import BATCH
from seamount.run.whole_set import run_all
from seamount.windows import Window

NEURONS = Lif(ints(4096), ints(1024), ints(400))
N_SAMPLES = {"dense": 8 * BATCH, "convolutions": 2 * BATCH}


def network(name: str) -> Program:
    random = np.random.default_rng(0)
    if name == "dense":
        shape, hidden = (784,), (256,)
        first = Synapses("first", "x", "h", Dense(ints(random.integers(-60, 80, (256, 784)))))
    else:
        shape, hidden = (1, 28, 28), (16, 28, 28)
        kernel = ints(random.integers(-60, 80, (16, 1, 3, 3)))
        first = Synapses("first", "x", "h", Conv(kernel, Window(padding=(1, 1))))
    last = Dense(ints(random.integers(-60, 80, (10, int(np.prod(hidden))))))
    populations = (Population("h", hidden, NEURONS), Population("o", (10,), NEURONS))
    synapses = (first, Synapses("last", "h", "o", last))
    return Program(name, (Input("x", shape),), populations, synapses, Readout("o", "count"), 16)


def work(name: str, threads: int) -> None:
    """The whole set for each line on stdin, answered by a line of CPU seconds."""
    torch.set_num_threads(threads)
    program, n = network(name), N_SAMPLES[name]
    random = np.random.default_rng(1)
    x = (random.random((16, n, *program.inputs[0].shape), dtype=np.float32) < 0.1).astype(np.uint8)
    batches = [partial(x.__getitem__, (slice(None), slice(k, k + BATCH))) for k in range(0, n, BATCH)]
    with open_world("cpu") as world:
        run_all(program, batches, n, progress=QUIET, world=world)  # proves sums, loads loops
        print("ready", flush=True)
        for _ in sys.stdin:
            before = time.process_time()
            run_all(program, batches, n, progress=QUIET, world=world)
            print(time.process_time() - before, flush=True)


class Way:
    """The processes of one way to share."""

    def __init__(self, name: str, processes: int, threads: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, __file__, "--work", name, "--n", str(threads)]
        joined = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        self.processes = [
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | joined | {"RANK": str(rank), "OMP_NUM_THREADS": str(threads)},
            )
            for rank in range(processes)
        ]
        self.turns: list[tuple[float, float]] = []

    def read(self) -> list[str]:
        return [process.stdout.readline() for process in self.processes if process.stdout is not None]

    def turn(self) -> None:
        started = time.perf_counter()
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        cpu = sum(map(float, self.read()))
        self.turns.append((time.perf_counter() - started, cpu))

    def close(self) -> None:
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in self.processes:  # which wait for each other
            process.wait(timeout=600)


def compare(name: str, n: int, turns: int) -> dict[str, Any]:
    ways = {"one": Way(name, 1, 1), "threads": Way(name, 1, n), "processes": Way(name, n, 1)}
    for way in ways.values():
        assert set(way.read()) == {"ready\n"}
    for _ in range(turns):
        for way in ways.values():
            way.turn()
    for way in ways.values():
        way.close()
    found: dict[str, Any] = {"samples": N_SAMPLES[name]}
    for key, way in ways.items():
        walls, cpus = zip(*way.turns, strict=True)
        found[key] = {
            "wall_s": statistics.median(walls),
            "wall_s_range": [min(walls), max(walls)],
            "cpu_s": statistics.median(cpus),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=2)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.n)
        return
    found: dict[str, Any] = {
        "n": options.n,
        "turns": options.turns,
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
        "date": str(date.today()),
        "networks": {name: compare(name, options.n, options.turns) for name in N_SAMPLES},
    }
    write_figures(RESULTS / "sharing.json", found)
    for name, row in found["networks"].items():
        told = ", ".join(f"{way} {row[way]['wall_s']:.2f} s" for way in ("one", "threads", "processes"))
        print(f"{name}, {row['samples']} samples: {told}")


if __name__ == "__main__":
    main()
