"""Whether Lava is here and works. Lava itself is only ever imported in processes of its own."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from seamount.errors import BackendMissing

TESTED = {"lava-nc": "0.10.0", "lava-dl": "0.6.0"}
INSTALL = (
    "pip install scipy networkx asteval scikit-learn && "
    "pip install --no-deps --ignore-requires-python lava-nc==0.10.0"
)


@dataclass(frozen=True)
class LavaStatus:
    """What there is of Lava.

    Attributes:
        present: lava-nc is installed.
        works: it imports, with our two repairs, on this Python and numpy; None if that was not tried.
        versions: of lava-nc and lava-dl, as far as installed.
        message: one line for people, with what to do.
    """

    present: bool
    works: bool | None
    versions: Mapping[str, str] = field(default_factory=dict)
    message: str = ""


def lava_status(*, try_it: bool = True) -> LavaStatus:
    """Whether Lava can be used: within a second or two, in a process of its own.

    Args:
        try_it: import it; else only look whether it is installed.
    """
    versions = {}
    for name in TESTED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    if "lava-nc" not in versions or importlib.util.find_spec("lava") is None:
        return LavaStatus(False, False, versions, f"lava-nc is not installed; to compare with Lava: {INSTALL}")
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    if versions["lava-nc"] != TESTED["lava-nc"]:
        text += f" (only {TESTED['lava-nc']} is tested)"
    if not try_it:
        return LavaStatus(True, None, versions, text)
    script = str(Path(__file__).with_name("plain_lava.py"))
    try:
        # -P, because in the script's own folder lies a run.py, and more names that others may import
        done = subprocess.run(
            [sys.executable, "-P", script, "--check"], capture_output=True, text=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        return LavaStatus(True, False, versions, f"{text}: does not import within 60 s")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return LavaStatus(True, False, versions, f"{text}: does not import ({reason}); {INSTALL}")
    return LavaStatus(True, True, versions, text)


def require_lava() -> None:
    """Refuses to go on without Lava.

    Raises:
        BackendMissing: lava-nc is not installed.
    """
    status = lava_status(try_it=False)
    if not status.present:
        raise BackendMissing(status.message, where="Lava")
