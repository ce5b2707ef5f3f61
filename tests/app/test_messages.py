"""Messages help: what they name exists, and files and data that are something else are named as what they are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import nir
import numpy as np
import pytest
import typer
from numpy.typing import ArrayLike
from pydantic import BaseModel

from seamount.chip_samples import samples_for
from seamount.cli import app
from seamount.cli.root import COMMANDS, load_command
from seamount.compile.options import NAMED, SETTINGS, compile_options
from seamount.compile.pipeline import compile_graph
from seamount.compile.program.program import Program
from seamount.config import Config
from seamount.distill.data.file import to_bytes
from seamount.errors import InputError, SeamountError, Unsupported
from seamount.hardware_targets.simulator import simulate

ROOT = Path(__file__).parents[2]
FOLDERS = ("compile", "distill", "hardware_targets", "models", "seamount")
OTHER_PROGRAMS = {"--no-deps", "--ignore-requires-python", "--check"}
"""Options of pip, which the advice on installing Lava names, and of the program that a standalone folder holds."""

SETTING = re.compile(r"--(?:set|over) ([a-z_]+(?:\.[a-zA-Z_]+)?)=")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")


@cache
def texts() -> list[tuple[str, str]]:
    """(place, text) of every string in the code that is no docstring; what an f-string puts in is left out."""
    return list(_texts())


def _texts() -> Iterator[tuple[str, str]]:
    for path in (p for folder in FOLDERS for p in sorted((ROOT / folder).rglob("*.py"))):
        if "render" in path.parts or path.is_relative_to(ROOT / "seamount" / "compile"):
            continue  # style sheets name variables --so; links to the folders are the folders
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Expr):
                node.value = ast.Constant(None)  # a docstring, or the comment of an attribute
            elif isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "\0" for part in node.values]
                yield f"{path.relative_to(ROOT)}:{node.lineno}", "".join(map(str, parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value


def options() -> set[str]:
    found = {"--help"}
    for command in (typer.main.get_command(app), *(load_command(listed.name) for listed in COMMANDS)):
        found.update(name for param in command.params for name in (*param.opts, *param.secondary_opts))
    return found


def settings(section: type[BaseModel] = Config, prefix: str = "") -> Iterator[str]:
    for name, entry in section.model_fields.items():
        yield f"{prefix}{name}"
        if isinstance(entry.annotation, type) and issubclass(entry.annotation, BaseModel):
            yield from settings(entry.annotation, f"{prefix}{name}.")


def test_options_that_messages_name_exist() -> None:
    known = options() | OTHER_PROGRAMS
    named = [(place, option) for place, text in texts() for option in OPTION.findall(text)]
    assert len(named) > 30
    assert [(place, option) for place, option in named if option not in known] == []


def test_settings_that_messages_name_exist() -> None:
    known = {*settings(), *(key for part in SETTINGS.values() for key in part), "weight_bits", "a.b"}
    named = [(place, key) for place, text in texts() for key in SETTING.findall(text)]
    assert len(named) > 5
    free = (*NAMED, "student.options.")
    assert [(place, key) for place, key in named if key not in known and not key.startswith(free)] == []


def compiled(shape: tuple[int, ...], *settings: str, preset: str = "nir") -> Program:
    nodes = {
        "input": nir.Input(np.array(shape)),
        "lif": nir.IF(r=np.ones(shape), v_threshold=np.ones(shape), v_reset=np.zeros(shape)),
        "output": nir.Output(np.array(shape)),
    }
    graph = nir.NIRGraph(nodes, [("input", "lif"), ("lif", "output")], type_check=False)
    return compile_graph(graph, None, compile_options(written_by=preset, settings=settings, n_steps=8)).program


def refusal(program: Program, tmp_path: Path, **arrays: ArrayLike) -> str:
    path = tmp_path / "d.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    with pytest.raises(InputError) as error:
        simulate(program, samples_for(program, str(path)).inputs)
    return str(error.value).replace(f"{path}: ", "")


def test_all_rules_that_the_chip_lacks_are_named_at_once() -> None:
    with pytest.raises(Unsupported) as error:
        compiled((3,), preset="sinabs")
    assert [reason.found for reason in error.value.reasons] == ["reset 'subtract'", "several spikes in one step"]
    assert "--set reset=value" in str(error.value)
    assert "--set multi_spike=off" in str(error.value)


def test_axes_of_samples_in_another_order_are_named(tmp_path: Path) -> None:
    program = compiled((3,), "dt=1")
    assert refusal(program, tmp_path, x=np.zeros((4, 8, 3), np.int8), y=np.zeros(4, int)) == (
        "x (4, 8, 3) looks like (B, T, ...): samples of this program have 8 steps, and time comes first; "
        "write x.swapaxes(0, 1)"
    )
    assert "this looks like (..., H, W, C): np.moveaxis(x, -1, -3)" in refusal(
        compiled((2, 5, 4), "dt=1"), tmp_path, x=np.zeros((8, 6, 5, 4, 2), np.int8)
    )


def test_samples_that_are_too_short_are_told(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, x=np.zeros((5, 2, 3), np.int8))
    samples = samples_for(compiled((3,), "dt=1"), str(path))
    assert samples.what == f"{path} (5 of 8 steps are in the file, silence fills up the others)"


def test_images_in_black_and_white_are_told(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    for values, told in ((np.eye(3), " (x goes to 1 where 255 is possible)"), (np.eye(3) * 9, "")):
        np.savez(path, x=values)
        assert samples_for(compiled((3,), "dt=1", "input_bits=8"), str(path)).what == f"{path}{told}"
    np.savez(path, x=np.eye(3))
    assert samples_for(compiled((3,), "dt=1"), str(path)).what == str(path)


def test_values_that_are_not_encoded_are_recognised(tmp_path: Path) -> None:
    pixels = compiled((3,), "dt=1", "input_bits=8")
    spikes = compiled((3,), "dt=1")
    x = np.full((8, 2, 3), 0.25)
    assert refusal(pixels, tmp_path, x=x).endswith(
        "; values up to 1 are written as np.rint(x * 255), or by the input_scale that the network was given"
    )
    assert "are the values normalised (x - mean) / std?" in refusal(pixels, tmp_path, x=x - 0.5)
    assert "are the values normalised (x - mean) / std?" in refusal(pixels, tmp_path, x=np.rint(x - 1.5))
    assert "--set input_bits=8" in refusal(spikes, tmp_path, x=(x * 800).astype(int))
    for values, told in ((x * 1000, "divide by 255"), (x - 1, "undo the normalisation")):
        with pytest.raises(InputError, match=told):
            to_bytes(tmp_path, "x", values)


@pytest.mark.parametrize("suffix", [".nir", ".net"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "run `git lfs pull`"),
        (b"", "an empty file"),
        (b"PK\x03\x04....", "a zip archive, not an HDF5 file"),
        (b"\x80\x04.....", "a pickle, not an HDF5 file"),
    ],
)
def test_files_of_another_kind_are_named(tmp_path: Path, suffix: str, content: bytes, told: str) -> None:
    path = tmp_path / f"n{suffix}"
    path.write_bytes(content)
    with pytest.raises(SeamountError, match=re.escape(told)):
        compile_graph(path)
