"""Sums on float hardware are exact, and say when they would not be."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from seamount.compile.arithmetic import products
from seamount.compile.arithmetic import synapses as module
from seamount.compile.arithmetic.products import (
    _conv_of_spikes,
    _has_8_bit_products,
    conv_sum,
    matrix_sum,
    self_test,
)
from seamount.compile.arithmetic.synapses import drive, lower
from seamount.compile.numbers import ints
from seamount.compile.synapses.algebra import by_delay
from seamount.compile.synapses.kinds import Conv, Dense, Kind, OneToOne, Sparse, Synapses
from seamount.compile.synapses.sums import synapse_drive
from seamount.windows import Window

TARGET = {"dense": (5,), "sparse": (5,), "conv": (4, 5, 4), "one": (2, 5, 4)}
SOURCE = (2, 5, 4)


def kind_of(name: str, random: np.random.Generator, largest: int) -> Kind:
    def weights(*shape: int) -> np.ndarray:
        return ints(random.integers(-largest, largest + 1, shape))

    match name:
        case "dense":
            return Dense(weights(5, 40))
        case "sparse":
            rows, columns = np.nonzero(random.random((5, 40)) < 0.4)
            return Sparse(weights(len(rows)), ints(rows), ints(columns), 5, 40)
        case "conv":
            return Conv(weights(4, 2, 3, 3), Window(padding=(1, 1)))
        case _:
            return OneToOne(weights(*SOURCE))


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(sorted(TARGET)),
    st.sampled_from([100, 255, 1 << 16, 1 << 22, 1 << 34]),
    st.sampled_from([1, 255, 1 << 20, 1 << 31]),
    st.sampled_from([0, 3, -4]),
    st.sampled_from([24, 32]),
    st.booleans(),
    st.sampled_from([0, 2]),
    st.integers(0, 1 << 32),
)
def test_sums_equal_the_definition(
    name: str, largest: int, x_bound: int, exponent: int, wrap_bits: int, graded: bool, delay: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    group = Synapses("s", "a", "b", kind_of(name, random, largest), exponent, graded, ints(delay), wrap_bits)
    x = random.integers(-x_bound, x_bound + 1, (3, *SOURCE))
    (part,) = lower(group, SOURCE, TARGET[name], x_bound)
    found, n_wraps = drive(part, torch.from_numpy(x))
    ((_, kind),) = by_delay(group)
    expected, n_expected = synapse_drive(group, kind, x, TARGET[name])
    assert np.array_equal(found.numpy().astype(np.int64), expected)
    assert n_wraps == n_expected
    assert np.abs(expected).max() <= part.drive_bound or part.wraps


def test_a_matrix_too_large_to_be_filled_gives_the_same_sums_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    kind = kind_of("sparse", random, 100)
    assert isinstance(kind, Sparse)
    group = Synapses("s", "a", "b", kind)
    x = torch.from_numpy(random.integers(0, 2, (7, *SOURCE)))
    (whole,), (part,) = (lower(group, SOURCE, TARGET["sparse"], 1) for _ in range(2))
    expected, _ = drive(whole, x)
    monkeypatch.setattr(module, "LARGEST_MATRIX", 1)
    monkeypatch.setattr(module, "GATHERED", 2 * len(kind.weights))
    assert torch.equal(drive(part, x)[0], expected)
    assert part.gathered
    assert part.weights.ndim == 1


def test_the_bound_decides_what_holds_the_sums() -> None:
    def dtype(weight: int, n: int) -> torch.dtype:
        weights = np.full((1, n), weight)
        return lower(Synapses("s", "a", "b", Dense(ints(weights))), (n,), (1,), 1)[0].dtype

    assert dtype(255, 65793) == torch.float32  # 2**24 - 1
    assert dtype(256, 65536) == torch.float64  # 2**24
    assert dtype(1 << 40, 1 << 13) == torch.int64


def test_only_eight_significant_bits_are_multiplied_narrowly() -> None:
    def narrow(weights: list[int], x_bound: int) -> bool:
        group = Synapses("s", "a", "b", Dense(ints([weights])), graded=True)
        return lower(group, (len(weights),), (1,), x_bound)[0].narrow

    assert narrow([254, -256, 3 << 6], 255)
    assert not narrow([257], 255)
    assert not narrow([254], 256)


def test_this_device_sums_exactly_at_the_bound() -> None:
    self_test("cpu")


@pytest.mark.parametrize("narrow", [False, True])
def test_autocast_does_not_touch_the_sums(narrow: bool) -> None:
    weights, x = torch.full((2, 4097), 255.0), torch.ones(3, 4097)
    kernel, maps = torch.full((2, 64, 3, 3), 255.0), torch.ones(1, 64, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, conv = matrix_sum(x, weights, narrow=narrow), conv_sum(maps, kernel, narrow=narrow)
    assert total.dtype == conv.dtype == torch.float32
    assert torch.all(total == 255 * 4097)
    assert torch.all(conv == 255 * 64 * 9)


def test_torchs_settings_are_put_back() -> None:
    backend = torch.backends.mkldnn
    if not hasattr(backend, "matmul"):
        pytest.skip("this torch has no such setting")
    before = backend.matmul.fp32_precision, backend.conv.fp32_precision
    matrix_sum(torch.ones(2, 3), torch.ones(4, 3), narrow=True)
    assert (backend.matmul.fp32_precision, backend.conv.fp32_precision) == before


def test_odd_strides_and_dilations_are_exact_when_narrow() -> None:
    """oneDNN's bfloat16 convolution is not, which is why it is never used."""
    random = np.random.default_rng(0)
    for shape, taps, stride, padding in (
        ((5, 3), (2, 3), (1, 3), (1, 2)),
        ((6, 3), (3, 2), (1, 3), (2, 0)),
        ((7, 3), (3, 3), (1, 2), (1, 0)),
    ):
        weights = torch.from_numpy(random.integers(-120, 120, (6, 2, *taps)) * 2).float()
        x = torch.from_numpy(random.integers(0, 2, (2, 2, *shape))).float()
        dilation = (2, 2) if taps != (3, 3) else (2, 1)
        expected = torch.nn.functional.conv2d(x.double(), weights.double(), None, stride, padding, dilation)
        for _ in range(20):
            assert torch.equal(conv_sum(x, weights, stride, padding, dilation, narrow=True).double(), expected)


