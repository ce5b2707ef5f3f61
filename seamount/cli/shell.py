"""What every command shares: --json, --debug, errors as one line, documented exit codes.

A command is a function that returns a ``Result``: a document for machines and a rendering for people. The document
goes to stdout with --json, else the rendering does; everything else (progress, warnings, errors) goes to stderr.
"""

from __future__ import annotations

import errno
import functools
import inspect
import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from dataclasses import asdict, dataclass, fields, is_dataclass
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from seamount.errors import NO_SPACE, Reason, SeamountError, out_of_memory, text_of

from .signals import Stopped
from .streams import give_up

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

INTERRUPTED = 130
GO_ON = ("what was finished is saved, continue with --resume",)


@dataclass(frozen=True)
class Result:
    """What a command found. ``exit_code`` other than 0: the command did its work and the answer is no."""

    document: Any
    rendering: RenderableType
    exit_code: int = 0


NOTHING = Result(None, "")
"""Of a process that torchrun started only to help: it prints nothing."""


def stderr_console() -> Console:
    from seamount.terminal import console

    return console(stderr=True)


def stdout_console() -> Console:
    from seamount.terminal import console

    # a pipe has no width of its own; 80 is what the layouts are made for
    return console(soft_wrap=not sys.stdout.isatty())


def command(*, example: str, more: str = "") -> Callable[[Callable[..., Result]], Callable[..., None]]:
    """Make a function a command of ``root.COMMANDS``: adds --json and --debug, prints its result, turns errors into
    exit codes.

    A parameter whose type is a dataclass is a group of options: one for each of its fields.

    Args:
        example: a line of its help. more: a paragraph of it, behind the command's line in the list.
    """

    def made(function: Callable[..., Result]) -> Callable[..., None]:
        signature = inspect.signature(function, eval_str=True)
        groups: dict[str, Any] = {
            p.name: p.annotation for p in signature.parameters.values() if is_dataclass(p.annotation)
        }

        @functools.wraps(function)
        def run(*args: Any, as_json: bool, debug: bool, **kwargs: Any) -> None:
            for name, group in groups.items():
                kwargs[name] = group(**{field.name: kwargs.pop(field.name) for field in fields(group)})
            work = functools.partial(function, *args, **kwargs)
            resumes = "resume" in signature.parameters
            raise typer.Exit(_run(work, as_json=as_json, debug=debug, resumes=resumes))

        extra = [
            inspect.Parameter(
                "as_json",
                inspect.Parameter.KEYWORD_ONLY,
                default=False,
                annotation=Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")],
            ),
            inspect.Parameter(
                "debug",
                inspect.Parameter.KEYWORD_ONLY,
                default=False,
                annotation=Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")],
            ),
        ]
        parameters = [*chain.from_iterable(map(_options, signature.parameters.values())), *extra]
        run.__signature__ = signature.replace(parameters=parameters, return_annotation=None)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        run.told = [*filter(None, (more,)), f"Example:  {example}"]  # type: ignore[attr-defined]
        return run

    return made


def _options(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    """The parameter, or one for each option of the group that it is."""
    group = parameter.annotation
    if not is_dataclass(group):
        return [parameter]
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
        for f in fields(group)
    ]


def _run(work: Callable[[], Result], *, as_json: bool, debug: bool, resumes: bool = True) -> int:
    try:
        with redirect_stdout(sys.stderr) if as_json else nullcontext():  # what somebody's own code prints is no JSON
            result = work()
        with _printing():
            show(result, as_json)
    except BaseException as error:  # exit(0) in the middle of it is no success
        if debug and not isinstance(error, KeyboardInterrupt):
            from seamount.shown import plain

            print(plain(traceback.format_exc()), file=sys.stderr)
        reasons, code = explained(error, resumes=resumes)
        return _fail(reasons, code, as_json)
    return result.exit_code


