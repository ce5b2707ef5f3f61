"""What has no state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..numbers import Ints
from .model import Arriving, Message, NeuronModel, Sending, Settings, State, StateRange, Step


@dataclass(frozen=True)
class Relay(NeuronModel):
    """No state: sends what arrives in the same step. A join of wires, or a hop between two synapse groups."""

    passes_on: ClassVar[bool] = True

    def step(self, state: State, drives: Sequence[Ints]) -> Step:
        (drive,) = drives
        never = np.zeros(drive.shape, np.bool_)
        return Step({}, drive, {}, never, never)

    def sends(self, arriving: Sequence[Message]) -> Message:
        return arriving[0]

    def bounds(self, arriving: Sequence[Arriving], n_steps: int | None) -> Mapping[str, StateRange]:
        return {}

    def sending(self, arriving: Sequence[Arriving], n_steps: int | None) -> Sending:
        (drive,) = arriving
        return Sending((drive.low == 0) & (drive.high == 0), np.zeros((), np.bool_))

    def settings(self) -> Settings:
        return Settings()
