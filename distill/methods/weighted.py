"""Methods as weighted sums of terms: the published ones by name (``choices.py``), any other from the settings."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from seamount.errors import ConfigError

from ..choices import METHODS, TERMS
from ..config import check_method
from .lesson import Lesson, Settings, Term


def weights_of(method: str | Mapping[str, float]) -> dict[str, float]:
    """The terms of a method and their weights."""
    try:
        check_method(method)
    except ValueError as error:
        raise ConfigError(str(error), where="method") from None
    weights = METHODS[method] if isinstance(method, str) else method
    return {name: float(weight) for name, weight in weights.items() if weight > 0}


def needs_teacher(weights: Mapping[str, float]) -> bool:
    return any(TERMS[name].teacher for name in weights)


def needs_maps(weights: Mapping[str, float]) -> bool:
    return any(TERMS[name].maps for name in weights)


def term(name: str) -> type[Term]:
    """The class of a term."""
    found: type[Term] = getattr(importlib.import_module(f".{TERMS[name].file}", __package__), TERMS[name].name)
    return found


class WeightedSum(nn.Module):
    """The loss of a method: every term's value, and their weighted sum."""

    def __init__(self, weights: Mapping[str, float], settings: Settings | None = None) -> None:
        super().__init__()
        self.weights = dict(weights)
        self.terms = nn.ModuleDict({name: term(name).of(settings or Settings()) for name in weights})

    def forward(self, lesson: Lesson) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and each term before its weight, detached."""
        values = {name: value(lesson) for name, value in self.terms.items()}
        total = torch.stack([self.weights[name] * value for name, value in values.items()]).sum()
        return total, {name: value.detach() for name, value in values.items()}