@contextmanager
def _printing() -> Iterator[None]:
    """What is printed within it goes out at once; who reads may have seen enough, as head does: the answer stands."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        give_up(sys.stdout)
    except OSError as error:
        give_up(sys.stdout)
        raise OSError(error.errno, error.strerror, "standard output") from None


@contextmanager
def by_typer() -> Iterator[None]:
    """The same for what typer prints itself: help, version.

    Raises:
        typer.Exit: it did not go out.
    """
    try:
        with _printing():
            yield
            return
    except SystemExit as error:  # rich's way to end where nobody reads on
        if not isinstance(error.__context__, BrokenPipeError):
            raise
    except OSError as error:
        reasons, code = explained(error)
        raise typer.Exit(_fail(reasons, code, as_json=False)) from None
    raise typer.Exit


def explained(error: BaseException, *, resumes: bool = True) -> tuple[tuple[Reason, ...], int]:
    """An error in words, and the exit code that says of what kind it is.

    Args:
        resumes: whether the command keeps what it finished, and has --resume.
    """
    match error:
        case Stopped():
            return (Reason(f"ended by {error}", ways_out=GO_ON if resumes else ()),), error.exit_code
        case KeyboardInterrupt():
            return (Reason("interrupted", ways_out=GO_ON if resumes else ()),), INTERRUPTED
        case SeamountError():
            return error.reasons, error.exit_code
        case OSError(errno=errno.ENOSPC | errno.EDQUOT as number):
            ways = ("free some and run again" + (" with --resume" if resumes else ""),)
            return (Reason(NO_SPACE[number], where=str(error.filename or "disk"), ways_out=ways),), 1
        case _ if out_of_memory(error):
            few = ("free some", "take fewer samples at once", "set --memory-limit 500MiB where a command has it")
            return (Reason("not enough memory", where="this machine", ways_out=few),), 1
        case FileNotFoundError(filename=None) if not _has_working_folder():
            change = "change to another one"
            return (Reason("the folder in which the command was given is gone", ways_out=(change,)),), 2
        case OSError():
            # of a rename the second name is the user's, the first one of ours
            where = error.filename2 or error.filename or ""
            return (Reason(str(error.strerror or error), where=str(where)),), 2
        case _:
            told = ": ".join(filter(None, (type(error).__name__, text_of(error))))
            found = f"unexpected {told}; this is a bug in Seamount, --debug shows where"
            return (Reason(found),), 1


def _has_working_folder() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def show(result: Result, as_json: bool) -> None:
    """The document or the rendering on stdout; plain text is shown as it is, brackets included."""
    from seamount.shown import plain
    from seamount.terminal import Text

    if result is NOTHING:
        return
    if as_json:
        print(json.dumps(finite(result.document), indent=2, sort_keys=True, default=str, allow_nan=False))
    else:
        rendering, console = result.rendering, stdout_console()
        if isinstance(rendering, str):
            rendering = plain(rendering)
            rendering = Text(_hanging(rendering, console.width) if sys.stdout.isatty() else rendering)
        console.print(rendering)


def _hanging(text: str, width: int) -> str:
    """Lines of a terminal, broken so that what goes on stands further in than what it belongs to."""
    from seamount.shown import folded

    lines = text.splitlines()
    return "\n".join("\n".join(folded(line, width, " " * (_depth(line) + 4))) for line in lines)


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def finite(document: Any) -> Any:
    """The document with None for numbers that JSON does not have."""
    match document:
        case float() if not math.isfinite(document):
            return None
        case dict():
            return {key: finite(value) for key, value in document.items()}
        case list() | tuple():
            return [finite(value) for value in document]
        case _:
            return document


def _fail(reasons: Sequence[Reason], code: int, as_json: bool) -> int:
    from seamount.shown import plain
    from seamount.terminal import Text

    message = "\n".join(str(reason) for reason in reasons)
    if as_json:
        document = {"error": message, "exit_code": code, "reasons": [asdict(reason) for reason in reasons]}
        with suppress(OSError):  # an exit code tells as much, where nothing can be told
            print(json.dumps(document, indent=2), flush=True)
    try:
        console, told = stderr_console(), f"error {plain(message)}"
        if sys.stderr.isatty():
            told = _hanging(told, console.width)
        console.print(Text.assemble(("error", "bold red"), told.removeprefix("error")), soft_wrap=True)
        sys.stderr.flush()
    except OSError:
        give_up(sys.stderr)
    return code
