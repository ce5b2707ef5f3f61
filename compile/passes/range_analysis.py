"""Bounds drive, u and v by the integers of the program itself: proves that nothing overflows, or says where it may.

Worst case: every source sends at every step what hurts most, within the range of its messages: an input what its
width and sign declare, a relay what arrives there. u wraps and so must not overflow; v saturates, which is harmless
upwards where the neuron fires, and wrong elsewhere. What follows for the states, each neuron model says itself
(``NeuronModel.bounds``). ``tests/fuzz/ranges.py`` tries to break what is said here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from seamount.errors import plural

from ..neurons.model import Arriving, Message, StateRange
from ..numbers import V_MAX
from ..program.messages import drive_of, messages, wraps
from ..program.program import Population, Program
from ..synapses.bounds import held, reads_payload, sum_range
from ..synapses.kinds import OneToOne, Synapses


@dataclass(frozen=True)
class LayerRange:
    """Worst cases of one population, in units of v (drive << 6); proven bounds, not measurements.

    Bounds hold of v before a spike resets it, and as long as nothing wraps: those of the drive where it is proven,
    those of u and v where u is.

    Attributes:
        drive_low, drive_high: of one step's sum, in weight units.
        states: of each state by its name; proven: no sum on the way into the drive can wrap, and what its model says.
        drive_proven: no sum on the way into the drive can wrap.
        sum_bits: bits that hold the largest sum of one group before its exponent (float32 is exact up to 24).
        sources: what the bounds rest on: the range of what each source may send, by name.
        n_steps: and so many steps, from a reset or from the first; None: any number.
        n_never: neurons that can never send in these steps.
        never_sends: none can.
        always_sends: every neuron must send at every one.
    """

    name: str
    drive_low: int
    drive_high: int
    states: Mapping[str, StateRange]
    drive_proven: bool
    sum_bits: int
    sources: Mapping[str, tuple[int, int]]
    n_steps: int | None
    n_never: int
    never_sends: bool
    always_sends: bool

    @property
    def u(self) -> StateRange:
        return self.states.get("u", StateRange(0.0, 0.0, self.proven))

    @property
    def v(self) -> StateRange:
        return self.states.get("v", StateRange(0.0, 0.0, self.proven))

    @property
    def proven(self) -> bool:
        """Nothing but v can leave its range, so that what it sends is what its bounds say."""
        return self.drive_proven and all(state.proven for name, state in self.states.items() if name != "v")

    @property
    def headroom(self) -> float:
        """How many times larger the states but v could be before one leaves 24 bits; below 1: it may."""
        edges = (abs(edge) for name, x in self.states.items() if name != "v" for edge in (x.low, x.high))
        return V_MAX / max([1.0, *edges])

    @property
    def rests_on(self) -> str:
        """What must hold for the bounds to hold."""
        sent = [f"{name} in {low}..{high}" for name, (low, high) in self.sources.items()]
        return ", ".join((*sent, self.duration))

    @property
    def duration(self) -> str:
        return "any number of steps" if self.n_steps is None else f"{self.n_steps} {plural(self.n_steps, 'step')}"


class Unproven(NamedTuple):
    """What may become of a state, and what a run counts of it."""

    verdict: str
    counter: str


USUALLY = Unproven("may leave 24 bits", "n_u_wraps")
UNPROVEN = {
    "u": Unproven("MAY WRAP", "n_u_wraps"),
    **dict.fromkeys(("v", "real", "imag"), Unproven("may saturate", "n_v_saturations")),
}


def _verdict(name: str, state: StateRange) -> str:
    return "proven" if state.proven else UNPROVEN.get(name, USUALLY).verdict


@dataclass(frozen=True)
class RangeReport:
    layers: tuple[LayerRange, ...]

    def lines(self) -> Iterator[str]:
        for r in self.layers:
            states = [f"{name} in {x.low:.0f}..{x.high:.0f}, {_verdict(name, x)}" for name, x in r.states.items()]
            drive = "" if r.drive_proven else ", MAY WRAP"
            yield ", ".join(
                (
                    f"{r.name}: drive {r.drive_low}..{r.drive_high} ({r.sum_bits} bits){drive}",
                    *states,
                    f"head-room {r.headroom:.3g}; for {r.rests_on}",
                )
            )

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain values for JSON; a bound that does not exist is null."""

        def plain(state: StateRange) -> dict[str, Any]:
            return {k: v if np.isfinite(v) else None for k, v in vars(state).items()}

        return [vars(r) | {"states": {name: plain(x) for name, x in r.states.items()}} for r in self.layers]

    def warnings(self) -> Iterator[str]:
        for r in self.layers:
            if not r.drive_proven:
                yield (
                    f"{r.name}: the drive may wrap in the worst case ({max(-r.drive_low, r.drive_high)}, or one of "
                    "its sums); check n_drive_wraps of a run on your data, or choose a smaller scale"
                )
            for name, x in r.states.items():
                if x.proven:
                    continue
                words = UNPROVEN.get(name, USUALLY)
                what = f"{r.name}: {name} {words.verdict.lower()} in the worst case"
                way_out = f"check {words.counter} of a run on your data, or choose a smaller scale"
                if name == "u":
                    most = f"{max(-x.low, x.high):.0f}, possible {V_MAX}, head-room {r.headroom:.3g}"
                else:
                    most = f"{x.low:.0f} to {x.high:.0f}, possible +-{V_MAX}"
                yield f"{what} ({most}); {way_out}"


