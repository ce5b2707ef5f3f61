"""What the inputs and populations of a program may send: ranges and payload bits, followed through relays."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from ..neurons.delta_coding import DeltaCoding
from ..neurons.model import PAYLOAD_BITS, SPIKES, Message
from ..synapses.bounds import Doubles, drive_range, held, may_wrap, reads_payload
from ..synapses.kinds import OneToOne, Synapses, Wire
from .program import Population, Program

LARGEST = 1 << 31
"""Bound of what nothing else bounds: 32 bits hold it."""


SILENCE = Message(0, 0, 0)


def messages(program: Program, silent: Collection[str] = ()) -> dict[str, Message]:
    """Message of every input and population; ``silent`` are known to send nothing."""
    found = {i.name: Message(i.low, i.high, i.bits) for i in program.inputs}
    found |= dict.fromkeys(silent, SILENCE)
    for population in program.populations:
        _follow(program, population, found, ())
    return found


def sending_changes(program: Program) -> list[Population]:
    """Populations that send changes of what they hear; others hold constants, as biases, which no frame changes."""
    return [p for p in program.populations if isinstance(p.neuron, DeltaCoding) and program.into(p.name)]


def drive_of(program: Program, synapses: Synapses, sent: Message) -> tuple[Doubles, Doubles]:
    """(lowest, highest) drive of a synapse group into each target neuron whose source sends this."""
    return drive_range(synapses, sent.low, sent.high, program.shape(synapses.source), program.shape(synapses.target))


def wraps(program: Program, synapses: Synapses, sent: Message) -> bool:
    """Whether the drive of a synapse group whose source sends this may wrap."""
    return may_wrap(synapses, sent.low, sent.high, program.shape(synapses.source), program.shape(synapses.target))


def largest_drive(program: Program, synapses: Synapses, sent: Message) -> int:
    """The largest |drive| of a synapse group into any neuron."""
    return largest(*drive_of(program, synapses, sent))


def largest(low: Doubles, high: Doubles) -> int:
    """The largest magnitude between bounds."""
    return int(max(-low.min(initial=0), high.max(initial=0)))


def _follow(program: Program, population: Population, found: dict[str, Message], above: tuple[str, ...]) -> Message:
    name, neuron = population.name, population.neuron
    if name in found:
        return found[name]
    if neuron.message is not None:
        return found.setdefault(name, neuron.message)
    if name in above:  # a loop of relays, which has no bound but the widest message
        return Message(-LARGEST, LARGEST, PAYLOAD_BITS)
    arriving = []
    for drive in neuron.drives:
        groups = [s for s in program.into(name) if s.drive == drive]
        sources = [
            found[s.source]
            if s.source in found
            else _follow(program, program.population(s.source), found, (*above, name))
            for s in groups
        ]
        arriving.append(_together(program, list(zip(groups, sources, strict=True)), population.shape))
    return found.setdefault(name, neuron.sends(arriving))


def _together(program: Program, groups: list[tuple[Synapses, Message]], shape: tuple[int, ...]) -> Message:
    """What arrives through several groups at once."""
    if not groups:
        return SILENCE
    if len(groups) == 1 and _passes_unchanged(groups[0][0]):
        return groups[0][1] if reads_payload(groups[0][0]) else SPIKES
    low, high = np.zeros(shape), np.zeros(shape)
    for synapses, message in groups:
        lowest, highest = drive_of(program, synapses, message)
        low, high = low + lowest, high + highest
    if not held(low, high, 32) or any(wraps(program, s, message) for s, message in groups):
        return Message(-LARGEST, LARGEST, PAYLOAD_BITS)
    return Message(int(low.min()), int(high.max()), PAYLOAD_BITS)


def _passes_unchanged(synapses: Synapses) -> bool:
    kind = synapses.kind
    return isinstance(kind, Wire) or (
        isinstance(kind, OneToOne) and bool(np.all(kind.weights == 1)) and synapses.exponent == 0
    )
