"""The command that all others are registered at."""

from __future__ import annotations

from typing import Annotated

import typer

from seamount import __version__

app = typer.Typer(
    name="seamount",
    help="The student you train is the program the chip runs.",
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


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Distil, quantise, compile, run and prove spiking networks for Loihi-style chips."""
