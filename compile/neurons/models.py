"""All neuron models."""

from __future__ import annotations

from typing import get_args

from .atrlif import Atrlif
from .delta import Delta
from .graded_relu_vec import GradedReluVec
from .graded_vec import GradedVec
from .lif import Lif
from .model import NeuronModel
from .norm_vec_delay import NormVecDelay
from .prod_neuron import ProdNeuron
from .relay import Relay
from .rf import Rf
from .rf_iz import RfIz
from .sigma import Sigma
from .sigma_delta import SigmaDelta
from .ternary_lif import TernaryLif

Resonating = Rf | RfIz
SigmaDeltas = Delta | SigmaDelta | Sigma
Graded = GradedVec | GradedReluVec | ProdNeuron | NormVecDelay
Neuron = Lif | TernaryLif | Atrlif | Relay | SigmaDeltas | Resonating | Graded

MODELS: tuple[type[NeuronModel], ...] = get_args(Neuron)
"""A table that a consumer keeps per model is tested to have these entries."""
