"""How windows move over maps: of convolutions and pooling, in students, networks, programs and tensors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Window(NamedTuple):
    """How a kernel moves over a map: pairs are (h, w), ``axis`` is 0 for h and 1 for w."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def n_out(self, axis: int, n_in: int, kernel: int) -> int:
        """Positions of a kernel along an axis; below 1 where it does not fit once."""
        reach = self.dilation[axis] * (kernel - 1) + 1
        return (n_in + 2 * self.padding[axis] - reach) // self.stride[axis] + 1

    def size(self, size: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[int, int]:
        """(H, W) behind a kernel over (H, W)."""
        return self.n_out(0, size[0], kernel[0]), self.n_out(1, size[1], kernel[1])

    def source(self, axis: int, output: Ints, tap: Ints) -> Ints:
        """The source position that a tap reads for an output position; off the map where it reads padding."""
        found: Ints = output * self.stride[axis] - self.padding[axis] + tap * self.dilation[axis]
        return found

    def taps(self, axis: int, position: int, kernel: int, n_out: int) -> list[tuple[int, int]]:
        """(tap, output position) pairs that a source position meets, by rising output position."""
        found = []
        for tap in reversed(range(kernel)):
            reached = position + self.padding[axis] - tap * self.dilation[axis]
            if reached % self.stride[axis] == 0 and 0 <= reached // self.stride[axis] < n_out:
                found.append((tap, reached // self.stride[axis]))
        return found

    def meets(self, axis: int, n_in: int, kernel: int) -> Ints:
        """(n_in, kernel): 1 where a tap reads that source position for some output."""
        n_out = self.n_out(axis, n_in, kernel)
        hit = np.zeros((n_in, kernel), np.int64)
        for position in range(n_in):
            for tap, _ in self.taps(axis, position, kernel, n_out):
                hit[position, tap] = 1
        return hit
