"""The examples run as they are but for fewer epochs, in a folder of their own."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from seamount.cli import app

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
def test_the_student_of_cifar10_answers() -> None:
    root = EXAMPLES.parent / ".." / "shared" / "data" / "cifar10"
    if not root.is_dir():
        pytest.skip("CIFAR-10 is not here")
    program = EXAMPLES / "cifar10_vgg8.program.h5"
    assert program.stat().st_size < 4e6
    data = ["--data", "cifar10", "--set", f"data.root={root}", "--samples", "40"]
    told = json.loads(CliRunner().invoke(app, ["simulate", str(program), *data, "--json"]).stdout)
    assert (told["accuracy"], told["n_samples"]) == (39 / 40, 40), "whole numbers, on any machine"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(SAID))
def test_an_example_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name])
    shorter = tmp_path / name
    shorter.write_text(re.sub(r"\bepochs=\d+", "epochs=1", (EXAMPLES / name).read_text()))
    # in this process, which has imported already what each of them does
    with torch.random.fork_rng(devices=[]):
        runpy.run_path(str(shorter), run_name="__main__")
    assert SAID[name] in capsys.readouterr().out
