"""How training tells what it is doing: an object handed in; silent unless there is one."""

from __future__ import annotations

import sys
from typing import Protocol


class Progress(Protocol):
    """One task at a time, counted in steps."""

    def begin(self, task: str, total: int, done: int = 0) -> None:
        """``done`` of ``total`` steps are finished already."""

    def advance(self, steps: int = 1) -> None: ...

    def say(self, text: str) -> None:
        """What stands beside the bar: the loss, the last accuracy."""

    def end(self) -> None: ...


class Quiet:
    """Says nothing."""

    def begin(self, task: str, total: int, done: int = 0) -> None: ...

    def advance(self, steps: int = 1) -> None: ...

    def say(self, text: str) -> None: ...

    def end(self) -> None: ...


QUIET = Quiet()


class Bar:
    """A bar with the time left, on stderr."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        from seamount.shown import console

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[said]}", markup=False),
        )
        self._bars = Bars(*columns, console=console(stderr=True))

    def begin(self, task: str, total: int, done: int = 0) -> None:
        self._bars.start()
        self._task = self._bars.add_task(task, total=total, completed=done, said="")

    def advance(self, steps: int = 1) -> None:
        self._bars.advance(self._task, steps)

    def say(self, text: str) -> None:
        self._bars.update(self._task, said=text)

    def end(self) -> None:
        self._bars.stop()


def terminal_progress() -> Progress:
    """A bar where stderr is a terminal, else silence."""
    return Bar() if sys.stderr.isatty() else QUIET
