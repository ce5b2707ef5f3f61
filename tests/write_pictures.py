"""Takes the pictures of docs/images anew: python -m tests.write_pictures [FOLDER], in minutes.

The runs that they show are made in FOLDER (else in one that is thrown away); one that stands there already is taken
as it is. report-cifar10.png is of a run of hours and stays.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from seamount import api

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"

LIGHT, DARK = ("--blink-settings=preferredColorScheme=1",), ("--blink-settings=preferredColorScheme=0",)
DESK, PHONE = (1280, 1700), (400, 1700)

OVER = ("target.name=loihi1,loihi2", "student.n_steps=2,4", "quant.weight_bits=8,4")
"""The sweep of docs/sweeps.md."""


def main(folder: Path) -> None:
    demo, sweep, network = folder / "demo", folder / "train-sweep", folder / "network"
    if not (demo / "report.html").exists():
        api.run(None, api.DEMONSTRATION, folder=demo, resume=True)
    if not (sweep / "sweep.html").exists():
        api.sweep(None, list(OVER), folder=sweep)
    if not (network / "report.html").exists():
        api.deploy(next(demo.glob("stages/*/student.nir")), "digits", folder=network)
    for name, page, scheme, size in (
        ("report-light", demo / "report.html", LIGHT, DESK),
        ("report-dark", demo / "report.html", DARK, DESK),
        ("report-phone", demo / "report.html", LIGHT, PHONE),
        ("report-network", network / "report.html", LIGHT, DESK),
        ("sweep-light", sweep / "sweep.html", LIGHT, DESK),
        ("sweep-dark", sweep / "sweep.html", DARK, DESK),
        ("sweep-phone", sweep / "sweep.html", LIGHT, PHONE),
    ):
        _photograph(page.resolve(), IMAGES / f"{name}.png", scheme, size)


def _photograph(page: Path, picture: Path, scheme: tuple[str, ...], size: tuple[int, int]) -> None:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        sys.exit("no Chromium here: apt-get install chromium")
    with tempfile.TemporaryDirectory() as profile:
        quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]
        where = [f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}", f"--screenshot={picture}"]
        subprocess.run([found, *quiet, *scheme, *where, page.as_uri()], check=True, stderr=subprocess.DEVNULL)
    print(picture)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made))
