"""A second opinion on energy and time, from a simulator that is not ours, where one was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from seamount.compile.fit.place import Placement
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Program
from seamount.errors import BackendMissing, ConfigError, Unsupported, none_of
from seamount.hardware_targets.sana_fe import Opinion, require_sana_fe, second_opinion, time_limit_s
from seamount.hardware_targets.target import Target

from .told import Told

SIMULATORS = ("sana-fe",)


@dataclass(frozen=True)
class Asking:
    """What is shown to the other simulator: ``inputs`` are those of the run ``traced``, integers (T, B, *shape)."""

    program: Program
    target: Target
    placement: Placement | None
    inputs: Mapping[str, NDArray[Any]]
    traced: Activity


def require_cross_check(name: str | None) -> None:
    """Before anything takes time.

    Raises:
        ConfigError: there is no such simulator, or no such time limit. BackendMissing: it is not installed, or of
            another version.
    """
    if name is None:
        return
    if name not in SIMULATORS:
        raise ConfigError(none_of(name, SIMULATORS), where="--cross-check")
    require_sana_fe()
    time_limit_s()


def cross_check(asking: Asking, reasons: dict[str, str], told: Told) -> Opinion | None:
    """None, and why in ``reasons``, where it cannot be had: the rest of the report stands without it."""
    told.stage("SANA-FE")
    if asking.placement is None:
        reasons["opinion"] = "SANA-FE: the network was not placed on cores, see Fits"
        return None
    try:
        return second_opinion(asking.program, asking.inputs, asking.traced, asking.placement, asking.target)
    except (BackendMissing, Unsupported, ConfigError) as error:
        reasons["opinion"] = str(error)
        return None
