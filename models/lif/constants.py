"""What a step of a norse cell computes with, and the numbers that the kernels know its surrogate gradients by."""

from __future__ import annotations

from dataclasses import dataclass

METHODS = ("heaviside", "super", "triangle", "tanh", "circ", "heavi_erfc")
"""norse's surrogate gradients; the position is the code that the kernels know them by."""


@dataclass(frozen=True)
class LifConstants:
    """What a step of a norse cell computes with.

    Attributes:
        a_mem, a_syn: timestep over membrane and synaptic time constant; a_syn None for a box cell.
        gain: the drive is multiplied by it first.
        method, alpha: norse's surrogate gradient.
        detach_reset: no gradient through the reset, as norse's recurrent cells have it.
    """

    a_mem: float
    a_syn: float | None
    v_leak: float
    v_th: float
    v_reset: float
    gain: float = 1.0
    method: str = "super"
    alpha: float = 100.0
    detach_reset: bool = False

    @property
    def code(self) -> int:
        return METHODS.index(self.method)
