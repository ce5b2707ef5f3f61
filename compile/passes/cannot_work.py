"""What of a program cannot work, whatever its weights were meant to do: the worst cases of its ranges tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

import numpy as np

from ..numbers import Ints
from ..program.program import Population, Program
from ..synapses.kinds import Conv, Dense, Kind, OneToOne, Sparse, Wire
from ..synapses.matrix import as_matrix
from .range_analysis import LayerRange, RangeReport

USUAL_CAUSE = (
    "is the time step the one that was meant (time constants in steps, dt in seconds, another tool's preset)?"
)

LARGEST_READOUT = 1 << 22
"""Weights of a readout that are compared class by class: there are few classes."""


def cannot_work(program: Program, ranges: RangeReport) -> Iterator[str]:
    """A line for every population that can never fire, must always fire, or answers alike whatever comes."""
    by_name = {layer.name: layer for layer in ranges.layers}
    for p in program.populations:
        # what nothing leads into is a clock, made to fire at every step; a relay is as its sources are
        if program.into(p.name) and not p.neuron.passes_on:
            yield from _population(p, by_name[p.name])
    if program.readout is not None and _answers_alike(program, program.population(program.readout.population)):
        yield (
            f"{program.readout.population}: the answer can never differ between its classes, their weights "
            "and parameters are the same; are they too small for the scale?"
        )


def _population(p: Population, layer: LayerRange) -> Iterator[str]:
    if all(sent == (0, 0) for sent in layer.sources.values()):
        yield f"{p.name}: nothing can arrive, because {', '.join(layer.sources)} can never fire"
    elif layer.never_sends and not p.neuron.never_sends:
        yield (
            f"{p.name}: can never fire in {layer.duration}, v stays within {layer.v.low:.0f} to {layer.v.high:.0f}, "
            f"not above {_threshold(p)}; {USUAL_CAUSE}"
        )
    elif layer.n_never and not p.neuron.never_sends:
        yield (
            f"{p.name}: {layer.n_never} of {p.n_neurons} neurons can never fire in {layer.duration}, whatever "
            "arrives; did their weights vanish, or are they too small for the thresholds?"
        )
    elif layer.always_sends:
        yield (
            f"{p.name}: must fire at every step, whatever arrives: its bias alone takes v above {_threshold(p)}; "
            f"{USUAL_CAUSE}"
        )


def _threshold(p: Population) -> str:
    values = np.concatenate([np.ravel(x << 6) for x in p.neuron.settings().thresholds])
    low, high = int(values.min()), int(values.max())
    return f"its threshold of {low}" if low == high else f"its thresholds of {low} to {high}"


def _answers_alike(program: Program, p: Population) -> bool:
    if p.n_neurons < 2 or any(np.unique(x).size > 1 for x in p.neuron.parameters().values() if np.ndim(x)):
        return False
    return all(_alike(s.kind, s.delay) for s in program.into(p.name))


def _alike(kind: Kind, delay: Ints) -> bool:
    """Whether every target neuron is connected in the same way."""
    match kind:
        case Dense(weights=weights):
            return bool(np.all(weights == weights[:1]) and (delay.ndim == 0 or np.all(delay == delay[:1])))
        case Sparse():
            if delay.ndim or kind.n_target * kind.n_source > LARGEST_READOUT:
                return not np.any(kind.weights)
            matrix = as_matrix(kind, kind.weights)
            return bool(np.all(matrix == matrix[:1]))
        case Conv() | OneToOne():
            return not np.any(kind.weights)  # neuron by neuron from other sources
        case Wire():
            return False
        case _:
            assert_never(kind)
