"""The scans equal the definition, neuron by neuron; Triton's in its interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seamount.compile.arithmetic.definition import is_reset
from seamount.compile.arithmetic.neurons import Real, neuron_table
from seamount.compile.arithmetic.scan import TRACES, lif_scan, reset_steps, spikes_and_potential
from seamount.compile.neurons.lif import Lif
from seamount.compile.neurons.model import State
from seamount.compile.neurons.ternary_lif import TernaryLif
from seamount.compile.numbers import Ints, ints
from seamount.compile.program.program import Reset
from seamount.errors import ConfigError, InputError


def random_neuron(random: np.random.Generator, shape: tuple[int, ...]) -> Lif | TernaryLif:
    def one_or_each(low: int, high: int) -> Ints:
        return ints(random.integers(low, high, shape) if random.random() < 0.5 else random.integers(low, high))

    limit = 1 << 23
    common = {
        "du": one_or_each(0, 4098 if random.random() < 0.2 else 4097),
        "dv": one_or_each(0, 4097),
        "bias_mant": one_or_each(-40000, 40000) if random.random() < 0.2 else one_or_each(-4095, 4096),
        "bias_exp": one_or_each(-3, 8),
        "u_init": one_or_each(-limit + 1, limit),
        "v_init": one_or_each(-limit + 1, limit),
    }
    if random.random() < 0.25:
        return TernaryLif(v_th_hi_mant=one_or_each(0, 800), v_th_lo_mant=one_or_each(-800, 1), **common)
    rest = int(random.choice([0, 0, 0, 1, 3]))
    floor = one_or_each(-(1 << random.integers(1, 24)) + 1, 1) if random.random() < 0.3 else None
    return Lif(v_th_mant=one_or_each(-5, 1 << random.integers(3, 18)), refractory_steps=rest, v_floor=floor, **common)


def check(seed: int) -> None:
    """One random population: every trace, state and count of the scan against single steps of the definition."""
    random = np.random.default_rng(seed)
    shape = tuple(random.integers(1, 5, random.integers(1, 4)).tolist())
    n_steps, batch = int(random.integers(1, 12)), int(random.integers(1, 4))
    largest = int(random.choice([100, 5000, 1 << 18, 1 << 22, 1 << 30]))
    neuron = random_neuron(random, shape)
    drive = random.integers(-largest, largest + 1, (n_steps, batch, *shape))
    reset = Reset(3, 1) if random.random() < 0.3 else None
    dtype = random.choice([torch.float32, torch.int32, torch.int64]) if largest < 1 << 24 else torch.int32
    given = torch.from_numpy(drive).to(dtype)
    if random.random() < 0.2:  # the same at every step, and held once
        drive, given = np.repeat(drive[:1], n_steps, axis=0), given[:1].expand(n_steps, *given.shape[1:])
    found = lif_scan(given, neuron, shape, reset_at=reset_steps(reset, n_steps), want=TRACES)
    state: State = {name: np.repeat(x[None], batch, axis=0) for name, x in neuron.rest_state(shape).items()}
    active = wraps = saturations = 0
    for k in range(n_steps):
        before = state
        if is_reset(reset, k):
            state = neuron.cleared(state)
        step = neuron.step(state, [drive[k]])
        state = step.state
        for name, expected in (
            ("u", state["u"]),
            ("v", state["v"]),
            ("spikes", step.sent),
            ("v_before_reset", step.compared["v"]),
        ):
            assert np.array_equal(getattr(found, name)[k].numpy(), expected), (seed, k, name)
        assert found.n_spikes[k] == np.count_nonzero(step.sent)
        active += np.count_nonzero(
            (drive[k] != 0) | (state["u"] != before["u"]) | (step.compared["v"] != before["v"])
        )
        wraps += np.count_nonzero(step.wraps)
        saturations += np.count_nonzero(step.saturates)
    assert (found.n_active_updates, found.n_u_wraps, found.n_v_saturations) == (active, wraps, saturations)
    last = {"rest": np.zeros((batch, *shape), np.int64), **state}
    for name, expected in (("final_u", last["u"]), ("final_v", last["v"]), ("final_rest", last["rest"])):
        assert np.array_equal(getattr(found, name).numpy(), expected), (seed, name)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 1 << 32))
def test_the_scan_equals_the_definition(seed: int) -> None:
    check(seed)


TRITON = """
from seamount.compile.arithmetic import scan_triton
from test_arithmetic_scan import check, check_real, check_without_counts
seen = set()
def watched(bits, kernel):
    class Watched:
        def __getitem__(self, grid):
            seen.add(bits)
            return kernel[grid]
    return Watched()
scan_triton.scan_32 = watched(32, scan_triton.scan_32)
scan_triton.scan_64 = watched(64, scan_triton.scan_64)
for seed in range(30):
    scan_triton.MANY = seed % 2 * 1000  # both widths of a block
    check(seed)
