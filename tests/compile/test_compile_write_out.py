"""Chains of operators written out: the same sums, as entries without a matrix of all neurons, within a limit."""

import numpy as np
import pytest
import torch
from compile_networks import network, population, random_chain, random_network, random_spikes

from seamount.compile.network.interpret import apply_op, run_network
from seamount.compile.network.network import (
    Connection,
    Convolution,
    Entries,
    Linear,
    NetworkInput,
    SumPool,
    chain_shapes,
    reals,
    size,
)
from seamount.compile.passes import write_out as module
from seamount.compile.passes.merge_linear import merge_linear
from seamount.compile.passes.write_out import op_rows, write_out
from seamount.compile.pipeline import CompileOptions, compile_graph
from seamount.errors import Unsupported
from seamount.windows import Window


@pytest.fixture
def always_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small chains become entries too, in many blocks."""
    monkeypatch.setattr(module, "FEW_VALUES", 0)
    monkeypatch.setattr(module, "SPARSE_BELOW", 1.1)
    monkeypatch.setattr(module, "BLOCK_ENTRIES", 64)


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.usefixtures("always_entries")
def test_a_chain_written_out_makes_the_same_sums(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (2, 6, 7)
    ops = random_chain(rng, shape, 4)
    one = write_out(ops, shape, "c")
    x = torch.from_numpy(rng.integers(-3, 4, (5, *shape)).astype(np.float64))
    expected = x
    for op in ops:
        expected = apply_op(op, expected)
    assert torch.equal(apply_op(one, x.reshape(5, -1)), expected.reshape(5, -1))
    flat = any(isinstance(op, Linear) and len(s) == 1 for op, s in zip(ops, chain_shapes(ops, shape), strict=False))
    assert isinstance(one, Linear if flat else Entries)
    if isinstance(one, Entries):
        keys = one.rows * one.n_source + one.columns
        assert np.all(np.diff(keys) > 0)
        assert np.all(one.weights != 0)


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.usefixtures("always_entries")
def test_networks_of_entries_run_as_before(seed: int) -> None:
    before = random_network(seed)
    after = merge_linear(before)
    x = random_spikes(seed, before)
    old, new = run_network(before, x), run_network(after, x)
    assert all(np.array_equal(old[p.name].spikes, new[p.name].spikes) for p in before.populations)


def test_rows_of_entries_are_entries_again() -> None:
    entries = Entries(reals([2.0, 3.0, 4.0]), np.array([0, 1, 1]), np.array([1, 0, 2]), 2, 3)
    assert op_rows(entries, (3,), np.array([1, 0])).toarray().tolist() == [[3, 0, 4], [0, 2, 0]]


def _pool_then_conv(side: int, channels: int = 2) -> tuple[SumPool, Convolution]:
    weight = np.random.default_rng(0).integers(-3, 4, (channels, channels, 3, 3))
    return SumPool((2, 2), (2, 2)), Convolution(reals(weight), Window((1, 1), (1, 1)))


def test_pooling_of_an_odd_map_before_a_padded_convolution_is_sparse() -> None:
    ops = _pool_then_conv(31)
    shape = chain_shapes(ops, (2, 31, 31))[-1]
    net = network(
        [population("p", shape)], [Connection("c", "x", "p", ops)], [NetworkInput("x", (2, 31, 31))], n_steps=8
    )
    program = compile_graph(net).program
    assert "sparse c x -> p" in str(program)
    assert next(iter(program.synapses)).kind.weights.size <= size(shape) * 2 * 4 * 9  # type: ignore[union-attr]


def test_a_chain_too_large_says_its_bytes_and_the_limit() -> None:
    ops = _pool_then_conv(31, 8)
    net = network(
        [population("p", (8, 15, 15))], [Connection("c", "x", "p", ops)], [NetworkInput("x", (8, 31, 31))], n_steps=8
    )
    with pytest.raises(Unsupported) as refused:
        compile_graph(net, options=CompileOptions(matrix_gib=1e-3))
    assert str(refused.value) == (
        "c: operators between (8, 31, 31) and (8, 15, 15) fit no single convolution, and written out their weights "
        "take 0.00915 GiB, possible are 0.001 GiB; put a neuron between them, or raise the limit (--set "
        "matrix_gib=...)"
    )


def test_a_convolution_into_neurons_of_unequal_gain_is_written_out_within_the_limit() -> None:
    rng = np.random.default_rng(3)
    kernel = Convolution(reals(rng.integers(-3, 4, (2, 1, 3, 3))))
    gain = reals(rng.choice([0.5, 1.0, 2.0], (2, 20, 20)))
    p = population("p", (2, 20, 20), gain=gain)
    net = network([p], [Connection("c", "x", "p", (kernel,))], [NetworkInput("x", (1, 22, 22))], n_steps=8)
    assert "sparse c x -> p" in str(compile_graph(net).program)
    with pytest.raises(Unsupported, match=r"possible are 1e-05 GiB; put a neuron .* \(--set matrix_gib="):
        compile_graph(net, options=CompileOptions(matrix_gib=1e-5))
