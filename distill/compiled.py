"""torch.compile of the networks of a training, and whether this machine can.

Evaluations stay as they are: their batches have other sizes, each of which would be compiled anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from seamount.errors import BackendMissing, ConfigError

from .parallel import World


def compiled(network: nn.Module) -> Callable[..., Any]:
    """Calls the network through torch.compile, which works at the first call of each batch size."""

    def run(*arguments: Any, **options: Any) -> Any:
        return network(*arguments, **options)

    on_gpu = any(p.is_cuda for p in network.parameters())
    run_compiled: Callable[..., Any] = torch.compile(run, dynamic=False, options=None if on_gpu else _for_this_cpu())
    return run_compiled


def _for_this_cpu() -> dict[str, Any]:
    """How many bits a register of the CPU has: what the compiler would find out by itself, said so that it remembers.

    torch 2.14 keeps what it made under a key without the CPU's instructions, but with all options. Code that handles
    16 numbers at once, made on another machine (with the same home) or under another ATEN_CPU_CAPABILITY, would be
    built for 8: half of the results are never written, and a training goes on with what lies in memory.
    """
    # here, because dynamo takes a second to load; where torch 2.4 and those after it all have the function
    from torch._inductor.codecache import pick_vec_isa

    return {"cpp.simdlen": pick_vec_isa().bit_width()}


def check_compiler(world: World) -> None:
    """Compiles something small, so that what is missing is said before anything is trained."""
    if world.size > 1:
        raise ConfigError(
            f"{world.size} processes, but what they compute together (batch norm) cannot be compiled",
            where="train.compile",
            ways_out="set train.compile = false",
        )
    try:
        options = _for_this_cpu() if world.device.type == "cpu" else None
        torch.compile(_small, dynamic=False, options=options)(torch.ones(16, device=world.device))
    except Exception as error:  # dynamo, inductor and the compilers below it have their own
        raise BackendMissing(
            f"torch.compile does not work here ({_reason(error)}); it needs a torch newer than 2.4, a C++ "
            "compiler and Python's headers (Debian: apt install g++ python3-dev), or set train.compile = false",
            where="train.compile",
        ) from None


def _reason(error: Exception) -> str:
    """The first line of what a compiler said; dynamo wraps the backend's errors in one of its own."""
    from torch._dynamo.exc import BackendCompilerFailed  # here, because dynamo takes a second to load

    cause = error.inner_exception if isinstance(error, BackendCompilerFailed) else error
    first = next(filter(None, str(cause).splitlines()), "")
    return f"{type(cause).__name__}: {first}" if first else type(cause).__name__


def _small(x: Tensor) -> Tensor:
    return (x * 2).tanh() + 1
