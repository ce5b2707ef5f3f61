"""Lava 0.10.0: runs programs on its fixed-point models, and writes what it can load. Lava itself is imported nowhere
but in processes of its own."""

from .run import run_on_lava
from .shim import LavaStatus, lava_status, require_lava
from .standalone import write_standalone
from .write_net import NetFile, write_net

__all__ = [
    "LavaStatus",
    "NetFile",
    "lava_status",
    "require_lava",
    "run_on_lava",
    "write_net",
    "write_standalone",
]
