"""Being told to stop: SIGTERM and SIGHUP end a command as Ctrl-C does, so that locks, children and folders go."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FATAL_SIGNAL = 128
"""A process that a signal ended is reported by shells as this plus the signal's number."""

AGAIN_S = 0.02
"""After which a signal comes again that was dropped; if that callback still runs then, once more."""


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
    sys.unraisablehook = partial(_again, sys.unraisablehook)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)


def _again(usual: Callable[[sys.UnraisableHookArgs], object], dropped: sys.UnraisableHookArgs) -> None:
    """Send a signal again that arrived in a finaliser or a library's callback: Python drops what is raised there."""
    error = dropped.exc_value
    if not isinstance(error, KeyboardInterrupt):
        usual(dropped)
        return
    number = error.exit_code - FATAL_SIGNAL if isinstance(error, Stopped) else signal.SIGINT
    here = [True]
    try:
        threading.Thread(target=_send, args=(number, here), daemon=True).start()
    finally:
        here[0] = False  # last, and no call: in calls signals are looked for, and what is raised here is lost


def _send(number: int, here: list[bool]) -> None:
    """A signal to this process, once its main thread has left ``_again``."""
    time.sleep(AGAIN_S)
    while here[0]:
        time.sleep(AGAIN_S)
    os.kill(os.getpid(), number)
