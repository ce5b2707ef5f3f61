"""What a path that a user names is: a run, a report, a network, a program. Commands take each other's files by it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .errors import InputError

DEPLOYMENT = "deployment.json"
"""In the folder of a report of a network or program: what was asked."""
SAMPLES = "samples.npz"
"""There: the samples whose layers were compared."""


@dataclass(frozen=True)
class RunFolder:
    """A run directory: its stages' files, and its report once it is done."""

    path: Path

    def program(self) -> Path:
        return self._only("compile/program.h5", "program")

    def network(self) -> Path:
        """The student in integers, as NIR."""
        return self._only("export/student.nir", "exported student")

    def _only(self, file: str, what: str) -> Path:
        found = sorted(self.path.glob(f"stages/*-{file}"))
        if not found:
            raise InputError(f"holds no {what}", where=self.path, ways_out="finish the run with --resume")
        return found[0]


@dataclass(frozen=True)
class ReportFolder:
    """What `seamount report` or `seamount deploy` made of a network or a program."""

    path: Path

    def program(self) -> Path:
        return self.path / "program.h5"

    def network(self) -> Path:
        found = [self.path / name for name in ("network.nir", "network.net") if (self.path / name).exists()]
        if not found:
            told = "was made of a program, which holds no network"
            raise InputError(
                told, where=self.path, ways_out="`seamount report NET.nir --data x.npz` makes one of both"
            )
        return found[0]


@dataclass(frozen=True)
class ReportFile:
    """A report.json that lies in neither."""

    path: Path


@dataclass(frozen=True)
class NetworkFile:
    """A ``.nir`` file, or a lava-dl ``.net`` file."""

    path: Path


@dataclass(frozen=True)
class ProgramFile:
    """A compiled program; also what nobody knows, which its reader refuses by its content."""

    path: Path


Artefact = RunFolder | ReportFolder | ReportFile | NetworkFile | ProgramFile


def recognised(path: Path | str) -> Artefact:
    """What ``path`` is, by its name and what lies in it.

    Raises:
        InputError: a folder that is neither a run nor a report.
    """
    path = Path(path)
    if path.is_dir():
        found = recognised_folder(path)
        if found is None:
            raise InputError(
                f"neither a run (resolved.toml) nor a report ({DEPLOYMENT})",
                where=path,
                ways_out="name the folder of one, or a file: .nir, .net, a program",
            )
        return found
    if path.suffix == ".json":
        beside = recognised_folder(path.parent) if path.name == "report.json" else None
        return beside or ReportFile(path)
    if path.suffix in (".nir", ".net"):
        return NetworkFile(path)
    return ProgramFile(path)


def recognised_folder(path: Path) -> RunFolder | ReportFolder | None:
    """What a folder is, by what lies in it; None: neither."""
    if (path / "resolved.toml").exists():
        return RunFolder(path)
    return ReportFolder(path) if (path / DEPLOYMENT).exists() else None


def no_network(path: Path, what: str) -> InputError:
    """The refusal of what holds no network: ``what`` it is."""
    return InputError(
        f"is {what}", where=path, possible="needed is a .nir or .net file, or the folder of a run or report"
    )
