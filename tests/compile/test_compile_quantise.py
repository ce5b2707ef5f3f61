"""The one rounding: each function by property or by hand, and a network quantised after training on real digits."""

from dataclasses import dataclass

import numpy as np
import pytest
from compile_networks import network, population
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from seamount.compile.lower import quantise
from seamount.compile.lower.quantise import (
    Rounder,
    decay_grid,
    exact_bias,
    exact_weights,
    nearest_on_grid,
    real_sign_mode,
    round_weights,
    split_bias,
)
from seamount.compile.lower.scale_search import METHODS, Method, SearchOptions
from seamount.compile.network.interpret import run_network
from seamount.compile.network.network import (
    Connection,
    Convolution,
    Linear,
    Network,
    NetworkInput,
    Reshape,
    SumPool,
    reals,
)
from seamount.compile.numbers import weight_grid
from seamount.compile.pipeline import CompileOptions, compile_graph
from seamount.errors import InputError
from seamount.hardware_targets.simulator import simulate
from seamount.windows import Window

weights = arrays(np.float64, st.integers(1, 20), elements=st.floats(-2000, 2000, allow_subnormal=False))


@given(weights)
def test_what_is_rounded_stays_as_it_is_on_the_chip(values: np.ndarray) -> None:
    mode = real_sign_mode(values)
    rounded = round_weights(values)
    assert np.array_equal(weight_grid(rounded.weights, mode), rounded.weights)
    assert rounded.mode == mode
    assert -7 <= rounded.exponent <= 7


@given(weights)
def test_no_weight_is_off_by_more_than_half_a_step_unless_clipped(values: np.ndarray) -> None:
    rounded = round_weights(values)
    step = 2.0**rounded.exponent * (2 if rounded.mode == "mixed" else 1)
    off = np.abs(rounded.effective - values)
    assert np.sum(off > step / 2 + 1e-9) <= rounded.n_clipped


@given(weights, st.floats(0.01, 100), st.sampled_from([3, 6, 8]))
def test_a_search_over_scales_rounds_as_at_each_alone(values: np.ndarray, s: float, bits: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantise, "BLOCK", 3)
        rounder = Rounder(reals(values), (-7, 7), bits)
        rounder.at(2 * s)  # its memory is used again
        found = rounder.at(s)
    scaled = reals(s * values)
    off = nearest_on_grid(reals(scaled / 2.0**found.exponent), found.mode, bits) * 2.0**found.exponent - scaled
    assert np.array_equal(found.off, off)
    assert found.error == np.sum(off**2)
    alone = round_weights(scaled, (-7, 7), bits)
    assert (alone.exponent, alone.mode) == (found.exponent, found.mode)
    assert np.array_equal(alone.effective - scaled, off)


@given(arrays(np.int64, st.integers(1, 20), elements=st.integers(-120, 120)), st.integers(-7, 7))
def test_what_lies_on_the_grid_is_recovered(values: np.ndarray, exponent: int) -> None:
    real = 2 * values * 2.0**exponent
    assert np.array_equal(exact_weights(real).effective, real)


def test_weights_off_the_grid_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        exact_weights(np.array([1.0, -254.0]), where="fc")
    assert str(caught.value) == (
        "fc: with the given scale the weights lie between -254 and 1, on no mixed 8-bit grid (steps of 2, -256 to "
        "254, times a power of two); the file's scales do not fit its weights"
    )


def test_rounding_by_hand() -> None:
    assert nearest_on_grid(np.array([3.1, -2.9, 300.0, -300.0]), "mixed").tolist() == [4, -2, 254, -256]
    assert nearest_on_grid(np.array([3.6, 300.0]), "excitatory").tolist() == [4, 255]
    assert nearest_on_grid(np.array([-3.6, -300.0]), "inhibitory").tolist() == [-4, -255]
    rates, error = decay_grid(reals([0.2, 0.1]))
    assert rates.tolist() == [819, 410]
    assert error == pytest.approx(0.4 / 4096)


