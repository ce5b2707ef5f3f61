"""Runs a user's forward pass once and notes which layers and cells it calls, with what, step by step.

Python runs as it stands, loops over time included; what is called between the layers is either one of a few functions
that mean something here (additions, flattening, pooling, picking and stacking steps) or refused, with its line.
"""

from __future__ import annotations

import copy
import inspect
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seamount.errors import ENDS, Unsupported, text_of

from . import fold
from .drawing import CELLS, SEQUENCES, Drawing, Term, Value, label
from .spiking_net import INPUT
from .torch_functions import CONSTANTS, LOOKS, MEANING, NEITHER, POOLS, SAME, SHOWN, name_of

STATE = (
    "its state is used elsewhere than in its next call; a chip sends spikes, and shows the membranes of a last "
    "LIBoxCell or LICell"
)

B = 2
"""Samples that are sent through: with one, an axis of samples looks like any other of length 1."""


class TakesTime(Exception):
    """The forward pass picks steps of its input, or fails on one: it wants them all.

    Attributes:
        problem: what to tell if it fails on all of them, too.
    """

    def __init__(self, problem: Unsupported | None = None) -> None:
        super().__init__()
        self.problem = problem


@dataclass(frozen=True)
class Signal:
    """What a tensor holds: of one step, or of all of them with time as its first axis."""

    value: Value
    whole: bool = False


@dataclass(frozen=True)
class Other:
    """What a tensor holds that no synapse makes: no fault by itself, because it may be there to be looked at.

    Attributes:
        problem: to be told where a layer, a cell or the answer is made of it.
        signal: what to go on with then, so that the rest is checked, too.
        constant: whether it is a parameter or buffer, or made of such: the function that takes it is the problem.
    """

    problem: str
    signal: Signal | None = None
    constant: bool = False


@dataclass(frozen=True)
class Recorded:
    """
    Attributes:
        end: what comes out, terms of all steps where they are added up.
        kind: "chain" or "step" (one call is one step), "whole" (T, B, K), "summed" over time, or "last" step.
        sequence: whether it takes (T, B, *shape), not (B, *shape).
        carries: whether it gives back, behind its answer, the states of its cells.
        looked: lines that read values, on which it may depend what is computed.
    """

    end: Value
    kind: str
    sequence: bool
    carries: bool = False
    looked: tuple[str, ...] = ()


def record(
    drawing: Drawing, module: nn.Module, input_shape: Sequence[int], n_steps: int, *, sequence: bool
) -> Recorded:
    """Calls it with zeros: (T, B, *input_shape) for a ``sequence``, else (B, *input_shape).

    Raises:
        TakesTime: it picks steps of what was one, or fails on one.
        Unsupported: it fails on all steps, or returns something that does not come from its layers.
    """
    shape = (n_steps, B, *input_shape) if sequence else (B, *input_shape)
    x = torch.zeros(shape)
    recorder = _Recorder(drawing, sequence, n_steps)
    for name, one in (*module.named_parameters(), *module.named_buffers()):
        recorder.other(
            one, Other(f"{name}: is used outside of a layer; put it into one's weight or bias", constant=True)
        )
    handles = recorder.listen(module)
    training = module.training
    module.eval()
    try:
        with as_it_was(module), torch.no_grad(), recorder:
            recorder.note(x, Signal((Term(INPUT),), whole=sequence))
            out = module(x)
    except (TakesTime, Unsupported, *ENDS):
        raise
    except BaseException as error:  # a user's forward raises whatever it raises
        said = (text_of(error).strip().splitlines() or [""])[0]
        place = _line(traceback.extract_tb(error.__traceback__))
        problem = Unsupported(
            f"its forward pass raises {type(error).__name__}: {said}{place}, for x {shape}",
            where=type(module).__name__,
            ways_out="let it take (B, *input_shape), or (T, B, *input_shape) with all steps",
        )
        raise (problem if sequence else TakesTime(problem)) from error
    finally:
        module.train(training)
        for handle in handles:
            handle.remove()
    recorded = recorder.end(out)
    takes = len(inspect.signature(module.forward).parameters)
    return replace(recorded, carries=recorded.carries and takes == len(out))


@contextmanager
def as_it_was(module: nn.Module) -> Iterator[None]:
    """Puts back what a forward pass leaves on its modules, such as states of two samples."""
    before = [(one, dict(vars(one))) for one in module.modules()]
    try:
        yield
    finally:
        for one, attributes in before:
            vars(one).clear()
            vars(one).update(attributes)


