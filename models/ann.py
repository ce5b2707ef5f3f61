"""A network that was trained as an ANN, as layers of weighted sums with ReLU between them.

What its forward pass calls is found by torch.fx; the layers are run beside the module on random input and must agree.
A layer adds up what comes from several places, so that skip connections are sums like any other; and the largest of
several values is made of layers, too: max(a, b) = b + ReLU(a - b).
"""

from __future__ import annotations

import contextlib
import copy
import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp, TensorMetadata
from torch.nn.parameter import is_lazy

from seamount.errors import ENDS, InputError, Reason, Unsupported, text_of
from seamount.windows import Window

from . import fold
from .drawing import label
from .fold import Flatten, FoldedConv, Linear, Op, Pool, Reals, Shape
from .given import check_finite, unwrapped

SAME = 1e-3
"""Relative difference of a module's answer from its layers' that float32 can make."""

INPUT = "input"

TAKEN = (INPUT, "delta", "answer")
"""Names that a program of such layers has for itself."""

RELU = ("relu", "relu_")
ADD = ("add", "add_", "iadd")
SUBTRACT = ("sub", "sub_", "isub")

DROPOUTS = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")

NOTHING = ("contiguous", "clone", "float", "detach", "to", *DROPOUTS)
"""Functions that change no value outside of training."""

POOLS: dict[str, Callable[..., nn.Module]] = {
    "avg_pool2d": nn.AvgPool2d,
    "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d,
    "max_pool2d": nn.MaxPool2d,
    "adaptive_max_pool2d": nn.AdaptiveMaxPool2d,
}

ACTIVATIONS = (nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.ELU, nn.LeakyReLU, nn.ReLU6, nn.Hardtanh, nn.Softplus)

QUANTISED = ("torch.ao.nn.", "torch.ao.quantization.", "torchao.")
"""Where modules are from whose weights are rounded already, or are rounded in each forward pass."""

POSSIBLE = "possible are Linear, Conv2d, BatchNorm, pooling, Flatten, Dropout, ReLU, sums and differences of them"


@dataclass(frozen=True)
class Same:
    """Every value as it is, times a factor; a map may become a vector, in C order."""

    factor: float = 1.0


@dataclass(frozen=True)
class Part:
    """What one source adds to the sums of a layer.

    Attributes:
        source: a layer's name, or ``INPUT``.
    """

    source: str
    op: FoldedConv | Linear | Same

    @property
    def weight(self) -> Reals:
        return np.asarray(self.op.factor) if isinstance(self.op, Same) else self.op.weight

    @property
    def only_adds(self) -> bool:
        """Whether values are added or subtracted as they are: no weight is learned."""
        return bool(np.isin(self.weight, (-1.0, 0.0, 1.0)).all())

    def sums(self, before: Tensor) -> Tensor:
        match self.op:
            case Same(factor):
                return factor * before
            case Linear():
                return fold.apply([self.op], before.flatten(1))
            case FoldedConv():
                return fold.apply([self.op], before)
            case _:
                assert_never(self.op)


@dataclass(frozen=True)
class AnnLayer:
    """Activations of an ANN, as they follow from those before: a weighted sum, and perhaps ReLU.

    Attributes:
        shape: of the activations, without batch.
        rectified: ReLU stands behind the sum, or changes nothing because no sum is below 0.
    """

    name: str
    parts: tuple[Part, ...]
    shape: Shape
    rectified: bool

    def sums(self, values: Mapping[str, Tensor]) -> Tensor:
        """Of values (B, *shape) by source, in float64: (B, *shape), before ReLU."""
        sums = [part.sums(values[part.source]).reshape(-1, *self.shape) for part in self.parts]
        return torch.stack(sums).sum(0)

    def activations(self, sums: Tensor) -> Tensor:
        return sums.relu() if self.rectified else sums

    @property
    def bias(self) -> Reals:
        """Per channel of a map, per neuron of a vector."""
        found = np.zeros(self.shape[0])
        for part in self.parts:
            if not isinstance(part.op, Same) and part.op.bias is not None:
                found = found + part.op.bias
        return found


def run_layers(layers: Sequence[AnnLayer], x: Tensor) -> dict[str, Tensor]:
    """Activations of all layers on (B, *shape), by name, in float64."""
    values = {INPUT: x.double()}
    for layer in layers:
        values[layer.name] = layer.activations(layer.sums(values))
    return values


