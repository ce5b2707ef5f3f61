"""The gradient of weights summed over spikes, against torch's in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seamount.models.spike_conv import fits, spike_conv
from seamount.models.weight_gradient import spike_weight_gradient
from seamount.models.zoo import build_student


def last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def product(x: torch.Tensor, gradient: torch.Tensor, weight: torch.Tensor, stride: int) -> torch.Tensor:
    found = torch.ops.aten.convolution_backward(
        gradient.double(), x.double(), weight.double(), None, (stride,) * 2, (1, 1), (1, 1), False, (0, 0), 1,
        [False, True, False],
    )  # fmt: skip
    return found[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "shape",
    # samples, channels in and out, height, width, stride: strips, odd sides, several samples at once, wide lines
    [(3, 16, 16, 32, 32, 1), (2, 3, 48, 7, 9, 1), (2, 5, 16, 7, 9, 2), (5, 40, 64, 8, 8, 2), (9, 32, 128, 5, 3, 1),
     (2, 4, 32, 1, 1, 1), (2, 4, 32, 20, 300, 2), (2, 33, 16, 3, 2, 2)],
)  # fmt: skip
@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_sum_over_spikes_is_the_product(
    shape: tuple[int, int, int, int, int, int], dtype: torch.dtype, n_threads: int
) -> None:
    n, c_in, c_out, height, width, stride = shape
    torch.manual_seed(0)
    x = last((torch.rand(n, c_in, height, width) < 0.2).to(dtype))
    weight = torch.randn(c_out, c_in, 3, 3)
    gradient = last(torch.randn(torch.conv2d(x.float(), weight, None, stride, 1).shape).to(dtype))
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        found = spike_weight_gradient(x, gradient, stride)
    finally:
        torch.set_num_threads(before)
    expected = product(x, gradient, weight, stride)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-5 * max(1.0, float(expected.abs().max()))


def test_a_convolution_of_spikes_gives_torchs_values_and_gradients() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(32, 16, 3, 2, 1).to(memory_format=torch.channels_last)
    x = last((torch.rand(4, 32, 9, 9) < 0.1).float()).requires_grad_()
    other = x.detach().clone().requires_grad_()
    assert fits(conv, x)
    out, expected = spike_conv(conv, x), conv(other)
    assert torch.equal(out, expected)
    assert conv.bias is not None
    found = torch.autograd.grad(out.square().sum(), (x, conv.weight, conv.bias))
    wanted = torch.autograd.grad(expected.square().sum(), (other, conv.weight, conv.bias))
    assert torch.equal(found[0], wanted[0])
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in zip(found[1:], wanted[1:], strict=True))


def test_what_the_sum_is_not_made_for_goes_torchs_way() -> None:
    x = last((torch.rand(4, 32, 8, 8) < 0.1).float())
    assert not fits(nn.Conv2d(32, 16, 3, padding=1, groups=2), x)
    assert not fits(nn.Conv2d(32, 16, 5, padding=2), x)
    assert not fits(nn.Conv2d(32, 20, 3, padding=1), x)
    assert not fits(nn.Conv2d(32, 16, 3, padding=1), x.contiguous())
    assert not fits(nn.Conv2d(32, 16, 3, padding=1), torch.ones_like(x)), "all fire"
    with torch.no_grad():
        assert not fits(nn.Conv2d(32, 16, 3, padding=1), x)


def test_a_student_learns_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained() -> tuple[list[float], int]:
        torch.manual_seed(0)
        net = build_student("vgg9", n_classes=4, input_shape=(3, 8, 8), n_steps=2, width=0.5).train()
        net.to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(net.parameters(), 0.01)
        x, labels, losses, n_sums = torch.rand(8, 3, 8, 8), torch.arange(8) % 4, [], 0
        for _ in range(3):
            loss = nn.functional.cross_entropy(net(x).logits.mean(0), labels)
            n_sums += _names(loss.grad_fn).count("_SpikeConvBackward")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses, n_sums

    found, n_sums = trained()
    monkeypatch.setattr("seamount.models.spiking_net.fits", lambda conv, x: False)
    wanted, none = trained()
    assert n_sums > 0
    assert none == 0
    assert found == pytest.approx(wanted, rel=1e-3)


def _names(node: object) -> list[str]:
    """Of everything that a backward pass from here runs."""
    seen, waiting = {}, [node]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen[node] = type(node).__name__
            waiting += [before for before, _ in node.next_functions]  # type: ignore[attr-defined]
    return list(seen.values())
