"""The page in headless Chromium, from phone to desk, light and dark, on paper: no messages, no overflow, readable.

Chromium sees the page in frames of every width, so that its media queries act; a script beside them measures.
"""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hand_made import hand_made
from report_fixture import evidence

from seamount.compile.neurons.sigma import Sigma
from seamount.compile.program.program import Input, Population, Program
from seamount.report.compare import compare, render_comparison_html
from seamount.report.conversion import render_conversion_html
from seamount.report.gates import Outcome
from seamount.report.render.html import render_html
from seamount.report.report import assemble
from seamount.report.sweep import Axis, NotReached, SweepReport, render_sweep_html, sweep_report
from seamount.sigma_delta import Conversion, Reference
from seamount.trials import Point

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = {
    "light": (360, 400, 768, 1024, 1280, 1920),
    "dark": (360, 1920),  # other colours, and nothing else: where all is on one column, and where nothing is hidden
}
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

PROBE = Path(__file__).with_name("probe.js").read_text()


def chromium(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    return subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path}/profile", *arguments],
        capture_output=True,
        text=True,
        timeout=900,
        check=True,
    )


def swept() -> SweepReport:
    trials = {(trial.settings.partition(" ")[0][-1], trial.settings[-1]): trial for trial in evidence().sweep}
    gates = {t.name: (Outcome("cores", t.cores == 4, f"{t.name}: cores, at most 4"),) for t in trials.values()}
    missed = [NotReached(name="x", values=("2", "8"), reason="teacher: " + "the loss is not finite " * 20)]
    axes = [Axis(key="quant.weight_bits", values=("4", "6", "8")), Axis(key="student.n_steps", values=("2", "4"))]
    trained = {t.name: ("teacher", "distill") for t in trials.values()}
    return sweep_report("grid", axes, trials, missed, trained=trained, outcomes=gates)


def converted() -> Conversion:
    curve = tuple(
        Point(
            threshold=threshold,
            messages=5e4 * share,
            operations=4e6 * share,
            accuracy=0.97 - loss,
            same=1 - loss,
            error_max=20 * loss,
            error_rms=6 * loss,
            rmse=None,
            left_range=0,
        )
        for threshold, share, loss in ((0, 1, 0), (0.01, 0.9, 0.001), (0.0234, 0.88, 0.002), (0.4, 0.05, 0.6))
    )
    return Conversion(
        program=Program("a-long-name-of-a-network", (Input("x", (2,)),), (Population("p", (2,), Sigma()),), ()),
        chosen=curve[2],
        curve=curve,
        reference=Reference(np.ones((1, 1000, 10)), 4_200_000, 0.97, None, ""),
        weight_bits={"p": 8.0},
        latency=5,
        what="digits test set",
        n_samples=1000,
        n_frames=1000,
        why="the largest threshold within half a point, on the calibration samples",
    )


def pages() -> dict[str, str]:
    full, small = assemble(evidence()), assemble(hand_made())
    empty = assemble(hand_made(answers=(), proof=(), traced=None))
    return {
        "full": render_html(full),
        "empty": render_html(empty),
        "comparison": render_comparison_html(compare(full, small)),
        "sweep": render_sweep_html(swept()),
        "conversion": render_conversion_html(converted()),
    }


@pytest.mark.slow
@pytest.mark.parametrize("scheme", WIDTHS)
def test_the_pages_at_every_width(scheme: str, tmp_path: Path) -> None:
    frames = [
        f'<iframe data-name="{name} {width}" width="{width}" height="900" srcdoc="{html.escape(text)}"></iframe>'
        for name, text in pages().items()
        for width in WIDTHS[scheme]
    ]
    harness = tmp_path / "harness.html"
    meta = '<meta charset="utf-8"><meta name="color-scheme" content="light dark">'
    harness.write_text(f'{meta}<script>{PROBE}</script>{"".join(frames)}<pre id="found"></pre>')
    colours = "--blink-settings=preferredColorScheme=" + ("0" if scheme == "dark" else "1")
    done = chromium(tmp_path, colours, "--dump-dom", "--virtual-time-budget=10000", f"file://{harness}")
    written = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert written, "the probe did not run"
    found = json.loads(html.unescape(written[1]))
    assert found["dark"] == (scheme == "dark")
    assert {name: wrong for name, wrong in found["wrong"].items() if wrong} == {}
    assert len(found["wrong"]) == len(frames)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []


def test_dark_pages_have_other_colours_alone() -> None:
    dark = re.findall(r"@media \(prefers-color-scheme: dark\) \{\s*:root \{(.*?)\}\s*\}", pages()["full"], re.DOTALL)
    declared = [line.strip() for block in dark for line in block.split(";") if line.strip()]
    assert len(declared) > 30
    assert [line for line in declared if not re.fullmatch(r"--[\w-]+: #[0-9a-f]{6}", line)] == []
    assert all(text.count("prefers-color-scheme") == len(dark) for text in pages().values())


def test_the_page_on_paper(tmp_path: Path) -> None:
    page, pdf = tmp_path / "report.html", tmp_path / "report.pdf"
    page.write_text(pages()["full"])
    chromium(tmp_path, f"--print-to-pdf={pdf}", "--no-pdf-header-footer", f"file://{page}")
    content = pdf.read_bytes()
    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", content)
    assert 4 <= len(boxes) <= 24
    assert {(round(float(w)), round(float(h))) for w, h in boxes} == {(595, 842)}
