"""A network that does not work gets a red verdict and fails every check, however well its copies agree."""

from dataclasses import replace

import numpy as np
import pytest

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import ints
from seamount.compile.program.program import Program
from seamount.compile.program.symptoms import beside_chance, symptoms
from seamount.errors import CheckFailed
from seamount.report.evidence import Answers, Traced
from seamount.report.gates import Gates, check, enforce
from seamount.report.report import assemble
from tests.report.hand_made import INPUTS, PROGRAM, hand_made


def with_threshold(mantissa: int):
    hidden = replace(PROGRAM.populations[0], neuron=Lif(ints(4096), ints(0), ints(mantissa)))
    return PROGRAM.with_(populations=(hidden, PROGRAM.populations[1]))


def test_a_run_tells_silent_and_saturated_layers() -> None:
    every = np.ones_like(INPUTS)
    assert list(symptoms(PROGRAM, run_definition(PROGRAM, INPUTS)).lines()) == []
    assert list(symptoms(PROGRAM, run_definition(PROGRAM, 0 * every)).lines()) == [
        "silent: hidden (no spike in 4 samples)",
        "the signal ends in hidden, which nothing reaches: are samples all 0, or weights?",
    ]
    low = with_threshold(5)
    # at the step before the sample arrives and after its last one nothing fires, in between every neuron does
    assert list(symptoms(low, run_definition(low, every)).lines()) == [
        "saturated: hidden (every neuron fires at every step of 4 samples)"
    ]
    one_less = every.copy()
    one_less[1, 3, 0] = 0
    assert not symptoms(low, run_definition(low, one_less))


