"""The definition: numbers by property, dynamics by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.neurons.lif import NEVER_FIRES, Lif
from seamount.compile.neurons.relay import Relay
from seamount.compile.neurons.ternary_lif import TernaryLif
from seamount.compile.numbers import decay, ints, shift, weight_grid, wrap
from seamount.compile.program.program import Input, Population, Program, Readout, Reset
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Synapses, Wire
from seamount.errors import ConfigError, InputError
from seamount.windows import Window

states = st.integers(-(1 << 24), 1 << 24)


# --------------------------------------------------------------------------------------------------- numbers


@given(states, st.integers(-1, 4097))
def test_decay_rounds_towards_zero(state: int, rate: int) -> None:
    kept = int(decay(np.array(state), np.array(rate)))
    exact = Fraction(state * (4096 - rate), 4096)
    assert kept == (exact.numerator // exact.denominator if exact >= 0 else -(-exact.numerator // exact.denominator))


@given(states, st.integers(0, 4096))
def test_decay_never_grows(state: int, rate: int) -> None:
    assert abs(int(decay(np.array(state), np.array(rate)))) <= abs(state)


@given(st.integers(-(1 << 60), 1 << 60), st.sampled_from([8, 16, 24, 32]))
def test_wrap_keeps_the_low_bits(value: int, bits: int) -> None:
    wrapped = int(wrap(np.array(value), bits))
    assert -(1 << (bits - 1)) <= wrapped < 1 << (bits - 1)
    assert (wrapped - value) % (1 << bits) == 0


@given(st.integers(-(1 << 30), 1 << 30), st.integers(-12, 12))
def test_shift_rounds_down(value: int, exponent: int) -> None:
    assert int(shift(np.array(value), exponent)) == (Fraction(value) * Fraction(2) ** exponent).__floor__()


def test_a_mixed_matrix_loses_its_lowest_bit_downwards() -> None:
    assert weight_grid([5, -5, 300, -300]).tolist() == [4, -6, 254, -256]


def test_a_one_signed_matrix_keeps_eight_bits() -> None:
    assert weight_grid([5, 0, 300]).tolist() == [5, 0, 255]
    assert weight_grid([-5, 0, -300]).tolist() == [-5, 0, -255]


def test_fewer_bits_floor_magnitudes_of_one_sign_and_values_of_two() -> None:
    assert weight_grid([19, 255], weight_bits=4).tolist() == [16, 240]
    assert weight_grid([-19, -255], weight_bits=4).tolist() == [-16, -240]
    assert weight_grid([19, -19], weight_bits=4).tolist() == [0, -32]


def test_nine_bits_of_one_sign_give_nothing_as_in_lava() -> None:
    assert weight_grid([19, 255], weight_bits=9).tolist() == [0, 0]
    assert weight_grid([19, -19], weight_bits=9).tolist() == [19, -19]


def test_fractions_are_cut_before_the_sign_is_seen() -> None:
    assert weight_grid([5.9, -0.9]).tolist() == [5, 0]


def test_an_unknown_sign_mode_is_named() -> None:
    with pytest.raises(ConfigError) as refused:
        weight_grid([1], "positive")
    assert str(refused.value) == (
        "sign mode 'positive' does not exist; possible are mixed, excitatory, inhibitory, null"
    )


# ------------------------------------------------------------------------------------------- dynamics by hand


def one_neuron(neuron: Lif | TernaryLif, reset: Reset | None = None) -> Program:
    """Input -> neuron by a wire: the input is the drive."""
    return Program(
        "one",
        (Input("x", (1,), bits=20, signed=True),),
        (Population("n", (1,), neuron, reset),),
        (Synapses("w", "x", "n", Wire()),),
    )


def run(program: Program, values: list[int], n_steps: int | None = None) -> dict[str, list[int]]:
    activity = run_definition(program, np.array(values).reshape(-1, 1, 1), n_steps)
    return {what: getattr(activity, what)["n"].ravel().tolist() for what in ("spikes", "v", "u")}


def test_a_lif_by_hand() -> None:
    # du = dv = 1024: three quarters are kept. Threshold 100 << 6 = 6400.
    # step 0: u = 64*64 = 4096, v = 4096. step 1: u = 3072, v = 3072 + 3072 = 6144.
    # step 2: u = 2304 + 64 = 2368, v = 4608 + 2368 = 6976 > 6400: spike, v = 0; u stays.
    # step 3: u = 1776, v = 1776
    lif = Lif(ints(1024), ints(1024), ints(100))
    assert run(one_neuron(lif), [64, 0, 1, 0]) == {
        "spikes": [0, 0, 1, 0],
        "v": [4096, 6144, 0, 1776],
        "u": [4096, 3072, 2368, 1776],
    }


def test_the_threshold_is_strict() -> None:
    lif = Lif(ints(4096), ints(4096), ints(10))
    assert run(one_neuron(lif), [9, 10, 11])["spikes"] == [0, 0, 1]


def test_u_wraps_once_and_v_saturates() -> None:
    # u: 2**23 stays, 2**23 + 64 turns, and -2**23 becomes +2**23. v clips at 2**23 - 1.
    lif = Lif(ints(4096), ints(0), ints(NEVER_FIRES))
    steps = run(one_neuron(lif), [1 << 17, (1 << 17) + 1, -(1 << 17)])
    assert steps["u"] == [1 << 23, 64 - (1 << 23), 1 << 23]
    assert steps["v"] == [(1 << 23) - 1, 63, (1 << 23) - 1]
    activity = run_definition(one_neuron(lif), np.array([[[1 << 17]], [[(1 << 17) + 1]], [[-(1 << 17)]]]))
    events = activity.events["n"]
    assert (events.n_u_wraps, events.n_v_saturations, events.n_drive_wraps) == (2, 2, 0)


def test_a_bias_mantissa_is_an_int16() -> None:
    lif = Lif(ints(4096), ints(4096), ints(NEVER_FIRES), bias_mant=ints(40000), bias_exp=ints(1))
    assert run(one_neuron(lif), [0])["v"] == [2 * (40000 - 65536)]


def test_a_negative_bias_exponent_rounds_down() -> None:
    lif = Lif(ints(4096), ints(4096), ints(NEVER_FIRES), bias_mant=ints(-5), bias_exp=ints(-1))
    assert run(one_neuron(lif), [0])["v"] == [-3]


def test_a_reset_clears_before_the_steps_input() -> None:
    # interval 3, offset 1: before steps 0, 3, 6 (Lava counts from 1)
    lif = Lif(ints(4096), ints(0), ints(NEVER_FIRES))
    assert run(one_neuron(lif, Reset(3, 1)), [1] * 7)["v"] == [64, 128, 192, 64, 128, 192, 64]
    assert run(one_neuron(lif, Reset(3, 0)), [1] * 4)["v"] == [64, 128, 64, 128]


def test_a_neuron_that_fired_rests() -> None:
    # fires whenever v > 640; after a spike two steps without integration, u goes on
    lif = Lif(ints(0), ints(0), ints(10), refractory_steps=2)
    assert run(one_neuron(lif), [11, 0, 0, 0, 0, 0, 0]) == {
        "spikes": [1, 0, 0, 1, 0, 0, 1],
        "v": [0] * 7,
        "u": [704] * 7,
    }


def test_a_ternary_neuron_by_hand() -> None:
    ternary = TernaryLif(ints(4096), ints(0), ints(10), ints(-10))
    assert run(one_neuron(ternary), [11, -10, -1, 5, 6]) == {
        "spikes": [1, 0, -1, 0, 1],
        "v": [0, -640, 0, 320, 0],
        "u": [704, -640, -64, 320, 384],
    }


def test_an_initial_state_decays() -> None:
    lif = Lif(ints(2048), ints(4096), ints(NEVER_FIRES), u_init=ints(-7), v_init=ints(1000))
    assert run(one_neuron(lif), [0, 0, 0, 0])["u"] == [-3, -1, 0, 0]


def test_a_step_of_latency_for_synapses_none_for_wires_and_relays() -> None:
    still = Lif(ints(4096), ints(4096), ints(0))
    program = Program(
        "chain",
        (Input("x", (1,)),),
        (Population("a", (1,), still), Population("r", (1,), Relay()), Population("b", (1,), still)),
        (
            Synapses("s", "x", "a", OneToOne(ints(3))),
            Synapses("w", "a", "r", Wire()),
            Synapses("d", "r", "b", Dense(ints([[5]])), delay=ints(2)),
        ),
    )
    activity = run_definition(program, np.array([[[1]]]), n_steps=6)
    assert {name: x.ravel().tolist() for name, x in activity.spikes.items()} == {
        "a": [0, 1, 0, 0, 0, 0],
        "r": [0, 1, 0, 0, 0, 0],
        "b": [0, 0, 0, 0, 1, 0],
    }
    assert activity.events["b"].sops.tolist() == [0, 1, 0, 0, 0, 0]  # counted when the spike is sent


def test_a_negative_exponent_rounds_down_once_per_delay() -> None:
    # three synapses of weight 1: in one group 3 >> 1 = 1, in two groups (2 >> 1) + (1 >> 1) = 1 + 0
    lif = Lif(ints(4096), ints(4096), ints(NEVER_FIRES))
    for delays, expected in (([[0, 0, 0]], [0, 64, 0]), ([[0, 0, 1]], [0, 64, 0]), ([[0, 1, 1]], [0, 0, 64])):
        program = Program(
            "delays",
            (Input("x", (3,)),),
            (Population("n", (1,), lif),),
            (Synapses("s", "x", "n", Dense(ints([[1, 1, 1]])), exponent=-1, delay=ints(delays)),),
        )
        activity = run_definition(program, np.ones((1, 1, 3), int), n_steps=3)
        assert activity.u["n"].ravel().tolist() == expected


def test_unary_synapses_count_and_graded_ones_multiply() -> None:
    lif = Lif(ints(4096), ints(4096), ints(NEVER_FIRES))
    found = []
    for graded in (False, True):
        program = Program(
            "payload",
            (Input("x", (2,), bits=8),),
            (Population("n", (1,), lif),),
            (Synapses("s", "x", "n", Dense(ints([[3, 5]])), graded=graded),),
        )
        found.append(run_definition(program, np.array([[[0, 200]]]), n_steps=2).u["n"].ravel().tolist())
    assert found == [[0, 64 * 5], [0, 64 * 1000]]


def test_a_convolution_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    weights = random.integers(-9, 10, (6, 2, 3, 2))
    x = random.integers(0, 2, (1, 3, 4, 9, 8))
    kind = Conv(ints(weights), Window((2, 1), (1, 2), (2, 1), groups=2))
    lif = Lif(ints(4096), ints(4096), ints(NEVER_FIRES))
    program = Program(
        "conv",
        (Input("x", (4, 9, 8)),),
        (Population("n", (6, 4, 11), lif),),
        (Synapses("s", "x", "n", kind, wrap_bits=24),),
    )
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(x[0]).double(), torch.from_numpy(weights).double(), None, (2, 1), (1, 2), (2, 1), 2
    )
    found = run_definition(program, x, n_steps=2, record=("drive",)).drive["n"][1]
    assert np.array_equal(found, expected.numpy().astype(int))


def test_a_drive_that_leaves_its_bits_wraps_and_is_counted() -> None:
    lif = Lif(ints(4096), ints(4096), ints(NEVER_FIRES))
    program = Program(
        "wrap",
        (Input("x", (1,), bits=24),),
        (Population("n", (1,), lif),),
        (Synapses("s", "x", "n", OneToOne(ints(2)), graded=True, wrap_bits=24),),
    )
    activity = run_definition(program, np.array([[[1 << 22]]]), n_steps=2, record=("drive",))
    assert activity.drive["n"].ravel().tolist() == [0, -(1 << 23)]
    assert activity.events["n"].n_drive_wraps == 1


def test_of_a_convolutions_sum_beyond_32_bits_nothing_is_left_as_in_lava() -> None:
    kind = Conv(ints([[[[255]]]]))
    lif = Lif(ints(4096), ints(4096), ints(NEVER_FIRES))
    program = Program(
        "far",
        (Input("x", (1, 1, 1), bits=24),),
        (Population("n", (1, 1, 1), lif),),
        (Synapses("s", "x", "n", kind, 1, graded=True, wrap_bits=24),),
    )
    fits = ((1 << 31) - 1) // 510
    x = np.array([fits, fits + 1, 1 << 23]).reshape(3, 1, 1, 1, 1)
    activity = run_definition(program, x, n_steps=4, record=("drive",))
    assert activity.drive["n"].ravel().tolist() == [0, wrap(ints(510 * fits), 24), 0, 0]
    assert activity.events["n"].n_drive_wraps == 3


@pytest.mark.parametrize(
    ("delay", "drive", "n_wraps"),
    # 2 * 254 * (2^23 - 1) and 256 * 2^23 leave 32 bits: the sum of the first, each product of the second
    [(0, [(508 * ((1 << 23) - 1) - (1 << 32)) >> 8, 0], 2), (1, [508 * ((1 << 23) - 1) >> 8, -(1 << 24)], 1)],
)
def test_a_delayed_matrix_holds_products_in_32_bits_and_their_sum_in_64_as_lava(
    delay: int, drive: list[int], n_wraps: int
) -> None:
    program = Program(
        "far",
        (Input("x", (4,), bits=24, signed=True),),
        (Population("n", (2,), Lif(ints(4096), ints(4096), ints(NEVER_FIRES))),),
        (
            Synapses(
                *("s", "x", "n", Dense(ints([[254, 254, 0, 0], [0, 0, -256, -256]])), -8),
                graded=True,
                delay=ints(delay),
            ),
        ),
    )
    high, low = (1 << 23) - 1, -(1 << 23)
    activity = run_definition(program, np.array([[[high, high, low, low]]]), n_steps=3, record=("drive",))
    assert activity.drive["n"][1 + delay].tolist() == [drive]
    assert activity.events["n"].n_drive_wraps == n_wraps


@pytest.mark.parametrize(("wrap_bits", "weight", "n_wraps"), [(32, 40000, 0), (24, 40000, 0), (24, 1 << 22, 1)])
def test_wraps_are_those_of_the_arithmetic_not_of_a_chips_accumulator(
    wrap_bits: int, weight: int, n_wraps: int
) -> None:
    # 2 spikes x 40000 leave the 16 bits of Loihi 1's accumulator: verification says so, the arithmetic has more
    kind = Conv(ints(np.full((1, 2, 1, 1), weight)))
    program = Program(
        "wide",
        (Input("x", (2, 1, 1)),),
        (Population("n", (1, 1, 1), Lif(ints(4096), ints(4096), ints(NEVER_FIRES))),),
        (Synapses("s", "x", "n", kind, wrap_bits=wrap_bits),),
    )
    activity = run_definition(program, np.ones((1, 1, 2, 1, 1)), n_steps=2, record=("drive",))
    assert activity.drive["n"].ravel().tolist() == [0, wrap(ints(2 * weight), wrap_bits)]
    assert activity.events["n"].n_drive_wraps == n_wraps


# ------------------------------------------------------------------------------------------------------- runs


def sample_program(quantity: str) -> Program:
    """Two steps of input, one synapse: the readout's window is steps 1 and 2."""
    return Program(
        "sample",
        (Input("x", (2,)),),
        (Population("n", (2,), Lif(ints(4096), ints(0), ints(5)), Reset(2, 2)),),
        (Synapses("s", "x", "n", Dense(ints([[3, 0], [0, 6]]))),),
        Readout("n", quantity),
        n_steps=2,
    )


