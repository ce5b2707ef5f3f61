"""What is to be rounded, and to what: the synapse groups in real numbers, and the rules for their integers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

import numpy as np

from seamount.errors import InputError, Unsupported

from ..formats import LOIHI, NumberFormats, WeightBits
from ..network.network import (
    Connection,
    Convolution,
    Delay,
    Entries,
    Linear,
    Network,
    NetworkInput,
    Reals,
    Reshape,
    Scale,
    reals,
    size,
)
from ..numbers import FULL_SCALE_BITS, Ints, PerNeuron, ints
from ..passes.fold_scale import channel_gain, per_channel


@dataclass(frozen=True)
class RealGroup:
    """One connection's weights in the population's own units (gain and input scale included), before the scale s.

    weight: (n_target, n_source) where ``is_matrix``, a kernel where there is a ``conv``, one per entry where there
    are ``entries``, else one per neuron.
    input: that the group comes from, where it is a graded one.
    """

    connection: Connection
    weight: Reals
    conv: Convolution | None
    input: NetworkInput | None
    source_shape: tuple[int, ...]
    is_matrix: bool
    entries: Entries | None = None

    @property
    def graded(self) -> bool:
        return self.input is not None

    @property
    def highest_payload(self) -> float:
        """Largest |value| that a weight multiplies."""
        if self.input is None:
            return 1.0
        return float(1 << (self.input.bits - 1) if self.input.signed else (1 << self.input.bits) - 1)

    @property
    def is_one_to_one(self) -> bool:
        return self.conv is None and self.entries is None and not self.is_matrix


@dataclass(frozen=True)
class RoundingRules:
    """What the integers may be.

    Attributes:
        formats: of the target. bits: of each synapse group's weights.
        whole_sums: no sum may be rounded down, so that every sum can be cut.
    """

    formats: NumberFormats = LOIHI
    bits: WeightBits = field(default_factory=WeightBits)
    whole_sums: bool = False

    def weight_bits(self, group: RealGroup) -> int:
        return self.bits.of(group.connection.name, group.connection.target)

    def exponents(self, group: RealGroup) -> tuple[int, int]:
        """Lowest and highest exponent that the group's weights can have on the 8-bit scale."""
        low, high = self.formats.weight_exponent
        # Lava's convolution has no negative exponents; weights of fewer bits leave low bits free to be shifted out
        if self.whole_sums or group.connection.whole or group.conv is not None:
            low = max(low, self.weight_bits(group) - FULL_SCALE_BITS)
        return low, high

    def sendable_exponents(self, group: RealGroup) -> tuple[int, int]:
        """Those with which the chip can also send what the weights multiply."""
        low, high = self.exponents(group)
        if group.input is not None and group.input.bits > self.formats.payload_bits:
            # bit planes, each with an exponent higher by one; verify refuses an input of more bits than that leaves
            high = max(low, high - (group.input.bits - 1))
        return low, high


def real_groups(network: Network, population: str) -> list[RealGroup]:
    """The synapse groups into a population, in real units."""
    return [_real_group(network, c) for c in network.into(population)]


def _real_group(network: Network, c: Connection) -> RealGroup:
    p = network.population(c.target)
    source = next((i for i in network.inputs if i.name == c.source), None)
    if source is None and network.population(c.source).v_th is None:
        raise Unsupported(
            f"{c.source} emits its potential, not spikes, and {c.target} needs it; a chip of spikes cannot send it",
            where=c.name,
            ways_out=("put a spiking population between them, or make it the readout",),
        )
    gain = reals(p.gain / source.scale) if source is not None else p.gain
    ops = tuple(op for op in c.ops if not isinstance(op, Delay))
    core = tuple(op for op in ops if not isinstance(op, Reshape))
    graded = source if source is not None and source.bits > 0 else None
    shape = network.shape(c.source)
    match core:
        case ():
            weight = np.broadcast_to(gain, p.shape).reshape(shape) if gain.ndim else gain.reshape(1)
            return RealGroup(c, reals(weight), None, graded, shape, False)
        case (Scale(scale=scale),):
            return RealGroup(c, reals(np.atleast_1d(scale * gain)), None, graded, shape, False)
        case (Convolution() as conv,):
            channels = channel_gain(p)
            if channels is not None:
                channels = channels / source.scale if source is not None else channels
                return RealGroup(c, reals(conv.weight * channels.reshape(-1, 1, 1, 1)), conv, graded, shape, False)
        case (Linear(weight=weight),):
            rows = np.broadcast_to(gain, p.shape).reshape(-1, 1) if gain.ndim else gain
            return RealGroup(c, reals(weight * rows), None, graded, shape, True)
    rows = np.broadcast_to(gain, p.shape).reshape(-1)
    if len(core) == 1 and isinstance(core[0], Entries):
        whole: Linear | Entries = core[0]
    else:
        from ..passes.write_out import write_out  # here, because loading torch takes longer than most compiles

        whole = write_out(ops, shape, c.name)
    match whole:
        case Linear(weight=weight):
            return RealGroup(c, reals(weight * rows[:, None]), None, graded, shape, True)
        case Entries(weights=weight):
            return RealGroup(c, reals(weight * rows[whole.rows]), None, graded, shape, False, whole)
        case _:
            assert_never(whole)


def scaled(group: RealGroup, s: PerNeuron, shape: tuple[int, ...]) -> Reals:
    """The group's weights in units of v_th_mant.

    Args:
        s: scale of the target. shape: its.

    Raises:
        InputError: scales of neurons that share a kernel differ.
    """
    if np.ndim(s) == 0:
        return reals(s * group.weight)
    whole = np.broadcast_to(np.asarray(s), shape)
    if group.conv is not None:
        channels = per_channel(reals(whole))
        if channels is None:
            raise InputError(
                "its neurons have scales of their own",
                where=group.connection.name,
                possible="the neurons of a channel share a kernel, and so a scale",
            )
        return reals(group.weight * channels.reshape(-1, 1, 1, 1))
    if group.is_one_to_one:
        return reals(group.weight * whole.reshape(group.source_shape))
    return reals(group.weight * whole.reshape(-1)[rows_of(group)])


def rows_of(group: RealGroup) -> Ints:
    """The neuron (the channel, for a kernel) that each weight drives; broadcasts with the weights."""
    if group.entries is not None:
        return group.entries.rows
    if group.is_one_to_one:
        return ints(np.arange(size(group.source_shape)).reshape(group.source_shape))
    return ints(np.arange(len(group.weight)).reshape(-1, *(1 for _ in group.weight.shape[1:])))


def largest_drive(group: RealGroup) -> float:
    """Largest |sum| that the group can bring to a neuron in a step, before the scale."""
    per_spike = group.highest_payload
    if group.is_one_to_one:
        return float(np.abs(group.weight).max(initial=0.0)) * per_spike
    if group.entries is not None:
        sums = np.bincount(group.entries.rows, np.abs(group.weight), group.entries.n_target)
        return float(sums.max(initial=0.0)) * per_spike
    return float(np.abs(group.weight).reshape(len(group.weight), -1).sum(1).max(initial=0.0)) * per_spike
