"""Which graphs of the tools' own tests compile: a table of docs/nir_support.md.

In a checkout of a tool its tests are run with this file as a pytest plug-in, and
then what they made is compiled::

    GRAPHS=nir.pickle PYTHONPATH=.:SEAMOUNT/tests/compile python -m pytest -p tool_suites tests
    python SEAMOUNT/tests/compile/tool_suites.py nir.pickle
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

READINGS: tuple[Mapping[str, Any], ...] = (
    *({"settings": (f"dt={dt}",)} for dt in (1e-4, 1e-3, 1e-2, 0.1, 1)),  # few graphs of tests say theirs
    *({"written_by": "norse-head", "settings": (f"dt={dt}",)} for dt in (1e-3, 1e-4)),
    {"written_by": "sinabs", "settings": ("reset=value", "multi_spike=off")},
)
"""Ways to read a graph, tried in turn: one that compiles will do."""

made: list[nir.NIRGraph] = []
kept: list[tuple[str, bytes]] = []


def _count_in(graph: nir.NIRGraph, *args: Any, **named: Any) -> None:
    _made_by_nir(graph, *args, **named)
    if not any(graph is one for one in made):
        made.append(graph)


_made_by_nir = nir.NIRGraph.__init__


def pytest_configure() -> None:
    nir.NIRGraph.__init__ = _count_in  # type: ignore[method-assign]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Keeps what the test made as it stands when the test ends, because tests put nodes in by hand."""
    made.clear()
    yield
    for graph in made:
        if all(isinstance(node, nir.NIRNode) for node in graph.nodes.values()):  # others hold torch modules
            kept.append((item.nodeid, pickle.dumps(graph)))


def pytest_sessionfinish() -> None:
    Path(os.environ["GRAPHS"]).write_bytes(pickle.dumps(kept))


def said(thing: Any) -> str:
    """A graph as text in which equal graphs are equal."""
    match thing:
        case nir.NIRGraph():
            return f"graph {said(thing.nodes)} {sorted(map(tuple, thing.edges))}"
        case nir.NIRNode():
            return f"{type(thing).__name__} {said({k: v for k, v in vars(thing).items() if k != 'metadata'})}"
        case dict():
            return str(sorted((str(key), said(value)) for key, value in thing.items()))
        case np.ndarray():
            return f"{thing.shape} {hashlib.sha256(np.ascontiguousarray(thing).tobytes()).hexdigest()}"
        case _:
            return repr(thing)


def refusals(graph: nir.NIRGraph) -> list[str]:
    """What is said of a graph by each way to read it; empty if one of them compiles it."""
    from seamount.compile.options import compile_options
    from seamount.compile.pipeline import compile_graph
    from seamount.errors import SeamountError
    from seamount.hardware_targets.target import load_target

    found = []
    for reading in READINGS:
        try:
            compile_graph(graph, load_target("loihi1"), compile_options(n_steps=10, **reading))
            return []
        except SeamountError as error:
            found.append(str(error))
    return found


def main(path: str) -> None:
    found = [(test, pickle.loads(graph)) for test, graph in pickle.loads(Path(path).read_bytes())]
    different = {said(graph): (test, graph) for test, graph in found}
    refused = [(test, why) for test, graph in different.values() if (why := refusals(graph))]
    print(f"{len(different)} different graphs, {len(different) - len(refused)} compile")
    for test, why in refused:
        print(test, *Counter(why).most_common(1)[0][0].splitlines(), sep="\n    ")


if __name__ == "__main__":
    main(sys.argv[1])
