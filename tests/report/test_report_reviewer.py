"""What a reviewer reads first: what was made of what, energy without a tick, advice, terms, no label in the way."""

import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hand_made import INPUTS, LABELS, PROGRAM, hand_made
from report_fixture import evidence
from rich.console import Console

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.numbers import ints
from seamount.compile.program.symptoms import symptoms
from seamount.hardware_targets.energy import PERIODS_S, estimate_energy
from seamount.hardware_targets.target import load_target
from seamount.report.compare import compare
from seamount.report.evidence import Answers, Traced, Training, Trial
from seamount.report.parts.energy import Energy
from seamount.report.render.glossary import GLOSSARY, linked
from seamount.report.render.html import columns, render_html
from seamount.report.render.terminal import render_terminal
from seamount.report.report import Report, assemble

FACTS = (("data", "digits: 1,259 train, 359 test"), ("method", "seal-kd"), ("seed", "0"))


@pytest.fixture(scope="module")
def full() -> Report:
    return assemble(evidence())


def of_loihi2() -> Report:
    made, target = evidence(), load_target("loihi2")
    energy = estimate_energy(made.program, made.full_run or made.traced.deployed, None, target, 1e-3)
    sweep = (
        Trial("a", "T=2", 0.9, 300, 2e-6, 100.0, 2, placeholder=True),
        Trial("b", "T=4", 0.8, 300, 1e-6, 90.0, 2),
    )
    return assemble(replace(made, target=target, energy=energy, single_energy=energy, sweep=sweep))


def test_the_first_screen_says_what_was_made_of_what() -> None:
    report = assemble(hand_made(facts=FACTS))
    hero = render_html(report).partition("</header>")[0]
    for name, value in FACTS:
        assert f"<dt>{name}</dt><dd>{value}</dd>" in hero
    assert "data: digits: 1,259 train, 359 test; method: seal-kd; seed: 0" in written(report, 80)
    assert report.verdicts[0].detail.endswith("simulator = Lava (n = 4)")


def test_energy_has_no_tick_unless_it_is_below_every_band(full: Report) -> None:
    energy = full.verdicts[-1]
    assert energy.state == "neutral"
    assert re.search(
        r"estimated: about [\d.]+ × the [\d.]+ .J of the ANN's arithmetic alone; (above|below|inside) \d",
        energy.detail,
    )
    assert isinstance(full.energy, Energy)
    low = full.energy.model_copy(
        update={"bands": tuple(b.model_copy(update={"verdict": "below"}) for b in full.energy.bands)}
    )
    assert low.below_all
    assert not full.energy.below_all
    assert not full.energy.model_copy(update={"bands": ()}).below_all


def test_a_placeholder_is_marked_wherever_its_energy_is_shown() -> None:
    report = of_loihi2()
    assert report.verdicts[-1].word.endswith("J (placeholder)")
    assert "placeholders of another chip" in report.energy.words
    rows = [row for row in compare(report, report).rows if row.section == "Energy, latency" and "J" in row.a_text]
    assert rows
    assert all(row.a_text.endswith("(placeholder)") for row in rows)
    page = render_html(report)
    for title in (
        "Three boundaries, per inference",
        "The step period decides the total",
        "Where the dynamic part goes",
    ):
        assert f"{title} (placeholder)</h3>" in page
    assert "2.00\N{NO-BREAK SPACE}µJ (placeholder)</td>" in page
    assert "1.00\N{NO-BREAK SPACE}µJ</td>" in page


