"""A few hundred damaged files; ``python -m tests.fuzz.readers 20000`` tries more."""

from tests.fuzz.readers import MEMORY_BYTES, SECONDS, run


def test_damaged_files_are_refused_with_a_reason() -> None:
    tally = run(300, seed=1)
    assert tally.failures == []
    assert sum(tally.outcomes.values()) == 300
    assert tally.slowest_s < SECONDS
    assert tally.largest_bytes < MEMORY_BYTES
