"""Code of one's own in a run: named by a setting, as ``mine.py:make_teacher``, or handed over in Python.

It is loaded, called with what it asks for, and known by the files that it is made of.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from seamount.errors import ENDS, ConfigError, SeamountError, nearest, out_of_memory, text_of
from seamount.files import file_hash, named_path, text_hash

NAMED = re.compile(r"(?P<home>[^:\s]+(?: [^:\s]+)*):(?P<name>[A-Za-z_]\w*)")
HANDED = "python"
"""The home of what is handed over in Python: ``python:teacher``."""

FORM = '"mine.py:NAME" or "package.module:NAME"'

OFFERED: Mapping[str, tuple[str, ...]] = {
    "teacher.arch": ("n_classes", "input_shape"),
    "student.arch": ("n_classes", "input_shape", "n_steps", "input_bits", "input_scale"),
    "data.name": ("root", "n_steps"),
    "--data": ("root",),
    "distill.method": ("logits", "labels", "teacher_logits", "student_maps", "teacher_maps"),
}
"""What one's own code may ask for, by the names of its parameters."""


def is_own(name: str) -> bool:
    """Whether a setting names code of one's own, not an item of a list of ours."""
    return NAMED.fullmatch(name) is not None


def named(name: str, known: Iterable[str]) -> str:
    """A name of a list of ours or of one's own, as it is; for validators, which turn the ValueError into words."""
    possible = tuple(known)
    if name in possible or is_own(name):
        return name
    ways = nearest(name, possible) or (f"one's own is named as {FORM}",)
    raise ValueError(f"{name!r} is none of {'; '.join([', '.join(possible), *ways])}")


# --------------------------------------------------------------------------------------------------- in Python

_handed: ContextVar[Mapping[str, tuple[Any, str]]] = ContextVar("handed", default={})  # noqa: B039 (never changed)


@contextmanager
def handed(things: Mapping[str, tuple[Any, str]]) -> Iterator[dict[str, str]]:
    """Within it, each thing (and the digest of its content) can be had under the name that this gives for it."""
    before = _handed.set({**_handed.get(), **things})
    try:
        yield {name: f"{HANDED}:{name}" for name in things}
    finally:
        _handed.reset(before)


def is_handed(reference: str) -> bool:
    return reference.startswith(f"{HANDED}:")


def digest(reference: str, setting: str) -> str:
    """Of what one's own is made of: the files that a name leads to, or what was handed over."""
    if is_handed(reference):
        find(reference, setting)
        return _handed.get()[parts(reference)[1]][1]
    return text_hash(*(f"{name} {file_hash(path)}" for name, path in files(reference, setting).items()))


# ----------------------------------------------------------------------------------------------------- loading


def find(reference: str, setting: str) -> Any:
    """What a setting names.

    Raises:
        ConfigError: there is no such file or name, or importing it raises; says which line.
    """
    home, name = parts(reference)
    if is_handed(reference):
        if name not in _handed.get():
            found = f"{reference} was handed over in Python, and a new process does not have it"
            ways = "go on with the same call of api.run(..., resume=True), or name a file, as mine.py:NAME"
            raise ConfigError(found, where=setting, ways_out=ways)
        return _handed.get()[name][0]
    module = _module(home, setting)
    if not hasattr(module, name):
        values = vars(module).items()
        made = [key for key, value in values if callable(value) and not _from_elsewhere(key, value, module)]
        raise no_such_name(home, name, made, setting)
    return getattr(module, name)


def no_such_name(home: str, name: str, made: Iterable[str], setting: str) -> ConfigError:
    """
    Args:
        made: names that the module has, of its own.
    """
    near = nearest(name, made := tuple(made))
    possible = "" if near else f"there are {', '.join(made)}" if made else "nor any other name"
    return ConfigError(f"{home} has no {name}", where=setting, possible=possible, ways_out=near)


def make(reference: str, setting: str, offered: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    """What one's own function or class gives for those of the offered arguments that it takes, and all options.

    Anything else that a setting names is the thing itself.

    Raises:
        ConfigError: it asks for something else, takes an option not, or raises.
    """
    thing = find(reference, setting)
    if not is_maker(thing):
        if options:
            found = f"{reference} is a {type(thing).__name__}, not a function, and takes no options"
            raise ConfigError(found, where=setting, ways_out=f"remove {setting.split('.')[0]}.options")
        return thing
    return called(reference, setting, thing, arguments(reference, setting, thing, offered, options))


def is_maker(thing: Any) -> bool:
    return inspect.isroutine(thing) or inspect.isclass(thing) or isinstance(thing, functools.partial)


def parameters(thing: Any) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(thing).parameters)
    except (TypeError, ValueError):  # compiled functions say nothing of theirs
        return {}


