"""Whether SANA-FE is here, in a version whose interface is the one that ``plain_sana_fe.py`` speaks."""

from __future__ import annotations

import importlib.metadata
import re

from seamount.errors import BackendMissing

TESTED = "2.2.9"
INSTALL = f"pip install sanafe=={TESTED}"


def require_sana_fe() -> str:
    """The version of SANA-FE.

    Raises:
        BackendMissing: it is not installed, or of another series than the one that was tried.
    """
    try:
        version = importlib.metadata.version("sanafe")
    except importlib.metadata.PackageNotFoundError:
        raise BackendMissing(
            "not installed", where="SANA-FE", ways_out=(INSTALL, "leave --cross-check out")
        ) from None
    if not _usable(version):
        possible = f"needed is {TESTED} or a later one of its series"
        raise BackendMissing(f"version {version}", where="SANA-FE", possible=possible, ways_out=INSTALL)
    return version


def _usable(version: str) -> bool:
    """A patch level more changes no interface; more than that may."""
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    tested = tuple(map(int, TESTED.split(".")))
    found = () if numbers is None else tuple(map(int, numbers.groups()))
    return found[:2] == tested[:2] and found >= tested
