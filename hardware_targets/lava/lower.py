"""From a program to a graph of Lava processes, written down as plain data: the only place that knows Lava's layout.

Lava holds maps as (W, H, C), flips its kernels (a true convolution), writes ``du - 1``, re-rounds the weights of a
matrix by their signs, and has no exponent on convolutions. What it cannot hold exactly is refused here, before a
process is started. Nothing here imports Lava.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from seamount.compile.neurons.atrlif import Atrlif
from seamount.compile.neurons.cuba import Cuba
from seamount.compile.neurons.delta import Delta
from seamount.compile.neurons.graded_relu_vec import GradedReluVec
from seamount.compile.neurons.graded_vec import GradedVec
from seamount.compile.neurons.lif import Lif
from seamount.compile.neurons.model import Message, NeuronModel
from seamount.compile.neurons.models import Graded, Resonating, SigmaDeltas
from seamount.compile.neurons.norm_vec_delay import NormVecDelay
from seamount.compile.neurons.prod_neuron import ProdNeuron
from seamount.compile.neurons.relay import Relay
from seamount.compile.neurons.rf import Rf
from seamount.compile.neurons.rf_iz import RfIz
from seamount.compile.neurons.sigma import Sigma
from seamount.compile.neurons.sigma_delta import SigmaDelta
from seamount.compile.neurons.ternary_lif import TernaryLif
from seamount.compile.numbers import UNITY, Ints, wrap
from seamount.compile.program.messages import largest_drive, messages
from seamount.compile.program.program import Population, Program
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Sparse, Synapses, Wire
from seamount.compile.synapses.matrix import diagonal, unrolled
from seamount.errors import Unsupported

LONGEST_CHAIN = 4
"""Delays up to this many steps become hops through identity synapses, longer ones a single delayed identity, which
rebuilds a matrix per delay value at every step."""

Array = NDArray[Any]
Change = str | tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """One Lava process: its type, its scalar settings and its arrays, named and laid out as Lava wants them.

    Attributes:
        name: what it is in the program, for messages.
        shape: of what leaves it, channels first.
        is_whc: Lava holds that shape reversed, as (W, H, C).
        initial: what variables of Lava's process begin with, in place of what its constructor makes of real numbers.
        variables: names that Lava has for states where it has others.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    is_whc: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)
    initial: Mapping[str, int] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Port:
    """Where values leave or enter a node: its key, and the layout there; Lava's name of the port where it has two."""

    key: str
    shape: tuple[int, ...]
    is_whc: bool
    name: str = ""


@dataclass(frozen=True)
class Edge:
    """Keys of two nodes, the changes of layout between them, and the port that it enters where there are two."""

    source: str
    target: str
    changes: tuple[Change, ...]
    port: str = ""


@dataclass(frozen=True)
class Graph:
    """Lava processes and connections.

    Attributes:
        nodes: by key; keys are "input/NAME", "population/NAME", "synapses/NAME" and what belongs to them.
        edges: what is connected.
    """

    nodes: Mapping[str, Node]
    edges: Sequence[Edge]


def lava_graph(program: Program) -> Graph:
    """The Lava processes of a program.

    Raises:
        Unsupported: Lava's fixed-point models cannot hold the program exactly.
    """
    # marks of arrivals carry nothing, and Lava's processes must hold something
    heard = tuple(s for s in program.synapses if isinstance(s.kind, Wire) or s.kind.weights.size)
    return _Lowering(program.with_(synapses=heard)).graph()


