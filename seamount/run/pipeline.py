"""Runs the stages of a run directory that are not done yet; what is finished stays whatever happens later."""

from __future__ import annotations

import functools
import platform
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from seamount import __version__, own
from seamount.config import Config, load_config, to_toml
from seamount.distill.config import Section
from seamount.distill.parallel import ALONE, World, open_world
from seamount.distill.progress import QUIET
from seamount.errors import ConfigError, SeamountError
from seamount.files import file_hash, write_atomically, write_json

from .checks import check
from .contents import Hash, contents
from .folder import Inputs, Run, open_run
from .loading import LoadData, load_once
from .lock import hold
from .names import EVERY, IN_FLOATS
from .settings import own_code
from .sharing import Siblings
from .stage import Place, Stage
from .told import Told
from .versions import versions


def run_stages(
    config: Config,
    folder: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    until: str = EVERY[-1],
    told: Told | None = None,
    settings: Sequence[str] = (),
    siblings: Siblings | None = None,
) -> Run | None:
    """Run the stages up to ``until`` that are not done yet.

    Args:
        settings: what was set beside the file, for the manifest: resumption keeps it.
        siblings: runs beside it, whose finished stages are taken over where their inputs are the same.

    Returns:
        The run; None in a process that torchrun started only to help.
    """
    if until not in EVERY:
        raise ConfigError("no such stage", where=f"--to {until}", possible=f"possible are {', '.join(EVERY)}")
    told, data = told or Told(), load_once()
    checked = check(config, data, trains_only=until in IN_FLOATS)
    from .stages import STAGES  # after it, because they load more than it takes to find a mistake

    stages = STAGES[: EVERY.index(until) + 1]
    # up to the last one that all work on they stay; those in between, which take moments, are the first one's
    together = max((k + 1 for k, stage in enumerate(stages) if stage.together), default=0)
    with ExitStack() as mine:
        mine.callback(torch.set_num_threads, torch.get_num_threads())  # stages choose as many as suit them
        with open_world(config.run.device) as world:
            if world.rank == 0:
                mine.enter_context(hold(folder))
                run = open_run(folder, STAGES, resume=resume, overwrite=overwrite)
                write_atomically(run.folder / "resolved.toml", to_toml(config))
                write_json(run.folder / "manifest.json", manifest(config, told.command) | {"settings": [*settings]})
                mine.enter_context(staying(folder))
            world.wait()
            work = _Work(config, Run(folder, STAGES), world, told, data, siblings)
            if work.leads and not resume:
                for warning in checked.warnings:
                    told.stage(warning)
            for stage in stages[:together]:
                if stage.together or world.rank == 0:
                    work.do(stage)
                world.wait()
        if world.rank != 0:
            return None
        for stage in stages[together:]:  # alone: nobody waits in the meantime
            work.do(stage)
        return work.run


@contextmanager
def staying(folder: Path) -> Iterator[None]:
    """
    Raises:
        ConfigError: what failed inside did so because the run directory is gone.
    """
    try:
        yield
    except (OSError, SeamountError):
        if (folder / "manifest.json").exists():
            raise
        raise ConfigError("was removed while the run worked in it", where=folder, ways_out="run again") from None


class _Work:
    """Does one stage after the other; data and hashes that several of them ask for are made once."""

    def __init__(
        self, config: Config, run: Run, world: World, told: Told, data: LoadData, siblings: Siblings | None
    ) -> None:
        self.config, self.run, self.world, self.told, self.siblings = config, run, world, told, siblings
        self.leads = world.rank == 0
        self.hash_of: Hash = functools.cache(file_hash)
        self.data = data

    def do(self, stage: Stage[Any]) -> None:
        """Unless it is done; every process of the run comes to the same verdict."""
        settings = stage.settings(self.config)
        inputs = inputs_of(self.run, stage, settings, self.hash_of)
        stale = self.run.stale(stage, inputs)
        self._wait(stage)  # everybody has looked before anything changes
        if stale is None:
            self._tell(f"{stage.name}: done before")
        elif self.siblings is None:
            self._work(stage, settings, inputs, stale)
        else:
            with self.siblings.turn(stage, inputs):
                found = self.siblings.take(self.run, stage, inputs)
                if found is not None:
                    self._tell(f"{stage.name}: as in {found}")
                else:
                    self._work(stage, settings, inputs, stale)

    def _work(self, stage: Stage[Any], settings: Section, inputs: Inputs, stale: str) -> None:
        self._tell(stage.name if self.run.status(stage) is None else f"{stage.name}: again, {stale}")
        with self._begun(stage, inputs) as folder:
            self._wait(stage)  # the folder is ready
            with own.blamed():
                stage.work(settings, self._place(stage, folder))
        self._wait(stage)

    def _tell(self, what: str) -> None:
        if self.leads:
            self.told.stage(what)

    def _begun(self, stage: Stage[Any], inputs: Inputs) -> AbstractContextManager[Path]:
        return self.run.begin(stage, inputs) if self.leads else nullcontext(self.run.of(stage))

    def _place(self, stage: Stage[Any], folder: Path) -> Place:
        return Place(
            folder=folder,
            earlier={earlier.name: self.run.of(earlier) for earlier in stage.needs},
            data=self.data,
            progress=self.told.progress if self.leads else QUIET,
            world=self.world if stage.together else ALONE,
        )

    def _wait(self, stage: Stage[Any]) -> None:
        if stage.together:
            self.world.wait()


def inputs_of(run: Run, stage: Stage[Any], settings: Section, hash_of: Hash) -> Inputs:
    """All that a stage depends on."""
    # where it is computed does not make it another result: a run goes on, on a machine without the GPU
    where = {"run": {"device", "n_threads"}, "distill": {"teacher_cache", "teacher_cache_gib"}}
    return run.inputs(stage, settings.model_dump(mode="json", exclude=where), contents(settings, hash_of))


def changes(folder: Path, config: Config) -> Iterator[str]:
    """Settings that are others than when the folder was last worked in, as "train.epochs 20 -> 30"."""
    resolved = folder / "resolved.toml"
    if not resolved.exists():
        return
    try:
        before = load_config(resolved).model_dump()
    except SeamountError:  # of a version with other settings, for which every stage runs again
        return
    for section, now in config.model_dump().items():
        for key, value in now.items():
            if (was := before[section][key]) != value:
                yield f"{section}.{key} {was} -> {value}"


def manifest(config: Config, command: str) -> dict[str, Any]:
    """What a reader needs to repeat the run."""
    return {
        "schema": 1,
        "seamount": __version__,
        "command": command,
        "seed": config.run.seed,
        "python": platform.python_version(),
        "versions": versions(),
        "machine": f"{platform.system()} {platform.machine()}",
        "own": {setting: _own(reference, setting) for setting, reference in own_code(config)},
    }


def _own(reference: str, setting: str) -> dict[str, Any]:
    """One's own code: its name, and the SHA-256 of each of its files or of what was handed over."""
    found = {name: file_hash(path) for name, path in own.files(reference, setting).items()}
    return {"name": reference, "sha256": found or own.digest(reference, setting)}
