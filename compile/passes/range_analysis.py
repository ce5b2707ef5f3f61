"""Bounds drive, u and v by the integers of the program itself: proves that nothing overflows, or says where it may.

Worst case: every source fires at every step with the sign that hurts (graded inputs at their largest value). u wraps
and so must not overflow; v saturates, which is harmless upwards where the neuron fires, and wrong elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from ..neurons.cuba import bias_of
from ..neurons.lif import Lif
from ..neurons.relay import Relay
from ..neurons.ternary_lif import TernaryLif
from ..numbers import V_MAX
from ..program.program import Population, Program
from ..synapses.kinds import Conv, Dense, OneToOne, Sparse, Synapses, Wire

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class LayerRange:
    """Worst cases of one population, in units of v (drive << 6); proven bounds, not measurements.

    Attributes:
        drive_low, drive_high: of one step's sum, in weight units.
        u_low, u_high, v_low, v_high: of the states.
        u_proven: u cannot wrap. v_proven: v cannot saturate where that changes anything.
        sum_bits: bits that hold the largest sum of one group before its exponent (float32 is exact up to 24).
    """

    name: str
    drive_low: int
    drive_high: int
    u_low: float
    u_high: float
    v_low: float
    v_high: float
    u_proven: bool
    v_proven: bool
    sum_bits: int

    @property
    def headroom(self) -> float:
        """How many times larger u could be before it wraps; below 1: it may wrap."""
        return V_MAX / max(1.0, abs(self.u_low), abs(self.u_high))


@dataclass(frozen=True)
class RangeReport:
    layers: tuple[LayerRange, ...]

    def lines(self) -> Iterator[str]:
        for r in self.layers:
            u = f"u in {r.u_low:.0f}..{r.u_high:.0f}, {'proven' if r.u_proven else 'MAY WRAP'}"
            v = f"v in {r.v_low:.0f}..{r.v_high:.0f}, {'proven' if r.v_proven else 'may saturate'}"
            yield (
                f"{r.name}: drive {r.drive_low}..{r.drive_high} ({r.sum_bits} bits), {u}, {v}, "
                f"head-room {r.headroom:.3g}"
            )

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain values for JSON; a bound that does not exist is null."""
        return [
            {k: v if not isinstance(v, float) or np.isfinite(v) else None for k, v in vars(r).items()}
            for r in self.layers
        ]

    def warnings(self) -> Iterator[str]:
        for r in self.layers:
            if not r.u_proven:
                yield (
                    f"{r.name}: u may wrap in the worst case ({max(-r.u_low, r.u_high):.0f}, possible {V_MAX}, "
                    f"head-room {r.headroom:.3g}); check n_u_wraps of a run on your data, or choose a smaller scale"
                )
            if not r.v_proven:
                yield (
                    f"{r.name}: v may saturate in the worst case ({r.v_low:.0f} to {r.v_high:.0f}, possible "
                    f"+-{V_MAX}); check n_v_saturations of a run on your data, or choose a smaller scale"
                )


def analyse_ranges(program: Program) -> RangeReport:
    """Worst cases of every population."""
    return RangeReport(tuple(_layer(program, p.name) for p in program.populations))


def _layer(program: Program, name: str) -> LayerRange:
    p = program.population(name)
    low, high, bits = np.zeros(p.shape), np.zeros(p.shape), 0
    inhibited = np.zeros(p.shape)
    for s in program.into(name):
        s_low, s_high = group_range(program, s)
        bits = max(bits, int(max(-s_low.min(initial=0), s_high.max(initial=0))).bit_length())
        factor = 2.0**s.exponent
        if inhibits_itself(p, s):
            inhibited = inhibited - np.floor(s_low * factor).reshape(p.shape)
            continue
        low, high = low + np.floor(s_low * factor).reshape(p.shape), high + np.floor(s_high * factor).reshape(p.shape)
    neuron = p.neuron
    if isinstance(neuron, Relay):
        return LayerRange(name, int(low.min()), int(high.max()), 0, 0, 0, 0, True, True, bits)
    u_low, u_high = _settled(low * 64, high * 64, neuron.du / 4096, neuron.u_init, program.n_steps)
    bias = bias_of(neuron)
    if isinstance(neuron, Lif):
        u_low = u_low - _below_the_fall(neuron, inhibited, bias)
    v_low, v_high = _settled(
        np.asarray(u_low + bias), np.asarray(u_high + bias), neuron.dv / 4096, neuron.v_init, program.n_steps
    )
    u_proven = bool(u_low.min() > -V_MAX and u_high.max() < V_MAX)
    match neuron:
        case Lif():
            fires = neuron.v_th_mant.max() < 1 << 17
            top = np.minimum(v_high, (neuron.v_th_mant << 6) + np.maximum(0, u_high + bias)) if fires else v_high
        case TernaryLif():
            fires, top = True, v_high
        case _:
            assert_never(neuron)
    v_proven = bool(v_low.min() >= -V_MAX and (fires or v_high.max() <= V_MAX))
    return LayerRange(
        name,
        int(low.min()),
        int(high.max()),
        float(u_low.min()),
        float(u_high.max()),
        float(v_low.min()),
        float(top.max()),
        u_proven,
        v_proven,
        bits,
    )


