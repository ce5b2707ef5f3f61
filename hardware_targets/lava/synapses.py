"""Synapses as Lava's processes hold them: flipped kernels, signs of a matrix, sums of its width; else why not."""

from __future__ import annotations

from typing import Any

import numpy as np

from seamount.compile.neurons.model import Message
from seamount.compile.numbers import Ints
from seamount.compile.program.messages import largest_drive
from seamount.compile.program.program import Program
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Sparse, Synapses, Wire
from seamount.compile.synapses.matrix import diagonal, unrolled
from seamount.errors import Unsupported

from .graph import Array, Node


def lava_kind(synapses: Synapses, program: Program, sent: Message) -> Conv | Dense | Sparse | Wire:
    """The same connections as Lava has them: its convolution has no right shift, one-to-one is a diagonal."""
    kind = synapses.kind
    if isinstance(kind, Wire):
        if synapses.delay.any():
            raise Unsupported(
                "a wire with a delay", where=synapses.name, ways_out="use one-to-one synapses of weight 1"
            )
        return kind
    if isinstance(kind, OneToOne):
        lowered: Conv | Dense | Sparse = diagonal(kind, program.shape(synapses.source))
    elif isinstance(kind, Conv) and synapses.exponent < 0:
        lowered = unrolled(kind, program.shape(synapses.source), program.shape(synapses.target), zeros=True)
    else:
        lowered = kind
    check_wrap(program, synapses, sent, lowered)
    return lowered


def check_wrap(program: Program, synapses: Synapses, sent: Message, lava: Conv | Dense | Sparse) -> None:
    """Refuses synapses whose drive Lava would wrap at another width than the program."""
    lava_bits = 24 if isinstance(lava, Conv) else 32
    bound = largest_drive(program, synapses, sent)
    if synapses.wrap_bits != lava_bits and bound >= 1 << (min(synapses.wrap_bits, lava_bits) - 1):
        raise Unsupported(
            f"wraps to {synapses.wrap_bits} bits and its sums can reach {bound}",
            where=synapses.name,
            possible=f"Lava's {type(lava).__name__} wraps to {lava_bits}",
            ways_out="lower the weights or the exponent",
        )


def convolution(
    synapses: Synapses, kind: Conv, source: tuple[int, ...], target: tuple[int, ...], message_bits: int
) -> Node:
    weights = kind.weights << synapses.exponent  # shifted here, because Lava's Conv ignores weight_exp
    settings = {  # sides in Lava's order, (W, H)
        "input_shape": source[::-1],
        "stride": kind.window.stride[::-1],
        "padding": kind.window.padding[::-1],
        "dilation": kind.window.dilation[::-1],
        "groups": kind.window.groups,
        "num_message_bits": message_bits,
    }
    # turned around, because Lava convolves where torch and we correlate
    flipped = np.ascontiguousarray(weights[:, :, ::-1, ::-1].transpose(0, 3, 2, 1))
    return Node(synapses.name, "Conv", target, True, settings, {"weight": flipped})


def matrix(synapses: Synapses, kind: Dense | Sparse, message_bits: int) -> Node:
    settings: dict[str, Any] = {
        "weight_exp": synapses.exponent,
        "sign_mode": sign_mode(kind.weights, synapses.name),
        "num_message_bits": message_bits,
    }
    arrays: dict[str, Array] = {"weights": np.array(kind.weights)}
    is_delayed = bool(synapses.delay.any())
    if is_delayed:
        arrays["delays"] = np.array(np.broadcast_to(synapses.delay, kind.weights.shape))
    if isinstance(kind, Dense):
        n_target = kind.weights.shape[0]
        return Node(synapses.name, "DelayDense" if is_delayed else "Dense", (n_target,), False, settings, arrays)
    places = kind.rows * kind.n_source + kind.columns
    if is_delayed and np.unique(places).size < places.size:
        raise Unsupported(
            "several delayed synapses between the same two neurons", where=synapses.name, possible="Lava keeps one"
        )
    settings |= {"n_target": kind.n_target, "n_source": kind.n_source}
    arrays |= {"rows": np.array(kind.rows), "columns": np.array(kind.columns)}
    name = "DelaySparse" if is_delayed else "Sparse"
    return Node(synapses.name, name, (kind.n_target,), False, settings, arrays)


def sign_mode(weights: Ints, where: str) -> str:
    """Lava's sign mode that leaves the weights as they are."""
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    if low >= 0 and high <= 255:
        return "EXCITATORY"
    if high <= 0 and low >= -255:
        return "INHIBITORY"
    if low >= -256 and high <= 254 and not np.any(weights & 1):
        return "MIXED"
    raise Unsupported(
        f"weights {low} to {high} are not on the 8-bit grid",
        where=where,
        possible="which holds 0 to 255, -255 to 0, or even numbers from -256 to 254",
        ways_out="quantise the program for a Loihi target",
    )
