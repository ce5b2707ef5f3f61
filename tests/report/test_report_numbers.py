"""The report's numbers: statistics by hand, divergence by hand, and what happens to what is not known."""

import numpy as np
import pytest
from hand_made import FLOAT_SPIKES, INPUTS, LABELS, PROGRAM, hand_made
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.fit.place.search import place
from seamount.compile.numbers import ints
from seamount.compile.synapses.kinds import Dense, Synapses
from seamount.errors import InputError
from seamount.hardware_targets.agreement import Agreement
from seamount.hardware_targets.target import load_target
from seamount.report.evidence import Answers, Traced, Trial
from seamount.report.gates import Gates, check
from seamount.report.parts.accuracy import Accuracy
from seamount.report.parts.anytime import Anytime
from seamount.report.parts.divergence import Sides, rate_distance
from seamount.report.parts.mapping import Mapping
from seamount.report.parts.ranges import weight_words, weights
from seamount.report.parts.raster import drawn
from seamount.report.render.figures import bar, uses
from seamount.report.report import assemble
from seamount.report.schema.quantities import known, mcnemar, wilson
from seamount.report.schema.text import count, joule, quantity, share, si, signed
from seamount.report.schema.values import Missing, Quantity


def test_wilson_by_hand() -> None:
    # 8 of 10: centre (0.8 + 1.9208/10) / 1.38415, half width 0.2286 (Wilson 1927; textbook value 0.490 to 0.943)
    low, high = wilson(8, 10)
    assert round(low, 3) == 0.490
    assert round(high, 3) == 0.943


def test_wilson_has_width_where_all_are_right_or_none() -> None:
    low, high = wilson(100, 100)
    assert high == 1.0
    assert 0.96 < low < 0.97
    assert wilson(0, 12)[0] == 0


def test_mcnemar_by_hand() -> None:
    # 1 against 5: 2 (C(6,0) + C(6,1)) / 2**6 = 14 / 64
    assert mcnemar(1, 5) == 14 / 64
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(3, 3) == 1.0


@given(st.integers(0, 2000), st.integers(0, 2000))
def test_mcnemar_is_a_probability_and_symmetric(a: int, b: int) -> None:
    assert 0 <= mcnemar(a, b) <= 1
    assert mcnemar(a, b) == mcnemar(b, a)


def test_divergence_by_hand() -> None:
    report = assemble(hand_made())
    assert not isinstance(report.layers, Missing)
    hidden, out = report.layers
    # either side fires at 7 positions, at 2 of them only one does; 24 positions
    assert hidden.damage.value == pytest.approx(200 / 7, abs=1e-4)
    assert hidden.agreement.value == pytest.approx(100 * 22 / 24, abs=1e-4)
    assert hidden.first_divergent_step.value == 1
    assert hidden.spikes_deployed.value == hidden.spikes_float.value == 1.5
    assert hidden.words == "28.6 % of the spikes have no partner in the float student, the first at step 1."
    assert out.damage.reason == "integrates only and sends no spikes"
    assert out.words == "Integrates its input; the answer is read from v."


def test_the_earth_movers_distance_of_rates_by_hand() -> None:
    def distance(deployed: list[list[int]], float_: list[list[int]]) -> float | int | None:
        left, right = (np.array(side)[:, None] for side in (deployed, float_))
        return rate_distance(Sides("p", True, 1, "float student", left, right, "")).value

    # rates of three neurons over two steps: 1, 1/2, 0 against 1/2, 1/2, 0; half a spike a step moves, of three
    assert distance([[1, 1, 0], [1, 0, 0]], [[1, 0, 0], [0, 1, 0]]) == pytest.approx(1 / 6, abs=1e-6)
    # which neuron fires, and when, does not matter, as it does to damage
    assert distance([[1, 1, 0], [1, 0, 0]], [[0, 0, 1], [0, 1, 1]]) == 0
    # as many spikes, but of one busy neuron instead of two: 1, 0 against 1/2, 1/2
    assert distance([[1, 0], [1, 0]], [[1, 0], [0, 1]]) == 0.5
    report = assemble(hand_made())
    assert not isinstance(report.layers, Missing)
    assert report.layers[0].rate_distance.value == 0
    assert report.layers[1].rate_distance.reason == "integrates only and sends no spikes"


