"""What a chip cannot hold exactly, in the words a user reads; and that what it holds is held exactly."""

from typing import Any

import numpy as np
import pytest

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.fit.verify import require, verify_program
from seamount.compile.neurons.lif import NEVER_FIRES, Lif
from seamount.compile.neurons.models import Neuron
from seamount.compile.neurons.relay import Relay
from seamount.compile.neurons.sigma_delta import SigmaDelta
from seamount.compile.neurons.ternary_lif import TernaryLif
from seamount.compile.numbers import ints
from seamount.compile.program.program import Input, Population, Program, Reset
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Synapses, Wire
from seamount.errors import DoesNotFit, Unsupported
from seamount.hardware_targets.target import load_target

LOIHI1, LOIHI2 = load_target("loihi1"), load_target("loihi2")
LIF = Lif(du=ints(4096), dv=ints(1024), v_th_mant=ints(64))


def one_layer(
    neuron: Neuron = LIF, weights: Any = ((2, -2),), bits: int = 0, reset: Reset | None = None, **synapses: Any
) -> Program:
    kind = Dense(ints(weights))
    n_out, n_in = kind.weights.shape
    return Program(
        "test",
        (Input("in", (n_in,), bits),),
        (Population("out", (n_out,), neuron, reset),),
        (Synapses("s", "in", "out", kind, graded=bits > 0, **synapses),),
    )


def test_a_negative_threshold_is_shown_though_others_are_too_large() -> None:
    program = one_layer(Lif(ints(4096), ints(0), ints([-5, 200_000])), ((2, -2), (1, 1)))
    assert [str(f) for f in verify_program(program, LOIHI1)] == [
        "out: threshold mantissa -5, loihi1 holds 0 to 131071 (u17); v is reset to 0, which is above it, so it would "
        "fire for ever: give it a threshold of 0 or more"
    ]


def test_a_plain_program_has_no_findings() -> None:
    assert verify_program(one_layer(), LOIHI1) == []
    require([])


@pytest.mark.parametrize(
    ("program", "text", "kind"),
    [
        (
            one_layer(Lif(du=ints(4096), dv=ints(0), v_th_mant=ints(200_000))),
            "out: threshold mantissa 200000, loihi1 holds 0 to 131071 (u17); lower the weight "
            "exponent of the synapses into it; or choose a smaller scale for the population; or train with a "
            "lower threshold",
            DoesNotFit,
        ),
        (
            one_layer(Lif(du=ints(5000), dv=ints(0), v_th_mant=ints(1))),
            "out: decay du 5000, loihi1 holds 1 to 4096 of 4096; lengthen the time constant; or "
            "shorten the timestep; or choose another neuron model",
            DoesNotFit,
        ),
        (
            one_layer(Lif(du=ints(1), dv=ints(0), v_th_mant=ints(1), bias_mant=ints(5000))),
            "out: bias mantissa 5000, exponent 0 to 0, loihi1 holds mantissas to 4095, exponents 0 to 7; "
            "choose a smaller scale for the population; or split the bias into mantissa and exponent "
            "anew; or feed the constant through an input that is always on",
            DoesNotFit,
        ),
        (
            one_layer(weights=((511, 2),)),
            "s: weights 2 to 511 with exponent 0 (9 bits, format exponent 0), loihi1 holds 8 bits with "
            "exponents -7 to 7; quantise to 8 bits; or choose another scale for the target "
            "population; or split the weights over two synapse groups that add up",
            DoesNotFit,
        ),
        (
            one_layer(delay=ints(63)),
            "s: delay 63 steps, loihi1 holds 62; a relay population on the way; or train with a "
            "shorter largest delay; or lengthen the timestep",
            DoesNotFit,
        ),
        (
            one_layer(TernaryLif(ints(4096), ints(0), ints(3), ints(-3))),
            "out: signed spikes -1, 0, 1, loihi1 has spikes 0, 1; train with LIF neurons; or two "
            "LIF populations, one for each sign; or choose a target with graded spikes",
            Unsupported,
        ),
        (
            one_layer(bits=8, exponent=7),
            "s: graded values 8 bits with format exponent 1, loihi1 has spikes of 0 bits and exponents up to "
            "7; an input of 7 bits or fewer; or encode the input as spikes (rate or latency); or "
            "choose a target with graded spikes",
            Unsupported,
        ),
    ],
)
def test_what_loihi1_cannot_hold(program: Program, text: str, kind: type[Exception]) -> None:
    findings = verify_program(program, LOIHI1)
    assert [str(f) for f in findings if f.severity != "assumption"] == [text]
    assert len(findings[0].ways_out) == 3
    with pytest.raises(kind) as caught:
        require(findings)
    assert str(caught.value) == text


def test_a_refractory_period_is_loihi1s_alone() -> None:
    program = one_layer(Lif(ints(4096), ints(0), ints(1), refractory_steps=5))
    assert verify_program(program, LOIHI1) == []
    assert [f.limit for f in verify_program(program, LOIHI2)] == ["refractory period"]


def test_parameters_of_graded_neurons_beyond_24_bits_are_for_lava_alone() -> None:
    limits = [f.limit for f in verify_program(one_layer(SigmaDelta(ints(-(1 << 23)), ints((1 << 23) - 1))), LOIHI2)]
    assert limits == ["neuron model"]
    wide, _ = verify_program(one_layer(SigmaDelta(ints([1, 1 << 23]), ints(9)), [[2, -2], [1, 1]]), LOIHI2)
    assert str(wide) == (
        "out: threshold 1 to 8388608, 24 bits are what Lava declares for it, although it computes with 32; scale it "
        "and the weights before it down; or run the program on the simulator or Lava only"
    )


