"""Who hears how a run is going; the command line and the API hand one in, and stages speak to it alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from seamount.distill.progress import QUIET, Progress, usual_progress


@dataclass(frozen=True)
class Told:
    """A bar for epochs, a function for stage names; and the command line for the record."""

    progress: Progress = QUIET
    stage: Callable[[str], None] = field(default=lambda text: None)
    command: str = ""


def usual() -> Told:
    """A bar for whoever calls from a terminal or a notebook."""
    return Told(usual_progress())