class _Lowering:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []
        self.delayed: dict[tuple[str, int], Port] = {}
        names = [s.name for s in program.synapses]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise Unsupported(f"two synapse groups are called {twice}", where=program.name, ways_out="rename one")
        sent = messages(program)
        self.kinds = {s.name: _lava_kind(s, program, sent[s.source]) for s in program.synapses}
        self.maps = {
            name for s in program.synapses if isinstance(self.kinds[s.name], Conv) for name in (s.source, s.target)
        }

    def graph(self) -> Graph:
        for entry in self.program.inputs:
            self._add("input", entry.name, Node(entry.name, "Source", entry.shape, self._is_whc(entry.name)))
        for population in self.program.populations:
            self._population(population)
        for synapses in self.program.synapses:
            if not isinstance(synapses.kind, Wire):
                self._synapses(synapses)
        for population in self.program.populations:
            key, is_whc = f"population/{population.name}", self._is_whc(population.name)
            for drive in population.neuron.drives:
                into = Port(key, population.shape, is_whc, PORTS.get((type(population.neuron), drive), ""))
                for port in self._senders_into(population.name, drive):
                    self._connect(port, into)
        for synapses in self.program.synapses:
            if not isinstance(synapses.kind, Wire):
                self._feed(synapses)
        self._check_edges()
        return Graph(self.nodes, tuple(self.edges))

    def _is_whc(self, name: str) -> bool:
        return name in self.maps

    def _add(self, group: str, name: str, node: Node) -> Port:
        key = f"{group}/{name}"
        self.nodes[key] = node
        return Port(key, node.shape, node.is_whc)

    # -- populations

    def _population(self, population: Population) -> None:
        """What follows a relay listens to the relay's senders."""
        name = population.name
        node = _neuron(population, self._is_whc(name))
        self._add("population", name, node)

    # -- connections

    def _senders(self, name: str) -> list[Port]:
        """Ports whose sum is what an input or population sends."""
        if name in {i.name for i in self.program.inputs}:
            return [Port(f"input/{name}", self.program.shape(name), self._is_whc(name))]
        if self.program.population(name).neuron.passes_on:
            return self._senders_into(name, *self.program.population(name).neuron.drives)
        return [Port(f"population/{name}", self.program.shape(name), self._is_whc(name))]

    def _senders_into(self, name: str, drive: str) -> list[Port]:
        ports: list[Port] = []
        for synapses in self.program.into(name):
            if synapses.drive != drive:
                continue
            if isinstance(synapses.kind, Wire):
                ports += self._senders(synapses.source)
            else:
                node = self.nodes[f"synapses/{synapses.name}"]
                ports.append(Port(f"synapses/{synapses.name}", node.shape, node.is_whc))
        return ports

    def _connect(self, source: Port, target: Port) -> None:
        changes: list[Change] = []
        if not (source.is_whc and target.is_whc and source.shape == target.shape):
            if source.is_whc:
                changes.append("reverse")
            if len(source.shape) > 1:
                changes.append("flatten")
            if len(target.shape) > 1:
                changes.append(target.shape)
            if target.is_whc:
                changes.append("reverse")  # its own inverse
        self.edges.append(Edge(source.key, target.key, tuple(changes), target.name))

    def _check_edges(self) -> None:
        seen = set()
        for edge in self.edges:
            if (edge.source, edge.target, edge.port) in seen:
                raise Unsupported(
                    f"hears {self.nodes[edge.source].name} twice in the same step, through different wires",
                    where=self.nodes[edge.target].name,
                    possible="Lava connects two ports once",
                    ways_out="double the weights instead",
                )
            seen.add((edge.source, edge.target, edge.port))

    # -- synapses

    def _synapses(self, synapses: Synapses) -> None:
        kind = self.kinds[synapses.name]
        source = self.program.shape(synapses.source)
        target = self.program.shape(synapses.target)
        # with 0 bits Lava takes every value that is not 0 for a spike; with more it multiplies, whatever their number
        message_bits = 24 if synapses.graded else 0
        match kind:
            case Conv():
                node = _convolution(synapses, kind, source, target, message_bits)
            case Dense() | Sparse():
                node = _matrix(synapses, kind, message_bits)
            case _:
                raise AssertionError(f"{synapses.name}: {type(kind).__name__} is lowered to a matrix before")
        self._add("synapses", synapses.name, node)

    def _feed(self, synapses: Synapses) -> None:
        """Connects a synapse group to what it listens to, over a delay line where it is a delayed convolution."""
        source = self.program.shape(synapses.source)
        if not isinstance(self.kinds[synapses.name], Conv):
            flat = Port(f"synapses/{synapses.name}", (int(np.prod(source)),), False)
            for port in self._senders(synapses.source):
                self._connect(port, flat)
            return
        into = Port(f"synapses/{synapses.name}", source, True)
        if synapses.delay.any():
            self._connect(self._delay_line(synapses.source, int(synapses.delay)), into)
        else:
            for port in self._senders(synapses.source):
                self._connect(port, into)

    def _delay_line(self, source: str, delay: int) -> Port:
        """What a source sent ``delay`` steps ago: graded identity synapses, shared by all who need them."""
        if (source, delay) in self.delayed:
            return self.delayed[source, delay]
        n = int(np.prod(self.program.shape(source)))
        diagonal = np.arange(n)
        settings = {"n_target": n, "n_source": n, "weight_exp": 0, "sign_mode": "EXCITATORY", "num_message_bits": 24}
        arrays = {"weights": np.ones(n, np.int64), "rows": diagonal, "columns": diagonal}
        short = delay <= LONGEST_CHAIN
        kind = "Sparse" if short else "DelaySparse"
        if not short:
            arrays["delays"] = np.full(n, delay - 1)  # one less, because the identity itself takes a step
        before = [self._delay_line(source, delay - 1)] if short and delay > 1 else self._senders(source)
        port = self._add(
            "delay", f"{source}/{delay}", Node(f"{source} + {delay}", kind, (n,), False, settings, arrays)
        )
        for sender in before:
            self._connect(sender, port)
        self.delayed[source, delay] = port
        return port