def test_reset_intervals_of_loihi2_are_powers_of_two() -> None:
    assert verify_program(one_layer(reset=Reset(8, 1)), LOIHI2) == []
    (finding,) = verify_program(one_layer(reset=Reset(6, 1)), LOIHI2)
    assert str(finding) == (
        "out: reset interval 6, loihi2 has powers of two: samples are streamed every 8 steps, silent in between, "
        "or the host clears the state"
    )
    require([finding])


def test_all_errors_are_raised_together() -> None:
    program = one_layer(Lif(ints(5000), ints(0), ints(200_000)), delay=ints(63))
    with pytest.raises(DoesNotFit) as caught:
        require(verify_program(program, LOIHI1))
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["out", "out", "s"]


def test_assumptions_do_not_refuse() -> None:
    program = one_layer(Lif(ints(4096), ints(4096), ints(NEVER_FIRES), u_init=ints(3)), bits=8)
    findings = verify_program(program, LOIHI1)
    assert [(f.layer, f.limit) for f in findings] == [
        ("out", "decay dv"),
        ("out", "threshold mantissa"),
        ("out", "initial state"),
        ("s", "graded values"),
    ]
    assert {f.severity for f in findings} == {"assumption"}
    require(findings)
    assert findings[1].ways_out == ("held as 131071: exact while v stays at or below 8388544",)


def test_a_connection_within_a_step_is_for_inputs_only() -> None:
    wired = Program(
        "wired",
        (Input("in", (2,)),),
        (Population("a", (2,), LIF), Population("b", (2,), LIF)),
        (Synapses("in>a", "in", "a", Wire()), Synapses("a>b", "a", "b", Wire())),
    )
    found = verify_program(wired, LOIHI1)
    assert [(f.layer, f.severity) for f in found] == [("a>b", "unsupported"), ("in>a", "assumption")]


def test_a_relay_passes_one_source_on() -> None:
    def program(weight: int) -> Program:
        return Program(
            "relayed",
            (Input("in", (2,)),),
            (Population("r", (2,), Relay()),),
            (Synapses("in>r", "in", "r", OneToOne(ints(weight))),),
        )

    assert verify_program(program(1), LOIHI1) == []
    assert [f.limit for f in verify_program(program(2), LOIHI1)] == ["relay of a sum"]


def test_a_drive_that_could_overflow_the_accumulator_is_told() -> None:
    (finding,) = verify_program(one_layer(weights=np.full((1, 200), 200)), LOIHI1)
    assert (finding.value, finding.severity) == ("40000", "assumption")
    assert str(finding) == (
        "s: worst-case drive 40000, loihi1 accumulates 16 bits, up to 32767: spikes never add up to that; Lava's "
        "model has 32 bits here, 24 for a convolution, so run the range analysis"
    )


def convolution(channels: int, weight: int) -> Program:
    return Program(
        "conv",
        (Input("in", (channels, 3, 3)),),
        (Population("out", (1, 1, 1), LIF),),
        (Synapses("s", "in", "out", Conv(ints(np.full((1, channels, 3, 3), weight))), wrap_bits=24),),
    )


def test_the_accumulator_is_as_wide_for_a_convolution() -> None:
    assert verify_program(convolution(1, 100), LOIHI1) == []
    (finding,) = verify_program(convolution(64, 254), LOIHI1)
    assert (finding.layer, finding.limit, finding.value) == ("s", "worst-case drive", "146304")
    assert verify_program(convolution(64, 254), LOIHI2) == []


def test_all_synapses_into_a_neuron_share_its_accumulator() -> None:
    # 100 x 200 from each of two groups: neither is above 32767, their sum is
    weights = Dense(ints(np.full((1, 100), 200)))
    program = Program(
        "two",
        (Input("a", (100,)), Input("b", (100,))),
        (Population("out", (1,), LIF),),
        (Synapses("s", "a", "out", weights), Synapses("t", "b", "out", weights)),
    )
    (finding,) = verify_program(program, LOIHI1)
    assert (finding.layer, finding.limit, finding.value) == ("out", "worst-case drive", "40000")


def test_bit_planes_give_the_same_integers() -> None:
    """What the assumption on graded inputs promises: value = sum of 2**b, exponents raised by b."""
    random = np.random.default_rng(5)
    weights = ints(2 * random.integers(-60, 61, (12, 20)))
    values = random.integers(0, 256, (6, 4, 20))
    neuron = Lif(ints(900), ints(300), ints(900))
    graded = Program(
        "graded",
        (Input("in", (20,), 8),),
        (Population("out", (12,), neuron),),
        (Synapses("s", "in", "out", Dense(weights), graded=True),),
    )
    planes = Program(
        "planes",
        tuple(Input(f"bit{b}", (20,)) for b in range(8)),
        (Population("out", (12,), neuron),),
        tuple(Synapses(f"s{b}", f"bit{b}", "out", Dense(weights), exponent=b) for b in range(8)),
    )
    assert [f.limit for f in verify_program(graded, LOIHI1)] == ["graded values", "worst-case drive"]
    a = run_definition(graded, values)
    b = run_definition(planes, {f"bit{bit}": (values >> bit) & 1 for bit in range(8)})
    assert a.spikes["out"].any()
    for quantity in ("spikes", "u", "v"):
        assert np.array_equal(getattr(a, quantity)["out"], getattr(b, quantity)["out"])
