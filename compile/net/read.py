"""Reads lava-dl's ``.net`` files into programs that compute what lava-dl's netx and Lava 0.10.0 would.

Every rule of the loader is followed, the odd ones too, so that an old network gives its old spikes: what is lost on
the way in (fractions truncated, weights clipped, a -128 that becomes -126) is lost here as well, and told in the
program's ``provenance``. Layer types that the loader cannot run are refused by name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.errors import InputError, Unsupported

from ..neurons.lif import Lif
from ..numbers import Ints, ints, weight_grid
from ..program.program import Input, Population, Program, Readout, Reset
from ..synapses.kinds import Conv, Dense, Kind, Synapses, Wire
from ..synapses.shape import target_shape
from .file import Group, open_net

Shape = tuple[int, ...]

BIAS_EXPONENT = 6
"""netx adds biases in weight units."""

LONGEST_DELAY = 62
INPUT_BITS = 24
"""What an input block may be driven with: signed numbers in weight units."""

REFUSED = {
    "pool": "pooling is not in lava-dl's loader either; train with strided convolutions",
    "average": "averages the output over groups of neurons, outside of the chip; leave it out with n_layers={i}",
    "concat": "concatenation is not in lava-dl's loader",
    "convT": "transposed convolution is not in lava-dl's loader",
    "unpool": "unpooling is not in lava-dl's loader",
    "dense_comp": "complex synapses belong to resonate-and-fire neurons, which this program format does not have",
}


@dataclass(frozen=True)
class NetOptions:
    """How to read a ``.net`` file: those arguments of ``read_net`` that a NIR file has no use for."""

    reset_interval: int | None = None
    reset_offset: int = 0
    n_layers: int | None = None
    skip_layers: int = 0
    input_shape: Shape | None = None
    skip_unknown: bool = False


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
) -> Program:
    """The program of a ``.net`` file. Population ``layerN`` is layer N of the file, the input is ``input``.

    Args:
        reset_interval, reset_offset: as netx's: the l-th block (from 0) is reset at offset l + 1 + reset_offset.
        n_steps: length of a sample, if the program is to know it.
        n_layers, skip_layers: as netx's ``num_layers`` and ``skip_layers``: read skip_layers .. n_layers - 1.
        input_shape: (C, H, W) of the input, for a file that begins with a convolution and does not say.
        input_bits: netx's ``input_message_bits``: the first synapses multiply by the payload.
        skip_unknown: leave out layers of unknown type without a word, as netx does; else they are refused.

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
    with open_net(path) as layers:
        kept = layers if n_layers is None else layers[:n_layers]
        reader = _Reader(path, reset_interval, reset_offset, input_bits, input_shape)
        for i, layer in enumerate(kept):
            reader.read(i, layer, skipped=i < skip_layers, skip_unknown=skip_unknown)
        sha256 = hashlib.sha256(layers[0].content).hexdigest()
    provenance = {
        "source": path.name,
        "sha256": sha256,
        "format": "lava-dl .net",
    }
    return reader.program(n_steps, provenance)


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
    inputs: list[Input] = field(default_factory=list)
    populations: list[Population] = field(default_factory=list)
    synapses: list[Synapses] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    last: _Last | None = None
    flatten_next: bool = False
    message_bits_of: str | None = None

    def read(self, i: int, layer: Group, *, skipped: bool, skip_unknown: bool) -> None:
        kind = layer.text("type")
        match kind:
            case "input":
                self._input(i, layer, skipped)
            case "flatten":
                self.flatten_next = True
            case "dense" | "dense_rec" | "conv" if skipped:
                self.input_shape = _shape_of(layer)
            case "dense" | "dense_rec":
                self._dense(i, layer, kind == "dense_rec")
            case "conv":
                self._conv(i, layer)
            case _ if kind in REFUSED:
                raise Unsupported(f"layer type '{kind}': {REFUSED[kind].format(i=i)}", where=layer.where)
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
        assert isinstance(last.neuron, Lif), "this reader makes no other"
        # slayer writes integrating outputs with the largest threshold there is
        quantity = "v" if int(last.neuron.v_th_mant.min()) >= (1 << 17) - 1 else "count"
        return Program(
            name=self.path.stem,
            inputs=tuple(self.inputs),
            populations=tuple(self.populations),
            synapses=tuple(self.synapses),
            readout=Readout(last.name, quantity),
            n_steps=n_steps,
            provenance=provenance | self.notes,
        )

    # -- layers

    def _input(self, i: int, layer: Group, skipped: bool) -> None:
        shape = _shape_of(layer)
        if self.populations:
            raise Unsupported("a second input; lava-dl does not connect it to anything", where=layer.where)
        self.input_shape = shape
        if not layer.has("neuron"):
            return
        neuron = self._neuron(i, layer, shape)
        weight = int(layer.numbers("weight").reshape(-1)[0]) if layer.has("weight") else 64
        bias = int(layer.numbers("bias").reshape(-1)[0]) if layer.has("bias") else 0
        if skipped:
            return
        self.notes["input"] = f"drive with x * {weight} / 64 + {bias} of the network's own input x, in whole numbers"
        self.inputs.append(Input("input", shape, INPUT_BITS, signed=True))
        self.last = _Last("input", shape)
        self._add(i, shape, neuron, [("input", Wire(), {})])

    def _dense(self, i: int, layer: Group, recurrent: bool) -> None:
        if layer.has("weight") and layer.has("weight/imag"):
            raise Unsupported(
                "complex weights belong to resonate-and-fire neurons, which are not supported", where=layer.where
            )
        shape = (int(np.prod(_shape_of(layer))),)
        weights = _matrix(layer, "weight", shape[0])
        source = self._listen(layer, weights.shape[1])
        neuron = self._neuron(i, layer, shape)
        delay = _delays(layer, weights.shape) if layer.has("delay") else ints(0)
        self._note_delay_clip(i, layer)
        if not recurrent:
            grid, exponent = self._grid(i, weights, [weights])
            self._add(i, shape, neuron, [(source, Dense(grid[0]), {"exponent": exponent, "delay": delay})])
            return
        rec = _matrix(layer, "weight_rec", shape[0])
        if rec.shape != (shape[0], shape[0]):
            raise InputError(
                f"shape {rec.shape}",
                where=f"{layer.where}/weight_rec",
                possible=f"{(shape[0], shape[0])} is possible",
            )
        grid, exponent = self._grid(i, np.hstack([weights, rec]), [weights, rec])
        if layer.has("delay"):
            if weights.shape != rec.shape:
                raise Unsupported(
                    f"delays in a recurrent layer of {weights.shape[1]} inputs and {shape[0]} neurons; "
                    "lava-dl's loader fails unless they are equally many",
                    where=layer.where,
                )
            self._note(i, f"delays in a recurrent layer: lava-dl forgets the exponent {exponent}, and so do we")
            exponent = 0
        both = {"exponent": exponent, "delay": delay}
        self._add(i, shape, neuron, [(source, Dense(grid[0]), both), (f"layer{i}", Dense(grid[1]), both)])

    def _conv(self, i: int, layer: Group) -> None:
        if self.last is None and self.input_shape is None:
            raise InputError(
                "the file begins with a convolution and names no input",
                where=layer.where,
                ways_out="pass input_shape",
            )
        before = self.input_shape if self.last is None else self.last.shape
        assert before is not None, "one of the two is known"
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
        weights = self._truncate(i, values.reshape(values.shape[:4]))
        pairs = {name: _pair(layer, name) for name in ("stride", "padding", "dilation")}
        groups = layer.integer("groups")
        if min(*pairs["stride"], *pairs["dilation"], groups) < 1 or min(pairs["padding"]) < 0:
            raise InputError("stride, dilation and groups are at least 1, padding at least 0", where=layer.where)
        kind = Conv(ints(weights), pairs["stride"], pairs["padding"], pairs["dilation"], groups)
        made = target_shape(kind, before, layer.where)
        shape = _shape_of(layer)
        if made != shape:
            raise InputError(f"{shape}, but the convolution of {before} makes {made}", where=f"{layer.where}/shape")
        if layer.has("delay"):
            self._note(i, "its delay is ignored, as lava-dl does for convolutions")
        if self.last is None:
            self._input_node(before)
        assert self.last is not None, "made above"
        self._add(i, shape, self._neuron(i, layer, shape), [(self.last.name, kind, {"wrap_bits": 24})])

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
        self.inputs.append(Input("input", shape, self.input_bits))
        self.last = _Last("input", shape)
        self.flatten_next = False

    def _add(self, i: int, shape: Shape, neuron: Lif, into: Sequence[tuple[str, Kind, dict[str, Any]]]) -> None:
        """One block: a population, with its reset, and the synapses into it."""
        if self.message_bits_of is not None:
            raise Unsupported(
                "graded spikes between LIF layers; lava-dl's loader cannot build the next layer",
                where=self.message_bits_of,
            )
        name = f"layer{i}"
        reset = None
        if self.reset_interval is not None:
            reset = Reset(self.reset_interval, len(self.populations) + 1 + self.reset_offset)
        self.populations.append(Population(name, shape, neuron, reset))
        graded = self.input_bits > 0 and len(self.populations) == 1
        for source, kind, settings in into:
            part = "recurrent" if source == name else "synapses"
            wired = isinstance(kind, Wire)
            self.synapses.append(
                Synapses(f"{name}/{part}", source, name, kind, graded=graded and not wired, **settings)
            )
        self.last = _Last(name, shape)

    def _neuron(self, i: int, layer: Group, shape: Shape) -> Lif:
        if not layer.has("neuron"):
            if layer.text("type") in ("conv", "input"):
                raise InputError("is missing", where=f"{layer.where}/neuron")
            du, dv, v_th = 0, 4096, 1 << 17  # netx: an integrator without memory that never fires
            return Lif(ints(du), ints(dv), ints(v_th), bias_mant=_bias(layer, shape), bias_exp=ints(BIAS_EXPONENT))
        neuron = layer.child("neuron")
        kind = neuron.text("type")
        if kind not in ("LOIHI", "CUBA"):
            missing = "only LOIHI and CUBA neurons can be read"
            if kind == "SDNN":
                missing = "sigma-delta neurons send graded differences and have no spikes: this program has none such"
            elif "RF" in kind:
                missing = "resonate-and-fire neurons have a complex state: this program has none such"
            raise Unsupported(f"{kind[:40]!r}: {missing}", where=f"{neuron.where}/type")
        if neuron.has("messageBits"):
            self.message_bits_of = f"{neuron.where}/messageBits"
        if neuron.has("weight_exp") and neuron.integer("weight_exp"):
            self._note(i, f"neuron/weight_exp {neuron.integer('weight_exp')} is ignored, as lava-dl does")
        if neuron.has("refDelay") and neuron.integer("refDelay") > 1:
            self._note(i, f"neuron/refDelay {neuron.integer('refDelay')} is ignored, as lava-dl does")
        return Lif(
            du=_parameter(neuron, "iDecay", shape),
            dv=_parameter(neuron, "vDecay", shape),
            v_th_mant=_parameter(neuron, "vThMant", shape),
            bias_mant=_bias(layer, shape) if layer.text("type") != "input" else ints(0),
            bias_exp=ints(BIAS_EXPONENT),
        )

    def _grid(self, i: int, together: NDArray[Any], parts: Sequence[NDArray[Any]]) -> tuple[list[Ints], int]:
        """Effective weights of matrices with one exponent, and that: netx's optimiser, then Lava's rounding."""
        whole = self._truncate(i, together)
        low, high = int(whole.min()), int(whole.max())
        if low < 0 < high and (high > 254 or low < -256):
            self._note(i, f"weights {low} to {high} are clipped to -256 to 254, as lava-dl does")
            whole = np.clip(whole, -256, 254)
        if not whole.any():
            self._note(i, "all weights are 0; lava-dl's loader fails on such a layer")
            return [ints(p * 0) for p in parts], 0
        widths = np.cumsum([p.shape[1] for p in parts])[:-1]
        grids, shift = effective_weights(np.split(whole, widths, axis=1))
        lost = int(np.count_nonzero(np.hstack(grids) != whole * 2.0**shift))
        if lost:
            self._note(i, f"{lost} of {whole.size} weights change on the chip's grid, as they do in lava-dl and Lava")
        return grids, -shift

    def _truncate(self, i: int, values: NDArray[Any]) -> NDArray[np.int64]:
        whole: NDArray[np.int64] = np.trunc(values).astype(np.int64)
        n = int(np.count_nonzero(whole != values))
        if n:
            self._note(i, f"{n} fractional weights are truncated towards zero, as lava-dl does")
        return whole

    def _note_delay_clip(self, i: int, layer: Group) -> None:
        if layer.has("delay") and layer.numbers("delay").max() > LONGEST_DELAY:
            self._note(i, f"delays beyond {LONGEST_DELAY} are clipped to it, as lava-dl does")

    def _note(self, i: int, text: str) -> None:
        key = f"layer{i}"
        self.notes[key] = f"{self.notes[key]}; {text}" if key in self.notes else text


