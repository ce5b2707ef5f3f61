"""A graph of Lava processes, as the recordings describe it, becomes a program.

Two forms of the same graph are made. *hops*: every synapse process is a relay of its own, so that what it sends
(``a``) can be seen. *direct*: synapses lead from neuron to neuron, as in compiled programs, where the graph allows.

Lava counts a map's neurons in C order of (W, H, C). Here every node has an ``order``: our flat index -> Lava's flat
index. Maps are ordered (C, H, W); what is flat has the order that its first connection gives it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.compile.neurons.lif import Lif
from seamount.compile.neurons.relay import Relay
from seamount.compile.neurons.ternary_lif import TernaryLif
from seamount.compile.numbers import Ints, ints, weight_grid
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Input, Population, Program, Reset
from seamount.compile.synapses.kinds import Conv, Dense, Kind, Sparse, Synapses, Wire
from seamount.errors import Unsupported
from seamount.windows import Window

Arrays = Mapping[str, NDArray[Any]]

NEURONS = ("lif", "lif_reset", "ternary_lif")
MATRICES = ("dense", "sparse", "delay_dense", "delay_sparse")
SIGN_MODES = {0: "null", 1: "mixed", 2: "excitatory", 3: "inhibitory"}
SYNAPSE_KEYS = {"type", "weight_exp", "num_weight_bits", "num_message_bits", "sign_mode", "max_delay", "delays"}
SYNAPSE_KEYS |= {"name", "shape", "input_shape", "weight", "weights"}
CONV_KEYS = {"type", "name", "input_shape", "stride", "padding", "dilation", "groups", "num_message_bits"}
CONV_KEYS |= {"weight_exp", "num_weight_bits", "kernel_size", "weight", "use_graded_spike"}


@dataclass(frozen=True)
class Replay:
    """A program, its input, and where each recorded array is found in a run of it."""

    form: str
    program: Program
    inputs: dict[str, Ints]
    places: Mapping[str, tuple[str, NDArray[np.int64], tuple[int, ...]]]  # node -> population, order, Lava's shape

    @property
    def n_steps(self) -> int:
        return next(len(x) for x in self.inputs.values())

    def trace(self, activity: Activity, name: str) -> NDArray[Any] | None:
        """Recorded array ``NODE.u|v|s|a`` as Lava lays it out, (*shape, T); None where this form does not show it."""
        node, what = name.rsplit(".", 1)
        traces = {"u": activity.u, "v": activity.v, "s": activity.spikes, "a": activity.drive}[what]
        population, order, shape = self.places.get(node, ("", np.zeros(0, np.int64), ()))
        if population not in traces:
            return None
        ours = traces[population][:, 0].reshape(activity.n_steps, -1)
        lava = np.empty_like(ours)
        lava[:, order] = ours
        return np.moveaxis(lava.reshape(activity.n_steps, *shape), 0, -1)


def graph_replays(name: str, graph: Mapping[str, Any], arrays: Arrays) -> list[Replay]:
    builder = _Graph(name, graph, arrays)
    hops, direct = builder.build(direct=False), builder.build(direct=True)
    return [hops] if len(hops.program.populations) == len(direct.program.populations) else [hops, direct]


def chw(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Our flat index (C, H, W) -> Lava's flat index (W, H, C); natural for anything but maps."""
    lava = np.arange(int(np.prod(shape))).reshape(shape)
    return lava.transpose(2, 1, 0).ravel() if len(shape) == 3 else lava.ravel()


def value_range(values: Ints) -> tuple[int, bool]:
    """Bits and sign of an input that sends these values; 0 bits are spikes."""
    low, high = int(values.min()), int(values.max())
    if low >= 0 and high <= 1:
        return 0, False
    if low >= 0:
        return high.bit_length(), False
    return max(high.bit_length(), (-low - 1).bit_length()) + 1, True