def copied(module: nn.Module) -> nn.Module:
    """A copy, also with tensors of an earlier pass on it, which torch copies only without their history."""
    kept = [tensor for one in module.modules() for tensor in _tensors(list(vars(one).values()))]
    return copy.deepcopy(module, {id(tensor): tensor.detach() for tensor in kept if not tensor.is_leaf})


def _is_noted(module: nn.Module) -> bool:
    """Whether it is a cell or a layer of torch's, not what holds them."""
    if isinstance(module, CELLS):
        return True
    kinds = [kind for kind in type(module).__mro__ if kind.__module__.startswith("torch.nn.modules.")]
    runs = type(module).forward is not nn.Module.forward and not isinstance(module, nn.Sequential)
    return kinds != [nn.Module] and runs and not fold.has_own_forward(module)


class _Recorder(TorchFunctionMode):
    def __init__(self, drawing: Drawing, sequence: bool, n_steps: int) -> None:
        super().__init__()
        self.drawing, self.sequence, self.n_steps = drawing, sequence, n_steps
        self.signals: dict[int, tuple[Tensor, Signal]] = {}  # with the tensor, whose id is free once it is gone
        self.others: dict[int, tuple[Tensor, Other]] = {}
        self.looked: list[str] = []
        self.states: dict[int, tuple[Tensor, str, int]] = {}
        self.functions: dict[str, tuple[str, nn.Module]] = {}
        self.inside = 0
        self.start = Signal((Term(INPUT),))

    # ------------------------------------------------------------------------------------------------- modules

    def listen(self, module: nn.Module) -> list[Any]:
        handles: list[Any] = []
        for name, inner in module.named_modules():
            if _is_noted(inner):
                handles.append(inner.register_forward_pre_hook(self._enter))
                handles.append(inner.register_forward_hook(self._leave(name or "cell"), with_kwargs=True))
        return handles

    def _enter(self, module: nn.Module, args: Any) -> None:
        self.inside += 1

    def _leave(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
            self.inside -= 1
            if self.inside:
                return
            given = [*args, *kwargs.values()]
            signal = self.taken(given[0]) if given else None
            if signal is None:
                if given and (other := self.others.get(id(given[0]))):
                    self._follow(out, other[1])
                elif isinstance(module, CELLS):
                    self.drawing.refuse(f"{name}: is called with something that is no layer's output")
                elif isinstance(given[0], Tensor) and bool(given[0].any()):
                    self.drawing.refuse(f"{name}: is called with a constant")
                return  # zeros, as of the spikes before the first step
            if isinstance(module, CELLS):
                self._cell(name, module, signal, given[1] if len(given) > 1 else None, out)
            else:
                self.note(out, self._layer(name, module, signal))

        return hook

    def _cell(self, name: str, module: nn.Module, signal: Signal, state: Any, out: Any) -> None:
        if isinstance(module, SEQUENCES) != signal.whole:
            what = "all steps at once" if signal.whole else "one step"
            self.drawing.refuse(f"{name}: {type(module).__name__} is called with {what}")
        step = len(self.drawing.calls.get(label(name), []))
        self._follows(name, step, state)
        value = self.drawing.cell(name, module, signal.value)
        self.note(out[0], Signal(value, whole=isinstance(module, SEQUENCES)))
        for part in _tensors(out[1]):
            self.states[id(part)] = (part, name, step)
            if self.of(part) is None:  # an integrator's membrane is what it sends
                self.other(part, Other(f"{name}: {STATE}"))

    def _follows(self, name: str, step: int, state: Any) -> None:
        """Refuses a state that is not the one this cell left a step before."""
        if step == 0:
            if state is not None:
                self.drawing.refuse(f"{name}: starts from a state of its own; None is possible")
            return
        before = [self.states.get(id(part), (None, "", -1))[1:] for part in _tensors(state)]
        if not before or any(found != (name, step - 1) for found in before):
            self.drawing.refuse(
                f"{name}: is called again without the state that it left a step before; write "
                "z, state = cell(x, state)"
            )

    def _layer(self, name: str, module: nn.Module, signal: Signal) -> Signal:
        if signal.whole:
            if isinstance(module, nn.Flatten) and module.start_dim == 2:
                module = nn.Flatten()
            elif not isinstance(module, nn.Linear | nn.Identity | nn.Dropout):
                kind = type(module).__name__
                self.drawing.refuse(f"{name}: {kind} is called with all steps at once; wrap it in norse's Lift")
        return replace(signal, value=self.drawing.layer(name, module, signal.value))

    # ----------------------------------------------------------------------------------------------- functions

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = name_of(func)
        if not self.inside and name not in CONSTANTS:
            self._call(name, args, kwargs, out)
        return out

    def _call(self, name: str, args: Any, kwargs: Any, out: Any) -> None:
        given = list(_tensors([*args, *kwargs.values()]))
        signals = [signal for one in given if (signal := self.of(one))]
        others = [self.others[id(one)][1] for one in given if id(one) in self.others]
        if signals and _tensors(out):
            self._function(name, args, kwargs, signals, out)
        elif signals and name == "__setitem__":
            self.other(args[0], Other(_problem(name), signals[0]))
        elif name in LOOKS and (signals or others):
            self.looked += [place] if (place := f"{name}{_line()}") not in self.looked else []
        elif others:
            self._follow(out, others[0])
            self._same_state(name, given, out)

    def _follow(self, out: Any, other: Other) -> None:
        for one in _tensors(out):
            self.other(one, other)

    def _same_state(self, name: str, given: list[Tensor], out: Any) -> None:
        """A state that is only detached, as between pieces of a long recording, is the cell's own."""
        if name in SAME and isinstance(out, Tensor) and id(given[0]) in self.states:
            self.states[id(out)] = (out, *self.states[id(given[0])][1:])

    def _function(self, name: str, args: Any, kwargs: Any, signals: list[Signal], out: Any) -> None:
        first = signals[0]
        signal: Signal | None = None
        if name in ("add", "add_", "__add__", "__radd__", "__iadd__") and not kwargs.get("alpha"):
            signal = self._added(args, signals)
        elif name in ("sum", "mean"):
            signal = self._over_time(args[1:] or tuple(kwargs.values()), first) or self._over_map(
                name, args, kwargs, out
            )
        elif name in ("div", "div_", "mul", "mul_") and self._is_sum_over_time(first.value) and len(signals) == 1:
            signal = first if isinstance(args[1], int | float) and args[1] > 0 else None
        elif name in ("__getitem__", "select", "unbind"):
            signal = self._picked(name, args, first, out)
        elif name == "stack":
            signal = self._stacked(args, kwargs)
        else:
            signal = self._as_layer(name, args, kwargs, first, out)
        if signal is None:
            others = [self.others[id(one)][1] for one in _tensors([*args]) if id(one) in self.others]
            before = next((other.problem for other in others if not other.constant), None)
            self._follow(out, Other(before or _problem(name), first))
        elif name != "unbind":  # whose parts are noted one by one
            for one in _tensors(out):
                self.note(one, signal)

    def _added(self, args: Any, signals: list[Signal]) -> Signal | None:
        if len(signals) == 1:  # with zeros, as sum() begins, and as spikes do before the first step
            (other,) = [one for one in args[:2] if self.of(one) is None]
            nothing = not bool(other.any()) if isinstance(other, Tensor) else other == 0
            return signals[0] if nothing and id(other) not in self.others else None
        if signals[0].whole != signals[1].whole:
            return None
        return Signal((*signals[0].value, *signals[1].value), signals[0].whole)

    def _over_time(self, axes: Any, signal: Signal) -> Signal | None:
        if not signal.whole or not axes or axes[0] not in (0, (0,), [0]):
            return None
        steps = range(self.n_steps)
        return Signal(tuple(_at(term, step) for step in steps for term in signal.value))

    def _is_sum_over_time(self, value: Value) -> bool:
        return self.n_steps > 1 and len({term.step for term in value}) == self.n_steps

    def _over_map(self, name: str, args: Any, kwargs: Any, out: Tensor) -> Signal | None:
        """The mean of each map of (B, C, H, W), as (B, C) or with both axes kept."""
        signal, axes = self.of(args[0]), kwargs.get("dim", args[1] if len(args) > 1 else None)
        maps = name == "mean" and signal is not None and not signal.whole and args[0].dim() == 4
        if not maps or not isinstance(axes, tuple | list) or sorted(axis % 4 for axis in axes) != [2, 3]:
            return None
        assert signal is not None, "maps says so"
        value = self.drawing.layer(*self._named("mean", nn.AdaptiveAvgPool2d, 1), signal.value)
        if out.dim() == 2:
            value = self.drawing.layer(*self._named("flatten", nn.Flatten), value)
        return replace(signal, value=value)

    def _picked(self, name: str, args: Any, signal: Signal, out: Any) -> Signal | None:
        if not signal.whole:
            if not self.sequence and (name == "unbind" or isinstance(args[1], int)):
                raise TakesTime
            return None
        if name == "unbind" and args[1:] in ((), (0,)):
            for step, one in enumerate(out):
                self.note(one, self._of_step(signal, step))
            return signal
        index = args[-1] if name == "__getitem__" or args[1] == 0 else None
        if not isinstance(index, int):
            return None
        return self._of_step(signal, index % self.n_steps)

    def _of_step(self, signal: Signal, step: int) -> Signal:
        return Signal(tuple(_at(term, step) for term in signal.value))

    def _stacked(self, args: Any, kwargs: Any) -> Signal | None:
        """One signal of each step, in order, is a whole sequence."""
        parts = [self.taken(one) for one in args[0]]
        dim = args[1] if len(args) > 1 else kwargs.get("dim", 0)
        if dim != 0 or len(parts) != self.n_steps or any(part is None or part.whole for part in parts):
            return None
        first, *others = [[replace(t, step=None) for t in part.value] for part in parts if part is not None]
        in_order = all(t.step in (None, step) for step, part in enumerate(parts) if part for t in part.value)
        return Signal(tuple(first), whole=True) if in_order and all(other == first for other in others) else None

    def _as_layer(self, name: str, args: Any, kwargs: Any, signal: Signal, out: Any) -> Signal | None:
        """A function of torch as the layer that does the same."""
        if not isinstance(out, Tensor):
            return None
        if name in SAME and out.shape == args[0].shape and out.is_floating_point():
            # F.dropout goes on outside of training, unless it is told the difference
            return None if name == "dropout" and (args[2:] or (kwargs.get("training", True),))[0] else signal
        if name in ("flatten", "view", "reshape", "squeeze"):
            lead = 2 if signal.whole else 1
            if out.shape == args[0].shape:
                return signal
            if out.shape[:lead] == args[0].shape[:lead] and out.dim() == lead + 1:
                return replace(signal, value=self.drawing.layer(*self._named("flatten", nn.Flatten), signal.value))
            # of (B, C, 1, 1), whose second axis of 1 goes later
            return signal if name == "squeeze" and out.shape[:lead] == args[0].shape[:lead] else None
        if name in POOLS and not signal.whole:
            kwargs = {key: value for key, value in kwargs.items() if key != "return_indices"}
            layer = self._named(name, POOLS[name], *args[1:], **kwargs)
            return replace(signal, value=self.drawing.layer(*layer, signal.value))
        return None

    def _named(self, name: str, kind: Callable[..., nn.Module], *args: Any, **kwargs: Any) -> tuple[str, nn.Module]:
        """One layer for all calls that mean the same, so that every step of a loop is seen to."""
        key = f"{name} {args} {kwargs}"
        if key not in self.functions:
            n = sum(made == name for made, _ in self.functions.values())
            self.functions[key] = (f"{name}{n + 1}" if n else name, kind(*args, **kwargs))
        return self.functions[key]

    # ------------------------------------------------------------------------------------------------- tensors

    def note(self, tensor: Tensor, signal: Signal) -> None:
        self.signals[id(tensor)] = (tensor, signal)
        self.others.pop(id(tensor), None)

    def other(self, tensor: Tensor, other: Other) -> None:
        self.others[id(tensor)] = (tensor, other)
        self.signals.pop(id(tensor), None)  # it may have been changed in its place

    def of(self, thing: Any) -> Signal | None:
        found = self.signals.get(id(thing))
        return None if found is None else found[1]

    def taken(self, thing: Any) -> Signal | None:
        """The same for what something is made of, which has to be a signal."""
        _, other = self.others.get(id(thing), (None, None))
        if other is not None:
            self.drawing.refuse(other.problem)
            return other.signal
        return self.of(thing)

    def end(self, out: Any) -> Recorded:
        """What the forward pass returns; of several things the first."""
        beside: list[Any] = []
        while isinstance(out, tuple | list) and out and id(out[0]) not in self.others and self.of(out) is None:
            if len(out) == self.n_steps > 1 and all(self.of(one) for one in out):  # a list of each step's output
                signal = self._stacked((list(out),), {})
                if signal is not None:
                    return Recorded(signal.value, "whole", self.sequence)
            out, beside = out[0], [*out[1:], *beside]
        if isinstance(out, tuple | list) and out:
            out = out[0]
        signal = self.taken(out)
        if signal is None and self.drawing.problems:  # which say why
            signal = self.start
        if signal is None:
            kind = f"a {type(out).__name__} that comes from none of its layers"
            raise Unsupported(f"returns {kind}", ways_out="return the output of its last layer or cell")
        kind = "step" if self.drawing.problems else self._kind(signal)
        self._leads_here(signal, beside)
        # of a sum over time the terms of one step, which are those of all
        value = signal.value[: len(signal.value) // self.n_steps] if kind == "summed" else signal.value
        carries = bool(beside) and all(id(part) in self.states for part in _tensors(beside))
        return Recorded(value, kind, self.sequence, carries and kind == "step", tuple(self.looked))

    def _leads_here(self, signal: Signal, beside: Any) -> None:
        """Refuses other outputs that are made of the first, or of what it is not made of."""
        ends = [replace(term, step=None) for term in signal.value]
        found: list[Term] = []
        while ends:
            term = ends.pop()
            if term not in found:
                found.append(term)
                ends += [replace(one, step=None) for call in self.drawing.calls.get(term.source, []) for one in call]
        for other in (self.of(part) for part in _tensors(beside)):
            for term in other.value if other else ():
                if not any(
                    term.source == one.source and term.layers == one.layers[: len(term.layers)] for one in found
                ):
                    self.drawing.refuse(
                        "returns several outputs, and the first is not the last; return the answer first"
                    )

    def _kind(self, signal: Signal) -> str:
        calls = {name: len(calls) for name, calls in self.drawing.calls.items()}
        stepping = {n for name, n in calls.items() if not isinstance(self.drawing.cells[name], SEQUENCES)}
        fewest = min(stepping, default=1)
        if len(stepping) > 1:
            why = f"others {fewest}; each place in the network needs a cell of its own"
            self.drawing.refuse(*(f"{name}: is called {n} times, {why}" for name, n in calls.items() if n > fewest))
        elif fewest not in (1, self.n_steps):
            why = f"a cell takes each of the {self.n_steps} steps once"
            self.drawing.refuse(*(f"{name}: is called {n} times; {why}" for name, n in calls.items()))
        if signal.whole:
            return "whole"
        if stepping <= {1} and not self.sequence:
            return "step"
        steps = [term.step for term in signal.value]
        if set(steps) == {self.n_steps - 1}:
            return "last"
        if not self.drawing.problems and not _alike_at_each_step(signal, self.n_steps):
            self.drawing.refuse("what it returns is no sum over all steps, nor the last one, nor a stack of all")
        return "summed"


def _alike_at_each_step(signal: Signal, n_steps: int) -> bool:
    """Whether it has the same terms at every step, in order."""
    each = len(signal.value) // n_steps
    first = [replace(term, step=0) for term in signal.value[:each]]
    parts = [signal.value[k * each : (k + 1) * each] for k in range(n_steps)]
    return all(
        [replace(t, step=0) for t in part] == first and {t.step for t in part} == {k} for k, part in enumerate(parts)
    )


def _problem(name: str) -> str:
    """Of a function of torch whose result is used, with the line that calls it."""
    return f"{SHOWN.get(name, name)}{_line()} is {MEANING.get(name, NEITHER)}"


def _at(term: Term, step: int) -> Term:
    return replace(term, step=step)


def _tensors(state: Any) -> list[Tensor]:
    if isinstance(state, Tensor):
        return [state]
    return [tensor for part in state for tensor in _tensors(part)] if isinstance(state, tuple | list) else []


def _line(frames: traceback.StackSummary | None = None) -> str:
    """The innermost line of the user's own code, of those that are running if no others are given."""
    here = Path(__file__).parent
    for frame in reversed(frames or traceback.extract_stack()):
        path = Path(frame.filename)
        if path.exists() and "site-packages" not in frame.filename and path.parent != here:
            return f" ({path.name}, line {frame.lineno})"
    return ""
