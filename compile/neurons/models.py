"""All neuron models."""

from __future__ import annotations

from .lif import Lif
from .relay import Relay
from .ternary_lif import TernaryLif

Neuron = Lif | TernaryLif | Relay