def statuses_of_joules(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if value.get("unit") == "J" and "status" in value:
            yield value["status"]
        yield from (status for inner in value.values() for status in statuses_of_joules(inner))
    elif isinstance(value, list):
        yield from (status for inner in value for status in statuses_of_joules(inner))


def test_no_energy_of_another_chips_constants_is_surer_than_assumed() -> None:
    report = json.loads(of_loihi2().to_json())
    del report["energy"]["constants"]  # with those of the rivals' arithmetic, which is measured
    parts = [report[part] for part in ("energy", "streaming", "early", "anytime")]
    assert set(statuses_of_joules(parts)) == {"assumed", "ordering only"}
    assert [point["energy_j"]["status"] for point in report["sweep"]] == ["assumed", "derived"]


def test_the_step_periods_curve_has_its_kink_where_it_is() -> None:
    made = evidence()
    energy = made.energy
    kink = energy.step_model.step_s
    periods = [row[0] for row in energy.sensitivity]
    assert set(periods) == {*PERIODS_S, kink}
    assert periods == sorted(periods)
    totals = {row[0]: row[2] for row in energy.sensitivity}
    assert totals[kink] == totals[PERIODS_S[0]]  # flat before it


def test_typical_neurons_stand_beside_the_worst(full: Report) -> None:
    row = next(r for r in full.raster.rows if r.n_neurons > 24)
    assert (row.n_worst, len(row.neurons), len(set(row.neurons))) == (12, 24, 24)
    worst, typical = row.neurons[:12], row.neurons[12:]
    assert list(worst) == sorted(worst)
    assert list(typical) == sorted(typical)
    differing = [set(d) != set(f) for d, f in zip(row.steps_deployed, row.steps_float, strict=True)]
    assert sum(differing[:12]) > sum(differing[12:])
    small = assemble(hand_made()).raster.rows[0]
    assert small.n_worst is None


@pytest.mark.parametrize(
    ("trainings", "title"),
    [
        (
            {"teacher": Training("teacher.epochs", 3, True), "float": Training("train.epochs", 5, True)},
            "The teacher reaches 100.0 % and was still improving in the last of 3 epochs: train it longer first",
        ),
        (
            {"teacher": Training("teacher.epochs", 3, False), "float": Training("train.epochs", 5, True)},
            "The float student reaches 75.0 % and was still improving in the last of 5 epochs: train it longer first",
        ),
        ({"teacher": Training("teacher.epochs", 3, False)}, "The integers cost 25.0 pp"),
    ],
)
def test_the_first_advice_is_about_what_the_rest_learns_from(trainings: dict, title: str) -> None:
    advice = assemble(hand_made(trainings=trainings)).opportunities[0]
    assert advice.title == title
    assert not trainings["teacher"].improving or advice.command == (
        "seamount sweep runs/hand/resolved.toml --over teacher.epochs=3,6"
    )


def test_a_teacher_behind_its_student_is_told() -> None:
    answers = list(hand_made().answers)
    answers[0] = Answers("teacher", np.array([1, 0, 1, 1]), LABELS)
    report = assemble(hand_made(answers=answers, trainings={"teacher": Training("teacher.epochs", 3, False)}))
    assert report.opportunities[0].title == (
        "The teacher reaches 25.0 % and is no better than its student after 3 epochs: train it longer first"
    )


def test_where_all_answer_by_chance_the_teacher_comes_first() -> None:
    labels = np.arange(40) % 4
    answers = [Answers(stage, 0 * labels, labels) for stage in ("teacher", "float", "deployed")]
    trainings = {"teacher": Training("teacher.epochs", 3, False), "float": Training("train.epochs", 5, True)}
    report = assemble(hand_made(answers=answers, trainings=trainings))
    assert report.opportunities[0].title == (
        "The teacher reaches 25.0 % and is no better than its student after 3 epochs: train it longer first"
    )


def test_a_student_that_learned_nothing_of_a_good_teacher_is_not_trained_longer() -> None:
    labels = np.arange(40) % 4
    known = [Answers("teacher", labels, labels), *(Answers(s, 0 * labels, labels) for s in ("float", "deployed"))]
    trainings = {"teacher": Training("teacher.epochs", 3, False), "float": Training("train.epochs", 5, True)}
    first = assemble(hand_made(answers=known, trainings=trainings)).opportunities[0]
    assert first.title == "The student learned next to nothing from a teacher that reaches 100.0 %"
    assert first.command == "seamount sweep runs/hand/resolved.toml --over train.lr=0.004,0.001"
    known[1] = Answers("float", labels, labels)  # then it was the rounding
    first = assemble(hand_made(answers=known, trainings=trainings)).opportunities[0]
    assert "train it longer" in first.title


def test_a_file_that_means_something_else_is_told_first() -> None:
    answers = (Answers("original", LABELS, LABELS), *hand_made().answers[1:])
    report = assemble(hand_made(answers=answers, trained=False, reference="float network"))
    assert report.opportunities[0].title == "1 of 4 answers of the file are not your own network's"
    assert report.headline == "The program answers 50.0 % right, its network 75.0 %; Lava computes the same."


def test_every_link_to_a_term_ends_at_its_meaning(full: Report) -> None:
    page = render_html(full)
    targets = set(re.findall(r'href="#(term-[\w-]+)"', page))
    assert targets <= set(re.findall(r'id="(term-[\w-]+)"', page))
    assert len(targets) >= 12
    assert [t.name.lower() for t in GLOSSARY] == sorted(t.name.lower() for t in GLOSSARY)


def test_a_term_is_linked_once_and_texts_stay_texts() -> None:
    text = str(linked("membrane values <b> & membrane values"))
    assert text == '<a class="term" href="#term-membrane-value">membrane values</a> &lt;b&gt; &amp; membrane values'
    assert str(linked("axonal SOPs")) == "axonal SOPs"


def test_what_only_integrates_is_called_so(full: Report) -> None:
    kinds = {layer.name: layer.kind for layer in full.layers}
    assert kinds["out"] == "integrator"
    assert kinds["hidden"] == "LIF"
    assert {n.name: n.kind for n in full.graph.nodes}["out"] == "integrator"


def test_values_stand_left_of_the_curves(full: Report) -> None:
    page = render_html(full)
    framed = re.findall(r'<svg class="chart framed".*?</svg>\s*(?=<)', page, re.DOTALL)
    assert len(framed) >= 5
    # a strip of agreement has no values: it stands below a plot that has
    assert all('x="0" dx="-8"' in figure for figure in framed if "agreement per step" not in figure)


@pytest.mark.parametrize(
    ("n", "per_row"), [(0, 1), (1, 1), (2, 2), (3, 3), (4, 2), (5, 3), (6, 3), (7, 3), (8, 3), (10, 2)]
)
def test_a_grid_has_full_rows(n: int, per_row: int) -> None:
    assert columns(n) == per_row


def test_points_at_one_place_are_both_seen() -> None:
    same = (
        Trial("T=2,bits=8", "", 0.9, 300, 2e-6),
        Trial("T=4,bits=8", "", 0.9, 300, 2e-6),
        Trial("T=8", "", 0.95, 300, 4e-6),
    )
    page = render_html(assemble(hand_made(sweep=same)))
    assert len(re.findall(r'class="dot deployed ring"', page)) == 1
    places = re.findall(r'<text x="([\d.]+%)" y="([\d.]+)"[^>]*>T=[24],bits=8</text>', page)
    assert len(set(places)) == 2


def written(report: Report, width: int) -> str:
    text = io.StringIO()
    Console(width=width, file=text, color_system=None).print(render_terminal(report, width))
    return text.getvalue()


@pytest.mark.parametrize("width", [60, 70, 80])
def test_the_summary_is_readable_from_60_columns_up(full: Report, width: int) -> None:
    lines = written(full, width).splitlines()
    assert max(map(len, lines)) <= width
    table = next(line for line in lines if line.startswith("layer"))
    assert "…" not in "".join(lines), "clauses are left out as a whole"
    assert "unmatched" in table
    assert any(line.startswith("✓ Bit-exact") for line in lines)
    assert "Deployed program" in "\n".join(lines)


def test_a_command_is_never_cut(full: Report) -> None:
    words = " ".join(written(full, 60).split())
    shown = [o for o in full.opportunities[:2] if o.command]
    assert shown
    assert all(o.command in words for o in shown)


def test_pieces_of_a_layer_are_silent_together() -> None:
    hidden, out = PROGRAM.populations
    cut = PROGRAM.with_(
        populations=(replace(hidden, name="hidden.0"), replace(hidden, name="hidden.1"), out),
        synapses=(
            replace(PROGRAM.synapses[0], name="a", target="hidden.0"),
            replace(PROGRAM.synapses[0], name="b", target="hidden.1"),
            replace(PROGRAM.synapses[1], name="c", source="hidden.0"),
        ),
        scales={},
        provenance={"pieces of hidden": "hidden.0 0:1; hidden.1 1:2"},
    )
    high = replace(cut.populations[1], neuron=replace(hidden.neuron, v_th_mant=ints(1000)))
    one = cut.with_(populations=(cut.populations[0], high, out))
    assert not symptoms(one, run_definition(one, INPUTS))
    both = one.with_(populations=(replace(high, name="hidden.0"), high, out))
    assert symptoms(both, run_definition(both, INPUTS)).silent == ("hidden",)


def test_a_traced_run_alone_makes_a_report() -> None:
    run = run_definition(PROGRAM, INPUTS)
    report = assemble(hand_made(answers=(), proof=(), traced=Traced(run), trained=False, reference="float network"))
    assert report.headline == "What the program would need of the chip."


def test_values_that_left_their_range_come_with_what_can_be_done() -> None:
    run = run_definition(PROGRAM, INPUTS)
    left = replace(run, events=run.events | {"hidden": replace(run.events["hidden"], n_v_saturations=3)})

    def advice(*, trained: bool) -> str:
        found = assemble(hand_made(full_run=left, trained=trained)).opportunities
        return next(o.gain for o in found if o.id == "overflow-hidden")

    assert "quant.calibration_samples" in advice(trained=True)
    assert "--set scale.hidden=" in advice(trained=False)
