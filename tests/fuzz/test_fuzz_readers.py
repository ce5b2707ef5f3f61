"""A few hundred damaged files, and some that mean something; ``python -m tests.fuzz.readers 20000`` tries more."""

from tests.fuzz import meaning
from tests.fuzz.readers import MEMORY_BYTES, SECONDS, run


def test_damaged_files_are_refused_with_a_reason() -> None:
    tally = run(300, seed=1)
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
