"""Tensors that say they are on cuda:0 and compute on the CPU: they find mixed devices where no GPU is.

torch's own fake tensors have no values, but scales and bounds of a quantised student are read in Python; so these
have. Kernels are replaced by those of the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

import numpy as np
import torch
import triton
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map

from seamount.compile.arithmetic import kernels, scan_triton
from seamount.compile.numbers import V_MAX
from seamount.models.lif import cpu, gpu

CUDA = torch.device("cuda", 0)
INDEXING = ("index", "index_put_", "_index_put_impl_")
"""May have indices of the CPU."""


class MixedDevices(Exception):
    pass


class Pretend(torch.Tensor):
    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Pretend:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=CUDA,
        )
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    def tolist(self) -> Any:
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Creating(TorchDispatchMode):
    """Sees calls that make a tensor on CUDA out of nothing, or out of one of the CPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _bare(x: Any) -> Any:
    return x.held if isinstance(x, Pretend) else x


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = func._schema.name.removeprefix("aten::")
    tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
    there = [x for x in tensors if isinstance(x, Pretend)]
    device = kwargs.get("device")
    goes = bool(there) if device is None else torch.device(device).type == "cuda"
    if name in ("_to_copy", "copy_"):
        out = func(*tree_map(_bare, args), **{k: v for k, v in kwargs.items() if k not in ("device", "pin_memory")})
        return args[0] if name == "copy_" else Pretend(out) if goes else out
    # a number in a tensor may be anywhere
    here = [x for x in tensors if not isinstance(x, Pretend) and x.dim() > 0]
    if there and here and name not in INDEXING:
        raise MixedDevices(f"{name}: {[tuple(x.shape) for x in here]} on the CPU, {len(there)} on CUDA")
    if device is not None:
        kwargs = {**kwargs, "device": "cpu"}
    out = func(*tree_map(_bare, args), **tree_map(_bare, kwargs))
    if name == "_local_scalar_dense" or not goes:
        return out
    if func._schema.is_mutable:
        same = {id(x.held): x for x in there}
        return tree_map(lambda o: same.get(id(o), o), out)
    return tree_map(lambda o: Pretend(o) if isinstance(o, torch.Tensor) else o, out)


# ------------------------------------------------------------------------------------------------------ kernels


def _held(*tensors: torch.Tensor) -> list[torch.Tensor]:
    for k, x in enumerate(tensors):
        if not isinstance(x, Pretend):
            raise MixedDevices(f"a kernel is given a tensor of the CPU, its argument {k}")
    return [x.held for x in tensors]


class _Scan:
    """Stands for both scans: arguments as ``scan_triton`` gives them."""

    def __init__(self, n_states: int, n_parameters: int) -> None:
        self.n_states, self.n_parameters = n_states, n_parameters

    def __getitem__(self, grid: Any) -> Any:
        return self.launch

    def launch(self, drive: Any, *arguments: Any, **flags: Any) -> None:
        n_tensors = self.n_states + self.n_parameters + 7
        drive, *tensors = _held(drive, *arguments[:n_tensors])
        states, rest = tensors[: self.n_states], tensors[self.n_states :]
        parameters, outputs = rest[: self.n_parameters], rest[self.n_parameters :]
        numbers = arguments[n_tensors:]
        refractory, unit = (numbers[0], numbers[1]) if self.n_states == 3 else (0, numbers[0])
        batch, n = states[0].shape
        real = (outputs[1], outputs[4]) if flags["REAL"] else ()
        if real:
            outputs[1], outputs[4] = (
                torch.empty_like(x, dtype=t) for x, t in zip(real, (torch.uint8, torch.int32), strict=True)
            )
        reset, spikes, v, u, before, counts, totals = (x.numpy() for x in outputs)
        wide = [np.broadcast_to(x.numpy().astype(np.int64), (n,)).copy() for x in parameters]
        if self.n_states == 2:
            states = [*states, torch.zeros_like(states[0])]
            wide.insert(3, np.full(n, -(1 << 40)))  # no low threshold
            wide.append(np.full(n, -V_MAX))  # no floor
        found, per_step = np.zeros(3, np.int64), np.zeros(len(drive), np.int64)
        want = np.array([flags["WANT_V"], flags["WANT_U"], flags["WANT_BEFORE"]])
        counts[:] = 0
        with _disable_current_modes():
            kernels.scan_general(
                (0, batch, len(drive), 0, 0, 0, 0), drive.to(torch.int64).contiguous().numpy(),
                *[x.numpy() for x in states], *wide, refractory, reset.astype(bool), spikes, want, v, u, before,
                counts, per_step, found,
            )  # fmt: skip
        if len(totals):
            totals[:] = 0
            totals[0] = found
        if real:
            real[0].copy_(outputs[1])
            real[1].copy_((outputs[4] - torch.from_numpy(wide[2])).float() * unit)


