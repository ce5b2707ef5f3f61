"""What a stage of a run is: one value that says what it reads, which stages it needs, and what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from seamount.config import Config
from seamount.distill.config import Section
from seamount.distill.parallel import World
from seamount.distill.progress import Progress

from .loading import LoadData

Settings = TypeVar("Settings", bound=Section)


@dataclass(frozen=True)
class Stage(Generic[Settings]):
    """One step of the pipeline.

    Attributes:
        name: of its folder, and of ``--to``.
        reads: the sections of the configuration that it depends on, whole or narrowed (``settings.py``). ``work`` is
            handed nothing else, so that nothing it depends on can be left out.
        needs: the stages whose folders it reads.
        together: all processes of torchrun work on it; else the first one does it alone.
        work: does it, from its settings, at its place.
    """

    name: str
    reads: type[Settings]
    work: Callable[[Settings, Place], None]
    needs: tuple[Stage[Any], ...] = ()
    together: bool = False

    def settings(self, config: Config) -> Settings:
        """What it reads of a configuration."""
        return self.reads.model_validate(config, from_attributes=True)


@dataclass(frozen=True)
class Place:
    """Where a stage works.

    Attributes:
        folder: its own, to write into.
        earlier: folders of the stages it needs, by name; of no others.
        data: the data set of a configuration in T steps; loaded once for all stages.
        world: the processes that work on it; all but the first help, and write nothing.
    """

    folder: Path
    earlier: Mapping[str, Path]
    data: LoadData
    progress: Progress
    world: World

    @property
    def leads(self) -> bool:
        return self.world.rank == 0

    def of(self, stage: Stage[Any]) -> Path:
        """The folder of a stage that is needed."""
        return self.earlier[stage.name]
