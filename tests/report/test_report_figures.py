"""What the figures draw: no text on another, rules with their values, and nothing of what is not there."""

import re
from itertools import combinations

import numpy as np
import pytest
from hand_made import INPUTS, LABELS, PROGRAM, hand_made
from report_fixture import evidence
from test_report_browser import swept

from seamount.compile.arithmetic.definition import run_definition
from seamount.report.evidence import Answers, Traced
from seamount.report.parts.anytime import Anytime
from seamount.report.parts.energy import Energy
from seamount.report.parts.frames import FrameLayer, Frames
from seamount.report.parts.graph import Edge, Graph, Node
from seamount.report.parts.ranges import Weights
from seamount.report.render import figures
from seamount.report.render.charts import Scale
from seamount.report.render.html import render_html
from seamount.report.report import assemble
from seamount.report.schema.quantities import box, known, series, unknown
from seamount.report.schema.text import tick
from seamount.report.schema.values import Missing
from seamount.report.sweep import render_sweep_html

RANKS = {"in0": 0, "in1": 0, "p0": 1, "p1": 2, "p2": 2, "p3": 3, "p4": 4}
EDGES = (
    ("in1", "p0", "sparse, 6 synapses"),
    ("in1", "p1", "dense 1→19"),
    ("p0", "p1", "sparse, 72 synapses"),
    ("in1", "p1", "dense 1→19, delay 5"),
    ("in0", "p2", "sparse, 111 synapses"),
    ("p0", "p2", "sparse, 33 synapses"),
    ("p2", "p3", "one to one"),
    ("p3", "p4", "sparse, 5 synapses"),
    ("p0", "p4", "sparse, 12 synapses"),
    ("in0", "p4", "sparse, 43 synapses"),
    ("in1", "p2", "sparse, 2 synapses"),
)


def texts(svg: str, width: float) -> list[tuple[float, float, float, float, str]]:
    """Left, right, top, foot and content of each text in a figure ``width`` pixels wide; 6 pixels a letter."""
    found = []
    for share, y, at, css, content in re.findall(
        r'<text x="([\d.]+)%" y="([\d.]+)" text-anchor="(\w+)" class="([^"]*)">([^<]*)<', svg
    ):
        wide, x = 6.0 * len(content), float(share) / 100 * width + (8 if "beside" in css else 0)
        left = x - {"start": 0, "middle": wide / 2, "end": wide}[at]
        found.append((left, left + wide, float(y) - 10, float(y), content))
    return found


@pytest.mark.parametrize("width", [300, 690])
def test_labels_of_edges_lie_on_no_other_and_on_no_node(width: float) -> None:
    nodes = tuple(
        Node(name=name, kind="LIF", shape=(8,), note="", rank=rank, supported=True) for name, rank in RANKS.items()
    )
    edges = tuple(Edge(source=source, target=target, label=label) for source, target, label in EDGES)
    svg = str(figures.network(Graph(nodes=nodes, edges=edges)))
    found = texts(svg, width)
    assert sum("synapses" in content or "one to one" in content for *_, content in found) >= 4
    boxes = [
        (float(x) / 100 * width, (float(x) + float(w)) / 100 * width, float(y), float(y) + 42)
        for x, y, w in re.findall(r'<rect x="([\d.]+)%" y="([\d.]+)" width="([\d.]+)%"', svg)
    ]
    labels = [one for one in found if one[4] not in RANKS and not one[4].startswith("LIF")]
    pairs = [*combinations(found, 2), *((label, (*box, "node")) for label in labels for box in boxes)]
    over = [(a[4], b[4]) for a, b in pairs if a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]]
    assert over == []


@pytest.mark.parametrize(
    ("bins", "written"),
    [((0, 200, 400), ["0", "400"]), ((300, 400, 500), ["300", "500"]), ((-9, 1), ["-256", "0", "256"])],
)
def test_a_histogram_of_weights_has_each_value_once_and_0_where_it_is(
    bins: tuple[int, ...], written: list[str]
) -> None:
    counts = (1,) * (len(bins) - 1)
    group = Weights(
        name="w",
        source="in",
        kind="Dense",
        shape=(2,),
        bits=8,
        exponent=0,
        n_stored=2,
        n_zero=0,
        n_at_limit=0,
        box=box(np.array(bins), "weight units", "counted"),
        bins=bins,
        bin_counts=counts,
    )
    assert sorted(re.findall(r">(-?\d+)<", str(figures.weight_histogram(group)))) == sorted(written)