# ------------------------------------------------------------------------------------------------- neurons


def _lava_shape(shape: tuple[int, ...], whc: bool) -> tuple[int, ...]:
    return shape[::-1] if whc else shape


def _neuron(population: Population, whc: bool) -> Node:
    """A neuron process of Lava; a relay is a sink, which only listens, for the record."""
    name, reset = population.name, population.reset
    settings: dict[str, Any] = {"shape": _lava_shape(population.shape, whc)}
    match population.neuron:
        case Relay():
            return Node(name, "Sink", population.shape, whc, settings)
        case Lif() as neuron:
            kind, values = "LIF" if reset is None else "LIFReset", _lif(neuron, name)
        case TernaryLif() as neuron:
            kind, values = "TernaryLIF", _ternary(neuron, population)
        case Atrlif() as neuron:
            return _atrlif(population, neuron, whc)
        case Delta() | SigmaDelta() | Sigma() | Rf() | RfIz() | GradedVec() | GradedReluVec():
            return _programmed(population, population.neuron, whc)
        case ProdNeuron() | NormVecDelay():
            return _programmed(population, population.neuron, whc)
        case _ as neuron:
            assert_never(neuron)
    if reset is not None:
        # below the interval, because LIFReset compares the step modulo the interval with it
        settings |= {"reset_interval": reset.interval, "reset_offset": reset.offset % reset.interval}
    arrays = {}
    for key, value in values.items():
        if np.unique(value).size == 1:
            settings[key] = int(value.flat[0])
        else:
            full = np.broadcast_to(value, population.shape)
            arrays[key] = np.ascontiguousarray(full.T if whc else full)
    return Node(name, kind, population.shape, whc, settings, arrays)


PORTS: Mapping[tuple[type[NeuronModel], str], str] = {
    (Rf, "real"): "a_real_in",
    (Rf, "imag"): "a_imag_in",
    (RfIz, "real"): "a_real_in",
    (RfIz, "imag"): "a_imag_in",
    (ProdNeuron, "first"): "a_in1",
    (ProdNeuron, "second"): "a_in2",
    (NormVecDelay, "first"): "a_in1",
    (NormVecDelay, "second"): "a_in2",
}
"""Lava's name of a drive, where a process has several."""


def _programmed(population: Population, neuron: SigmaDeltas | Resonating | Graded, whc: bool) -> Node:
    """Processes without a reset, whose thresholds and rates are one number for all neurons.

    Their constructors shift what they are given, so that fractions, which a double holds, become our integers.
    """
    if population.reset is not None:
        raise Unsupported(
            f"Lava's {type(neuron).__name__} has no reset",
            where=population.name,
            ways_out="run one sample at a time without",
        )
    settings: dict[str, Any] = {"shape": _lava_shape(population.shape, whc)}
    arrays: dict[str, Array] = {}
    initial: dict[str, int] = {}
    variables: dict[str, str] = {}
    one = partial(_one_for_all, population)
    match neuron:
        case Sigma():
            kind = "Sigma"
        case Delta() | SigmaDelta():
            kind, unit = type(neuron).__name__, 2.0 ** (neuron.spike_exp + neuron.state_exp)
            settings |= {name: getattr(neuron, name) for name in ("spike_exp", "state_exp", "cum_error")}
            settings["vth"] = one(v_th=neuron.v_th) / unit
            if isinstance(neuron, SigmaDelta):
                settings["act_mode"] = "RELU" if neuron.rectified else "UNIT"
                bias = np.broadcast_to(neuron.bias / unit, population.shape)
                arrays["bias"] = np.ascontiguousarray(bias.T if whc else bias)
        case Rf() | RfIz():
            kind = "RF" if isinstance(neuron, Rf) else "RF_IZ"
            settings |= {"period": 4.0, "alpha": 0.0, "state_exp": neuron.state_exp, "decay_bits": neuron.decay_bits}
            settings["vth"] = one(v_th=neuron.v_th) / 2.0**neuron.state_exp
            # which period and alpha gave them is not known here
            initial = {"sin_decay": one(sin_decay=neuron.sin_decay), "cos_decay": one(cos_decay=neuron.cos_decay)}
        case GradedVec() | GradedReluVec() | ProdNeuron() | NormVecDelay():
            kind, settings["vth"] = type(neuron).__name__, one(v_th=neuron.v_th)
            settings["exp"] = neuron.exp if isinstance(neuron, ProdNeuron) else 0
            variables = {"before": "v"} if isinstance(neuron, NormVecDelay) else {}
        case _:
            assert_never(neuron)
    return Node(population.name, kind, population.shape, whc, settings, arrays, initial, variables)


