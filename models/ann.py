"""A network that was trained as an ANN, as a chain of weighted sums with ReLU between them.

What its forward pass calls is found by torch.fx; the chain is run beside the module on random input and must agree.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from seamount.errors import InputError, Reason, Unsupported
from seamount.windows import Window

from . import fold
from .drawing import label
from .fold import Flatten, FoldedConv, Linear, Op, Pool, Shape

SAME = 1e-3
"""Relative difference of a module's answer from its chain's that float32 can make."""

RELU = ("relu", "relu_")

NOTHING = ("contiguous", "clone", "float", "detach", "dropout", "dropout1d", "dropout2d", "to")
"""Functions that change no value outside of training."""

POOLS: dict[str, Callable[..., nn.Module]] = {
    "avg_pool2d": nn.AvgPool2d,
    "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d,
    "max_pool2d": nn.MaxPool2d,
}

ACTIVATIONS = (nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.ELU, nn.LeakyReLU, nn.ReLU6, nn.Hardtanh, nn.Softplus)

POSSIBLE = "possible are Linear, Conv2d, BatchNorm, average pooling, Flatten, Dropout and ReLU, in a chain"


@dataclass(frozen=True)
class AnnLayer:
    """Activations of an ANN, as they follow from those before: a weighted sum, and perhaps ReLU.

    Attributes:
        shape: of the activations, without batch.
        rectified: ReLU stands behind the sum, or changes nothing because no sum is below 0.
    """

    name: str
    op: FoldedConv | Linear
    shape: Shape
    rectified: bool

    def sums(self, before: Tensor) -> Tensor:
        """(B, *shape of what stands before) -> (B, *shape), in float64; before ReLU."""
        vector = isinstance(self.op, Linear)
        return fold.apply([self.op], before.flatten(1) if vector else before).reshape(-1, *self.shape)

    def activations(self, sums: Tensor) -> Tensor:
        return sums.relu() if self.rectified else sums


def ann_layers(module: nn.Module, input_shape: Sequence[int], name: str) -> tuple[AnnLayer, ...]:
    """The layers of an ANN outside of training, batch norms folded in; its answer is the last one's.

    Args:
        input_shape: of one sample, without batch.

    Raises:
        Unsupported: everything in it that is no such layer, by name.
        InputError: weights that are no numbers.
    """
    module = copy.deepcopy(module).cpu().float().eval()
    shape = tuple(input_shape)
    for key, value in module.state_dict().items():
        if not bool(torch.isfinite(value).all()):
            raise InputError(
                f"{key} holds NaN or infinity", where=name, ways_out="train it again, or take an earlier checkpoint"
            )
    segments = _segments(_traced(module, shape, name), name)
    made: list[AnnLayer] = []
    for segment in segments:
        made += _layers_of(segment, made[-1].shape if made else shape, {layer.name for layer in made})
    if not made:
        raise Unsupported("has neither a Linear nor a Conv2d", where=name)
    _compare(module, made, shape, name)
    return tuple(made)


def _compare(module: nn.Module, made: Sequence[AnnLayer], shape: Shape, name: str) -> None:
    x = torch.rand((4, *shape), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs = module(x).double()
        ours = x.double()
        for layer in made:
            ours = layer.activations(layer.sums(ours))
    room = SAME * float(theirs.abs().max().clamp_min(1e-6))
    if theirs.flatten(1).shape != ours.flatten(1).shape or not bool(((theirs - ours).abs() <= room).all()):
        raise Unsupported("answers otherwise than the layers that its forward pass calls", where=name)


# -------------------------------------------------------------------------------------------------- tracing


def _traced(module: nn.Module, shape: Shape, name: str) -> fx.GraphModule:
    try:
        traced = fx.symbolic_trace(module)
        with torch.no_grad():
            ShapeProp(traced).propagate(torch.zeros((2, *shape)))
    except Exception as error:  # a user's forward raises whatever it raises
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        ways = "let its forward pass call layers, without a choice that depends on values"
        raise Unsupported(
            f"cannot be followed for x (B, {', '.join(map(str, shape))}): {said}", where=name, ways_out=ways
        ) from error
    return traced


@dataclass(frozen=True)
class _Segment:
    """Linear layers up to the next ReLU, or to the end; named after the last that has weights."""

    layers: tuple[tuple[str, nn.Module], ...] = ()
    rectified: bool = False

    @property
    def name(self) -> str:
        weighted = [key for key, layer in self.layers if isinstance(layer, nn.Linear | nn.Conv2d)]
        return label((weighted or [key for key, _ in self.layers])[-1])


class _Chain:
    """Follows the nodes of a traced module; what has no place in a chain is noted."""

    def __init__(self, traced: fx.GraphModule) -> None:
        self.modules = dict(traced.named_modules())
        self.segments: list[_Segment] = []
        self.open = _Segment()
        self.last: fx.Node | None = None
        self.reasons: list[Reason] = []
        self.n_functions = 0

    def refuse(self, where: str, found: str, **more: Any) -> None:
        self.reasons.append(Reason(found, where, **more))

    def node(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            self.last = node if self.last is None else self.last
        elif node.op == "output":
            if node.args[0] is not self.last:
                self.refuse("its forward pass", "returns something else than its last layer's output")
        elif node.op != "get_attr" and "tensor_meta" in node.meta:  # else a shape, or a constant
            self._step(node)

    def _step(self, node: fx.Node) -> None:
        given = [one for one in node.all_input_nodes if "tensor_meta" in one.meta and one.op != "get_attr"]
        if given != [self.last]:
            found = f"joins or leaves the chain ({', '.join(str(one) for one in given) or 'a constant'})"
            ways = ("train a network without skip connections", "distil it into a spiking student instead")
            self.refuse(str(node), found, ways_out=ways)
        elif node.op == "call_module":
            self.layer(str(node.target), self.modules[str(node.target)])
        else:
            self._function(node)
        self.last = node

    def layer(self, name: str, module: nn.Module) -> None:
        match module:
            case nn.ReLU():
                self.close(rectified=True)
            case nn.MaxPool2d() | nn.AdaptiveMaxPool2d():
                found = f"{type(module).__name__}: the largest of several sums cannot be followed by their changes"
                self.refuse(name, found, ways_out=("train with average pooling", "train with a stride of 2"))
            case _ if isinstance(module, ACTIVATIONS):
                self.refuse(name, f"{type(module).__name__}", possible="possible is ReLU")
            case _:
                problems = [problem.partition(": ")[2] for problem in fold.problems(module, name)]
                for problem in problems:
                    self.refuse(name, problem)
                if not problems and fold.layers(module, name):
                    self.open = replace(self.open, layers=(*self.open.layers, (name, module)))

    def close(self, *, rectified: bool) -> None:
        if self.open.layers:
            self.segments.append(replace(self.open, rectified=rectified))
        self.open = _Segment()

    def _function(self, node: fx.Node) -> None:
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        before, behind = (one.meta["tensor_meta"].shape for one in (node.all_input_nodes[0], node))
        self.n_functions += 1
        called = f"{name}_{self.n_functions}"
        if name in RELU:
            self.close(rectified=True)
        elif name in ("flatten", "view", "reshape", "squeeze") and behind[0] == before[0]:
            if behind != before and len(behind) == 2:
                self.layer(called, nn.Flatten())
            elif behind != before:
                self.refuse(
                    str(node),
                    f"{name} from {tuple(before[1:])} to {tuple(behind[1:])}",
                    possible="only a map to a vector is possible",
                )
        elif name == "mean" and len(before) == 4 and behind[:2] == before[:2] and behind[2:].numel() == 1:
            self.layer(called, nn.AdaptiveAvgPool2d(1))
            if len(behind) == 2:
                self.layer(f"{called}_flat", nn.Flatten())
        elif name in POOLS:
            self.layer(called, POOLS[name](*node.args[1:], **node.kwargs))
        elif name not in NOTHING:
            self.refuse(str(node), f"{name} is no layer of a chain", possible=POSSIBLE)


def _segments(traced: fx.GraphModule, name: str) -> list[_Segment]:
    chain = _Chain(traced)
    for node in traced.graph.nodes:
        chain.node(node)
    chain.close(rectified=False)
    if chain.reasons:
        raise Unsupported.together(reason.inside(name) for reason in chain.reasons)
    return chain.segments


# --------------------------------------------------------------------------------------------------- layers


def _layers_of(segment: _Segment, shape: Shape, taken: set[str]) -> list[AnnLayer]:
    """Usually one; pooling that cannot be merged with the sum behind it is a layer of its own."""
    ops = fold.fold(nn.Sequential(*(module for _, module in segment.layers)), shape, segment.name)
    made: list[AnnLayer] = []
    if len(ops) > 1 and isinstance(ops[0], Pool) and isinstance(ops[1], FoldedConv):
        # whose mean is not below 0, as nothing is that enters a layer: rectifying changes nothing
        pool = _mean(ops[0], shape[0])
        if fold.pool_then_conv(ops[0], ops[1], shape) is None:
            made.append(AnnLayer(_free(f"{segment.name}_pool", taken), pool, fold.op_shape(ops[0], shape), True))
            ops, shape = ops[1:], made[-1].shape
    op = _mean(ops[0], shape[0]) if len(ops) == 1 and isinstance(ops[0], Pool) else _merged(ops, shape, segment.name)
    return [*made, AnnLayer(_free(segment.name, taken), op, fold.op_shape(op, shape), segment.rectified)]


def _merged(ops: Sequence[Op], shape: Shape, name: str) -> FoldedConv | Linear:
    match list(ops):
        case [Flatten(), Linear() as linear]:
            return linear
        case _:
            return fold.merge(ops, shape, name)


def _mean(pool: Pool, channels: int) -> FoldedConv:
    """Every channel by itself, weights alike."""
    weight = np.full((channels, 1, *pool.kernel), 1 / np.prod(pool.kernel))
    return FoldedConv(weight, None, Window(pool.stride, pool.padding, (1, 1), channels))


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_again"
    return name
