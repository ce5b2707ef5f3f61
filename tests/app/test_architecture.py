"""The shape of the code: who imports whom, the four mapped folders, and what the wheel holds."""

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("models", "distill", "compile", "hardware_targets")


def allowed_imports() -> dict[str, set[str]]:
    """The table in docs/ARCHITECTURE.md: `| folder | may import |`, entries such as `compile.arithmetic`."""
    rows = re.findall(r"^\| `([\w.]+)` \| (.+?) \|", (ROOT / "docs/ARCHITECTURE.md").read_text(), re.MULTILINE)
    return {folder: set(re.findall(r"`([\w.]+)`", allowed)) for folder, allowed in rows}


def python_files() -> list[Path]:
    return [
        p
        for f in (*FOLDERS, "seamount")
        for p in (ROOT / f).rglob("*.py")
        if not any(q.is_symlink() for q in p.parents)
    ]


def imported_modules(path: Path) -> list[tuple[str, bool]]:
    """(module, at module level) for every import of a file, TYPE_CHECKING blocks left out."""
    found = []
    tree = ast.parse(path.read_text())
    package = ["seamount", *path.relative_to(ROOT).parts[:-1]] if path.parts[len(ROOT.parts)] != "seamount" else []
    package = package or list(path.relative_to(ROOT).parts[:-1])
    top_level = set(tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node in top_level) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            found += [
                (f"{module}.{alias.name}" if module == "seamount" else module, node in top_level)
                for alias in node.names
            ]
    return found


def test_the_import_table_is_kept() -> None:
    table = allowed_imports()
    assert set(table) >= set(FOLDERS)
    wrong = []
    for path in python_files():
        folder = path.relative_to(ROOT).parts[0]
        if folder not in FOLDERS:
            continue
        for module, _ in imported_modules(path):
            if not module.startswith("seamount."):
                continue
            inner = module.removeprefix("seamount.")
            if not any(inner == a or inner.startswith(f"{a}.") for a in table[folder] | {folder, "__version__"}):
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert wrong == []


@pytest.mark.parametrize(
    ("library", "home"),
    [("lava", "hardware_targets/lava"), ("tonic", "distill/data"), ("norse", "models")],
)
def test_a_library_with_terms_of_its_own_stays_in_its_home(library: str, home: str) -> None:
    users = {
        str(path.relative_to(ROOT).parent)
        for path in python_files()
        for module, _ in imported_modules(path)
        if module.split(".")[0] == library
    }
    assert {user for user in users if not user.startswith(home)} == set()


def test_nobody_imports_the_compile_package_as_a_name() -> None:
    for path in python_files():
        assert not re.search(
            r"^from seamount import .*\bcompile\b|^import compile", path.read_text(), re.MULTILINE
        ), path


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_refuses_its_bare_name(folder: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {folder}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"import seamount.{folder} (after: pip install -e .)" in done.stderr


def test_importing_seamount_imports_nothing_heavy() -> None:
    heavy = ("torch", "numpy", "norse", "nir", "matplotlib", "pydantic")
    code = f"import sys, seamount, seamount.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_wheel_holds_the_tree(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: there is no list of the project's own files")
    copy = tmp_path / "tree"
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in files:
        source = ROOT / name
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            (copy / name).symlink_to(source.readlink())
        elif source.exists():
            (copy / name).write_bytes(source.read_bytes())
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            str(tmp_path),
            str(copy),
        ],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    held = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    suffixes = (".py", ".toml", ".j2", ".css", ".js", ".json", "py.typed")
    expected = {
        name if name.startswith("seamount/") else f"seamount/{name}"
        for name in files
        if name.split("/")[0] in (*FOLDERS, "seamount") and name.endswith(suffixes) and (ROOT / name).exists()
    }
    assert held == expected
