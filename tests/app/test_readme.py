"""What the README tells people to type exists and works, and what it links to is there."""

import re
import shlex
import shutil
import subprocess
import venv
import warnings
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from seamount.cli import app
from seamount.cli.root import COMMANDS, load_command
from seamount.compile.program.file import load_program
from tests.compile.frontend_recordings import FOLDER as RECORDINGS
from tests.compile.frontend_recordings import Recording

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
NAMES = [command.name for command in COMMANDS]


def typed_lines() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("line", [line for line in typed_lines() if line.startswith("seamount")])
def test_a_seamount_line_names_a_command_and_its_options(line: str) -> None:
    _, name, *words = shlex.split(line)
    assert name in NAMES, line
    made = load_command(name)
    known = {option for parameter in made.params for option in parameter.opts}
    for word in words:
        if word.startswith("--"):
            assert word in known, f"{word} in: {line}"


TINY = (
    *("teacher.epochs=1", "train.epochs=1", "quant.epochs=1", "student.n_steps=2", "lava.n_samples=0"),
    *("data.max_train=64", "data.max_test=16", "report.n_compared=2"),
)
ELSEWHERE = {
    "--resume": "test_pipeline.py",
    "deploy net.nir": "test_deployment.py",
    "mine.py": "test_own_code.py",
    "compile old.net": "test_cli_compile.py; needs a file of lava-dl",
    "run-lava": "test_cli.py",
    "distill train.toml": "half of run",
    "sweep": "several runs",
    "doctor": "test_cli.py",
    "mnist.toml": "needs MNIST",
}


def beforehand(line: str) -> None:
    """Puts in place what the user brings, or what a line left out would have made."""
    match shlex.split(line)[1:3]:
        case ["compile", path] if "--from snntorch" in line:
            Path(path).write_bytes(Recording.load(RECORDINGS / "snntorch_leaky.npz").file)
        case ["compile", path]:
            shutil.copy(next(Path("runs/train").rglob("*.nir")), path)
        case ["simulate", program]:
            shape = load_program(program).inputs[0].shape
            np.savez("x.npz", x=np.zeros((16, 2, *shape), dtype=np.int64))
        case ["diff", path]:
            shutil.copy(path, "lava.npz")
        case ["check", path]:
            shutil.copytree(path, "runs/before", dirs_exist_ok=True)
        case ["compare", path]:
            shutil.copytree(path, "runs/other")


@pytest.mark.slow
def test_the_lines_work_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [line for line in typed_lines() if line.startswith("seamount") and not any(e in line for e in ELSEWHERE)]
    assert len(lines) >= 8
    for line in lines:
        beforehand(line)
        words = shlex.split(line)[1:]
        if words[0] == "run":
            words += [word for setting in TINY for word in ("--set", setting)]
        with warnings.catch_warnings():
            done = CliRunner().invoke(app, words)
        if words[0] == "check":  # one epoch on 64 images: all that was asked for holds, but the network does not work
            assert done.exit_code == 3, f"{line}\n{done.output}"
            assert "✗ FAILED  train: Works: no" in done.output
            continue
        assert done.exit_code == 0, f"{line}\n{done.output}"


@pytest.mark.parametrize("line", [line for line in typed_lines() if line.startswith("make")])
def test_a_make_line_names_a_target(line: str) -> None:
    target = shlex.split(line)[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_make_sees_that_an_environment_has_lost_what_makes_it_one(tmp_path: Path) -> None:
    """Without its pyvenv.cfg everything would be installed into the interpreter behind it."""
    found = re.search(
        r"@\$\(BIN\)/python -c '(.*?)' 2>/dev/null \|\| \$\(PYTHON\) -m venv", (ROOT / "Makefile").read_text()
    )
    assert found is not None
    venv.create(tmp_path / "env", symlinks=True)
    (tmp_path / "pip.py").touch()

    def code() -> int:
        asked = [tmp_path / "env/bin/python", "-c", found[1]]
        return subprocess.run(
            asked, env={"PYTHONPATH": str(tmp_path)}, stderr=subprocess.DEVNULL, check=False
        ).returncode

    assert code() == 0
    (tmp_path / "pip.py").unlink()
    assert code() == 1
    (tmp_path / "pip.py").touch()
    (tmp_path / "env/pyvenv.cfg").unlink()
    assert code() == 1


def test_the_reference_names_every_function_of_the_api() -> None:
    from seamount import api

    page = (ROOT / "docs/reference/api.md").read_text()
    told = re.findall(r"auto(?:function|class|data):: (\w+)$", page, re.MULTILINE)
    assert sorted(told) == sorted(api.__all__)


def test_the_site_leads_to_every_page() -> None:
    index = (ROOT / "docs/index.md").read_text()
    pages = [path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")]
    assert [str(page) for page in pages if f"\n{page}\n" not in index and page.name != "index"] == []


DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
FOLDERS = ("models", "distill", "compile", "hardware_targets", "seamount", "tests", "benchmarks", "docs", "examples")


ADDRESSES = {
    "arxiv.org": r"/(abs|pdf)/2[0-6](0[1-9]|1[0-2])\.\d{5}(v\d)?",
    "doi.org": r"/10\.\d{4,5}/\S+",
    "github.com": r"/[\w.-]+/[\w.-]+(/.*)?",
}
"""Host -> how a page of it is called; they cannot be asked from everywhere."""


def test_addresses_are_written_as_their_hosts_write_them() -> None:
    sources = [*DOCUMENTS, *(ROOT / "hardware_targets").rglob("*.toml"), ROOT / "CITATION.cff"]
    found = [match for path in sources for match in re.findall(r"https?://[^\s)>\"`\]]+", path.read_text())]
    addresses = sorted({address.rstrip(".,;:'") for address in found})
    assert len(addresses) > 10
    for address in addresses:
        scheme, _, host, *_ = address.split("/")
        assert scheme == "https:", address
        assert re.fullmatch(ADDRESSES.get(host, r"/.*"), address.removeprefix(f"https://{host}") or "/"), address


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_links_to_is_there(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)[^):]*\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_file_that_a_document_names_is_there(document: Path) -> None:
    named = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]+)`", document.read_text())
    assert [name for name in named if "NAME" not in name and not (ROOT / name).exists()] == []
