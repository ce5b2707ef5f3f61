"""Every operator spike for spike as torch has it, and the table of docs/nir_support.md as it comes out."""

from pathlib import Path

import pytest
from operator_networks import OPERATORS, Compared, row, table_of

DOC = Path(__file__).resolve().parents[2] / "docs" / "nir_support.md"


@pytest.fixture(scope="module")
def runs() -> dict[str, list[Compared]]:
    return {operator.name: row(operator) for operator in OPERATORS}


def test_interpreter_and_program_spike_as_torch(runs: dict[str, list[Compared]]) -> None:
    for name, compared in runs.items():
        assert sum(run.interpreter for run in compared) == 0, name
        assert sum(run.program for run in compared) == 0, name
        assert 0 < sum(run.spikes for run in compared) < sum(run.values for run in compared), name


def test_the_operator_table_is_what_came_out(runs: dict[str, list[Compared]]) -> None:
    told = DOC.read_text().split("<!-- operators -->\n")[1].split("\n<!-- end of operators -->")[0]
    assert told.splitlines() == list(table_of(runs))


def test_one_convolution_stays_one(runs: dict[str, list[Compared]]) -> None:
    for name in ("Conv2d, any stride and padding", "Conv2d, depthwise", "Conv1d", "AvgPool2d, odd maps, padding"):
        assert {kind for run in runs[name] for kind in run.kinds} == {"conv"}, name
