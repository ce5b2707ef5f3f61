"""The scan's gradients against a slow differentiable reference in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seamount.compile.arithmetic.scan import lif_scan
from seamount.compile.arithmetic.surrogate import SURROGATES, Surrogate, lif_spikes
from seamount.compile.program import Lif, ints
from seamount.errors import Unsupported


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx, v, fired, surrogate, slope, unit):
        ctx.save_for_backward(v)
        ctx.options = surrogate, slope, unit
        return fired

    @staticmethod
    def backward(ctx, gradient):
        (v,) = ctx.saved_tensors
        surrogate, slope, unit = ctx.options
        return gradient * SURROGATES[surrogate](v / unit, slope) / unit, None, None, None, None


def reference(drive, bias, lif, shape, surrogate, slope, unit, reset_at, through_reset):
    """Autograd through the equations, whose values are put right to the integers at every step."""
    exact = lif_scan(drive, lif, shape, reset_at=reset_at, want=("v", "u", "v_before_reset"))
    u = v = torch.zeros_like(drive[0])
    spikes, potentials = [], []
    for t in range(len(drive)):
        if t in reset_at:
            u, v = torch.zeros_like(u), torch.zeros_like(v)
        u = u * torch.from_numpy(1 - lif.du / 4096) + 64 * drive[t]
        before = v * torch.from_numpy(1 - lif.dv / 4096) + u + bias
        before = before + (exact.v_before_reset[t] - before).detach()
        fired = exact.spikes[t].double()
        spike = _Step.apply(before - torch.from_numpy(lif.v_th_mant << 6), fired, surrogate, slope, unit)
        v = before * (1 - (spike if through_reset else spike.detach()))
        spikes.append(spike)
        potentials.append(v)
    return torch.stack(spikes), torch.stack(potentials)


@pytest.mark.parametrize("surrogate", ["sigmoid", "triangle", "superspike", "arctan"])
@pytest.mark.parametrize("through_reset", [True, False])
def test_gradients_equal_the_reference(surrogate: Surrogate, through_reset: bool) -> None:
    random = np.random.default_rng(3)
    shape = (3, 2)
    lif = Lif(
        du=ints(random.integers(0, 4097, shape)),
        dv=ints(random.integers(0, 4097, shape)),
        v_th_mant=ints(random.integers(50, 200, shape)),
        bias_mant=ints(7),
        bias_exp=ints(6),
    )
    drive = torch.from_numpy(random.integers(-60, 120, (9, 4, *shape))).double().requires_grad_()
    bias = torch.full(shape, 7.0 * 64, dtype=torch.float64, requires_grad=True)
    options = {"surrogate": surrogate, "slope": 2.5, "unit": 3000.0, "reset_at": (4,), "through_reset": through_reset}
    weights = torch.from_numpy(random.normal(size=(2, 9, 4, *shape)))
    gradients = []
    for run in (
        lambda: lif_spikes(drive, lif, shape, bias=bias, **options),
        lambda: reference(drive, bias, lif, shape, **options),
    ):
        spikes, v = run()
        loss = (weights[0] * spikes).sum() + (weights[1] * v / 3000).sum()
        gradients.append((spikes.detach(), v.detach(), *torch.autograd.grad(loss, (drive, bias))))
    assert int(gradients[0][0].sum()) > 10
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_a_refractory_period_is_refused() -> None:
    lif = Lif(ints(4096), ints(0), ints(10), refractory_steps=2)
    with pytest.raises(Unsupported) as refused:
        lif_spikes(torch.zeros(2, 1, 3), lif, (3,))
    assert str(refused.value) == "a refractory period has no surrogate gradient here; train without one"