def ann_layers(module: nn.Module, input_shape: Sequence[int], name: str) -> tuple[AnnLayer, ...]:
    """The layers of an ANN outside of training, batch norms folded in, each behind its sources; its answer is the
    last one's.

    Args:
        input_shape: of one sample, without batch.

    Raises:
        Unsupported: everything in it that is no such layer, by name.
        InputError: weights that are no numbers, or not there yet.
    """
    module = unwrapped(module)
    _check_plain(module, name)
    module = as_trained(module).cpu()
    shape = tuple(input_shape)
    check_finite(module, name)
    graph = _Graph(_traced(module, shape, name), shape)
    made = graph.layers(name)
    _compare(module, made, shape, name)
    return made


def _check_plain(module: nn.Module, name: str) -> None:
    """Refuses what cannot be copied or followed."""
    for key, x in (*module.named_parameters(), *module.named_buffers()):
        if is_lazy(x) or x.is_meta:
            ways_out = "load its trained weights first"
            raise InputError(f"{key} has no values yet", where=name, ways_out=ways_out)
    for key, one in module.named_modules():
        if (refused := _opaque(one)) is not None:
            found, ways_out = refused
            raise Unsupported(found, where=f"{name}: {key}" if key else name, ways_out=ways_out)


def _opaque(module: nn.Module) -> tuple[str, str] | None:
    """What hides the layers of a module, and what to give in its place."""
    kind = type(module).__name__
    if unwrapped(module) is not module:
        return f"{kind} within the network", "put there what it wraps (its ._orig_mod or .module)"
    if isinstance(module, torch.jit.ScriptModule):
        return "compiled by torch.jit, which hides its layers", "give the nn.Module that it was made of"
    if type(module).__module__.startswith(QUANTISED):
        return f"{kind}, quantised by torch", "give the network before that: weights are rounded to 8 bits here"
    return None


def as_trained(module: nn.Module) -> nn.Module:
    """A copy in float32, outside of training and of wrappers; the module itself stays as it is."""
    module = unwrapped(module)
    # weights that pruning or weight_norm computed of others; torch copies no tensor that has a gradient's graph
    computed = [x for each in module.modules() for x in vars(each).values() if isinstance(x, Tensor)]
    return copy.deepcopy(module, {id(x): x.detach().clone() for x in computed}).float().eval()


