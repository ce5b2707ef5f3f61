"""Samples one by one without filling and draining: neurons are silent outside the steps in which they answer.

Folded biases keep neurons firing while the pipeline fills and after a sample has passed. Chips know no gate for a
bias, but both can be ended without a change to any value of a window:

* Before it: a neuron that its bias would make fire begins so low that it does not; the reset at the window's start
  clears that. Resets get an interval that no run is longer than, so that none comes before and ends the hold.
* Behind it: for each depth a neuron fires when the windows there are over, and inhibits those that could go on
  firing, again as often as it takes. It costs an operation for each of them.

Neurons that cannot be held so long (a membrane that forgets before its window begins, other models than CUBA LIF)
fire all the same; windows do not notice, because resets part them from what was before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from seamount.errors import Unsupported

from ..neurons.lif import Lif
from ..neurons.model import State
from ..numbers import DRIVE_SHIFT, UNITY, V_MAX, Ints, ints
from ..program.program import Population, Program, Reset
from ..program.streaming import why_not_streamed
from ..synapses.kinds import Sparse, Synapses

Mask = NDArray[np.bool_]

PULSE, PULSE_EXPONENT = -254, 7
"""A weight of the grid of 8 bits, mixed signs, and the largest exponent: a quarter of v's range."""


@dataclass(frozen=True)
class _Stop:
    """Neurons of one population that are stopped behind their window, and for how many steps a pulse does."""

    target: str
    which: Mask
    lasts: int


def one_by_one(program: Program) -> Program:
    """The same answers to single samples, with fewer spikes.

    Raises:
        Unsupported: states are not reset when a sample arrives, so that what was before would be seen.
    """
    why = why_not_streamed(program)
    if why is not None:
        raise Unsupported(f"neurons cannot be held outside their windows: {why}", where=program.name)
    assert program.n_steps is not None, "why_not_streamed admits no other"
    arrivals = program.arrivals()
    n_steps, total = program.n_steps, program.n_steps + max(arrivals.values())
    # a power of two, because some chips have no other intervals
    interval = 1 << (total - 1).bit_length()
    held, stops = [], []
    for p in program.populations:
        arrival = arrivals[p.name]
        if p.reset is None:
            held.append(p)
            continue
        neuron = _held_before(p.neuron, arrival) if isinstance(p.neuron, Lif) else p.neuron
        held.append(replace(p, neuron=neuron, reset=Reset(interval, (arrival + 1) % interval or interval)))
        if (stop := _stop(p, total - arrival - n_steps)) is not None:
            stops.append((arrival + n_steps, stop))
    stopping = _stopping(program, stops, total)
    return program.with_(
        populations=(*held, *stopping[0]),
        synapses=(*program.synapses, *stopping[1]),
        provenance={**program.provenance, "one_by_one": "for single samples; neurons are held outside their windows"},
    )


def _held_before(neuron: Lif, n_steps: int) -> Lif:
    """With a low start for those that would fire; where the membrane forgets it in time, they fire later."""
    first = _fires(neuron, neuron.rest_state(_shape(neuron)), n_steps)
    low = replace(neuron, v_init=ints(np.where(first < n_steps, -V_MAX, neuron.v_init)))
    delayed = _fires(low, low.rest_state(_shape(neuron)), n_steps) > first
    return replace(neuron, v_init=ints(np.where(delayed, -V_MAX, neuron.v_init))) if delayed.any() else neuron


def _stop(p: Population, n_steps: int) -> _Stop | None:
    """What has to be stopped in so many steps behind the window; None if nothing can fire there, or be stopped."""
    neuron = p.neuron
    if not isinstance(neuron, Lif) or neuron.never_sends or n_steps == 0:
        return None
    shape = _shape(neuron)
    # the highest v that a window can leave behind
    highest = np.broadcast_to(neuron.v_th_mant << DRIVE_SHIFT, shape)
    left: State = {**neuron.rest_state(shape), "u": np.zeros(shape, np.int64), "v": highest}
    # what is left of u is not known: where it lasts, all are stopped
    fire = (_fires(neuron, left, n_steps) < n_steps) | (neuron.du < UNITY)
    pulse = np.full(shape, PULSE << PULSE_EXPONENT, np.int64)
    lasts = _fires(neuron, left, n_steps, pulse)
    fire = np.broadcast_to(fire & (lasts > 0), p.shape)
    return _Stop(p.name, fire, int(np.broadcast_to(lasts, p.shape)[fire].min())) if fire.any() else None


def _fires(neuron: Lif, state: State, n_steps: int, first: Ints | None = None) -> Ints:
    """The step, from 0, in which each neuron first fires, ``n_steps`` if in none; nothing arrives but ``first``."""
    shape = state["v"].shape
    found = np.full(shape, n_steps)
    for k in range(n_steps):
        done = neuron.step(state, [first if k == 0 and first is not None else np.zeros(shape, np.int64)])
        found = np.where((done.sent != 0) & (found == n_steps), k, found)
        state = done.state
    return found


def _shape(neuron: Lif) -> tuple[int, ...]:
    """The smallest population that shows all parameters, because that of a feature map has thousands of equals."""
    return np.broadcast_shapes(*(np.shape(value) for value in neuron.parameters().values() if value is not None))


def _stopping(
    program: Program, stops: list[tuple[int, _Stop]], total: int
) -> tuple[tuple[Population, ...], tuple[Synapses, ...]]:
    """A neuron for each step in which windows end, and its synapses."""
    if not stops:
        return (), ()
    ends = sorted({end for end, _ in stops})
    lasts = [min(s.lasts for end, s in stops if end == one) for one in ends]
    # by a unit a step up to the first firing, then from 0 again; a spike is a step under way
    first = np.array([end - 1 for end in ends])
    period = np.minimum(lasts, total)
    neuron = Lif(
        du=ints(UNITY),
        dv=ints(0),
        v_th_mant=ints(period - 1),
        bias_mant=ints(1),
        bias_exp=ints(DRIVE_SHIFT),
        v_init=ints((period - 1 - first) << DRIVE_SHIFT),
    )
    name = _new_name(program)
    synapses = []
    for end, stop in stops:
        rows = np.flatnonzero(stop.which)
        columns, weights = np.full(len(rows), ends.index(end)), np.full(len(rows), PULSE)
        kind = Sparse(ints(weights), ints(rows), ints(columns), stop.which.size, len(ends))
        synapses.append(Synapses(f"{name}->{stop.target}", name, stop.target, kind, exponent=PULSE_EXPONENT))
    return (Population(name, (len(ends),), neuron),), tuple(synapses)


def _new_name(program: Program) -> str:
    taken = {i.name for i in program.inputs} | {p.name for p in program.populations}
    taken |= {s.name for s in program.synapses}
    name = "stop"
    while any(name == other or other.startswith(f"{name}->") for other in taken):
        name += "_"
    return name
