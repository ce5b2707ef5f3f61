"""Adds up what arrives, and sends the sum: the output layer of a sigma-delta network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..numbers import Ints
from .graded import HIGHEST, LOWEST, held, in_24_bits, leaves_24_bits, signed_message
from .model import Arriving, Message, NeuronModel, Settings, State, StateRange, Step


@dataclass(frozen=True)
class Sigma(NeuronModel):
    """Lava's Sigma: the sum of all that ever arrived, sent whole at every step."""

    states: ClassVar[tuple[str, ...]] = ("sigma",)
    message: ClassVar[Message | None] = signed_message(LOWEST, HIGHEST)
    sends_always: ClassVar[bool] = True

    def step(self, state: State, drives: Sequence[Ints]) -> Step:
        (drive,) = drives
        sigma = held(state["sigma"] + drive)
        never = np.zeros(drive.shape, np.bool_)
        return Step({"sigma": sigma}, sigma, {"sigma": sigma}, leaves_24_bits(sigma), never)

    def sends(self, arriving: Sequence[Message]) -> Message:
        return signed_message(LOWEST, HIGHEST)

    def bounds(self, arriving: Sequence[Arriving], n_steps: int | None) -> Mapping[str, StateRange]:
        (drive,) = arriving
        return {"sigma": added_up(drive, n_steps)}

    def settings(self) -> Settings:
        return Settings()


def added_up(drive: Arriving, n_steps: int | None) -> StateRange:
    """The sum of all that arrives in so many steps, or ever."""
    low, high = float((drive.low - drive.own).min()), float(drive.high.max())
    steps = float("inf") if n_steps is None else float(n_steps)
    return in_24_bits(low * steps if low else 0.0, high * steps if high else 0.0)
