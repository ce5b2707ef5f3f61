"""A user's own module of torch layers and norse cells as a ``SpikingNet``, so that it can be exported and quantised.

Chains (``nn.Sequential``, norse's ``SequentialState``) are read as they stand; of anything else one forward pass is
recorded: of one step, of a loop over time, or of norse's modules that take all steps at once.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import norse.torch as norse
import torch
from norse.torch import SequentialState
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from seamount.errors import Unsupported

from . import fold
from .drawing import CELLS, POSSIBLE, SEQUENCES, Drawing, Term, Value, label, unknown_cells
from .export import unsupported
from .given import check_finite, unwrapped
from .recording import Recorded, TakesTime, as_it_was, copied, record
from .spiking_net import INPUT, SpikingNet

SAME = 1e-4
"""Relative difference of a module's answer from its SpikingNet's that float32 can make."""


def from_module(
    module: nn.Module,
    *,
    input_shape: Sequence[int],
    n_steps: int,
    name: str = "net",
    input_bits: int = 0,
    input_scale: float | None = None,
    snap_decays: bool = False,
) -> SpikingNet:
    """The student that a module is; both hold the same weights.

    Whatever is not a chain is run beside the student on random input and must agree.

    Args:
        module: its forward pass takes one step (B, *input_shape), cells called with or without a state; or all
            (T, B, *input_shape), or a still image (B, *input_shape), and loops T times. It ends in an LIBoxCell or
            LICell, in a Linear layer (a "sum" readout) or in spikes, which are counted.
        input_shape: of one sample at one step, without batch.
        n_steps: T.
        input_bits, input_scale: 8 for images from 0 to 1 (x = integer / input_scale, by itself 255); 0: spikes.
        snap_decays: bring the cells' decays to the chip's grid, see ``cells.snap``.

    Raises:
        Unsupported: everything in it that is neither a weighted sum nor a norse cell we know, by name.
        InputError: weights that are no numbers.
    """
    check_finite(module, name)
    inner = unwrapped(module)
    _check_plain(inner, name)
    shape = tuple(input_shape)
    net, recorded = _drawn(inner, shape, n_steps, name, snap_decays, input_bits, input_scale)
    if recorded.kind != "chain":
        x = _random(shape, n_steps, recorded)
        awake = _awake(inner, x[0] if recorded.kind == "step" else x)
        _compare(awake, _drawn(awake, shape, n_steps, name)[0], recorded, x)
    return net.train(module.training)


def _check_plain(module: nn.Module, name: str) -> None:
    """Refuses other numbers than float32, and hooks, which may change what a layer takes or gives."""
    others = {str(p.dtype).removeprefix("torch.") for p in module.parameters() if p.dtype != torch.float32}
    if others:
        ways_out = "train and hand it over as net.float()"
        raise Unsupported(f"weights of {' and '.join(sorted(others))}", where=name, ways_out=ways_out)
    hooked = [
        label(key or "net")
        for key, one in module.named_modules()
        # lazy layers find out their sizes by a hook, when they are called first
        if not isinstance(one, LazyModuleMixin) and (one._forward_pre_hooks or one._forward_hooks)
    ]
    if hooked:
        raise Unsupported(
            f"{', '.join(hooked)}: has hooks, which no chip runs",
            where=name,
            ways_out="take them away first (handle.remove(); of pruned weights torch.nn.utils.prune.remove(layer, "
            '"weight"), of weight_norm and spectral_norm those of torch.nn.utils.parametrizations instead)',
        )


def _drawn(
    module: nn.Module,
    input_shape: tuple[int, ...],
    n_steps: int,
    name: str,
    snap_decays: bool = False,
    input_bits: int = 0,
    input_scale: float | None = None,
) -> tuple[SpikingNet, Recorded]:
    drawing = Drawing(snap_decays)
    for cell, inner in unknown_cells(module):
        drawing.refuse(f"{cell or 'cell'}: {type(inner).__name__} is no cell that the chip has; {POSSIBLE}")
    if drawing.problems:
        raise _refused(name, drawing)
    drawing, recorded = _read(module, drawing, input_shape, n_steps)
    if drawing.problems:
        raise _refused(name, drawing)
    populations, synapses = drawing.graph(recorded.end, spikes_count=recorded.kind != "last")
    if recorded.kind == "last" and any(term.layers for term in recorded.end):
        drawing.refuse("returns the sums of the last step alone; return their sum or mean over all steps")
    if recorded.kind == "summed" and not any(term.layers for term in recorded.end):
        last = drawing.cells[recorded.end[0].source]
        if isinstance(last, norse.LICell | norse.LIBoxCell | norse.LI | norse.LILinearCell):
            drawing.refuse("returns membranes added up over time; return the last step's, which the chip shows")
    if drawing.problems:
        raise _refused(name, drawing)
    net = SpikingNet(
        name,
        input_shape=input_shape,
        n_steps=n_steps,
        populations=populations,
        synapses=synapses,
        input_bits=input_bits,
        input_scale=input_scale,
    )
    drawing.refuse(*unsupported(net))  # what the shapes show, too
    if drawing.problems:
        raise _refused(name, drawing)
    return net, recorded


def _refused(name: str, drawing: Drawing) -> Unsupported:
    return Unsupported(f"{name} cannot become a spiking program:\n  " + "\n  ".join(drawing.problems))


def _read(
    module: nn.Module, drawing: Drawing, input_shape: tuple[int, ...], n_steps: int
) -> tuple[Drawing, Recorded]:
    takes_time = any(isinstance(inner, (*SEQUENCES, norse.Lift)) for inner in module.modules())
    if _is_chain(module) and not takes_time:
        return drawing, Recorded(_chain(drawing, module, "", (Term(INPUT),)), "chain", sequence=False)
    if not takes_time:
        try:
            return drawing, record(drawing, module, input_shape, n_steps, sequence=False)
        except TakesTime as error:
            drawing, problem = Drawing(drawing.snap_decays), error.problem
            try:
                return drawing, record(drawing, module, input_shape, n_steps, sequence=True)
            except Unsupported:
                if problem is not None:
                    raise problem from error.__cause__
                raise
    return drawing, record(drawing, module, input_shape, n_steps, sequence=True)


def _is_chain(module: nn.Module) -> bool:
    """Whether it calls its layers one behind the other, none of which is a module of the user's own."""
    if not isinstance(module, nn.Sequential) or fold.has_own_forward(module):
        return False
    if not isinstance(module, SequentialState) and any(isinstance(child, CELLS) for child in module.children()):
        return True  # it only lists them: a layer does not take what a cell gives
    return all(
        _is_chain(child) if isinstance(child, nn.Sequential) else not fold.has_own_forward(child)
        for child in module.children()
    )


