"""doctor, targets."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from seamount.errors import ConfigError

from .root import app
from .shell import Result, command

PANEL = "This machine"


@command(app, "doctor", example="seamount doctor --json", panel=PANEL)
def doctor() -> Result:
    """Versions, GPU, disk, and whether Lava is there and really runs."""
    from rich.table import Table
    from rich.text import Text

    from seamount import api

    findings = api.doctor()
    table = Table(box=None, show_header=False)
    signs = {True: Text("✓ ok", "green"), False: Text("✗ missing", "red"), None: Text("")}
    for finding in findings:
        table.add_row(finding.what, finding.found, signs[finding.ok])
    failed = any(finding.ok is False for finding in findings)
    return Result([asdict(f) for f in findings], table, exit_code=6 if failed else 0)


@command(app, "targets", example="seamount targets show loihi1", panel=PANEL)
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
    table = Table(title=f"{target.name}: {target.title}", box=None, pad_edge=False)
    for title in ("figure", "value", "unit", "grade", "source", "conditions"):
        table.add_column(title, overflow="fold")
    if target.not_modelled:
        table.caption = f"not modelled: {'; '.join(target.not_modelled)}"
    for row in target.rows():
        table.add_row(*row)
    return Result(target.to_dict(), table)
