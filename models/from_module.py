"""A user's own module of torch layers and norse cells as a ``SpikingNet``, so that it can be exported and quantised.

Chains (``nn.Sequential``, norse's ``SequentialState``) are read as they stand; of anything else one forward pass is
recorded: of one step, of a loop over time, or of norse's modules that take all steps at once.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import norse.torch as norse
import torch
from norse.torch import SequentialState
from torch import Tensor, nn

from seamount.errors import Unsupported

from .drawing import CELLS, POSSIBLE, SEQUENCES, Drawing, Term, Value, unknown_cells
from .finite import check_finite
from .recording import Recorded, TakesTime, record
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

    A module that takes all steps, or loops over them, is run beside the student on random input and must agree.

    Args:
        module: its forward pass takes one step (B, *input_shape), cells called with or without a state; or all
            (T, B, *input_shape), or a still image (B, *input_shape), and loops T times. It ends in an LIBoxCell or
            LICell, in a Linear layer (a "sum" readout) or in spikes, which are counted.
        input_shape: of one sample at one step, without batch.
        n_steps: T.
        snap_decays: bring the cells' decays to the chip's grid, see ``cells.snap``.

    Raises:
        Unsupported: everything in it that is neither a weighted sum nor a norse cell we know, by name.
        InputError: weights that are no numbers.
    """
    check_finite(module, name)
    drawing = Drawing(snap_decays)
    for cell, inner in unknown_cells(module):
        drawing.refuse(f"{cell or 'cell'}: {type(inner).__name__} is no cell that the chip has; {POSSIBLE}")
    if drawing.problems:
        raise _refused(name, drawing)
    drawing, recorded = _read(module, drawing, tuple(input_shape), n_steps)
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
    if recorded.kind != "step" and snap_decays:  # which would make a difference: compared as it stands
        from_module(module, input_shape=input_shape, n_steps=n_steps, name=name)
    elif recorded.kind != "step":
        _compare(module, net, recorded)
    return net.train(module.training)


def _refused(name: str, drawing: Drawing) -> Unsupported:
    return Unsupported(f"{name} cannot become a spiking program:\n  " + "\n  ".join(drawing.problems))


def _read(
    module: nn.Module, drawing: Drawing, input_shape: tuple[int, ...], n_steps: int
) -> tuple[Drawing, Recorded]:
    takes_time = any(isinstance(inner, (*SEQUENCES, norse.Lift)) for inner in module.modules())
    if isinstance(module, nn.Sequential | SequentialState) and not takes_time:
        return drawing, Recorded(_chain(drawing, module, "", (Term(INPUT),)), "step", sequence=False)
    if not takes_time:
        try:
            return drawing, record(drawing, module, input_shape, n_steps, sequence=False)
        except TakesTime:
            drawing = Drawing(drawing.snap_decays)
    return drawing, record(drawing, module, input_shape, n_steps, sequence=True)


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


def _compare(module: nn.Module, net: SpikingNet, recorded: Recorded) -> None:
    """Runs both on the same random input, in float64 if rounding alone may have made a difference."""
    generator = torch.Generator().manual_seed(0)
    shape = (net.n_steps, 2, *net.input_shape) if recorded.sequence else (2, *net.input_shape)
    x = 3 * torch.rand(shape, generator=generator)
    for dtype in (torch.float32, torch.float64):
        try:
            own = copy.deepcopy(module).to(dtype).eval()
            with torch.no_grad():
                theirs = own(x.to(dtype))
                ours = copy.deepcopy(net).to(dtype).eval().step_through(x.to(dtype)).logits
        except RuntimeError:  # a float32 constant in a forward pass that is brought to float64
            break
        if _alike(_first(theirs), ours, recorded.kind):
            return
    raise Unsupported(
        "answers otherwise than the layers and cells that its forward pass calls",
        where=net.name,
        ways_out="write one step of it, or build a SpikingNet",
    )


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
