"""Recordings of networks that Lava read from a .net file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from seamount.errors import BackendMissing

from .graph import Replay


def net_replays(path: Path, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> list[Replay]:
    raise BackendMissing("not yet")