# -------------------------------------------------------------------------------------------------- values


def _shape_of(layer: Group) -> Shape:
    values = layer.integers("shape").reshape(-1)
    shape = tuple(int(n) for n in values)
    if not 1 <= len(shape) <= 4 or min(shape) < 1 or np.prod(shape, dtype=float) > 1 << 25:
        raise InputError(f"{shape} is not a shape that can be run", where=f"{layer.where}/shape")
    return shape


def _matrix(layer: Group, key: str, n_out: int) -> NDArray[Any]:
    values = layer.numbers(key)
    if values.ndim == 1 and values.size % n_out == 0:
        values = values.reshape(n_out, -1)
    if values.ndim != 2 or values.shape[0] != n_out:
        raise InputError(
            f"shape {values.shape}", where=f"{layer.where}/{key}", possible=f"({n_out}, inputs) is possible"
        )
    return values


def effective_weights(parts: Sequence[NDArray[np.int64]]) -> tuple[list[Ints], int]:
    """What netx's optimiser and Lava's rounding make of dense matrices that share an exponent, not all of them 0.

    Returns:
        the matrices as they are on the chip, and how far they are shifted left (undone after the sum).
    """
    shift, bits = _optimise(np.hstack(parts))
    scaled = [part << shift if shift >= 0 else part * 0 for part in parts]  # numpy shifts by a negative count to 0
    return [ints(weight_grid(part, None, bits)) for part in scaled], shift


