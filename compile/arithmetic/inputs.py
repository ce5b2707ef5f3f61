"""What may enter a program: names, shapes and ranges of input arrays, and how long a run lasts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.compile.neurons.delta import Delta
from seamount.compile.program.program import Input, Program
from seamount.compile.synapses.kinds import Wire
from seamount.errors import InputError, plural

NORMALISED = (
    "are the values normalised (x - mean) / std? undo it, and let the first layer do it: its weights / std, its bias "
    "- weights @ (mean / std)"
)
"""What negative values in place of pixels come from, and where that belongs on a chip."""

BLOCK = 1 << 20
"""Values that are looked at at once."""


def named_inputs(program: Program, inputs: Any) -> dict[str, Any]:
    """Input arrays by name; a bare array belongs to the only input, None or {} where a program has none."""
    names = [i.name for i in program.inputs]
    if inputs is None and not names:
        return {}
    if not isinstance(inputs, Mapping):
        if len(names) != 1:
            raise InputError(
                f"has {len(names)} inputs ({', '.join(names)}); pass a mapping from name to array", where=program.name
            )
        return {names[0]: inputs}
    unknown, missing = sorted(set(inputs) - set(names)), sorted(set(names) - set(inputs))
    if unknown or missing:
        raise InputError(
            f"input {', '.join(unknown + missing)} "
            f"{'does not exist' if unknown else 'is missing'}; the inputs are {', '.join(names)}",
            where=program.name,
        )
    return {name: inputs[name] for name in names}


def default_steps(program: Program, inputs: Any) -> int:
    """Steps of a run: until the readout has seen the whole sample, without one until the last population has.

    As many as the longest input has where nothing says how long a sample is.
    """
    longest = max((len(x) for x in named_inputs(program, inputs).values()), default=0)
    if not program.inputs and program.n_steps is None:
        raise InputError(
            "no input and no number of steps say how long it runs", where=program.name, ways_out="pass n_steps"
        )
    if program.n_steps is None:
        return longest
    if longest > program.n_steps:
        raise InputError(
            f"the input has {longest} steps, a sample has {program.n_steps}; "
            "shorten it, or pass n_steps to run a stream",
            where=program.name,
        )
    if program.readout is None:
        return program.n_steps + max(program.arrivals().values(), default=0)
    return program.steps_per_run()


def readout_window(program: Program, n_steps: int) -> tuple[int, int]:
    """First step, and step after the last, in which the readout shows the (first) sample."""
    if program.readout is None:
        return 0, n_steps
    start = program.arrivals()[program.readout.population]
    if program.n_steps is None:
        # v while the pipeline fills belongs to no sample: a 0 there would be the maximum of values below it
        return (0 if program.readout.quantity in ("v", "count") else min(start, n_steps)), n_steps
    return start, min(start + program.n_steps, n_steps)


def check_inputs(program: Program, inputs: Any, n_steps: int) -> dict[str, NDArray[Any]]:
    """Inputs by name, whole numbers (T, B, *shape), refused where they are not what the program declares.

    They are silent after their T. What only Delta neurons hear keeps its last value up to ``n_steps`` instead,
    because a frame stays until the next one, and its end would be a change that no frame made.
    """
    _check_steps(n_steps, program.name)
    found = {entry.name: _check(entry, named_inputs(program, inputs)[entry.name]) for entry in program.inputs}
    batches = {name: x.shape[1] for name, x in found.items()}
    if len(set(batches.values())) > 1:
        raise InputError(f"inputs differ in the number of samples: {batches}", where=program.name)
    return {name: _held(x, n_steps) if is_held(program, name) else x for name, x in found.items()}


def _check_steps(n_steps: Any, where: str) -> None:
    if isinstance(n_steps, bool) or not isinstance(n_steps, Integral):
        raise InputError(f"{n_steps!r} steps asked for, a whole number is possible", where=where)
    if n_steps < 1:
        raise InputError(f"{n_steps} steps asked for, at least 1 is possible", where=where)


def is_held(program: Program, name: str) -> bool:
    """Whether an input keeps its last value: Delta neurons hear it as it is, and nothing else hears it."""
    heard = [s for s in program.synapses if s.source == name]
    deltas = {p.name for p in program.populations if isinstance(p.neuron, Delta)}
    return bool(heard) and all(isinstance(s.kind, Wire) and s.target in deltas for s in heard)


def _held(x: NDArray[Any], n_steps: int) -> NDArray[Any]:
    if len(x) >= n_steps:
        return x
    if len(x) == 1:  # a view, however long
        return np.broadcast_to(x, (n_steps, *x.shape[1:]))
    return np.concatenate([x, np.broadcast_to(x[-1:], (n_steps - len(x), *x.shape[1:]))])


def n_samples(checked: Mapping[str, NDArray[Any]]) -> int:
    """B of checked inputs; a program without inputs, which biases alone drive, is one sample."""
    return next((x.shape[1] for x in checked.values()), 1)


def _encoding(entry: Input, array: NDArray[Any]) -> str:
    """What makes whole numbers of real ones."""
    if not np.isfinite(array).all() or array.max() > 1 or (not entry.bits and array.min() < 0):
        return "encode the values first"
    if not entry.bits:
        return (
            "pixels from 0 to 1 need a network compiled with --set input_bits=8 --set input_scale=255, and are "
            "written as np.rint(x * 255); or encode them as spikes"
        )
    if array.min() < 0 and not entry.signed:
        return NORMALISED
    return (
        f"values up to 1 are written as np.rint(x * {entry.high}), or by the input_scale that the network was given"
    )


def _ways_out(entry: Input, low: float, high: float) -> tuple[str, ...]:
    if entry.bits and low < entry.low == 0:
        return (NORMALISED,)
    if 16 < high <= 255 and not entry.bits:  # less is no picture, but events that were counted
        return ("pixels of 8 bits need a network compiled with --set input_bits=8, or an encoding as spikes",)
    return ()


def _check(entry: Input, values: Any) -> NDArray[Any]:
    where = f"input {entry.name}"
    try:
        array = np.asarray(values)
    except (RuntimeError, TypeError, ValueError) as error:  # ragged lists; of torch: a GPU's, bfloat16, gradients
        raise InputError(f"no array ({error})", where=where, possible="integers are possible") from None
    if entry.shape[1:2] == (1,) and array.shape[2:] == (entry.shape[0], *entry.shape[2:]):
        array = np.expand_dims(array, 3)  # lines (C, L), which the program holds as maps of height 1
    if array.ndim < 2 or array.shape[2:] != entry.shape:
        expected = ", ".join(["T", "B", *map(str, entry.shape)])
        raise InputError(f"shape {array.shape} found, ({expected}) is possible", where=where)
    if 0 in array.shape:
        raise InputError(
            f"shape {array.shape} holds no value; at least one step and one sample are needed", where=where
        )
    # an image that stands still was broadcast: it is looked at, and converted, once
    looked_at = array[:1] if array.strides[0] == 0 else array
    return np.broadcast_to(_whole_in_range(entry, looked_at, where), array.shape)


def _whole_in_range(entry: Input, array: NDArray[Any], where: str) -> NDArray[Any]:
    """The values as integers; real ones take as few bytes as the input's range allows, because they may be many."""
    if array.dtype.kind == "f":
        for block in _blocks(array):
            whole = np.isfinite(block) & (block == np.rint(block))
            if not whole.all():
                raise InputError(
                    f"{block[~whole].flat[0]} found, whole numbers are possible",
                    where=where,
                    ways_out=_encoding(entry, array),
                )
    elif array.dtype.kind not in "biu":
        raise InputError(f"values of type {array.dtype} found, integers are possible", where=where)
    low, high = 0 if array.dtype.kind in "bu" else array.min(), array.max()
    if low < entry.low or high > entry.high:
        bits = f"{entry.bits} {plural(entry.bits, 'bit')}" if entry.bits else "spikes"
        raise InputError(
            f"values {low} to {high} found, {entry.low} to {entry.high} are possible ({bits}); nothing is clipped",
            where=where,
            ways_out=_ways_out(entry, float(low), float(high)),
        )
    if array.dtype.kind == "b":
        return array.view(np.uint8)
    if array.dtype.kind == "f":
        return array.astype(np.result_type(*map(np.min_scalar_type, (entry.low, entry.high))))
    return array


def _blocks(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Some steps at a time, so that what is computed of the values takes little memory beside them."""
    steps = max(1, BLOCK // max(1, math.prod(array.shape[1:])))
    for first in range(0, len(array), steps):
        yield array[first : first + steps]
