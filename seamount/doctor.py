"""What is installed here and whether it works: the first thing to attach to a bug report."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from seamount import __version__
from seamount.errors import SeamountError

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "norse",
    "nir",
    "numba",
    "h5py",
    "safetensors",
    "tonic",
    "sanafe",
    "lava-nc",
    "lava-dl",
)


@dataclass(frozen=True)
class Finding:
    """One line of the answer. ``ok`` None: a fact, neither good nor bad."""

    what: str
    found: str
    ok: bool | None = None


def doctor() -> list[Finding]:
    """Versions, cores, GPU, disk, and whether Lava really runs (it is started once, about 5 s)."""
    import torch

    free = shutil.disk_usage(Path.cwd()).free
    return [
        Finding("seamount", __version__),
        Finding("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        Finding("cores", f"{os.cpu_count()}, torch uses {torch.get_num_threads()}"),
        *map(_package, PACKAGES),
        _gpu(),
        Finding("disk", f"{free / 2**30:.1f} GiB free here", free > 2**30),
        _lava(),
    ]


def _package(name: str) -> Finding:
    try:
        return Finding(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        # no fault, because these are optional, and whether Lava works is found out by itself
        optional = name in ("tonic", "sanafe") or name.startswith("lava")
        return Finding(name, "not installed", None if optional else False)


def _gpu() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding("GPU", "none; everything runs on the CPU")
    properties = torch.cuda.get_device_properties(0)
    return Finding("GPU", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB", True)


def _lava() -> Finding:
    from seamount.hardware_targets.lava import lava_status

    try:
        status = lava_status()
    except SeamountError as error:
        return Finding("Lava works", str(error), False)
    return Finding("Lava works", status.message, status.works)
