"""Leaky integrate-and-fire with spikes of both signs."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..numbers import Ints, ints


@dataclass(frozen=True)
class TernaryLif:
    """As ``Lif``, with spikes -1, 0, 1: +1 where v > hi << 6, -1 where v < lo << 6; both reset v to 0."""

    du: Ints
    dv: Ints
    v_th_hi_mant: Ints
    v_th_lo_mant: Ints
    bias_mant: Ints = field(default_factory=lambda: ints(0))
    bias_exp: Ints = field(default_factory=lambda: ints(0))
    u_init: Ints = field(default_factory=lambda: ints(0))
    v_init: Ints = field(default_factory=lambda: ints(0))
