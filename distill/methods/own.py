"""A loss of one's own (``distill.method = "mine.py:Loss"``), called with what of a lesson it has parameters for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from seamount import own
from seamount.errors import ConfigError

from .lesson import Lesson

SETTING = "distill.method"
GIVEN = own.OFFERED[SETTING]


class OwnTerm(nn.Module):
    """One's own function or module as a term; parameters of a module are trained with the student."""

    def __init__(self, reference: str, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.reference = reference
        self.loss = _loss(reference, options)
        self.asks = tuple(name for name in own.parameters(_signed(self.loss)) if name in GIVEN)
        if "logits" not in self.asks:
            found = f"{reference} gives {type(self.loss).__name__}, which has no parameter logits"
            possible = f"a loss is called with what it names of {', '.join(GIVEN)}"
            raise ConfigError(found, where=SETTING, possible=possible)

    def forward(self, lesson: Lesson) -> Tensor:
        given: dict[str, Any] = {"logits": lesson.student, "labels": lesson.labels}
        if "teacher_logits" in self.asks:
            given["teacher_logits"] = lesson.teacher
        given |= {"student_maps": lesson.student_maps, "teacher_maps": lesson.teacher_maps}
        asked = {name: given[name] for name in self.asks}
        before = _writes(asked)
        loss = own.called(self.reference, SETTING, self.loss, asked)
        changed = [name for name, n in _writes(asked).items() if n != before[name]]
        if changed:  # which other terms, and the accuracy that is told, are of
            ways_out = f"change a copy, as {changed[0]}.clone()"
            found = f"{self.reference} changes {' and '.join(changed)} in place"
            raise ConfigError(found, where=SETTING, ways_out=ways_out)
        if not isinstance(loss, Tensor) or loss.dim():
            shape = f"a tensor {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise ConfigError(f"{self.reference} returned {shape}", where=SETTING, possible="needed is one number")
        if loss.device != lesson.logits.device or not loss.dtype.is_floating_point:
            found = f"{self.reference} returned a number of {loss.dtype} on {loss.device}"
            possible = f"needed is a real number on {lesson.logits.device}, where the logits are"
            raise ConfigError(found, where=SETTING, possible=possible)
        if not loss.requires_grad and lesson.logits.requires_grad:
            found = f"{self.reference} returned a number that does not follow from the logits"
            raise ConfigError(found, where=SETTING, ways_out="compute it from them without detach() or item()")
        return loss


def _writes(asked: Mapping[str, Any]) -> dict[str, int]:
    """How often each was written to, as torch counts it where it could matter to a gradient."""
    values = {name: [value] if isinstance(value, Tensor) else value.values() for name, value in asked.items()}
    return {name: sum(one._version for one in some if not one.is_inference()) for name, some in values.items()}


def _loss(reference: str, options: Mapping[str, Any]) -> Callable[..., Any]:
    """A function of the logits is the loss; any other, or a class, makes it."""
    thing = own.find(reference, SETTING)
    if not (own.is_maker(thing) and not isinstance(thing, type) and "logits" in own.parameters(thing)):
        made = own.make(reference, SETTING, {}, options)
        if not callable(made):
            found = f"{reference} gave {type(made).__name__}"
            raise ConfigError(found, where=SETTING, possible="needed is a function or module of the logits")
        return made  # type: ignore[no-any-return]
    return functools.partial(thing, **own.arguments(reference, SETTING, thing, dict.fromkeys(GIVEN), options))


def _signed(loss: Callable[..., Any]) -> Callable[..., Any]:
    return loss.forward if isinstance(loss, nn.Module) else loss
