"""How many places a window has on a map: of convolutions and pooling, in students, networks, programs and tensors."""

from __future__ import annotations


def places(padded: int, kernel: int, stride: int, dilation: int = 1) -> int:
    """Positions of a kernel along an axis of so many values, padding counted; below 1 where it does not fit once."""
    return (padded - dilation * (kernel - 1) - 1) // stride + 1
