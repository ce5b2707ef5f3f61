"""One step of the graded neuron models on torch tensors, CPU or CUDA: the integers of their definitions, fast.

int32 wraps at 32 bits as Lava's states do, so that what ``graded.held`` says in the definitions costs nothing here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np
import torch

from ..neurons.delta import Delta
from ..neurons.delta_coding import DeltaCoding
from ..neurons.graded_relu_vec import GradedReluVec
from ..neurons.graded_vec import GradedVec
from ..neurons.models import Graded, Resonating, SigmaDeltas
from ..neurons.norm_vec_delay import NormVecDelay
from ..neurons.prod_neuron import ProdNeuron
from ..neurons.rf import Rf
from ..neurons.rf_iz import RfIz
from ..neurons.sigma import Sigma
from ..neurons.sigma_delta import SigmaDelta
from ..numbers import V_MAX, Ints

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class TensorStep:
    """As ``neurons.model.Step``, (B, n) tensors: int32 where values, bool where not.

    Attributes:
        wraps, saturates: None: nowhere.
    """

    state: Tensors
    sent: torch.Tensor
    compared: Tensors
    wraps: torch.Tensor | None = None
    saturates: torch.Tensor | None = None


Stepper = Callable[[Tensors, Sequence[torch.Tensor]], TensorStep]
"""State and int32 drives (B, n) to what the step did; the state that it is given stays as it is."""

TensorStepped = SigmaDeltas | Resonating | Graded
"""Models that have such a step."""

_HALF = 1 << 23


def stepper(neuron: TensorStepped, shape: tuple[int, ...], device: torch.device) -> Stepper:
    """The step of a population whose neurons lie in C order."""

    def flat(values: Ints) -> torch.Tensor:
        whole = np.broadcast_to(values, shape).reshape(math.prod(shape))
        return torch.from_numpy(whole.astype(np.int32)).to(device)

    match neuron:
        case Delta():
            v_th = flat(neuron.v_th)
            return lambda state, drives: _coded(neuron, v_th, state, drives[0] << neuron.shift, {})
        case SigmaDelta():
            return _sigma_delta(neuron, flat(neuron.v_th), flat(neuron.bias))
        case Sigma():
            return _sigma
        case Rf() | RfIz():
            return _resonator(neuron, *(flat(x).long() for x in (neuron.sin_decay, neuron.cos_decay, neuron.v_th)))
        case GradedVec() | GradedReluVec() | ProdNeuron() | NormVecDelay():
            return _graded(neuron, flat(neuron.v_th))
        case _:
            assert_never(neuron)


def _leaves(*values: torch.Tensor) -> torch.Tensor:
    """Where one of the values lies beyond 24 bits: x + 2**23 then has a bit above them."""
    above = values[0] + _HALF
    for x in values[1:]:
        above |= x + _HALF
    return above >> 24 != 0


def _coded(neuron: DeltaCoding, v_th: torch.Tensor, state: Tensors, act: torch.Tensor, sums: Tensors) -> TensorStep:
    delta = act - state["act"] + state["residue"]
    error = after = state["error"]
    if neuron.cum_error:
        error = error + delta
        coded = torch.where(error.abs() >= v_th, delta, 0)
        after = torch.where(coded.abs() > 0, 0, error)
    else:
        coded = torch.where(delta.abs() >= v_th, delta, 0)
    residue = delta - coded
    new = {**sums, "act": act, "residue": residue, "error": after}
    # an error that is not compared stays 0
    wraps = _leaves(*(x for name, x in new.items() if neuron.cum_error or name != "error"))
    return TensorStep(new, coded >> neuron.state_exp, {**sums, "act": act, "error": error}, wraps)


def _sigma_delta(neuron: SigmaDelta, v_th: torch.Tensor, bias: torch.Tensor) -> Stepper:
    def step(state: Tensors, drives: Sequence[torch.Tensor]) -> TensorStep:
        sigma = state["sigma"] + drives[0]
        act = sigma + bias
        return _coded(neuron, v_th, state, act.clamp_(min=0) if neuron.rectified else act, {"sigma": sigma})

    return step


def _sigma(state: Tensors, drives: Sequence[torch.Tensor]) -> TensorStep:
    sigma = state["sigma"] + drives[0]
    return TensorStep({"sigma": sigma}, sigma, {"sigma": sigma}, _leaves(sigma))


def _resonator(neuron: Resonating, sin: torch.Tensor, cos: torch.Tensor, v_th: torch.Tensor) -> Stepper:
    def kept(product: torch.Tensor) -> torch.Tensor:
        return product.sign() * (product.abs() >> neuron.decay_bits)

    def step(state: Tensors, drives: Sequence[torch.Tensor]) -> TensorStep:
        real, imag = state["real"].long(), state["imag"].long()
        more_real, more_imag = ((drive << neuron.state_exp).long() for drive in drives)
        exact_real = kept(cos * real) - kept(sin * imag) + more_real
        exact_imag = kept(sin * real) + kept(cos * imag) + more_imag
        new_real, new_imag = exact_real.clamp(-V_MAX, V_MAX), exact_imag.clamp(-V_MAX, V_MAX)
        compared = {"real": new_real, "imag": new_imag}
        cut = (new_real != exact_real) | (new_imag != exact_imag)
        if isinstance(neuron, Rf):
            fires = (new_real >= v_th) & (new_imag >= 0) & (imag < 0)
        else:
            fires = new_imag >= v_th
            new_real, new_imag = torch.where(fires, 0, new_real), torch.where(fires, v_th - 1, new_imag)
        return TensorStep({"real": new_real.int(), "imag": new_imag.int()}, fires.int(), compared, saturates=cut)

    return step


def _graded(neuron: Graded, v_th: torch.Tensor) -> Stepper:
    def step(state: Tensors, drives: Sequence[torch.Tensor]) -> TensorStep:
        match neuron:
            case GradedVec():
                return TensorStep({}, _above(drives[0].abs(), v_th, drives[0]), {}, _leaves(drives[0]))
            case GradedReluVec():
                return TensorStep({}, _above(drives[0], v_th, drives[0]), {}, _leaves(drives[0]))
            case ProdNeuron():
                value = (drives[0] * drives[1]) >> neuron.exp
                return TensorStep({}, _above(value.abs(), v_th, value), {}, _leaves(value))
            case NormVecDelay():
                first, value = drives[0], state["before"] * drives[1]
                after = {"before": first}
                return TensorStep(after, _above(value.abs(), v_th, value), after, _leaves(first, value))
            case _:
                assert_never(neuron)

    return step


def _above(compared: torch.Tensor, v_th: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    return torch.where(compared > v_th, value, 0)
