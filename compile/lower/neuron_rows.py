"""What can have a scale of its own: a neuron, or a channel where neurons share a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..network.network import Population, Reals, reals, size
from ..numbers import Ints, ints
from .real_groups import RealGroup, rows_of


@dataclass(frozen=True)
class Rows:
    """The neurons of a population in rows that share a scale, in C order: every one for itself, or a channel a row.

    Attributes:
        shape: of the population.
    """

    shape: tuple[int, ...]
    per_channel: bool

    @property
    def n(self) -> int:
        return self.shape[0] if self.per_channel else size(self.shape)

    def spread(self, values: Reals) -> Reals:
        """A value per row, (n,), as an array that broadcasts to the population's shape."""
        return reals(values.reshape((-1, 1, 1) if self.per_channel else self.shape))

    def lowest(self, values: Reals) -> Reals:
        """Per row the lowest of the population's values, which broadcast to its shape."""
        return reals(np.broadcast_to(values, self.shape).reshape(self.n, -1).min(1))

    def highest(self, values: Reals) -> Reals:
        return reals(-self.lowest(reals(-values)))

    def largest_weights(self, group: RealGroup) -> Reals:
        """Per row the largest |weight| of a group, (n,)."""
        found = np.zeros(self.n)
        weights, rows = self._laid_out(group, np.abs(group.weight))
        np.maximum.at(found, rows.reshape(-1), weights.reshape(-1))
        return reals(found)

    def sums(self, group: RealGroup, values: Reals) -> Reals:
        """Per row the sum over the group's weights of a value per weight, (n,)."""
        weights, rows = self._laid_out(group, values)
        return reals(np.bincount(rows.reshape(-1), weights.reshape(-1), self.n))

    def largest_sums(self, group: RealGroup) -> Reals:
        """Per row the largest sum of |weights| that a neuron of it has, (n,)."""
        neurons = Rows(self.shape, per_channel=group.conv is not None)
        sums = neurons.sums(group, reals(np.abs(group.weight)))
        return self.highest(neurons.spread(sums))

    def _laid_out(self, group: RealGroup, values: Reals) -> tuple[Reals, Ints]:
        """Values and the rows that they belong to, of one shape."""
        rows = rows_of(group)
        if self.per_channel and group.conv is None:
            rows = ints(rows // size(self.shape[1:]))
        shape = np.broadcast_shapes(values.shape, rows.shape)
        return reals(np.broadcast_to(values, shape)), ints(np.broadcast_to(rows, shape))


def rows_of_population(p: Population, groups: Sequence[RealGroup]) -> Rows:
    """A channel a row where one of the groups is a convolution."""
    return Rows(p.shape, any(g.conv is not None for g in groups))
