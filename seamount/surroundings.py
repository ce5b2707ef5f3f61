"""Computes as a new process would, whatever the program around has chosen for its own work.

Training and its modules are written for torch as it starts: float32, the CPU where no device is named, gradients. A
library's caller may have chosen otherwise for the whole process or thread.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def undisturbed(function: Callable[P, R]) -> Callable[P, R]:
    """The function, within the usual settings."""

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        with usual_settings():
            return function(*args, **kwargs)

    return called


@contextmanager
def usual_settings() -> Iterator[None]:
    """Within it torch and numpy are as they are in a new process; torch's default type is, for all threads."""
    with ExitStack() as stack:
        if "numpy" in sys.modules:  # what is not loaded is as it starts
            import numpy as np

            stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        if "torch" in sys.modules:
            _torch_as_it_starts(stack)
        yield


def _torch_as_it_starts(stack: ExitStack) -> None:
    import torch

    usual = torch.float32
    if torch.get_default_dtype() != usual:
        stack.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_default_dtype(usual)
    # else not, because every call of torch would go through Python; torch 2.4 does not know its default device
    if torch.empty(0).device.type != "cpu":
        stack.enter_context(torch.device("cpu"))
    for device in ("cpu", "cuda"):
        if torch.is_autocast_enabled(device):
            stack.enter_context(torch.autocast(device, enabled=False))
    stack.enter_context(torch.inference_mode(False))
    stack.enter_context(torch.enable_grad())


__all__ = ["undisturbed", "usual_settings"]
