"""Splits populations that exceed a core: a program with the same integers, whose populations each fit one core.

Which cut fits is decided by the rules of ``place/``. A synapse group becomes one for each pair of pieces that it
connects. Convolutions stay convolutions where only channels are cut; where maps are cut their pieces are written out
as sparse synapses, which take more memory than a shared kernel, so that pieces are cut again until they fit. (A
placement cuts the same way but keeps kernels, and needs fewer cores: this pass is for tools that place whole
populations.)

Sums over the pieces of a source are the sum over the source, unless that is rounded down (an exponent below 0) or
wraps at 24 bits (a convolution): such groups are rewritten where that is exact, else refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from seamount.errors import Unsupported

from ..fit.chip import HasChip
from ..fit.place.cuts import Cut
from ..fit.place.rules import Box, flat_indices
from ..fit.place.search import cut_to_fit
from ..numbers import Ints, PerNeuron, ints
from ..program.messages import largest_drive, messages, wraps
from ..program.pieces import KEY
from ..program.program import Population, Program
from ..synapses.kinds import Conv, Dense, OneToOne, Sparse, Synapses, Wire
from ..synapses.matrix import diagonal, unrolled

MAX_ENTRIES = 1 << 26
"""Synapses of a convolution that is written out."""


@dataclass(frozen=True)
class Piece:
    """A population of the split program, and the box of the original's neurons that it holds."""

    name: str
    box: Box