def test_equal_spikes_are_said_to_be_equal() -> None:
    run = run_definition(PROGRAM, INPUTS)
    report = assemble(hand_made(traced=Traced(run, {"hidden": run.spikes["hidden"][1:4]})))
    assert not isinstance(report.layers, Missing)
    assert report.layers[0].words == "Every spike equals the float student's."
    assert report.layers[0].first_divergent_step.reason == "no step differs"


def test_membrane_error_is_in_thresholds() -> None:
    # v on chip is 64 * scale * v: the float v is the program's plus one tenth of the threshold of 1
    run = run_definition(PROGRAM, INPUTS)
    float_v = run.v["hidden"][1:4] / 640 + 0.1
    report = assemble(hand_made(traced=Traced(run, {"hidden": FLOAT_SPIKES}, {"hidden": float_v})))
    assert not isinstance(report.layers, Missing)
    assert report.layers[0].membrane_rmse.value == pytest.approx(0.1, abs=1e-6)


@pytest.mark.parametrize("shift", [5, 1])
def test_weights_of_few_bits_by_hand(shift: int) -> None:
    # 4 bits with a sign: -8 to 7, as the top bits of the full scale or moved into the exponent; -8, -7 and 7 are ends
    held = ints(np.array([[-8, -7, 7, 1, 0, 3]]) << shift)
    found = weights(Synapses("w", "a", "b", Dense(held)), 4, load_target("loihi1").chip)
    assert (found.bits, found.bits_allowed, found.n_at_limit) == (4, 4, 3)
    # the same weights in a group that was given 8 bits use half of them and are clipped nowhere
    found = weights(Synapses("w", "a", "b", Dense(held)), 8, load_target("loihi1").chip)
    assert (found.bits, found.n_at_limit) == (4, 0)


def test_the_largest_weight_alone_is_not_called_clipped() -> None:
    said = []
    for ends in ((7,), (7, 7), (7, -8)):
        held = ints(np.array([[*ends, *[-1, 2, 3] * 8]]))
        said.append(list(weight_words(weights(Synapses("w", "a", "b", Dense(held)), 4, load_target("loihi1").chip))))
    assert said[0] == []
    assert said[1] == said[2] == ["7.7 % of the weights of w lie at the end of the 4-bit grid: clipped?"]


def test_the_ladder_by_hand() -> None:
    found = assemble(hand_made()).accuracy
    assert isinstance(found, Accuracy)
    # deployed answers samples 0 and 1; in 2 and 3 its two values are equal
    assert [(r.stage, r.n_correct) for r in found.rungs] == [("teacher", 4), ("float", 3), ("deployed", 2)]
    assert [r.n_unanswered for r in found.rungs] == [0, 0, 2]
    assert [None if r.lost_pp is None else r.lost_pp.value for r in found.rungs] == [None, 25, 25]
    assert found.rungs[2].agreement is not None
    assert found.rungs[2].agreement.value == 50
    assert found.absent == ("Student, quantised",)
    assert not isinstance(found.mcnemar, Missing)
    assert (found.mcnemar.only_float_correct, found.mcnemar.only_deployed_correct) == (1, 0)
    assert found.mcnemar.p.value == 1


def test_answers_after_each_step() -> None:
    per_step = np.array([[0, 0, 0, 1], [0, 1, 0, 0], [0, 1, 0, 0]])
    report = assemble(hand_made(answers=(Answers("deployed", per_step[-1], LABELS, per_step),)))
    assert isinstance(report.anytime, Anytime)
    assert report.anytime.accuracy.values == (25, 75, 75)
    assert report.anytime.enough == 2
    assert report.anytime.words == "2 of 3 steps already come within 0.5 pp of the full run."
    assert "fewer-steps" in [o.id for o in report.opportunities]


def test_a_single_sample_is_written_as_one() -> None:
    wrong = np.array([1 - LABELS[0], *LABELS[1:]])
    report = assemble(hand_made(answers=(Answers("float", LABELS, LABELS), Answers("deployed", wrong, LABELS))))
    assert isinstance(report.accuracy, Accuracy)
    assert not isinstance(report.accuracy.mcnemar, Missing)
    assert report.accuracy.mcnemar.words == (
        "1 sample only the float student gets right, 0 only the deployed program: "
        "no more than chance explains (exact McNemar p = 1)."
    )


def test_one_step_is_all_there_is() -> None:
    answers = (Answers("deployed", LABELS, LABELS, LABELS[None]),)
    report = assemble(hand_made(answers=answers))
    assert isinstance(report.anytime, Anytime)
    assert report.anytime.words == "One step is all there is."


