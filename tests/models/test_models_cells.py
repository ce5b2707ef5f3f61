"""The fused paths against norse's own stepping: the same spikes, gradients within 1e-5."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from seamount.errors import ConfigError, InputError
from seamount.models.cells import (
    SASTC,
    SEAL,
    Neurons,
    Surrogate,
    inverse_time_constant,
    li,
    li_box,
    lif,
    lif_box,
    snap,
)
from seamount.models.lif.constants import METHODS

SURROGATES = [SEAL, SASTC, *(Surrogate(m, a) for m, a in zip(METHODS[1:], (100, 0.3, 3, 0.5, 2), strict=True))]


def both(
    neurons: Neurons, drive: torch.Tensor, n_steps: int | None = None, recurrent: torch.Tensor | None = None
) -> list[tuple[torch.Tensor, ...]]:
    """(output, gradient of the drive, gradient of the recurrent weights) of the fused and of norse's path."""
    found = []
    for fused in (True, False):
        neurons.fused = fused
        x = drive.clone().requires_grad_()
        w = None if recurrent is None else recurrent.clone().requires_grad_()
        out = neurons(x, n_steps, w)
        torch.manual_seed(1)
        (out * torch.randn(out.shape)).sum().backward()
        found.append((out.detach(), x.grad, *(() if w is None else (w.grad,))))
    return found


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool((a - b).abs().max() <= 1e-5 * max(1.0, float(b.abs().max())))


@pytest.mark.parametrize("surrogate", SURROGATES, ids=lambda s: f"{s.method}-{s.alpha}")
@pytest.mark.parametrize("kind", ["box", "box scaled", "cuba"])
def test_spikes_equal_norse_and_gradients_are_close(kind: str, surrogate: Surrogate) -> None:
    torch.manual_seed(0)
    neurons = {
        "box": lambda: lif_box(0.3, surrogate=surrogate, whole_drive=False, v_leak=0.1, v_reset=-0.2),
        "box scaled": lambda: lif_box(0.5, surrogate=surrogate),
        "cuba": lambda: lif(0.4, 0.3, surrogate=surrogate, v_leak=-0.1, v_reset=0.2),
    }[kind]()
    drive = 1.5 * torch.randn(7, 3, 5, 9, 9)
    (spikes, gradient), (defined, defined_gradient) = both(neurons, drive)
    assert 0.02 < defined.mean() < 0.9
    assert torch.equal(spikes, defined)
    assert close(gradient, defined_gradient)


@pytest.mark.parametrize("make", [li, li_box])
def test_leaky_integrators_equal_norse(make: type) -> None:
    torch.manual_seed(0)
    for n_steps, drive in ((9, torch.randn(9, 3, 4)), (5, torch.randn(1, 3, 4))):
        (v, gradient), (defined, defined_gradient) = both(make(), drive, n_steps)
        assert close(v, defined)
        assert close(gradient, defined_gradient)


@pytest.mark.parametrize("make", [lambda: lif(0.4, 0.3), lambda: lif_box(0.5, surrogate=SASTC)], ids=["cuba", "box"])
def test_recurrent_populations_equal_norse(make: type) -> None:
    torch.manual_seed(0)
    (spikes, *gradients), (defined, *defined_gradients) = both(
        make(), torch.randn(12, 4, 20), recurrent=0.4 * torch.randn(20, 20)
    )
    assert 0.02 < defined.mean() < 0.9
    assert torch.equal(spikes, defined)
    assert all(close(a, b) for a, b in zip(gradients, defined_gradients, strict=True))


@pytest.mark.parametrize("n", [1, 31, 33, 120])
def test_a_drive_that_stays_the_same_is_taken_once_by_any_number_of_neurons(n: int) -> None:
    torch.manual_seed(0)
    drive = torch.randn(1, 1, n)
    (spikes, gradient), (defined, defined_gradient) = both(lif_box(0.25), drive, 6)
    assert torch.equal(spikes, defined)
    assert gradient.shape == drive.shape
    assert close(gradient, defined_gradient)


def test_bf16_drive_keeps_a_float32_state() -> None:
    torch.manual_seed(0)
    neurons = lif_box(0.25)
    drive = torch.randn(8, 4, 400).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        (spikes, gradient), (defined, defined_gradient) = both(neurons, drive)
    assert spikes.dtype == gradient.dtype == torch.bfloat16
    assert torch.equal(spikes, defined)
    assert torch.equal(spikes.float(), neurons(drive.float()))
    assert (gradient - defined_gradient).float().abs().max() < 0.02 * defined_gradient.float().abs().max()


