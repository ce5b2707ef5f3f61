"""compare, check, why, sweep: questions about finished runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from seamount.errors import ConfigError

from .options import Data, GateOptions, Markdown, NetworkOptions, PlaceOptions
from .run_commands import Config, Quiet, Set, gate_lines, gates_code, told
from .shell import Result, command, stdout_console

RunFolder = Annotated[Path, typer.Argument(help="The folder of a run or report, or a report.json.")]


@command(example="seamount compare runs/a runs/b --html difference.html")
def compare(
    a: RunFolder,
    b: RunFolder,
    html: Annotated[Path | None, typer.Option(help="Write the comparison as a page here.")] = None,
    markdown: Markdown = False,
) -> Result:
    """Two reports side by side, with what differs marked."""
    from rich.console import Group

    from seamount import api
    from seamount.files import write_atomically
    from seamount.report.compare import render_comparison_html, render_comparison_terminal
    from seamount.report.markdown import comparison_markdown
    from seamount.terminal import Text

    found = api.compare(a, b)
    rendering = render_comparison_terminal(found)
    if html is not None:
        write_atomically(html, render_comparison_html(found))
        rendering = Group(rendering, Text(f"wrote {html}"))
    return Result(found.model_dump(mode="json"), comparison_markdown(found) if markdown else rendering)


@command(example="seamount check runs/demo --require-bit-exact --max-accuracy-drop 0.5")
def check(
    run: RunFolder,
    require_lava: Annotated[
        bool, typer.Option("--require-lava", help="Gate: Lava itself was run, and is equal.")
    ] = False,
    markdown: Markdown = False,
    *,
    gates: GateOptions,
) -> Result:
    """Gates for continuous integration: exit code 0 passed, 3 a gate is missed, 4 only the fit failed."""
    from rich.console import Group

    from seamount import api
    from seamount.report.markdown import report_markdown

    asked = gates.gates(require_lava=require_lava)
    if asked is None:
        ways = "name one, as --min-accuracy 95, --max-accuracy-drop 0.5, --require-bit-exact or --against BASELINE"
        raise ConfigError("no gate", where="check", ways_out=ways)
    outcomes = api.check(run, asked)
    told = report_markdown(api.load_report(run), outcomes) if markdown else Group(*gate_lines(outcomes))
    return Result([asdict(o) for o in outcomes], told, gates_code(outcomes))


@command(example="seamount why runs/demo conv2")
def why(
    run: Annotated[Path, typer.Argument(help="The folder of a run or report, or a NIR file.")],
    layer: Annotated[str, typer.Argument(help="A layer, as the report names it.")],
    samples: Annotated[int, typer.Option(min=1, help="So many samples.")] = 16,
    data: Data = None,
    *,
    network: NetworkOptions,
) -> Result:
    """Explain why a layer of the program differs from the float network: each effect switched off by itself."""
    from seamount import api

    found = api.why(run, layer, samples, data, network.of_data, target=network.target, reading=network.reading)
    from seamount.report.why import render_why  # after it, because it loads torch

    return Result(found.model_dump(mode="json"), render_why(found))


@command(
    example='seamount sweep train.toml --over "student.n_steps=2,4 target.name=loihi1,loihi2"',
    more="Gates mark the points that hold them; the exit code is 3 where none does.",
)
def sweep(
    config: Config,
    over: Annotated[list[str], typer.Option(help='Axes, as "student.n_steps=2,4 quant.epochs=0,4"; repeatable.')],
    settings: Set = None,
    quiet: Quiet = False,
    markdown: Markdown = False,
    *,
    place: PlaceOptions,
    gates: GateOptions,
) -> Result:
    """Run a grid of settings, resumable and shared over torchrun's ranks; one page shows what each point costs."""
    from rich.console import Group

    from seamount import api
    from seamount.report.sweep import render_sweep_markdown, render_sweep_terminal
    from seamount.terminal import Text

    folder, asked = place.folder(f"{config.stem}-sweep"), gates.gates()
    found = api.sweep(config, over, settings or [], folder=folder, told=told(quiet), gates=asked).report
    held = asked is None or any(not point.not_held for point in found.points)
    failed = any(point.reason is not None for point in found.not_reached)
    code = 1 if failed else 0 if held else 3
    if markdown:
        return Result(found.model_dump(mode="json"), render_sweep_markdown(found), code)
    where = Text(f"page: {folder / 'sweep.html'}, table: {folder / 'sweep.csv'}")
    rendering = Group(render_sweep_terminal(found, stdout_console().width), Text(""), where)
    return Result(found.model_dump(mode="json"), rendering, code)
