"""The report file: round trip, determinism, the published schema, foreign and newer files, gates, comparison."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_made import LABELS, hand_made
from report_fixture import evidence

from seamount.api import load_report
from seamount.errors import CheckFailed, DoesNotFit, InputError
from seamount.hardware_targets.agreement import Agreement
from seamount.report.compare import compare
from seamount.report.evidence import Answers
from seamount.report.gates import Gates, check, enforce
from seamount.report.report import SCHEMA_VERSION, assemble, from_json, json_schema
from seamount.report.schema.values import Missing

PUBLISHED = files("seamount.report") / "schema/report.schema.json"


def test_round_trip() -> None:
    report = assemble(evidence())
    assert from_json(report.to_json()) == report
    assert from_json(report.to_json()).to_json() == report.to_json()


def test_no_part_of_the_full_report_is_missing() -> None:
    report = assemble(evidence())
    # its program has spikes; frames are of those that send changes
    assert [name for name, part in report if isinstance(part, Missing)] == ["frames"]


def test_equal_runs_differ_in_timing_alone() -> None:
    first = assemble(hand_made())
    second = assemble(hand_made(created="2027-01-01T00:00:00+00:00", wall_s={"teacher": 3.0}))
    assert first.to_json() != second.to_json()
    assert first.fingerprint() == second.fingerprint()
    lines = zip(first.to_json().splitlines(), second.to_json().splitlines(), strict=True)
    assert [a.split(":")[0] for a, b in lines if a != b] == ['"timing"']


def test_a_report_of_before_loads() -> None:
    # written before comparisons counted other values too; schema 1 grows by fields with defaults alone
    text = (Path(__file__).parent / "golden/report-schema-1.json").read_text()
    assert "others_compared" not in text
    assert from_json(text).proof == assemble(hand_made()).proof


def meaning(schema: Any) -> Any:
    """A JSON schema without what versions of pydantic write differently: titles, one-valued enums, allOf of one."""
    match schema:
        case dict():
            told = {k: meaning(v) for k, v in schema.items() if not (k == "title" and isinstance(v, str))}
            if len(told.get("enum", ())) == 1:
                told["const"] = told.pop("enum")[0]
            if len(told.get("allOf", ())) == 1:
                told |= told.pop("allOf")[0]
            return told
        case list():
            return [meaning(v) for v in schema]
        case _:
            return schema


def test_the_schema_is_published() -> None:
    assert meaning(json.loads(PUBLISHED.read_text())) == meaning(json_schema()), (
        "write it anew: python -m seamount.report.report > seamount/report/schema/report.schema.json"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable as JSON"),
        (b"\xff{", "not readable as JSON"),
        ("[]", "not a Seamount report (schema_name 'list', needed 'seamount.report')"),
        ('{"schema_name": "other"}', "not a Seamount report (schema_name 'other', needed 'seamount.report')"),
        (
            json.dumps({"schema_name": "seamount.report", "schema_version": SCHEMA_VERSION + 1}),
            f"report schema {SCHEMA_VERSION + 1}, this Seamount reads up to {SCHEMA_VERSION}; "
            "update Seamount, or write the report anew with `seamount report RUN`",
        ),
        (
            json.dumps({"schema_name": "seamount.report", "schema_version": SCHEMA_VERSION}),
            "run: Field required; write it anew with `seamount report RUN`",
        ),
    ],
)
def test_a_file_that_is_no_report(text: str | bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as error:
        load_report(file)
    assert str(error.value).startswith(f"{file}: {message}")


def test_no_report_there(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        load_report(tmp_path)
    assert str(error.value) == f"{tmp_path}/report.json: no such report; name a report.json, or the folder of one"
    (tmp_path / "resolved.toml").touch()
    with pytest.raises(InputError) as error:
        load_report(tmp_path)
    assert str(error.value) == f"{tmp_path}/report.json: no such report; `seamount report {tmp_path}` writes one"


# -------------------------------------------------------------------------------------------------- gates


def test_gates_that_hold() -> None:
    outcomes = check(assemble(evidence()), Gates(0.5, require_bit_exact=True, require_fit=True))
    enforce(outcomes)
    assert [o.passed for o in outcomes] == [True, True, True]


def test_an_accuracy_drop_fails_with_3() -> None:
    worse = (Answers("float", LABELS, LABELS), Answers("deployed", np.array([1, 1, 1, 0]), LABELS))
    with pytest.raises(CheckFailed) as error:
        enforce(check(assemble(hand_made(answers=worse)), Gates(0.5)))
    assert error.value.exit_code == 3
    assert str(error.value) == (
        "hand: accuracy drop 25.00 pp, at most 0.5 pp is allowed; "
        "see section Divergence of report.html for the layer that loses it"
    )


def test_too_few_answers_pass_no_gate() -> None:
    # of the four samples two leave both values of the readout equal
    outcomes = check(assemble(hand_made()), Gates(require_bit_exact=True))
    assert [(o.gate, o.passed) for o in outcomes] == [("answers", False), ("bit-exact", True)]
    with pytest.raises(CheckFailed) as error:
        enforce(outcomes)
    assert str(error.value) == "hand: no answer in 2 of 4 samples: all values of the readout are equal"


def test_what_nobody_checked_has_not_passed() -> None:
    report = assemble(hand_made(answers=(), proof=(), reasons={"proof": "Lava is not installed"}))
    with pytest.raises(CheckFailed) as error:
        enforce(check(report, Gates(1.0, require_bit_exact=True, require_fit=True)))
    assert str(error.value) == (
        "hand: accuracy drop unknown (no stage answered a test set); finish the missing stages\n"
        "hand: bit exactness was not checked (Lava is not installed)\n"
        "hand: whether it fits was not checked (mapping was not run)"
    )


def test_a_program_that_only_does_not_fit_fails_with_4() -> None:
    right = (Answers("float", LABELS, LABELS), Answers("deployed", LABELS, LABELS))
    words = "hidden: compartments 2000, loihi1 holds 1024 a core"
    report = assemble(hand_made(answers=right, does_not_fit=words))
    with pytest.raises(DoesNotFit) as error:
        enforce(check(report, Gates(50.0, require_bit_exact=True, require_fit=True)))
    assert error.value.exit_code == 4
    assert str(error.value) == "hand: does not fit loihi1: hidden: compartments 2000, loihi1 holds 1024 a core"


def test_a_difference_fails_with_3() -> None:
    report = assemble(hand_made(proof=(Agreement("a", "b", 1, 10, 1, 10, 0),)))
    with pytest.raises(CheckFailed, match="not bit-exact: a and b differ in 1 of 10 spikes"):
        enforce(check(report, Gates(require_bit_exact=True)))


# --------------------------------------------------------------------------------------------- comparison


def test_the_same_report_twice() -> None:
    report = assemble(evidence())
    found = compare(report, report)
    assert found.headline == "The two reports are the same."
    assert found.notes == ()
    assert {row.verdict for row in found.rows} == {"same"}


def test_a_worse_report_is_said_to_be_worse() -> None:
    worse = (Answers("float", LABELS, LABELS), Answers("deployed", np.array([1, 0, 1, 0]), LABELS))
    good = assemble(hand_made(answers=(Answers("float", LABELS, LABELS), Answers("deployed", LABELS, LABELS))))
    proof = (Agreement("simulator", "Lava", 4, 24, 3, 48, 0),)
    found = compare(good, assemble(hand_made(answers=worse, proof=proof, name="other")))
    rows = {(row.section, row.name): row for row in found.rows if row.verdict != "same"}
    assert rows["Accuracy", "Deployed program"].verdict == "worse"
    assert rows["Accuracy", "Deployed program"].change == "\N{MINUS SIGN}50.00 pp"
    assert rows["Verdicts", "Bit-exact"].verdict == "worse"
    assert found.headline == "B is worse in 2 rows."
    assert "Neither has mapping." in found.notes
