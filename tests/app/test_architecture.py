"""The shape of the code: who imports whom, the four mapped folders, and what the wheel holds."""

import ast
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from seamount.compile.graphs import strongly_connected

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("models", "distill", "compile", "hardware_targets")


def allowed_imports() -> dict[str, set[str]]:
    """The table of rooms in docs/ARCHITECTURE.md, bottom first: room -> rooms that it may import, itself included."""
    rows = re.findall(r"^\| `([\w.]+)` \| (.+?) \|", (ROOT / "docs/ARCHITECTURE.md").read_text(), re.MULTILINE)
    allowed: dict[str, set[str]] = {}
    for room, told in rows:
        named = set(allowed) if told == "everything above" else set(re.findall(r"`([\w.]+)`", told))
        assert named <= set(allowed), f"{room} may import {named - set(allowed)}, which must stand above it"
        allowed[room] = named | {room}
    return allowed


def python_files() -> list[Path]:
    return [
        p
        for f in (*FOLDERS, "seamount")
        for p in (ROOT / f).rglob("*.py")
        if not any(q.is_symlink() for q in p.parents)
    ]


def module_name(path: Path) -> str:
    """Dotted name below the package: ``compile.nir.read``; "" for the package itself."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "seamount" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_in(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import of a file, those inside of functions too; what only type checkers see is left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            yield from imports_in(ast.Module(child.orelse, []))
        else:
            yield from imports_in(child)


@cache
def imported_modules(path: Path) -> list[str]:
    """Dotted names that a file imports, ``from m import n`` as m.n, relative ones made absolute."""
    parts = path.relative_to(ROOT).parts[:-1]
    package = list(parts) if parts[0] == "seamount" else ["seamount", *parts]
    found = []
    for node in imports_in(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        else:
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found += [f"{module}.{alias.name}" for alias in node.names]
    return found


@cache
def own_imports() -> dict[str, list[str]]:
    """Every module of ours -> the modules of ours that it imports."""
    files = {module_name(path): path for path in python_files()}

    def module(imported: str) -> str:
        """The module in which an imported name stands."""
        name = imported.removeprefix("seamount").lstrip(".")
        while name not in files:
            name = name.rpartition(".")[0]
        return name

    return {
        name: sorted({module(m) for m in imported_modules(path) if m.split(".")[0] == "seamount"})
        for name, path in files.items()
    }


def room_of(module: str, rooms: Iterable[str]) -> str | None:
    """The longest room that the module lies in."""
    return max((r for r in rooms if module == r or module.startswith(f"{r}.")), key=len, default=None)


def test_every_module_has_a_room_in_the_table() -> None:
    rooms = allowed_imports()
    assert [m for m in own_imports() if m not in ("", "__main__") and room_of(m, rooms) is None] == []


def test_every_room_of_the_table_is_there() -> None:
    rooms = allowed_imports()
    assert set(rooms) - {room_of(module, rooms) for module in own_imports()} == set()


def test_the_import_table_is_kept() -> None:
    allowed = allowed_imports()
    wrong = [
        f"{module} imports {other}: {room} may not import {room_of(other, allowed)}"
        for module, others in own_imports().items()
        if (room := room_of(module, allowed)) is not None
        for other in others
        if other and room_of(other, allowed) not in allowed[room]
    ]
    assert not wrong, "\n".join(wrong)


def test_no_imports_go_in_a_circle() -> None:
    """Between files; rooms cannot form one, because the table lets them import only what stands above them."""
    imports = own_imports()
    loops = strongly_connected(list(imports), {m: [o for o in others if o != m] for m, others in imports.items()})
    assert [loop for loop in loops if len(loop) > 1] == []


def test_placing_and_verifying_need_no_torch() -> None:
    code = (
        "import sys, seamount.compile.fit.place, seamount.compile.fit.verify; "
        "print([m for m in ('torch', 'nir', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("library", "home"),
    [
        ("lava", "hardware_targets/lava"),
        ("sanafe", "hardware_targets/sana_fe"),
        ("tonic", "distill/data"),
        ("norse", "models"),
    ],
)
def test_a_library_with_terms_of_its_own_stays_in_its_home(library: str, home: str) -> None:
    users = {
        str(path.relative_to(ROOT).parent)
        for path in python_files()
        for module in imported_modules(path)
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


def test_an_archive_is_told_to_be_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(ROOT / "seamount" / "__init__.py", "seamount/__init__.py")
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'a.zip')!r}); import seamount"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "a.zip/seamount: targets and templates are files, which an archive does not give; unpack it" in done.stderr


def test_no_duration_is_taken_from_a_clock_that_may_be_set_back() -> None:
    for path in python_files():
        assert "time.time()" not in path.read_text(), path


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