def analyse_ranges(program: Program) -> RangeReport:
    """Worst cases of every population.

    What can never send is left out of what arrives elsewhere, so that populations behind it may be found silent, too.
    """
    silent: set[str] = set()
    while True:
        sent = messages(program, silent)
        layers = tuple(_layer(program, p, sent) for p in program.populations)
        found = {layer.name for layer in layers if layer.never_sends}
        if found <= silent:
            return RangeReport(layers)
        silent |= found


def _layer(program: Program, p: Population, sent: Mapping[str, Message]) -> LayerRange:
    into = program.into(p.name)
    arriving = [_arriving(program, p, [s for s in into if s.drive == drive], sent) for drive in p.neuron.drives]
    n_steps = _n_steps(program, p)
    states, sending = p.neuron.bounds(arriving, n_steps), p.neuron.sending(arriving, n_steps)
    drive_proven = all(held(x.low - x.own, x.high, 32) for x in arriving)
    drive_proven = drive_proven and not any(wraps(program, s, sent[s.source]) for s in into)
    proven = drive_proven and all(state.proven for name, state in states.items() if name != "v")
    return LayerRange(
        name=p.name,
        drive_low=min(int((x.low - x.own).min()) for x in arriving),
        drive_high=max(int(x.high.max()) for x in arriving),
        states={
            name: replace(x, proven=x.proven and (proven if name == "v" else drive_proven))
            for name, x in states.items()
        },
        drive_proven=drive_proven,
        sum_bits=max((_sum_bits(program, s, sent[s.source]) for s in into), default=0),
        sources={s.source: (sent[s.source].low, sent[s.source].high) for s in into},
        n_steps=n_steps,
        n_never=int(np.broadcast_to(sending.never, p.shape).sum()) if proven else 0,
        never_sends=proven and bool(np.all(sending.never)),
        always_sends=proven and bool(np.all(sending.always)),
    )


def _n_steps(program: Program, p: Population) -> int | None:
    """Steps over which its states can add up: between resets, else in a run until the answer is read."""
    if p.reset is not None:
        return p.reset.interval
    if program.n_steps is None or program.readout is None:
        return None
    return program.steps_per_run()


def _arriving(program: Program, p: Population, into: list[Synapses], sent: Mapping[str, Message]) -> Arriving:
    low, high, own = np.zeros(p.shape), np.zeros(p.shape), np.zeros(p.shape)
    for s in into:
        lowest, highest = drive_of(program, s, sent[s.source])
        if inhibits_itself(p, s):
            own = own - lowest
        else:
            low, high = low + lowest, high + highest
    return Arriving(low, high, own, own_meets_reset=p.reset is not None)


def _sum_bits(program: Program, s: Synapses, sent: Message) -> int:
    low, high = (sent.low, sent.high) if reads_payload(s) else (0, 1)
    lowest, highest = sum_range(s.kind, low, high, program.shape(s.source), program.shape(s.target))
    return int(max(-lowest.min(initial=0), highest.max(initial=0))).bit_length()


def inhibits_itself(p: Population, s: Synapses) -> bool:
    """Whether the group only takes back what made a neuron fire a step ago (see ``passes/emulate_soft_reset.py``)."""
    if not (s.source == s.target and p.neuron.inhibition_follows_spikes and isinstance(s.kind, OneToOne)):
        return False
    return bool(np.all(s.kind.weights <= 0) and not np.any(s.delay) and not s.graded)
