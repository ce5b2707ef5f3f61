"""What every neuron model says of itself, whichever it is."""

from typing import Any

import numpy as np
import pytest

from seamount.compile.neurons.atrlif import Atrlif
from seamount.compile.neurons.delta import Delta
from seamount.compile.neurons.graded_relu_vec import GradedReluVec
from seamount.compile.neurons.graded_vec import GradedVec
from seamount.compile.neurons.lif import NEVER_FIRES, Lif
from seamount.compile.neurons.model import Arriving, Message, NeuronModel
from seamount.compile.neurons.models import MODELS, Neuron
from seamount.compile.neurons.norm_vec_delay import NormVecDelay
from seamount.compile.neurons.prod_neuron import ProdNeuron
from seamount.compile.neurons.relay import Relay
from seamount.compile.neurons.resonator import resonance
from seamount.compile.neurons.rf import Rf
from seamount.compile.neurons.rf_iz import RfIz
from seamount.compile.neurons.sigma import Sigma
from seamount.compile.neurons.sigma_delta import SigmaDelta
from seamount.compile.neurons.ternary_lif import TernaryLif
from seamount.compile.numbers import Ints, ints
from seamount.compile.program.file import NEURONS
from seamount.compile.program.program import Input, Population, Program
from seamount.compile.synapses.kinds import Dense, Synapses
from seamount.errors import InputError


def rates(period: float, alpha: float) -> tuple[Ints, Ints]:
    sin, cos = resonance("p", period, alpha)
    return ints(sin), ints(cos)


RATES: dict[str, Any] = {"du": ints([4096, 700, 0]), "dv": ints([4096, 0, 12])}
EXAMPLES: tuple[Neuron, ...] = (
    Lif(**RATES, v_th_mant=ints(90)),
    Lif(**RATES, v_th_mant=ints([3, 200, 5]), bias_mant=ints([0, -7, 60]), bias_exp=ints(3), refractory_steps=2),
    Lif(**RATES, v_th_mant=ints(90), v_floor=ints([0, -700, -5])),
    Lif(ints(4096), ints(0), ints(NEVER_FIRES), u_init=ints([5, 0, -3]), v_init=ints(900)),
    TernaryLif(**RATES, v_th_hi_mant=ints(50), v_th_lo_mant=ints(-20), bias_mant=ints(3)),
    Relay(),
    Atrlif(**RATES, dtheta=ints(800), dr=ints(900), theta_0=ints(320), theta_step=ints(240), r_init=ints([9, 0, -7])),
    Delta(ints(40), spike_exp=2, state_exp=3),
    SigmaDelta(ints(320), ints([64, 0, -640]), spike_exp=1, state_exp=6, cum_error=True),
    SigmaDelta(ints([1, 900, 320]), ints(7), rectified=False),
    Sigma(),
    Rf(*rates(9, 0.08), ints(1280), state_exp=6),
    RfIz(*rates(4.5, 0.2), ints([640, 64, 7000]), state_exp=6),
    GradedVec(ints([10, 0, -1])),
    GradedReluVec(ints([10, 0, -50])),
    ProdNeuron(ints(8), exp=2),
    NormVecDelay(ints(3)),
)


def test_every_model_has_an_example_and_a_place_in_program_files() -> None:
    assert {type(example) for example in EXAMPLES} == set(MODELS)
    assert set(NEURONS.values()) == set(MODELS)


@pytest.mark.parametrize("neuron", EXAMPLES, ids=lambda n: type(n).__name__)
def test_steps_keep_what_the_model_declares(neuron: NeuronModel) -> None:
    rng = np.random.default_rng(3)
    state, largest = neuron.rest_state((3,)), 300
    assert tuple(state) == neuron.states
    arriving = [Arriving(np.full(3, -float(largest)), np.full(3, float(largest)), np.zeros(3))] * len(neuron.drives)
    n_steps = 40
    bounds = neuron.bounds(arriving, n_steps)
    message = neuron.sends([Message(-largest, largest, 24)] * len(neuron.drives))
    assert neuron.message in (None, message)
    assert message.low <= 0 <= message.high
    for _ in range(n_steps):
        drives = [rng.integers(-largest, largest + 1, 3) for _ in neuron.drives]
        done = neuron.step(state, drives)
        state = done.state
        assert tuple(state) == neuron.states
        assert set(done.compared) <= set(neuron.states)
        assert message.low <= done.sent.min()
        assert done.sent.max() <= message.high
        assert done.sent.shape == done.wraps.shape == done.saturates.shape == (3,)
        for name, bound in bounds.items():
            # one unit more for each step: decay rounds towards zero, bounds do not round
            if bound.proven:
                assert bound.low - n_steps <= state[name].min()
                assert state[name].max() <= bound.high + n_steps
    cleared = neuron.cleared(state)
    assert all(np.array_equal(values, neuron.cleared(cleared)[name]) for name, values in cleared.items())
    # a threshold that adapts begins anew, everything else is forgotten
    assert all(not np.any(values) for name, values in cleared.items() if name != "theta")