class _Graph:
    """The graph of one case, with everything looked up once."""

    def __init__(self, name: str, graph: Mapping[str, Any], arrays: Arrays) -> None:
        self.name, self.arrays = name, arrays
        self.n_steps = int(graph["T"])
        self.nodes: dict[str, dict[str, Any]] = graph["nodes"]
        self.edges = [(source, target, transform) for source, target, transform in graph["edges"]]
        for node, facts in self.nodes.items():
            if facts["type"] not in (*NEURONS, *MATRICES, "source", "conv"):
                raise Unsupported(f"{name}: node {node} has type {facts['type']!r}, which is not defined here")
        self.orders: dict[str, NDArray[np.int64]] = {}

    def parameter(self, node: str, key: str, default: Any) -> Any:
        array = self.arrays.get(f"p:{node}.{key}")
        return self.nodes[node].get(key, default) if array is None else array

    def into(self, node: str) -> list[tuple[str, Any]]:
        return [(source, transform) for source, target, transform in self.edges if target == node]

    def is_synapse(self, node: str) -> bool:
        return self.nodes[node]["type"] in (*MATRICES, "conv")

    # ---------------------------------------------------------------------------------------- shapes and orders

    def shape(self, node: str) -> tuple[int, ...]:
        """Shape of what a node sends, as Lava has it."""
        kind = self.nodes[node]["type"]
        if kind == "source":
            return tuple(self.arrays[f"p:{node}.data"].shape[:-1])
        if kind in MATRICES:
            return (self.arrays[f"p:{node}.weights"].shape[0],)
        if kind == "conv":
            weights = self.arrays[f"p:{node}.weight"]
            stride, padding, dilation = (self.pair(node, k, d) for k, d in CONV_DEFAULTS)
            width, height, _ = self.input_shape(node)
            sizes = [
                (n + 2 * p - d * (k - 1) - 1) // s + 1
                for n, k, s, p, d in zip((width, height), weights.shape[1:3], stride, padding, dilation, strict=True)
            ]
            return (sizes[0], sizes[1], weights.shape[0])
        found = self.parameter(node, "shape", (1,))
        return tuple(int(n) for n in np.atleast_1d(found))

    def input_shape(self, node: str) -> tuple[int, ...]:
        """Shape that a synapse node's in-port has in Lava."""
        if self.nodes[node]["type"] == "conv":
            return tuple(int(n) for n in self.nodes[node]["input_shape"])
        return (self.arrays[f"p:{node}.weights"].shape[1],)

    def pair(self, node: str, key: str, default: int) -> tuple[int, int]:
        x, y = np.broadcast_to(self.parameter(node, key, default), (2,))
        return int(x), int(y)

    def seen(self, source: str, transform: Any) -> NDArray[np.int64]:
        """Lava's flat index at the receiver -> Lava's flat index at the source."""
        index = np.arange(int(np.prod(self.shape(source)))).reshape(self.shape(source))
        match transform:
            case None | "flatten" | "reshape":
                return index.ravel()
            case "flatten_chw":
                return index.transpose(2, 1, 0).ravel()
            case ["reshape", _] | ["flatten", *_]:
                return index.ravel()
            case ["transpose", axes]:
                return index.transpose(axes).ravel()
            case _:
                raise Unsupported(f"{self.name}: transform {transform!r} from {source} is not defined here")

    def arriving(self, source: str, transform: Any) -> NDArray[np.int64]:
        """The source's values in our order of the source -> Lava's flat index at the receiver."""
        seen = self.seen(source, transform)
        at_receiver = np.empty_like(seen)
        at_receiver[seen] = np.arange(seen.size)
        return at_receiver[self.order(source)]

    def order(self, node: str) -> NDArray[np.int64]:
        """Our flat index of a node's values -> Lava's; see the head of this file."""
        if node not in self.orders:
            self.orders[node] = chw(self.shape(node))  # ends the recursion where neurons form a loop of wires
            if self.is_synapse(node):  # rows can be in any order: that of the first neurons they reach
                for source, target, transform in self.edges:
                    if source == node and not self.is_synapse(target):
                        if self.gives_order(target) != node:
                            self.orders[node] = self.rows(node, transform, target)
                        break
            for source, transform in self.into(node):
                if not self.is_synapse(node) and source == self.gives_order(node):
                    self.orders[node] = self.arriving(source, transform)
                    break
        return self.orders[node]

    def gives_order(self, node: str) -> str | None:
        """The first node that reaches these neurons and whose own order is not free."""
        return next((s for s, _ in self.into(node) if self.nodes[s]["type"] not in MATRICES), None)

    def our_shape(self, node: str) -> tuple[int, ...]:
        """(C, H, W) where our order is that of a map, else flat."""
        shape = self.shape(node)
        if len(shape) == 3 and np.array_equal(self.order(node), chw(shape)):
            return shape[::-1]
        return (int(np.prod(shape)),)

    # ------------------------------------------------------------------------------------------------- building

    def build(self, direct: bool) -> Replay:
        inputs: list[Input] = []
        data: dict[str, Ints] = {}
        populations: list[Population] = []
        synapses: list[Synapses] = []
        places = {}
        fused = {node for node in self.nodes if direct and self.goes_straight(node)}
        for node, facts in self.nodes.items():
            order = self.order(node)
            if facts["type"] == "source":
                entry, values = self.source(node)
                inputs.append(entry)
                data[node] = values
                continue
            if node in fused:
                continue
            if facts["type"] in NEURONS:
                populations.append(self.neuron(node))
            else:
                populations.append(Population(node, self.our_shape(node), Relay()))
            places[node] = (node, order, self.shape(node))
            for number, (source, transform) in enumerate(self.into(node)):
                if self.is_synapse(node):
                    continue
                if source in fused:
                    synapses.append(self.synapses(source, node, self.rows(source, transform, node)))
                else:
                    name = f"{source}->{node}.{number}"
                    if self.in_order(source, transform, node):
                        synapses.append(Synapses(name, source, node, Wire()))
                        continue
                    if self.nodes[source]["type"] != "source":
                        raise Unsupported(
                            f"{self.name}: {source} reaches {node} in another order than the rest, "
                            "without a synapse between"
                        )
                    entry, values = self.source(source, self.rows(source, transform, node), name)
                    inputs.append(entry)  # the same values once more, as these neurons are ordered
                    data[name] = values
                    synapses.append(Synapses(f"{name}.wire", name, node, Wire()))
            if self.is_synapse(node):
                synapses.append(self.synapses(node, node, order))
        for node in self.nodes:
            if self.is_synapse(node) and len(self.into(node)) > 1:
                join, wires = self.join(node)
                populations.append(join)
                synapses += wires
        self.give_unfed_populations_nothing(populations)
        program = Program(self.name, tuple(inputs), tuple(populations), tuple(synapses))
        return Replay("direct" if direct else "hops", program, data, places)

    def give_unfed_populations_nothing(self, populations: list[Population]) -> None:
        for node in self.nodes:
            if self.is_synapse(node) and not self.into(node):
                raise Unsupported(f"{self.name}: synapses {node} have no source")

    def goes_straight(self, node: str) -> bool:
        """A synapse process that leads to neurons alone needs no relay."""
        targets = [target for source, target, _ in self.edges if source == node]
        return self.is_synapse(node) and len(targets) == 1 and all(self.nodes[t]["type"] in NEURONS for t in targets)

    def rows(self, source: str, transform: Any, target: str) -> NDArray[np.int64]:
        """Our flat index at the target -> Lava's flat index of what the synapse process sends."""
        return self.seen(source, transform)[self.order(target)]

    def in_order(self, source: str, transform: Any, target: str) -> bool:
        return np.array_equal(self.arriving(source, transform), self.order(target))

    def join(self, node: str) -> tuple[Population, list[Synapses]]:
        """Several processes that send into one synapse process are added first."""
        name = f"{node}.in"
        first = self.arriving(*self.into(node)[0])
        wires = []
        for number, (source, transform) in enumerate(self.into(node)):
            if not np.array_equal(self.arriving(source, transform), first):
                raise Unsupported(
                    f"{self.name}: {source} reaches {node} in another order than {self.into(node)[0][0]}"
                )
            wires.append(Synapses(f"{name}.{number}", source, name, Wire()))
        return Population(name, self.joined_shape(node), Relay()), wires

    def joined_shape(self, node: str) -> tuple[int, ...]:
        shape = self.input_shape(node)
        if len(shape) == 3 and np.array_equal(self.arriving(*self.into(node)[0]), chw(shape)):
            return shape[::-1]
        return (int(np.prod(shape)),)

    # ------------------------------------------------------------------------------------------- nodes of a kind

    def source(
        self, node: str, order: NDArray[np.int64] | None = None, name: str | None = None
    ) -> tuple[Input, Ints]:
        """The input that a source is, in its own order or another."""
        values = np.trunc(self.arrays[f"p:{node}.data"]).astype(np.int64)
        steps = np.arange(self.n_steps) % values.shape[-1]
        ours = values.reshape(-1, values.shape[-1])[self.order(node) if order is None else order][:, steps].T
        shape = self.our_shape(node) if order is None else (len(order),)
        return Input(name or node, shape, *value_range(ours)), ours.reshape(self.n_steps, 1, *shape)

    def neuron(self, node: str) -> Population:
        shape = self.shape(node)
        order, ours = self.order(node), self.our_shape(node)

        def whole(key: str, default: int) -> Ints:
            values = np.asarray(self.parameter(node, key, default))
            if values.dtype.kind == "f":
                raise Unsupported(f"{self.name}: {node} has {key} {values}; Lava's fixed-point model takes integers")
            if values.size == 1:
                return ints(values.reshape(()))
            return ints(np.broadcast_to(values, shape).ravel()[order].reshape(ours))

        common = {
            "du": ints(whole("du", 0) + 1),
            "dv": whole("dv", 0),
            "bias_mant": whole("bias_mant", 0),
            "bias_exp": whole("bias_exp", 0),
            "u_init": whole("u", 0),
            "v_init": whole("v", 0),
        }
        if self.nodes[node]["type"] == "ternary_lif":
            low, high = whole("vth_lo", -10), whole("vth_hi", 10)
            return Population(node, ours, TernaryLif(v_th_hi_mant=high, v_th_lo_mant=low, **common))
        reset = None
        if self.nodes[node]["type"] == "lif_reset":
            reset = Reset(int(whole("reset_interval", 1)), int(whole("reset_offset", 0)))
        return Population(node, ours, Lif(v_th_mant=whole("vth", 10), **common), reset)

    def synapses(self, node: str, target: str, rows: NDArray[np.int64]) -> Synapses:
        """Synapses of process ``node`` into ``target``, whose i-th value (ours) is Lava's ``rows[i]``."""
        sources = self.into(node)
        source = f"{node}.in" if len(sources) > 1 else sources[0][0]
        columns = self.arriving(*sources[0])
        if self.nodes[node]["type"] == "conv":
            kind, exponent, wrap_bits = self.convolution(node, target, rows, columns), 0, 24
            delay = ints(0)
        else:
            kind, delay = self.matrix(node, rows, columns)
            exponent, wrap_bits = int(self.parameter(node, "weight_exp", 0)), 32
        graded = int(np.max(self.parameter(node, "num_message_bits", 0))) > 0
        return Synapses(node, source, target, kind, exponent, graded, delay, wrap_bits)

    def matrix(self, node: str, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> tuple[Kind, Ints]:
        self.refuse_unknown(node, SYNAPSE_KEYS)
        stored = np.trunc(self.arrays[f"p:{node}.weights"])
        mode = self.parameter(node, "sign_mode", None)
        if mode is not None and not isinstance(mode, str):
            mode = SIGN_MODES[int(mode)]
        if mode is not None:
            mode = mode.rsplit(".", 1)[-1].lower()
        bits = int(self.parameter(node, "num_weight_bits", 8))
        weights = weight_grid(stored, mode, bits)[np.ix_(rows, columns)]
        delays = np.zeros((), np.int64)
        if self.nodes[node]["type"].startswith("delay"):
            delays = np.asarray(self.parameter(node, "delays", 0), np.int64)
        if delays.ndim:
            delays = np.broadcast_to(delays, stored.shape)[np.ix_(rows, columns)]
        if "sparse" not in self.nodes[node]["type"]:
            return Dense(ints(weights)), ints(delays)
        present = stored[np.ix_(rows, columns)] != 0
        row, column = np.nonzero(present)
        sparse = Sparse(ints(weights[present]), ints(row), ints(column), *weights.shape)
        return sparse, ints(delays[present] if delays.ndim else delays)

    def convolution(self, node: str, target: str, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Kind:
        """Lava convolves (flips the kernel) over (W, H); exponent and number of weight bits have no effect there."""
        self.refuse_unknown(node, CONV_KEYS)
        weight = np.trunc(self.arrays[f"p:{node}.weight"]).astype(np.int64)
        stride, padding, dilation = (self.pair(node, k, d)[::-1] for k, d in CONV_DEFAULTS)
        groups = int(np.max(self.parameter(node, "groups", 1)))
        if max(*stride, *padding, *dilation, *weight.shape[1:3]) > 127:
            raise Unsupported(f"{self.name}: {node} has a parameter above 127, which Lava's int8 cannot hold")
        if groups > 127:
            weight = np.zeros_like(weight)  # int8 in Lava: it becomes negative and nothing is computed
        weights = weight.transpose(0, 3, 2, 1)[:, :, ::-1, ::-1]
        conv = Conv(ints(weights), Window(stride, padding, dilation, groups))
        shape = self.input_shape(node)
        straight = np.array_equal(columns, chw(shape)) and np.array_equal(rows, chw(self.shape(node)))
        if straight and self.map_of(node) == shape[::-1] and len(self.our_shape(target)) == 3:
            return conv
        return unrolled(conv, shape[::-1], rows, columns, chw(shape), chw(self.shape(node)))

    def map_of(self, node: str) -> tuple[int, ...]:
        """Our shape of what a convolution receives."""
        sources = self.into(node)
        return self.joined_shape(node) if len(sources) > 1 else self.our_shape(sources[0][0])

    def refuse_unknown(self, node: str, known: set[str]) -> None:
        unknown = sorted(set(self.nodes[node]) - known)
        if unknown:
            raise Unsupported(
                f"{self.name}: {node} has the parameter {', '.join(unknown)}, which is not defined here"
            )


CONV_DEFAULTS = (("stride", 1), ("padding", 0), ("dilation", 1))


def unrolled(
    conv: Conv,
    source: tuple[int, ...],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    source_order: NDArray[np.int64],
    target_order: NDArray[np.int64],
) -> Sparse:
    """A convolution as single synapses, where its source or target is not laid out as a map."""
    from seamount.compile.synapses.sums import convolution

    n_source = int(np.prod(source))
    each = np.eye(n_source, dtype=np.int64).reshape(n_source, *source)
    matrix = np.zeros((target_order.size, n_source), np.int64)
    matrix[np.ix_(target_order, source_order)] = convolution(conv, each).reshape(n_source, -1).T
    moved = matrix[np.ix_(rows, columns)]
    row, column = np.nonzero(moved)
    return Sparse(ints(moved[row, column]), ints(row), ints(column), *moved.shape)
