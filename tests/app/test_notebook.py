"""Results in a notebook: what they show of themselves, bars below the cell, and the example, cell by cell."""

import inspect
import json
import re
import sys
import types
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from matplotlib import pyplot

from seamount import api
from seamount.compile.fit.place.search import place
from seamount.compile.options import compile_options
from seamount.compile.program.activity import Activity
from seamount.distill.progress import QUIET, Bar, NotebookBar, usual_progress
from seamount.distill.quantised import QuantisedStudent
from seamount.hardware_targets.agreement import Agreement
from seamount.models.zoo import build_student

pytestmark = pytest.mark.usefixtures("no_window")

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "digits.ipynb"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> api.CompiledFile:
    one = np.ones(3)
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "fc": nir.Linear(np.array([[1.0, 2.0], [3.0, -1.0], [2.0, 2.0]])),
        "hidden": nir.LIF(tau=5e-3 * one, r=one, v_leak=0 * one, v_threshold=0.5 * one, v_reset=0 * one),
        "output": nir.Output({"output": np.array([3])}),
    }
    folder = tmp_path_factory.mktemp("notebook")
    nir.write(folder / "net.nir", nir.NIRGraph(nodes, list(pairwise(nodes))))
    np.savez(folder / "x.npz", x=np.ones((6, 4, 2), dtype=np.int64), y=np.zeros(4, dtype=np.int64))
    options = compile_options(settings=["dt=1e-3"], n_steps=6)
    return api.compile_source(str(folder / "net.nir"), out=str(folder / "net.program.h5"), options=options)


def test_a_program(compiled: api.CompiledFile) -> None:
    program = compiled.compiled.program
    assert repr(program) == "<Program net: 1 population, 3 neurons, 6 weights, 6 steps, count of hidden>"
    table = program.table()
    assert table.to_dict("records") == [
        {
            "name": "hidden",
            "kind": "Lif",
            "shape": (3,),
            "n_neurons": 3,
            "arrival": 1,
            "sources": ("input",),
            "n_weights": 6,
        }
    ]
    assert "hidden" in program._repr_html_()
    assert repr(program) in repr(compiled)
    assert list(compiled.table()["synapses"]) == ["fc"]
    assert "fc" in compiled._repr_html_()


def test_a_simulation(compiled: api.CompiledFile) -> None:
    found = api.simulate(str(compiled.path), str(compiled.path.parent / "x.npz"))
    assert repr(found).startswith("<Simulated net: 4 samples of ")
    assert f"accuracy {100 * (found.accuracy or 0):.2f} %" in repr(found)
    assert "array(" not in repr(found.samples) + repr(found.activity)
    (row,) = found.table().to_dict("records")
    assert row["n_spikes"] == found.activity.events["hidden"].n_spikes.sum() / 4
    assert row["n_neurons"] == 3
    assert "hidden" in found._repr_html_()
    curve = found.plot().get_lines()[0]
    assert curve.get_ydata().sum() == pytest.approx(row["n_spikes"])


def test_a_silent_run_is_drawn_too(compiled: api.CompiledFile, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((6, 1, 2), dtype=np.int64))
    assert api.simulate(compiled.path, tmp_path / "x.npz").plot().get_ylim()[0] == 0


def test_a_run_that_counted_nothing_has_an_empty_card() -> None:
    bare = Activity(n_steps=2, n_samples=1)
    assert repr(bare) == "<Activity: 2 steps, 1 sample, counts alone>"
    assert "<td>" not in bare._repr_html_()
    assert len(bare.table()) == 0
    assert not bare.plot().get_lines()


def test_a_student() -> None:
    student = build_student("small", n_classes=10, input_shape=(1, 8, 8), n_steps=4)
    told = "input 1x8x8, 4 populations, 1,802 neurons, 25,978 parameters, 4 steps"
    assert repr(student) == f"<SpikingNet small: {told}>"
    assert "Conv2d(1, 16" in str(student), "print shows torch's layers"
    rows = student.table().to_dict("records")
    assert [row["sources"] for row in rows] == [("input",), ("conv1",), ("conv2",), ("conv3",)]
    assert sum(row["n_parameters"] for row in rows) == 25978
    assert "LIFBoxCell" in student._repr_html_()
    integers = QuantisedStudent(student)
    assert repr(integers) == f"<QuantisedStudent small: {told}, weights of 8 bits>"
    assert "conv3" in integers._repr_html_()


