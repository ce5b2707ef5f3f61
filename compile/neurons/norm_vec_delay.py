"""Multiplies what arrived a step ago by what arrives now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from seamount.errors import Reason

from ..numbers import Ints, ints
from .graded import HIGHEST, LOWEST, beyond, held, in_24_bits, leaves_24_bits, magnitude, signed_message
from .model import Arriving, Message, NeuronModel, Settings, State, StateRange, Step
from .prod_neuron import product_range


@dataclass(frozen=True)
class NormVecDelay(NeuronModel):
    """Lava's NormVecDelay: sends before * second where its magnitude is above v_th; before is the last step's first.

    Lava's process also hands out first * first, on a port of its own: a ``ProdNeuron`` of v_th 0 into both drives of
    which the same synapses lead.
    """

    states: ClassVar[tuple[str, ...]] = ("before",)
    drives: ClassVar[tuple[str, ...]] = ("first", "second")
    always_told: ClassVar[tuple[str, ...]] = ("v_th",)

    v_th: Ints = field(default_factory=lambda: ints(1))

    def step(self, state: State, drives: Sequence[Ints]) -> Step:
        first, second = drives
        product = held(state["before"] * second)
        after = {"before": first}
        never = np.zeros(product.shape, np.bool_)
        sent = np.where(magnitude(product) > self.v_th, product, 0)
        return Step(after, sent, after, leaves_24_bits(first, product), never)

    def sends(self, arriving: Sequence[Message]) -> Message:
        return signed_message(*product_range(arriving))

    def bounds(self, arriving: Sequence[Arriving], n_steps: int | None) -> Mapping[str, StateRange]:
        first = arriving[0]
        return {"before": in_24_bits(float((first.low - first.own).min()), float(first.high.max()))}

    def settings(self) -> Settings:
        return Settings(thresholds=(self.v_th,))

    def reasons(self, name: str, shape: tuple[int, ...]) -> Iterator[Reason]:
        yield from super().reasons(name, shape)
        if found := beyond("a threshold", self.v_th, LOWEST, HIGHEST):
            yield Reason(found, name, f"{LOWEST} to {HIGHEST} are possible")
