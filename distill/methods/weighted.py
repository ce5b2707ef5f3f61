"""Methods as weighted sums of terms: the published ones by name (``choices.py``), any other from the settings."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seamount.errors import ConfigError
from seamount.own import is_own

from .. import choices
from ..choices import METHODS, TERMS
from ..config import check_method
from .lesson import Lesson, Settings, Term
from .own import OwnTerm

Whose = Literal["student", "teacher"]


def weights_of(method: str | Mapping[str, float]) -> dict[str, float]:
    """The terms of a method and their weights."""
    try:
        check_method(method)
    except ValueError as error:
        raise ConfigError(str(error), where="method") from None
    if isinstance(method, str):
        weights = {method: 1.0} if is_own(method) else METHODS[method]
    else:
        weights = method
    return {name: float(weight) for name, weight in weights.items() if weight > 0}


def needs_teacher(weights: Mapping[str, float], options: Mapping[str, Any]) -> bool:
    """``options`` are those of one's own loss, which is made with them and asked what it takes."""
    return any(_asks(name, options, "teacher_logits", "teacher_maps") or _ours(name).teacher for name in weights)


def needs_maps(whose: Whose, weights: Mapping[str, float], options: Mapping[str, Any]) -> bool:
    return any(_asks(name, options, f"{whose}_maps") or _ours(name).maps for name in weights)


def _asks(name: str, options: Mapping[str, Any], *parameters: str) -> bool:
    return is_own(name) and any(p in OwnTerm(name, options).asks for p in parameters)


def _ours(name: str) -> choices.Term:
    return TERMS.get(name, choices.Term("", ""))


def term(name: str) -> type[Term]:
    """The class of a term."""
    found: type[Term] = getattr(importlib.import_module(f".{TERMS[name].file}", __package__), TERMS[name].name)
    return found


def made(name: str, settings: Settings) -> nn.Module:
    """A term, ours or one's own, under these settings."""
    return OwnTerm(name, settings.options) if is_own(name) else term(name).of(settings)


class WeightedSum(nn.Module):
    """The loss of a method: every term's value, and their weighted sum."""

    def __init__(self, weights: Mapping[str, float], settings: Settings | None = None) -> None:
        super().__init__()
        self.weights = dict(weights)
        self.names = {_key(name): name for name in weights}
        self.terms = nn.ModuleDict({_key(name): made(name, settings or Settings()) for name in weights})

    def forward(self, lesson: Lesson) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and each term before its weight, detached."""
        values = {self.names[key]: value(lesson) for key, value in self.terms.items()}
        total = torch.stack([self.weights[name] * value for name, value in values.items()]).sum()
        return total, {name: value.detach() for name, value in values.items()}


def _key(name: str) -> str:
    return name.replace(".", "_")  # torch parts the names of modules with dots
