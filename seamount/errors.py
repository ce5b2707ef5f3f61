"""Every error a user can cause, in one tree; each carries its exit code and its page in docs/errors.md.

SeamountError            1  unexpected; only subclasses are raised
├── ConfigError          2  a setting is missing, misspelt or out of range
├── InputError           2  a file or an array cannot be used as it is
├── CheckFailed          3  two things that must be equal differ, or a gate is not met
├── DoesNotFit           4  the network exceeds a limit of the target
├── Unsupported          5  an operator, node or option the target cannot hold exactly
├── BackendMissing       6  Lava, CUDA or an optional package is not there
└── ProcessStopped       1  another process of the same run ended early
"""

from __future__ import annotations

import difflib
import errno
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True)
class Reason:
    """Why something was refused; this is the one place where its words are put together.

    Attributes:
        found: what is the matter, with the numbers.
        where: the user's name for the file, setting, layer or array; empty where there is none.
        possible: what would have been taken ("possible are 0 to 62").
        ways_out: what to do, best first.
    """

    found: str
    where: str = ""
    possible: str = ""
    ways_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        limit = f", {self.possible}" if self.possible else ""
        ways = f"; {'; or '.join(self.ways_out)}" if self.ways_out else ""
        return f"{place}{self.found}{limit}{ways}"

    def inside(self, place: str) -> Reason:
        """The same, with what the item lies in (a file, a network) named before it."""
        return replace(self, where=f"{place}: {self.where}" if self.where else place)


class SeamountError(Exception):
    """Where: what was found, what is possible; what to do.

    Attributes:
        reasons: one, or all that were found before anything was given up (``together``). Code that has to decide asks
            these fields or the class; the text is for people.
    """

    exit_code = 1

    def __init__(
        self, found: str, *, where: object = "", possible: str = "", ways_out: str | Iterable[str] = ()
    ) -> None:
        ways = (ways_out,) if isinstance(ways_out, str) else tuple(ways_out)
        self.reasons: tuple[Reason, ...] = (Reason(found, str(where), possible, ways),)
        super().__init__(str(self.reasons[0]))

    @classmethod
    def together(cls, reasons: Iterable[Reason]) -> Self:
        """One error for several reasons, a line each."""
        found = tuple(reasons)
        error = cls("\n".join(str(reason) for reason in found))
        error.reasons = found
        return error


class ConfigError(SeamountError):
    """A setting is missing, misspelt, of the wrong type or out of range."""

    exit_code = 2


class InputError(SeamountError):
    """A file or an array cannot be used: unreadable, foreign, damaged, of the wrong shape or range."""

    exit_code = 2


class CheckFailed(SeamountError):
    """Two things that must be equal differ, or a required gate is not met."""

    exit_code = 3


class DoesNotFit(SeamountError):
    """The network exceeds a limit of the target."""

    exit_code = 4


class Unsupported(SeamountError):
    """An operator, node or option that cannot be carried over exactly."""

    exit_code = 5


class BackendMissing(SeamountError):
    """Lava, CUDA or an optional package is not there."""

    exit_code = 6


class ProcessStopped(SeamountError):
    """Another process of the same run ended early, and this one can do nothing without it."""


def none_of(name: str, known: Iterable[str]) -> str:
    """What is said of a name that is not in a list: the list, and the nearest of its names."""
    possible = tuple(known)
    return f"{name!r} is none of {'; '.join([', '.join(possible), *nearest(name, possible)])}"


def nearest(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """The way out of a misspelling, where one of the known names is near."""
    return tuple(f"did you mean {near}?" for near in difflib.get_close_matches(name, tuple(known), 1))


def out_of_memory(error: BaseException) -> bool:
    """Whether memory of the machine or of a GPU was what is missing."""
    torch = sys.modules.get("torch")  # not imported, because that takes seconds; what is not loaded raised nothing
    if torch is not None and isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    # neither torch (2.4 to 2.14) nor the loader of libraries has a class for it: the text is all that tells
    unsaid = ((RuntimeError, "DefaultCPUAllocator"), (ImportError, "failed to map segment"))
    return isinstance(error, MemoryError) or any(
        isinstance(error, kind) and text in str(error) for kind, text in unsaid
    )


NO_SPACE = {errno.ENOSPC: "no space left", errno.EDQUOT: "the quota for this disk is used up"}
"""Numbers of errors that removing files ends, in words."""


ENDS = (KeyboardInterrupt, GeneratorExit)
"""Raised from outside; anything else that somebody's code raises is its failure, whatever its class."""


def text_of(error: BaseException) -> str:
    """What an error of somebody else's class says; empty where it cannot say it."""
    try:
        return str(error)
    except BaseException:  # somebody's own __str__
        return ""


def plural(n: int, thing: str) -> str:
    """The word after a number in a message: 1 step, 8 steps."""
    return thing if n == 1 else f"{thing}s"
