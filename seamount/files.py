"""Files as Seamount writes them, whole or not at all, and what tells one content from another."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from seamount.errors import ConfigError, InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A fresh, empty file beside ``path``; on leaving it is flushed to disk and takes the place of ``path``.

    An exception, or a process that ends, leaves at ``path`` what was there before.

    Raises:
        InputError: a folder is there, a device or a pipe, which must not give way to a file.
        OSError: it cannot be written; names ``path``, because the fresh file's name means nothing to a user.
    """
    place = Path(os.path.realpath(path))  # where a link leads to: a link would be replaced itself
    fresh = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        if place.exists() and not place.is_file():
            raise InputError(f"is {special(place)}, and cannot be replaced by a file", where=path)
        # the kernel takes the umask off these rights: asking for the umask would set it, for all threads
        os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield fresh
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.replace(place)
    except OSError as error:
        if error.errno is None:  # a library's own words, which name the file themselves
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):  # it could not even be made, and that was said
            fresh.unlink()


def special(path: Path) -> str:
    """What lies there that is no regular file, in words."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"


def remove_leftovers(folder: Path) -> None:
    """What processes that were killed left of ``replacing``; nobody else may be writing there."""
    for path in folder.rglob(".*"):
        if re.fullmatch(r"\..+\.[0-9a-f]{8}", path.name) and path.is_file():
            path.unlink()


def write_atomically(path: Path, content: bytes | str) -> None:
    """The whole file or nothing; its folder is made."""
    check_place(path)
    make_folder(path.parent)
    with replacing(path) as fresh:
        # names of files may hold bytes that are no UTF-8: they are written as escapes
        fresh.write_bytes(content.encode(errors="backslashreplace") if isinstance(content, str) else content)


ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


def make_folder(folder: Path) -> None:
    """The folder and those that it lies in; ``check_place`` says what is refused."""
    check_place(folder)
    # where a link leads to: one to a disk that is empty yet is no folder
    Path(os.path.realpath(folder)).mkdir(parents=True, exist_ok=True)


def check_place(path: Path) -> None:
    """Refuses what would not become the file or folder that is meant.

    Raises:
        ConfigError: it is an address, as s3://..., which would become a folder of that name, or a link in a circle.
    """
    for k, part in enumerate(path.parts, 1):
        if ADDRESS.fullmatch(part) and not Path(*path.parts[:k]).is_dir():
            found = f"looks like an address ({part}//), and only this machine's folders are written to"
            raise ConfigError(found, where=path, ways_out="name a folder, and copy from there")
    if os.path.islink(os.path.realpath(path)):
        raise ConfigError("a link that leads to itself", where=path, ways_out=("remove it", "choose another name"))


def write_json(path: Path, document: Any) -> None:
    write_atomically(path, json.dumps(document, indent=2, sort_keys=True) + "\n")


def read_json(path: Path) -> Any:
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise InputError(f"not a file but {special(path)}", where=path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("no such file", where=path) from None
    except (ValueError, RecursionError, OSError) as error:  # not UTF-8, no JSON, nested too deeply
        raise InputError(f"not readable as JSON ({error})", where=path) from None


def named_path(text: str, setting: str) -> Path:
    """The path that a setting names; ``~`` at its start is a home.

    Raises:
        ConfigError: it is the home of nobody here.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ConfigError(f"no home {text.split('/')[0]}", where=setting, ways_out="write the whole path") from None


def check_apart(written: Mapping[str, Path | None], read: Iterable[Path | str | None]) -> None:
    """What a command writes, by its option, lies neither on what it reads nor on one another.

    Raises:
        ConfigError: it does, and a trained network or the data would be lost; or as ``check_place``.
    """
    taken = {os.path.realpath(path): "is what is read" for path in read if path is not None}
    for option, path in written.items():
        if path is None:
            continue
        check_place(path)
        place = os.path.realpath(path)
        if place in taken:
            raise ConfigError(
                f"{path} {taken[place]}, and would be lost", where=option, ways_out="choose another name"
            )
        taken[place] = f"is what {option} writes"


def file_hash(path: Path) -> str:
    """SHA-256 of what a file holds."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_hash(*parts: str) -> str:
    """SHA-256 of some texts, in order."""
    # file names may hold bytes that are no UTF-8, which Python keeps as halves of pairs
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()