def _lif_forward(x: Any, spikes: Any, kept: Any, constants: Any) -> None:
    with _disable_current_modes():
        cpu.forward(*_held(x, spikes, kept), constants)


def _lif_backward(gradient: Any, kept: Any, out: Any, constants: Any) -> None:
    with _disable_current_modes():
        cpu.backward(*_held(gradient, kept, out), constants)


@contextmanager
def pretended_cuda() -> Iterator[None]:
    """Within, device="cuda" is taken; tensors made there are ``Pretend``."""
    torch._C._ensureCUDADeviceGuardSet()  # as torch's fake tensors do: autograd asks it for streams
    replaced = (
        mock.patch.object(torch.cuda, "_lazy_init"),
        mock.patch.object(torch.cuda, "is_available", return_value=True),
        mock.patch.object(torch.cuda, "current_device", return_value=0),
        mock.patch.object(triton.runtime, "driver"),
        mock.patch.object(scan_triton, "scan_32", _Scan(2, 4)),
        mock.patch.object(scan_triton, "scan_64", _Scan(3, 6)),
        mock.patch.object(scan_triton, "_on_device_of", return_value=nullcontext()),
        mock.patch.object(gpu, "forward", _lif_forward),
        mock.patch.object(gpu, "backward", _lif_backward),
    )
    for patch in replaced:
        patch.start()
    try:
        # cuDNN's operators exist on CUDA only
        with _Creating(), torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        for patch in replaced:
            patch.stop()


def backward(output: torch.Tensor) -> dict[int, torch.Tensor]:
    """What ``output.sum().backward()`` computes, by id of the parameter: autograd's own engine wants a driver, its
    functions do not.
    """
    order: list[Any] = []
    seen = set()

    def visit(node: Any) -> None:
        if node is not None and node not in seen:
            seen.add(node)
            for before, _ in node.next_functions:
                visit(before)
            order.append(node)

    visit(output.grad_fn)
    gradients: dict[Any, dict[int, torch.Tensor]] = {output.grad_fn: {output.output_nr: torch.ones_like(output)}}
    found: dict[int, torch.Tensor] = {}
    for node in reversed(order):
        given = gradients.pop(node, {})
        if hasattr(node, "variable"):
            found[id(node.variable)] = given[0].sum_to_size(node.variable.shape)
            continue
        n_outputs = max(given, default=-1) + 1
        made = getattr(node, "apply", node)(*(given.get(k) for k in range(n_outputs)))
        made = made if isinstance(made, tuple) else (made,)
        # not strict: our functions take what is no tensor last, and autograd keeps no place for it
        for (before, place), gradient in zip(node.next_functions, made, strict=False):
            if before is not None and gradient is not None:
                there = gradients.setdefault(before, {})
                there[place] = there[place] + gradient if place in there else gradient
    return found


def moved(module: torch.nn.Module) -> torch.nn.Module:
    """As ``module.cuda()``, which sets ``.data`` and cannot here."""
    for part in module.modules():
        for name, x in part._parameters.items():
            if x is not None:
                part._parameters[name] = torch.nn.Parameter(Pretend(x.detach()), x.requires_grad)
        for name, x in part._buffers.items():
            if x is not None:
                part._buffers[name] = Pretend(x)
    return module
