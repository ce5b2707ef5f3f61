"""docs/robustness.md names tests that exist, at least one in each line of its tables."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_line_of_the_table_is_held_by_tests_that_exist() -> None:
    page = (ROOT / "docs" / "robustness.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("| ") and "what is done" not in line]
    assert len(lines) > 25
    for line in lines:
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", line)
        assert named, line
        for file, test in named:
            assert re.search(rf"^def {test}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE), f"{file}::{test}"
