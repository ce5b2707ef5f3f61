"""Gates: limits of what a report holds, a report of before as the limit, and what GitHub shows of them."""

from dataclasses import replace

import pytest
from hand_made import hand_made
from report_fixture import evidence
from typer.testing import CliRunner

from seamount.cli import app
from seamount.cli.options import joules
from seamount.errors import ConfigError
from seamount.hardware_targets.target import load_target
from seamount.report.compare import compare
from seamount.report.gates import Gates, Outcome, check, cores, deployed_accuracy, dynamic_energy, spikes_per_synapse
from seamount.report.markdown import comparison_markdown, gates_markdown, report_markdown
from seamount.report.report import Report, assemble
from seamount.report.schema.values import Missing


@pytest.fixture(scope="module")
def full() -> Report:
    return assemble(evidence())


def outcome(report: Report, gates: Gates) -> Outcome:
    """Of the only gate."""
    (found,) = check(report, gates)
    return found


def test_a_limit_is_held_by_what_reaches_it_and_missed_beyond(full: Report) -> None:
    values = [deployed_accuracy(full), dynamic_energy(full), spikes_per_synapse(full), cores(full)]
    accuracy, energy, per_synapse, n_cores = (float(q.value) for q in values if q.value is not None)
    gates = {
        "min_accuracy": (accuracy, accuracy + 0.01),
        "max_energy_j": (energy, 0.99 * energy),
        "max_spikes_per_synapse": (per_synapse, 0.99 * per_synapse),
        "max_cores": (int(n_cores), int(n_cores) - 1),
    }
    for name, (held, missed) in gates.items():
        assert outcome(full, Gates(**{name: held})).passed, name  # type: ignore[arg-type]
        assert not outcome(full, Gates(**{name: missed})).passed, name  # type: ignore[arg-type]


def test_what_is_unknown_has_not_passed() -> None:
    bare = assemble(hand_made(answers=(), energy=None, placement=None, reasons={"energy": "nobody asked"}))
    for gates in (Gates(min_accuracy=0.0), Gates(max_energy_j=1.0), Gates(max_cores=10**6)):
        found = outcome(bare, gates)
        assert not found.passed
        assert " unknown (" in found.message


def test_a_limit_that_is_no_number_passes_nothing(full: Report) -> None:
    assert not outcome(full, Gates(min_accuracy=float("nan"))).passed
    assert not outcome(full, Gates(max_energy_j=float("nan"))).passed


def test_a_report_is_no_worse_than_itself(full: Report) -> None:
    found = check(full, Gates(baseline=full))
    assert [o.message.partition(": ")[2].partition(" ")[0] for o in found] == [
        "accuracy",
        "energy",
        "spikes",
        "cores",
    ]
    assert all(o.passed for o in found)


def test_a_tolerance_is_of_one_metric(full: Report) -> None:
    worse = list(evidence().answers)
    deployed = next(i for i, a in enumerate(worse) if a.stage == "deployed")
    wrong = worse[deployed].predictions.copy()
    wrong[:9] = (worse[deployed].labels[:9] + 1) % 10
    worse[deployed] = replace(worse[deployed], predictions=wrong)
    report = assemble(replace(evidence(), answers=worse))
    lost = float(deployed_accuracy(full).value or 0) - float(deployed_accuracy(report).value or 0)
    assert lost > 0.5
    failed = [o.message for o in check(report, Gates(baseline=full)) if not o.passed]
    assert len(failed) == 1
    assert failed[0].endswith("now; at most 0 pp worse is allowed")
    assert all(o.passed for o in check(report, Gates(baseline=full, tolerance={"accuracy": lost + 0.001})))
    assert not all(o.passed for o in check(report, Gates(baseline=full, tolerance={"energy": 50.0})))


def test_energies_of_two_targets_do_not_compare(full: Report) -> None:
    other = assemble(replace(evidence(), target=load_target("loihi2")))
    failed = [o.message for o in check(other, Gates(baseline=full)) if not o.passed]
    assert [message.partition(", which")[2] for message in failed] == [" do not compare: of loihi1 and loihi2"] * 2


