"""How training tells what it is doing: an object handed in; silent unless there is one."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Any, Protocol

from seamount.shown import html


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

    def begin(self, task: str, total: int, done: int = 0) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        from seamount.terminal import console

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[said]}", markup=False),
        )
        # a new one for each task, because one that starts again draws its old tasks over what was printed since
        self._bars = Bars(*columns, console=console(stderr=True))
        self._bars.start()
        self._task = self._bars.add_task(task, total=total, completed=done, said="")

    def advance(self, steps: int = 1) -> None:
        self._bars.advance(self._task, steps)

    def say(self, text: str) -> None:
        self._bars.update(self._task, said=text)

    def end(self) -> None:
        self._bars.stop()


class NotebookBar:
    """A bar below the cell, by the notebook's own means; a line is left of its last task."""

    EVERY_S = 0.2
    """Between two pictures: each is a message to the browser."""

    def __init__(self) -> None:
        self._shown: Any = None

    def begin(self, task: str, total: int, done: int = 0) -> None:
        self._task, self._total, self._done, self._said = task, total, done, ""
        self._began = monotonic()
        self._draw()

    def advance(self, steps: int = 1) -> None:
        self._done += steps
        if monotonic() - self._drawn > self.EVERY_S:
            self._draw()

    def say(self, text: str) -> None:
        self._said = text

    def end(self) -> None:
        self._draw(f", {monotonic() - self._began:.1f} s")

    def _draw(self, end: str = "") -> None:
        from IPython.display import HTML, display

        bar = "" if end else f'<progress value="{self._done}" max="{max(self._total, 1)}"></progress> '
        told = HTML(
            f"{html(self._task)} {bar}{self._done:,} of {self._total:,}{end} <small>{html(self._said)}</small>"
        )
        if self._shown is None:
            self._shown = display(told, display_id=True)
        else:
            self._shown.update(told)
        self._drawn = monotonic()


def usual_progress() -> Progress:
    """A bar in a notebook and where stderr is a terminal, else silence."""
    if _in_notebook():
        return NotebookBar()
    return Bar() if sys.stderr.isatty() else QUIET


def _in_notebook() -> bool:
    # not imported, because only who runs in one has it loaded; IPython in a terminal has a shell without a kernel
    shells = sys.modules.get("IPython")
    return shells is not None and getattr(shells.get_ipython(), "kernel", None) is not None
