"""One process at a time works in a run directory."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from seamount.errors import ConfigError
from seamount.files import check_place

_held: dict[Path, int] = {}
"""Lock file -> the process that holds it: the system's locks do not keep the threads of one process apart."""


@contextmanager
def hold(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """The run directory is this process's until the end of the block; the system frees it if the process dies.

    The file lies beside the directory, because --overwrite removes what is inside.

    Args:
        wait: for another process, instead of refusing.

    Raises:
        ConfigError: another process, or another thread of this one, works in it; or no folder can be there.
    """
    check_place(folder)
    folder = Path(os.path.realpath(folder))  # not resolve(), which raises where links go in circles
    path = folder.parent / f".{folder.name}.lock"
    if _held.get(path) == os.getpid():
        raise _taken(folder, {"pid": os.getpid()})
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _locked(path, folder, wait)
    _held[path] = os.getpid()
    try:
        os.ftruncate(file, 0)
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        os.pwrite(file, json.dumps({"pid": os.getpid(), "host": platform.node(), "since": since}).encode(), 0)
        yield
    finally:
        del _held[path]
        path.unlink(missing_ok=True)
        os.close(file)


def _locked(path: Path, folder: Path, wait: bool) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            holder = os.pread(file, 4096, 0)
            os.close(file)
            if error.errno not in (errno.EACCES, errno.EAGAIN):  # some file systems of clusters have no locks
                raise ConfigError(
                    f"its file system cannot lock files ({error.strerror}), so that two runs could mix in it",
                    where=folder,
                    ways_out=("choose a folder on another file system", "mount this one with locks"),
                ) from None
            raise _taken(folder, _read(holder)) from None
        try:
            if os.path.samestat(os.fstat(file), os.stat(path)):
                return file
        except FileNotFoundError:
            pass
        os.close(file)  # who held it has just removed the file: what is locked is no longer there


def _read(content: bytes) -> dict[str, object]:
    try:
        holder: dict[str, object] = json.loads(content)
    except ValueError:  # it is writing
        return {}
    return holder


def _taken(folder: Path, holder: dict[str, object]) -> ConfigError:
    who = f"process {holder['pid']}" if "pid" in holder else "another process"
    place = f" on {holder['host']}" if "host" in holder else ""
    since = f" since {holder['since']}" if "since" in holder else ""
    return ConfigError(
        f"{who}{place} works in it{since}",
        where=folder,
        ways_out="wait for it, end it, or choose another folder with --out",
    )


__all__ = ["hold"]
