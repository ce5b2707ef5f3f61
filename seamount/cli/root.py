"""The list of all commands, and the command that they belong to.

What ``seamount --help`` shows stands here; the code of a command is imported when that command is asked for, so that
none of them makes the start of another one slower.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from seamount import __version__

from .shell import by_typer

if TYPE_CHECKING:
    from rich.segment import Segment


class Listed(NamedTuple):
    """A command in the list: its name, its function in a module of this folder, its panel and line in the help."""

    name: str
    function: str
    panel: str
    line: str


PROGRAM = "A network or a program"
RUN = "A run, from data to report"
FINISHED = "Questions about finished runs"
MACHINE = "This machine"

# a line is the first one of the function's docstring; a test compares them
COMMANDS = (
    Listed(
        "compile",
        "program_commands.compile_",
        PROGRAM,
        "Lower a network to a fixed-point program, exactly or not at all.",
    ),
    Listed(
        "simulate",
        "program_commands.simulate",
        PROGRAM,
        "Run a program on the simulator: exact integers, spike and operation counts always.",
    ),
    Listed(
        "run-lava",
        "program_commands.run_lava",
        PROGRAM,
        "Run a program on Lava itself (fixed point) and compare every spike and membrane with the simulator.",
    ),
    Listed(
        "diff",
        "program_commands.diff",
        PROGRAM,
        "Name the first step, population and neuron in which two runs differ, with the values around it.",
    ),
    Listed(
        "inspect", "program_commands.inspect", PROGRAM, "Print a NIR graph, a .net file or a program, a line an item."
    ),
    Listed(
        "convert",
        "convert_commands.convert",
        PROGRAM,
        "Turn a trained ANN into a sigma-delta program without training, and show what thresholds cost and give.",
    ),
    Listed(
        "deploy",
        "deploy_commands.deploy",
        PROGRAM,
        "Compile, simulate, run on Lava, report: a network from its file to the proof, in one folder.",
    ),
    Listed(
        "report",
        "deploy_commands.report",
        PROGRAM,
        "Write report.json and report.html of a run, a network or a program and show the summary.",
    ),
    Listed(
        "init", "run_commands.init", RUN, "Write a configuration with every setting, its value and what it means."
    ),
    Listed(
        "demo",
        "run_commands.demo",
        RUN,
        "Distil a spiking student on real handwritten digits and prove that it is the program a chip runs.",
    ),
    Listed(
        "run",
        "run_commands.run",
        RUN,
        "All stages: teacher, student, integers, NIR, program, simulator, Lava, report.",
    ),
    Listed(
        "distill",
        "run_commands.distill",
        RUN,
        "Train the teacher, distil the student, fine-tune it in integers, export it as NIR.",
    ),
    Listed("compare", "report_commands.compare", FINISHED, "Two reports side by side, with what differs marked."),
    Listed(
        "check",
        "report_commands.check",
        FINISHED,
        "Gates for continuous integration: exit code 0 passed, 3 a gate is missed, 4 only the fit failed.",
    ),
    Listed(
        "why",
        "report_commands.why",
        FINISHED,
        "Explain why a layer of the program differs from the float network: each effect switched off by itself.",
    ),
    Listed(
        "sweep",
        "report_commands.sweep",
        FINISHED,
        "Run a grid of settings, resumable and shared over torchrun's ranks; one page shows what each point costs.",
    ),
    Listed(
        "doctor", "system_commands.doctor", MACHINE, "Versions, GPU, disk, and whether Lava is there and really runs."
    ),
    Listed(
        "targets",
        "system_commands.targets",
        MACHINE,
        "List the chips Seamount knows, or show every figure of one with its source and grade.",
    ),
)


class Commands(TyperGroup):
    """Shows all commands of the list, and imports the one that is asked for."""

    def __init__(self, **settings: Any) -> None:
        shown = {c.name: TyperCommand(c.name, help=c.line, rich_help_panel=c.panel) for c in COMMANDS}
        super().__init__(**settings | {"commands": shown})

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with by_typer():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        with by_typer():
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, shown, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name is not None else shown, rest


class Command(TyperCommand):
    """A command whose help breaks long words, where typer cuts them off, and no option: one has to type them."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from rich.console import Console, ConsoleOptions, RenderableType
        from rich.table import Table
        from typer import rich_utils

        class Folding(Console):
            def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
                options = options or self.options
                for column in renderable.columns if isinstance(renderable, Table) else ():
                    column.no_wrap = any(str(cell).startswith("-") for cell in column.cells)
                cut = options.overflow == "ellipsis"
                return super().render(renderable, options.update(overflow="fold") if cut else options)

        vars(rich_utils)["Console"] = Folding  # there is no setting for it
        super().format_help(ctx, formatter)


def load_command(name: str) -> Any:
    """A command with its options, ready to be called with words (what typer makes of a function)."""
    listed = next(c for c in COMMANDS if c.name == name)
    module, _, function = listed.function.partition(".")
    alone = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    run = getattr(import_module(f".{module}", __package__), function)
    # not of its docstring, which python -OO takes away
    alone.command(name, cls=Command, help="\n\n".join([listed.line, *run.told]))(run)
    return typer.main.get_command(alone)


app = typer.Typer(
    name="seamount",
    cls=Commands,
    epilog="Exit codes: 0 ok, 1 unexpected, 2 usage or input, 3 check failed, 4 does not fit, 5 unsupported, "
    "6 back end missing, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        print(f"seamount {__version__}")
        raise typer.Exit


@app.callback(help="Distil, quantise, compile, run and prove spiking networks for Loihi-style chips.")
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """What stands in front of a command."""