def test_a_dead_network_says_where_its_signal_ends_and_how_far_it_got() -> None:
    def told(program: Program) -> str:
        run = run_definition(program, INPUTS, record=("states",))
        assert symptoms(program, run).silent == ("hidden",)
        return symptoms(program, run).dies

    reached = int(run_definition(with_threshold(10_000), INPUTS, record=("v",)).v["hidden"].max())
    for mantissa, cause in (
        (reached // 64 + 1, ""),
        (10 * reached // 64, "; look at the scale of samples and weights, thresholds and the time step"),
    ):
        share = 100 * reached / (64 * mantissa)
        assert told(with_threshold(mantissa)) == (
            f"the signal ends in hidden: its membrane gets to {share:.3g} % of the threshold at most (n = 4 samples)"
            f"{cause}"
        )
    first, *rest = PROGRAM.synapses
    inhibits = replace(first, kind=replace(first.kind, weights=-np.abs(first.kind.weights)))
    assert told(PROGRAM.with_(synapses=(inhibits, *rest))) == (
        "the signal ends in hidden: its membrane never rises above 0; are signs of weights and samples those of the "
        "training?"
    )
    # counts alone do not say how far it came
    counted = run_definition(with_threshold(10_000), INPUTS, record=())
    assert symptoms(with_threshold(10_000), counted).dies == "the signal ends in hidden"


def test_clocks_and_integrators_are_not_silent() -> None:
    biased = replace(PROGRAM.populations[0], neuron=Lif(ints(4096), ints(0), ints(10), bias_mant=ints(1 << 10)))
    clock = PROGRAM.with_(populations=(biased, PROGRAM.populations[1]), synapses=PROGRAM.synapses[1:])
    assert not symptoms(clock, run_definition(clock, INPUTS))


@pytest.mark.parametrize(
    ("n_correct", "n", "n_classes", "is_chance"),
    [
        (30, 300, 10, True),
        (40, 300, 10, True),
        (42, 300, 10, False),
        (0, 300, 10, True),
        (300, 300, 10, False),
        (2, 2, 2, False),
        (0, 2, 2, False),
        (5, 10, 2, True),
        (9, 10, 2, False),
        (10, 10, 1, False),
        (0, 0, 1, False),
    ],
)
def test_chance_is_what_chance_reaches_in_one_of_forty_cases(
    n_correct: int, n: int, n_classes: int, is_chance: bool
) -> None:
    labels = np.arange(n) % n_classes
    answers = np.where(np.arange(n) < n_correct, labels, -1)
    assert bool(beside_chance(answers, labels)[0]) == is_chance


def test_chance_is_measured_at_the_most_frequent_class() -> None:
    labels = np.repeat([0, 1], [90, 10])
    assert beside_chance(np.zeros(100), labels) == (
        "accuracy 90.00 % is no better than chance: always naming the most frequent class makes 90.00 % (n = 100)",
        "",
    )
    assert beside_chance(labels, labels) == ("", "")


# 100 of 1000 are of each class: 100 + 0.2 * 900 = 280 right answers avoid a fifth of the errors
@pytest.mark.parametrize(("n_correct", "avoided"), [(139, 4), (280, 20), (281, None)])
def test_who_avoids_a_fifth_of_the_errors_of_chance_or_less_hardly_works(n_correct: int, avoided: int | None) -> None:
    labels = np.arange(1000) % 10
    answers = np.where(np.arange(1000) < n_correct, labels, (labels + 1) % 10)
    told = (
        f"accuracy {n_correct / 10:.2f} % is hardly better than chance: always naming the most frequent class "
        f"makes 10.00 % (n = 1,000), and {avoided} % of its errors are avoided"
    )
    told = "" if avoided is None else told
    assert beside_chance(answers, labels) == ("", told)
    given = (Answers("float", answers, labels), Answers("deployed", answers, labels))
    report = assemble(hand_made(answers=given))
    accuracy = next(v for v in report.verdicts if v.id == "accuracy")
    works = next(c for c in report.checks if c.code == "REP-006")
    assert (accuracy.state, works.state) == (("ok", "ok") if avoided is None else ("warning", "warning"))
    assert accuracy.detail.startswith(told)
    assert not check(report, Gates())  # a warning fails nobody's job


def test_an_accuracy_that_nothing_is_held_against_is_shown() -> None:
    labels = np.arange(40) % 4
    report = assemble(hand_made(answers=(Answers("deployed", labels, labels),)))
    accuracy = next(v for v in report.verdicts if v.id == "accuracy")
    detail = "no network in real numbers answered beside it; 95 % interval 91.2 to 100.0 %, n = 40"
    assert (accuracy.word, accuracy.state, accuracy.detail) == ("100.00 %", "neutral", detail)


def test_a_silent_layer_is_woken_first_and_nothing_is_made_cheaper() -> None:
    silent = with_threshold(1000)
    report = assemble(hand_made(program=silent, full_run=run_definition(silent, INPUTS)))
    assert report.opportunities[0].title == "hidden: a layer without a single spike, wake it first"
    assert "v_th" in report.opportunities[0].gain
    assert not {"prune-hidden", "fewer-steps"} & {advice.id for advice in report.opportunities}
    of_a_file = assemble(hand_made(program=silent, full_run=run_definition(silent, INPUTS), trained=False))
    assert "--set dt=" in of_a_file.opportunities[0].gain


def test_a_network_that_does_not_work_is_red_and_fails_a_check() -> None:
    silent = with_threshold(1000)
    labels = np.arange(40) % 4
    report = assemble(
        hand_made(
            program=silent,
            traced=Traced(run_definition(silent, INPUTS)),
            answers=(Answers("float", 0 * labels, labels), Answers("deployed", 0 * labels, labels)),
        )
    )
    accuracy = next(v for v in report.verdicts if v.id == "accuracy")
    detail = (
        "accuracy 25.00 % is no better than chance: always naming the most frequent class makes 25.00 % (n = 40); "
        "silent: hidden (no spike in 4 samples); the signal ends in hidden: its membrane gets to 3.6 % of the "
        "threshold at most (n = 4 samples); look at the scale of samples and weights, thresholds and the time step"
    )
    assert (accuracy.word, accuracy.state, accuracy.detail) == ("25.00 %", "error", detail)
    # little energy is no merit of a network that does not work
    assert next(v for v in report.verdicts if v.id == "energy").state != "ok"
    works = report.checks[-1]
    assert (works.id, works.code, works.state, works.message) == ("works", "REP-006", "error", f"Works: no; {detail}")
    outcomes = check(report, Gates(require_bit_exact=True))
    assert [(o.gate, o.passed) for o in outcomes] == [("bit-exact", True), ("works", False)]
    with pytest.raises(CheckFailed) as caught:
        enforce(outcomes)
    assert str(caught.value) == f"hand: Works: no; {detail}"


def test_a_network_that_works_passes_as_before() -> None:
    report = assemble(hand_made())
    assert report.checks[-1].state == "ok"
    assert "works" not in [o.gate for o in check(report, Gates(require_bit_exact=True))]


def test_what_was_not_run_is_not_known_to_work() -> None:
    report = assemble(hand_made(traced=None, answers=()))
    assert (report.checks[-1].state, next(v for v in report.verdicts if v.id == "accuracy").state) == ("unknown",) * 2
