"""Without memory: sends a value of this step where it passes a threshold."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from seamount.errors import Reason

from ..numbers import Ints
from .graded import HIGHEST, LOWEST, beyond, leaves_24_bits, signed_message
from .model import Arriving, Message, NeuronModel, Settings, State, StateRange, Step


class Thresholded(NeuronModel):
    """What ``GradedVec``, ``GradedReluVec`` and ``ProdNeuron`` have in common. Lava's v is 0 after every step."""

    always_told: ClassVar[tuple[str, ...]] = ("v_th",)

    v_th: Ints

    def step(self, state: State, drives: Sequence[Ints]) -> Step:
        value = self.value(drives)
        never = np.zeros(value.shape, np.bool_)
        return Step({}, np.where(self.passes(value), value, 0), {}, leaves_24_bits(value), never)

    @abstractmethod
    def value(self, drives: Sequence[Ints]) -> Ints:
        """What may be sent."""

    @abstractmethod
    def passes(self, value: Ints) -> NDArray[np.bool_]:
        """Where it is."""

    @abstractmethod
    def range_of(self, arriving: Sequence[Message]) -> tuple[int, int]:
        """Of the value, before it wraps."""

    def sends(self, arriving: Sequence[Message]) -> Message:
        return signed_message(*self.range_of(arriving))

    def bounds(self, arriving: Sequence[Arriving], n_steps: int | None) -> Mapping[str, StateRange]:
        return {}

    def settings(self) -> Settings:
        return Settings(thresholds=(self.v_th,))

    def reasons(self, name: str, shape: tuple[int, ...]) -> Iterator[Reason]:
        yield from super().reasons(name, shape)
        if found := beyond("a threshold", self.v_th, LOWEST, HIGHEST):
            yield Reason(found, name, f"{LOWEST} to {HIGHEST} are possible")
