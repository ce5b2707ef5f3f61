"""compare, check, why, sweep: questions about finished runs."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from seamount.errors import CheckFailed, ConfigError, DoesNotFit

from .program_commands import Data, DataSettings
from .root import app
from .run_commands import Config, Name, Quiet, Set, told
from .shell import Result, command

PANEL = "Questions about finished runs"

RunFolder = Annotated[Path, typer.Argument(help="The folder of a run or report, or a report.json.")]


@command(app, "compare", example="seamount compare runs/a runs/b --html difference.html", panel=PANEL)
def compare(
    a: RunFolder,
    b: RunFolder,
    html: Annotated[Path | None, typer.Option(help="Write the comparison as a page here.")] = None,
) -> Result:
    """Two reports side by side, with what differs marked."""
    from rich.console import Group
    from rich.text import Text

    from seamount import api
    from seamount.files import write_atomically
    from seamount.report.compare import render_comparison_html, render_comparison_terminal

    found = api.compare(a, b)
    rendering = render_comparison_terminal(found)
    if html is not None:
        write_atomically(html, render_comparison_html(found))
        rendering = Group(rendering, Text(f"wrote {html}"))
    return Result(found.model_dump(mode="json"), rendering)


@command(app, "check", example="seamount check runs/demo --require-bit-exact --max-accuracy-drop 0.5", panel=PANEL)
def check(
    run: RunFolder,
    max_accuracy_drop: Annotated[
        float | None, typer.Option(help="Largest loss from float student to program, in percentage points.")
    ] = None,
    require_bit_exact: Annotated[bool, typer.Option("--require-bit-exact", help="Proof checked and exact.")] = False,
    require_lava: Annotated[bool, typer.Option("--require-lava", help="Lava itself was run, and is equal.")] = False,
    require_fit: Annotated[bool, typer.Option("--require-fit", help="The program fits the target.")] = False,
) -> Result:
    """Gates for continuous integration: exit code 0 passed, 3 accuracy or exactness failed, 4 only the fit failed."""
    from seamount import api
    from seamount.report.gates import Gates, enforce

    gates = Gates(max_accuracy_drop, require_bit_exact, require_fit, require_lava)
    if max_accuracy_drop is not None and not math.isfinite(max_accuracy_drop):
        raise ConfigError("a number of percentage points is needed", where=f"--max-accuracy-drop {max_accuracy_drop}")
    if gates == Gates():
        raise ConfigError(
            "no gate",
            where="check",
            ways_out="set --max-accuracy-drop, --require-bit-exact, --require-lava or --require-fit",
        )
    outcomes = api.check(run, gates)
    try:
        enforce(outcomes)
        code = 0
    except (CheckFailed, DoesNotFit) as error:
        code = error.exit_code
    lines = [f"{'✓ passed' if o.passed else '✗ FAILED'}  {o.message}" for o in outcomes]
    return Result([asdict(o) for o in outcomes], "\n".join(lines), code)


@command(app, "why", example="seamount why runs/demo conv2", panel=PANEL)
def why(
    run: Annotated[Path, typer.Argument(help="The folder of a run or report, or a NIR file.")],
    layer: Annotated[str, typer.Argument(help="A layer, as the report names it.")],
    samples: Annotated[int, typer.Option(min=1, help="So many samples.")] = 16,
    data: Data = None,
    settings: DataSettings = None,
) -> Result:
    """Explain why a layer of the program differs from the float network: each effect switched off by itself."""
    from seamount import api
    from seamount.report.why import render_why

    found = api.why(run, layer, samples, data, settings or ())
    return Result(found.model_dump(mode="json"), render_why(found))


@command(app, "sweep", example="seamount sweep train.toml --over student.n_steps=2,4,8", panel=PANEL)
def sweep(
    config: Config,
    over: Annotated[list[str], typer.Option(help='Axes, as "student.n_steps=2,4 quant.epochs=0,4"; repeatable.')],
    name: Name = None,
    settings: Set = None,
    quiet: Quiet = False,
) -> Result:
    """Run a grid of settings, resumable and shared over torchrun's ranks; reports show the trade-off front."""
    from rich.table import Table
    from rich.text import Text

    from seamount import api

    folder = Path("runs") / (name or f"{config.stem}-sweep")
    found = api.sweep(config, over, settings or [], folder=folder, told=told(quiet))
    table = Table(box=None, pad_edge=False)
    table.add_column("point")
    for title in ("accuracy", "energy", "spikes", "cores"):
        table.add_column(title, justify="right")
    for trial in found.trials:
        energy = (
            "unknown"
            if trial.energy_j is None
            else f"{trial.energy_j * 1e6:.3g} µJ{' (placeholder)' if trial.placeholder else ''}"
        )
        spikes = "unknown" if trial.spikes is None else f"{trial.spikes:,.0f}"
        cores = "unknown" if trial.cores is None else str(trial.cores)
        table.add_row(trial.name, f"{100 * trial.accuracy:.2f} %", energy, spikes, cores)
    for point, error in found.failed.items():
        table.add_row(point, Text(f"failed: {error}", style="red"))
    for point in found.waiting:
        table.add_row(point, "not finished (another rank's share)")
    table.caption = f"reports in {folder / 'points'}"
    return Result(asdict(found), table, exit_code=1 if found.failed else 0)
