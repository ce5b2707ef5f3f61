"""init, demo, distill, run, report: a run directory from configuration to report."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seamount.errors import CheckFailed, DoesNotFit
from seamount.presets import PRESETS

from .options import GateOptions, Markdown, PlaceOptions, RequireLava
from .shell import NOTHING, Result, command, stderr_console, stdout_console

if TYPE_CHECKING:
    from seamount.report.gates import Gates, Outcome
    from seamount.report.report import Report
    from seamount.run.told import Told
    from seamount.terminal import Text


Config = Annotated[Path, typer.Argument(help="TOML file; `seamount init` writes a commented one.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override, as distill.method=kd; may be repeated.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue from the last finished stage or epoch.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Remove an earlier run in that folder first.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check everything and print what would be done; nothing is written.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]


@command(example="seamount init cifar10.toml --preset cifar10 --set data.root=FOLDER")
def init(
    path: Annotated[Path, typer.Argument(help="Where the file goes; an existing one is not replaced.")] = Path(
        "seamount.toml"
    ),
    preset: Annotated[
        str | None, typer.Option(help=f"Start from {', '.join(PRESETS)}; default: digits, with all defaults.")
    ] = None,
    settings: Set = None,
) -> Result:
    """Write a configuration with every setting, its value and what it means."""
    from seamount import api

    api.init(path, settings or [], preset=preset)
    return Result({"written": str(path)}, f"wrote {path}; next: seamount run {shlex.quote(str(path))}")


@command(example="seamount demo --overwrite")
def demo(
    settings: Set = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    require_lava: RequireLava = False,
    quiet: Quiet = False,
    markdown: Markdown = False,
    *,
    place: PlaceOptions,
    gates: GateOptions,
) -> Result:
    """Distil a spiking student on real handwritten digits and prove that it is the program a chip runs."""
    from seamount import api

    folder, asked = place.folder("demo"), gates.gates()
    report = api.run(
        None,
        [*api.DEMONSTRATION, *_lava(settings, require_lava)],
        folder=folder,
        resume=resume,
        overwrite=overwrite,
        told=told(quiet),
    )
    return report_result(report, folder, asked, markdown)


@command(example="seamount run train.toml --set student.n_steps=4")
def run(
    config: Config,
    settings: Set = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    require_lava: RequireLava = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    markdown: Markdown = False,
    *,
    place: PlaceOptions,
    gates: GateOptions,
) -> Result:
    """All stages: teacher, student, integers, NIR, program, simulator, Lava, report."""
    from seamount import api

    folder, asked = place.folder(config.stem), gates.gates()
    if dry_run:
        plan = api.plan(config, _lava(settings, require_lava), folder=folder, resume=resume)
        return Result(plan.to_dict(), "\n".join(plan.lines()))
    report = api.run(
        config,
        _lava(settings, require_lava),
        folder=folder,
        resume=resume,
        overwrite=overwrite,
        told=told(quiet),
    )
    return report_result(report, folder, asked, markdown)


@command(example="seamount distill train.toml --to distill")
def distill(
    config: Config,
    settings: Set = None,
    until: Annotated[str, typer.Option("--to", help="Last stage: teacher, distill, quantise or export.")] = "export",
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    *,
    place: PlaceOptions,
) -> Result:
    """Train the teacher, distil the student, fine-tune it in integers, export it as NIR."""
    from seamount import api

    folder = place.folder(config.stem)
    rows = api.distill(
        config, settings or [], folder=folder, until=until, resume=resume, overwrite=overwrite, told=told(quiet)
    )
    if rows is None:
        return NOTHING
    lines = [f"{row.stage:<10} {100 * row.accuracy:6.2f} % of {row.n} test samples" for row in rows]
    elsewhere = [] if folder == PlaceOptions().folder(config.stem) else ["--out", str(folder)]
    going_on = shlex.join(["seamount", "distill", str(config), *elsewhere, "--resume"])
    following = shlex.join(["seamount", "compile", str(folder)]) if until == "export" else going_on
    return Result(
        {"folder": str(folder), "accuracy": {row.stage: row.accuracy for row in rows}},
        "\n".join([*lines, f"next: {following}"]),
    )


def _lava(settings: list[str] | None, required: bool) -> list[str]:
    return [*(settings or []), *(["lava.required=true"] if required else [])]


def report_result(report: Report | None, folder: Path, gates: Gates | None = None, markdown: bool = False) -> Result:
    """The summary, the gates, and where the page is.

    Exit code 3 if the proof or the second opinion found a difference or a gate is missed, 4 if nothing but the fit
    fails.
    """
    from rich.console import Group

    from seamount.report.gates import check
    from seamount.report.markdown import report_markdown
    from seamount.report.render.terminal import render_terminal
    from seamount.terminal import Text

    if report is None:
        return NOTHING
    failed = {found.id for found in report.checks if found.state == "error"}
    outcomes = () if gates is None else check(report, gates)
    differs = failed & {"bit-exact", "second-opinion"}
    code = 3 if differs else gates_code(outcomes) or (4 if "fit" in failed else 0)
    document = report.model_dump(mode="json")
    if gates is not None:
        document["gates"] = [asdict(outcome) for outcome in outcomes]
    if markdown:
        return Result(document, report_markdown(report, outcomes), code)
    told = [render_terminal(report, stdout_console().width), *gate_lines(outcomes)]
    return Result(document, Group(*told, Text(f"report: {folder / 'report.html'}")), code)


def gates_code(outcomes: tuple[Outcome, ...]) -> int:
    """Of the command that asked."""
    from seamount.report.gates import enforce

    try:
        enforce(outcomes)
    except (CheckFailed, DoesNotFit) as error:
        return error.exit_code
    return 0


def gate_lines(outcomes: tuple[Outcome, ...]) -> list[Text]:
    """A line a gate."""
    from seamount.terminal import Text

    return [
        Text(f"✓ passed  {o.message}", "green") if o.passed else Text(f"✗ FAILED  {o.message}", "red")
        for o in outcomes
    ]


def told(quiet: bool) -> Told:
    """Progress and stage names on stderr, unless quiet."""
    from seamount.distill.progress import QUIET, usual_progress
    from seamount.run.told import Told
    from seamount.terminal import Text

    command_line = shlex.join(["seamount", *sys.argv[1:]])
    if quiet:
        return Told(QUIET, lambda text: None, command_line)
    console = stderr_console()

    def stage(name: str) -> None:
        console.print(Text.assemble(("seamount: ", "dim"), name))

    return Told(usual_progress(), stage, command_line)
