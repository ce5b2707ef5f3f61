"""Nothing of a student, a quantised student or the simulator stays on the CPU when it is run on CUDA."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("triton", reason="triton is not installed")

from seamount.distill.quantised import QuantisedStudent
from seamount.hardware_targets.simulator import simulate
from seamount.models.spiking_net import SpikingNet
from seamount.models.zoo import build_student

from ..simulator.random_programs import random_case
from .pretend import CUDA, MixedDevices, Pretend, backward, moved, pretended_cuda

pytestmark = [
    pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device: other tests run on it"),
    pytest.mark.skipif(
        not hasattr(torch._C, "_ensureCUDADeviceGuardSet"), reason=f"torch {torch.__version__} cannot pretend a GPU"
    ),
]


def student(architecture: str) -> SpikingNet:
    torch.manual_seed(0)
    return build_student(architecture, n_classes=10, input_shape=(3, 16, 16), n_steps=2, width=0.0625)


def quantised(architecture: str) -> nn.Module:
    net = student(architecture).train()
    x = torch.rand(8, 3, 16, 16)
    with torch.no_grad():  # statistics to fold: a net whose layers fire
        for _ in range(3):
            net(x)
    return QuantisedStudent(net).calibrate(x)


@pytest.mark.parametrize("architecture", ["small", "resnet18"])
@pytest.mark.parametrize("make", [student, quantised])
def test_a_step_of_training_stays_on_its_device(architecture: str, make: Callable[[str], nn.Module]) -> None:
    here = make(architecture).train()
    there = moved(copy.deepcopy(here))
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    here(x).logits.sum().backward()
    with pretended_cuda():
        out = there(Pretend(x)).logits
        assert out.device == CUDA
        found = backward(out)
    for (name, one), other in zip(here.named_parameters(), there.parameters(), strict=True):
        assert (one.grad is None) == (id(other) not in found), name
        if one.grad is not None:
            gradient = found[id(other)]
            assert gradient.device == CUDA, name
            # other sums of convolutions: within rounding
            assert torch.allclose(gradient.held.float(), one.grad, rtol=1e-3, atol=1e-4), name


@pytest.mark.parametrize("seed", range(20))
def test_the_simulator_stays_on_its_device(seed: int) -> None:
    program, inputs, n_steps = random_case(seed)
    here = simulate(program, inputs, n_steps=n_steps)
    with pretended_cuda():
        there = simulate(program, inputs, n_steps=n_steps, device="cuda")
    for name, spikes in here.spikes.items():
        assert np.array_equal(spikes, there.spikes[name]), name
    assert str(here.events) == str(there.events)


def test_mixed_devices_are_found() -> None:
    with pretended_cuda():
        x = torch.zeros(3, device="cuda")
        assert x.device == CUDA
        with pytest.raises(MixedDevices, match=r"add.*: \[\(3,\)\] on the CPU, 1 on CUDA"):
            x + torch.ones(3)
        assert (x + torch.tensor(1)).cpu().tolist() == [1, 1, 1]