def _chain(drawing: Drawing, module: nn.Module, prefix: str, value: Value) -> Value:
    for key, child in module.named_children():
        name = f"{prefix}{key}" if not key.isdigit() or prefix else f"layer{key}"
        if isinstance(child, nn.Sequential | SequentialState) and any(isinstance(m, CELLS) for m in child.modules()):
            value = _chain(drawing, child, f"{name}.", value)
        elif isinstance(child, CELLS):
            value = _once(drawing.cell(name, child, value))
        else:
            value = drawing.layer(name, child, value)
    return value


def _once(value: Value) -> Value:
    return tuple(Term(term.source, term.layers) for term in value)


def _random(shape: tuple[int, ...], n_steps: int, recorded: Recorded) -> Tensor:
    """What a forward pass takes; of one that takes a step, as many as can be taken one after the other."""
    if recorded.kind == "step":
        shape = (min(n_steps, 3) if recorded.carries else 1, 2, *shape)
    else:
        shape = (n_steps, 2, *shape) if recorded.sequence else (2, *shape)
    return 3 * torch.rand(shape, generator=torch.Generator().manual_seed(0))


def _awake(module: nn.Module, x: Tensor) -> nn.Module:
    """A copy each of whose neurons may fire, because silent ones hide what comes behind them.

    Thresholds become the spread of what arrives, so that a factor in front of a cell is seen, too.
    """
    awake = copied(module).eval()

    def wake(cell: nn.Module, given: tuple[Tensor, ...]) -> None:
        p: Any = cell.p
        if cell not in woken and hasattr(p, "v_th"):
            spread = torch.as_tensor(cell.dt * p.tau_mem_inv).detach() * given[0].std(correction=0)
            cell.p = p._replace(v_th=torch.as_tensor(p.v_reset).detach() + spread.clamp_min(1e-6))
        woken.add(cell)

    woken: set[nn.Module] = set()
    hooks = [cell.register_forward_pre_hook(wake) for cell in awake.modules() if isinstance(cell, CELLS)]
    with as_it_was(awake), torch.no_grad():
        awake(x)
    for hook in hooks:
        hook.remove()
    return awake


def _compare(module: nn.Module, net: SpikingNet, recorded: Recorded, x: Tensor) -> None:
    """Runs both on the same random input, in float64 if rounding alone may have made a difference."""
    for dtype in (torch.float32, torch.float64):
        try:
            own = copy.deepcopy(module).to(dtype).eval()
            with torch.no_grad():
                theirs = _steps(own, x.to(dtype)) if recorded.kind == "step" else _first(own(x.to(dtype)))
                ours = copy.deepcopy(net).to(dtype).eval().step_through(x.to(dtype)).logits
        except RuntimeError:  # a float32 constant in a forward pass that is brought to float64
            break
        if _alike(theirs, ours, recorded.kind):
            return
    looks = f" (it reads values: {', '.join(recorded.looked)})" if recorded.looked else ""
    raise Unsupported(
        f"answers otherwise than the layers and cells that its forward pass calls{looks}",
        where=net.name,
        ways_out="write one step of it, or build a SpikingNet",
    )


def _steps(module: nn.Module, x: Tensor) -> Tensor:
    """Of a module that takes a step: its answers to each, with the states handed on if there are several."""
    outs, states = [], ()
    for frame in x:
        out = module(frame, *states)
        outs.append(_first(out))
        states = tuple(out[1:]) if len(x) > 1 else ()
    return torch.stack(outs)


def _first(out: object) -> Tensor:
    while not isinstance(out, Tensor):
        assert isinstance(out, tuple | list), "record() found a tensor in it"
        out = torch.stack(list(out)) if all(isinstance(one, Tensor) for one in out) and len(out) > 2 else out[0]
    return out


def _alike(theirs: Tensor, ours: Tensor, kind: str) -> bool:
    """A sum over time may be a mean, which is a factor."""
    if kind == "summed":
        ours = ours.sum(0)
        ours = ours * ((theirs * ours).sum() / (ours * ours).sum().clamp_min(1e-30))
    elif kind == "last":
        ours = ours[-1]
    return theirs.shape == ours.shape and torch.allclose(theirs, ours, rtol=SAME, atol=SAME)
