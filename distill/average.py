"""Weights averaged over the steps of a training: what is judged and kept, while the last weights learn on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """The exponential average of a network's weights and running statistics.

    Args:
        network: whose values at each ``update`` are averaged.
        window: steps after which a weight counts for 1/e; of fewer steps the average is the plain mean.
    """

    def __init__(self, network: nn.Module, window: float) -> None:
        self.network, self.window = network, window
        self.values = {name: value.clone() for name, value in self._live().items()}

    def _live(self) -> dict[str, Tensor]:
        state = self.network.state_dict()
        return {name: value for name, value in state.items() if value.is_floating_point()}

    def update(self, step: int) -> None:
        """After the optimiser's step number ``step``, from 0."""
        share = max(1 / (step + 1), min(1.0, 1 / self.window))
        live = self._live()
        for kind in {value.dtype for value in live.values()}:
            names = [name for name, value in live.items() if value.dtype == kind]
            torch._foreach_lerp_([self.values[n] for n in names], [live[n] for n in names], share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it the network has the averaged values."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        with torch.no_grad():
            for name, value in self._live().items():
                held = value.clone()
                value.copy_(self.values[name])
                self.values[name].copy_(held)

    def load(self, values: Mapping[str, Tensor]) -> None:
        """Of a checkpoint."""
        for name, value in values.items():
            self.values[name].copy_(value)
