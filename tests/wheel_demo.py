"""The wheel in a fresh environment: build, install, run the demonstration to its end, without Lava.

    python -m tests.wheel_demo

The dependencies at hand are linked into the environment one by one, Lava left out; Seamount itself is only in the
wheel. A short training: that the report comes is the question, not what it says.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

from seamount import api

ROOT = Path(__file__).resolve().parents[1]
SHORT = (
    "teacher.epochs=1",
    "train.epochs=1",
    "quant.epochs=1",
    "data.max_train=128",
    "data.max_test=32",
    "distill.spike_budget={}",  # so short a training would fall silent under the demonstration's own
)
LEFT_OUT = ("lava", "seamount", "__editable__")


def link_dependencies(place: Path) -> None:
    """All that is installed beside this interpreter but Lava, Seamount and what points to it."""
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(LEFT_OUT) and not (place / entry.name).exists():
            (place / entry.name).symlink_to(entry)


def environment() -> dict[str, str]:
    """Variables without a path to this source tree."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def fresh_environment(folder: Path) -> Path:
    """The bin folder of an environment with the wheel in it."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (wheel,) = folder.glob("seamount-*.whl")
    venv.create(folder / "venv", with_pip=False)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    bin_ = folder / "venv" / "bin"
    install = [sys.executable, "-m", "pip", "--python", str(bin_ / "python"), "install", "--quiet", "--no-deps"]
    subprocess.run([*install, str(wheel)], check=True, env=environment())
    link_dependencies(site)
    return bin_


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bin_ = fresh_environment(folder)
        words = [word for setting in SHORT for word in ("--set", setting)]
        run = [str(bin_ / "seamount"), "demo", "--quiet", *words]
        subprocess.run(run, check=True, cwd=folder, env=environment(), stdout=subprocess.DEVNULL)
        report = api.load_report(folder / "runs" / "demo")
        exact = report.verdicts[0]
        assert (exact.word, exact.state) == ("not on Lava", "unknown"), exact
        assert "simulator = Lava: not run (lava-nc is not installed" in exact.detail, exact
        required = subprocess.run(
            [*run, "--overwrite", "--require-lava"], check=False, cwd=folder, env=environment(), capture_output=True
        )
        assert required.returncode == 6, required
    print("seamount: the wheel runs the demonstration in a fresh environment without Lava")


if __name__ == "__main__":
    main()