@dataclass(frozen=True)
class Split:
    """The split program, and where every neuron of the original went: population -> its pieces in C order."""

    program: Program
    pieces: Mapping[str, tuple[Piece, ...]]

    def where(self, population: str, index: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        """(piece, index in it) of a neuron of the original."""
        for piece in self.pieces[population]:
            if all(start <= i < stop for i, (start, stop) in zip(index, piece.box, strict=True)):
                return piece.name, tuple(i - start for i, (start, _) in zip(index, piece.box, strict=True))
        raise IndexError(f"{population} has no neuron {index}")

    def joined(self, population: str, values: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """An array (..., *shape) of the original from those of its pieces: spikes, v, counts."""
        pieces = self.pieces[population]
        shape = tuple(max(piece.box[axis][1] for piece in pieces) for axis in range(len(pieces[0].box)))
        first = values[pieces[0].name]
        result = np.empty((*first.shape[: first.ndim - len(shape)], *shape), first.dtype)
        for piece in pieces:
            at: tuple[Any, ...] = (..., *_slices(piece.box))
            result[at] = values[piece.name]
        return result


def split_populations(program: Program, target: HasChip) -> Split:
    """Cuts until every population fits a core of the target.

    Raises:
        DoesNotFit: a single neuron exceeds a core.
        Unsupported: a synapse group that cannot be cut without changing its sums.
    """
    pieces: dict[str, tuple[Piece, ...]] = {p.name: (Piece(p.name, _whole(p.shape)),) for p in program.populations}
    while True:
        cuts = {name: cut for name, cut in cut_to_fit(program, target).items() if cut.n_tiles > 1}
        if not cuts:
            return Split(program, pieces)
        made = {p.name: _pieces(p, cuts.get(p.name)) for p in program.populations}
        pieces = {
            name: tuple(Piece(new.name, _within(old.box, new.box)) for old in before for new in made[old.name])
            for name, before in pieces.items()
        }
        program = _split(program, made)


def _whole(shape: tuple[int, ...]) -> Box:
    return tuple((0, n) for n in shape)


def _within(outer: Box, inner: Box) -> Box:
    """A box of a piece as one of the original."""
    return tuple((first + start, first + stop) for (first, _), (start, stop) in zip(outer, inner, strict=True))


def _slices(box: Box) -> tuple[slice, ...]:
    return tuple(slice(start, stop) for start, stop in box)


def _pieces(p: Population, cut: Cut | None) -> tuple[Piece, ...]:
    if cut is None:
        return (Piece(p.name, _whole(p.shape)),)
    return tuple(Piece(f"{p.name}.{n}", box) for n, box in enumerate(cut.boxes()))


def _split(program: Program, pieces: Mapping[str, tuple[Piece, ...]]) -> Program:
    everything = {i.name: (Piece(i.name, _whole(i.shape)),) for i in program.inputs} | dict(pieces)
    synapses = [
        part for s in program.synapses for part in (_parts(program, s, everything) if _is_cut(s, everything) else [s])
    ]
    readout = program.readout
    if readout is not None and len(pieces[readout.population]) > 1:
        raise Unsupported(
            "the readout exceeds a core, and a program reads one population; choose a target "
            "with larger cores, or compile without a readout and join the pieces yourself",
            where=readout.population,
        )
    told = {
        f"{KEY}{name}": "; ".join(f"{p.name} {_told(p.box)}" for p in parts)
        for name, parts in pieces.items()
        if len(parts) > 1
    }
    return program.with_(
        populations=tuple(_piece_of(p, piece) for p in program.populations for piece in pieces[p.name]),
        synapses=tuple(synapses),
        scales={
            piece.name: _scale_of(s, program.shape(name), piece.box)
            for name, s in program.scales.items()
            for piece in pieces.get(name, ())
        },
        provenance={**program.provenance, **told},
    )


def _told(box: Box) -> str:
    return " x ".join(f"{start}:{stop}" for start, stop in box)


def _scale_of(scale: PerNeuron, shape: tuple[int, ...], box: Box) -> PerNeuron:
    return scale if np.ndim(scale) == 0 else np.broadcast_to(scale, shape)[_slices(box)]


def _piece_of(p: Population, piece: Piece) -> Population:
    values: dict[str, Any] = {
        key: ints(np.broadcast_to(value, p.shape)[_slices(piece.box)])
        for key, value in vars(p.neuron).items()
        if isinstance(value, np.ndarray) and value.size > 1
    }
    shape = tuple(stop - start for start, stop in piece.box)
    return Population(piece.name, shape, replace(p.neuron, **values), p.reset)


# ------------------------------------------------------------------------------------------------ synapses


def _is_cut(s: Synapses, pieces: Mapping[str, tuple[Piece, ...]]) -> bool:
    return len(pieces[s.source]) > 1 or len(pieces[s.target]) > 1


def _parts(program: Program, s: Synapses, pieces: Mapping[str, tuple[Piece, ...]]) -> list[Synapses]:
    """The group for every pair of pieces that it connects."""
    shapes = program.shape(s.source), program.shape(s.target)
    sources, targets = pieces[s.source], pieces[s.target]
    # a part of a wide group may have no delays, and is none then
    if s.exponent < 0 and (len(sources) > 1 or s.wide) and wraps(program, s, messages(program)[s.source]):
        raise Unsupported(
            f"cut to fit a core, and with exponent {s.exponent} its sum may leave 32 bits where no part's does",
            where=s.name,
            ways_out=("choose a smaller scale",),
        )
    if len(sources) > 1:
        s = _additive(program, s)
    if isinstance(s.kind, Conv) and not _only_channels(s.kind, shapes, sources, targets):
        s = replace(s, kind=written_out(s.kind, *shapes, s.name))
    found: list[Synapses] = []
    for target in targets:
        for source in sources:
            part = _part(s, source.box, target.box, shapes)
            if part is not None:
                kind, delay = part
                name = f"{s.name}.{len(found)}"
                found.append(replace(s, name=name, source=source.name, target=target.name, kind=kind, delay=delay))
    return found


def _additive(program: Program, s: Synapses) -> Synapses:
    """The group such that sums over parts of its source add up to its own sums, bit for bit."""
    if isinstance(s.kind, Wire):
        return s
    if s.exponent < 0:
        step = 1 << -s.exponent
        if np.any(s.kind.weights % step):
            raise Unsupported(
                f"{s.source} exceeds a core, but with exponent {s.exponent} its sum is rounded down as a "
                "whole; compile it with --split, which gives weights no exponent below 0, or with a larger scale",
                where=s.name,
            )
        s = replace(s, kind=replace(s.kind, weights=ints(s.kind.weights // step)), exponent=0)
    largest = largest_drive(program, s, messages(program)[s.source])
    if s.wrap_bits < 32 and largest >= 1 << (s.wrap_bits - 1):
        raise Unsupported(
            f"{s.source} exceeds a core, but its sum may wrap at {s.wrap_bits} bits as a whole; choose a "
            "smaller scale",
            where=s.name,
        )
    return s


def _only_channels(
    kind: Conv,
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    sources: tuple[Piece, ...],
    targets: tuple[Piece, ...],
) -> bool:
    """Whether each part of a convolution is a convolution."""
    return kind.window.groups == 1 and all(
        piece.box[1:] == _whole(shape)[1:]
        for shape, parts in zip(shapes, (sources, targets), strict=True)
        for piece in parts
    )


def _part(
    s: Synapses, source: Box, target: Box, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> tuple[Any, Ints] | None:
    """What connects two boxes, and its delays; None for nothing."""
    kind, delay = s.kind, s.delay
    match kind:
        case Conv(weights=weights):
            weights = ints(weights[slice(*target[0]), slice(*source[0])])
            return (replace(kind, weights=weights), delay) if np.any(weights) else None
        case Dense(weights=weights):
            at = np.ix_(flat_indices(target, shapes[1]), flat_indices(source, shapes[0]))
            part = ints(weights[at])
            return (Dense(part), ints(delay[at]) if delay.ndim else delay) if np.any(part) else None
        case Sparse():
            return _entries(kind, delay, source, target, shapes)
        case OneToOne(weights=weights):
            if source == target:
                own = weights if weights.size == 1 else ints(np.broadcast_to(weights, shapes[1])[_slices(target)])
                return OneToOne(own), delay
            return _entries(diagonal(kind, shapes[1]), delay, source, target, shapes)
        case Wire():
            if source == target:
                return kind, delay
            if all(a[0] < b[1] and b[0] < a[1] for a, b in zip(source, target, strict=True)):
                raise Unsupported(
                    f"{s.source} and {s.target} are connected within a step and exceed a core in different "
                    "ways; connect them by synapses of weight 1",
                    where=s.name,
                )
            return None
        case _:
            assert_never(kind)


def _entries(
    kind: Sparse, delay: Ints, source: Box, target: Box, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> tuple[Sparse, Ints] | None:
    columns, rows = (np.full(int(np.prod(shape, dtype=np.int64)), -1) for shape in shapes)
    for places, box, shape in ((columns, source, shapes[0]), (rows, target, shapes[1])):
        inside = flat_indices(box, shape)
        places[inside] = np.arange(len(inside))
    kept = (rows[kind.rows] >= 0) & (columns[kind.columns] >= 0)
    if not np.any(kept):
        return None
    row, column = rows[kind.rows[kept]], columns[kind.columns[kept]]
    order = np.lexsort((column, row))
    made = Sparse(
        ints(kind.weights[kept][order]),
        ints(row[order]),
        ints(column[order]),
        int(np.sum(rows >= 0)),
        int(np.sum(columns >= 0)),
    )
    return made, ints(delay[kept][order]) if delay.ndim else delay


def written_out(kind: Conv, source: tuple[int, ...], target: tuple[int, ...], name: str) -> Sparse:
    """A convolution's synapses one by one, those of weight 0 left out."""
    _, c_in, k_h, k_w = kind.weights.shape
    if c_in * k_h * k_w * int(np.prod(target, dtype=np.int64)) > MAX_ENTRIES:
        raise Unsupported(
            f"its maps {target} exceed a core, and written out it has more than {MAX_ENTRIES} synapses; "
            "place the program as it is, which keeps the kernel",
            where=name,
        )
    return unrolled(kind, source, target, zeros=False)