def test_ticks_of_very_small_values() -> None:
    assert Scale(0, 3e-13).ticks(3) == pytest.approx([0, 1e-13, 2e-13, 3e-13], abs=1e-20)


def test_values_beside_the_rules_of_a_plot() -> None:
    assert [tick(x, "J") for x in (0, 5e-6, 7.5e-6, 1e-5)] == ["0 J", "5 µJ", "7.5 µJ", "10 µJ"]
    assert [tick(x) for x in (0, 2.5, 5, 0.25, 2000)] == ["0", "2.5", "5", "0.25", "2000"]
    assert tick(25_000) == "25\N{NARROW NO-BREAK SPACE}k"


def test_plots_from_0_say_so() -> None:
    report = assemble(hand_made())
    assert not isinstance(report.layers, Missing)
    assert ">0<" in figures.over_time(report.layers[0])
    steps = assemble(evidence()).anytime
    assert isinstance(steps, Anytime)
    assert not isinstance(steps.energy_j, Missing)
    assert ">0 J<" in figures.anytime_energy(steps.energy_j)


def test_cells_of_agreement_stand_below_the_points_of_their_steps() -> None:
    layer = assemble(hand_made()).layers[0]
    drawn = str(figures.agreement(layer))
    assert 'class="chart framed"' in drawn  # as the plot above it
    # three steps, at 0, 50 and 100 %
    assert re.findall(r'<rect x="([\d.]+)%', drawn) == ["0.00", "25.00", "75.00"]


def test_energy_terms_that_cost_nothing_are_in_no_legend() -> None:
    energy = assemble(evidence()).energy
    assert isinstance(energy, Energy)
    drawn = str(figures.energy_bars(energy))
    names = figures.terms(energy)
    assert names
    assert [name for name in names if f"<title>{name}:" not in drawn] == []
    assert {t.name for s in energy.sets for t in s.terms if t.energy_j.value} == set(names)


def test_fewer_steps_of_a_network_that_does_not_work_are_no_advice() -> None:
    run = run_definition(PROGRAM, 0 * INPUTS)
    answers = Answers("deployed", run.predictions(), LABELS, np.array([run.predictions()] * 3))
    steps = assemble(hand_made(traced=Traced(run), answers=(answers,))).anytime
    assert isinstance(steps, Anytime)
    assert steps.words == "The network does not work: fewer steps of it are of no use."


def test_errors_that_are_not_known_say_why() -> None:
    sending = series([50.0, 60.0], "%", "counted", 4)
    layer = FrameLayer(
        name="hidden",
        n_neurons=2,
        messages=known(1.0, "messages/frame", "counted", 4),
        sending=sending,
        zero=Missing(missing="no"),
    )
    absent = unknown("output", "no outputs were given")
    made = Frames(
        n_frames=2,
        latency=1,
        layers=(layer,),
        error_max=absent,
        error_rms=absent,
        error=Missing(missing=""),
        rmse=absent,
    )
    report = assemble(hand_made())
    page = render_html(report.model_copy(update={"frames": made}))
    assert "from the network&#39;s in real numbers is not known: no outputs were given." in page.replace("'", "&#39;")
    assert "RMSE against" not in page
    priced = made.model_copy(update={"rmse": known(0.25, "output", "measured", 4)})
    page = render_html(report.model_copy(update={"frames": priced}))
    assert re.search(r"RMSE against the outputs that were to come out: 0.250 output, of all 4 samples\.", page)


def test_figures_of_a_sample_alone_say_so_beside_those_of_a_stream() -> None:
    streamed, alone = render_html(assemble(evidence())), render_html(assemble(hand_made()))
    assert "(a sample alone)" in streamed
    assert "Dynamic energy of a sample alone, until then" in streamed
    assert "(a sample alone)" not in alone


def test_the_headline_of_a_sweep_counts_what_has_a_result() -> None:
    assert swept().headline == "6 of 7 points, up to 93.00 %; 5 that no other beats; 2 that hold every gate."


def test_gates_that_are_missed_stand_below_the_table() -> None:
    page = render_sweep_html(swept())
    table, _, below = page.partition("Gates that are missed")
    assert "1 missed" in table
    assert "at most 4" not in table
    assert below.count("cores, at most 4") == 4


def test_the_raster_speaks_of_a_line_only_where_one_is_drawn() -> None:
    assert "above a line those that differ most" in render_html(assemble(evidence()))
    assert "above a line" not in render_html(assemble(hand_made()))
