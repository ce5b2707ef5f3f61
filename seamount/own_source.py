"""One's own code as it is written: whether the name that a setting gives is there, and takes what it is called with.

Nothing is run: one's own code imports torch nearly always, and a mistake is told before that is loaded. What the text
alone does not say, the import says after it.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from seamount import own
from seamount.errors import ConfigError

REACH_FURTHER = {"globals", "vars", "locals", "exec", "eval", "setattr", "__getattr__"}
"""With these a module has names that its text does not show."""


@dataclass(frozen=True)
class _Bound:
    """What a name of a module is bound to.

    Attributes:
        made: in this module: a function, a class or a value; else it is imported.
        node: the function or class, if it is one.
    """

    made: bool
    node: ast.AST | None = None


def check_source(reference: str, setting: str, options: Mapping[str, Any]) -> None:
    """
    Args:
        options: what the function or class is called with beside what ``own.OFFERED`` says.

    Raises:
        ConfigError: there is no such file, it is no Python, it imports what is not installed, has no such name, or
            what has that name does not take the options.
    """
    if own.is_handed(reference):
        return
    home, name = own.parts(reference)
    root, entry = own.home_of(home, setting)
    try:
        tree = ast.parse(entry.read_bytes(), str(entry))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise own.not_importable(home, error, setting) from error
    for path, module, line in _missing(root, entry, tree):
        told = f"ModuleNotFoundError: No module named {module!r} ({path.name}, line {line})"
        raise ConfigError(f"{home} cannot be imported, {told}", where=setting)
    bound = dict(_bound(tree.body))
    if "*" in bound or _reaches_further(tree):
        return
    if name not in bound:
        # constants, in capitals throughout, are nothing that a setting would name
        shown = {key: value for key, value in bound.items() if value.made and not key.startswith("_")}
        made = [key for key, value in shown.items() if value.node is not None or not key.isupper()]
        raise own.no_such_name(home, name, made, setting)
    kind = setting.split(" ")[0]
    wanted = _parameters(bound[name].node)
    if wanted is not None and kind in own.OFFERED:  # an augmentation is called with a sample alone
        own.matched(reference, setting, wanted, _offered(kind, wanted), options)


def _offered(kind: str, wanted: Mapping[str, inspect.Parameter]) -> dict[str, None]:
    # a function of the logits is the loss itself; any other makes one, and is offered nothing
    makes = kind == "distill.method" and "logits" not in wanted
    return dict.fromkeys(() if makes else own.OFFERED[kind])


# ------------------------------------------------------------------------------------------------------- names


def _bound(body: list[ast.stmt]) -> Iterator[tuple[str, _Bound]]:
    """Names that the statements of a module bind, whichever way they go; "*" for names that nobody sees."""
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, _Bound(made=True, node=node)
            case ast.Import(names=names):
                yield from ((one.asname or one.name.split(".")[0], _Bound(made=False)) for one in names)
            case ast.ImportFrom(names=names):
                yield from ((one.asname or one.name, _Bound(made=False)) for one in names)
            case _:
                yield from ((name, _Bound(made=True)) for name in _assigned(node))
                for part in ("body", "orelse", "finalbody", "handlers", "cases"):
                    yield from _bound(getattr(node, part, []))


def _assigned(node: ast.AST) -> Iterator[str]:
    """Names that an assignment, a loop or a ``with`` binds, not those in blocks, functions and classes below it."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()):
            yield name
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
            yield name
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.stmt | ast.Lambda | ast.excepthandler | ast.match_case):
            yield from _assigned(child)


def _reaches_further(tree: ast.Module) -> bool:
    return any(
        (isinstance(node, ast.Name) and node.id in REACH_FURTHER)
        or (isinstance(node, ast.FunctionDef) and node.name in REACH_FURTHER)
        or isinstance(node, ast.Global)
        for node in ast.walk(tree)
    )


def _parameters(node: ast.AST | None) -> dict[str, inspect.Parameter] | None:
    """What a function or class is called with; None where its text does not say it."""
    match node:
        case ast.FunctionDef(args=args, decorator_list=[]):
            return _of(args)
        case ast.ClassDef(bases=bases, keywords=[], decorator_list=[], body=body):
            made = {one.name: one for one in body if isinstance(one, ast.FunctionDef)}
            if "__new__" in made or (bases and "__init__" not in made):
                return None
            if "__init__" not in made:
                return {}
            start = made["__init__"]
            return None if start.decorator_list else dict([*_of(start.args).items()][1:])
        case _:
            return None


def _of(args: ast.arguments) -> dict[str, inspect.Parameter]:
    def parameter(arg: ast.arg, kind: Any, has_default: bool = False) -> inspect.Parameter:
        return inspect.Parameter(arg.arg, kind, default=None if has_default else inspect.Parameter.empty)

    kinds, by_place = inspect.Parameter, [*args.posonlyargs, *args.args]
    n_needed, n_only = len(by_place) - len(args.defaults), len(args.posonlyargs)
    found = [
        parameter(arg, kinds.POSITIONAL_ONLY if k < n_only else kinds.POSITIONAL_OR_KEYWORD, k >= n_needed)
        for k, arg in enumerate(by_place)
    ]
    found += [parameter(arg, kinds.VAR_POSITIONAL) for arg in (args.vararg,) if arg is not None]
    by_name = zip(args.kwonlyargs, args.kw_defaults, strict=True)
    found += [parameter(arg, kinds.KEYWORD_ONLY, default is not None) for arg, default in by_name]
    found += [parameter(arg, kinds.VAR_KEYWORD) for arg in (args.kwarg,) if arg is not None]
    return {one.name: one for one in found}


# ----------------------------------------------------------------------------------------------------- imports


def _missing(root: Path, entry: Path, tree: ast.Module) -> Iterator[tuple[Path, str, int]]:
    """(file, module, line) of what is imported for certain and is not installed, in the file and those beside it."""
    seen, waiting = {entry}, [(entry, tree)]
    while waiting:
        path, tree = waiting.pop()
        for node, module in _always_imported(tree):
            beside = [one for one in own.files_of_import(root, path, node) if one not in seen]
            seen.update(beside)
            waiting += [(one, found) for one in beside if (found := _tree(one)) is not None]
            if module is not None and not _is_there(module, root):
                yield path, module, node.lineno


def _always_imported(tree: ast.Module) -> Iterator[tuple[ast.Import | ast.ImportFrom, str | None]]:
    """Imports at the head of a file, with the package that each needs (None: of the file's own)."""
    # further down, behind sys.path.append(...) or the like, other modules may be there than now
    for node in takewhile(lambda node: isinstance(node, ast.Import | ast.ImportFrom | ast.Expr), tree.body):
        match node:
            case ast.Expr(value=ast.Constant()):  # the docstring
                continue
            case ast.Import(names=names):
                yield from ((node, one.name.split(".")[0]) for one in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield node, module.split(".")[0]
            case ast.ImportFrom():
                yield node, None
            case _:
                return


def _is_there(module: str, root: Path) -> bool:
    if module in sys.modules or any((root / at).exists() for at in (module, f"{module}.py")):
        return True
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return True  # the import knows better


def _tree(path: Path) -> ast.Module | None:
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # importing it says so
        return None
