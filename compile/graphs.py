"""Loops of a directed graph, and its edges by an end of theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

Edge = TypeVar("Edge")


def grouped(edges: Iterable[Edge], end: Callable[[Edge], str]) -> dict[str, list[Edge]]:
    """The edges of each node that is such an end of some, in their order."""
    found: dict[str, list[Edge]] = {}
    for edge in edges:
        found.setdefault(end(edge), []).append(edge)
    return found


def strongly_connected(names: Sequence[str], followers: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other, sources first; a node in no loop is a group of its own.

    Tarjan's algorithm without recursion; within a group the order of ``names`` is kept.
    """
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    found: list[list[str]] = []
    known = set(names)
    place = {name: i for i, name in enumerate(names)}

    def open_(name: str) -> tuple[str, Iterator[str]]:
        index[name] = low[name] = len(index)
        stack.append(name)
        on_stack.add(name)
        return name, iter(followers[name])

    for root in reversed(names):  # so that independent parts come out in the order of names
        work = [] if root in index else [open_(root)]
        while work:
            name, rest = work[-1]
            follower = next((f for f in rest if f in known), None)
            if follower is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    at = stack.index(name)
                    group = stack[at:]
                    del stack[at:]
                    on_stack.difference_update(group)
                    found.append(sorted(group, key=place.__getitem__))
            elif follower not in index:
                work.append(open_(follower))
            elif follower in on_stack:
                low[name] = min(low[name], index[follower])
    return found[::-1]
