"""What a program around Seamount has set for its own work changes nothing of a run, and is as it was afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from seamount import api
from seamount.cli.root import COMMANDS, load_command
from seamount.config import Config, to_toml
from seamount.surroundings import usual_settings

SETTINGS = (
    "data.max_train=40",
    "data.max_test=10",
    "teacher.epochs=1",
    'student.arch="small"',
    "student.n_steps=2",
    "train.epochs=1",
    "train.n_workers=0",
    "quant.epochs=1",
)


@contextmanager
def odd() -> Iterator[None]:
    with ExitStack() as stack:
        stack.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_default_dtype(torch.float64)
        stack.enter_context(torch.device("meta"))
        stack.enter_context(torch.autocast("cpu", torch.bfloat16))
        stack.enter_context(torch.inference_mode())
        stack.enter_context(np.errstate(all="raise"))
        yield


def chosen() -> tuple[object, ...]:
    torch_has = torch.get_default_dtype(), torch.empty(0).device.type, torch.is_autocast_enabled("cpu")
    return *torch_has, torch.is_inference_mode_enabled(), torch.is_grad_enabled(), np.geterr()["under"]


def test_within_them_all_is_as_in_a_new_process_and_outside_as_before() -> None:
    usual = chosen()
    with odd():
        before = chosen()
        assert all(a != b for a, b in zip(before, usual, strict=True))
        with usual_settings():
            assert chosen() == usual
        assert chosen() == before
        with pytest.raises(ZeroDivisionError), usual_settings():
            raise ZeroDivisionError
        assert chosen() == before


def test_training_and_compiling_in_odd_surroundings_give_the_same_program(tmp_path: Path) -> None:
    programs = []
    for name in ("usual", "odd"):
        with odd() if name == "odd" else ExitStack():
            api.distill(None, SETTINGS, folder=tmp_path / name, until="export", told=api.Told())
            programs.append(
                api.compile_source(tmp_path / name, out=tmp_path / f"{name}.program.h5").path.read_bytes()
            )
    assert programs[0] == programs[1]


UNDOCUMENTED = """
from seamount.cli.root import COMMANDS, load_command
from seamount.config import Config, to_toml
print(load_command.__doc__, to_toml(Config()), *(load_command(c.name).help for c in COMMANDS), sep="\\n")
"""


def test_nothing_that_is_shown_comes_from_docstrings() -> None:
    """Which ``python -OO`` takes away."""
    done = subprocess.run([sys.executable, "-OO", "-c", UNDOCUMENTED], capture_output=True, text=True, check=True)
    commands = [load_command(c.name).help for c in COMMANDS]
    assert done.stdout == "\n".join(["None", to_toml(Config()), *commands]) + "\n"
    assert all(
        told.startswith(c.line) and "\nExample:  seamount " in told
        for c, told in zip(COMMANDS, commands, strict=True)
    )
