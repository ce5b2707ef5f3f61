"""A sweep trains once for all points that need the same, and shows every point on one page, what failed as well."""

import csv
import errno
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from matplotlib import pyplot
from typer.testing import CliRunner

from seamount import api
from seamount.cli import app
from seamount.compile.formats import NumberFormats
from seamount.config import load_config
from seamount.distill.quantised import QuantisedStudent
from seamount.errors import InputError
from seamount.files import file_hash
from seamount.report.evidence import Trial
from seamount.report.parts.sweep import sweep_points
from seamount.report.render.figures import trade_offs
from seamount.run import stages
from seamount.run.contents import NOT_OF_STUDENTS, contents
from seamount.run.folder import Run
from seamount.run.lock import hold
from seamount.run.sharing import Siblings
from seamount.run.sweep import Sweep
from seamount.run.told import Told
from tests.lively import lively

TINY = (
    "teacher.epochs=1",
    "train.epochs=1",
    "quant.epochs=1",
    "data.max_train=64",
    "data.max_test=16",
    "lava.n_samples=0",
    "report.n_compared=2",
)
OVER = ["target.name=loihi1,loihi2", "quant.weight_bits=8,4"]


@dataclass
class Swept:
    folder: Path
    found: Sweep
    said: list[str]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """Two targets, two bit widths, and one point that fails when it is drawn: its page's place is taken."""
    folder, said = tmp_path_factory.mktemp("runs") / "grid", list[str]()
    blocked = folder / "points" / "target.name=loihi2,quant.weight_bits=4"
    blocked.mkdir(parents=True)
    (blocked / "somebody's").write_text("")
    found = api.sweep(None, OVER, TINY, folder=folder, told=Told(stage=said.append), gates=api.Gates(max_cores=1))
    return Swept(folder, found, said)


@pytest.fixture
def cli() -> CliRunner:
    return CliRunner()


@pytest.mark.slow
def test_the_second_target_trains_nothing(swept: Swept) -> None:
    assert [swept.said.count(stage) for stage in ("teacher", "distill", "quantise")] == [1, 1, 2]
    second = swept.said[next(i for i, text in enumerate(swept.said) if "loihi2,quant.weight_bits=8" in text) :]
    assert second[1:5] == [
        f"{stage}: as in target.name=loihi1,quant.weight_bits=8"
        for stage in ("teacher", "distill", "quantise", "export")
    ]
    points = {p.point.name: p.trained for p in swept.found.report.points}
    assert list(points.values()) == [("teacher", "distill", "quantise"), ("quantise",), ()]


@pytest.mark.slow
def test_a_point_that_took_stages_over_is_a_run_like_any_other(swept: Swept) -> None:
    point, said = swept.folder / "points/target.name=loihi2,quant.weight_bits=8", list[str]()
    assert not list(point.rglob("state"))
    api.run(point / "resolved.toml", folder=point, resume=True, told=Told(stage=said.append))
    assert all(text.endswith("done before") for text in said if text != "report")


@pytest.mark.slow
def test_a_disk_that_fills_up_in_a_copy_is_told_as_one(
    swept: Swept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = Run(swept.folder / "points" / "target.name=loihi1,quant.weight_bits=8", stages.STAGES)
    status = done.status(stages.TEACHER)
    assert status is not None

    def full(source: Path, copy: Path) -> None:
        Path(copy).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(source), None, str(copy))

    monkeypatch.setattr(shutil, "copyfile", full)
    taken = Run(tmp_path / "taken", stages.STAGES)
    with pytest.raises(OSError) as caught:
        Siblings(done.folder.parent).take(taken, stages.TEACHER, status["inputs"])
    assert caught.value.errno == errno.ENOSPC
    assert Path(caught.value.filename).parent == taken.of(stages.TEACHER)
    assert list(taken.of(stages.TEACHER).iterdir()) == []


def test_a_failed_point_stands_with_its_reason_on_the_page(swept: Swept) -> None:
    (missed,) = swept.found.report.not_reached
    assert missed.values == ("loihi2", "4")
    assert missed.reason is not None
    assert missed.reason.endswith("exists and is not a run directory; choose another folder with --out")
    page = (swept.folder / "sweep.html").read_text()
    assert missed.reason in page
    assert '<a href="sweep.csv" download>' in page
    links = re.findall(r'href="(points/[^"]+)"', page)
    assert len(links) == 3
    assert "points/target.name%3Dloihi1%2Cquant.weight_bits%3D8/report.html" in links