def inhibits_itself(p: Population, s: Synapses) -> bool:
    """Whether the group only takes back what made a neuron fire a step ago (see ``passes/emulate_soft_reset.py``)."""
    if not (s.source == s.target and isinstance(p.neuron, Lif) and isinstance(s.kind, OneToOne)):
        return False
    return bool(np.all(p.neuron.dv == 4096) and np.all(s.kind.weights <= 0) and not np.any(s.delay) and not s.graded)


def _below_the_fall(neuron: Lif, inhibited: Doubles, bias: NDArray[np.int64]) -> Doubles:
    """How far a neuron's own inhibition can take u below what it would be without.

    It follows a spike, so the u before was above the threshold less the bias (v holds nothing else), and of it
    (1 - du / 4096), rounded down, is left. Never again: behind the fall u decays, or falls from above the threshold.
    """
    left = (1 - neuron.du / 4096) * ((neuron.v_th_mant << 6) - bias) - 1
    return np.where(inhibited > 0, np.maximum(0, 64 * inhibited - left), 0.0)


def _settled(
    low: Doubles, high: Doubles, rate: Doubles, start: NDArray[np.int64], n_steps: int | None
) -> tuple[Doubles, Doubles]:
    """Bounds of x = (1 - rate) x + (low .. high): after n steps, or for ever."""
    steps = np.inf if n_steps is None else float(n_steps)
    kept = 1 - rate
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        factor = np.where(rate == 0, steps, (1 - kept**steps) / np.where(rate == 0, 1, rate))
        lowest = np.where(low < 0, low * factor, low)
        highest = np.where(high > 0, high * factor, high)
    return np.minimum(0, np.nan_to_num(lowest, neginf=-np.inf)) + np.minimum(0, start), np.maximum(
        0, np.nan_to_num(highest, posinf=np.inf)
    ) + np.maximum(0, start)


def group_range(program: Program, s: Synapses) -> tuple[Doubles, Doubles]:
    """(lowest, highest) sum of a group for each target neuron, before the exponent."""
    source = next((i for i in program.inputs if i.name == s.source), None)
    x_low, x_high = (float(source.low), float(source.high)) if source is not None and s.graded else (0.0, 1.0)
    if source is None and isinstance(program.population(s.source).neuron, TernaryLif) and s.graded:
        x_low = -1.0
    shape = program.shape(s.source)
    match s.kind:
        case Dense(weights=weights):
            low, high = np.minimum(weights, 0).sum(1), np.maximum(weights, 0).sum(1)
        case Sparse() as k:
            low = np.bincount(k.rows, np.minimum(k.weights, 0), k.n_target)
            high = np.bincount(k.rows, np.maximum(k.weights, 0), k.n_target)
        case Conv(weights=weights):
            target = program.shape(s.target)
            axes = (1, 2, 3)
            low = np.broadcast_to(np.minimum(weights, 0).sum(axes).reshape(-1, 1, 1), target)
            high = np.broadcast_to(np.maximum(weights, 0).sum(axes).reshape(-1, 1, 1), target)
        case OneToOne(weights=weights):
            wide = np.broadcast_to(weights, shape)
            low, high = np.minimum(wide, 0), np.maximum(wide, 0)
        case Wire():
            low, high = np.zeros(shape), np.ones(shape)
        case _:
            assert_never(s.kind)
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    return low * x_high + high * x_low, high * x_high + low * x_low
