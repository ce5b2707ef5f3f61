"""A graph of Lava processes as plain data. Nothing here imports Lava."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
Change = str | tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """One Lava process: its type, its scalar settings and its arrays, named and laid out as Lava wants them.

    Attributes:
        name: what it is in the program, for messages.
        shape: of what leaves it, channels first.
        is_whc: Lava holds that shape reversed, as (W, H, C).
        initial: what variables of Lava's process begin with, in place of what its constructor makes of real numbers.
        variables: names that Lava has for states where it has others.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    is_whc: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)
    initial: Mapping[str, int] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Port:
    """Where values leave or enter a node: its key, and the layout there; Lava's name of the port where it has two."""

    key: str
    shape: tuple[int, ...]
    is_whc: bool
    name: str = ""


@dataclass(frozen=True)
class Edge:
    """Keys of two nodes, the changes of layout between them, and the port that it enters where there are two."""

    source: str
    target: str
    changes: tuple[Change, ...]
    port: str = ""


@dataclass(frozen=True)
class Graph:
    """Lava processes and connections.

    Attributes:
        nodes: by key; keys are "input/NAME", "population/NAME", "synapses/NAME" and what belongs to them.
        edges: what is connected.
    """

    nodes: Mapping[str, Node]
    edges: Sequence[Edge]
