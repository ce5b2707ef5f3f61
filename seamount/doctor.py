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

    from seamount.hardware_targets.lava import lava_status

    findings = [
        Finding("seamount", __version__),
        Finding("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        Finding("cores", f"{os.cpu_count()}, torch uses {torch.get_num_threads()}"),
    ]
    for package in PACKAGES:
        try:
            findings.append(Finding(package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            # tonic is optional, and whether Lava works is found out below
            optional = package == "tonic" or package.startswith("lava")
            findings.append(Finding(package, "not installed", None if optional else False))
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        findings.append(Finding("GPU", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB", True))
    else:
        findings.append(Finding("GPU", "none; everything runs on the CPU"))
    free = shutil.disk_usage(Path.cwd()).free
    findings.append(Finding("disk", f"{free / 2**30:.1f} GiB free here", free > 2**30))
    try:
        status = lava_status()
        findings.append(Finding("Lava works", status.message, status.works))
    except SeamountError as error:
        findings.append(Finding("Lava works", str(error), False))
    return findings
