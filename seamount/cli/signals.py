"""Being told to stop: SIGTERM and SIGHUP end a command as Ctrl-C does, so that locks, children and folders go."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

FATAL_SIGNAL = 128
"""A process that a signal ended is reported by shells as this plus the signal's number."""


class Stopped(KeyboardInterrupt):
    """A signal other than Ctrl-C's asked the command to end; whatever handles Ctrl-C handles it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = FATAL_SIGNAL + number


def stop_on_signals() -> None:
    """Raise ``Stopped`` in the main thread from now on where SIGTERM or SIGHUP arrives.

    Not in a process of torchrun: one that waits for others in C++ would not see the exception, and go on for ever.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1" or threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        # ignored already: nohup or a supervisor wants the command to live on
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)
