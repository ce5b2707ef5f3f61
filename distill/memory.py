"""Memory that a training step frees stays with the process, for the next step."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""


@contextmanager
def kept_for_the_next_step() -> Iterator[None]:
    """Within it, glibc hands nothing back to the kernel, which would clear every page anew in every step.

    That was up to a quarter of a small student's step, depending on the order in which tensors are freed. At the end
    what is free is handed back; glibc's thresholds stay. Other C libraries are left as they are.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield
        return
    # older ones refuse more than half of a heap of a thread
    if not library.mallopt(_MMAP_THRESHOLD, 1 << 30):
        library.mallopt(_MMAP_THRESHOLD, 1 << 25)
    library.mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
    try:
        yield
    finally:
        library.malloc_trim(0)
