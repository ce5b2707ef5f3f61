"""From the network (real numbers) to the program (integers): formulas of scale, weights, biases and initial states.

With the scale s of a neuron (units of v_th_mant per unit of its membrane; one for all neurons of a population, or an
array), and v counted from v_reset::

    v_th_mant = s (v_th - v_reset)              weight = s gain W / (scale of a graded input)
    du = 4096 a_s       dv = 4096 a_m           bias = 64 s (a_m (v_leak - v_reset) + gain b / a_s)
    v_init = 64 s (v_init - v_reset)            u_init = 64 s (u_init - gain b / a_s)      (0 without a current)

The constant b passes the current's filter: its steady part stands in the bias, its transient in u_init.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seamount.errors import InputError, Reason, Unsupported

from ..network.network import Network, Population, Reals, reals
from ..neurons.lif import NEVER_FIRES, Lif
from ..neurons.relay import Relay
from ..numbers import UNITY, Ints, PerNeuron, ints
from ..passes.balance_latency import Schedule
from ..passes.emulate_soft_reset import SOFT_RESETS
from ..passes.written_as import FEW_VALUES, SPARSE_BELOW
from ..program import program as chip
from ..program.program import Program, Readout
from ..program.readout import as_quantity
from ..synapses import kinds
from ..synapses.kinds import Synapses
from .joint_rounding import Moments, round_with_moments
from .lost_weights import lost_weights, worst_neuron
from .quantise import (
    EXACT,
    decay_grid,
    exact_bias,
    exact_ints,
    exact_weights,
    is_whole,
    real_sign_mode,
    round_weights,
    sign_mode_of,
    split_bias,
    whole_pieces,
)
from .real_groups import RealGroup, RoundingRules, real_groups, scaled
from .rounding_table import GroupRounding, PopulationRounding, RoundingTable

Origin = Literal["file", "user", "grid", "search"]
"""Where a scale comes from: "file": its numbers lie on the grid, anything else is refused; "user": as it is told;
"grid": found, with it the weights lie on the grid; "search": chosen."""


@dataclass(frozen=True)
class LoweredNetwork:
    """The program without resets, and what rounding did to every layer."""

    program: Program
    table: RoundingTable
    warnings: tuple[str, ...] = ()


@dataclass
class _Parts:
    populations: list[chip.Population] = field(default_factory=list)
    synapses: list[Synapses] = field(default_factory=list)
    rows: list[PopulationRounding] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    moments: Mapping[str, Moments] = field(default_factory=dict)


# -------------------------------------------------------------------------------------------------- lowering


def lower_network(
    network: Network,
    schedule: Schedule,
    scales: Mapping[str, PerNeuron],
    rules: RoundingRules,
    *,
    origins: Mapping[str, Origin],
    moments: Mapping[str, Moments] | None = None,
) -> LoweredNetwork:
    """Integers for every population and connection.

    Args:
        network: behind ``merge_linear``.
        schedule: arrivals and delays of ``balance_latency``.
        scales: population -> s, one or an array that broadcasts to its shape.
        origins: where the scale of each population comes from.
        moments: of connections whose weights are rounded together, as suits the calibration data.
    """
    foreign = [reason for p in network.populations for reason in _foreign_rules(p)]
    if foreign:
        raise Unsupported.together(foreign)
    parts = _Parts(moments=moments or {})
    for p in network.populations:
        s, origin = scales[p.name], origins[p.name]
        with _naming_scale(p.name, origin):
            row = _population(p, s, rules, origin == "file", parts)
            groups = [
                _group(g, scaled(g, s, p.shape), schedule.delay[g.connection.name], rules, origin, parts)
                for g in real_groups(network, p.name)
            ]
        parts.rows.append(replace(row, groups=tuple(groups), grid=_grid(row, origin)))
    readout = None
    if network.readout is not None:
        readout = Readout(network.readout, as_quantity(network.readout_quantity, network.name))
    made = Program(
        name=network.name,
        inputs=tuple(chip.Input(i.name, i.shape, i.bits, i.signed) for i in network.inputs),
        populations=tuple(parts.populations),
        synapses=tuple(parts.synapses),
        readout=readout,
        n_steps=network.n_steps,
        timestep_s=network.timestep_s,
        scales=dict(scales),
    )
    return LoweredNetwork(made, RoundingTable(tuple(parts.rows)), tuple(parts.warnings))


def _grid(row: PopulationRounding, origin: Origin) -> str:
    if origin not in ("file", "grid"):
        return ""
    return "exact grid" if max(row.du_error, row.dv_error) <= EXACT else "exact grid but for its decays"


@contextmanager
def _naming_scale(population: str, origin: str) -> Iterator[None]:
    """Adds the setting of the population's scale to what says that the file's does not fit (another input_scale)."""
    try:
        yield
    except InputError as error:
        if origin != "file":
            raise
        way = f"give it another with --set scale.{population}=NUMBER, as where input_scale is changed"
        raise InputError.together(replace(r, ways_out=(*r.ways_out, way)) for r in error.reasons) from None


def _population(p: Population, s: PerNeuron, rules: RoundingRules, exact: bool, parts: _Parts) -> PopulationRounding:
    formats = rules.formats
    du, du_error = decay_grid(p.a_s)
    dv, dv_error = decay_grid(p.a_m)
    if exact:
        du, dv = exact_ints(reals(p.a_s * UNITY), f"{p.name}: du"), exact_ints(reals(p.a_m * UNITY), f"{p.name}: dv")
    real_bias, real_u_init = steady_bias(p, s)
    if exact:
        bias_mant, bias_exp = exact_bias(real_bias, f"{p.name}: bias", formats)
    else:
        bias_mant, bias_exp = split_bias(real_bias, formats.bias_mant_max, formats.bias_exp_max, f"{p.name}: bias")
    real_v_init = reals(64 * s * (p.v_init - p.v_reset) + late_v(p, s))
    u_init, v_init = (
        exact_ints(x, f"{p.name}: {name}") if exact else ints(np.rint(x))
        for name, x in (("u_init", real_u_init), ("v_init", real_v_init))
    )
    v_th, v_th_error = _threshold(p, s, rules, exact, (dv, bias_mant << bias_exp, v_init, u_init), parts)
    neuron = Lif(
        du=du,
        dv=dv,
        v_th_mant=v_th,
        bias_mant=bias_mant,
        bias_exp=bias_exp,
        u_init=u_init,
        v_init=v_init,
    )
    parts.populations.append(chip.Population(p.name, p.shape, neuron))
    bias_error = float(np.max(np.abs((bias_mant << bias_exp) - real_bias), initial=0.0))
    return PopulationRounding(p.name, s, du, dv, du_error, dv_error, v_th, v_th_error, bias_error, ())


def _foreign_rules(p: Population) -> Iterator[Reason]:
    """Rules of resets and spikes that the chip does not have."""
    if p.v_th is None:
        return
    if p.reset in SOFT_RESETS:
        yield Reason(
            f"reset {p.reset!r}",
            p.name,
            "the chip resets to one value",
            (
                "say --soft-reset emulate to have it emulated by a synapse from each neuron to itself, or --set "
                "reset=value if the file's tool meant that",
            ),
        )
    elif p.reset != "value":
        ways = ("train with a reset to v_reset", "say --set reset=value if the file's tool meant that")
        yield Reason(f"reset {p.reset!r}", p.name, "the chip resets to one value", ways)
    if p.multi_spike:
        way = "train with single spikes, or say --set multi_spike=off to compile it as if it had been"
        yield Reason("several spikes in one step", p.name, "the chip sends one", (way,))


def steady_bias(p: Population, s: PerNeuron) -> tuple[Reals, Reals]:
    """(bias, u_init) in units of v: see the top of this file."""
    shape = np.broadcast_shapes(p.gain.shape, p.bias.shape, p.a_s.shape, p.a_m.shape)
    leak = p.a_m * (p.v_leak - p.v_reset)
    if not np.any(p.bias):
        return reals(64 * s * leak), reals(np.where(p.a_s == 1, 0.0, 64 * s * p.u_init))
    if np.any(p.a_s == 0):
        raise Unsupported(
            "a bias into a current that never decays grows without bound", where=p.name, ways_out="give a_s above 0"
        )
    driven = np.broadcast_to(p.gain * p.bias / p.a_s, shape)
    late = np.zeros(())
    if np.any(p.late_bias):
        late = np.where(p.a_s < 1, p.gain * p.late_bias / np.maximum(1 - p.a_s, 1e-300), 0.0)
    u_init = np.where(p.a_s == 1, 0.0, 64 * s * (p.u_init - driven - late))
    return reals(64 * s * (leak + driven)), reals(u_init if np.any(u_init) else 0.0)


def late_v(p: Population, s: PerNeuron) -> Reals:
    """What v_init must lack where a bias is missing at step 0 and there is no current to carry it."""
    if not np.any(p.late_bias):
        return reals(0.0)
    needed = (p.a_s == 1) & (p.late_bias != 0)
    if np.any(needed & (p.a_m == 1)):
        raise Unsupported("a bias that is missing at step 0 cannot be held without a state", where=p.name)
    return reals(np.where(needed, -64 * s * p.gain * p.late_bias / np.maximum(1 - p.a_m, 1e-300), 0.0))


def _threshold(
    p: Population,
    s: PerNeuron,
    rules: RoundingRules,
    exact: bool,
    state: tuple[Ints, Ints, Ints, Ints],
    parts: _Parts,
) -> tuple[Ints, float]:
    if p.v_th is None:
        return ints(NEVER_FIRES), 0.0
    real = reals(s * (p.v_th - p.v_reset))
    if exact:
        real = reals(exact_ints(real, f"{p.name}: v_threshold"))
    v_th = ints(np.rint(real))
    if v_th.max() > rules.formats.v_th_mant_max:  # none is below 0: v_th > v_reset
        raise InputError(
            f"threshold mantissa {int(v_th.max())}",
            where=p.name,
            possible=f"possible are 0 to {rules.formats.v_th_mant_max}",
            ways_out="choose a smaller scale for it",
        )
    if _in_whole_steps(p, *state) and (silent := _largest_silent(p, real)).min() >= 0:
        return silent, 0.0
    if p.fires_at_threshold:
        parts.warnings.append(
            f"{p.name}: fires at v >= v_threshold; the chip compares with > at steps of 64, so a v that meets the "
            "threshold exactly does not fire"
        )
    return v_th, float(np.max(np.abs(v_th / real - 1))) if np.all(real) else 0.0


def _in_whole_steps(p: Population, dv: Ints, bias: Ints, v_init: Ints, u_init: Ints) -> bool:
    """Whether v is a multiple of 64 always, so that thresholds between two of them are one."""
    whole = np.all((dv == 0) | (dv == UNITY)) and np.all((p.a_s == 0) | (p.a_s == 1))
    return bool(whole and not np.any(bias % 64) and not np.any(v_init % 64) and not np.any(u_init))


def _largest_silent(p: Population, v_th: Reals) -> Ints:
    """The largest whole v (in units of v_th_mant) at which a neuron does not fire."""
    near = np.where(is_whole(v_th), np.rint(v_th), v_th)
    return ints(np.ceil(near) - 1 if p.fires_at_threshold else np.floor(near))


def _group(
    group: RealGroup, weight: Reals, delay: Ints, rules: RoundingRules, origin: Origin, parts: _Parts
) -> GroupRounding:
    c = group.connection
    if c.whole and group.is_one_to_one and real_sign_mode(weight) != "mixed":
        return _whole_group(group, weight, delay, rules, origin == "file", parts)
    # told scales keep their weights where the chip cannot send the input to them, and verify says so
    limits = rules.exponents(group) if origin in ("file", "user") else rules.sendable_exponents(group)
    bits = rules.weight_bits(group)
    if origin in ("file", "grid"):
        rounded = exact_weights(weight, limits, c.name, bits)
    elif c.name in parts.moments:
        rounded = round_with_moments(weight, parts.moments[c.name], limits, bits)
    else:
        rounded = round_weights(weight, limits, bits)
    worst = worst_neuron(group, weight, rounded.effective)
    parts.warnings += [] if c.whole else lost_weights(group, weight, rounded.effective)
    rounded = rounded.folded(bits)
    kind, delay = _kind(group, rounded.weights, delay)
    for i, (source, part, wait) in enumerate(_in_reach(group, kind, delay, rules, parts)):
        parts.synapses.append(
            Synapses(
                f"{c.name}.late{i}" if i else c.name,
                source,
                c.target,
                part,
                rounded.exponent,
                group.graded,
                wait,
                24 if group.conv is not None else 32,
            )
        )
    return GroupRounding(
        c.name,
        c.source,
        type(kind).__name__.lower(),
        rounded.mode,
        bits,
        rounded.exponent,
        rounded.weights.size,
        int(np.abs(rounded.weights).max(initial=0)),
        rounded.n_clipped,
        int(np.sum((rounded.weights == 0) & (weight != 0))),
        rounded.relative_error,
        worst.index,
        worst.relative_error,
        rounded.sum_error,
    )


def _whole_group(
    group: RealGroup, weight: Reals, delay: Ints, rules: RoundingRules, exact: bool, parts: _Parts
) -> GroupRounding:
    """One-to-one weights as whole numbers: the sum of as many synapse groups as they need."""
    c = group.connection
    whole = exact_ints(weight, c.name) if exact else ints(np.rint(weight))
    bits = rules.weight_bits(group)
    pieces = whole_pieces(whole, rules.formats.weight_exponent[1], bits, c.name)
    for n, (weights, exponent) in enumerate(pieces):
        name = c.name if n == 0 else f"{c.name}.{n + 1}"
        parts.synapses.append(Synapses(name, c.source, c.target, kinds.OneToOne(weights), exponent, delay=delay))
    norm = float(np.sum(weight**2))
    worst = worst_neuron(group, weight, reals(whole))
    return GroupRounding(
        c.name,
        c.source,
        f"{len(pieces)} x onetoone" if len(pieces) > 1 else "onetoone",
        sign_mode_of(whole),
        bits,
        pieces[0][1] if pieces else 0,
        whole.size,
        int(np.abs(whole).max(initial=0)),
        0,
        int(np.sum((whole == 0) & (weight != 0))),
        float(np.sqrt(np.sum((whole - weight) ** 2) / norm)) if norm else 0.0,
        worst.index,
        worst.relative_error,
    )


def _kind(group: RealGroup, weights: Ints, delay: Ints) -> tuple[kinds.Kind, Ints]:
    """The program's synapses, and the delay in the shape they need."""
    if group.conv is not None:
        assert not delay.ndim, "merge_linear writes out what waits differently"
        conv = group.conv
        return kinds.Conv(weights, conv.window), delay
    if group.is_one_to_one:
        if delay.ndim == 0:
            return kinds.OneToOne(weights), delay
        n = delay.size
        wide = np.broadcast_to(weights, delay.shape).reshape(-1)
        return kinds.Sparse(ints(wide), ints(np.arange(n)), ints(np.arange(n)), n, n), ints(delay.reshape(-1))
    if group.entries is not None:
        kept, at = weights != 0, group.entries
        entries = kinds.Sparse(
            ints(weights[kept]), ints(at.rows[kept]), ints(at.columns[kept]), at.n_target, at.n_source
        )
        return entries, ints(delay.reshape(-1)[at.columns[kept]]) if delay.ndim else delay
    if delay.ndim:
        delay = ints(np.broadcast_to(delay.reshape(1, -1), weights.shape))
    density = np.count_nonzero(weights) / max(1, weights.size)
    if density < SPARSE_BELOW and weights.size > FEW_VALUES:
        rows, columns = np.nonzero(weights)
        entries = kinds.Sparse(ints(weights[rows, columns]), ints(rows), ints(columns), *weights.shape)
        return entries, ints(delay[rows, columns]) if delay.ndim else delay
    return kinds.Dense(weights), delay


