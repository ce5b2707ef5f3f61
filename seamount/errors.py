"""Every error a user can cause, in one tree; each carries its exit code and its page in docs/errors.md.

SeamountError            1  unexpected; only subclasses are raised
├── ConfigError          2  a setting is missing, misspelt or out of range
├── InputError           2  a file or an array cannot be used as it is
├── CheckFailed          3  two things that must be equal differ, or a gate is not met
├── DoesNotFit           4  the network exceeds a limit of the target
├── Unsupported          5  an operator, node or option the target cannot hold exactly
└── BackendMissing       6  Lava, CUDA or an optional package is not there
"""


class SeamountError(Exception):
    """Who: what was found, what is possible; what to do."""

    exit_code = 1


class ConfigError(SeamountError):
    """A setting is missing, misspelt, of the wrong type or out of range."""

    exit_code = 2


class InputError(SeamountError):
    """A file or an array cannot be used: unreadable, foreign, damaged, of the wrong shape or range."""

    exit_code = 2


class CheckFailed(SeamountError):
    """Two things that must be equal differ, or a required gate is not met."""

    exit_code = 3


class DoesNotFit(SeamountError):
    """The network exceeds a limit of the target."""

    exit_code = 4


class Unsupported(SeamountError):
    """An operator, node or option that cannot be carried over exactly."""

    exit_code = 5


class BackendMissing(SeamountError):
    """Lava, CUDA or an optional package is not there."""

    exit_code = 6


def plural(n: int, thing: str) -> str:
    """The word after a number in a message: 1 step, 8 steps."""
    return thing if n == 1 else f"{thing}s"
