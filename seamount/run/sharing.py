"""Runs beside each other share stages: what one has finished, another with the same inputs takes over.

So a sweep trains once for all its targets, and for all bit widths that need no training of their own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seamount.files import read_json, text_hash, write_json

from .folder import Inputs, Run
from .lock import hold
from .stage import Stage

TAKEN_FROM = "taken_from"
"""In the status of a stage that was taken over: the name of the run that did it."""


@dataclass(frozen=True)
class Siblings:
    """Run directories that stand in one folder."""

    folder: Path

    @contextmanager
    def turn(self, stage: Stage[Any], inputs: Inputs) -> Iterator[None]:
        """One process at a time works on a stage with these inputs: who had to wait finds it done."""
        digest = text_hash(json.dumps(inputs, sort_keys=True))[:16]
        with hold(self.folder / f"{stage.name}-{digest}", wait=True):
            yield

    def take(self, run: Run, stage: Stage[Any], inputs: Inputs) -> str | None:
        """Copies a finished stage of the same inputs into the run; the name of its run, None where there is none."""
        for place in sorted(self.folder.iterdir()):
            other = Run(place, run.stages)
            if place == run.folder or other.status(stage) is None or other.stale(stage, inputs) is not None:
                continue
            source, folder = other.of(stage), run.of(stage)
            shutil.rmtree(folder, ignore_errors=True)
            # a copy, because a link would let one run change another; without what serves resumption alone
            shutil.copytree(source, folder, ignore=shutil.ignore_patterns("state", "status.json"))
            status = read_json(source / "status.json")
            # last, because a status beside files that are half copied would call them done
            first: str = status.get(TAKEN_FROM, place.name)
            write_json(folder / "status.json", {**status, TAKEN_FROM: first})
            return first
        return None
