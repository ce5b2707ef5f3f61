"""What every benchmark writes: its figures as JSON in results/, its table into a page of the documentation."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seamount.files import write_atomically

HERE = Path(__file__).parent
RESULTS = HERE / "results"
DOCS = HERE.parent / "docs"


def write_figures(path: Path, document: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(document, indent=1) + "\n")


def write_table(page: Path, script: str, lines: Sequence[str]) -> None:
    """Replace what stands on a page between the marks of a script (a name such as ``methods.py``)."""
    begin, end = f"<!-- benchmarks/{script} writes from here -->", "<!-- to here -->"
    head, rest = page.read_text().split(begin)
    # the first mark after ours, because another script may write further down
    _, tail = rest.split(end, maxsplit=1)
    write_atomically(page, f"{head}{begin}\n\n" + "\n".join(lines) + f"\n{end}{tail}")


def cpu_name() -> str:
    """Of the machine: what /proc/cpuinfo calls it, where there is one."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
