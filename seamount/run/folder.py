"""A run's folder, which survives interruption: a folder for each stage, digests of what went in, atomic writes.

    runs/NAME/
        resolved.toml       the whole configuration, defaults filled in
        manifest.json       seed, versions, command, machine
        stages/01-teacher/  what the stage wrote, its state while it runs, and begun.json
                            status.json once it is done: digests of its inputs and outputs, its wall time
        report.json, report.html

A stage is done when its status.json exists, and still valid while the inputs noted there are those of now: the
sections of the configuration that it reads, the contents of the files that these name, the outputs of the stages it
needs, the version of Seamount.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from seamount import __version__
from seamount.errors import ConfigError, InputError
from seamount.files import file_hash, make_folder, read_json, remove_leftovers, text_hash, write_json

from .stage import Stage

TIMING = "timing.json"
"""In a stage's folder: wall times, which are no output: a repeated training changes nothing for later stages."""

Inputs = dict[str, str]
"""A digest of each thing that a stage depends on, by what it is to a user."""


@dataclass(frozen=True)
class Run:
    """A run directory. ``stages`` is the pipeline in order; it gives the folders their numbers."""

    folder: Path
    stages: tuple[Stage[Any], ...]

    def of(self, stage: Stage[Any]) -> Path:
        """The folder of a stage."""
        position = next(i for i, known in enumerate(self.stages, 1) if known.name == stage.name)
        return self.folder / "stages" / f"{position:02d}-{stage.name}"

    def status(self, stage: Stage[Any]) -> dict[str, Any] | None:
        """What status.json of a finished stage says, or None."""
        path = self.of(stage) / "status.json"
        if not path.exists():
            return None
        status = read_json(path)
        if not isinstance(status, dict) or not {"inputs", "outputs", "seconds"} <= status.keys():
            raise InputError(
                "not the status of a stage", where=path, ways_out=f"remove {path.parent} to have the stage run again"
            )
        return status

    def inputs(self, stage: Stage[Any], settings: Mapping[str, Any], contents: Mapping[str, str]) -> Inputs:
        """Of the sections that the stage reads, the contents of files named there, and the outputs that it needs."""
        found = {"version of Seamount": __version__}
        found |= {f"[{name}]": text_hash(json.dumps(section, sort_keys=True)) for name, section in settings.items()}
        found |= {f"content of {setting}": digest for setting, digest in contents.items()}
        for earlier in stage.needs:
            status = self.status(earlier)
            if status is None:
                raise InputError(
                    f"stage {earlier.name} has not finished, {stage.name} needs it",
                    where=self.folder,
                    ways_out="run with --resume",
                )
            found[f"output of {earlier.name}"] = text_hash(json.dumps(status["outputs"], sort_keys=True))
        return found

    def stale(self, stage: Stage[Any], inputs: Inputs) -> str | None:
        """Why the stage has to run; None: it finished with these inputs, and its files are what they were."""
        status = self.status(stage)
        if status is None:
            return "not finished"
        before = status["inputs"]
        if not isinstance(
            before, dict
        ):  # one digest of everything, as folders were first written: it cannot say what changed
            return "made by an earlier version"
        changed = [what for what in {**before, **inputs} if before.get(what) != inputs.get(what)]
        if changed:
            return f"changed: {', '.join(changed)}"
        folder = self.of(stage)
        # by content: what was copied to another disk has new times and is still the same
        touched = [
            file
            for file, digest in status["outputs"].items()
            if not (folder / file).exists() or file_hash(folder / file) != digest
        ]
        return f"changed or gone: {', '.join(touched)}" if touched else None

    @contextmanager
    def begin(self, stage: Stage[Any], inputs: Inputs) -> Iterator[Path]:
        """The stage's folder to write into; leaving without an exception marks it done.

        A stage that was begun with other inputs starts in an empty folder; one begun with the same inputs finds its
        own state there and continues.
        """
        folder = self.of(stage)
        begun = folder / "begun.json"
        if not begun.exists() or read_json(begun) != {"inputs": inputs}:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            write_json(begun, {"inputs": inputs})
        remove_leftovers(folder)  # else they would be taken for outputs
        # first, because a status beside files that are half written would call them done
        (folder / "status.json").unlink(missing_ok=True)
        start = perf_counter()
        yield folder
        # without the state: it serves resumption alone, and may be deleted to make room
        outputs = {
            str(file.relative_to(folder)): file_hash(file)
            for file in sorted(folder.rglob("*"))
            if file.is_file() and file.name not in ("begun.json", "status.json", TIMING) and "state" not in file.parts
        }
        write_json(
            folder / "status.json",
            {"inputs": inputs, "outputs": outputs, "seconds": round(perf_counter() - start, 3)},
        )


def open_run(folder: Path, stages: tuple[Stage[Any], ...], *, resume: bool, overwrite: bool) -> Run:
    """Make or reopen a run directory.

    Raises:
        ConfigError: it exists and neither ``resume`` nor ``overwrite`` was asked for, or it is not a run directory.
    """
    place = Path(os.path.realpath(folder))  # a link to another disk stays, and so does its folder
    for half in folder.glob(".resolved.toml.*"):  # of a process that was killed while it wrote its first file
        half.unlink()
    if folder.exists() and any(folder.iterdir()):
        if not (folder / "resolved.toml").exists():
            raise ConfigError(
                "exists and is not a run directory", where=folder, ways_out="choose another folder with --out"
            )
        if overwrite:
            _empty(place)
        elif not resume:
            ways = "--resume continues it, --overwrite starts anew, --out chooses another"
            raise ConfigError("exists already", where=folder, ways_out=ways)
    make_folder(place)
    return Run(folder, stages)


def _empty(folder: Path) -> None:
    """What makes it a run directory goes last: one that was killed in the middle of this still is one."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != "resolved.toml":
            path.unlink()
    (folder / "resolved.toml").unlink()