def test_a_difference_is_named() -> None:
    proof = (
        Agreement(
            "student", "simulator", 4, 24, 1, 48, 2, first_difference="hidden, sample 2, step 1, neuron 0: 1 and 0"
        ),
    )
    report = assemble(hand_made(proof=proof))
    assert report.verdicts[0].word == "no"
    assert report.headline == "The student is not the program the chip runs."
    assert report.checks[0].state == "error"
    assert report.verdicts[0].detail == (
        "student and simulator differ in 1 of 24 spikes and 2 of 48 membrane values; "
        "first: hidden, sample 2, step 1, neuron 0: 1 and 0."
    )


def test_a_proof_without_lava_says_so() -> None:
    proof = (Agreement("student", "simulator", 4, 24, 0, 48, 0),)
    report = assemble(hand_made(proof=proof, oracle=None, reasons={"oracle": "lava-nc is not installed"}))
    assert (report.verdicts[0].word, report.verdicts[0].state) == ("not on Lava", "unknown")
    assert report.verdicts[0].detail == (
        "0 of 24 spikes and 0 of 48 membrane values differ. "
        "student = simulator (n = 4), simulator = Lava: not run (lava-nc is not installed)"
    )
    (outcome,) = [o for o in check(report, Gates(require_lava=True)) if o.gate == "lava"]
    assert not outcome.passed
    assert outcome.message == "hand: simulator = Lava: not run (lava-nc is not installed)"
    assert next(o for o in check(assemble(hand_made()), Gates(require_lava=True)) if o.gate == "lava").passed
    (exact,) = [o for o in check(report, Gates(require_bit_exact=True)) if o.gate == "bit-exact"]
    assert exact.passed
    assert exact.message == (
        "hand: bit-exact: 0 of 24 spikes and 0 of 48 membrane values differ. "
        "Lava was not run; --require-lava asks for it."
    )
    assert "prove-lava" in [o.id for o in report.opportunities]


def test_nothing_compared_is_not_equal() -> None:
    report = assemble(hand_made(proof=(Agreement("a", "b", 0, 0, 0, 0, 0),)))
    assert report.verdicts[0].word == "no"


def test_what_is_absent_says_why() -> None:
    empty = {"answers": (), "proof": (), "traced": None, "reasons": {"proof": "Lava is not installed"}}
    report = assemble(hand_made(**empty))
    assert [v.word for v in report.verdicts] == ["not checked", "unknown", "unknown", "not checked", "unknown"]
    assert report.proof == Missing(missing="Lava is not installed")
    assert report.run.spikes.reason == "no run of the program was recorded"
    assert report.headline == "Whether the student is the program was not checked: Lava is not installed."


def test_a_program_that_does_not_fit() -> None:
    report = assemble(hand_made(does_not_fit="hidden: compartments 2000, loihi1 holds 1024 a core"))
    assert [v.word for v in report.verdicts if v.id == "fit"] == ["no"]
    assert [c.state for c in report.checks if c.id == "fit"] == ["error"]


def test_of_many_limits_that_are_exceeded_the_strip_names_three() -> None:
    report = assemble(hand_made(does_not_fit="\n".join(f"{name}: too large" for name in "abcde")))
    assert isinstance(report.mapping, Mapping)
    assert report.mapping.words == "a: too large; b: too large; c: too large; and 2 more"
    assert report.mapping.violations == tuple(f"{name}: too large" for name in "abcde")


def test_a_layer_that_fits_one_core_has_no_binding_limit() -> None:
    placed = place(PROGRAM, load_target("loihi1"))
    report = assemble(hand_made(placement=placed, reasons={}))
    assert isinstance(report.mapping, Mapping)
    # a format a layer: 2 of 16, of which each layer has the one that every layer has
    assert report.mapping.words == "1 core on 1 chip; fullest core: synapse formats 12 %; each layer fits one core."
    hidden = report.mapping.layers[0]
    assert hidden.uses[0].resource == "synapse formats"
    assert "formats" not in str(uses(hidden))
    assert "(binding)" not in str(uses(hidden))
    assert "under 1 %" in str(uses(hidden))


def test_shares_in_per_cent() -> None:
    assert [share(x) for x in (0, 0.001, 0.0049, 0.005, 0.37, 1, 1.2)] == [
        "0 %", "under 1 %", "under 1 %", "under 1 %", "37 %", "100 %", "120 %"
    ]  # fmt: skip


