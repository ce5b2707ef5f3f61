"""How fast the mapper is, and what binds: ``python benchmarks/mapping.py`` writes benchmarks/results/mapping.json.

Programs with random integer weights in the shapes of known networks; one core (OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
from figures import RESULTS, write_figures

from seamount.compile.fit.place import Placement, place
from seamount.compile.neurons.lif import Lif
from seamount.compile.neurons.relay import Relay
from seamount.compile.numbers import ints
from seamount.compile.program.program import Input, Population, Program, Readout
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Synapses
from seamount.errors import SeamountError
from seamount.hardware_targets.target import load_target
from seamount.windows import Window

LIF = Lif(du=ints(4096), dv=ints(1024), v_th_mant=ints(1024))


class Builder:
    """Adds one layer after the other; weights are even integers of 8 bits."""

    def __init__(self, name: str, shape: tuple[int, ...], bits: int, seed: int = 0) -> None:
        self.name, self.random = name, np.random.default_rng(seed)
        self.inputs = (Input("input", shape, bits),)
        self.populations: list[Population] = []
        self.synapses: list[Synapses] = []
        self.shapes: dict[str, tuple[int, ...]] = {"input": shape}

    def weights(self, *shape: int) -> Any:
        return ints(self.random.integers(-127, 128, shape) * 2)

    def add(self, name: str, shape: tuple[int, ...], neuron: Any = LIF) -> str:
        self.populations.append(Population(name, shape, neuron))
        self.shapes[name] = shape
        return name

    def conv(
        self, source: str, name: str, channels: int, kernel: int = 3, stride: int = 1, depthwise: bool = False
    ) -> str:
        c, h, w = self.shapes[source]
        if name not in self.shapes:
            self.add(name, (channels, -(-h // stride), -(-w // stride)))
        pad = (kernel - 1) // 2
        groups = c if depthwise else 1
        kind = Conv(
            self.weights(channels, c // groups, kernel, kernel), Window((stride, stride), (pad, pad), groups=groups)
        )
        graded = source == "input" and self.inputs[0].bits > 0
        self.synapses.append(Synapses(f"{source}>{name}", source, name, kind, graded=graded))
        return name

    def skip(self, source: str, name: str) -> None:
        """The identity past two convolutions: one relay balances the latency."""
        relay = self.add(f"{name}.relay", self.shapes[source], Relay())
        self.synapses.append(Synapses(f"{source}>{relay}", source, relay, OneToOne(ints(1))))
        self.synapses.append(Synapses(f"{relay}>{name}", relay, name, OneToOne(ints(64))))

    def dense(self, source: str, name: str, n: int) -> str:
        self.add(name, (n,))
        n_in = int(np.prod(self.shapes[source]))
        self.synapses.append(Synapses(f"{source}>{name}", source, name, Dense(self.weights(n, n_in))))
        return name

    def pool(self, source: str, name: str, size: int) -> str:
        """Sum over size x size, as a depthwise convolution onto neurons that pass spikes on."""
        c, h, w = self.shapes[source]
        self.add(name, (c, h // size, w // size))
        kind = Conv(ints(np.full((c, 1, size, size), 16)), Window((size, size), groups=c))
        self.synapses.append(Synapses(f"{source}>{name}", source, name, kind))
        return name

    def program(self, readout: str) -> Program:
        return Program(
            self.name, self.inputs, tuple(self.populations), tuple(self.synapses), Readout(readout, "count"), 4
        )


def vgg9() -> Program:
    """CIFAR-10, 2.2 M parameters, strides in place of pooling."""
    b = Builder("vgg9", (3, 32, 32), 8)
    last = b.conv("input", "conv1", 64)
    for n, (channels, stride) in enumerate(((64, 2), (128, 1), (128, 2), (256, 1), (256, 2)), 2):
        last = b.conv(last, f"conv{n}", channels, stride=stride)
    b.dense(b.dense(last, "fc1", 256), "fc2", 10)
    return b.program("fc2")


def resnet18(width: int = 64) -> Program:
    """CIFAR-10 form: first kernel 3 x 3, stride 1, no pooling before the last map; 11.2 M parameters at width 64."""
    b = Builder(f"resnet18 width {width}", (3, 32, 32), 8)
    last = b.conv("input", "stem", width)
    for stage in range(4):
        channels = width << stage
        for block in range(2):
            stride = 2 if stage and not block else 1
            name = f"layer{stage + 1}.{block}"
            middle = b.conv(last, f"{name}.a", channels, stride=stride)
            out = b.conv(middle, f"{name}.b", channels)
            if stride == 1:
                b.skip(last, out)
            else:
                short = b.conv(last, f"{name}.short", channels, kernel=1, stride=2)
                b.synapses.append(Synapses(f"{short}>{out}", short, out, OneToOne(ints(64))))
            last = out
    b.dense(b.pool(last, "pool", 4), "fc", 10)
    return b.program("fc")


def mobilenet(side: int = 128) -> Program:
    """MobileNet v1, width 1: 4.2 M parameters."""
    b = Builder(f"mobilenet {side}", (3, side, side), 8)
    last = b.conv("input", "stem", 32, stride=2)
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for n, (channels, stride) in enumerate(plan, 1):
        c = b.shapes[last][0]
        last = b.conv(last, f"dw{n}", c, stride=stride, depthwise=True)
        last = b.conv(last, f"pw{n}", channels, kernel=1)
    b.dense(b.pool(last, "pool", b.shapes[last][1]), "fc", 1000)
    return b.program("fc")


def n_parameters(program: Program) -> int:
    return sum(s.kind.weights.size for s in program.synapses if isinstance(s.kind, Conv | Dense))


def summary(placement: Placement) -> dict[str, Any]:
    return {
        "cores": placement.n_cores,
        "chips": placement.n_chips,
        "chip_crossings": placement.chip_crossings,
        "imbalance": round(placement.imbalance, 3),
        "assumed_layout": placement.assumed_layout,
        "layers": [
            {
                "population": layer.population,
                "tiles": layer.n_tiles,
                "tile": list(layer.tile),
                "binding": layer.binding,
                "share": round(layer.binding_share, 3),
                "relief": layer.relief,
            }
            for layer in placement.layers
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "mapping.json")
    parser.add_argument("--only", default="", help="networks whose name contains this")
    arguments = parser.parse_args()
    results = []
    for make in (vgg9, lambda: resnet18(16), resnet18, mobilenet):
        program = make()
        if arguments.only not in program.name:
            continue
        for target in ("loihi1", "loihi2"):
            start, cpu = time.perf_counter(), time.process_time()
            try:
                found: dict[str, Any] = summary(place(program, load_target(target)))
            except SeamountError as error:
                found = {"refused": str(error)}
            seconds = {"wall_s": round(time.perf_counter() - start, 2), "cpu_s": round(time.process_time() - cpu, 2)}
            neurons = sum(p.n_neurons for p in program.populations)
            entry = {
                "network": program.name,
                "parameters": n_parameters(program),
                "neurons": neurons,
                "target": target,
            }
            results.append(entry | seconds | found)
            print(
                f"{program.name:20} {target:8} {found.get('cores', 'refused'):>8} cores {seconds['cpu_s']:8.1f} s",
                flush=True,
            )
    machine = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
    }
    write_figures(arguments.out, {"conditions": machine, "results": results})


if __name__ == "__main__":
    main()
