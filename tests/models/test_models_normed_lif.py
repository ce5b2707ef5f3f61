"""Batch norm taken into the LIF behind it: norse's spikes, gradients of the plain definition in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seamount.models.cells import SASTC, SEAL, Neurons, Surrogate, lif, lif_box
from seamount.models.lif.normed import fits, normed_lif
from seamount.models.zoo import build_student


def last(x: Tensor) -> Tensor:
    """Maps (T, B, C, H, W) with channels last."""
    return x.flatten(0, 1).contiguous(memory_format=torch.channels_last).view(x.shape) if x.dim() == 5 else x


def a_norm(n_channels: int, kind: type = nn.BatchNorm2d) -> Any:
    norm = kind(n_channels).train()
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    nn.init.uniform_(norm.bias, -0.3, 0.5)
    return norm


def plain(norm: Any, x: Tensor, other: Tensor | None, neurons: Neurons, n_steps: int) -> Tensor:
    """The definition: batch norm over time, the sum, norse's own steps; of anything in float64."""
    drive = norm(x.flatten(0, 1)).view(x.shape)
    neurons.fused = False
    return neurons(drive if other is None else drive + other, n_steps)


CASES = [
    # steps of x, samples, shape; steps of the neurons, something added
    (2, 3, (16, 8, 8), 2, False),
    (3, 4, (24, 4, 6), 3, True),
    (1, 5, (48, 4, 4), 4, False),
    (1, 2, (3, 32, 32), 3, True),
    (2, 16, (32, 32, 32), 2, True),  # several strips
    (3, 40, (64,), 3, False),
]


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("neurons", ["box", "cuba"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_spikes_are_norses_and_gradients_the_definitions(case: Any, neurons: str, n_threads: int) -> None:
    n_own, batch, shape, n_steps, has_other = case
    torch.manual_seed(0)
    made = lif_box(0.5) if neurons == "box" else lif(0.4, 0.3, surrogate=SASTC, v_leak=-0.1, v_reset=0.2)
    x = last(torch.randn(n_own, batch, *shape) * 1.5 + 3).requires_grad_()
    other = last((torch.rand(n_own, batch, *shape) < 0.2).float()).requires_grad_() if has_other else None
    norm = a_norm(shape[0], nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d)
    exact = a_norm(shape[0], type(norm))
    exact.load_state_dict(norm.state_dict())
    exact.double()
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        assert fits(norm, x, other)
        spikes = normed_lif(norm, x, other, made.constants(), n_steps)
        weights = last(torch.randn(spikes.shape))
        found = torch.autograd.grad(spikes, [v for v in (x, other, norm.weight, norm.bias) if v is not None], weights)
    finally:
        torch.set_num_threads(before)
    x64 = x.detach().double().requires_grad_()
    other64 = None if other is None else other.detach().double().requires_grad_()
    defined = plain(exact, x64, other64, made.double(), n_steps)
    asked = [v for v in (x64, other64, exact.weight, exact.bias) if v is not None]
    wanted = torch.autograd.grad(defined, asked, weights.double())
    assert 0.02 < spikes.mean() < 0.9
    assert torch.equal(spikes, defined.float())
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= 2e-5 * max(1.0, float(b.abs().max()))
    assert torch.allclose(norm.running_mean.double(), exact.running_mean, rtol=1e-6)
    assert torch.allclose(norm.running_var.double(), exact.running_var, rtol=1e-6)
    assert norm.num_batches_tracked == 1


@pytest.mark.parametrize("surrogate", [SEAL, SASTC, Surrogate("super"), Surrogate("circ", 0.5)], ids=str)
def test_bf16_keeps_a_float32_state(surrogate: Surrogate) -> None:
    torch.manual_seed(0)
    neurons = lif_box(0.25, surrogate=surrogate)
    x = last(torch.randn(4, 8, 16, 8, 8).bfloat16())
    norms = [a_norm(16), a_norm(16)]
    norms[1].load_state_dict(norms[0].state_dict())
    narrow, wide = x.clone().requires_grad_(), x.float().requires_grad_()
    spikes, wanted = (
        normed_lif(n, v, None, neurons.constants(), 4) for n, v in zip(norms, (narrow, wide), strict=True)
    )
    assert spikes.dtype == torch.bfloat16
    assert torch.equal(spikes.float(), wanted)
    weights = last(torch.randn(x.shape).bfloat16())
    (a,) = torch.autograd.grad(spikes, narrow, weights)
    (b,) = torch.autograd.grad(wanted, wide, weights.float())
    # two roundings to 8 bits of values as large as the largest
    assert (a.float() - b).abs().max() < 0.01 * b.abs().max()


def test_what_it_is_not_made_for_goes_torchs_way() -> None:
    x = last(torch.randn(2, 3, 16, 8, 8))
    norm = nn.BatchNorm2d(16)
    assert fits(norm, x, None)
    assert not fits(norm, x.contiguous(), None)
    assert not fits(norm, x, x[:1])
    assert not fits(norm, x.double(), None)
    assert not fits(norm, last(torch.randn(2, 3, 3, 5, 5)), None), "no whole number of vectors"
    assert not fits(nn.BatchNorm2d(16, momentum=None), x, None)
    assert not fits(nn.BatchNorm2d(16, affine=False), x, None)
    assert not fits(nn.BatchNorm2d(16).eval(), x, None)
    with torch.no_grad():
        assert not fits(norm, x, None)
    norm.register_forward_hook(lambda *_: None)
    assert not fits(norm, x, None)


@pytest.mark.parametrize("name", ["vgg9", "resnet18"])
def test_a_student_learns_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained() -> list[float]:
        torch.manual_seed(0)
        net = build_student(name, n_classes=4, input_shape=(3, 8, 8), n_steps=2, width=0.25).train()
        net.to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(net.parameters(), 0.01)
        x, labels, losses = torch.rand(8, 3, 8, 8), torch.arange(8) % 4, []
        for _ in range(3):
            loss = nn.functional.cross_entropy(net(x).logits.mean(0), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    asked: list[bool] = []

    def watched(*arguments: Any) -> bool:
        asked.append(fits(*arguments))
        return asked[-1]

    monkeypatch.setattr("seamount.models.lif.normed.fits", watched)
    found = trained()
    assert any(asked)
    monkeypatch.setattr("seamount.models.lif.normed.fits", lambda *_: False)
    assert found == pytest.approx(trained(), rel=1e-3)


def test_a_hook_of_a_population_sees_the_drive() -> None:
    net = build_student("small", n_classes=4, input_shape=(3, 8, 8), n_steps=2).train()
    net.to(memory_format=torch.channels_last)
    seen: list[tuple[int, ...]] = []
    net.populations["conv1"].register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    net(torch.rand(4, 3, 8, 8))
    assert seen == [(1, 4, 16, 8, 8)]