check_without_counts()
check_real(cuts=True)
print(*sorted(seen))
"""


def test_the_triton_scan_equals_the_definition() -> None:
    """Interpreted, in a process of its own: Triton reads its setting when it is first imported."""
    pytest.importorskip("triton", reason="triton is not installed")
    folders = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    settings_ = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": folders}
    done = subprocess.run([sys.executable, "-c", TRITON], env=settings_, capture_output=True, text=True, timeout=900)
    assert done.stdout.split() == ["32", "64"], done.stdout + done.stderr


def check_without_counts() -> None:
    """Nothing but the counts is left out."""
    lif = Lif(ints(300), ints(100), ints(900), bias_mant=ints([5, -7, 40]))
    drive = torch.from_numpy(np.random.default_rng(3).integers(-100, 200, (20, 2, 3))).float()
    counted, bare = (lif_scan(drive, lif, (3,), drive_limit=200, counts=counts) for counts in (True, False))
    for name in ("spikes", "v", "u", "final_u", "final_v", "final_rest", "spike_counts", "n_spikes"):
        assert torch.equal(getattr(counted, name), getattr(bare, name)), name
    assert counted.n_active_updates > 0
    with pytest.raises(AssertionError, match="counts=False"):
        _ = bare.n_active_updates


def check_real(*, cuts: bool = False) -> None:
    """What a student learns from, in 32 and 64 bits: the integers in real units, each rounded once.

    ``cuts``: bf16 is cut, not rounded, as Triton's interpreter does and no GPU.
    """
    random = np.random.default_rng(4)
    shape, unit = (3, 5), 0.0123
    lif = Lif(ints(random.integers(0, 4097, shape)), ints(100), ints(900), bias_mant=ints(5))
    table = neuron_table(lif, shape)
    for largest, limit in ((300, 300), (1 << 18, 1 << 18), (1 << 18, None), (1 << 20, 1 << 20)):
        drive = torch.from_numpy(random.integers(-largest, largest, (7, 2, *shape))).float()
        for x in (drive, drive[:1].expand(7, 2, *shape)):
            whole = lif_scan(x, lif, shape, want=TRACES)
            assert whole.v_before_reset is not None
            distance = (whole.v_before_reset - (900 << 6)).float() * unit
            for dtype in (torch.float32, torch.bfloat16):
                if cuts and dtype == torch.bfloat16:
                    distance = (distance.view(torch.int32) & ~0xFFFF).view(torch.float32)
                spikes, kept = spikes_and_potential(x, lif, shape, Real(unit, dtype), table, limit)
                assert spikes.dtype == kept.dtype == dtype
                assert torch.equal(kept, distance.to(dtype))
                assert torch.equal(spikes, whole.spikes.to(dtype))
                assert torch.equal(kept > 0, spikes > 0)
                assert 0 < spikes.sum() < spikes.numel()


def test_a_student_is_told_the_integers_in_real_units() -> None:
    check_real()


def test_without_counts_nothing_else_changes() -> None:
    check_without_counts()


def test_the_largest_negative_drive_is_no_small_one() -> None:
    """In 32 bits -2**31 has no absolute value: a scan in 32 bits would shift all of it out."""
    drive = torch.full((1, 1, 1), -(1 << 31), dtype=torch.int32)
    lif = Lif(ints(0), ints(0), ints(1))
    expected = lif.step(lif.rest_state((1, 1)), [drive[0].numpy().astype(np.int64)])
    found = lif_scan(drive, lif, (1,))
    assert found.u is not None
    assert int(found.u.item()) == int(expected.state["u"].item())
    assert found.n_u_wraps == int(expected.wraps.sum()) == 1


def test_a_scan_goes_on_where_another_ended() -> None:
    random = np.random.default_rng(5)
    lif = Lif(ints(300), ints(100), ints(900))
    drive = torch.from_numpy(random.integers(-100, 200, (20, 3, 7))).int()
    whole = lif_scan(drive, lif, (7,), reset_at=(4, 12))
    first = lif_scan(drive[:9], lif, (7,), reset_at=(4,))
    second = lif_scan(drive[9:], lif, (7,), reset_at=(3,), u=first.final_u, v=first.final_v)
    for name in ("spikes", "u", "v"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(first, name), getattr(second, name)]))


def test_a_trace_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError) as refused:
        lif_scan(torch.zeros(2, 1, 3), Lif(ints(0), ints(0), ints(1)), (3,), want=("w",))
    assert str(refused.value) == ("lif_scan: trace w does not exist, possible are spikes, v, u, v_before_reset")


def test_a_drive_of_another_shape_is_refused() -> None:
    with pytest.raises(InputError) as refused:
        lif_scan(torch.zeros(2, 1, 4), Lif(ints(0), ints(0), ints(1)), (3,))
    assert str(refused.value) == "lif_scan: drive (2, 1, 4) found, possible is (T, B, 3)"