def arguments(
    reference: str, setting: str, thing: Any, offered: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """By name: the options, and what of the rest its signature has."""
    return matched(reference, setting, parameters(thing), offered, options)


def matched(
    reference: str,
    setting: str,
    wanted: Mapping[str, inspect.Parameter],
    offered: Mapping[str, Any],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """
    Args:
        wanted: what ``reference`` has parameters for.

    Raises:
        ConfigError: it asks for something else, or takes an option not.
    """
    section = setting.split(".")[0]
    anything = any(p.kind is p.VAR_KEYWORD for p in wanted.values())
    given = {**{name: value for name, value in offered.items() if name in wanted}, **options}
    unknown = [name for name in options if name not in wanted and not anything]
    if unknown:
        ways_out = (*nearest(unknown[0], wanted), f"it takes {', '.join(wanted) or 'nothing'}")[:1]
        raise ConfigError(f"{reference} takes no {', '.join(unknown)}", where=f"{section}.options", ways_out=ways_out)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    needed = [n for n, p in wanted.items() if p.kind in named and p.default is p.empty and n not in given]
    if needed:
        possible = f"it is called with {' and '.join(filter(None, (', '.join(offered), f'{section}.options')))}"
        ways = f"set {section}.options.{needed[0]}, or give it a default"
        raise ConfigError(f"{reference} needs {', '.join(needed)}", where=setting, possible=possible, ways_out=ways)
    return given


def called(reference: str, setting: str, thing: Any, given: Mapping[str, Any], *positional: Any) -> Any:
    """The call, and where it raises, whose line it was."""
    try:
        return thing(*positional, **given)
    except ENDS:
        raise
    except BaseException as error:
        if out_of_memory(error):  # the training knows what to do
            raise
        raise ConfigError(f"{reference} raised {said(error)}", where=setting) from error


@contextmanager
def blamed() -> Iterator[None]:
    """What one's own code raises in the middle of ours, as a network may in any batch, is told with its line.

    Raises:
        ConfigError: a line of a file that a setting named is on the way to the error.
    """
    try:
        yield
    except (SeamountError, *ENDS):
        raise
    except BaseException as error:
        lines = {Path(frame.filename).resolve() for frame in traceback.extract_tb(error.__traceback__)}
        home = next((home for home, (_, _, paths) in _loaded.items() if not lines.isdisjoint(paths)), None)
        if home is None or out_of_memory(error):  # the training knows what to do
            raise
        raise ConfigError(f"raised {said(error)}", where=home, ways_out="--debug shows the way there") from error


def said(error: BaseException) -> str:
    """An error of somebody else's code in one line, with the place in that code."""
    text = (text_of(error).strip().splitlines() or [""])[0]
    told = f"{type(error).__name__}: {text}" if text else type(error).__name__
    own = Path(__file__).resolve().parent
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not Path(f.filename).is_relative_to(own)]
    outside = [f for f in frames if "site-packages" not in f.filename and "<frozen" not in f.filename]
    place = next((f for f in reversed(outside) if Path(f.filename).exists()), None)
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({Path(error.filename).name}, line {error.lineno})"
    return told if place is None else f"{told} ({Path(place.filename).name}, line {place.lineno})"


def parts(reference: str) -> tuple[str, str]:
    found = NAMED.fullmatch(reference)
    assert found is not None, "is_own() lets nothing else through"
    return found["home"], found["name"]


_loaded: dict[str, tuple[str, ModuleType, list[Path]]] = {}
"""Home -> digest of its files, the module made of them, and the files."""


def _from_elsewhere(name: str, value: Any, module: ModuleType) -> bool:
    """Imported, or private: nothing that a setting would name."""
    return name.startswith("_") or (isinstance(value, type | FunctionType) and value.__module__ != module.__name__)


def _module(home: str, setting: str) -> ModuleType:
    """Imported once for each content of its files, so that a notebook sees what was edited."""
    root, entry = home_of(home, setting)
    paths = _reached(root, entry)
    digest = text_hash(*(f"{path} {text_hash(path.read_text(encoding='utf-8', errors='replace'))}" for path in paths))
    if home in _loaded and _loaded[home][0] == digest:
        return _loaded[home][1]
    if home in _loaded:
        _forget(paths)
    # in front and for good, because functions may import what stands beside them when they are called
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    compiled, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # it would hide an edit within the same second
    try:
        module = _from_file(entry) if home.endswith(".py") else importlib.import_module(home)
    except ENDS:
        raise
    except BaseException as error:
        raise not_importable(home, error, setting) from error
    finally:
        sys.dont_write_bytecode = compiled
    _loaded[home] = (digest, module, paths)
    return module


def not_importable(home: str, error: BaseException, setting: str) -> ConfigError:
    return ConfigError(f"{home} cannot be imported, {said(error)}", where=setting)


def _from_file(path: Path) -> ModuleType:
    # a name of its own, because "data.py" and "models.py" are also called something else
    name = f"seamount_own_{path.stem}_{text_hash(str(path))[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "a .py file has a loader"
    assert spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs, because dataclasses look themselves up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _forget(paths: Iterable[Path]) -> None:
    """Modules of these files, so that they are imported anew."""
    gone = set(map(str, paths))
    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) in gone:
            del sys.modules[name]


