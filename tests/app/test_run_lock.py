"""One process at a time works in a run directory."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seamount.errors import ConfigError, InputError
from seamount.run.lock import hold
from seamount.run.pipeline import staying

HOLDER = """
import sys
from pathlib import Path
from seamount.run.lock import hold
with hold(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_by_name_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "two"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "in\n"
    with pytest.raises(ConfigError) as caught, hold(folder):
        pass
    assert str(caught.value).startswith(f"{folder}: process {holder.pid} on ")
    assert str(caught.value).endswith("; wait for it, end it, or choose another folder with --out")
    assert " works in it since 20" in str(caught.value)
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    with hold(folder):
        pass
    assert list(folder.parent.iterdir()) == []


def test_a_second_thread_is_refused_and_the_first_keeps_its_lock(tmp_path: Path) -> None:
    with hold(tmp_path / "one"):
        for _ in range(2):
            with pytest.raises(ConfigError, match=f"process {os.getpid()} works in it; "), hold(tmp_path / "one"):
                pass
        with hold(tmp_path / "other"):
            pass
    with hold(tmp_path / "one"):
        pass


def test_a_folder_that_is_removed_in_the_middle_is_said_to_be_gone(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").touch()
    with pytest.raises(InputError, match="no teacher"), staying(tmp_path):
        raise InputError("no teacher")
    for failure in (InputError("no teacher"), FileNotFoundError(errno.ENOENT, "No such file", "student.safetensors")):
        gone = tmp_path / "run"
        with pytest.raises(ConfigError) as caught, staying(gone):
            raise failure
        assert str(caught.value) == f"{gone}: was removed while the run worked in it; run again"


def test_a_file_system_without_locks_is_said_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.lockf", none)
    with pytest.raises(ConfigError) as caught, hold(tmp_path / "one"):
        pass
    told = "its file system cannot lock files (No locks available), so that two runs could mix in it"
    assert str(caught.value).startswith(f"{tmp_path / 'one'}: {told}; choose a folder on another file system; or")
