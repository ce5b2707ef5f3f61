"""What people see: the terminal's text against a golden file, the page's structure, and both for odd reports."""

import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from io import StringIO
from pathlib import Path

import pytest
from hand_made import INPUTS, PROGRAM, hand_made
from report_fixture import evidence
from rich.console import Console, RenderableType
from test_report_browser import converted, swept

from seamount.compile.arithmetic.definition import run_definition
from seamount.report.compare import compare, render_comparison_html, render_comparison_terminal
from seamount.report.conversion import render_conversion_html
from seamount.report.evidence import Traced
from seamount.report.parts.energy import Energy
from seamount.report.render.charts import Scale
from seamount.report.render.glossary import GLOSSARY
from seamount.report.render.html import SECTIONS, render_html
from seamount.report.render.terminal import render_terminal
from seamount.report.report import assemble
from seamount.report.sweep import render_sweep_html

GOLDEN = Path(__file__).parent / "golden"


def written(rendering: RenderableType) -> str:
    console = Console(width=80, file=StringIO(), color_system=None)
    console.print(rendering)
    assert isinstance(console.file, StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def agrees_with_golden(name: str, text: str) -> None:
    """SEAMOUNT_UPDATE_GOLDEN=1 writes the file anew; read it in review."""
    path = GOLDEN / name
    if os.environ.get("SEAMOUNT_UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def test_the_terminal_report() -> None:
    agrees_with_golden("terminal.txt", written(render_terminal(assemble(hand_made()))))


def test_the_terminal_says_what_to_do_where_a_program_does_not_fit() -> None:
    ways = "smaller kernels, fewer input channels, pruning, or a convolution of stride 2 in front; or a larger target"
    shown = written(
        render_terminal(assemble(hand_made(does_not_fit=f"hidden: input axons 8144, loihi1 holds 4096; {ways}")))
    )
    assert "fits    no; hidden: input axons 8144, loihi1 holds 4096; smaller" in shown
    assert shown.count("input axons") == 2
    assert "or a larger target" in " ".join(shown.split())
    short = written(render_terminal(assemble(hand_made(does_not_fit="hidden: too large"))))
    assert short.count("too large") == 1


def test_the_terminal_comparison() -> None:
    report = assemble(hand_made())
    other = assemble(hand_made(name="other", proof=(), answers=()))
    agrees_with_golden("comparison.txt", written(render_comparison_terminal(compare(report, other))))


def test_the_full_terminal_report_is_at_most_40_lines_of_80_columns() -> None:
    lines = written(render_terminal(assemble(evidence()))).splitlines()
    assert len(lines) <= 40
    assert max(len(line) for line in lines) <= 80


@pytest.mark.parametrize("width", [60, 72, 80])
def test_no_bracket_stays_open_and_no_number_without_its_unit_at_any_width(width: int) -> None:
    report = assemble(evidence())
    assert isinstance(report.energy, Energy)
    words = "120 nJ per inference (assumed constants, not measured; placeholders of another chip, and more words)"
    energy = report.energy.model_copy(update={"words": words})
    told = written(render_terminal(report.model_copy(update={"energy": energy}), width))
    assert told.count("(") == told.count(")")
    assert "of another chip, and more words)" in " ".join(told.split())
    assert not re.search(r"\d\n\s*([fpnµmk]?[JWs]|[%×])\b", told)


def test_why_layers_are_not_compared_is_said_once() -> None:
    twice = PROGRAM.with_(
        populations=(*PROGRAM.populations, replace(PROGRAM.populations[0], name="more")),
        synapses=(*PROGRAM.synapses, replace(PROGRAM.synapses[0], name="to more", target="more")),
    )
    run = run_definition(twice, INPUTS)
    text = render_html(
        assemble(hand_made(program=twice, traced=Traced(run), answers=(), reasons={"float_spikes": "so"}))
    )
    assert text.count("Not compared:") == 1
    assert "Not compared: hidden, more; so." in text
    assert "only float student" not in text  # in no legend, because it is drawn nowhere


class Page(HTMLParser):
    """Collects what the structure tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[int] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in ("meta", "link", "img", "br", "hr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes something else"


def pages() -> dict[str, str]:
    empty = {"answers": (), "proof": (), "traced": None, "reasons": {}}
    full = assemble(evidence())
    return {
        "full": render_html(full),
        "hand made": render_html(assemble(hand_made())),
        "empty": render_html(assemble(hand_made(**empty))),
        "does not fit": render_html(assemble(hand_made(does_not_fit="hidden <b> & more"))),
        "comparison": render_comparison_html(compare(full, assemble(hand_made()))),
        "sweep": render_sweep_html(swept()),
        "conversion": render_conversion_html(converted()),
    }


@pytest.mark.parametrize("name", ["full", "hand made", "empty", "does not fit", "comparison", "sweep", "conversion"])
def test_a_page_is_whole_small_and_stands_alone(name: str) -> None:
    text = pages()[name]
    page = Page(text)
    assert page.open == []
    assert len(text.encode()) < 3_000_000
    assert not any(tag in ("script", "iframe", "object", "embed", "form") for tag, _ in page.tags)
    loads = [a.get("src") or a.get("href") or "" for tag, a in page.tags if tag in ("img", "link", "image", "use")]
    assert all(source.startswith("data:") for source in loads)
    assert "@import" not in text
    assert "url(" not in text
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    anchors = {a["href"] for tag, a in page.tags if tag == "a" and (a.get("href") or "").startswith("#")}
    assert {f"#{i}" for i in ids} >= anchors
    assert page.headings[0] == 1
    assert all(after - before <= 1 for before, after in zip(page.headings, page.headings[1:], strict=False))
    for tag, attributes in page.tags:
        if tag == "img":
            assert attributes.get("alt")
        if tag == "svg" and attributes.get("role") == "img":
            assert attributes.get("aria-label")
        if tag == "th":
            assert attributes.get("scope") in ("row", "col")
    for number in re.findall(r'(?:x|y|width|height|cx|cy|r)="(-?[\d.]+|nan|inf)%?"', text):
        assert number not in ("nan", "inf")


@pytest.mark.parametrize("name", ["full", "comparison", "sweep", "conversion"])
def test_every_page_explains_its_terms_and_breaks_no_line_before_a_unit(name: str) -> None:
    text = pages()[name].partition("</head>")[2]
    before, _, glossary = text.partition('<section id="glossary"')
    explained = [term for term in GLOSSARY if f'id="{term.id}"' in glossary]
    assert len(explained) >= 3
    if name != "full":
        # placeholders are explained even where the points have none
        words = [term.written or re.escape(term.name) for term in explained if term.name != "placeholder"]
        assert [word for word in words if not re.search(word, before, re.IGNORECASE)] == []
    assert re.findall(r"\d [%×]|\d [pnµmk]?[JWs]\b|\d SOP\b|\bn =|n\xa0= \d", text) == []


def test_every_section_is_on_the_page() -> None:
    text = pages()["empty"]
    assert [s.id for s in SECTIONS if f'<section id="{s.id}"' not in text] == []
    assert text.count("Not computed") >= 8


def test_every_section_has_its_template_and_every_template_its_section() -> None:
    templates = (files("seamount.report") / "render/templates/sections").iterdir()
    assert {t.name for t in templates} == {f"{s.id}.html.j2" for s in SECTIONS}


def test_names_of_users_cannot_break_the_page() -> None:
    text = render_html(assemble(hand_made(name='<script>alert("x")</script>')))
    assert "<script" not in text


def test_the_page_is_the_same_for_the_same_report() -> None:
    report = assemble(evidence())
    assert render_html(report) == render_html(type(report).model_validate_json(report.to_json()))


@pytest.mark.parametrize(
    ("scale", "ticks"),
    [
        (Scale(0, 10), [0, 2.5, 5, 7.5, 10]),
        (Scale(72.3, 100), [80, 90, 100]),
        (Scale(1e-6, 1e-2, log=True), [1e-6, 1e-5, 1e-4, 1e-3, 1e-2]),
        (Scale(3, 3), [3]),
    ],
)
def test_ticks(scale: Scale, ticks: list[float]) -> None:
    assert scale.ticks(5 if scale.log else 4) == pytest.approx(ticks)
