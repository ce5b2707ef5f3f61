"""Operators against torch: random networks of whole numbers, spike for spike, and the table of docs/nir_support.md.

Every network is input spikes -> NIR nodes of one kind -> integrators that fire above a threshold. Torch computes it
in float64 with its own layers; the interpreter and the compiled program, on the simulator, have to give the same
spikes. ``python tests/compile/operator_networks.py`` prints the table.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import nir
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamount.compile.network.interpret import run_network
from seamount.compile.network.network import Shape
from seamount.compile.nir.presets import Discretisation
from seamount.compile.nir.read import NirOptions
from seamount.compile.pipeline import CompileOptions, compile_graph
from seamount.errors import Unsupported
from seamount.hardware_targets.simulator.simulate import simulate
from seamount.models.export import operator_node
from seamount.models.fold import fold, op_shape

N_STEPS, N_SAMPLES, N_NETWORKS = 6, 3, 12


@dataclass
class Chain:
    """NIR nodes and what torch makes of (N, *shape) at each of them."""

    rng: np.random.Generator
    first: Shape
    nodes: list[Any] = field(default_factory=list)
    layers: list[Callable[[Tensor], Tensor]] = field(default_factory=list)
    shape: Shape = ()
    units: int = 1
    """Whole multiples of 1 / units are all weights, poolings' aside."""

    def add(self, node: Any, layer: Callable[[Tensor], Tensor]) -> None:
        self.nodes.append(node)
        self.layers.append(layer)
        self.shape = tuple(self(torch.zeros(1, *self.first)).shape[1:])

    def __post_init__(self) -> None:
        self.shape = self.first

    def __call__(self, x: Tensor) -> Tensor:
        x = x.double()
        for layer in self.layers:
            x = layer(x)
        return x

    def draw(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def pair(self, low: int, high: int) -> tuple[int, int]:
        return self.draw(low, high), self.draw(low, high)

    def whole(self, *shape: int) -> np.ndarray:
        return self.rng.integers(-3, 4, shape).astype(np.float64)

    # ------------------------------------------------------------------------------------------ operators

    def conv2d(self, *, groups: int = 1, dilation: bool = False, same: bool = False) -> None:
        c, h, w = self.shape
        c_out = groups * self.draw(1, 2)
        weight = self.whole(c_out, c // groups, self.draw(1, min(3, h)), self.draw(1, min(4, w)))
        stride = (1, 1) if same else self.pair(1, 2)
        padding: Any = "same" if same else self.pair(0, 2)
        spread = self.pair(1, 2) if dilation else (1, 1)
        kernel = torch.from_numpy(weight)

        def layer(x: Tensor) -> Tensor:
            with warnings.catch_warnings():  # of a copy that torch makes for 'same' with even kernels
                warnings.simplefilter("ignore")
                return F.conv2d(x, kernel, None, stride, padding, spread, groups)

        self.add(nir.Conv2d((h, w), weight, stride, padding, spread, groups, np.zeros(c_out)), layer)

    def conv1d(self) -> None:
        c, length = self.shape
        groups = int(self.rng.choice([1, c]))
        weight = self.whole(2 * groups, c // groups, self.draw(1, 5))
        stride, padding, dilation = self.draw(1, 3), self.draw(0, 4), self.draw(1, 2)
        kernel = torch.from_numpy(weight)
        self.add(
            nir.Conv1d(length, weight, stride, padding, dilation, groups, np.zeros(len(weight))),
            lambda x: F.conv1d(x, kernel, None, stride, padding, dilation, groups),
        )

    def pool(self, *, average: bool, whole_map: bool = False) -> None:
        kernel = self.shape[1:] if whole_map else self.pair(1, 3)
        stride = (1, 1) if whole_map else self.pair(1, 3)
        padding = (0, 0) if whole_map else (self.draw(0, kernel[0] // 2), self.draw(0, kernel[1] // 2))
        factor = 1 if average else kernel[0] * kernel[1]
        node = (nir.AvgPool2d if average else nir.SumPool2d)(np.array(kernel), np.array(stride), np.array(padding))
        self.add(node, lambda x: F.avg_pool2d(x, kernel, stride, padding) * factor)

    def pool_lines(self) -> None:
        kernel, stride = self.draw(1, 4), self.draw(1, 3)
        padding = self.draw(0, kernel // 2)
        node = nir.AvgPool2d(np.array([1, kernel]), np.array([1, stride]), np.array([0, padding]))
        self.add(node, lambda x: F.avg_pool1d(x, kernel, stride, padding))

    def flatten(self, start: int = 0, end: int = -1) -> None:
        node = nir.Flatten({"input": np.array(self.shape)}, start, end)
        last = end if end < 0 else end + 1
        self.add(node, lambda x: x.flatten(start + 1, last))

    def linear(self) -> None:
        weight = self.whole(5, self.shape[-1])
        kernel = torch.from_numpy(weight)
        self.add(nir.Linear(weight), lambda x: F.linear(x, kernel))

    def scale(self) -> None:
        scale = self.whole(*self.shape)
        self.add(nir.Scale(scale), lambda x: x * torch.from_numpy(scale))

    def spikes(self) -> None:
        """One spike where the sum is above 0: behind a SumPool2d it is max-pooling."""
        self.add(nir.Threshold(np.full(self.shape, 0.5)), lambda x: (x > 0.5).double())

    def max_pool(self) -> None:
        kernel, stride = self.pair(1, 3), self.pair(1, 3)
        padding = (self.draw(0, kernel[0] // 2), self.draw(0, kernel[1] // 2))
        self.add(
            nir.SumPool2d(np.array(kernel), np.array(stride), np.array(padding)),
            lambda x: F.max_pool2d(x, kernel, stride, padding),
        )
        self.add(nir.Threshold(np.full(self.shape, 0.5)), lambda x: x)

    # ------------------------------------------------------------------- torch's layers, as students export them

    def layer(self, module: nn.Module) -> None:
        """Folded into operators that NIR has a node for."""
        shape, module = self.shape, module.double().requires_grad_(False)
        for parameter in module.parameters():
            parameter.copy_(torch.from_numpy(self.whole(*parameter.shape)))
        for op in fold(module, shape, "layer"):
            self.nodes.append(operator_node(op, shape, "layer"))
            shape = op_shape(op, shape)
        self.layers.append(module)
        self.shape = shape

    def transposed(self) -> None:
        groups, kernel, dilation = self.draw(1, 2), self.pair(1, 3), self.pair(1, 2)
        padding = tuple(self.draw(0, d * (k - 1)) for k, d in zip(kernel, dilation, strict=True))
        self.layer(nn.ConvTranspose2d(2, 2, kernel, 1, padding, 0, groups, False, dilation))

    def spread(self) -> None:
        groups, kernel, stride = self.draw(1, 2), self.pair(1, 3), (self.draw(1, 2), self.draw(2, 3))
        layer = nn.ConvTranspose2d(2, 2, kernel, stride, 0, (0, self.draw(0, 1)), groups, False, self.pair(1, 2))
        self.layer(nn.Sequential(layer, nn.Flatten()))

    def unequal(self) -> None:
        sizes = [int(self.rng.choice([m for m in range(2, n) if n % m])) for n in self.shape[1:]]
        axes = zip(self.shape[1:], sizes, strict=True)
        high, wide = ({-(-(i + 1) * n // m) - i * n // m for i in range(m)} for n, m in axes)
        self.units = math.lcm(*(h * w for h in high for w in wide))
        self.layer(nn.Sequential(nn.AdaptiveAvgPool2d((sizes[0], sizes[1])), nn.Flatten()))

    def padded(self) -> None:
        around = (*self.pair(0, 2), *self.pair(0, 2))
        self.layer(nn.Sequential(nn.ZeroPad2d(around), nn.Conv2d(2, 3, self.pair(1, 3), self.pair(1, 2), bias=False)))

    def adaptive(self) -> None:
        sizes = [int(self.rng.choice([m for m in range(1, n + 1) if n % m == 0])) for n in self.shape[1:]]
        self.layer(nn.AdaptiveAvgPool2d((sizes[0], sizes[1])))


def _maps(rng: np.random.Generator) -> Chain:
    return Chain(rng, (2, int(rng.integers(5, 12)), int(rng.integers(5, 12))))


def _lines(rng: np.random.Generator) -> Chain:
    return Chain(rng, (2, int(rng.integers(9, 30))))


@dataclass(frozen=True)
class Operator:
    """A row of the table: its name, what its networks begin with, and the nodes."""

    name: str
    build: Callable[[Chain], object]
    start: Callable[[np.random.Generator], Chain] = _maps


def _in_order(*steps: Callable[[Chain], object]) -> Callable[[Chain], object]:
    return lambda chain: [step(chain) for step in steps]


OPERATORS = (
    Operator("Conv2d, any stride and padding", Chain.conv2d),
    Operator("Conv2d, dilated", lambda c: c.conv2d(dilation=True)),
    Operator("Conv2d, depthwise", lambda c: c.conv2d(groups=2)),
    Operator("Conv2d, padding 'same' (even kernels too)", lambda c: c.conv2d(same=True, dilation=True)),
    Operator("Conv2d, Conv2d", _in_order(Chain.conv2d, Chain.conv2d)),
    Operator("Conv1d", Chain.conv1d, _lines),
    Operator("Conv1d, Conv1d", _in_order(Chain.conv1d, Chain.conv1d), _lines),
    Operator("Conv1d, AvgPool2d of height 1", _in_order(Chain.conv1d, Chain.pool_lines), _lines),
    Operator("SumPool2d, odd maps, padding", lambda c: c.pool(average=False)),
    Operator("AvgPool2d, odd maps, padding", lambda c: c.pool(average=True)),
    Operator("AvgPool2d, Conv2d", _in_order(lambda c: c.pool(average=True), Chain.conv2d)),
    Operator("Conv2d, AvgPool2d", _in_order(Chain.conv2d, lambda c: c.pool(average=True))),
    Operator(
        "AvgPool2d of the whole map, Flatten, Linear",
        _in_order(lambda c: c.pool(average=True, whole_map=True), Chain.flatten, Chain.linear),
    ),
    Operator("Flatten, Linear", _in_order(Chain.flatten, Chain.linear)),
    Operator("Conv2d, Flatten", _in_order(Chain.conv2d, Chain.flatten)),
    Operator("Conv2d, Flatten, Linear", _in_order(Chain.conv2d, Chain.flatten, Chain.linear)),
    Operator("Flatten of some axes, Linear", _in_order(lambda c: c.flatten(0, 1), Chain.linear)),
    Operator("Scale per neuron, Conv2d", _in_order(Chain.scale, Chain.conv2d)),
    Operator("torch's ConvTranspose2d of stride 1, as Conv2d", Chain.transposed),
    Operator("torch's ZeroPad2d on any side, Conv2d, as Conv2d", Chain.padded),
    Operator("torch's AdaptiveAvgPool2d of equal windows, as AvgPool2d", Chain.adaptive),
    Operator("torch's ConvTranspose2d of a stride, Flatten, as Linear", Chain.spread),
    Operator("torch's AdaptiveAvgPool2d of unequal windows, Flatten, as Linear", Chain.unequal),
    Operator("max-pooling (SumPool2d, Threshold)", Chain.max_pool),
    Operator("max-pooling, Conv2d", _in_order(Chain.max_pool, Chain.conv2d)),
    Operator("Conv2d, spikes, max-pooling", _in_order(Chain.conv2d, Chain.spikes, Chain.max_pool)),
)


# ----------------------------------------------------------------------------------------------------- running


@dataclass(frozen=True)
class Compared:
    """What one network's three runs gave; ``kinds`` of its synapse groups."""

    values: int
    spikes: int
    interpreter: int
    program: int
    kinds: tuple[str, ...]


def compared(operator: Operator, seed: int) -> Compared:
    """One random network: torch's spikes against the interpreter's and the program's."""
    rng = np.random.default_rng(seed)
    chain = _built(operator, rng)
    # the scale at which every sum is even, and the threshold odd: nothing is rounded, and nothing meets it
    scale = _scale(chain)
    threshold = (2 * round(scale * float(rng.choice([0.7, 2.0, 5.3])) / 2) + 1) / scale
    graph = _graph(chain, threshold)
    x = (rng.random((N_STEPS, N_SAMPLES, *chain.first)) < 0.4).astype(np.int64)
    expected = _integrated(torch.stack([chain(step) for step in torch.from_numpy(x)]), threshold).numpy()
    reading = NirOptions(n_steps=N_STEPS, discretisation=Discretisation(dt=1.0))
    options = CompileOptions(nir=reading, scales={"out": scale})
    compiled = compile_graph(graph, options=options)
    assert compiled.source is not None
    interpreted = run_network(compiled.source, x.astype(np.float64))["out"].spikes
    first = compiled.program.arrivals()["out"]
    run = simulate(compiled.program, x, record=("spikes",)).spikes["out"][first : first + N_STEPS]
    return Compared(
        expected.size,
        int(expected.sum()),
        int(np.count_nonzero(interpreted != expected)),
        int(np.count_nonzero(run.reshape(expected.shape) != expected)),
        tuple(type(s.kind).__name__.lower() for s in compiled.program.synapses),
    )


def _built(operator: Operator, rng: np.random.Generator) -> Chain:
    while True:
        chain = operator.start(rng)
        try:
            operator.build(chain)
        except (RuntimeError, Unsupported):  # a window larger than its map; a kernel that NIR's type check refuses
            continue
        if 0 < int(np.prod(chain.shape)) <= 2000:
            return chain


def _graph(chain: Chain, threshold: float) -> nir.NIRGraph:
    out = {
        "r": np.ones(chain.shape),
        "v_threshold": np.full(chain.shape, threshold),
        "v_reset": np.zeros(chain.shape),
    }
    nodes = {"input": nir.Input(np.array(chain.first))}
    nodes |= {f"n{i}": node for i, node in enumerate(chain.nodes)}
    nodes |= {"out": nir.IF(**out), "output": nir.Output(np.array(chain.shape))}
    return nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False)


def _scale(chain: Chain) -> float:
    pools = [node.kernel_size for node in chain.nodes if isinstance(node, nir.AvgPool2d)]
    return 2.0 * float(np.prod(pools[0])) if pools else 2.0 * chain.units


def _integrated(drive: Tensor, threshold: float) -> Tensor:
    """Spikes (T, B, *shape) of integrators with a reset to 0."""
    v, spikes = torch.zeros_like(drive[0]), torch.zeros_like(drive)
    for t, arriving in enumerate(drive):
        v = v + arriving
        spikes[t] = (v > threshold).to(v.dtype)
        v = torch.where(v > threshold, 0.0, v)
    return spikes


def row(operator: Operator) -> list[Compared]:
    return [compared(operator, seed) for seed in range(N_NETWORKS)]


def table_of(runs: Mapping[str, Sequence[Compared]]) -> Iterator[str]:
    """Markdown: operator, what it became, values compared, differing."""
    yield "| nodes | became | networks | values compared | interpreter differs | program differs |"
    yield "|---|---|---|---|---|---|"
    for name, found in runs.items():
        kinds = ", ".join(sorted({kind for run in found for kind in run.kinds}))
        values, interpreter, program = (
            sum(getattr(run, key) for run in found) for key in ("values", "interpreter", "program")
        )
        yield f"| {name} | {kinds} | {len(found)} | {values:,} | {interpreter} | {program} |"


if __name__ == "__main__":
    print("\n".join(table_of({operator.name: row(operator) for operator in OPERATORS})))