def test_a_baseline_of_nothing_is_no_baseline(full: Report) -> None:
    bare = assemble(hand_made(answers=(), energy=None, placement=None, traced=None, full_run=None))
    found = outcome(full, Gates(baseline=bare))
    assert not found.passed
    assert found.message.endswith("the baseline has none of accuracy, energy, spikes, cores")


def test_what_a_baseline_lacks_is_said_to_be_not_compared(full: Report) -> None:
    bare = full.model_copy(update={"accuracy": Missing(missing="no labels")})
    told = [o.message for o in check(full, Gates(baseline=bare)) if o.gate == "baseline" and "accuracy" in o.message]
    assert len(told) == 1
    assert told[0].endswith(" now, not compared: the baseline has none")


@pytest.mark.parametrize(
    ("words", "joule"), [("2.5uJ", 2.5e-6), ("2.5 µJ", 2.5e-6), ("800nJ", 8e-7), ("1e-6", 1e-6), ("3J", 3.0)]
)
def test_an_energy_is_written_with_its_unit_or_in_joules(words: str, joule: float) -> None:
    assert joules(words) == pytest.approx(joule)


@pytest.mark.parametrize("words", ["2.5", "nan", "2MJ", "uJ", "-1uJ", "2.5uW"][1:])
def test_what_is_no_energy_is_refused(words: str) -> None:
    with pytest.raises(ConfigError, match=r"is not an energy; write it as 2\.5uJ, 800nJ or 2\.5e-6"):
        joules(words)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--min-accuracy", "nan"), "--min-accuracy nan: a number is needed"),
        (("--min-accuracy", "0.97"), "--min-accuracy 0.97: is a share, 97 per cent is meant; write it in per cent"),
        (("--tolerance", "energy=5"), "--tolerance energy=5: needs --against"),
        (("--against", "{}", "--tolerance", "enrgy=5"), "did you mean energy?"),
        (("--against", "{}", "--tolerance", "energy=-5"), "a number from 0 up is needed; write it as energy=0.5"),
        (("--against", "{}", "--tolerance", "energy"), "a number from 0 up is needed; write it as energy=0.5"),
        (("--against", "nothing.json"), "nothing.json: no such report; name a report.json, or the folder of one"),
    ],
)
def test_a_gate_that_means_nothing_is_refused(
    options: tuple[str, ...], told: str, full: Report, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("run")
    (folder / "report.json").write_text(full.to_json())
    done = CliRunner().invoke(app, ["check", str(folder), *(o.format(folder) for o in options)])
    assert done.exit_code == 2
    assert told in " ".join(done.output.split())


def test_github_sees_verdicts_figures_and_gates(full: Report) -> None:
    found = check(full, Gates(max_cores=1, min_accuracy=1.5))
    lines = report_markdown(full, found).splitlines()
    assert lines[0].startswith(f"### {full.run.name} on {full.run.target}: ")
    assert sum(line.startswith("| ✅ |") for line in lines) >= 1
    assert [line[:3] for line in lines if line.startswith(("- ✅", "- ❌"))] == ["- ✅", "- ❌"]
    rows = [line for line in lines if line.startswith("|")]
    assert all(line.endswith("|") for line in rows)


def test_github_sees_the_rows_that_differ(full: Report) -> None:
    small = assemble(hand_made())
    assert comparison_markdown(compare(full, full)).splitlines()[2:] == []
    lines = comparison_markdown(compare(full, small)).splitlines()
    assert f"|  |  | {full.run.name} | {small.run.name} | change |" in lines


def test_a_name_hides_nothing_from_github(full: Report) -> None:
    run = full.run.model_copy(update={"name": "net<!--", "target": "[x](//y)\n\n### all passed"})
    shown = report_markdown(full.model_copy(update={"run": run}), [outcome(full, Gates(max_cores=0))])
    assert shown.startswith("### net&#60;!-- on &#91;x&#93;(//y) ### all passed: ")
    assert "<!--" not in shown
    told = gates_markdown([replace(outcome(full, Gates(max_cores=0)), message="net<!--: *not* exact")])
    assert told == "- ❌ net&#60;!--: &#42;not&#42; exact\n"