def _compare(module: nn.Module, made: Sequence[AnnLayer], shape: Shape, name: str) -> None:
    x = torch.rand((4, *shape), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs, ours = module(x).double(), run_layers(made, x)[made[-1].name]
    room = SAME * float(theirs.abs().max().clamp_min(1e-6))
    if theirs.flatten(1).shape != ours.flatten(1).shape or not bool(
        ((theirs.flatten(1) - ours.flatten(1)).abs() <= room).all()
    ):
        ways_out = "take away hooks (handle.remove()) and whatever else changes what a layer gives"
        raise Unsupported(
            "answers otherwise than the layers that its forward pass calls", where=name, ways_out=ways_out
        )


# -------------------------------------------------------------------------------------------------- tracing


def _traced(module: nn.Module, shape: Shape, name: str) -> fx.GraphModule:
    try:
        traced = fx.symbolic_trace(module)
        with torch.no_grad(), contextlib.redirect_stderr(io.StringIO()):  # torch prints a traceback there
            ShapeProp(traced).propagate(torch.zeros((2, *shape)))
    except ENDS:
        raise
    except BaseException as raised:  # a user's forward raises whatever it raises
        of_torch = text_of(raised).startswith("ShapeProp error")  # tells of a node in place of what was raised
        error = raised.__cause__ if of_torch and raised.__cause__ else raised
        said = (text_of(error).strip().splitlines() or [type(error).__name__])[0]
        ways = "let its forward pass call layers, without a choice that depends on values"
        raise Unsupported(
            f"cannot be followed for x (B, {', '.join(map(str, shape))}): {said}", where=name, ways_out=ways
        ) from error
    return traced


@dataclass(frozen=True)
class _Term:
    """A source, and linear modules behind it that are no layer yet."""

    source: str
    modules: tuple[tuple[str, nn.Module], ...] = ()


_Value = tuple[_Term, ...]
"""What a node of the traced module makes: the sum of its terms."""


class _Graph:
    """Follows the nodes of a traced module; what has no place among such layers is noted."""

    def __init__(self, traced: fx.GraphModule, shape: Shape) -> None:
        self.traced = traced
        self.modules = dict(traced.named_modules())
        self.values: dict[fx.Node, _Value] = {}
        self.made: dict[str, AnnLayer] = {}
        self.shapes: dict[str, Shape] = {INPUT: shape}
        self.reasons: list[Reason] = []
        self.n_functions = 0

    def layers(self, name: str) -> tuple[AnnLayer, ...]:
        """
        Raises:
            Unsupported: what was noted.
        """
        answer: _Value = ()
        for node in self.traced.graph.nodes:
            if node.op == "placeholder" and not self.values:
                self.values[node] = (_Term(INPUT),)
            elif node.op == "output":
                answer = self._answer(node)
            elif node.op not in ("placeholder", "get_attr") and "tensor_meta" in node.meta:  # else a shape
                self.values[node] = self._shared(node, self._step(node))
        if self.reasons:
            raise Unsupported.together(reason.inside(name) for reason in self.reasons)
        last = answer[0].source
        if last == INPUT:
            raise Unsupported("has neither a Linear nor a Conv2d", where=name)
        needed = {last}  # what nobody reads needs no neurons
        for layer in reversed(self.made.values()):
            needed |= {part.source for part in layer.parts} if layer.name in needed else set()
        # made in the order of the forward pass, so nothing that is needed stands behind the answer
        return tuple(layer for layer in self.made.values() if layer.name in needed)

    def refuse(self, where: str, found: str, **more: Any) -> None:
        self.reasons.append(Reason(found, where, **more))

    def _answer(self, node: fx.Node) -> _Value:
        made = node.args[0]
        if not isinstance(made, fx.Node) or made not in self.values:
            self.refuse("its forward pass", "returns something else than one layer's output")
            return (_Term(INPUT),)
        return self.closed(self.values[made], rectified=False, otherwise=str(made))

    def _shared(self, node: fx.Node, value: _Value) -> _Value:
        """A sum that goes to several places becomes a layer; activations do as they are."""
        read = [user for user in node.users if "tensor_meta" in user.meta or user.op == "output"]
        return value if len(read) < 2 else self.closed(value, rectified=False, otherwise=str(node))

    def _step(self, node: fx.Node) -> _Value:
        """What a node makes; one that is refused is a layer of its own, so that what follows is looked at, too."""
        refused = len(self.reasons)
        value = self._followed(node)
        if value and len(self.reasons) == refused:
            return value
        self.shapes[node.name] = tuple(getattr(node.meta["tensor_meta"], "shape", ()))[1:]
        return (_Term(node.name),)

    def _followed(self, node: fx.Node) -> _Value:
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        terms = [one for one in node.args if isinstance(one, fx.Node) and one in self.values]
        if len(terms) == 2 and name in (*ADD, *SUBTRACT) and not node.kwargs:
            a, b = terms
            if (shape := a.meta["tensor_meta"].shape) == b.meta["tensor_meta"].shape:
                return self.values[a] + (self.values[b] if name in ADD else self._negated(node.name, b, len(shape)))
        given = [one for one in node.all_input_nodes if one in self.values]
        if not all(isinstance(one.meta["tensor_meta"], TensorMetadata) for one in given):
            return ()  # told of what made several tensors
        if not isinstance(node.meta["tensor_meta"], TensorMetadata):
            self.refuse(name, "makes several tensors", possible="one is possible")
            return ()
        if len(given) != 1:
            found = f"joins {', '.join(map(str, node.all_input_nodes)) or 'constants'}"
            self.refuse(str(node), found, possible="only sums and differences of two equal shapes are possible")
            return ()
        value = self.values[given[0]]
        if node.op == "call_module":
            return self.layer(str(node.target), _filled(self.modules[str(node.target)], node), value)
        return self._function(node, name, value)

    def _negated(self, name: str, node: fx.Node, n_axes: int) -> _Value:
        channels = node.meta["tensor_meta"].shape[1]
        return self._linear(name, _affine(-torch.ones(channels), torch.zeros(channels), n_axes), self.values[node])

    # ------------------------------------------------------------------------------------------- modules

    def layer(self, name: str, module: nn.Module, value: _Value) -> _Value:
        match module:
            case nn.ReLU():
                return self.closed(value, rectified=True, otherwise=label(name))
            case nn.MaxPool2d() | nn.AdaptiveMaxPool2d():
                return self._largest(name, module, value)
            case _ if isinstance(module, ACTIVATIONS):
                self.refuse(name, f"{type(module).__name__}", possible="possible is ReLU")
                return value
            case _:
                return self._linear(name, module, value)

    def _linear(self, name: str, module: nn.Module, value: _Value) -> _Value:
        problems = [problem.partition(": ")[2] for problem in fold.problems(module, name)]
        for problem in problems:
            self.refuse(name, problem)
        if problems or not fold.layers(module, name):
            return value
        # a bias behind a sum would be added once for each of its terms
        (term,) = value if len(value) == 1 else self.closed(value, rectified=False, otherwise=f"{label(name)}_of")
        return (replace(term, modules=(*term.modules, (name, module))),)

    def closed(self, value: _Value, *, rectified: bool, otherwise: str) -> _Value:
        """As one layer, unless it is one; ``otherwise`` names it where no module with weights does."""
        if len(value) == 1 and not value[0].modules and (not rectified or self._above_zero(value[0].source)):
            return value
        named = [key for term in value for key, one in term.modules if isinstance(one, nn.Linear | nn.Conv2d)]
        named = named or [key for term in value for key, _ in term.modules]
        name = label(named[-1]) if named and len(value) == 1 else otherwise if not named else label(named[0])
        found = [self._part(term, name) for term in value]
        return self.add(name, tuple(part for part, _ in found), found[0][1], rectified)

    def add(self, name: str, parts: tuple[Part, ...], shape: Shape, rectified: bool) -> _Value:
        while name in self.shapes or name in TAKEN:
            name += "_again"
        self.made[name], self.shapes[name] = AnnLayer(name, parts, shape, rectified), shape
        return (_Term(name),)

    def _above_zero(self, source: str) -> bool:
        return source not in self.made or self.made[source].rectified

    def _part(self, term: _Term, name: str) -> tuple[Part, Shape]:
        """The modules as one operator; what cannot be merged into one becomes layers before it."""
        source, shape = term.source, self.shapes[term.source]
        ops = _simpler(fold.fold(nn.Sequential(*(module for _, module in term.modules)), shape, name))
        while (op := _one(ops, shape, name)) is None:
            first, *ops = ops
            alone = _one([first], shape, name)
            assert alone is not None, "one operator is one"
            pool = isinstance(first, Pool)
            # the mean of what is not below 0 is not either
            (made,) = self.add(
                f"{name}_{'pool' if pool else 'sum'}",
                (Part(source, alone),),
                fold.op_shape(first, shape),
                pool and self._above_zero(source),
            )
            source, shape = made.source, self.shapes[made.source]
        for each in ops:
            shape = fold.op_shape(each, shape)
        return Part(source, op), shape

    # ----------------------------------------------------------------------------------------- functions

    def _function(self, node: fx.Node, name: str, value: _Value) -> _Value:
        before, behind = (one.meta["tensor_meta"].shape for one in (node.all_input_nodes[0], node))
        self.n_functions += 1
        called = f"{name}_{self.n_functions}"
        if name in RELU:
            return self.closed(value, rectified=True, otherwise=called)
        if name in ("flatten", "view", "reshape", "squeeze") and behind[0] == before[0]:
            if behind == before:
                return value
            if len(behind) == 2:
                return self.layer(called, nn.Flatten(), value)
            found = f"{name} from {tuple(before[1:])} to {tuple(behind[1:])}"
            self.refuse(str(node), found, possible="only a map to a vector is possible")
            return value
        if name in ("mean", "amax") and len(before) == 4 and behind[:2] == before[:2] and behind[2:].numel() == 1:
            pool = nn.AdaptiveAvgPool2d(1) if name == "mean" else nn.AdaptiveMaxPool2d(1)
            value = self.layer(called, pool, value)
            return self.layer(f"{called}_flat", nn.Flatten(), value) if len(behind) == 2 else value
        if name in DROPOUTS and node.kwargs.get("training"):
            self.refuse(str(node), f"{name} outside of training, too", ways_out=("give it training=self.training",))
            return value
        if name in POOLS:
            arguments = {key: x for key, x in node.kwargs.items() if key not in ("input", "return_indices")}
            return self.layer(called, _filled(POOLS[name](*node.args[1:], **arguments), node), value)
        if (norm := _constants(self.traced, node, name)) is not None and behind == before:
            return self.layer(called, norm, value)
        if name not in NOTHING:
            self.refuse(str(node), f"{name} is no layer of a chain", possible=POSSIBLE)
        return value

    # ------------------------------------------------------------------------------------- largest values

    def _largest(self, name: str, module: nn.MaxPool2d | nn.AdaptiveMaxPool2d, value: _Value) -> _Value:
        """As a tournament of the places of a window: of two the second, and what the first has more than it.

        A place's value is a convolution with one 1; each contest is a layer, ReLU(first - second).
        """
        (term,) = self.closed(value, rectified=False, otherwise=f"{label(name)}_of")
        source, shape = term.source, self.shapes[term.source]
        pool = _max_windows(module, shape)
        if pool is None:
            return (term,)
        if isinstance(pool, str):
            self.refuse(name, pool, possible="plain windows of one size are possible")
            return value
        if pool.padding != (0, 0) and not self._above_zero(source):
            found = "pads sums that may lie below 0, where a 0 would win"
            self.refuse(name, found, ways_out=("put ReLU before it", "leave out its padding"))
            return value
        places: Reals = np.eye(int(np.prod(pool.kernel))).reshape(-1, *pool.kernel)
        window = Window(pool.stride, pool.padding, (1, 1), shape[0])
        behind = fold.op_shape(pool, shape)

        def picked(place: Reals) -> Part:
            weight = np.broadcast_to(place, (shape[0], 1, *pool.kernel)).copy()
            return Part(source, FoldedConv(weight, None, window))

        players: list[tuple[Reals, tuple[str, ...]]] = [(place, ()) for place in places]
        for contest in itertools.count():
            if len(players) == 1:
                break
            (a, more_a), (b, more_b), *rest = players
            parts = (picked(a - b), *(Part(d, Same()) for d in more_a), *(Part(d, Same(-1.0)) for d in more_b))
            ((won),) = self.add(f"{label(name)}_max{contest}", parts, behind, True)
            players = [*rest, (b, (*more_b, won.source))]
        ((place, more),) = players
        parts = (picked(place), *(Part(d, Same()) for d in more))
        return self.add(label(name), parts, behind, self._above_zero(source))


def _constants(traced: fx.GraphModule, node: fx.Node, name: str) -> nn.Module | None:
    """x + c, x - c, c - x, c x or x / c with constants, one for all or one a channel, as a batch norm."""
    numbers = [_constant(traced, one) for one in node.args]
    if len(numbers) != 2 or [one is None for one in numbers].count(True) != 1 or node.kwargs:
        return None
    first = numbers[0] is None
    given = numbers[1] if first else numbers[0]
    assert given is not None, "counted above"
    shape = node.meta["tensor_meta"].shape
    c = given.double() if given.ndim else given.double().reshape((1,) * len(shape))
    c = c[0] if c.ndim == len(shape) and c.shape[0] == 1 else c
    if c.shape[1:].numel() != 1 or c.shape[0] not in (1, shape[1]) or c.ndim != len(shape) - 1:
        return None
    c = c.flatten().expand(shape[1])
    one, none = torch.ones_like(c), torch.zeros_like(c)
    match name, first:
        case ("add" | "iadd", _):
            scale, offset = one, c
        case ("sub" | "isub", _):
            scale, offset = (one, -c) if first else (-one, c)
        case ("mul" | "imul", _):
            scale, offset = c, none
        case ("truediv" | "div" | "itruediv", True):
            scale, offset = 1 / c, none
        case _:
            return None
    return _affine(scale, offset, len(shape))


def _constant(traced: fx.GraphModule, given: object) -> Tensor | None:
    if isinstance(given, int | float):
        return torch.tensor(float(given))
    if isinstance(given, fx.Node) and given.op == "get_attr":
        found: Any = traced
        for key in str(given.target).split("."):
            found = getattr(found, key)
        return found.detach() if isinstance(found, Tensor) else None
    return None


def _affine(scale: Tensor, offset: Tensor, n_axes: int) -> nn.Module:
    """y = scale x + offset, per channel, as a batch norm outside of training."""
    norm = (nn.BatchNorm2d if n_axes == 4 else nn.BatchNorm1d)(len(scale), eps=0.0, dtype=torch.float64)
    norm.weight = nn.Parameter(scale.clone(), requires_grad=False)
    norm.bias = nn.Parameter(offset.clone(), requires_grad=False)
    return norm.eval()


def _filled(module: nn.Module, node: fx.Node) -> nn.Module:
    """The module; of a pool that rounds up to no more windows than fit, one that rounds down."""
    if not isinstance(module, nn.AvgPool2d | nn.MaxPool2d) or not module.ceil_mode:
        return module
    before, behind = (one.meta["tensor_meta"].shape for one in (node.all_input_nodes[0], node))
    pool = Pool(*(fold.pair(given) for given in (module.kernel_size, module.stride, module.padding)))
    plain = copy.copy(module)
    plain.ceil_mode = fold.op_shape(pool, tuple(before[1:])) != tuple(behind[1:])
    return plain


def _max_windows(module: nn.MaxPool2d | nn.AdaptiveMaxPool2d, shape: Shape) -> Pool | str | None:
    """The windows, or why they cannot be; None where each is one value."""
    if isinstance(module, nn.AdaptiveMaxPool2d):
        found = fold.adaptive_pool(fold.pair(module.output_size), shape)
        return "AdaptiveMaxPool2d over windows of several sizes" if isinstance(found, fold.UnequalPool) else found
    if module.ceil_mode or fold.pair(module.dilation) != (1, 1) or module.return_indices:
        return "MaxPool2d with ceil_mode, dilation or indices"
    return Pool(fold.pair(module.kernel_size), fold.pair(module.stride), fold.pair(module.padding))


# -------------------------------------------------------------------------------------------------- operators


def _simpler(ops: Sequence[Op]) -> list[Op]:
    """Factors and offsets of channels in front of a convolution go into it, where no border tells them apart."""
    made: list[Op] = []
    for op in ops:
        before = made[-1] if made else None
        if isinstance(op, FoldedConv) and isinstance(before, FoldedConv) and _goes_into(before, op):
            scale = before.weight.reshape(op.window.groups, -1)
            offset = np.zeros_like(scale) if before.bias is None else before.bias.reshape(scale.shape)
            grouped = op.weight.reshape(op.window.groups, -1, *op.weight.shape[1:])
            more = np.einsum("gocij,gc->go", grouped, offset).reshape(-1)
            weight = np.einsum("gocij,gc->gocij", grouped, scale).reshape(op.weight.shape)
            made[-1] = replace(op, weight=weight, bias=more if op.bias is None else op.bias + more)
        else:
            made.append(op)
    return made


def _goes_into(before: FoldedConv, conv: FoldedConv) -> bool:
    alone = before.weight.shape[1:] == (1, 1, 1) and before.window == Window(groups=len(before.weight))
    shifts = before.bias is not None and bool(np.any(before.bias))
    return alone and (not shifts or conv.window.padding == (0, 0))


def _one(ops: Sequence[Op], shape: Shape, name: str) -> FoldedConv | Linear | Same | None:
    """The operators as one; None: the first must stand alone."""
    match list(ops):
        case [] | [Flatten()]:
            return Same()
        case [Pool() as pool]:
            return _mean(pool, shape[0])
        case [Pool() as pool, FoldedConv() as conv, *_] if fold.pool_then_conv(pool, conv, shape) is None:
            return None
        case [_, *rest] if (
            rest
            and not any(isinstance(op, Flatten | Linear) for op in ops)
            and not (len(rest) == 1 and isinstance(ops[0], Pool))
        ):
            return None
        case [Flatten(), Linear() as linear]:
            return linear
        case _:
            return fold.merge(ops, shape, name)


def _mean(pool: Pool, channels: int) -> FoldedConv:
    """Every channel by itself, weights alike."""
    weight = np.full((channels, 1, *pool.kernel), 1 / np.prod(pool.kernel))
    return FoldedConv(weight, None, Window(pool.stride, pool.padding, (1, 1), channels))
