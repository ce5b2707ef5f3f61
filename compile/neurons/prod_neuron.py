"""Multiplies what arrives at two drives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from seamount.errors import Reason

from ..numbers import Ints, ints
from .graded import beyond, held, magnitude
from .model import Message
from .thresholded import Thresholded


@dataclass(frozen=True)
class ProdNeuron(Thresholded):
    """Lava's ProdNeuron: sends (first * second) >> exp where its magnitude is above v_th. No memory.

    The product wraps to 32 bits before the shift, which rounds down.
    """

    drives: ClassVar[tuple[str, ...]] = ("first", "second")

    v_th: Ints = field(default_factory=lambda: ints(1))
    exp: int = 0

    def value(self, drives: Sequence[Ints]) -> Ints:
        first, second = drives
        return held(first * second) >> self.exp

    def passes(self, value: Ints) -> NDArray[np.bool_]:
        return magnitude(value) > self.v_th

    def range_of(self, arriving: Sequence[Message]) -> tuple[int, int]:
        low, high = product_range(arriving)
        return low >> self.exp, high >> self.exp

    def reasons(self, name: str, shape: tuple[int, ...]) -> Iterator[Reason]:
        yield from super().reasons(name, shape)
        if found := beyond("an exp", self.exp, 0, 31):
            yield Reason(found, name, "0 to 31 are possible")


def product_range(arriving: Sequence[Message]) -> tuple[int, int]:
    """Of the product of two drives, as 32 bits hold it."""
    first, second = arriving
    ends = [a * b for a in (first.low, first.high) for b in (second.low, second.high)]
    low, high = min(ends), max(ends)
    fits = low >= -(1 << 31) and high < 1 << 31
    return (low, high) if fits else (-(1 << 31), (1 << 31) - 1)
