"""What a tile of neurons costs a core: compartments, input axons, synapse words, formats.

The public rules of Loihi 1's two open mappers, with the numbers of the ``Chip`` handed in. A tile is a box of its
population. Every source neuron that reaches a tile takes an input axon there, which owns a list of synapses; axons
whose kernels overlap the tile alike share their list.

Sources: nengo-loihi (block.py: bits of an entry, population axons), NxTF (arXiv:2101.04261: 60 synapses an entry,
shared lists).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from seamount.compile.fit.chip import Chip
from seamount.compile.numbers import Ints
from seamount.compile.program.messages import messages
from seamount.compile.program.program import Program
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Sparse, Synapses, Wire

Box = tuple[tuple[int, int], ...]
"""(start, stop) on each axis of a population's shape."""

AxonKind = Literal["discrete", "population"]
"""An input axon for each source neuron, or one for all channels of a pixel."""


@dataclass(frozen=True)
class WeightFormat:
    """How a synapse group's weights are held exactly: value = mantissa << shift, scaled by 2**exponent on the chip.

    ``width`` is None if no format of the chip holds them.
    """

    width: int | None
    needed_bits: int
    exponent: int
    mixed: bool


def weight_format(weights: Ints, exponent: int, chip: Chip) -> WeightFormat:
    """The narrowest exact format. Weights are on the chip's full scale: 8 bits, 9 with a sign (even only)."""
    low, high = (int(weights.min()), int(weights.max())) if weights.size else (0, 0)
    mixed = low < 0 < high
    bits_used = int(np.bitwise_or.reduce(np.abs(weights), axis=None)) if weights.size else 0
    shift = (bits_used & -bits_used).bit_length() - 1 if bits_used else 0
    if mixed:
        needed = 1 + max((high >> shift).bit_length(), ((-low >> shift) - 1).bit_length())
    else:
        needed = max(1, (max(high, -low) >> shift).bit_length())
    held = 0
    for width in chip.formats.weight_widths:
        if width < needed:
            continue
        # a mantissa of `width` bits stands at the top of the 8-bit scale (9 with a sign); the exponent undoes it
        held = shift + exponent - (8 - width + mixed)
        # bits of the width that are left over take zeros from the shift: bit planes need a low exponent
        held = max(held - min(shift, width - needed), min(held, chip.formats.weight_exponent[0]))
        if not bits_used or chip.formats.weight_exponent[0] <= held <= chip.formats.weight_exponent[1]:
            return WeightFormat(width, needed, held, mixed)
    return WeightFormat(None, needed, held, mixed)


