"""Whether Triton can compile anything for the GPU at hand."""

from __future__ import annotations

import subprocess

from .errors import BackendMissing


def require_triton() -> None:
    """Has Triton make what it needs on the GPU at hand, before a run begins.

    Raises:
        BackendMissing: it cannot, because there is no C compiler or no place to keep the code.
    """
    import triton

    try:
        triton.runtime.driver.active.get_current_device()
    except (RuntimeError, OSError, AssertionError, subprocess.CalledProcessError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise BackendMissing(
            f"Triton cannot make code for the GPU ({why})",
            where="cuda",
            ways_out=(
                "install gcc or clang, or set CC to a C compiler",
                "set TRITON_CACHE_DIR to a folder that can be written",
                "use the device cpu",
            ),
        ) from error
