"""A few hundred damaged files, and some that mean something; ``python -m tests.fuzz.readers 20000`` tries more."""

from pathlib import Path

from seamount.compile.nir.file import read_raw
from seamount.compile.nir.nodes import NODE_TYPES
from tests.fuzz import meaning
from tests.fuzz.readers import MEMORY_BYTES, SECONDS, run, write_originals


def test_damaged_files_are_refused_with_a_reason(quick_python: str) -> None:
    tally = run(300, seed=1, python=quick_python)
    assert tally.failures == []
    assert sum(tally.outcomes.values()) == 300
    assert tally.slowest_s < SECONDS
    assert tally.largest_bytes < MEMORY_BYTES


def test_files_with_a_meaning_give_the_same_integers_or_a_reason() -> None:
    tally = meaning.run(40, seed=1)
    assert tally.failures == []
    assert all(tally.outcomes[f"{kind} {done}"] for kind in meaning.FILES for done in ("accepted", "refused"))
    assert tally.slowest_s < meaning.SECONDS
    assert tally.resident_bytes[-1] - tally.resident_bytes[0] < meaning.MEMORY_BYTES


def test_the_whole_files_hold_every_node_that_is_read(tmp_path: Path) -> None:
    kinds: set[str] = set()
    for path in write_originals(tmp_path)["nir"]:
        kinds |= {node.kind for node in read_raw(path).nodes.values()}
    # a graph in a graph is opened while it is read, and what nir.read refuses is seen through
    assert kinds >= NODE_TYPES.keys() - {"NIRGraph"}
