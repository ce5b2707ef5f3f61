"""All neuron models."""

from __future__ import annotations

from typing import get_args

from .lif import Lif
from .model import NeuronModel
from .relay import Relay
from .ternary_lif import TernaryLif

Neuron = Lif | TernaryLif | Relay

MODELS: tuple[type[NeuronModel], ...] = get_args(Neuron)
"""A table that a consumer keeps per model is tested to have these entries."""
