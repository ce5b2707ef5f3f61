"""The command line: a thin shell over ``seamount.api``, one function there for each command here."""

from __future__ import annotations

import sys
import warnings

from seamount.errors import ConfigError

from .root import app
from .signals import stop_on_signals
from .streams import give_up, mend_streams

__all__ = ["app", "main"]


def main() -> None:
    """Entry point of the ``seamount`` command."""
    # norse 1.1.0 scripts its functional cells at import, which newer torch announces as deprecated
    warnings.filterwarnings("ignore", message=".*torch.jit.*")
    mend_streams()
    stop_on_signals()
    try:
        app()
    except OSError:  # what typer says of wrong options has no place on a full disk; the exit code tells as much
        give_up(sys.stderr)
        sys.exit(ConfigError.exit_code)