def test_a_sample_is_read_within_its_window() -> None:
    x = np.array([[[1, 1]], [[1, 0]]])
    counted, read = (run_definition(sample_program(quantity), x) for quantity in ("count", "v"))
    assert counted.n_steps == 3
    # neuron 0: v = 192, then 384 > 320: one spike; neuron 1: 384 > 320 at once
    assert counted.readout.tolist() == [[1, 1]]
    assert read.readout.tolist() == [[0, 0]]
    assert counted.events["n"].n_spikes.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((2, 1, 2), 2), "input x: values 0 to 2 found, 0 to 1 are possible (spikes); nothing is clipped"),
        (np.full((2, 1, 2), -1), "input x: values -1 to 0 found, 0 to 1 are possible (spikes); nothing is clipped"),
        (np.full((2, 1, 2), np.nan), "input x: nan found, whole numbers are possible; encode the values first"),
        (np.full((2, 1, 2), 1.5), "input x: 1.5 found, whole numbers are possible; encode the values first"),
        (
            np.full((2, 1, 2), 0.5),
            "input x: 0.5 found, whole numbers are possible; pixels from 0 to 1 need a network compiled with "
            "--set input_bits=8 --set input_scale=255, and are written as np.rint(x * 255); or encode them as spikes",
        ),
        (np.full((2, 1, 2), "a"), "input x: values of type <U1 found, integers are possible"),
        (np.ones((2, 2), int), "input x: shape (2, 2) found, (T, B, 2) is possible"),
        (np.ones((2, 1, 3), int), "input x: shape (2, 1, 3) found, (T, B, 2) is possible"),
        (
            np.ones((2, 0, 2), int),
            "input x: shape (2, 0, 2) holds no value; at least one step and one sample are needed",
        ),
        (
            np.ones((3, 1, 2), int),
            "sample: the input has 3 steps, a sample has 2; shorten it, or pass n_steps to run a stream",
        ),
        (
            torch.ones((2, 1, 2), requires_grad=True),
            "input x: no array (Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() "
            "instead.), integers are possible",
        ),
        ({"y": np.ones((2, 1, 2), int)}, "sample: input y, x does not exist; the inputs are x"),
        ({}, "sample: input x is missing; the inputs are x"),
    ],
)
def test_inputs_that_cannot_enter_are_refused(values: object, message: str) -> None:
    if isinstance(values, np.ndarray) and values.shape == (2, 1, 2) and values.dtype.kind in "if":
        values = values.copy()
        values[0, 0, 0] = 0
    with pytest.raises(InputError) as refused:
        run_definition(sample_program("v"), values)
    assert str(refused.value) == message


def test_no_steps_are_refused() -> None:
    with pytest.raises(InputError) as refused:
        run_definition(sample_program("v"), np.ones((1, 1, 2), int), n_steps=0)
    assert str(refused.value) == "sample: 0 steps asked for, at least 1 is possible"