def _atrlif(population: Population, neuron: Atrlif, whc: bool) -> Node:
    """Rates are fractions in Lava: whole 4096ths, which a double holds; thresholds are shifted by 6 bits."""
    if population.reset is not None:
        raise Unsupported("Lava's Atrlif has no reset", where=population.name, ways_out="run one sample at a time")
    one = partial(_one_for_all, population)
    settings: dict[str, Any] = {
        "shape": _lava_shape(population.shape, whc),
        "delta_i": (one(du=neuron.du) - 1) / UNITY,
        "delta_v": one(dv=neuron.dv) / UNITY,
        "delta_theta": one(dtheta=neuron.dtheta) / UNITY,
        "delta_r": one(dr=neuron.dr) / UNITY,
        "theta_0": one(theta_0=neuron.theta_0) / 64,
        "theta_step": one(theta_step=neuron.theta_step) / 64,
    }
    arrays = {}
    for name, value in (
        ("bias_mant", wrap(neuron.bias_mant, 16)),
        ("bias_exp", neuron.bias_exp),
        ("i", neuron.u_init),
        ("v", neuron.v_init),
    ):
        full = np.broadcast_to(value, population.shape)
        arrays[name] = np.ascontiguousarray(full.T if whc else full)
    # Lava scales its first theta by itself, once; a sample that starts afresh begins with this one
    initial = {"theta": one(theta_0=neuron.theta_0)}
    return Node(population.name, "ATRLIF", population.shape, whc, settings, arrays, initial, {"u": "i"})


def _one_for_all(population: Population, **values: Ints) -> int:
    """The one number that Lava's process takes for all of its neurons."""
    ((name, value),) = values.items()
    if np.unique(value).size > 1:
        raise Unsupported(
            f"{name} {value.min()} to {value.max()}",
            where=population.name,
            possible=f"Lava's {type(population.neuron).__name__} takes one for all neurons",
            ways_out="split the population",
        )
    return int(value.flat[0])


def _lif(neuron: Lif, name: str) -> dict[str, Ints]:
    if neuron.refractory_steps:
        raise Unsupported(
            f"rests {neuron.refractory_steps} steps after a spike",
            where=name,
            possible="Lava's fixed-point LIF has no refractory period",
            ways_out="set it to 0, or run the program on the simulator alone",
        )
    if neuron.v_floor is not None:
        raise Unsupported(
            f"v never falls below {neuron.v_floor.max()}",
            where=name,
            possible="Lava's LIF has no floor of v",
            ways_out="leave v_floor out, or run the program on the simulator alone",
        )
    return {**_cuba(neuron), "vth": neuron.v_th_mant}


def _ternary(neuron: TernaryLif, population: Population) -> dict[str, Ints]:
    if population.reset is not None:
        raise Unsupported(
            "Lava's TernaryLIF has no reset", where=population.name, ways_out="run one sample at a time without"
        )
    thresholds = {"vth_hi": neuron.v_th_hi_mant, "vth_lo": neuron.v_th_lo_mant}
    for values in thresholds.values():
        if np.unique(values).size > 1:
            raise Unsupported(
                f"thresholds {values.min()} to {values.max()}",
                where=population.name,
                possible="Lava's TernaryLIF takes one for all neurons",
                ways_out="split the population",
            )
    return {**_cuba(neuron), **thresholds}


def _cuba(neuron: Cuba) -> dict[str, Ints]:
    return {
        "du": neuron.du - 1,  # Lava's model adds ds_offset = 1 again, as the registers of Loihi 1 do
        "dv": neuron.dv,
        # here, because numpy 2 refuses to wrap a Python int into Lava's int16
        "bias_mant": wrap(neuron.bias_mant, 16),
        "bias_exp": neuron.bias_exp,
        "u": neuron.u_init,
        "v": neuron.v_init,
    }