@pytest.mark.parametrize("neuron", EXAMPLES, ids=lambda n: type(n).__name__)
def test_parameters_make_the_model_anew(neuron: NeuronModel) -> None:
    again = type(neuron)(**neuron.parameters())
    assert str(again) == str(neuron)
    assert set(neuron.told()) <= set(neuron.parameters())
    assert not list(neuron.reasons("p", (3,)))
    held = neuron.settings()
    assert all(np.broadcast_shapes(x.shape, (3,)) == (3,) for x in (*held.rates, *held.thresholds, *held.biases))


def test_what_can_stay_silent_and_what_stands_still() -> None:
    quiet, biased = EXAMPLES[0], EXAMPLES[1]
    assert quiet.stays_silent(50)
    assert quiet.stands_still
    assert quiet.at_rest
    assert not biased.stays_silent(50)
    assert not biased.stands_still
    assert biased.at_rest
    integrator = EXAMPLES[3]
    assert integrator.never_sends
    assert not integrator.at_rest
    ternary = TernaryLif(ints(0), ints(0), ints(9), ints(-1), bias_mant=ints(-32))
    assert ternary.stays_silent(2)
    assert not ternary.stays_silent(3)


def test_a_ternary_state_is_solved_backwards_too() -> None:
    neuron = TernaryLif(ints(4096), ints(0), ints(9), ints(-9), bias_mant=ints(-32), v_init=ints(-64))
    solved = neuron.solved_back("p", 2)
    state = solved.rest_state(())
    for _ in range(2):
        state = solved.step(state, [np.zeros((), np.int64)]).state
    assert (int(solved.v_init), int(state["v"])) == (0, -64)


def test_parameters_out_of_range_are_named() -> None:
    (reason,) = Lif(ints(1), ints(1), ints(1), refractory_steps=-1).reasons("hidden", (3,))
    assert str(reason) == "hidden: a refractory period of -1 steps, at least 0 is possible"
    (reason,) = Lif(ints(1), ints(1), ints(1), v_floor=ints([-3, 2, 0])).reasons("hidden", (3,))
    assert str(reason) == "hidden: a floor of v at -3 to 2, -8388607 to 0 is possible"
    (reason,) = Lif(ints([1, 2]), ints(1), ints(1)).reasons("hidden", (3,))
    assert str(reason) == "hidden: du (2,) does not broadcast to (3,)"


@pytest.mark.parametrize(
    ("neuron", "message"),
    [
        (Delta(ints(-1 - (1 << 31))), "a threshold of -2147483649, -2147483648 to 2147483647 are possible, in"),
        (
            SigmaDelta(ints([5, 1 << 31, 7])),
            "a threshold of 5 to 2147483648, -2147483648 to 2147483647 are possible, in units of the",
        ),
        (SigmaDelta(ints(5), ints(1 << 31)), "a bias of 2147483648, -2147483648 to 2147483647 are possible, in"),
        (
            Delta(ints(1), spike_exp=16, state_exp=16),
            "a spike_exp of 16 and a state_exp of 16, 0 to 31 together are possible",
        ),
        (
            SigmaDelta(ints(1), state_exp=-1),
            "a spike_exp of 0 and a state_exp of -1, 0 to 31 together are possible",
        ),
        (
            Rf(ints(9), ints(9), ints(-(1 << 31))),
            "a threshold of -2147483648, -2147483647 to 2147483647 are possible, in units of the state",
        ),
        (
            RfIz(ints(5000), ints(9), ints(1)),
            "sin_decay 5000 and cos_decay 9, a state that grows of itself, a sum of their squares up to 4096**2 is",
        ),
        (
            Rf(ints([0, 4000, 9]), ints(4096), ints(1)),
            "sin_decay 4000 and cos_decay 4096, a state that grows of itself, a sum of their squares up to 4096",
        ),
        (Rf(ints(9), ints(9), ints(1), decay_bits=0), "decay_bits of 0, 1 to 16 are possible"),
        (GradedVec(ints(1 << 31)), "a threshold of 2147483648, -2147483648 to 2147483647 are possible"),
        (ProdNeuron(ints(1), exp=32), "an exp of 32, 0 to 31 are possible"),
        (NormVecDelay(ints([1, 2])), "v_th (2,) does not broadcast to (3,)"),
    ],
)
def test_parameters_of_graded_neurons_out_of_range_are_named(neuron: Neuron, message: str) -> None:
    (reason,) = neuron.reasons("hidden", (3,))
    assert str(reason).startswith(f"hidden: {message}")