def test_a_bar_of_nothing_draws_nothing() -> None:
    assert [str(bar(x, 100.0, "")).count("<rect") for x in (0, 0.001, 50)] == [1, 2, 2]


def test_what_never_fires_is_read_only_where_the_program_says_so() -> None:
    told = {}
    for made in (PROGRAM, PROGRAM.with_(readout=None)):
        report = assemble(hand_made(program=made, traced=Traced(run_definition(made, INPUTS)), answers=()))
        assert not isinstance(report.layers, Missing)
        told[made.readout] = next(layer.words for layer in report.layers if layer.name == "out")
    assert list(told.values()) == [
        "Integrates its input; the answer is read from v.",
        "Integrates its input; nothing reads it.",
    ]


def test_stages_must_answer_the_same_samples() -> None:
    answers = (Answers("float", LABELS, LABELS), Answers("deployed", LABELS[:3], LABELS[:3]))
    with pytest.raises(InputError) as error:
        assemble(hand_made(answers=answers))
    assert str(error.value) == (
        "hand: deployed answered 3 samples, float 4, or their labels differ; let all answer the same test set"
    )


def test_the_front_of_a_sweep() -> None:
    trials = (
        Trial("cheap", "", 0.80, 100, 1e-6),
        Trial("good", "", 0.90, 100, 2e-6),
        Trial("beaten", "", 0.89, 100, 2e-6),
        Trial("dear", "", 0.90, 100, 3e-6),
    )
    report = assemble(hand_made(sweep=trials))
    assert not isinstance(report.sweep, Missing)
    assert [p.name for p in report.sweep if p.front] == ["cheap", "good"]


def test_joules_are_not_compared_with_spikes() -> None:
    trials = (
        Trial("priced", "", 0.80, 100, 1e-6, spikes=900.0),
        Trial("unpriced", "", 0.90, 100, None, spikes=800.0),
    )
    report = assemble(hand_made(sweep=trials))
    assert not isinstance(report.sweep, Missing)
    assert [p.name for p in report.sweep if p.front] == ["unpriced"]


def test_the_raster_shows_the_sample_that_differs_most() -> None:
    report = assemble(hand_made())
    assert not isinstance(report.raster, Missing)
    assert report.raster.sample == 2
    assert report.raster.rows[0].steps_deployed == ((1,), (2,))
    assert report.raster.rows[0].steps_float == ((1,), (1,))
    assert (report.raster.rows[0].n_agree, report.raster.rows[0].n_only_float) == (1, 1)


def test_lines_are_drawn_side_by_side_and_images_as_their_mean() -> None:
    sound = np.arange(12.0).reshape(3, 2, 1, 2)  # (T, C, 1, L)
    assert drawn(sound).tolist() == [[2, 6, 10], [1, 5, 9]]  # the last of the line on top, the first step at the left
    assert drawn(np.arange(16.0).reshape(2, 2, 2, 2)).tolist() == [[6, 7], [8, 9]]
    assert drawn(sound[:1]).tolist() == [[1, 2]]  # a still line is no sequence


def test_an_unknown_number_needs_a_reason() -> None:
    with pytest.raises(ValidationError, match="an unknown quantity needs its reason"):
        Quantity(value=None, unit="J", status="unknown")
    with pytest.raises(ValidationError, match="has status unknown"):
        Quantity(value=None, unit="J", status="measured")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (si(2.35e-5, "J"), "23.5 µJ"),
        (si(999.9999e-6, "J"), "1.00 mJ"),
        (si(0, "J"), "0 J"),
        (joule(5.6e-5, 8.64e-5), "56.0 to 86.4 µJ"),
        (joule(1e-6, 1e-6), "1.00 µJ"),
        (joule(9.9e-7, 1.2e-6), "0.990 to 1.20 µJ"),
        (count(9999), "9,999"),
        (count(34_200), "34.2\N{NARROW NO-BREAK SPACE}k"),
        (count(2794.04), "2,794"),
        (count(0.0), "0"),
        (signed(-0.304), "\N{MINUS SIGN}0.30"),
        (signed(0.001), "±0"),
        (quantity(known(46_123, "B", "derived")), "46.1 kB"),
        (quantity(known(1, "cores", "counted")), "1 core"),
        (quantity(known(1.0, "operations/sample", "counted")), "1 operation/sample"),
        (quantity(known(2, "cores", "counted")), "2 cores"),
    ],
)
def test_how_numbers_are_written(written: str, expected: str) -> None:
    assert written == expected
