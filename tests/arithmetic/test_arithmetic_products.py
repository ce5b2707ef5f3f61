"""Ways to sum integers: those that round are found out, and none of them is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from seamount.compile.arithmetic import products, proof
from seamount.compile.arithmetic.products import conv_sum, matrix_sum
from seamount.compile.arithmetic.proof import is_exact
from seamount.errors import CheckFailed
from seamount.windows import Window


@contextmanager
def without_onednn() -> Iterator[None]:
    """``torch.backends.mkldnn.flags(enabled=False)`` without its warning about GPUs of Intel."""
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(True)


SAME = Window((1, 1), (1, 1), (1, 1), 1)


@dataclass(frozen=True)
class Tried:
    """A way to sum that is made in a test."""

    compute: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    bits: int = 24
    geometry: Window | None = None
    unit: float = 1.0

    def __call__(self, x: torch.Tensor, weights: torch.Tensor, /) -> torch.Tensor:
        return self.compute(x, weights)


def rounded(x: torch.Tensor, bits: int) -> torch.Tensor:
    """To so many significant bits."""
    mantissa, exponent = torch.frexp(x)
    return torch.ldexp(torch.round(mantissa * 2**bits) / 2**bits, exponent)


@pytest.mark.parametrize("n_terms", [1, 2, 31, 700, 70_000])
def test_a_product_that_rounds_anywhere_is_found_out(n_terms: int) -> None:
    x, weights = torch.zeros(5, n_terms), torch.zeros(6, n_terms)
    assert is_exact(Tried(F.linear), x, weights)
    assert is_exact(Tried(F.linear), x.double(), weights.double())
    assert not is_exact(Tried(lambda x, w: F.linear(x, rounded(w, 11))), x, weights), "TF32 weights"
    assert not is_exact(Tried(lambda x, w: rounded(F.linear(x, w), 8)), x, weights), "a bfloat16 result"
    assert not is_exact(Tried(lambda x, w: F.linear(x, w) / 3 * 3.0000002), x, weights)
    assert not is_exact(Tried(lambda x, w: F.linear(x.float(), w.float()).double()), x.double(), weights.double())


def test_narrow_products_are_tried_with_eight_significant_bits_only() -> None:
    x, weights = torch.zeros(5, 300), torch.zeros(6, 300)
    eight = Tried(lambda x, w: F.linear(rounded(x, 8), rounded(w, 8)), bits=8)
    assert is_exact(eight, x, weights)
    assert not is_exact(Tried(lambda x, w: F.linear(rounded(x, 7), w), bits=8), x, weights)
    assert not is_exact(Tried(eight.compute), x, weights)


@pytest.mark.skipif(not torch.backends.nnpack.is_available(), reason="this torch has no NNPACK")
def test_nnpack_is_found_out_from_the_batch_on_at_which_torch_takes_it() -> None:
    with without_onednn():
        dispatched = Tried(lambda x, w: F.conv2d(x, w, None, 1, 1), geometry=SAME)
        assert is_exact(dispatched, torch.zeros(15, 2, 9, 9), torch.zeros(4, 2, 3, 3))
        assert not is_exact(dispatched, torch.zeros(16, 2, 9, 9), torch.zeros(4, 2, 3, 3))


@pytest.mark.parametrize("batch", [1, 16, 64])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("geometry", [SAME, Window((2, 1), (0, 2), (1, 1), 2), Window((1, 1), (2, 2), (2, 2), 1)])
@pytest.mark.parametrize("small", [0, products.SMALL])
def test_convolutions_are_exact_with_and_without_onednn(
    batch: int, last: bool, dtype: torch.dtype, geometry: Window, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "SMALL", small)
    random = np.random.default_rng(batch)
    x = torch.from_numpy(random.integers(-255, 256, (batch, 4, 9, 7))).to(dtype)
    weights = torch.from_numpy(random.integers(-900, 901, (6, 4 // geometry.groups, 3, 3))).to(dtype)
    expected = proof._sums(x.long().numpy(), weights.long().numpy(), geometry)
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    assert np.array_equal(conv_sum(x, weights, *geometry).numpy(), expected)
    with without_onednn():
        assert np.array_equal(conv_sum(x, weights, *geometry).numpy(), expected)


def test_large_convolutions_without_onednn_are_cut_into_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(products.COLUMNS, "cpu", 3000)
    monkeypatch.setattr(products, "SMALL", 0)
    x, weights = torch.ones(5, 2, 9, 9), torch.ones(4, 2, 3, 3)
    with without_onednn():
        assert torch.equal(conv_sum(x, weights, *SAME), F.conv2d(x, weights, None, 1, 1))


def test_a_proof_is_kept_until_a_setting_of_torch_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "_known", {})
    made = []
    prove = proof._prove
    monkeypatch.setattr(proof, "_prove", lambda *args: made.append(args[0]) or prove(*args))
    x, weights = torch.ones(7, 11), torch.ones(3, 11)
    for _ in range(3):
        matrix_sum(x, weights)
    assert len(made) == 1
    matrix_sum(x[:2], weights)
    assert len(made) == 2, "another batch"
    torch.use_deterministic_algorithms(True)
    try:
        matrix_sum(x, weights)
        assert len(made) == 3
    finally:
        torch.use_deterministic_algorithms(False)
    with without_onednn():
        matrix_sum(x, weights)
    assert len(made) == 4


def test_small_products_stay_wide_and_keep_no_code_for_their_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "_known", {})
    made = []
    prove = proof._prove
    monkeypatch.setattr(proof, "_prove", lambda *args: made.append(args[0].narrow) or prove(*args))
    matrix_sum(torch.ones(64, 784), torch.ones(10, 784), narrow=True)
    assert made == [False]
    matrix_sum(torch.ones(64, 784), torch.ones(256, 784), narrow=True)
    assert made[:2] == [False, True]


def test_only_small_convolutions_without_a_gradient_go_sample_by_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "_known", {})
    made = []
    prove = proof._prove
    monkeypatch.setattr(proof, "_prove", lambda *args: made.append(type(args[0]).__name__) or prove(*args))
    x, weights = torch.ones(8, 2, 9, 9), torch.ones(4, 2, 3, 3)
    conv_sum(x, weights, *SAME)
    conv_sum(x, weights.requires_grad_(), *SAME)
    conv_sum(x.new_ones(8, 16, 28, 28), x.new_ones(16, 16, 3, 3), *SAME)
    conv_sum(x, x.new_ones(4, 2, 3, 3), (1, 1), (1, 1), (2, 2))
    assert made == ["_SampleBySample", *3 * [products._ways_to_convolve(x, SAME, False)[0].__class__.__name__]]


def test_a_way_that_rounds_is_passed_over_and_none_left_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "_known", {})
    x, weights = torch.ones(3, 4, 5, 5), torch.ones(2, 4, 3, 3)
    for way in (products._SampleBySample, products._OneDnn):
        monkeypatch.setattr(way, "__call__", lambda self, x, w: F.conv2d(x, w, None, 1, 1) * 1.0000001)
    assert torch.equal(conv_sum(x, weights, *SAME), F.conv2d(x, weights, None, 1, 1))
    monkeypatch.setattr(products._AsProduct, "__call__", products._OneDnn.__call__)
    with pytest.raises(CheckFailed) as caught:
        conv_sum(torch.ones(2, 4, 5, 5), weights, *SAME)
    assert str(caught.value) == (
        f"device cpu: integer sums of 2x4x5x5 and 2x4x3x3 values are not exact by any algorithm of torch "
        f"{torch.__version__}; choose another device, or report this torch version"
    )


def test_no_samples_and_no_values_are_no_trouble() -> None:
    assert conv_sum(torch.zeros(0, 2, 9, 9), torch.zeros(4, 2, 3, 3), *SAME).shape == (0, 4, 9, 9)
    assert matrix_sum(torch.zeros(0, 3), torch.zeros(2, 3)).shape == (0, 2)
    assert matrix_sum(torch.zeros(4, 0), torch.zeros(2, 0)).tolist() == [[0, 0]] * 4
