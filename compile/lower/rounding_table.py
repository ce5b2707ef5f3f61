"""What rounding did to every layer, as numbers and as lines to read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from seamount.errors import plural

from ..neurons.lif import NEVER_FIRES
from ..numbers import Ints, PerNeuron


@dataclass(frozen=True)
class GroupRounding:
    """One synapse group.

    Attributes:
        weight_bits: that the group's weights may use.
        largest: largest |weight| as the program has it; of 8 bits 254 or 255 are possible.
        n_clipped: weights beyond the grid's end. n_zeroed: weights that were not 0 and are now.
        relative_error: root of (sum of squared errors / sum of squares), of the weights.
        worst_neuron: the one whose weights changed most, in C order (a channel, for a convolution).
        worst_error: the relative error of its weights.
        sum_error: the relative error of the sums that they make of the calibration data; None where there was none.
    """

    name: str
    source: str
    kind: str
    mode: str
    weight_bits: int
    exponent: int
    n_weights: int
    largest: int
    n_clipped: int
    n_zeroed: int
    relative_error: float
    worst_neuron: int
    worst_error: float
    sum_error: float | None = None


@dataclass(frozen=True)
class PopulationRounding:
    """One population.

    Attributes:
        grid: whether its numbers lay on a grid already, in words; empty: they were rounded.
        du_error, dv_error: largest error of a decay rate a (per step). v_th_error: relative. bias_error: units of v.
    """

    name: str
    scale: PerNeuron
    du: Ints
    dv: Ints
    du_error: float
    dv_error: float
    v_th_mant: Ints
    v_th_error: float
    bias_error: float
    groups: tuple[GroupRounding, ...]
    grid: str = ""


@dataclass(frozen=True)
class RoundingTable:
    populations: tuple[PopulationRounding, ...]

    def population(self, name: str) -> PopulationRounding:
        return next(p for p in self.populations if p.name == name)

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain values for JSON."""
        return [
            {**{k: plain(v) for k, v in vars(p).items() if k != "groups"}, "groups": [vars(g) for g in p.groups]}
            for p in self.populations
        ]

    def rows(self) -> list[dict[str, Any]]:
        """A row a synapse group, for tables."""
        return [
            {
                "population": p.name,
                "synapses": g.name,
                "kind": g.kind,
                "n_weights": g.n_weights,
                "weight_bits": g.weight_bits,
                "exponent": g.exponent,
                "relative_error": g.relative_error,
                "n_clipped": g.n_clipped,
                "n_zeroed": g.n_zeroed,
            }
            for p in self.populations
            for g in p.groups
        ]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        for p in self.populations:
            th = "never fires" if int(p.v_th_mant.max()) == NEVER_FIRES else f"v_th_mant {_span(p.v_th_mant)}"
            errors = [p.grid] if p.grid else []
            errors += [
                f"{what} off by {error:.2g}"
                for what, error in (("a_s", p.du_error), ("a_m", p.dv_error))
                if error > 1e-12
            ]
            errors += [f"v_th off by {100 * p.v_th_error:.2g} %"] if p.v_th_error > 1e-9 else []
            errors += [f"bias off by up to {p.bias_error:.2g}"] if p.bias_error > 1e-6 else []
            told = f" ({', '.join(errors)})" if errors else ""
            yield f"{p.name}: scale {span(p.scale)}, du {_span(p.du)}, dv {_span(p.dv)}, {th}{told}"
            for g in p.groups:
                what = f"{g.kind} of {g.n_weights} {g.mode} {plural(g.n_weights, 'weight')} of {g.weight_bits} bits"
                lost = f", {g.n_clipped} clipped" if g.n_clipped else ""
                lost += f", {g.n_zeroed} became 0" if g.n_zeroed else ""
                unit = "channel" if g.kind == "conv" else "neuron"
                worst = f" ({unit} {g.worst_neuron} by {100 * g.worst_error:.3g} %)" if g.relative_error else ""
                sums = "" if g.sum_error is None else f", its sums by {100 * g.sum_error:.3g} %"
                yield (
                    f"  {g.name}: {what} up to {g.largest}, exponent {g.exponent}, off by "
                    f"{100 * g.relative_error:.3g} %{worst}{sums}{lost}"
                )


def span(scale: PerNeuron) -> str:
    """One scale, or the lowest and the highest."""
    low, high = float(np.min(scale)), float(np.max(scale))
    return f"{low:.6g}" if low == high else f"{low:.6g}..{high:.6g}"


def _span(values: Ints) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low}..{high}"


def plain(value: Any) -> Any:
    """An array of one value as that number, others as [lowest, highest]."""
    if not isinstance(value, np.ndarray):
        return value
    low, high = value.min().item(), value.max().item()
    return low if low == high else [low, high]
