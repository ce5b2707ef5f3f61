"""Aligns the start-up: what a population does while the pipeline fills must not reach its first real step.

The first value of a sample arrives at population p at step a = arrival(p); before, only biases act. Two ways to be
exact:

* ``Reset(n_steps, a + 1)`` clears the state right when the sample arrives, and again for the next sample, so that
  samples can follow each other. It needs a state at rest of 0 (no v_leak != v_reset, no current with a bias).
* The initial state is solved backwards, so that after a steps of bias alone it is the state at rest, without firing
  on the way. Then samples run one at a time.

A reset does not take back a spike that is under way. Where the network remembers spikes over a step (recurrence,
delays) or where a state is solved backwards, nothing may fire during the fill at all: populations whose bias would
make them fire are then solved backwards, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from seamount.errors import Unsupported

from ..neurons.cuba import bias_of
from ..neurons.lif import Lif
from ..numbers import V_MAX, Ints, decay, ints
from ..program.program import Population, Program, Reset


def align_startup(program: Program, arrival: Mapping[str, int], *, remembers: bool = False) -> Program:
    """The program with resets, or with initial states solved backwards.

    Args:
        program: without resets.
        arrival: of every population.
        remembers: some connection brings a spike of an earlier step than the step's own.

    Raises:
        Unsupported: a state cannot be solved backwards, or fires during the fill.
    """
    quiet = remembers or any(_must_be_solved(p, program) for p in program.populations)
    return program.with_(populations=tuple(_aligned(p, program, arrival[p.name], quiet) for p in program.populations))


def _at_rest(lif: Lif) -> bool:
    return not np.any(lif.u_init) and not np.any(lif.v_init)


def _must_be_solved(p: Population, program: Program) -> bool:
    return isinstance(p.neuron, Lif) and (program.n_steps is None or not _at_rest(p.neuron))


def _aligned(p: Population, program: Program, arrival: int, quiet: bool) -> Population:
    if not isinstance(p.neuron, Lif):
        return p
    if not _must_be_solved(p, program) and not (quiet and fires_alone(p.neuron, arrival)):
        assert program.n_steps is not None
        return replace(p, reset=Reset(program.n_steps, (arrival + 1) % program.n_steps or program.n_steps))
    if _at_rest(p.neuron) and not np.any(p.neuron.bias_mant):
        return p
    u, v = solved_back(p.name, p.neuron, arrival)
    return replace(p, neuron=replace(p.neuron, u_init=u, v_init=v))


def fires_alone(lif: Lif, n_steps: int) -> bool:
    """True where the bias alone makes it fire within so many steps from 0."""
    bias = bias_of(lif)
    v = np.zeros_like(bias)
    for _ in range(n_steps):
        v = decay(v, lif.dv) + bias
        if np.any(v > (lif.v_th_mant << 6)):
            return True
    return False


def solved_back(name: str, lif: Lif, n_steps: int) -> tuple[Ints, Ints]:
    """The state (u, v) that ``n_steps`` of bias alone turn into (u_init, v_init)."""
    full = np.broadcast_shapes(
        *(a.shape for a in (lif.du, lif.dv, lif.u_init, lif.v_init, lif.bias_mant, lif.bias_exp))
    )
    u, v = np.broadcast_to(lif.u_init, full), np.broadcast_to(lif.v_init, full)
    bias = np.broadcast_to(bias_of(lif), full)
    forgets = np.broadcast_to(lif.dv == 4096, full)
    for _ in range(n_steps):
        v = np.where(forgets, u + bias, v)  # the state at rest of a v without memory is no constraint
        if np.any(v > (lif.v_th_mant << 6)):
            raise Unsupported(
                "its bias makes it fire while the pipeline fills",
                where=name,
                ways_out="give the number of steps of a sample, so that it is reset when the sample arrives",
            )
        v_before = _before(v - bias - u, np.broadcast_to(lif.dv, full))
        u_before = _before(u, np.broadcast_to(lif.du, full))
        if v_before is None or u_before is None:
            raise Unsupported(
                f"no initial state leads to its state at rest after {n_steps} steps of pipeline fill within 24 bits",
                where=name,
                ways_out=(
                    "train with v_leak = v_reset and biases on LIFBox cells, or feed the bias through an input"
                ),
            )
        v, u = v_before, u_before
    return ints(u), ints(v)


def _before(after: Ints, rate: Ints) -> Ints | None:
    """The state of smallest magnitude that decays to ``after``; None where there is none within 24 bits."""
    kept = 4096 - rate
    if np.any((kept == 0) & (after != 0)):
        return None
    magnitude = np.where(kept == 0, 0, -(-np.abs(after) * 4096 // np.maximum(kept, 1)))
    state = np.sign(after) * magnitude
    return None if np.any(np.abs(state) > V_MAX) or np.any(decay(state, rate) != after) else state