def list_words(n_synapses: NDArray[Any] | int, bits: int, chip: Chip) -> NDArray[np.int64]:
    """Words of a list of n synapses of so many bits: entries with a header, each rounded up to whole words."""
    n = np.asarray(n_synapses, dtype=np.int64)
    whole, rest = np.divmod(n, chip.entry_synapses)
    words = whole * -(-(chip.entry_synapses * bits + chip.entry_header_bits) // chip.word_bits)
    return words + np.where(rest > 0, -(-(rest * bits + chip.entry_header_bits) // chip.word_bits), 0)


def index_bits(span: int, chip: Chip) -> int:
    """Bits of a synapse's target index in a list that reaches over ``span`` compartments."""
    needed = max(span - 1, 0).bit_length()
    return next((w for w in chip.index_widths if w >= max(needed, 1)), chip.index_widths[-1])


# ---------------------------------------------------------------------------------------------- axis overlap


@dataclass(frozen=True)
class Overlap:
    """One axis of a convolution seen from a tile: which inputs reach it, and in how many different ways.

    Attributes:
        needed: input positions that reach the tile.
        patterns: of each distinct way: (outputs reached, compartment rows from the first to the last of them).
    """

    needed: Ints
    patterns: tuple[tuple[int, int], ...]


def overlap(n_in: int, kernel: int, stride: int, padding: int, dilation: int, start: int, stop: int) -> Overlap:
    reached: dict[int, list[tuple[int, int]]] = {}
    for o in range(start, stop):
        for k in range(kernel):
            i = o * stride - padding + dilation * k
            if 0 <= i < n_in:
                reached.setdefault(i, []).append((o, k))
    distinct = {tuple(k for _, k in pairs): pairs for pairs in reached.values()}
    patterns = [(len(pairs), pairs[-1][0] - pairs[0][0] + 1) for pairs in distinct.values()]
    return Overlap(np.array(sorted(reached), dtype=np.int64), tuple(sorted(patterns)))


# ------------------------------------------------------------------------------------------------- groups


@dataclass(frozen=True)
class Need:
    """Source neurons that reach a tile: the product of per-axis positions, or flat C-order indices (one axis)."""

    axes: tuple[Ints, ...]
    flat: bool

    @property
    def size(self) -> int:
        return int(np.prod([len(a) for a in self.axes], dtype=np.int64))


@dataclass(frozen=True)
class GroupUse:
    """What one synapse group costs one tile."""

    input_axons: int
    synapse_words: int
    longest_list: int
    formats: int


@dataclass
class Group:
    """A synapse group with what the rules ask of it again and again.

    Attributes:
        planes: input axons a source value takes: 1, or a bit plane each where the chip has no graded spikes.
        external: the source is an input of the program (or a relay of one): no core sends.
    """

    synapses: Synapses
    source_shape: tuple[int, ...]
    target_shape: tuple[int, ...]
    planes: int
    external: bool
    chip: Chip
    _overlaps: dict[tuple[int, int, int], Overlap] = field(default_factory=dict)
    _channels: dict[tuple[int, int], tuple[tuple[int, int], Counter[int]]] = field(default_factory=dict)
    _uses: dict[Hashable, GroupUse] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.synapses.name

    @cached_property
    def format(self) -> WeightFormat:
        kind = self.synapses.kind
        weights = np.zeros(1, dtype=np.int64) if isinstance(kind, Wire) else kind.weights
        return weight_format(weights, self.synapses.exponent, self.chip)

    @cached_property
    def bits(self) -> int:
        """Stored bits of a synapse without its target index."""
        delay = int(self.synapses.delay.max()) if self.synapses.delay.size else 0
        return (self.format.width or self.chip.formats.weight_widths[-1]) + delay.bit_length()

    @cached_property
    def full(self) -> bool:
        """Whether every weight of a dense matrix is used."""
        kind = self.synapses.kind
        return isinstance(kind, Dense) and bool(np.all(kind.weights))

    @property
    def can_share_axons(self) -> bool:
        """Whether the channels of a source pixel may share an input axon: their lists have equal length."""
        return self.chip.population_atoms > 1 and isinstance(self.synapses.kind, Conv) and self.source_shape[0] > 1

    def overlap(self, axis: int, start: int, stop: int) -> Overlap:
        """Spatial axis 1 (height) or 2 (width) of a convolution."""
        key = (axis, start, stop)
        if key not in self._overlaps:
            kind = self.synapses.kind
            assert isinstance(kind, Conv), f"{self.name}: only a convolution has overlap"
            self._overlaps[key] = overlap(
                self.source_shape[axis],
                kind.weights.shape[axis + 1],
                kind.window.stride[axis - 1],
                kind.window.padding[axis - 1],
                kind.window.dilation[axis - 1],
                start,
                stop,
            )
        return self._overlaps[key]

    def channels(self, start: int, stop: int) -> tuple[tuple[int, int], Counter[int]]:
        """Input channels that reach output channels start .. stop, and how many reach how many of them."""
        if (start, stop) not in self._channels:
            self._channels[start, stop] = self._channels_of(start, stop)
        return self._channels[start, stop]

    def _channels_of(self, start: int, stop: int) -> tuple[tuple[int, int], Counter[int]]:
        kind = self.synapses.kind
        assert isinstance(kind, Conv), f"{self.name}: only a convolution has channels"
        c_out, c_in = kind.weights.shape[0] // kind.window.groups, kind.weights.shape[1]
        first, last = start // c_out, (stop - 1) // c_out
        reached: Counter[int] = Counter()
        for g in range(first, last + 1):
            reached[min(stop, (g + 1) * c_out) - max(start, g * c_out)] += c_in
        return (first * c_in, (last + 1) * c_in), reached

    def need(self, box: Box) -> Need:
        match self.synapses.kind:
            case Conv():
                channels, _ = self.channels(*box[0])
                rows, columns = (self.overlap(axis, *box[axis]).needed for axis in (1, 2))
                return Need((np.arange(*channels), rows, columns), flat=False)
            case Dense(weights=weights):
                if self.full:
                    return Need((np.arange(weights.shape[1]),), flat=True)
                return Need((np.flatnonzero(weights[flat_indices(box, self.target_shape)].any(axis=0)),), flat=True)
            case Sparse():
                return Need((np.unique(self._sparse_columns(box)),), flat=True)
            case OneToOne() | Wire():
                return Need(tuple(np.arange(start, stop) for start, stop in box), flat=False)
            case _ as kind:
                assert_never(kind)

    def use(self, box: Box, axons: AxonKind) -> GroupUse:
        key = (axons, self.key(box))
        if key not in self._uses:
            self._uses[key] = self._use(box, axons)
        return self._uses[key]

    def key(self, box: Box) -> Hashable:
        """Equal for boxes that cost the same."""
        match self.synapses.kind:
            case Conv():
                channels, reached = self.channels(*box[0])
                sides = tuple(
                    (self.overlap(a, *box[a]).patterns, len(self.overlap(a, *box[a]).needed)) for a in (1, 2)
                )
                width, size = box[2][1] - box[2][0], box[0][1] - box[0][0]
                return (channels[1] - channels[0], tuple(sorted(reached.items())), sides, width, size)
            case Dense() if self.full:
                return n_neurons(box)
            case OneToOne(weights=weights) if weights.size == 1:
                return n_neurons(box)
            case Wire():
                return 0
            case _:
                return box

    def _use(self, box: Box, axons: AxonKind) -> GroupUse:
        match self.synapses.kind:
            case Conv():
                return self._conv_use(box, axons)
            case Dense(weights=weights):
                rows = flat_indices(box, self.target_shape)
                per_axon = np.full(weights.shape[1], len(rows)) if self.full else (weights[rows] != 0).sum(axis=0)
                return self._lists_use(per_axon[per_axon > 0], len(rows))
            case Sparse():
                per_axon = np.bincount(self._sparse_columns(box))
                return self._lists_use(per_axon[per_axon > 0], n_neurons(box))
            case OneToOne(weights=weights):
                # one list for each weight, because axons share it: the target is the axon's own base
                used = np.broadcast_to(weights, self.target_shape).reshape(-1)[flat_indices(box, self.target_shape)]
                lists = len(np.unique(used)) * int(list_words(1, self.bits, self.chip))
                return GroupUse(n_neurons(box) * self.planes, lists * self.planes, 1, self.planes)
            case Wire():
                return GroupUse(0, 0, 0, 0)
            case _ as kind:
                assert_never(kind)

    def _conv_use(self, box: Box, axons: AxonKind) -> GroupUse:
        kind = self.synapses.kind
        assert isinstance(kind, Conv), f"{self.name}: not a convolution"
        (c0, c1), reached = self.channels(*box[0])
        rows, columns = self.overlap(1, *box[1]), self.overlap(2, *box[2])
        n_channels, width = box[0][1] - box[0][0], box[2][1] - box[2][0]
        words = longest = 0
        if self.chip.conv_storage == "kernel_once":
            k_h, k_w = kind.weights.shape[2:]
            for n, count in reached.items():
                one = int(list_words(k_h * k_w * n, self.bits, self.chip))
                words, longest = words + count * one, max(longest, one)
        else:
            for n, count in reached.items():
                for n_h, span_h in rows.patterns:
                    for n_w, span_w in columns.patterns:
                        # compartments stand in the order (row, column, channel)
                        span = ((span_h - 1) * width + span_w - 1) * n_channels + n
                        synapses = n_h * n_w * n
                        bits = self.bits + (index_bits(span, self.chip) if span > synapses else 0)
                        one = int(list_words(synapses, bits, self.chip))
                        words, longest = words + count * one, max(longest, one)
        pixels = len(rows.needed) * len(columns.needed)
        sharing = -(-(c1 - c0) // self.chip.population_atoms) if axons == "population" else c1 - c0
        return GroupUse(pixels * sharing * self.planes, words * self.planes, longest, self.planes)

    def _lists_use(self, per_axon: NDArray[Any], n_targets: int) -> GroupUse:
        """Lists over a tile: without index and with zeros filled in, or with index; whichever is smaller."""
        filled = list_words(np.full(len(per_axon), n_targets), self.bits, self.chip)
        indexed = list_words(per_axon, self.bits + index_bits(n_targets, self.chip), self.chip)
        words = filled if filled.sum() <= indexed.sum() else indexed
        longest = int(words.max()) if len(words) else 0
        return GroupUse(len(per_axon) * self.planes, int(words.sum()) * self.planes, longest, self.planes)

    @cached_property
    def _sparse_rows(self) -> Ints:
        kind = self.synapses.kind
        assert isinstance(kind, Sparse), f"{self.name}: not sparse"
        return np.searchsorted(kind.rows, np.arange(kind.n_target + 1))

    def _sparse_columns(self, box: Box) -> Ints:
        """Source of every stored synapse into the tile."""
        kind = self.synapses.kind
        assert isinstance(kind, Sparse), f"{self.name}: not sparse"
        starts = self._sparse_rows
        rows = flat_indices(box, self.target_shape)
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        edges = [0, *breaks.tolist(), len(rows)]
        runs = [kind.columns[starts[rows[a]] : starts[rows[b - 1] + 1]] for a, b in pairwise(edges) if b > a]
        return np.concatenate(runs) if runs else np.zeros(0, dtype=np.int64)


def n_neurons(box: Box) -> int:
    return int(np.prod([stop - start for start, stop in box], dtype=np.int64))


def flat_indices(box: Box, shape: tuple[int, ...]) -> Ints:
    """C-order indices of a box, rising."""
    if not shape:
        return np.zeros(1, dtype=np.int64)
    grid = np.arange(int(np.prod(shape, dtype=np.int64))).reshape(shape)
    return grid[tuple(slice(start, stop) for start, stop in box)].reshape(-1)


# --------------------------------------------------------------------------------------------- the program


def on_chip(program: Program) -> list[str]:
    """Populations that take compartments: all but relays that only pass an input on."""
    passed = _relayed_inputs(program)
    return [p.name for p in program.populations if p.name not in passed]


def _relayed_inputs(program: Program) -> set[str]:
    inputs = {i.name for i in program.inputs}
    passed: set[str] = set()
    for population in program.populations:
        incoming = program.into(population.name)
        outside = all(isinstance(s.kind, Wire) and s.source in inputs | passed for s in incoming)
        if population.neuron.passes_on and incoming and outside:
            passed.add(population.name)
    return passed


def groups(program: Program, chip: Chip) -> list[Group]:
    """Every synapse group, prepared for the rules."""
    outside = {i.name for i in program.inputs} | _relayed_inputs(program)
    sent = messages(program)
    found = []
    for s in program.synapses:
        bits = sent[s.source].bits
        planes = bits if s.graded and bits > chip.formats.payload_bits else 1
        found.append(
            Group(s, program.shape(s.source), program.shape(s.target), max(1, planes), s.source in outside, chip)
        )
    return found
