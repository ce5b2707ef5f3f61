"""Merges every chain into one operator, which is what a synapse group can hold.

Behind this pass a connection is, after its delays: nothing (one to one), a Scale (one weight per neuron), a
Convolution, or Linear or Entries over the flattened source.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from seamount.errors import Unsupported

from ..network.network import (
    Connection,
    Convolution,
    Delay,
    Entries,
    Linear,
    Network,
    Op,
    Reshape,
    Scale,
    Shape,
    size,
)
from .fold_pooling import compose_neighbours, pools_as_convs
from .fold_scale import channel_gain
from .written_as import LIMIT_BYTES


def merge_linear(network: Network, limit_bytes: int = LIMIT_BYTES) -> Network:
    """Every chain as one operator; what has to be written out may take ``limit_bytes`` a connection."""
    return network.with_(connections=tuple(_merged(c, network, limit_bytes) for c in network.connections))


def _merged(c: Connection, network: Network, limit_bytes: int) -> Connection:
    source, target = network.shape(c.source), network.shape(c.target)
    delays = tuple(op for op in c.ops if isinstance(op, Delay))
    if any(isinstance(op, Delay) for op in c.ops[len(delays) :]):
        raise Unsupported(
            "a delay per neuron behind a weight",
            where=c.name,
            ways_out="put it in front of the weight, as a synapse has it",
        )
    ops = c.ops[len(delays) :]
    # fold_pooling looked at connections that pool alone; two convolutions in a row elsewhere are one as well
    if not all(isinstance(op, Reshape | Scale) for op in ops):
        ops = compose_neighbours(pools_as_convs(ops, source), source)
    core = tuple(op for op in ops if not isinstance(op, Reshape))
    match core:
        case ():
            merged: tuple[Op, ...] = _shaped((), source, target)
        case (Scale(scale=scale),) if source == target:
            merged = (Scale(scale),)
        # behind a gain, or delays, of their own the kernels differ from neuron to neuron: no convolution any more
        case (Convolution(),) if (
            ops == core
            and channel_gain(network.population(c.target)) is not None
            and not any(np.ptp(delay.steps) for delay in delays)
        ):
            merged = core
        case (Linear(weight=weight),) if weight.ndim == 2 and weight.shape[1] == size(source):
            merged = _shaped((Linear(weight),), source, target)
        case (Entries() as entries,):
            merged = _shaped((entries,), source, target)
        case _:
            from .write_out import write_out  # here, because loading torch takes longer than most compiles

            merged = _shaped((write_out(ops, source, c.name, limit_bytes),), source, target)
    return replace(c, ops=(*delays, *merged))


def _shaped(core: tuple[Op, ...], source: Shape, target: Shape) -> tuple[Op, ...]:
    """The operator between the reshapes to flat and to the target's shape, those that change something."""
    if not core:
        return () if source == target else (Reshape(target),)
    flat, back = (size(source),), (size(target),)
    return (
        *(() if source == flat else (Reshape(flat),)),
        *core,
        *(() if target == back else (Reshape(target),)),
    )
