"""Calibration: moments of what arrives, weights rounded together, and what bad data are told."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from compile_networks import network, population
from hypothesis import given
from hypothesis import strategies as st

from seamount.chip_samples import arrays_of
from seamount.compile.lower.calibration import calibrate
from seamount.compile.lower.joint_rounding import BLOCK, Moments, mean_square, round_with_moments
from seamount.compile.lower.quantise import nearest_on_grid, round_weights
from seamount.compile.lower.real_groups import real_groups
from seamount.compile.lower.scale_search import SearchOptions
from seamount.compile.network.interpret import run_network
from seamount.compile.network.network import Connection, Convolution, Linear, Network, NetworkInput, Reshape, reals
from seamount.compile.pipeline import CompileOptions, compile_graph
from seamount.errors import InputError
from seamount.programs import rounded_answers
from seamount.windows import Window


def moments_of(x: np.ndarray) -> Moments:
    """Of inputs (n, weights) to a matrix."""
    whole = x.T @ x / len(x)
    ends = [*range(0, x.shape[1], BLOCK), x.shape[1]]
    blocks = tuple(reals(whole[a:b, a:b]) for a, b in pairwise(ends))
    return Moments((blocks,), reals(np.diag(whole).reshape(1, -1)))


def test_moments_are_those_of_what_the_weights_multiply() -> None:
    rng = np.random.default_rng(0)
    conv = Convolution(
        reals(rng.normal(size=(4, 2, 3, 2))), Window(stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2)
    )
    cells = [population("c", (4, 3, 4), v_th=0.5), population("out", (3,), v_th=None)]
    last = Connection("fc", "c", "out", (Reshape((48,)), Linear(reals(rng.normal(size=(3, 48))))))
    net = network(cells, [Connection("in", "x", "c", (conv,)), last], [NetworkInput("x", (4, 6, 6), 8, 255.0)])
    x = rng.integers(0, 256, size=(2, 5, 4, 6, 6)) / 255
    found = calibrate(net, x).moments
    (group,) = real_groups(net, "c")
    sums = torch.nn.functional.conv2d(
        torch.from_numpy(x.reshape(-1, 4, 6, 6) * 255),
        torch.from_numpy(group.weight.copy()),
        stride=conv.window.stride,
        padding=conv.window.padding,
        dilation=conv.window.dilation,
        groups=2,
    )
    expected = float((sums**2).mean((0, 2, 3)).sum())
    assert mean_square(group.weight, found["in"]) == pytest.approx(expected, rel=1e-5)
    assert found["in"].square.shape == group.weight.shape
    (last_group,) = real_groups(net, "out")
    spikes = run_network(net, x)["c"].spikes.reshape(10, 48)
    assert mean_square(last_group.weight, found["fc"]) == pytest.approx(
        float(np.sum(np.mean((spikes @ last_group.weight.T) ** 2, axis=0)))
    )


@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 40), st.sampled_from([2, 6, 8]))
def test_rounded_together_no_sum_is_worse_and_weights_stay_on_the_grid(
    seed: int, rows: int, columns: int, bits: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = reals(rng.normal(size=(rows, columns)) * 40)
    x = rng.random((60, columns)) @ rng.normal(size=(columns, columns))
    moments = moments_of(np.maximum(x, 0))
    together = round_with_moments(weights, moments, weight_bits=bits)
    nearest = round_weights(weights, weight_bits=bits, importance=moments.square)
    assert together.exponent == nearest.exponent
    assert np.array_equal(nearest_on_grid(reals(together.weights), together.mode, bits), together.weights)
    for row in range(rows):
        lost, before = (
            mean_square(reals(r.effective[row : row + 1] - weights[row : row + 1]), moments)
            for r in (together, nearest)
        )
        assert lost <= before * (1 + 1e-9) + 1e-9


def test_inputs_that_come_together_make_up_for_each_others_rounding() -> None:
    rng = np.random.default_rng(1)
    weights = reals(rng.normal(size=(16, 600)))  # more than a block
    x = rng.random((400, 1)) + 0.1 * rng.random((400, 600))
    moments = moments_of(x)
    scaled = reals(weights * 60)
    together = round_with_moments(scaled, moments, (0, 7))
    nearest = round_weights(scaled, (0, 7))
    error = [np.mean(((r.effective - scaled) @ x.T) ** 2) for r in (together, nearest)]
    assert error[0] < error[1] / 10
    assert together.sum_error is not None
    assert nearest.sum_error is None


def test_one_to_one_weights_are_rounded_each_for_itself() -> None:
    weights = reals([3.1, -2.9, 100.0])
    together = round_with_moments(weights, Moments((), reals(np.ones(3))), (0, 7))
    assert np.array_equal(together.weights, round_weights(weights, (0, 7)).weights)


def one_layer(weights: np.ndarray) -> Network:
    out = population("out", (len(weights),), v_th=None)
    inputs = [NetworkInput("x", (weights.shape[1],), 0, 1.0)]
    return network(
        [out], [Connection("fc", "x", "out", (Linear(reals(weights)),))], inputs, n_steps=2, readout_quantity="v"
    )


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (np.zeros((2, 0, 3)), "holds no sample"),
        (np.zeros((0, 4, 3)), "holds no sample"),
        (np.full((2, 4, 3), np.nan), "24 values are NaN or infinite"),
        (np.zeros((2, 4, 5)), r"array of shape \(2, 4, 5\) given, needed is \(T, B, 3\)"),
        (np.zeros(3), r"needed is \(T, B, 3\)"),
        (np.array([["a"]]), "real numbers are needed"),
        (np.array([[None]], dtype=object), "real numbers are needed"),
        (np.zeros((2, 4, 3), dtype=complex), "real numbers are needed"),
    ],
)
def test_bad_calibration_data_are_refused(x: np.ndarray, told: str) -> None:
    net = one_layer(np.ones((2, 3)))
    with pytest.raises(InputError, match=told):
        compile_graph(net, None, CompileOptions(search=SearchOptions("calibrated"), calibration=x))


def test_compiling_tells_what_rounding_changed_on_the_calibration_samples() -> None:
    net = one_layer(np.array([[3.0, -1.0, 0.2], [0.5, -2.0, 1.0]]))
    x = np.random.default_rng(0).integers(0, 2, size=(2, 9, 3)).astype(np.float64)
    compiled = compile_graph(net, None, CompileOptions(search=SearchOptions("calibrated"), calibration=x))
    told = rounded_answers(compiled, x, np.zeros(9, dtype=np.int64))
    assert told is not None
    assert (told.n, told.n_same) == (9, 9)
    assert told.accuracy == told.float_accuracy
    assert str(told).startswith("calibration: 9 of 9 answers are the float network's; accuracy ")
    text = np.array(["q"] * 9)
    for labels, complaint in ((np.zeros(4, int), "needed is \\(9,\\)"), (text, "whole numbers of classes")):
        with pytest.raises(InputError, match=complaint):
            rounded_answers(compiled, x, labels)


def test_a_file_that_ends_too_early_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "x.npz"
    np.savez(whole, x=np.zeros((2, 3)))
    whole.write_bytes(whole.read_bytes()[:100])
    with pytest.raises(InputError, match=r"not a readable \.npz file"):
        arrays_of(whole)