@given(
    taps=st.sampled_from([1, 2, 3, 5]),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2]),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    channels=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    unit=st.sampled_from([1, 2, 4]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_convolved_spikes_are_exact_in_every_geometry(
    taps: int,
    stride: int,
    padding: int,
    dilation: int,
    groups: int,
    size: tuple[int, int],
    channels: tuple[int, int],
    unit: int,
    seed: int,
) -> None:
    assume(min(size) + 2 * padding >= dilation * (taps - 1) + 1)
    random = np.random.default_rng(seed)
    c_in, c_out = (groups * n for n in channels)
    high = 127 if seed % 3 else 255  # 255 does not fit 8 bits with a sign: float32 does these
    weights = torch.from_numpy(random.integers(-high, high + 1, (c_out, c_in // groups, taps, taps)) * unit).float()
    spikes = torch.from_numpy(random.integers(0, 2, (3, c_in, *size)) > 0)
    geometry = Window((stride, stride), (padding, padding), (dilation, dilation), groups)
    with mock.patch.object(products, "SMALL", products.SMALL * (seed % 2)):
        found = conv_sum(spikes, weights, *geometry, narrow=True)
    expected = torch.nn.functional.conv2d(spikes.double(), weights.double(), None, *geometry)
    assert found.dtype == torch.float32
    assert torch.equal(found.double(), expected)
    if groups == 1 and high == 127 and (stride, dilation) == (1, 1) and padding < taps and _has_8_bit_products():
        assert _conv_of_spikes(spikes, weights / unit * 2, geometry) is not None, "8-bit products are not used"
