"""What is not imported where it is not needed: the start of a command is paid for by every call of it."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

import seamount.api
from seamount import api
from seamount.cli.root import COMMANDS, load_command
from seamount.compile.program.activity import Activity
from seamount.compile.program.activity_file import save_activity

CALLED = "from seamount.cli import main; sys.argv = ['seamount', *{}]; main()"
TRAINING = ("torch", "norse", "tonic", "PIL", "pandas", "matplotlib", "jinja2", "scipy", "numba", "seamount.distill")
READERS = ("numpy", "nir", "h5py", "pydantic")
OTHERS = tuple(f"seamount.cli.{name}_commands" for name in ("convert", "deploy", "program", "report", "run"))


def loaded(code: str, unwanted: tuple[str, ...], folder: Path) -> list[str]:
    """Which of these modules a new process has at its end."""
    told = f"import sys, atexit; atexit.register(lambda: print([m for m in {unwanted} if m in sys.modules]))\n"
    done = subprocess.run(
        [sys.executable, "-c", told + code], capture_output=True, text=True, check=False, cwd=folder
    )
    found: list[str] = ast.literal_eval(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    nodes = {
        "input": nir.Input(np.array((2,))),
        "fc": nir.Linear(np.eye(2)),
        "lif": nir.IF(r=np.ones(2), v_threshold=np.ones(2), v_reset=np.zeros(2)),
        "output": nir.Output(np.array((2,))),
    }
    path = tmp_path_factory.mktemp("network") / "net.nir"
    nir.write(path, nir.NIRGraph(nodes, [("input", "fc"), ("fc", "lif"), ("lif", "output")], type_check=False))
    return path


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import seamount, seamount.cli", (*TRAINING, *READERS, *OTHERS, "rich")),
        ("from seamount import api", (*TRAINING, *READERS, "rich", "seamount.programs", "seamount.runs")),
        (CALLED.format(["--help"]), (*TRAINING, *READERS, *OTHERS)),
        (CALLED.format(["compile", "--help"]), (*TRAINING, "numpy", "nir", "h5py")),
        (CALLED.format(["targets", "list"]), (*TRAINING, *OTHERS, "h5py")),
    ],
)
def test_a_start_imports_no_more_than_it_needs(code: str, unwanted: tuple[str, ...], tmp_path: Path) -> None:
    assert loaded(code, unwanted, tmp_path) == []


def test_compiling_imports_neither_training_nor_the_report(network: Path, tmp_path: Path) -> None:
    words = ["compile", str(network), "--from", "snntorch", "--set", "reset=value", "--steps", "4"]
    assert loaded(CALLED.format(words), (*TRAINING, "seamount.runs"), tmp_path) == []
    assert network.with_suffix(".program.h5").is_file()


def test_a_comparison_of_two_runs_loads_no_torch(tmp_path: Path) -> None:
    save_activity(Activity(2, 1, {"out": np.ones((2, 1, 3), np.uint8)}), tmp_path / "a.npz")
    assert loaded(CALLED.format(["diff", "a.npz", "a.npz"]), TRAINING[:4], tmp_path) == []


def test_what_is_not_there_is_told_before_torch_is_loaded(network: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import torch\ndef make_net(): ...")
    (tmp_path / "a.toml").touch()
    refused = [
        ["run", "a.toml", "--set", 'teacher.arch="mine.py:make"'],
        ["run", "a.toml", "--set", 'data.name="mine.py:make_data"'],
        ["distill", "a.toml", "--set", 'distill.method="mine.py:Loss"'],
        ["simulate", str(network), "--data", "none.npz"],
        ["simulate", "none.h5", "--data", "none.npz"],
        ["simulate", str(network), "--data", "mine.py:make_data"],
        ["simulate", str(network), "--data", "digitz"],
        ["run-lava", str(network), "--data", "none.npz"],
        ["deploy", str(network), "--data", "none.npz"],
        ["report", str(network), "--data", str(network), "--float-answers", "none.npz"],
        ["why", str(network), "lif", "--data", "none.npz"],
        ["convert", "mine.py:make", "--data", str(network)],
        ["convert", "small-cnn", "--data", "none.npz"],
        ["compile", "none.net"],
        ["diff", "a.npz", "b.npz"],
    ]
    calls = f"""
from seamount.cli import main
for words in {refused}:
    sys.argv = ["seamount", *words]
    try:
        main()
    except SystemExit as ended:
        assert ended.code == 2, words
    if "torch" in sys.modules:
        sys.exit(f"{{words}} loads torch")
"""
    assert loaded(calls, TRAINING[:4], tmp_path) == []


@pytest.mark.parametrize("listed", COMMANDS, ids=lambda listed: listed.name)
def test_the_list_of_commands_says_what_the_commands_say(listed: Any) -> None:
    assert listed.line == load_command(listed.name).help.splitlines()[0]


def test_the_names_of_the_api_are_those_that_type_checkers_see() -> None:
    tree = ast.parse(inspect.getsource(seamount.api))
    (checked,) = (n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    imports = [n for n in checked.body if isinstance(n, ast.ImportFrom)]
    names = {a.asname or a.name: f"{n.module}.{a.name}" for n in imports for a in n.names}
    assert names == seamount.api._HOMES
    assert sorted(names) == sorted(api.__all__)
    for name in names:
        assert getattr(api, name) is not None
    assert set(api.__all__) <= set(dir(api))
    with pytest.raises(AttributeError, match=r"module 'seamount\.api' has no attribute 'nothing'"):
        _ = api.nothing  # type: ignore[attr-defined]