def _in_reach(
    group: RealGroup, kind: kinds.Kind, delay: Ints, rules: RoundingRules, parts: _Parts
) -> Iterator[tuple[str, kinds.Kind, Ints]]:
    """(source, synapses, delay) that together wait as long as is due.

    What waits longer than a synapse can comes through a chain of relays: a hop takes 1 to delay_max + 1 steps.
    """
    c, longest = group.connection, rules.formats.delay_max
    source, count = c.source, 0
    while delay.max(initial=0) > longest:
        if delay.ndim:
            near = _only(kind, delay, delay <= longest)
            if near is not None:
                yield source, *near
            far = _only(kind, delay, delay > longest)
            if far is None:
                return
            kind, delay = far
        count += 1
        hop = min(longest, int(delay.min()) - 1)
        name = f"{c.name}.relay{count}"
        parts.populations.append(chip.Population(name, group.source_shape, Relay()))
        parts.synapses.append(
            Synapses(f"{name}.in", source, name, kinds.OneToOne(ints([1])), 0, group.graded, ints(hop))
        )
        source, delay = name, ints(delay - hop - 1)
    yield source, kind, delay


def _only(kind: kinds.Kind, delay: Ints, kept: NDArray[np.bool_]) -> tuple[kinds.Kind, Ints] | None:
    """Some of the synapses with delays of their own; None where none of them has a weight."""
    match kind:
        case kinds.Dense():
            kept = kept & (kind.weights != 0)
            if not kept.any():
                return None
            # of what is 0 the delay is free
            return kinds.Dense(ints(np.where(kept, kind.weights, 0))), ints(np.where(kept, delay, delay[kept].min()))
        case kinds.Sparse():
            if not kept.any():
                return None
            rest = replace(
                kind, weights=ints(kind.weights[kept]), rows=ints(kind.rows[kept]), columns=ints(kind.columns[kept])
            )
            return rest, ints(delay[kept])
        case _:
            raise AssertionError("other kinds have one delay")