def _optimise(weights: NDArray[np.int64]) -> tuple[int, int]:
    """netx's ``optimize_weight_bits``: how far weights are shifted left, and how many weight bits that leaves."""
    low, high = int(weights.min()), int(weights.max())
    mixed = low < 0 <= high
    if mixed:
        scale = min(127 / high if high else np.inf, -128 / low)
    else:
        scale = -256 / low if high < 0 else 255 / high
    shift = int(np.floor(np.log2(scale))) + mixed
    trailing = next((n for n in range(8, 0, -1) if not np.any(weights % (1 << n))), 0)
    return shift, 8 - shift - (trailing - mixed)


def _delays(layer: Group, shape: Shape) -> Ints:
    """One number, one per output or input neuron (outputs win where both fit), or one per synapse."""
    values = layer.numbers("delay")
    if values.max() > LONGEST_DELAY:
        values = np.clip(values, 0, LONGEST_DELAY)
    delays = np.trunc(values).astype(np.int64)
    if delays.min() < 0:
        raise InputError(
            f"{delays.min()} found", where=f"{layer.where}/delay", possible=f"0 to {LONGEST_DELAY} are possible"
        )
    n_out, n_in = shape
    if delays.ndim == 0:
        return ints(delays)
    if delays.shape == (n_out,):
        delays = delays[:, None]
    elif delays.shape == (n_in,):
        delays = delays[None, :]
    elif delays.shape != shape:
        raise InputError(
            f"shape {delays.shape}",
            where=f"{layer.where}/delay",
            possible=f"({n_out},), ({n_in},) or {shape} are possible",
        )
    return ints(np.broadcast_to(delays, shape))


