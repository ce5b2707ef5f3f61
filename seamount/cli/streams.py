"""Standard streams that are closed, full, or cannot show a character: a command says so and ends in order."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TextIO


def mend_streams() -> None:
    """Gives the process the three streams that every library takes for granted, for all characters."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed: the next file that is opened would get its number, and what is printed with it
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")


def give_up(stream: TextIO) -> None:
    """Nothing more is written to it: Python would try again at its end, and change the exit code."""
    with suppress(OSError, ValueError):  # no file behind it
        number = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
