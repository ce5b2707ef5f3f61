"""Versions of the packages that numbers of a run depend on."""

from __future__ import annotations

from importlib import metadata

PACKAGES = ("torch", "numpy", "norse", "nir", "numba", "lava-nc", "lava-dl")


def versions() -> dict[str, str]:
    """Package -> version, of those that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