def test_a_placement(compiled: api.CompiledFile) -> None:
    placed = place(compiled.compiled.program, api.target("loihi1"))
    assert repr(placed) == "<Placement net on loihi1: 1 core on 1 chip>"
    assert list(placed.table()["population"]) == ["hidden"]
    assert "hidden" in placed._repr_html_()


def test_a_target() -> None:
    target = api.target("loihi1")
    assert repr(target).startswith("<Target loihi1: ")
    assert len(target.table()) == len(target.rows())
    assert all(f"<th>{key}</th>" in target._repr_html_() for key, _ in target.figures())


def test_a_run_on_lava() -> None:
    run = Activity(n_steps=2, n_samples=1)
    card = api.LavaRun(run, run, Agreement("simulator", "Lava", 1, 12, 0, 6, 0), 0.5)._repr_html_()
    assert "0 of 12 spikes and 0 of 6 membrane values differ" in card
    assert "accuracy 50.00 %" in card


@pytest.mark.parametrize("name", [name for name in api.__all__ if inspect.isfunction(getattr(api, name))])
def test_paths_may_be_text(name: str) -> None:
    parameters = inspect.signature(getattr(api, name)).parameters.values()
    for parameter in parameters:
        told = str(parameter.annotation)
        assert "Path" not in told or "str" in told, f"{name}({parameter.name}: {told})"


# ------------------------------------------------------------------------------------------------ progress


class Display:
    """What a notebook shows, picture by picture."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.handles = 0

    def __call__(self, made: Any, display_id: bool) -> "Display":
        self.handles += 1
        self.update(made)
        return self

    def update(self, made: Any) -> None:
        self.shown.append(made.data)


def test_a_bar_in_a_notebook_ends_as_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    display = Display()
    monkeypatch.setattr("IPython.display.display", display)
    bar = NotebookBar()
    for task in ("<b>teacher", "student"):
        bar.begin(task, 2000)
        for _ in range(2000):
            bar.advance()
        bar.say("loss 0.5")
        bar.end()
    assert display.handles == 1
    assert len(display.shown) < 100, "a message to the browser for each step is too much"
    assert '<progress value="0" max="2000">' in display.shown[0]
    assert "&lt;b&gt;teacher" in display.shown[0]
    assert "student 2,000 of 2,000, 0." in display.shown[-1]
    assert "<progress" not in display.shown[-1]


def test_where_a_bar_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", None)
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    assert usual_progress() is QUIET
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert isinstance(usual_progress(), Bar)
    for shell, kind in ((object(), Bar), (types.SimpleNamespace(kernel=1), NotebookBar), (None, Bar)):
        monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda shell=shell: shell))
        assert isinstance(usual_progress(), kind)


# ------------------------------------------------------------------------------------------------- example


def code_cells() -> list[dict[str, Any]]:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """IPython in this process, as a kernel has it but for the browser."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    monkeypatch.chdir(tmp_path)
    return InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))


@pytest.mark.slow
def test_the_example_notebook_runs_and_shows_what_is_kept(shell: Any) -> None:
    for cell in code_cells():
        source = re.sub(r"\bepochs=\d+", "epochs=1", "".join(cell["source"]))
        kept = {key for o in cell["outputs"] for key in o.get("data", ())}
        done = shell.run_cell(source)
        done.raise_error()
        assert ("text/html" in kept) == hasattr(done.result, "_repr_html_"), source
        assert ("image/png" in kept) == bool(pyplot.get_fignums()), source
        pyplot.close("all")


def test_the_example_notebook_is_kept_small_and_executed() -> None:
    assert NOTEBOOK.stat().st_size < 200_000
    counts = [cell["execution_count"] for cell in code_cells()]
    assert counts == list(range(1, len(counts) + 1))
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        assert cell["metadata"] == {}, "times of a run make every diff"
        assert not [o for o in cell.get("outputs", ()) if o["output_type"] in ("error", "stream")]