# ------------------------------------------------------------------------------------------------------- files


def files(reference: str, setting: str) -> dict[str, Path]:
    """The file that a setting names and what it imports from the same folder, by their place in it."""
    if is_handed(reference):
        return {}
    root, entry = home_of(parts(reference)[0], setting)
    return {str(path.relative_to(root)): path for path in _reached(root, entry)}


def files_of(source: Path) -> dict[str, Path]:
    """A Python file and what it imports from its folder."""
    return {str(path.relative_to(source.parent)): path for path in _reached(source.parent, source)}


def home_of(home: str, setting: str) -> tuple[Path, Path]:
    """The folder from which its imports are looked up, and the file."""
    if home.endswith(".py"):
        path = Path(
            os.path.realpath(named_path(home, setting))
        )  # not resolve(), which raises where links go in circles
        if not path.is_file():
            raise ConfigError(f"no such file, {home}", where=setting, ways_out=f"it is looked for in {Path.cwd()}")
        return path.parent, path
    here = str(Path.cwd())
    if here not in sys.path:  # as ``python -m`` does: one's own package lies where the command is given
        sys.path.insert(0, here)
    try:
        spec = _spec(home)
    except ENDS:
        raise
    except BaseException as error:  # a parent package is imported to find its module
        spec = None
        if not isinstance(error, ModuleNotFoundError):
            raise not_importable(home, error, setting) from error
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise ConfigError(f"no module {home}", where=setting, ways_out=f"a file is named as {home}.py:NAME")
    entry = Path(spec.origin).resolve()
    depth = home.count(".") + (entry.name == "__init__.py")
    return entry.parents[depth], entry


def _spec(home: str) -> ModuleSpec | None:
    """Where a module lies. Its packages are imported only if nothing else finds it: they may import torch."""
    first, *rest = home.split(".")
    spec, name = importlib.util.find_spec(first), first
    for part in rest:
        name = f"{name}.{part}"
        places = None if spec is None else spec.submodule_search_locations
        spec = None if places is None else PathFinder.find_spec(name, places)
    return spec or importlib.util.find_spec(home)


def _reached(root: Path, entry: Path) -> list[Path]:
    """``entry`` and the files below ``root`` that it imports, directly or not, in order of their names."""
    found, waiting = {entry}, [entry]
    while waiting:
        path = waiting.pop()
        # what lies above the folder is no part of it: importing it fails, or is caught where it stands
        new = {one for one in _imported(root, path) if one not in found and one.is_relative_to(root)}
        found |= new
        waiting += new
    return sorted(found)


def _imported(root: Path, path: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # importing it says so
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from files_of_import(root, path, node)


def files_of_import(root: Path, path: Path, node: ast.Import | ast.ImportFrom) -> Iterator[Path]:
    """Files that a line of ``path`` imports from its own folder."""
    if isinstance(node, ast.Import):
        names = [(root, alias.name) for alias in node.names]
    else:
        base = path.parents[min(node.level, len(path.parents)) - 1] if node.level else root
        names = [(base, ".".join(filter(None, (node.module, alias.name)))) for alias in node.names]
    for base, name in names:
        yield from _files_of_module(base, name)


def _files_of_module(base: Path, name: str) -> Iterator[Path]:
    """Of a dotted name that may end in what a module holds: the packages on the way and the module."""
    at = base
    for part in name.split("."):
        for path in (at / f"{part}.py", at / part / "__init__.py"):
            if path.is_file():
                yield path
        at = at / part
