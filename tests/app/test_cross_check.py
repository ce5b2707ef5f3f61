"""`--cross-check sana-fe` from the command to the page; SANA-FE itself is asked in tests/targets."""

import importlib.metadata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from seamount import api
from seamount.cli import app
from seamount.compile.neurons.graded_vec import GradedVec
from seamount.compile.neurons.lif import NEVER_FIRES, Lif
from seamount.compile.numbers import ints
from seamount.compile.program.file import load_program, save_program
from seamount.compile.program.program import Input, Population, Program, Readout
from seamount.compile.synapses.kinds import Dense, Synapses
from seamount.errors import BackendMissing
from seamount.hardware_targets.sana_fe import Opinion
from seamount.hardware_targets.sana_fe.installed import TESTED
from seamount.report.parts.second_opinion import NOT_ASKED, SecondOpinion
from seamount.report.schema.values import Missing
from seamount.run import cross_check

OPINION = Opinion(
    version=TESTED,
    n_samples=4,
    n_steps=5,
    counts={
        "operations": (1234.5, 1234.5),
        "spikes": (10.0, 10.0),
        "active updates": (30.0, 20.0),
        "messages": (8.0, 8.0),
        "hops": (3.0, 3.0),
    },
    difference=None,
    energy_j={"synapse": 4e-8, "dendrite": 0.0, "soma": 2e-9, "network": 1e-9},
    constants="sana_fe",
    ours_j={"synapse": 4e-8, "dendrite": 0.0, "soma": 3e-9, "network": 1e-9},
    low_j=3e-8,
    high_j=5e-8,
    inputs_j=2e-9,
    input_messages=18.0,
    step_mean_s=1e-6,
    step_max_s=2e-6,
    our_step_s=1.5e-6,
    delay_mean_s=1e-8,
    delay_max_s=4e-8,
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """p.program.h5 and x.npz."""
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(2)
    lif = Lif(du=ints(4096), dv=ints(1024), v_th_mant=ints(64))
    made = Program(
        name="small",
        inputs=(Input("x", (6,)),),
        populations=(
            Population("hidden", (4,), lif),
            Population("out", (3,), replace(lif, v_th_mant=ints(NEVER_FIRES))),
        ),
        synapses=(
            Synapses("first", "x", "hidden", Dense(ints(2 * rng.integers(0, 60, (4, 6))))),
            Synapses("last", "hidden", "out", Dense(ints(2 * rng.integers(-60, 60, (3, 4))))),
        ),
        readout=Readout("out"),
        n_steps=5,
    )
    save_program(made, folder / "p.program.h5")
    np.savez(folder / "x.npz", x=(rng.random((5, 8, 6)) < 0.5).astype(np.int64), y=rng.integers(0, 3, 8))
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """SANA-FE is there and has this opinion."""
    monkeypatch.setattr(importlib.metadata, "version", lambda name: TESTED)
    monkeypatch.setattr(cross_check, "second_opinion", lambda *_: OPINION)


def run(files: Path, folder: Path, *words: str):
    words = ("report", str(files / "p.program.h5"), "--data", str(files / "x.npz"), "--out", str(folder), *words)
    return CliRunner().invoke(app, [*words, "-q"])


def test_without_sana_fe_nothing_is_begun(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    done = run(files, tmp_path / "r", "--cross-check", "sana-fe")
    assert done.exit_code == 6
    told = "error SANA-FE: not installed; pip install sanafe==2.2.9; or leave --cross-check out"
    assert done.output.strip() == told
    assert not (tmp_path / "r").exists()


def test_a_simulator_that_is_not_known_is_refused(files: Path, tmp_path: Path) -> None:
    done = run(files, tmp_path / "r", "--cross-check", "sana")
    assert done.exit_code == 2
    told = "error --cross-check: 'sana' is none of sana-fe; did you mean sana-fe?"
    assert done.output.strip() == told


def test_nobody_is_asked_unless_somebody_asks(files: Path, tmp_path: Path) -> None:
    done = run(files, tmp_path / "r")
    assert done.exit_code == 0, done.output
    report = api.load_report(tmp_path / "r")
    assert report.second_opinion == Missing(missing=NOT_ASKED)
    assert "opinion" not in done.output
    assert "second-opinion" not in {check.id for check in report.checks}
    assert "econd opinion" not in (tmp_path / "r" / "report.html").read_text()


@pytest.mark.usefixtures("asked")
def test_both_estimates_stand_side_by_side(files: Path, tmp_path: Path) -> None:
    done = run(files, tmp_path / "r", "--cross-check", "sana-fe")
    assert done.exit_code == 0, done.output
    words = " ".join(done.output.split())
    assert (
        "opinion SANA-FE 2.2.9: the same 1,234 operations (n = 4); 43.0 nJ dynamic (ours 44.0 nJ, 30.0 to 50.0 nJ); "
        "busiest step 2.00 µs (ours 1.50 µs)."
    ) in words
    report = api.load_report(tmp_path / "r")
    assert isinstance(report.second_opinion, SecondOpinion)
    assert [row.theirs_j.value for row in report.second_opinion.energies] == [4e-8, 0, 2e-9, 1e-9, 4.3e-8]
    assert [c.state for c in report.checks if c.code == "REP-007"] == ["ok"]
    assert report.second_opinion.why[0].startswith("active updates: 30 here, 20 there; ")
    assert len(report.second_opinion.why) == 3, "messages and hops are the same, and nothing is to be said of them"
    page = (tmp_path / "r" / "report.html").read_text()
    assert "A second opinion: SANA-FE 2.2.9" in page
    assert "the same in each of the 5 steps of a sample" in page
    assert "18 messages from inputs to cores would be 2.00\N{NO-BREAK SPACE}nJ more" in page
    # the report made again asks again
    again = api.report(tmp_path / "r")
    assert again.second_opinion == report.second_opinion


@pytest.mark.usefixtures("asked")
def test_a_time_limit_that_is_none_is_refused_at_once(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEAMOUNT_SANA_FE_SECONDS", "soon")
    assert run(files, tmp_path / "r", "--cross-check", "sana-fe").exit_code == 2
    assert not (tmp_path / "r").exists()


@pytest.mark.usefixtures("asked")
def test_a_difference_is_an_error(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(OPINION, difference="operations in step 3: 17 here, 18 there")
    monkeypatch.setattr(cross_check, "second_opinion", lambda *_: other)
    done = run(files, tmp_path / "r", "--cross-check", "sana-fe")
    assert done.exit_code == 3
    words = " ".join(done.output.split())
    assert "SANA-FE 2.2.9 does not count what we count: operations in step 3: 17 here, 18 there." in words
    assert [c.state for c in api.load_report(tmp_path / "r").checks if c.code == "REP-007"] == ["error"]


@pytest.mark.usefixtures("asked")
def test_where_it_fails_the_rest_of_the_report_stands(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> Opinion:
        raise BackendMissing("not done within 600 s", where="SANA-FE")

    monkeypatch.setattr(cross_check, "second_opinion", stopped)
    done = run(files, tmp_path / "r", "--cross-check", "sana-fe")
    assert done.exit_code == 0, done.output
    assert "opinion SANA-FE: not done within 600 s" in done.output
    report = api.load_report(tmp_path / "r")
    assert report.second_opinion == Missing(missing="SANA-FE: not done within 600 s")
    assert not isinstance(report.energy, Missing)
    assert (
        "No second opinion: SANA-FE: not done within 600\N{NO-BREAK SPACE}s."
        in (tmp_path / "r" / "report.html").read_text()
    )


@pytest.mark.usefixtures("asked")
def test_what_does_not_fit_is_not_shown_to_it(files: Path, tmp_path: Path) -> None:
    made = load_program(files / "p.program.h5")
    hidden = replace(made.populations[0], neuron=GradedVec(v_th=ints(1)))
    save_program(replace(made, populations=(hidden, made.populations[1])), tmp_path / "g.program.h5")
    report = api.deploy(tmp_path / "g.program.h5", files / "x.npz", folder=tmp_path / "r", cross_check="sana-fe")
    assert report.second_opinion == Missing(missing="SANA-FE: the network was not placed on cores, see Fits")


@pytest.mark.usefixtures("asked")
def test_without_samples_there_is_nothing_to_replay(files: Path, tmp_path: Path) -> None:
    report = api.deploy(files / "p.program.h5", folder=tmp_path / "r", cross_check="sana-fe")
    assert report.second_opinion == Missing(missing="no samples were given, --data x.npz does")
