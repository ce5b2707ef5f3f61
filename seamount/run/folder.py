"""A run directory that survives interruption: stage folders, input hashes, atomic writes.

    runs/NAME/
        resolved.toml       the whole configuration, defaults filled in
        manifest.json       seed, versions, data hash, command, wall time of every stage
        stages/01-teacher/  what the stage wrote, its state while it runs, and status.json once it is done
        report.json, report.html

A stage is done when its status.json exists, and still valid when the hash of its inputs (the part of the
configuration it reads, the outputs of earlier stages, the version of Seamount) is the one noted there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from seamount import __version__
from seamount.errors import ConfigError, InputError
from seamount.files import file_hash, read_json, text_hash, write_json


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline and the names of the stages whose outputs it reads."""

    name: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """A run directory. ``stages`` is the pipeline in order; it gives the folders their numbers."""

    folder: Path
    stages: tuple[Stage, ...]

    def stage_folder(self, name: str) -> Path:
        position = next(i for i, stage in enumerate(self.stages, 1) if stage.name == name)
        return self.folder / "stages" / f"{position:02d}-{name}"

    def status(self, name: str) -> dict[str, Any] | None:
        """What status.json of a finished stage says, or None."""
        path = self.stage_folder(name) / "status.json"
        if not path.exists():
            return None
        status: dict[str, Any] = read_json(path)
        return status

    def inputs_hash(self, name: str, settings: Mapping[str, Any]) -> str:
        """Of the settings that the stage reads and of the outputs it needs."""
        stage = next(s for s in self.stages if s.name == name)
        needed = []
        for earlier in stage.needs:
            status = self.status(earlier)
            if status is None:
                raise InputError(
                    f"{self.folder}: stage {earlier} has not finished, {name} needs it; run with --resume"
                )
            needed.append(json.dumps(status["outputs"], sort_keys=True))
        return text_hash(__version__, json.dumps(settings, sort_keys=True, default=str), *needed)

    def is_done(self, name: str, inputs_hash: str) -> bool:
        """Finished with these inputs, and its files are still what they were."""
        status = self.status(name)
        if status is None or status["inputs"] != inputs_hash:
            return False
        folder = self.stage_folder(name)
        return all(
            (folder / file).exists() and file_hash(folder / file) == digest
            for file, digest in status["outputs"].items()
        )

    @contextmanager
    def stage(self, name: str, inputs_hash: str) -> Iterator[Path]:
        """The stage's folder to write into; leaving without an exception marks it done.

        A stage that was begun with other inputs starts in an empty folder; one begun with the same inputs finds its
        own state there and continues.
        """
        folder = self.stage_folder(name)
        begun = folder / "begun.json"
        if not begun.exists() or read_json(begun)["inputs"] != inputs_hash:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            write_json(begun, {"inputs": inputs_hash})
        (folder / "status.json").unlink(missing_ok=True)
        start = perf_counter()
        yield folder
        outputs = {
            str(file.relative_to(folder)): file_hash(file)
            for file in sorted(folder.rglob("*"))
            if file.is_file() and file.name not in ("begun.json", "status.json") and "state" not in file.parts
        }
        write_json(
            folder / "status.json",
            {"inputs": inputs_hash, "outputs": outputs, "seconds": round(perf_counter() - start, 3)},
        )


def open_run(folder: Path, stages: Sequence[Stage], *, resume: bool, overwrite: bool) -> Run:
    """Make or reopen a run directory.

    Raises:
        ConfigError: it exists and neither ``resume`` nor ``overwrite`` was asked for, or it is not a run directory.
    """
    if folder.exists() and any(folder.iterdir()):
        if not (folder / "resolved.toml").exists():
            raise ConfigError(f"{folder}: exists and is not a run directory; choose another name with --name")
        if overwrite:
            shutil.rmtree(folder)
        elif not resume:
            raise ConfigError(
                f"{folder}: exists already; --resume continues it, --overwrite starts anew, --name chooses another"
            )
    folder.mkdir(parents=True, exist_ok=True)
    return Run(folder, tuple(stages))