def _bias(layer: Group, shape: Shape) -> Ints:
    """In weight units: one per neuron, or per channel of a map."""
    if not layer.has("bias"):
        return ints(0)
    bias = np.trunc(layer.numbers("bias")).astype(np.int64)
    if len(shape) == 1 and bias.shape in ((), (1,), shape):
        return ints(bias)
    if len(shape) == 3 and bias.shape == shape[:1]:
        return ints(bias.reshape(-1, 1, 1))
    if len(shape) == 3 and bias.shape == shape[::-1]:
        return ints(bias.T)
    raise InputError(f"shape {bias.shape} does not fit neurons of shape {shape}", where=f"{layer.where}/bias")


def _parameter(neuron: Group, key: str, shape: Shape) -> Ints:
    """One number, or one per neuron, or per channel of a map, as Lava broadcasts it over (W, H, C)."""
    values = neuron.integers(key)
    try:
        over_map = np.broadcast_to(values, shape[::-1] if len(shape) == 3 else shape)
    except ValueError:
        raise InputError(
            f"shape {values.shape} does not fit neurons of shape {shape}", where=f"{neuron.where}/{key}"
        ) from None
    if values.size == 1:
        return ints(values.reshape(()))
    if len(shape) != 3:
        return ints(over_map)
    return ints(values.reshape(-1, 1, 1) if values.shape == shape[:1] else over_map.T)


def _pair(layer: Group, key: str) -> tuple[int, int]:
    values = layer.integers(key)
    if values.ndim == 0:
        return int(values), int(values)
    if values.shape != (2,):
        raise InputError(
            f"shape {values.shape}",
            where=f"{layer.where}/{key}",
            possible="one number or (height, width) is possible",
        )
    return int(values[0]), int(values[1])
