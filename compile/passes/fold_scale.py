"""Folds scales into the weights beside them and moves delays to the front of a chain.

A scale that is constant over what a weight shares (a channel's map, for a convolution) is folded exactly; any other
is left for ``merge_linear``, which writes the chain out as a matrix.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..network.network import (
    Connection,
    Convolution,
    Delay,
    Linear,
    Network,
    Op,
    Population,
    Reals,
    Reshape,
    Scale,
    SumPool,
    reals,
)


def fold_scale(network: Network) -> Network:
    """Every connection with its scales folded and its uniform delays in front."""
    return network.with_(connections=tuple(replace(c, ops=_folded(c)) for c in network.connections))


def _folded(c: Connection) -> tuple[Op, ...]:
    ops, i = list(_delays_first(c.ops)), 0
    while i < len(ops) - 1:
        pair = _pair(ops[i], ops[i + 1])
        if pair is None:
            i += 1
            continue
        ops[i : i + 2] = pair
        i = max(0, i - 1)  # what stands in front has a new neighbour
    return tuple(op for op in ops if not (isinstance(op, Scale) and np.all(op.scale == 1)))


def _delays_first(ops: tuple[Op, ...]) -> tuple[Op, ...]:
    """A delay that is the same for all elements commutes with every linear operator."""
    steps = sum(int(op.steps) for op in ops if isinstance(op, Delay) and op.steps.ndim == 0)
    rest = tuple(op for op in ops if not (isinstance(op, Delay) and op.steps.ndim == 0))
    return (Delay(np.array(steps)), *rest) if steps else rest


def _pair(first: Op, second: Op) -> tuple[Op, ...] | None:
    """What two neighbours become; None where they stay."""
    match first, second:
        case Scale(scale=a), Scale(scale=b):
            return (Scale(reals(a * b)),)
        # a matrix acts on the last axis alone: a scale over several axes must stay unless the matrix has them too
        case Scale(scale=a), Linear(weight=w) if a.ndim <= 1 or w.ndim > 2:
            return (Linear(reals(w * (a[..., None, :] if a.ndim else a))),)
        case Linear(weight=w), Scale(scale=a) if a.ndim <= 1 or w.ndim > 2:
            return (Linear(reals(w * (a[..., :, None] if a.ndim else a))),)
        case Scale(scale=a), Convolution() if (channels := per_channel(a)) is not None:
            per_group = second.weight.shape[1]
            column = np.broadcast_to(channels, (second.window.groups * per_group,)).reshape(
                second.window.groups, 1, per_group, 1, 1
            )
            weight = second.weight.reshape(second.window.groups, -1, *second.weight.shape[1:]) * column
            return (replace(second, weight=reals(weight.reshape(second.weight.shape))),)
        case Convolution(), Scale(scale=a) if per_channel(a) is not None:
            return (scaled(first, second),)
        case Scale(scale=a), SumPool() if (channels := per_channel(a)) is not None:
            # behind the windows maps have another size
            return (second, Scale(reals(channels.reshape(-1, 1, 1))) if a.ndim else first)
        case Scale(scale=a), Reshape() if a.ndim == 0:
            return (second, first)
        case _:
            return None


def scaled(conv: Convolution, scale: Scale) -> Convolution:
    """A convolution followed by a scale of its channels."""
    channels = per_channel(scale.scale)
    assert channels is not None, "the caller asks first"
    return replace(conv, weight=reals(conv.weight * channels.reshape(-1, 1, 1, 1)))


def channel_gain(p: Population) -> Reals | None:
    """What multiplies the drive of a population on maps, per channel; None where it differs within a map."""
    return per_channel(p.gain if p.gain.ndim == 0 else reals(np.broadcast_to(p.gain, p.shape)))


def per_channel(scale: Reals) -> Reals | None:
    """(C,) or (1,) of a scale on (C, H, W) that is constant over each map; None where it is not."""
    if scale.ndim == 0:
        return reals(scale.reshape(1))
    if scale.ndim == 3:
        first = scale[:, :1, :1]
        return reals(first[:, 0, 0]) if np.all(scale == first) else None
    return reals(scale.reshape(-1)[:1]) if np.all(scale == scale.reshape(-1)[0]) else None
