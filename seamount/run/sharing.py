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

from seamount.files import make_folder, read_json, replacing, text_hash, write_json

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
            _copy(source, folder)
            status = read_json(source / "status.json")
            # last, because a status beside files that are half copied would call them done
            first: str = status.get(TAKEN_FROM, place.name)
            write_json(folder / "status.json", {**status, TAKEN_FROM: first})
            return first
        return None


def _copy(source: Path, folder: Path) -> None:
    """A stage's files, copied because a link would let one run change another; not what serves resumption alone.

    Raises:
        OSError: of the first file that cannot be copied, by name (``shutil.copytree`` keeps no error's number).
    """
    for path in sorted(p.relative_to(source) for p in source.rglob("*") if p.is_file()):
        if path.parts[0] not in ("state", "status.json"):
            make_folder((folder / path).parent)
            with replacing(folder / path) as fresh:
                shutil.copyfile(source / path, fresh)
