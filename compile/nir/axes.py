"""The shape of one sample at one step, which NIR's Input means and exporters write with axes of batch and time.

What stands behind an Input says how many axes belong to a sample: a matrix takes vectors, a convolution takes maps,
neurons have the shape of their parameters. Nodes that take any shape and keep it are looked through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from seamount.errors import InputError

from ..network.network import Shape, size
from .file import RawGraph, RawNode
from .nodes import NODE_TYPES

MAX_AXES = 8


@dataclass(frozen=True)
class GivenShapes:
    """Shapes of Inputs that the user says.

    Attributes:
        only: of the only Input.
        named: of Inputs by name.
    """

    only: Shape | None = None
    named: Mapping[str, Shape] = field(default_factory=dict)

    def of(self, ports: list[str]) -> dict[str, Shape]:
        """Shapes by Input; raises InputError where a name or a shape is not possible."""
        if self.only is not None and len(ports) != 1:
            told = ", ".join(ports)
            raise InputError(
                f"the graph has {len(ports)} inputs ({told})",
                where="input_shape",
                ways_out="name each: --set input_shape.NAME=2x34x34",
            )
        shapes = {**({ports[0]: self.only} if self.only is not None else {}), **self.named}
        for name, shape in shapes.items():
            if name not in ports:
                raise InputError(
                    f"{name} is no input", where="input_shape", possible=f"possible are {', '.join(ports)}"
                )
            if not 1 <= len(shape) <= MAX_AXES or min(shape) < 1:
                raise InputError(f"{name}: {shape}", where="input_shape", possible="needed are numbers from 1")
        return shapes


@dataclass(frozen=True)
class Taken:
    """What a node behind an Input takes: so many axes, and the shape where it says that."""

    node: str
    n_axes: int
    shape: Shape | None

    def __str__(self) -> str:
        return f"{self.node} takes {self.n_axes} axes" if self.shape is None else f"{self.node} takes {self.shape}"


def input_shape(raw: RawGraph, name: str, after: Mapping[str, list[str]], notes: list[str]) -> Shape:
    """The shape of a sample at an Input that nobody but the file names.

    Args:
        raw, after: the graph and the followers of every node.
        name: of the Input.
        notes: gets what was dropped or found elsewhere.

    Raises:
        InputError: the file says none, or has axes of batch or time longer than 1.
    """
    taken = list(_taken_behind(raw, name, after))
    written = whole_numbers(raw.nodes[name].values.get("shape"), name)
    if is_placeholder(written):
        return _from_behind(name, taken, option_for(raw, name), notes)
    assert written is not None, "absent is a placeholder"
    n_axes = max((t.n_axes for t in taken), default=len(written))
    if n_axes > len(written) and (windows := [t for t in taken if t.shape is None]):
        sample = "x".join(map(str, (1,) * (n_axes - len(written)) + written))
        way = f"where an axis of length 1 was left out, --set {option_for(raw, name)}={sample}"
        raise InputError(f"shape {written}, but {windows[0]}", where=name, ways_out=way)
    # a map with a batch axis is the one case that nothing behind it need tell
    if len(written) == 4 and written[0] == 1:
        n_axes = min(n_axes, 3)
    n_extra = max(0, len(written) - n_axes)
    if size(written[:n_extra]) > 1:
        reader = max(taken, key=lambda t: t.n_axes)
        raise leading_axes(name, f"shape {written}, but {reader}", written[n_extra:], option_for(raw, name))
    if n_extra:
        what = "batch of 1" if n_extra == 1 else "axes of length 1"
        notes.append(f"{name}: shape {written} read as {written[n_extra:]} ({what} dropped)")
    return written[n_extra:]


def leading_axes(where: str, found: str, sample: Shape, option: str) -> InputError:
    """Why a shape with axes of batch or time is refused, and how to say the sample's."""
    return InputError(
        found,
        where=where,
        ways_out=f"NIR's shapes have no axes of batch and time: give that of one sample at one step, --set {option}="
        f"{'x'.join(map(str, sample))}",
    )


