"""The examples run as they are, in a folder of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SAID = {
    "convert_a_moving_digit.py": " operations a frame, the ANN ",
    "distil_digits.py": "simulator = Lava 0.10.0, as a stream: 0 of",
    "compile_your_own_nir.py": "output spikes per sample:",
    "own_everything.py": "deployed: ",
    "losses_in_your_own_loop.py": "deployed: ",
    "report_of_a_nir_file.py": "report.html, 2 layers compared",
    "run_on_lava.py": "bit-exact: simulator = Lava, 5 samples, 0 of 1,080 spikes and 0 of 1,080 membrane",
}


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SAID)


@pytest.mark.parametrize("name", ["own_everything.py", "losses_in_your_own_loop.py", "report_of_a_nir_file.py"])
def test_an_example_of_ones_own_has_less_than_thirty_lines_of_code(name: str) -> None:
    _, _, code = (EXAMPLES / name).read_text().split('"""', 2)
    assert len([line for line in code.splitlines() if line.strip()]) < 30


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SAID))
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(EXAMPLES / name)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert SAID[name] in done.stdout
