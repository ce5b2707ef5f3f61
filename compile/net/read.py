"""Reads lava-dl's ``.net`` files into programs that compute what lava-dl's netx and Lava 0.10.0 would.

Every rule of the loader is followed, the odd ones too, so that an old network gives its old spikes: what is lost on
the way in (fractions truncated, weights clipped, a -128 that becomes -126) is lost here as well, and told in the
program's ``provenance``. Layer types that the loader cannot run are refused by name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.errors import InputError, Unsupported
from seamount.foreign.limits import VALUES
from seamount.windows import Window

from ..neurons.delta_coding import MOST_EXPONENT, DeltaCoding
from ..neurons.lif import NEVER_FIRES, Lif
from ..neurons.models import Neuron
from ..neurons.resonator import Resonator
from ..neurons.sigma import Sigma
from ..numbers import ints
from ..program.program import Input, Population, Program, Readout, Reset
from ..program.readout import Quantity
from ..synapses.kinds import Conv, Dense, Kind, Synapses, Wire
from ..synapses.shape import target_shape
from .file import Group, open_net
from .neurons import STATE_EXPONENT, is_resonator, message_bits, read_neuron
from .values import Note, Shape, delays, grids, matrix, pair, shape_of, truncated

INPUT_BITS = 24
"""What an input block may be driven with: signed numbers in weight units."""

NEVER_FIRES_FROM = (1 << 17) - 1
"""Slayer writes integrating outputs with the largest threshold there is."""

REFUSED = {
    "concat": "concatenation is not in lava-dl's loader",
    "convT": "transposed convolution is not in lava-dl's loader",
    "unpool": "unpooling is not in lava-dl's loader",
}


@dataclass(frozen=True)
class NetOptions:
    """How to read a ``.net`` file: those arguments of ``read_net`` that a NIR file has no use for."""

    reset_interval: int | None = None
    reset_offset: int = 0
    n_layers: int | None = None
    skip_layers: int = 0
    skip_unknown: bool = False
    spike_exp: int = 6


def read_net(
    path: str | Path,
    *,
    reset_interval: int | None = None,
    reset_offset: int = 0,
    n_steps: int | None = None,
    n_layers: int | None = None,
    skip_layers: int = 0,
    input_shape: Shape | None = None,
    input_bits: int = 0,
    skip_unknown: bool = False,
    spike_exp: int = 6,
) -> Program:
    """The program of a ``.net`` file. Population ``layerN`` is layer N of the file, the input is ``input``.

    Args:
        reset_interval, reset_offset: as netx's: the l-th block (from 0) is reset at offset l + 1 + reset_offset.
        n_steps: length of a sample, if the program is to know it.
        n_layers, skip_layers: as netx's ``num_layers`` and ``skip_layers``: read skip_layers .. n_layers - 1.
        input_shape: (C, H, W) of the input, for a file that begins with a convolution and does not say.
        input_bits: netx's ``input_message_bits``: the first synapses multiply by the payload.
        skip_unknown: leave out layers of unknown type without a word, as netx does; else they are refused.
        spike_exp: as netx's: sigma-delta neurons send a change of 1 as 2**spike_exp.

    Raises:
        InputError: unreadable, damaged, foreign, or a value that is not possible; names the key.
        Unsupported: a layer or neuron that cannot be carried over; names it.
    """
    path = Path(path)
    if reset_interval is not None and reset_interval < 1:
        raise InputError(f"reset interval {reset_interval}", where=path, possible="at least 1 is possible")
    if reset_offset < -1:
        raise InputError(f"reset offset {reset_offset}", where=path, possible="at least -1 is possible")
    if (n_layers is not None and n_layers < 1) or skip_layers < 0:
        raise InputError(f"layers {skip_layers} to {n_layers}", where=path, possible="counts from 0 on are possible")
    if input_shape is not None and (len(input_shape) not in (1, 3) or min(input_shape) < 1):
        raise InputError(f"input shape {input_shape}", where=path, possible="(C, H, W) of at least 1 is possible")
    most = MOST_EXPONENT - STATE_EXPONENT
    if not 0 <= spike_exp <= most:
        raise InputError(f"spike_exp {spike_exp}", where=path, possible=f"0 to {most} are possible")
    with open_net(path) as layers:
        kept = layers if n_layers is None else layers[:n_layers]
        reader = _Reader(path, reset_interval, reset_offset, input_bits, input_shape, spike_exp)
        for i, layer in enumerate(kept):
            reader.read(i, layer, skipped=i < skip_layers, skip_unknown=skip_unknown)
        sha256 = hashlib.sha256(layers[0].content).hexdigest()
    provenance = {
        "source": path.name,
        "sha256": sha256,
        "format": "lava-dl .net",
    }
    return reader.program(n_steps, provenance)


def read_as(neuron: Neuron) -> Quantity:
    """What is the answer of a last layer: spikes are counted, v and what Sigma sends are read at the end, and changes
    are added up, which gives the activation that they are changes of."""
    if isinstance(neuron, Lif):
        return "v" if int(neuron.v_th_mant.min()) >= NEVER_FIRES_FROM else "count"
    if isinstance(neuron, Sigma):
        return "v"
    return "sum" if isinstance(neuron, DeltaCoding) else "count"


# ------------------------------------------------------------------------------------------------- the chain


@dataclass(frozen=True)
class _Last:
    """What the next layer listens to."""

    name: str
    shape: Shape


@dataclass
class _Reader:
    path: Path
    reset_interval: int | None
    reset_offset: int
    input_bits: int
    input_shape: Shape | None
    spike_exp: int
    inputs: list[Input] = field(default_factory=list)
    populations: list[Population] = field(default_factory=list)
    synapses: list[Synapses] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    last: _Last | None = None
    flatten_next: bool = False
    message_bits: int = 0

    def read(self, i: int, layer: Group, *, skipped: bool, skip_unknown: bool) -> None:
        kind = layer.text("type")
        match kind:
            case "input":
                self._input(i, layer, skipped)
            case "flatten":
                self.flatten_next = True
            case "dense" | "dense_rec" | "recurrent" | "dense_comp" | "conv" | "pool" if skipped:
                self.input_shape, self.message_bits = shape_of(layer), message_bits(layer)
            case "dense" | "dense_comp" if layer.has("weight/imag") or is_resonator(layer):
                self._complex(i, layer)
            case "dense_comp":
                raise InputError("is missing", where=f"{layer.where}/weight/imag")
            case "dense" | "dense_rec" | "recurrent":  # dense_rec under its older name
                self._dense(i, layer, kind != "dense")
            case "conv" | "pool":
                self._conv(i, layer, _convolution if kind == "conv" else _pooling)
            case "average" if skipped:
                pass
            case "average":
                self._average(i, layer)
            case _ if kind in REFUSED:
                raise Unsupported(f"layer type '{kind}': {REFUSED[kind]}", where=layer.where)
            case _ if not skip_unknown:
                raise Unsupported(
                    f"layer type {kind[:40]!r} is unknown",
                    where=layer.where,
                    ways_out="lava-dl leaves such layers out without a word: pass skip_unknown to do the same",
                )

    def program(self, n_steps: int | None, provenance: dict[str, str]) -> Program:
        if self.last is None or not self.populations:
            raise InputError("no layer with neurons; nothing to run", where=self.path)
        last = self.populations[-1]
        return Program(
            name=self.path.stem,
            inputs=tuple(self.inputs),
            populations=tuple(self.populations),
            synapses=tuple(self.synapses),
            readout=Readout(last.name, read_as(last.neuron)),
            n_steps=n_steps,
            provenance=provenance | self.notes,
        )

    # -- layers

    def _input(self, i: int, layer: Group, skipped: bool) -> None:
        shape = shape_of(layer)
        if self.populations:
            raise Unsupported("a second input; lava-dl does not connect it to anything", where=layer.where)
        self.input_shape = shape
        if not layer.has("neuron"):
            return
        neuron = self._neuron(i, layer, shape, is_input=True)
        weight, bias = (_one_number(layer, key, default) for key, default in (("weight", 64), ("bias", 0)))
        if skipped:
            self.message_bits = message_bits(layer)
            return
        self.notes["input"] = f"drive with x * {weight} / 64 + {bias} of the network's own input x, in whole numbers"
        self.inputs.append(Input("input", shape, INPUT_BITS, signed=True))
        self.last = _Last("input", shape)
        self._add(
            i, shape, neuron, [("input", Wire(), {"drive": drive}) for drive in neuron.drives], message_bits(layer)
        )

    def _dense(self, i: int, layer: Group, recurrent: bool) -> None:
        shape = (int(np.prod(shape_of(layer))),)
        weights, note = matrix(layer, "weight", shape[0]), self._note_of(i)
        source = self._listen(layer, weights.shape[1])
        neuron = self._neuron(i, layer, shape)
        delay = delays(layer, weights.shape, note) if layer.has("delay") else ints(0)
        if not recurrent:
            (grid,), exponent = grids(weights, [weights], note)
            into = [(source, Dense(grid), {"exponent": exponent, "delay": delay})]
            self._add(i, shape, neuron, into, message_bits(layer))
            return
        feedback = _feedback(layer, weights, shape[0])
        (grid, grid_back), exponent = grids(np.hstack([weights, feedback]), [weights, feedback], note)
        if layer.has("delay"):
            note(f"delays in a recurrent layer: lava-dl forgets the exponent {exponent}, and so do we")
            exponent = 0
        both = {"exponent": exponent, "delay": delay}
        into = [(source, Dense(grid), both), (f"layer{i}", Dense(grid_back), both)]
        self._add(i, shape, neuron, into, message_bits(layer))

    def _complex(self, i: int, layer: Group) -> None:
        """Two matrices from one source to the two parts of a resonator's state."""
        shape = (int(np.prod(shape_of(layer))),)
        neuron = self._neuron(i, layer, shape)
        if not isinstance(neuron, Resonator):
            raise Unsupported(
                "complex weights, but neurons without a complex state",
                where=layer.where,
                possible="RF and RF_IZ neurons take them",
            )
        if layer.has("delay"):
            raise Unsupported("delays on complex weights; lava-dl forgets them", where=f"{layer.where}/delay")
        parts = {part: matrix(layer, f"weight/{part}", shape[0]) for part in ("real", "imag")}
        if parts["real"].shape != parts["imag"].shape:
            raise InputError(
                f"shape {parts['imag'].shape}",
                where=f"{layer.where}/weight/imag",
                possible=f"{parts['real'].shape}, that of weight/real, is possible",
            )
        source = self._listen(layer, parts["real"].shape[1])
        into: list[tuple[str, Kind, dict[str, Any]]] = []
        for drive, weights in parts.items():
            (grid,), exponent = grids(weights, [weights], self._note_of(i))
            into.append((source, Dense(grid), {"exponent": exponent, "drive": drive}))
        self._add(i, shape, neuron, into, message_bits(layer))

    def _conv(self, i: int, layer: Group, made_of: Callable[[Group, Shape, Note], Conv]) -> None:
        before = self.input_shape if self.last is None else self.last.shape
        if before is None:
            told = "the file begins with a convolution and names no input"
            raise InputError(told, where=layer.where, ways_out="pass input_shape")
        note = self._note_of(i)
        kind = made_of(layer, before, note)
        shape, made = shape_of(layer), target_shape(kind, before, layer.where)
        if made != shape:
            raise InputError(f"{shape}, but the convolution of {before} makes {made}", where=f"{layer.where}/shape")
        if layer.has("delay"):
            note("its delay is ignored, as lava-dl does for convolutions")
        if self.last is None:
            self._input_node(before)
        assert self.last is not None, "made above"
        # as Lava 0.10.0 does it: sums of convolutions wrap to 24 bits, those of matrices (Synapses' default) to 32
        into: list[tuple[str, Kind, dict[str, Any]]] = [(self.last.name, kind, {"wrap_bits": 24})]
        self._add(i, shape, self._neuron(i, layer, shape), into, message_bits(layer))

    def _average(self, i: int, layer: Group) -> None:
        """slayer's mean over equally many neurons per class, as one integrator a class that counts their spikes.

        The sum stands for the mean, because the groups are equally large; summed over time by the integrator, because
        slayer's losses and classifiers sum its output over time.
        """
        n = int(np.prod(shape_of(layer)))
        if self.last is None or not self.populations:
            raise InputError("nothing before it that could be averaged", where=layer.where)
        if self.message_bits:
            raise Unsupported("a mean of graded messages; slayer's is one of spikes", where=layer.where)
        n_before = int(np.prod(self.last.shape))
        if n_before % n:
            raise InputError(
                f"{self.last.name} has {n_before} neurons, which {n} groups cannot share equally", where=layer.where
            )
        VALUES.check(n * n_before, layer.where, f"a mean of {n_before} neurons in {n} groups")
        weights = np.kron(np.eye(n, dtype=np.int64), np.ones((1, n_before // n), dtype=np.int64))
        self.flatten_next = False
        self._note(i, f"mean over groups of {n_before // n} neurons: v / 64 counts the spikes of a group")
        counts = Lif(du=ints(4096), dv=ints(0), v_th_mant=ints(NEVER_FIRES))
        self._add(i, (n,), counts, [(self.last.name, Dense(ints(weights)), {})], 0)

    # -- parts

    def _listen(self, layer: Group, n_sources: int) -> str:
        """Name of what a dense layer listens to; makes the input if it is the first."""
        if self.last is None:
            self._input_node((n_sources,))
        elif len(self.last.shape) == 3 and not self.flatten_next:
            raise Unsupported(f"follows a map of shape {self.last.shape} without a flatten layer", where=layer.where)
        elif len(self.last.shape) != 3 and self.flatten_next:
            raise Unsupported(f"a flatten layer before it, but {self.last.name} is no map", where=layer.where)
        assert self.last is not None, "made above"
        self.flatten_next = False
        n_before = int(np.prod(self.last.shape))
        if n_sources != n_before:
            raise InputError(
                f"takes {n_sources} inputs, {self.last.name} has {n_before} neurons", where=f"{layer.where}/weight"
            )
        return self.last.name

    def _input_node(self, shape: Shape) -> None:
        # what a layer that was skipped would have sent enters instead of it: of these, the graded ones have a sign
        bits = self.input_bits or self.message_bits
        self.inputs.append(Input("input", shape, bits, signed=self.message_bits > 0))
        self.last = _Last("input", shape)
        self.flatten_next = False

    def _add(
        self, i: int, shape: Shape, neuron: Neuron, into: Sequence[tuple[str, Kind, dict[str, Any]]], sent_bits: int
    ) -> None:
        """One block: a population, with its reset, and the synapses into it.

        Args:
            sent_bits: of what it sends; 0: spikes.
        """
        name = f"layer{i}"
        reset = None
        if self.reset_interval is not None:
            # every block sees a sample one step after the block before it, so it must be cleared a step later
            reset = Reset(self.reset_interval, len(self.populations) + 1 + self.reset_offset)
            if not isinstance(neuron, Lif):
                self._note(i, "no reset, as in lava-dl, which knows none for these neurons")
                reset = None
        # the first synapses hear the input, later ones the layer before; recurrent ones take its bits too, as netx's
        graded = (self.input_bits if not self.populations else 0) > 0 or self.message_bits > 0
        self.populations.append(Population(name, shape, neuron, reset))
        for n, (source, kind, settings) in enumerate(into):
            part = "recurrent" if source == name else "synapses" if n == 0 else settings["drive"]
            wired = isinstance(kind, Wire)
            self.synapses.append(
                Synapses(f"{name}/{part}", source, name, kind, graded=graded and not wired, **settings)
            )
        self.last, self.message_bits = _Last(name, shape), sent_bits

    def _neuron(self, i: int, layer: Group, shape: Shape, *, is_input: bool = False) -> Neuron:
        return read_neuron(layer, shape, self._note_of(i), is_input=is_input, spike_exp=self.spike_exp)

    def _note(self, i: int, text: str) -> None:
        key = f"layer{i}"
        self.notes[key] = f"{self.notes[key]}; {text}" if key in self.notes else text

    def _note_of(self, i: int) -> Note:
        return partial(self._note, i)


def _one_number(layer: Group, key: str, default: int) -> int:
    """Of an input layer: its fraction is lost, as in netx."""
    values = layer.numbers(key) if layer.has(key) else np.array(default)
    if values.size != 1:
        raise InputError(f"shape {values.shape}", where=f"{layer.where}/{key}", possible="one number is expected")
    return int(values.reshape(-1)[0])


def _feedback(layer: Group, weights: NDArray[Any], n: int) -> NDArray[Any]:
    """The weights of a recurrent layer from its own neurons."""
    found = matrix(layer, "weight_rec", n)
    if found.shape != (n, n):
        raise InputError(f"shape {found.shape}", where=f"{layer.where}/weight_rec", possible=f"{(n, n)} is possible")
    if layer.has("delay") and weights.shape != found.shape:
        raise Unsupported(
            f"delays in a recurrent layer of {weights.shape[1]} inputs and {n} neurons; "
            "lava-dl's loader fails unless they are equally many",
            where=layer.where,
        )
    return found


def _convolution(layer: Group, before: Shape, note: Note) -> Conv:
    if len(before) != 3:
        raise Unsupported(
            f"a convolution over a map of shape {before}", where=layer.where, possible="(C, H, W) is possible"
        )
    values = layer.numbers("weight")
    if values.ndim < 4 or any(n != 1 for n in values.shape[4:]):
        raise InputError(
            f"shape {values.shape}",
            where=f"{layer.where}/weight",
            possible="(out, in, height, width) is possible",
        )
    weights = truncated(values.reshape(values.shape[:4]), note)
    stride, padding, dilation = (pair(layer, name) for name in ("stride", "padding", "dilation"))
    groups = layer.integer("groups")
    if min(*stride, *dilation, groups) < 1 or min(padding) < 0:
        raise InputError("stride, dilation and groups are at least 1, padding at least 0", where=layer.where)
    return Conv(ints(weights), Window(stride, padding, dilation, groups))


def _pooling(layer: Group, before: Shape, note: Note) -> Conv:
    """A pool layer of slayer: a convolution of every channel by itself with one kernel. netx leaves it out."""
    if len(before) != 3:
        raise Unsupported(f"pooling of a map of shape {before}", where=layer.where, possible="(C, H, W) is possible")
    values = truncated(layer.numbers("weight"), note)
    height, width = pair(layer, "kernelSize")
    if values.size not in (1, height * width):
        raise InputError(
            f"shape {values.shape}",
            where=f"{layer.where}/weight",
            possible=f"one kernel of {height} x {width} is possible",
        )
    VALUES.check(before[0] * height * width, layer.where, f"windows {(height, width)} on {before[0]} channels")
    kernel = np.broadcast_to(values.reshape(-1), height * width).reshape(1, 1, height, width)
    stride, padding, dilation = (pair(layer, name) for name in ("stride", "padding", "dilation"))
    if min(*stride, *dilation) < 1 or min(padding) < 0:
        raise InputError("stride and dilation are at least 1, padding at least 0", where=layer.where)
    plain = Window(stride, padding, dilation).size(before[1:], (height, width))
    if plain != shape_of(layer)[1:] and dilation == (1, 1):
        below, right = (_added(n, k) for n, k in zip(before[1:], (height, width), strict=True))
        # zeros in front in the kernel make up for the padding above and on the left
        kernel = np.pad(kernel, ((0, 0), (0, 0), (below, 0), (right, 0)))
        padding = padding[0] + below, padding[1] + right
    return Conv(ints(np.repeat(kernel, before[0], axis=0)), Window(stride, padding, dilation, groups=before[0]))


def _added(n: int, window: int) -> int:
    """Zeros that slayer adds at the end of an axis which its windows do not fill, as far as they fill it then."""
    return n % window if (n + n % window) % window == 0 else 0
