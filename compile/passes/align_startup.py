"""Aligns the start-up: what a population does while the pipeline fills must not reach its first real step.

The first value of a sample arrives at population p at step a = arrival(p); before, only biases act. Two ways to be
exact:

* ``Reset(n_steps, a + 1)`` clears the state right when the sample arrives, and again for the next sample, so that
  samples can follow each other. It needs a state at rest of 0 (no v_leak != v_reset, no current with a bias).
* The initial state is solved backwards, so that after a steps of bias alone it is the state at rest, without firing
  on the way. Then samples run one at a time.

A reset does not take back a spike that is under way. Where the network remembers spikes over a step (recurrence,
delays) or where a state is solved backwards, nothing may fire during the fill at all: populations whose bias would
make them fire are then solved backwards, too. Far below 0 a bias has no such state: then neurons that it would make
fire begin low enough, and the reset clears all. Where that cannot be, ``clock_biases`` takes the bias away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from seamount.errors import Reason, Unsupported

from ..neurons.cuba import Cuba
from ..neurons.lif import Lif
from ..numbers import UNITY, ints
from ..program.program import Population, Program, Reset, sent_from
from ..synapses.kinds import Sparse, Synapses


def mark_arrivals(program: Program, due: Mapping[str, int]) -> Program:
    """A program whose arrivals are those of its network, also where all paths into a population are delayed by it.

    Synapse groups without synapses are the marks: the first value of a sample comes later, its first step does not.
    """
    marks = []
    for p in program.populations:
        first: dict[str, int] = {}
        for s in program.into(p.name):
            source, latency = sent_from(program, s)
            first[source] = min(first.get(source, latency), latency)
        for source, latency in first.items():
            gap = due.get(p.name, 0) - due.get(source, 0)
            if source in due and 1 <= gap < latency:
                n_target, n_source = p.n_neurons, int(np.prod(program.shape(source)))
                nothing = Sparse(ints([]), ints([]), ints([]), n_target, n_source)
                marks.append(Synapses(f"{source}->{p.name}.first", source, p.name, nothing, delay=ints(gap - 1)))
    return program.with_(synapses=(*program.synapses, *marks))


def align_startup(program: Program, arrival: Mapping[str, int], *, remembers: bool = False) -> Program:
    """The program with resets, or with initial states solved backwards.

    Args:
        program: without resets.
        arrival: of every population.
        remembers: some connection brings a spike of an earlier step than the step's own.

    Raises:
        CannotStart: states cannot be solved backwards, or fire during the fill; the reasons are where.
    """
    quiet = remembers or any(_must_be_solved(p, program) for p in program.populations)
    aligned: list[Population] = []
    problems: list[Reason] = []
    for p in program.populations:
        try:
            aligned.append(_aligned(p, program, arrival[p.name], quiet))
        except Unsupported as error:
            problems += [r if r.ways_out else replace(r, ways_out=_ways_out(p, program)) for r in error.reasons]
    if problems:
        raise CannotStart.together(problems)
    return program.with_(populations=tuple(aligned))


def _ways_out(p: Population, program: Program) -> tuple[str, ...]:
    if program.n_steps is None and p.neuron.at_rest:
        return ("give the number of steps of a sample, so that it is reset when the sample arrives",)
    if isinstance(p.neuron, Cuba) and np.any(p.neuron.dv == UNITY):  # v keeps nothing, so no other start would help
        return (
            "without input it is above its threshold: raise the threshold, and put a bias as large in front of it",
        )
    return ("let it begin where it stays without input: --set init=leak, --set init=reset, or v_leak = v_reset",)


class CannotStart(Unsupported):
    """What populations do while the pipeline fills reaches their first real step."""


def _must_be_solved(p: Population, program: Program) -> bool:
    return bool(p.neuron.states) and (program.n_steps is None or not p.neuron.at_rest)


def _aligned(p: Population, program: Program, arrival: int, quiet: bool) -> Population:
    if not p.neuron.states:
        return p
    if not _must_be_solved(p, program) and (not quiet or p.neuron.stays_silent(arrival)):
        assert program.n_steps is not None
        return replace(p, reset=Reset(program.n_steps, (arrival + 1) % program.n_steps or program.n_steps))
    if p.neuron.at_rest and p.neuron.stands_still:
        return p
    try:
        return replace(p, neuron=p.neuron.solved_back(p.name, arrival))
    except Unsupported:
        held = None if _must_be_solved(p, program) else _held_down(p, program, arrival)
        if held is None:
            raise
        return held


def _held_down(p: Population, program: Program, arrival: int) -> Population | None:
    """With neurons that begin so low that they do not fire, and a reset; None where there is no such start."""
    n_steps = program.n_steps
    # a reset before the sample arrives would end what holds them
    if not isinstance(p.neuron, Lif) or n_steps is None or arrival >= n_steps:
        return None
    rising = replace(p.neuron, bias_mant=np.maximum(p.neuron.bias_mant, 0)).solved_back(p.name, arrival)
    held = replace(p.neuron, v_init=rising.v_init)
    return replace(p, neuron=held, reset=Reset(n_steps, (arrival + 1) % n_steps or n_steps))
