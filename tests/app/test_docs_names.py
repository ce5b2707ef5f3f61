"""What the documentation names exists: our modules and what they hold, our files, and figures as old as they say."""

from __future__ import annotations

import importlib
import json
import re
from datetime import date
from functools import reduce
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md"))]
NO_NAMES = {"seamount.sweep"}
"""Schemas of files."""


def _exists(name: str) -> bool:
    """Of a module, or of something in one."""
    parts = name.split(".")
    for k in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:k]))
        except ModuleNotFoundError:
            continue
        try:
            reduce(getattr, parts[k:], module)
        except AttributeError:
            return False
        return True
    return False


def test_names_of_modules_exist() -> None:
    for page in PAGES:
        names = set(re.findall(r"\bseamount(?:\.[A-Za-z_]\w*)+", page.read_text())) - NO_NAMES
        files = {name for name in names if re.search(r"\.(toml|html|json)$", name)}
        assert {name for name in names - files if not _exists(name)} == set(), page.name


def test_files_exist() -> None:
    for page in PAGES:
        folders = "compile|distill|models|hardware_targets|seamount|tests|benchmarks|docs|examples"
        found = set(re.findall(rf"`((?:{folders})/[\w/.*-]+)", page.read_text()))
        homes = (ROOT, ROOT / "tests")  # robustness.md names tests only
        missing = {p for p in found if "NAME" not in p and not any(list(home.glob(p.rstrip("/"))) for home in homes)}
        assert missing == set(), page.name


def test_every_file_of_figures_has_a_line_that_says_how_old_it_is() -> None:
    results = ROOT / "benchmarks" / "results"
    listed = dict(
        re.findall(r"^\| `(\w+\.json)` \| (\d+ [A-Z]\w+) \|", (results / "README.md").read_text(), re.MULTILINE)
    )
    files = {path.name: json.loads(path.read_text()) for path in results.glob("*.json")}
    assert listed.keys() == files.keys()
    for name, figures in files.items():
        if "date" in figures:
            assert f"{date.fromisoformat(figures['date']):%-d %B}" == listed[name], name