def test_channels_last_maps_stay_channels_last() -> None:
    torch.manual_seed(0)
    neurons = lif_box()
    plain = 2 * torch.randn(4, 2, 3, 6, 5)
    last = plain.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, (4, 2)).requires_grad_()
    other = plain.clone().requires_grad_()
    weights = torch.randn(plain.shape)
    spikes, wanted = neurons(last), neurons(other)
    (spikes * weights).sum().backward()
    (wanted * weights).sum().backward()
    assert spikes.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(spikes, wanted)
    assert torch.equal(last.grad, other.grad)


def test_a_threshold_that_is_met_exactly_does_not_fire() -> None:
    # v: 0.5, 0.75, 0.875 ... never above 1; then 1 exactly: strict
    assert lif_box(0.5)(torch.full((4, 1, 1), 0.5)).sum() == 0
    assert lif_box(0.5)(torch.tensor([[[1.0]], [[1.0]]])).flatten().tolist() == [0, 1]


def test_decays_snap_to_4096ths_and_norse_computes_with_them() -> None:
    assert snap(0.2) == 819 / 4096
    assert snap(1e-9) == 1 / 4096
    for k in (1, 410, 819, 2048, 4095, 4096):
        assert float(1e-3 * inverse_time_constant(k / 4096)) == pytest.approx(k / 4096, rel=1e-7)
    with pytest.raises(ConfigError, match=r"decay 1\.5: a state loses more than 0 and at most 1"):
        snap(1.5)


@pytest.mark.parametrize("name", ["tau_syn_inv", "tau_mem_inv", "v_leak", "v_th", "v_reset"])
@pytest.mark.parametrize("make", [lif, li])
def test_what_is_learnt_or_differs_between_neurons_is_stepped(make: type, name: str) -> None:
    plain = make()
    if not hasattr(plain.cell.p, name):
        return
    value, drive = getattr(plain.cell.p, name), torch.randn(5, 2, 4)
    cell = type(plain.cell)
    learnt = torch.nn.Parameter(value.clone())
    Neurons(cell(plain.cell.p._replace(**{name: learnt}), dt=plain.cell.dt))(drive).sum().backward()
    assert learnt.grad is not None
    each = Neurons(cell(plain.cell.p._replace(**{name: value.repeat(4)}), dt=plain.cell.dt))
    plain.fused = False
    assert torch.equal(each(drive), plain(drive))


def test_wrong_steps_and_surrogates_are_named() -> None:
    with pytest.raises(InputError, match="drive of 3 steps for 4 steps"):
        lif_box()(torch.zeros(3, 1, 1), 4)
    with pytest.raises(InputError, match="drive of 0 steps"):
        lif_box()(torch.zeros(0, 1, 1))
    with pytest.raises(ConfigError, match="surrogate 'relu' is none of heaviside, super"):
        replace(SEAL, method="relu")


TRITON = """
import torch
from seamount.models.lif import cpu as cpu_lif, gpu as triton_lif
from seamount.models.cells import SEAL, SASTC, Surrogate, lif, lif_box
from seamount.models.lif.constants import METHODS
torch.manual_seed(0)
surrogates = [SEAL, SASTC, *(Surrogate(m, 0.7) for m in METHODS)]
for neurons in [make(surrogate=s) for make in (lif_box, lif) for s in surrogates]:
    for rows in (5, 1):
        c = neurons.constants()
        x = 2 * torch.randn(rows, 700)
        out = [[torch.empty(5, 700) for _ in range(2)] + [torch.empty(rows, 700)] for _ in range(2)]
        g = torch.randn(5, 700)
        for module, (spikes, kept, into) in zip((cpu_lif, triton_lif), out):
            module.forward(x, spikes, kept, c)
            module.backward(g, kept, into, c)
        assert torch.equal(out[0][0], out[1][0]), c
        assert (out[0][1] - out[1][1]).abs().max() < 1e-6, c
        assert (out[0][2] - out[1][2]).abs().max() < 1e-5, c
print("equal")
"""


def test_triton_kernels_equal_the_cpu_kernels_in_the_interpreter() -> None:
    """In a process of its own: Triton reads its setting when it is first imported."""
    pytest.importorskip("triton", reason="triton is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TRITON],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.stdout.strip() == "equal", done.stderr
