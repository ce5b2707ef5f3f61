"""Fetching and reading files of data sets: what to say when that fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from seamount.errors import InputError
from seamount.files import named_path

from ..config import DataConfig
from ..layouts import LAYOUTS
from .samples import in_turns

T = TypeVar("T")


Labelled = list[tuple[Path, int]]
"""Files and the numbers of their classes."""


def classes_in_turns(files: Labelled) -> Labelled:
    """Files that come class by class, the first of each class first.

    Scales and budgets start from the first training samples, thresholds are chosen on the first held-out ones, the
    first test samples are proven: they would be of one class.
    """
    return [files[k] for k in in_turns(np.array([label for _, label in files], dtype=np.int64))]


def download(config: DataConfig, fetch: Callable[[str], object]) -> None:
    """Has another library fetch into the root what is not there yet, if the configuration says so.

    Raises:
        InputError: what that library said, which raises whatever comes up on the way.
    """
    if not config.download or config.root is None:
        return
    root = named_path(config.root, "data.root").absolute()
    missing = [folder for folder in (root, *root.parents) if not folder.exists()]
    root.mkdir(parents=True, exist_ok=True)
    layout = LAYOUTS[config.name]
    try:
        fetch(config.root)
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        for folder in missing[-1:]:
            _remove_empty(folder)
        install = [f"pip install {layout.fetched_by}"] if isinstance(error, ImportError) else []
        found = f"{config.name} cannot be downloaded ({said})"
        raise InputError(found, where="data.download", ways_out=(*install, layout.by_hand)) from error


def _remove_empty(folder: Path) -> None:
    """The folder and those in it, as far as no file is in them."""
    for inner, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):  # it holds what was fetched before the failure
            os.rmdir(inner)


@dataclass(frozen=True)
class Damaged:
    """A file that cannot be used, and why."""

    path: Path
    reason: str

    @classmethod
    def of(cls, path: Path, error: Exception) -> Damaged:
        """Without the file's name, which stands before all reasons."""
        if not isinstance(error, InputError):
            return cls(path, str(error))
        reasons = [replace(reason, where="") if reason.where == str(path) else reason for reason in error.reasons]
        return cls(path, "; ".join(map(str, reasons)))


def read_each(paths: Sequence[Path], read: Callable[[Path], T], config: DataConfig) -> tuple[list[T], list[int]]:
    """Reads every file; damaged ones are named and counted, and left out only if the configuration says so.

    Returns:
        What was read, and the numbers of the files it came from.
    """
    results, kept, damaged = [], [], []
    for number, path in enumerate(paths):
        try:
            results.append(read(path))
            kept.append(number)
        except (InputError, OSError, ValueError, IndexError, EOFError) as error:
            damaged.append(Damaged.of(path, error))
    if damaged and not (config.skip_corrupt and results):
        raise InputError(report(damaged, len(paths), config))
    return results, kept


def report(damaged: Sequence[Damaged], n: int, config: DataConfig) -> str:
    first = sorted(damaged, key=lambda d: d.path)[:5]
    names = "; ".join(f"{d.path}: {d.reason}" for d in first)
    more = f"; and {len(damaged) - 5} more" if len(damaged) > 5 else ""
    return (
        f"{config.name}: {len(damaged)} of {n} files cannot be used: {names}{more}; replace them, or set "
        "data.skip_corrupt = true to go on without them"
    )
