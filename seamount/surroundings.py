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

from seamount.errors import Unsupported

P = ParamSpec("P")
R = TypeVar("R")


def undisturbed(function: Callable[P, R]) -> Callable[P, R]:
    """The function, within the usual settings."""

    @uncompiled
    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        with usual_settings():
            return function(*args, **kwargs)

    return called


def uncompiled(function: Callable[P, R]) -> Callable[P, R]:
    """The function, left as it is by a torch.compile around it: compiled sums are none of those that were proven."""

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        if "torch._dynamo" not in sys.modules:  # nobody compiles, and its import takes seconds
            return function(*args, **kwargs)
        from torch import compiler

        alone: Callable[P, R] = compiler.disable(function)  # type: ignore[no-untyped-call]
        return alone(*args, **kwargs)

    return called


@contextmanager
def usual_settings() -> Iterator[None]:
    """Within it torch and numpy are as they are in a new process; torch's default type is, for all threads.

    Raises:
        Unsupported: as ``require_plain_torch``.
    """
    with ExitStack() as stack:
        if "numpy" in sys.modules:  # what is not loaded is as it starts
            import numpy as np

            stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        if "torch" in sys.modules:
            _torch_as_it_starts(stack)
        yield


def require_plain_torch() -> None:
    """
    Raises:
        Unsupported: torch follows what is computed: within its transforms, tracer or fake tensors.
    """
    around = _follower()
    if around:
        found = f"called within {around}, which cannot follow what is computed outside of torch"
        ways = ("call it outside", "take a student's gradients by backward() or torch.autograd.grad")
        raise Unsupported(found, ways_out=ways)


def _follower() -> str:
    import torch

    if torch._C._are_functorch_transforms_active():  # torch's own functions ask the same; there is no public name
        return "a transform of torch.func"
    if torch.autograd.forward_ad._current_level >= 0:
        return "torch.autograd.forward_ad"
    if torch._C._is_tracing():
        return "torch.jit.trace"
    if torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.PROXY) is not None:
        return "make_fx"
    return "" if type(torch.empty(0)) is torch.Tensor else "FakeTensorMode"


def _torch_as_it_starts(stack: ExitStack) -> None:
    import torch

    require_plain_torch()
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


__all__ = ["require_plain_torch", "uncompiled", "undisturbed", "usual_settings"]
