"""Scales that came with a file, and where they still hold: exact weights are kept only where they fit the grid."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..network.network import Network, Reals
from ..numbers import FULL_SCALE_BITS, PerNeuron
from .quantise import on_grid
from .real_groups import RealGroup, RoundingRules, real_groups, scaled


@dataclass(frozen=True)
class GivenScales:
    """The file's scales that are kept, and what is to be told of the others.

    Attributes:
        exact: population -> scale, with which its numbers lie on the grid.
        warnings: a line for every population that is rounded anew because it may use fewer bits than it does.
    """

    exact: dict[str, PerNeuron]
    warnings: tuple[str, ...] = ()


def given_scales(network: Network, rules: RoundingRules, overruled: Collection[str] = ()) -> GivenScales:
    """The scales of the file but for ``overruled`` ones.

    A population whose weights lie on no grid at all keeps its scale, so that lowering refuses it by name.
    """
    exact: dict[str, PerNeuron] = {}
    warnings = []
    for name, scale in network.scales.items():
        if name in overruled:
            continue
        narrow = [
            g for g in real_groups(network, name) if _needs_more_bits(g, scaled(g, scale, network.shape(name)), rules)
        ]
        if not narrow:
            exact[name] = scale
        for group in narrow:
            warnings.append(
                f"{name}: the file's weights of {group.connection.name} use more than "
                f"{rules.weight_bits(group)} bits; its scale is chosen and its weights are rounded anew"
            )
    return GivenScales(exact, tuple(warnings))


def _needs_more_bits(group: RealGroup, weight: Reals, rules: RoundingRules) -> bool:
    if group.connection.whole and group.is_one_to_one:
        return False  # whole weights become as many synapse groups as they need
    limits = rules.exponents(group)
    fits = on_grid(weight, limits, rules.weight_bits(group)) is not None
    return not fits and on_grid(weight, limits, FULL_SCALE_BITS) is not None
