"""Loops that numba compiles, kept on disk where there is a place for them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import config, njit
from numba.core.caching import FunctionCache
from numba.core.registry import cpu_target

from seamount.errors import ConfigError


def compiled(function: Callable[..., None]) -> Callable[..., None]:
    """The function as machine code that releases the GIL, and floats as numpy has them.

    The code is kept beside the module, in the user's cache or in NUMBA_CACHE_DIR. Where none of them can be written
    (a read-only image, another user's installation) every process compiles anew, and a warning says so.

    Raises:
        ConfigError: NUMBA_DISABLE_JIT is set, without which parts of these loops mean nothing.
    """
    if config.DISABLE_JIT:
        found = "switches off the compiler of the loops that simulate and train"
        raise ConfigError(found, where="NUMBA_DISABLE_JIT", ways_out="unset it")
    # no fastmath: sums of floats keep their order, and a multiply-add rounds twice, as norse does
    made: Any = njit(nogil=True, error_model="numpy")(function)
    try:
        made._cache = _Cache(function)  # what njit(cache=True) does, with a cache that may fail
    except RuntimeError:  # numba found no place
        _warn(function)
    compiled_code: Callable[..., None] = made
    return compiled_code


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """A part of compiled functions that becomes one of their own lines.

    A call of it would pass every vector through memory, in every turn of a loop.
    """
    part: Callable[..., Any] = njit(inline="always", error_model="numpy")(function)
    return part


def has_avx512() -> bool:
    """Whether numba compiles for a machine that has it: it rounds single products towards zero, and packs lanes."""
    _, _, features = cpu_target.target_context.codegen().magic_tuple()
    return "+avx512f" in features.split(",")


class _Cache(FunctionCache):
    """A disk that fills up or turns read-only after the start costs a compilation, not the run."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except OSError:
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError:
            _warn(self._py_func)


_warned: list[bool] = []


def _warn(function: Callable[..., None]) -> None:
    """Once a process: a dozen functions find the same folder closed."""
    if _warned:
        return
    _warned.append(True)
    folder = Path(function.__code__.co_filename).parent
    warnings.warn(
        f"compiled code cannot be kept: neither {folder} nor the home folder's cache can be written, so that every "
        "start takes some seconds longer; set NUMBA_CACHE_DIR to a folder that can be",
        RuntimeWarning,
        stacklevel=3,
    )


__all__ = ["compiled", "has_avx512", "inlined"]