@given(arrays(np.float64, st.integers(1, 9), elements=st.floats(-524160, 524160, allow_subnormal=False)))
def test_a_bias_is_off_by_half_its_exponents_step(bias: np.ndarray) -> None:
    mant, exponent = split_bias(bias)
    assert np.abs(mant).max() <= 4095
    assert exponent.max() <= 7
    assert np.all(np.abs((mant << exponent) - bias) <= 2.0**exponent / 2)
    whole = mant << exponent
    again, e = exact_bias(whole.astype(np.float64))
    assert np.array_equal(again << e, whole)


def test_biases_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        split_bias(np.array([1e6]), where="p: bias")
    assert str(caught.value) == (
        "p: bias: bias 1e+06 (units of v) needs exponent 8, possible are mantissas to 4095 and exponents 0 to 7; "
        "choose a smaller scale"
    )
    with pytest.raises(InputError, match=r"up to 1 \(units of v\) from a mantissa of 4095 with an exponent"):
        exact_bias(np.array([4097.0]))


# ----------------------------------------------------------------------------------- a network on real digits

T = 8
N_TRAIN = 600


def digits_network() -> tuple[Network, np.ndarray, np.ndarray]:
    """Random features, a readout fitted to their spikes by least squares; images (N, 1, 8, 8) and labels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.data.reshape(-1, 1, 8, 8) / 16 * 255) / 255
    rng = np.random.default_rng(0)
    leak = 410 / 4096
    conv = Convolution(reals(rng.normal(size=(24, 1, 3, 3))), Window(padding=(1, 1)))
    second = Convolution(reals(rng.normal(size=(32, 24, 3, 3)) / 6), Window(padding=(1, 1)))
    cells = [
        population("l1", (24, 8, 8), a_m=leak, gain=leak, v_th=0.3, bias=rng.normal(size=(24, 1, 1)) / 10),
        population("l2", (32, 4, 4), a_m=leak, gain=leak, v_th=0.3),
    ]
    pool = SumPool((2, 2), (2, 2))
    inputs = [NetworkInput("x", (1, 8, 8), 8, 255.0)]
    connections = [Connection("c1", "x", "l1", (conv,)), Connection("c2", "l1", "l2", (pool, second))]
    features = network(cells, connections, inputs)
    train = np.broadcast_to(images[:N_TRAIN], (T, N_TRAIN, 1, 8, 8))
    spikes = run_network(features, train)["l2"].spikes.mean(0).reshape(N_TRAIN, -1)
    hot = np.eye(10)[digits.target[:N_TRAIN]]
    readout = np.linalg.solve(spikes.T @ spikes + 20 * np.eye(spikes.shape[1]), spikes.T @ (hot - 0.1)).T
    out = population("out", (10,), v_th=None)
    last = Connection("fc", "l2", "out", (Reshape((512,)), Linear(reals(readout))))
    whole = network([*cells, out], [*connections, last], inputs, n_steps=T, readout_quantity="v")
    return whole, images, digits.target


@dataclass(frozen=True)
class Digits:
    """The network, images to calibrate with, test inputs (T, B, 1, 8, 8), their labels and the float64 answers."""

    network: Network
    images: np.ndarray
    x: np.ndarray
    labels: np.ndarray
    answers: np.ndarray


@pytest.fixture(scope="module")
def digits() -> Digits:
    net, images, labels = digits_network()
    x = np.broadcast_to(images[-600:], (T, 600, 1, 8, 8))
    return Digits(net, images, x, labels[-600:], run_network(net, x)["out"].v[-1].argmax(-1))


@pytest.mark.parametrize("method", METHODS)
def test_rounding_after_training_costs_at_most_half_a_point(digits: Digits, method: Method) -> None:
    calibration = np.broadcast_to(digits.images[:40], (T, 40, 1, 8, 8))
    made = compile_graph(digits.network, None, CompileOptions(search=SearchOptions(method), calibration=calibration))
    chip = simulate(made.program, np.rint(digits.x * 255).astype(np.int64)).predictions()
    accuracy, rounded = np.mean(digits.answers == digits.labels), np.mean(chip == digits.labels)
    assert accuracy > 0.88
    assert rounded >= accuracy - 0.005
    assert not [w for w in made.warnings if "wrap" in w]