# ------------------------------------------------------------------------------------------------- synapses


def _lava_kind(synapses: Synapses, program: Program, sent: Message) -> Conv | Dense | Sparse | Wire:
    """The same connections as Lava has them: its convolution has no right shift, one-to-one is a diagonal."""
    kind = synapses.kind
    if isinstance(kind, Wire):
        if synapses.delay.any():
            raise Unsupported(
                "a wire with a delay", where=synapses.name, ways_out="use one-to-one synapses of weight 1"
            )
        return kind
    if isinstance(kind, OneToOne):
        lowered: Conv | Dense | Sparse = diagonal(kind, program.shape(synapses.source))
    elif isinstance(kind, Conv) and synapses.exponent < 0:
        lowered = unrolled(kind, program.shape(synapses.source), program.shape(synapses.target), zeros=True)
    else:
        lowered = kind
    check_wrap(program, synapses, sent, lowered)
    return lowered


def check_wrap(program: Program, synapses: Synapses, sent: Message, lava: Conv | Dense | Sparse) -> None:
    """Refuses synapses whose drive Lava would wrap at another width than the program."""
    lava_bits = 24 if isinstance(lava, Conv) else 32
    bound = largest_drive(program, synapses, sent)
    if synapses.wrap_bits != lava_bits and bound >= 1 << (min(synapses.wrap_bits, lava_bits) - 1):
        raise Unsupported(
            f"wraps to {synapses.wrap_bits} bits and its sums can reach {bound}",
            where=synapses.name,
            possible=f"Lava's {type(lava).__name__} wraps to {lava_bits}",
            ways_out="lower the weights or the exponent",
        )


def _convolution(
    synapses: Synapses, kind: Conv, source: tuple[int, ...], target: tuple[int, ...], message_bits: int
) -> Node:
    weights = kind.weights << synapses.exponent  # shifted here, because Lava's Conv ignores weight_exp
    settings = {  # sides in Lava's order, (W, H)
        "input_shape": source[::-1],
        "stride": kind.window.stride[::-1],
        "padding": kind.window.padding[::-1],
        "dilation": kind.window.dilation[::-1],
        "groups": kind.window.groups,
        "num_message_bits": message_bits,
    }
    # turned around, because Lava convolves where torch and we correlate
    flipped = np.ascontiguousarray(weights[:, :, ::-1, ::-1].transpose(0, 3, 2, 1))
    return Node(synapses.name, "Conv", target, True, settings, {"weight": flipped})


def _matrix(synapses: Synapses, kind: Dense | Sparse, message_bits: int) -> Node:
    settings: dict[str, Any] = {
        "weight_exp": synapses.exponent,
        "sign_mode": sign_mode(kind.weights, synapses.name),
        "num_message_bits": message_bits,
    }
    arrays: dict[str, Array] = {"weights": np.array(kind.weights)}
    is_delayed = bool(synapses.delay.any())
    if is_delayed:
        arrays["delays"] = np.array(np.broadcast_to(synapses.delay, kind.weights.shape))
    if isinstance(kind, Dense):
        n_target = kind.weights.shape[0]
        return Node(synapses.name, "DelayDense" if is_delayed else "Dense", (n_target,), False, settings, arrays)
    places = kind.rows * kind.n_source + kind.columns
    if is_delayed and np.unique(places).size < places.size:
        raise Unsupported(
            "several delayed synapses between the same two neurons", where=synapses.name, possible="Lava keeps one"
        )
    settings |= {"n_target": kind.n_target, "n_source": kind.n_source}
    arrays |= {"rows": np.array(kind.rows), "columns": np.array(kind.columns)}
    name = "DelaySparse" if is_delayed else "Sparse"
    return Node(synapses.name, name, (kind.n_target,), False, settings, arrays)


def sign_mode(weights: Ints, where: str) -> str:
    """Lava's sign mode that leaves the weights as they are."""
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    if low >= 0 and high <= 255:
        return "EXCITATORY"
    if high <= 0 and low >= -255:
        return "INHIBITORY"
    if low >= -256 and high <= 254 and not np.any(weights & 1):
        return "MIXED"
    raise Unsupported(
        f"weights {low} to {high} are not on the 8-bit grid",
        where=where,
        possible="which holds 0 to 255, -255 to 0, or even numbers from -256 to 254",
        ways_out="quantise the program for a Loihi target",
    )
