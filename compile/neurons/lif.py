"""CUBA leaky integrate-and-fire."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..numbers import Ints, ints

NEVER_FIRES = 1 << 17
"""A threshold mantissa that v (at most 2**23 - 1) cannot exceed: the population only integrates."""


@dataclass(frozen=True)
class Lif:
    """CUBA leaky integrate-and-fire, hard reset to 0; equations in ``arithmetic/definition.py``.

    Every parameter is one integer, or an array that broadcasts to the population's shape.

    Attributes:
        du: decay of u: it keeps 1 - du/4096 a step; 4096 forgets, 0 keeps. (Lava writes du - 1.)
        dv: decay of v, likewise. (Lava writes dv.)
        v_th_mant: fires where v > v_th_mant << 6; ``NEVER_FIRES`` makes a readout integrator.
        bias_mant, bias_exp: bias_mant << bias_exp is added to v at every step (>> for a negative exponent).
        u_init, v_init: state before the first step.
        refractory_steps: steps without integration or spike after a spike; 0 is the only value Lava has.
    """

    du: Ints
    dv: Ints
    v_th_mant: Ints
    bias_mant: Ints = field(default_factory=lambda: ints(0))
    bias_exp: Ints = field(default_factory=lambda: ints(0))
    u_init: Ints = field(default_factory=lambda: ints(0))
    v_init: Ints = field(default_factory=lambda: ints(0))
    refractory_steps: int = 0