@pytest.mark.parametrize(("bits", "signed"), [(-1, True), (33, True), (32, False)])
def test_an_input_declares_what_an_int32_holds(bits: int, signed: bool) -> None:
    with pytest.raises(InputError) as error:
        Program("p", (Input("x", (3,), bits, signed),), (), ())
    assert str(error.value) == f"input x: {bits} bits, 0 (spikes) to 31 are possible, with a sign 32"
    with pytest.raises(InputError) as error:  # which both inputs passed
        Program("p", (Input("x", (3,), 31), Input("y", (3,), 32, signed=True)), (), ())
    assert str(error.value) == "p: no populations, at least one is needed"


@pytest.mark.parametrize(
    ("synapses", "message"),
    [
        (Synapses("s", "x", "n", Dense(ints([[1]])), exponent=-64), "exponent -64, -63 to 63 are possible"),
        (Synapses("s", "x", "n", Dense(ints([[1]])), exponent=64), "exponent 64, -63 to 63 are possible"),
        (Synapses("s", "x", "n", Dense(ints([[1]])), wrap_bits=0), "a drive of 0 bits, 1 to 32 are possible"),
        (Synapses("s", "x", "n", Dense(ints([[1]])), wrap_bits=64), "a drive of 64 bits, 1 to 32 are possible"),
    ],
)
def test_shifts_and_drives_that_integers_do_not_hold_are_refused(synapses: Synapses, message: str) -> None:
    with pytest.raises(InputError) as error:
        Program("p", (Input("x", (1,)),), (Population("n", (1,), Relay()),), (synapses,))
    assert str(error.value) == f"s: {message}"


@pytest.mark.parametrize("shape", [(0,), (2, 0, 3)])
def test_a_population_has_neurons(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as error:
        Program("p", (), (Population("n", shape, Relay()),), ())
    assert str(error.value) == f"n: shape {shape} holds no neuron"


def test_a_period_or_alpha_out_of_range_is_named() -> None:
    with pytest.raises(InputError, match=r"^rf: a period of 0 steps, more than 0 is possible$"):
        resonance("rf", 0, 0.1)
    with pytest.raises(InputError, match=r"^rf: an alpha of 1.5, 0 to 1 is possible$"):
        resonance("rf", 9, 1.5)


def test_a_sigma_delta_neuron_by_hand() -> None:
    # unit 2**(1 + 2): threshold 3, bias 1; messages are the change >> 2
    neuron = SigmaDelta(ints(3 << 3), ints(1 << 3), spike_exp=1, state_exp=2)
    state = neuron.rest_state((1,))
    seen = []
    for drive in (10, 6, 0, -100, 3):
        done = neuron.step(state, [np.array([drive])])
        state = done.state
        seen.append([int(x[0]) for x in (state["sigma"], state["act"], state["residue"], done.sent)])
    # 18 < 24 is kept; 18 + 6 reaches the threshold; nothing changes; -76 rectified to 0 is a change of -24
    assert seen == [[10, 18, 18, 0], [16, 24, 0, 6], [16, 24, 0, 0], [-84, 0, 0, -6], [-81, 0, 0, 0]]


def test_v_does_not_fall_below_its_floor() -> None:
    # du = 4096: u is 64 times the drive of the step; dv = 0 keeps v
    neuron = Lif(ints(4096), ints(0), ints(2), v_floor=ints(-100))
    state = neuron.rest_state((1,))
    seen = []
    for drive in (-1, -1, 1, 3, -5):
        done = neuron.step(state, [np.array([drive])])
        state = done.state
        seen.append((int(done.sent[0]), int(state["v"][0])))
    # -64; -128 raised to -100; -36; 156 > 128 fires, v = 0; -320 raised
    assert seen == [(0, -64), (0, -100), (0, -36), (1, 0), (0, -100)]
    assert list(neuron.told()) == ["du", "dv", "v_th_mant", "v_floor"]
    assert "v_floor" in Lif(ints(1), ints(1), ints(1), v_floor=ints(0)).told()
    assert "v_floor" not in Lif(ints(1), ints(1), ints(1)).parameters()
