"""A script that ends with the process that started it, however that one ends, and its folder with it.

    python -P watched.py FOLDER SECONDS SCRIPT [ARGUMENT ...]    stdin is a pipe that only who starts it holds open

This file needs Python alone: what runs in these processes knows nothing of us.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import select
import shutil
import sys
import threading
from pathlib import Path

LONGEST_S = 1e9
"""That a time limit may be: what the operating system waits for is a number of nanoseconds in 64 bits."""

LATER_S = 5.0
"""After the limit of who waits, who then says what happened; here it only ends if nobody does."""


def watched(folder: Path, time_limit_s: float, script: Path, *arguments: str) -> list[str]:
    """The command of a script that works in a folder.

    Args:
        time_limit_s: for which who starts it waits.
    """
    # -P, because beside a script lie names that others may import
    return [sys.executable, "-P", __file__, str(folder), f"{time_limit_s + LATER_S:g}", str(script), *arguments]


def _end_with(folder: Path, time_limit_s: float) -> None:
    """Ends all processes of the run, and removes its folder, when the process that started it dies or forgets it.

    However it dies: the other end of stdin closes with it.
    """

    def watch() -> None:
        select.select([sys.stdin], [], [], time_limit_s)
        for process in multiprocessing.active_children():
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)  # then Python's resource tracker, which is no child of multiprocessing, removes the shared memory

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    _end_with(Path(sys.argv[1]), float(sys.argv[2]))
    del sys.argv[:3]
    runpy.run_path(sys.argv[0], run_name="__main__")
