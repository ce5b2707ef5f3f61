"""Nodes that a file calls by numbers alone, as exporters of torch modules do: a reader is told what they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .file import RawGraph


def kinds_of_numbers(raw: RawGraph) -> dict[str, str]:
    """What nodes such as "3" are called: LIF_3. Samples name Inputs and Outputs, so these keep their names."""
    return {
        name: new
        for name, node in raw.nodes.items()
        if name.isdecimal()
        and node.kind not in ("Input", "Output")
        and (new := f"{node.kind}_{name}") not in raw.nodes
    }


def renamed(raw: RawGraph, names: Mapping[str, str]) -> RawGraph:
    """The graph under the new names, and a note that says so."""
    if not names:
        return raw
    first, new = next(iter(names.items()))
    return replace(
        raw,
        nodes={names.get(name, name): node for name, node in raw.nodes.items()},
        edges=tuple((names.get(source, source), names.get(target, target)) for source, target in raw.edges),
        notes=(*raw.notes, f"nodes that the file calls by numbers are called by their type, too: {first} is {new}"),
    )