def option_for(raw: RawGraph, name: str) -> str:
    """How the shape of this Input is set."""
    ports = [n for n, node in raw.nodes.items() if node.kind == "Input" and "." not in n]
    return "input_shape" if len(ports) <= 1 else f"input_shape.{name}"


def whole_numbers(value: object, name: str, what: str = "shape") -> Shape | None:
    """A shape, or ``what`` else, as it stands in a file, also as floats; None where it is absent."""
    if value is None:
        return None
    array = np.asarray(value)
    numbers = array.dtype.kind in "iuf" and array.ndim <= 1 and array.size <= MAX_AXES
    if not numbers or not np.all(np.isfinite(array)) or np.any(array != np.rint(array)):
        raise InputError(f"{what} {value!r}"[:80], where=name, possible="needed are whole numbers from 1")
    return tuple(int(n) for n in array.reshape(-1))


def is_placeholder(shape: Shape | None) -> bool:
    """True for what exporters write where they know no shape: nothing, [], 0, or zeros alone."""
    return not shape or not any(shape)


def own_shape(node: RawNode) -> Shape:
    """The shape that a node's parameters have together, () where they are single numbers."""
    shapes = [np.shape(v) for v in node.values.values() if isinstance(v, np.ndarray) and v.size != 1]
    return max(shapes, key=lambda s: (len(s), size(s)), default=())


def _from_behind(name: str, taken: list[Taken], option: str, notes: list[str]) -> Shape:
    told = {t.shape: t for t in taken if t.shape is not None}
    if len(told) == 1:
        (shape, source), *_ = told.items()
        notes.append(f"{name}: no shape in the file, {source}")
        return shape
    found = "no shape in the file, and nothing behind it says one"
    if told:
        found = f"no shape in the file, and {', but '.join(map(str, told.values()))}"
    raise InputError(found, where=name, ways_out=f"give that of one sample at one step, as in --set {option}=2x34x34")


def _taken_behind(raw: RawGraph, name: str, after: Mapping[str, list[str]]) -> Iterator[Taken]:
    seen, stack = {name}, list(after[name])
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        taken = _takes(raw.nodes[node], node)
        if taken is not None:
            yield taken
        elif NODE_TYPES[raw.nodes[node].kind].becomes != "reshape":
            stack += after[node]


def _takes(node: RawNode, name: str) -> Taken | None:
    """What a node takes; None where it takes any shape and keeps it, or (Flatten) does not say."""
    weight = np.shape(node.values.get("weight"))  # type: ignore[arg-type]
    match node.kind:
        case "Affine" | "Linear":
            return Taken(name, len(weight) - 1, (*weight[:-2], weight[-1])) if len(weight) >= 2 else None
        case "Conv1d" | "Conv2d":
            return _convolution_takes(node, name, weight)
        case "SumPool2d" | "AvgPool2d":
            return Taken(name, 3, None)
        case "Flatten":
            shape = whole_numbers(node.values.get("input_type"), name)
            return None if shape is None or is_placeholder(shape) else Taken(name, len(shape), shape)
        case _:
            own = own_shape(node) if node.kind not in ("Input", "Output") else ()
            return Taken(name, len(own), own) if own else None


def _convolution_takes(node: RawNode, name: str, weight: Shape) -> Taken:
    n_axes = 3 if node.kind == "Conv2d" else 2
    told = whole_numbers(node.values.get("input_shape"), name)
    groups = whole_numbers(node.values.get("groups"), name, "groups")
    if told is None or is_placeholder(told) or len(told) < n_axes - 1 or len(weight) != n_axes + 1 or not groups:
        return Taken(name, n_axes, None)
    return Taken(name, n_axes, (weight[1] * groups[0], *told[1 - n_axes :]))
