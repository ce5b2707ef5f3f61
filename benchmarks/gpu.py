"""What the GPU at hand does, in at most eight minutes: ``python benchmarks/gpu.py``.

Exactness first (nothing else counts where it fails), then kernels against the copy bandwidth, the simulator against
the CPU, training, the integer student, and CIFAR-10 for the time that is left. Each part is guarded: one that fails
or finds no time says so, and the next begins. Writes benchmarks/results/gpu.json after every part.

    python benchmarks/gpu.py --cifar FOLDER --networks FOLDER

FOLDER of CIFAR-10: data_batch_*.npz and test_batch.npz; of the networks: dense.net and conv.net with their inputs.
``--device cpu --tiny`` runs all of it small, as the tests do.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from figures import HERE, RESULTS, cpu_name, write_figures

sys.path.insert(0, str(HERE.parent))  # random programs are those of the tests

import gpu_parts
from gpu_parts import Bench, Sizes


@dataclass(frozen=True)
class Part:
    """A part of the measurement: its name, its seconds of the default 470, and what does it."""

    name: str
    seconds: float
    measure: Callable[[Bench], None]


PARTS = (
    Part("machine", 20, gpu_parts.machine),
    Part("exactness", 90, gpu_parts.exactness),
    Part("kernels", 40, gpu_parts.kernel_rates),
    Part("simulator", 90, gpu_parts.simulator),
    Part("training", 90, gpu_parts.training),
    Part("integers", 30, gpu_parts.integers),
    Part("learning", 100, gpu_parts.learning),
)


def run(bench: Bench, parts: list[str], out: Path) -> dict[str, Any]:
    """All parts, as far as the time goes."""
    document: dict[str, Any] = {
        "date": date.today().isoformat(),
        "cpu": {"name": cpu_name(), "threads": torch.get_num_threads(), "load": os.getloadavg()},
        "python": platform.python_version(),
        "tiny": bench.tiny,
        "parts": bench.results,
    }
    bench.write = lambda: write_figures(out, document)
    chosen = [part for part in PARTS if part.name in parts]
    for k, part in enumerate(chosen):
        started = time.monotonic()
        # its share of the time that is left, so that what one part does not need goes to those behind it
        share = part.seconds / sum(rest.seconds for rest in chosen[k:])
        bench.part_seconds = share * (bench.ends - started)
        bench.part_ends = started + bench.part_seconds
        found = bench.results[part.name] = {}
        try:
            part.measure(bench)
        except Exception as error:  # whatever it is, the next part may still work
            found |= {"failed": f"{type(error).__name__}: {error}", "where": traceback.format_exc(limit=-3)}
        took = found["seconds"] = round(time.monotonic() - started, 1)
        bench.write()
        print(f"{part.name}: {took} s {found.get('failed', '')}", flush=True)
    return document


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=470, help="for everything together")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the CPU that is compared")
    parser.add_argument("--cifar", type=Path, help="folder with CIFAR-10; without it, digits are learnt")
    parser.add_argument("--networks", type=Path, help="folder with dense.net and conv.net; without it, random ones")
    parser.add_argument("--parts", nargs="+", default=[p.name for p in PARTS], choices=[p.name for p in PARTS])
    parser.add_argument("--tiny", action="store_true", help="sizes that a CPU can do in seconds")
    parser.add_argument("--work", type=Path, default=HERE.parent / "runs" / "benchmarks" / "gpu")
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu.json")
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("this torch finds no CUDA device; --device cpu --tiny shows that the parts work")
    torch.set_num_threads(options.threads)
    bench = Bench(
        device=options.device,
        sizes=Sizes.small() if options.tiny else Sizes(),
        tiny=options.tiny,
        seconds=options.seconds,
        ends=time.monotonic() + options.seconds,
        cifar=options.cifar,
        networks=options.networks,
        work=options.work,
    )
    document = run(bench, options.parts, options.out)
    return 1 if any("failed" in part for part in document["parts"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