@pytest.mark.slow
def test_the_table_has_a_column_for_each_axis_and_a_row_for_each_point(swept: Swept) -> None:
    rows = list(csv.DictReader((swept.folder / "sweep.csv").read_text().splitlines()))
    assert [(row["target.name"], row["quant.weight_bits"]) for row in rows] == [
        ("loihi1", "8"),
        ("loihi1", "4"),
        ("loihi2", "8"),
        ("loihi2", "4"),
    ]
    assert [row["state"] for row in rows] == ["gate missed", "gate missed", "gate missed", "failed"]
    report = api.load_report(swept.folder / "points" / rows[0]["point"])
    assert float(rows[0]["energy_j"]) == report.streaming.costs[0].dynamic_j.value
    assert float(rows[0]["spikes_per_synapse"]) == report.streaming.costs[0].spikes_per_synapse.value
    assert [row["placeholder"] for row in rows] == ["False", "False", "True", ""]
    document = json.loads((swept.folder / "sweep.json").read_text())
    assert document["schema_name"] == "seamount.sweep"
    assert [p["point"]["name"] for p in document["points"]] == [row["point"] for row in rows[:3]]


@pytest.mark.slow
def test_the_command_shows_points_by_their_values_and_ends_with_their_state(
    swept: Swept, cli: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(swept.folder.parent)
    monkeypatch.setattr(api, "sweep", lambda *_, **__: swept.found)
    shown = cli.invoke(app, ["sweep", "grid.toml", "--over", "student.n_steps=2"])
    assert shown.exit_code == 1
    assert "points by target.name, quant.weight_bits" in shown.stdout
    assert "✕ loihi2, 4: failed: " in shown.stdout
    assert max(map(len, shown.stdout.splitlines()[:8])) <= 80
    for_github = cli.invoke(app, ["sweep", "grid.toml", "--over", "student.n_steps=2", "--markdown"])
    assert "| target.name | quant.weight_bits | accuracy |" in for_github.stdout
    assert "- ❌ loihi2, 4: failed: " in for_github.stdout


@pytest.mark.slow
def test_a_sweep_in_a_notebook(swept: Swept) -> None:
    _, ax = pyplot.subplots()
    assert repr(swept.found) == f"<Sweep grid: {swept.found.report.headline}>"
    assert swept.found.report.not_reached[0].reason[:20] in swept.found._repr_html_()
    table = swept.found.table()
    assert list(table["quant.weight_bits"]) == [values[1] for values in (p.values for p in swept.found.report.points)]
    assert list(table["accuracy"]) == [p.point.accuracy.value for p in swept.found.report.points]
    assert table.attrs["units"]["energy_uj"] == "µJ"
    assert len(swept.found.plot(ax).get_lines()) == len(table)
    pyplot.close("all")


@pytest.mark.slow
def test_a_sweeps_file_is_no_baseline(swept: Swept) -> None:
    with pytest.raises(InputError, match=r"sweep\.json: not a Seamount report \(schema_name 'seamount\.sweep'"):
        api.load_report(swept.folder / "sweep.json")


def test_a_student_never_asks_for_the_formats_that_its_training_is_shared_over() -> None:
    asked: set[str] = set()

    class Watched(NumberFormats):
        def __getattribute__(self, name: str) -> object:
            asked.add(name)
            return super().__getattribute__(name)

    net, x = lively("small")
    student = QuantisedStudent(net, formats=Watched(), weight_bits=4).calibrate(x)
    student(x).logits.sum().backward()
    student.record(x)
    student.to_nir()
    assert "weight_widths" in asked
    assert not asked & NOT_OF_STUDENTS


@pytest.mark.parametrize(
    ("setting", "stage"),
    [
        ("student.n_steps=2", "teacher"),
        ("distill.method=kd", "teacher"),
        ("target.name=loihi2", "quantise"),
        ("quant.weight_bits=4", "distill"),
    ],
)
def test_what_makes_no_difference_to_a_stage_is_none_of_its_inputs(setting: str, stage: str) -> None:
    one = next(s for s in stages.STAGES if s.name == stage)
    found = []
    for settings in ((), (setting,)):
        read = one.settings(load_config(None, settings))
        found.append((read.model_dump(mode="json"), contents(read, file_hash)))
    assert found[0] == found[1]


@pytest.mark.parametrize("setting", ["data.encoding=frames", 'data.name="n-mnist"', 'data.name="mine.py:make_data"'])
def test_a_teacher_of_frames_depends_on_their_number(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("def make_data(): ...\n")
    read = stages.TEACHER.settings(load_config(None, [setting, "student.n_steps=5"]))
    assert contents(read, file_hash)["student.n_steps"] == "5"


def test_a_teacher_depends_on_whether_the_method_has_one() -> None:
    read = [stages.TEACHER.settings(load_config(None, [f"distill.method={m}"])) for m in ("hard", "kd")]
    assert contents(read[0], file_hash) != contents(read[1], file_hash)


def test_who_comes_second_waits_where_it_is_told_to(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from seamount.run.lock import hold\n"
        "with hold(Path(sys.argv[1]), wait=True):\n"
        "    print('in', flush=True); time.sleep(0.5); Path(sys.argv[2]).touch()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "stage"), str(tmp_path / "done")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "in\n"
        with hold(tmp_path / "stage", wait=True):
            assert (tmp_path / "done").exists()


def test_each_target_has_a_front_of_its_own() -> None:
    trials = [
        Trial("a", "", 0.9, 100, 2e-6, cores=4, target="loihi1", spikes_per_synapse=0.5),
        Trial("b", "", 0.9, 100, 1e-6, cores=1, target="loihi2", spikes_per_synapse=0.4),
        Trial("c", "", 0.8, 100, 3e-6, cores=4, target="loihi1", spikes_per_synapse=0.5),
    ]
    points = sweep_points(trials)
    assert [p.front for p in points] == [True, True, False]
    assert [p.front_cores for p in points] == [True, True, False]
    assert [p.front_spikes for p in points] == [False, True, False]  # spikes are spikes on every chip


def test_what_is_unknown_of_a_point_is_told_beside_the_plot() -> None:
    trials = [Trial("a", "", 0.9, 100, 2e-6, cores=4), Trial("b", "", 0.9, 100, 2e-6, cores=None)]
    drawn = {title: absent for title, _, absent in trade_offs(sweep_points(trials))}
    assert drawn == {
        "Energy, on-chip dynamic": "",
        "Cores": "1 of 2 runs are not here: cores unknown.",
    }


def names_drawn(trials: list[Trial]) -> list[tuple[float, float, float, str]]:
    """Left, right and foot of each name in the first plot, 300 pixels wide, and the name."""
    _, drawing, _ = next(iter(trade_offs(sweep_points(trials))))
    found = re.findall(r'<text x="([\d.]+)%" y="([\d.]+)" text-anchor="(\w+)" class="tick halo">([^<]+)<', drawing)
    lefts = [float(x) * 3 - (6.6 * len(name) if anchor == "end" else 0) for x, _, anchor, name in found]
    return [
        (left, left + 6.6 * len(name), float(y), name) for left, (_, y, _, name) in zip(lefts, found, strict=True)
    ]


def test_names_in_a_plot_never_cover_each_other_or_a_point() -> None:
    trials = [
        Trial(f"T={n}", "", 0.9 + 0.001 * n, 100, (1 + 0.01 * n) * 1e-6, label=f"loihi1, {n}") for n in range(12)
    ]
    boxes = names_drawn(trials)
    assert 0 < len(boxes) < 12
    for i, a in enumerate(boxes):
        assert not any(a[0] < b[1] and b[0] < a[1] and abs(a[2] - b[2]) < 13 for b in boxes[:i])


@pytest.mark.parametrize("rise", [0.002, 0.01, 0.05])
def test_names_in_a_plot_leave_the_front_free_at_any_width(rise: float) -> None:
    costs = (1.0, 1.3, 2.2, 3.0)
    trials = [Trial(f"T={n}", "", 0.8 + rise * n, 1000, c * 1e-6, label=f"loihi1, {n}") for n, c in enumerate(costs)]
    _, drawing, _ = next(iter(trade_offs(sweep_points(trials))))
    dots = [(float(x) * 3, float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)%" cy="([\d.]+)"', drawing)]
    front, named = sorted(dots), names_drawn(trials)
    assert named
    for left, right, foot, name in named:
        x, y = front[int(name[-1])]
        # either below its point and right of it, or above it and left of it, where no rising line comes
        assert (left > x and foot - 13 >= y) or (right < x and foot <= y)


def test_a_trial_without_a_label_is_called_by_its_name() -> None:
    trial = Trial("T=2", "", 0.9, 100, 2e-6)
    assert [p.label for p in sweep_points([trial, replace(trial, name="x", label="2")])] == ["T=2", "2"]
