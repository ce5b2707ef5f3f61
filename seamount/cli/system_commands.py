"""doctor, targets."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from seamount.errors import ConfigError

from .shell import Result, command, stdout_console

if TYPE_CHECKING:
    from rich.console import RenderableType

    from seamount.hardware_targets.target import Target


@command(example="seamount doctor --json")
def doctor() -> Result:
    """Versions, GPU, disk, and whether Lava is there and really runs."""
    from rich.table import Table

    from seamount import api
    from seamount.terminal import Text

    findings = api.doctor()
    table = Table(box=None, show_header=False)
    signs = {True: Text("✓ ok", "green"), False: Text("✗ missing", "red"), None: Text("")}
    for finding in findings:
        table.add_row(finding.what, finding.found, signs[finding.ok])
    failed = any(finding.ok is False for finding in findings)
    return Result([asdict(f) for f in findings], table, exit_code=6 if failed else 0)


@command(example="seamount targets show loihi1")
def targets(
    action: Annotated[str, typer.Argument(help="list, or show")] = "list",
    name: Annotated[str | None, typer.Argument(help="target to show, or a target file")] = None,
) -> Result:
    """List the chips Seamount knows, or show every figure of one with its source and grade."""
    from rich.table import Table

    from seamount import api

    if action == "list":
        names = api.targets()
        table = Table(box=None, pad_edge=False)
        table.add_column("target")
        table.add_column("what it is")
        for known in names:
            table.add_row(known, api.target(known).title)
        return Result(names, table)
    if action != "show" or name is None:
        possible = "possible are `seamount targets list` and `seamount targets show NAME`"
        found = "no name" if action == "show" else "no such action"
        raise ConfigError(found, where=f"targets {action}", possible=possible)
    target = api.target(name)
    return Result(target.to_dict(), _figures(target, stdout_console().width))


ROOM_FOR_A_TABLE = 140
"""Columns from which six of them hold words unbroken."""


def _figures(target: Target, width: int) -> RenderableType:
    """Every figure with its source: a table where there is room, else a few lines each."""
    from rich.console import Group
    from rich.table import Table

    from seamount.shown import folded, plain
    from seamount.terminal import Text

    title, rest = plain(f"{target.name}: {target.title}"), plain("; ".join(target.not_modelled))
    if width >= ROOM_FOR_A_TABLE:
        table = Table(title=title, box=None, pad_edge=False)
        for head in ("figure", "value", "unit", "grade", "source", "conditions"):
            table.add_column(head, overflow="fold")
        for row in target.rows():
            table.add_row(*row)
        table.caption = f"not modelled: {rest}" if rest else None
        return table
    lines: list[RenderableType] = [Text(title, "bold")]
    for figure, value, unit, grade, source, conditions in (map(plain, row) for row in target.rows()):
        top = folded(f"{figure}  {value} {unit}  {grade}", width, "    ")
        lines.append(Text("\n".join(top), "bold"))
        # broken here, because a pipe's lines are broken by nobody
        for words in (source, conditions):
            lines += [Text(f"    {line}", "dim") for line in folded(words, width - 4)]
    if rest:
        lines.append(Text("\n".join(folded(f"not modelled: {rest}", width))))
    return Group(*lines)
