"""The report in a notebook: its card, its tables, its figures."""

import sys

import pytest
from hand_made import hand_made
from matplotlib import pyplot
from report_fixture import evidence

from seamount.errors import BackendMissing, InputError
from seamount.report.compare import compare
from seamount.report.notebook import PLOTS, TABLES
from seamount.report.report import Report, assemble

pytestmark = pytest.mark.usefixtures("no_window")


@pytest.fixture(scope="module")
def report() -> Report:
    return assemble(evidence())


def test_repr_is_one_line(report: Report) -> None:
    assert repr(report) == str(report) == f"<Report digits-seal-kd: on loihi1, {report.headline}>"


def test_the_card_has_verdicts_and_accuracies(report: Report) -> None:
    card = report._repr_html_()
    for told in (report.headline, *(v.title for v in report.verdicts), *(r.title for r in report.accuracy.rungs)):
        assert told in card


def test_names_of_others_are_no_markup() -> None:
    assert "<script>" not in assemble(hand_made(name="<script>alert(1)</script>"))._repr_html_()


def test_layers_as_a_table(report: Report) -> None:
    table = report.table().set_index("name")
    layer = next(layer for layer in report.layers if layer.name == "conv1")
    assert table.loc["conv1", "spikes_deployed"] == layer.spikes_deployed.value
    assert table.loc["conv1", "n_neurons"] == layer.n_neurons
    assert report.table().attrs["units"]["sops"] == "SOP/sample"


def test_accuracy_over_time_as_a_table(report: Report) -> None:
    table = report.table("time")
    assert tuple(table["accuracy"]) == report.anytime.accuracy.values
    assert (table["accuracy_low"] < table["accuracy"]).all()
    assert tuple(table["energy_uj"]) == tuple(1e6 * joules for joules in report.anytime.energy_j.values)
    assert table.attrs["units"]["energy_uj"] == "µJ"
    assert "energy_j" not in table


@pytest.mark.parametrize("what", sorted(set(TABLES) - {"sweep"}))
def test_every_table_has_rows(report: Report, what: str) -> None:
    assert len(report.table(what)) > 0


@pytest.mark.parametrize("what", PLOTS)
def test_every_figure_is_drawn_where_it_is_asked_for(report: Report, what: str) -> None:
    _, ax = pyplot.subplots()
    assert report.plot(what, ax) is ax
    assert ax.has_data()


def test_names_of_others_are_texts_of_a_figure(report: Report) -> None:
    names = ("_a", r"$\frac$", "p\x1b[2J\ud800")
    layers = tuple(layer.model_copy(update={"name": name}) for layer, name in zip(report.layers, names, strict=False))
    for what in ("spikes", "ranges"):
        figure = report.model_copy(update={"layers": layers}).plot(what).figure
        figure.canvas.draw()
        legend = figure.axes[0].get_legend()
        told = [text.get_text() for text in (legend.get_texts() if legend else figure.axes[0].get_xticklabels())]
        assert {" _a", r"\$\frac\$", r"p\x1b[2J\ud800"} <= set(told)


def test_a_figure_shows_the_numbers_of_the_report(report: Report) -> None:
    curve = report.plot().get_lines()[0]
    assert tuple(curve.get_ydata()) == report.anytime.accuracy.values


def test_what_is_not_in_the_report_says_why() -> None:
    bare = assemble(hand_made(answers=(), traced=None, full_run=None, placement=None))
    with pytest.raises(InputError, match=r"accuracy over time: not in this report, because .*not recorded"):
        bare.plot("accuracy")
    with pytest.raises(InputError, match=r"layers: not in this report, because no run of the program was recorded"):
        bare.table("layers")


def test_a_misspelt_part_is_answered_with_the_list(report: Report) -> None:
    with pytest.raises(InputError, match=r"plot\(\): 'energie' is none of .*did you mean energy"):
        report.plot("energie")
    with pytest.raises(InputError, match=r"table\(\): 'layer' is none of .*did you mean layers"):
        report.table("layer")


@pytest.mark.parametrize(("library", "ask"), [("pandas", Report.table), ("matplotlib", Report.plot)])
def test_without_the_library_the_way_out_is_told(
    report: Report, library: str, ask: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(BackendMissing, match=rf"{library} is not installed; pip install 'seamount\[notebook\]'"):
        ask(report)  # type: ignore[operator]


def test_a_comparison_as_card_and_table(report: Report) -> None:
    found = compare(report, assemble(hand_made()))
    assert repr(found).startswith("<ReportComparison digits-seal-kd, ")
    assert found.headline in found._repr_html_()
    for section in ("Unmatched spikes", "Spikes per sample"):  # both have rows that are called as the layers
        assert f"<th>{section}</th>" in found._repr_html_()
    assert set(found.table()["verdict"]) <= {"same", "better", "worse", "different", "unknown"}
