"""What is shown of foreign names: letters only, whatever they hold, wherever it goes, however wide."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from markupsafe import Markup
from rich.console import Group
from rich.table import Table

from seamount.cli.shell import Result, _run, explained
from seamount.errors import InputError
from seamount.shown import cell, figure, for_page, html, markdown, plain
from seamount.terminal import Text, console

ATTACK = "p\x1b]0;PWNED\x07\x1b[2J\u202e\x9b31m\ud800[red]x[/y]<b>&\u2028"
TOLD = r"p\x1b]0;PWNED\x07\x1b[2J\u202e\x9b31m\ud800[red]x[/y]<b>&\u2028"
ROOT = Path(__file__).resolve().parents[2]


def test_only_letters_are_left_of_a_name() -> None:
    assert plain(ATTACK) == TOLD
    assert plain(plain(ATTACK)) == plain(ATTACK)
    assert plain("größer µ → ✓\n\tünder") == "größer µ → ✓\n\tünder"


def test_letters_without_a_picture_and_towers_of_marks_are_escaped() -> None:
    assert plain("a\u3164b\u2800c\u115f\u1160\uffa0") == r"a\u3164b\u2800c\u115f\u1160\uffa0"
    tower = "o" + "\u0301" * 50
    assert plain(tower) == "o" + "\u0301" * 4 + r"\u0301" * 46
    assert plain(tower[:4] + tower[:4]) == tower[:4] + tower[:4]
    for name in ("ế", "e\u0302\u0301", "שָׁלוֹם", "ที่", "한국어", "日本"):
        assert plain(name) == name


def test_a_page_gets_it_without_tags() -> None:
    assert html(ATTACK) == Markup(TOLD.replace("&", "&amp;").replace("<b>", "&lt;b&gt;"))
    assert html(Markup("<b>")) == "<b>"
    assert for_page(ATTACK) == TOLD
    assert for_page(3) == 3


def test_markdown_gets_a_line_in_which_nothing_is_markup() -> None:
    assert markdown("a_b <!-- *c*\n\n# [d](e) | f") == "a_b &#60;!-- &#42;c&#42; # &#91;d&#93;(e) &#124; f"
    assert markdown("_a_ `b` ~~c~~ \\ &lt;\x1b") == (
        "&#95;a&#95; &#96;b&#96; &#126;&#126;c&#126;&#126; &#92; &#38;lt;&#92;x1b"
    )
    assert markdown("94.2 %, 3 cores: conv_1 (n = 5)") == "94.2 %, 3 cores: conv_1 (n = 5)"


def test_a_table_as_csv_has_no_formula_in_it() -> None:
    for text in ("=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", " =1", "\n@x"):
        assert cell(text) == f"'{text}"
    assert cell("\r=1") == r"\r=1"
    for text in ("-1", "+2.5", "-1e-05", "kd", "mine.py:Loss", "", "0.25"):
        assert cell(text) == text


def test_a_figure_gets_it_without_mathematics() -> None:
    assert figure("a\x07 $x$ \\$") == "a\\x07 \\$x\\$ \\\\$"
    assert figure("_hidden") == " _hidden"


@pytest.mark.parametrize("columns", ["0", "1", "79", "1000000000"])
def test_tables_of_any_width_show_it_whole(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    table = Table(title=ATTACK, box=None)
    table.add_column(ATTACK, overflow="fold")
    table.add_row("l[b]if")
    table.caption = ATTACK
    console(soft_wrap=True).print(table, Text(ATTACK), ATTACK)
    shown = capsys.readouterr().out
    assert "l[b]if" in shown
    assert not any(c in shown for c in "\x1b\x07\x9b\u202e\ud800\u2028")
    assert "".join(shown.split()).count(r"PWNED\x07\x1b[2J") >= 4
    assert max(map(len, shown.splitlines())) <= 1000


@pytest.mark.parametrize("before", range(36, 58))
def test_a_number_stays_with_its_unit_at_the_end_of_a_line(
    before: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = f"{'x' * before} accuracy 96.66 %, 1.92 µJ and 568 nJ or 0.5 pp (n = 64) of T = 4"
    table = Table(box=None)
    table.add_column(overflow="fold")
    table.add_row(text)
    console().print(Group(Text(text), Text.assemble((text, "bold")), table))
    console().print(text)
    shown = capsys.readouterr().out.splitlines()
    assert not [line for line in shown if line.strip().startswith(("%", "µJ", "nJ", "pp", "=", "64", "4"))]
    assert " ".join(" ".join(shown).split()) == " ".join(4 * [text])


@pytest.mark.parametrize("path", ["net.nir", f"{'a' * 80}.nir"])
def test_an_error_is_broken_between_words_where_somebody_reads_it(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def refuses() -> Result:
        raise InputError(
            "names no time step; candidates: tau / r = 0.0001 for all neurons", where=path, ways_out="say it"
        )

    monkeypatch.setenv("TERM", "dumb")  # of 80 columns
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert _run(refuses, as_json=False, debug=False) == 2
    first, *others = sys.stderr.getvalue().splitlines()  # type: ignore[attr-defined]
    assert first.startswith("error")
    assert others
    assert all(line.startswith("    ") for line in others)
    assert [line for line in (first, *others) if len(line) > 80 and path not in line] == []
    told = " ".join(line.strip() for line in (first, *others))
    assert told == f"error {path}: names no time step; candidates: tau / r = 0.0001 for all neurons; say it"


def test_a_text_of_its_own_style_leaves_nothing_out(capsys: pytest.CaptureFixture[str]) -> None:
    console().print(Text("a\x07b", "bold"), Text.assemble(("c\x08", "dim"), "d\r"))
    assert capsys.readouterr().out == "a\\x07b c\\x08d\\r\n"
    made = [path for path in (ROOT / "seamount").rglob("*.py") if "import Text" in path.read_text(encoding="utf-8")]
    assert [path.name for path in made if "from rich.text" in path.read_text(encoding="utf-8")] == ["terminal.py"]


def test_errors_are_shown_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> Result:
        raise KeyError(ATTACK)

    assert _run(fails, as_json=False, debug=True) == 1
    shown = capsys.readouterr().err
    assert "[red]x[/y]" in shown
    assert "\x1b" not in shown

    def refuses() -> Result:
        raise InputError("empty", where="a\x07\r\x08b")

    assert _run(refuses, as_json=False, debug=False) == 2
    assert capsys.readouterr().err == "error a\\x07\\r\\x08b: empty\n"
    assert _run(lambda: Result({}, "a\x07b"), as_json=False, debug=False) == 0
    assert capsys.readouterr().out == "a\\x07b\n"


def test_what_somebodys_code_prints_is_no_part_of_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    def talks() -> Result:
        print("epoch 1")
        return Result({"accuracy": 0.5}, "50 %")

    assert _run(talks, as_json=True, debug=False) == 0
    shown = capsys.readouterr()
    assert (json.loads(shown.out), shown.err) == ({"accuracy": 0.5}, "epoch 1\n")


def test_errors_of_any_class_are_told_without_their_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    class Odd(BaseException):
        def __str__(self) -> str:
            raise Odd

    def fails() -> Result:
        raise Odd

    assert _run(fails, as_json=False, debug=False) == 1
    assert capsys.readouterr().err == "error unexpected Odd; this is a bug in Seamount, --debug shows where\n"
    assert _run(fails, as_json=False, debug=True) == 1
    assert "in fails" in capsys.readouterr().err


def test_an_exit_in_the_middle_of_a_command_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(lambda: sys.exit(0), as_json=False, debug=False) == 1
    assert "unexpected SystemExit: 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        torch.cuda.OutOfMemoryError("CUDA out of memory"),
    ],
)
def test_no_memory_is_no_bug(error: Exception) -> None:
    (reason,), code = explained(error)
    assert code == 1
    assert str(reason).startswith("this machine: not enough memory; free some; or take fewer samples at once")


def test_a_folder_that_is_gone_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    try:
        Path.cwd()
    except FileNotFoundError as error:
        (reason,), code = explained(error)
    assert (code, str(reason)) == (2, "the folder in which the command was given is gone; change to another one")


# --------------------------------------------------------------------------------------------------- streams


def seamount(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A shell's line, in which $S is the command."""
    env = os.environ | {"S": f"{sys.executable} -m seamount", "PYTHONPATH": str(ROOT)} | environment
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=env, check=False, timeout=900)


def test_streams_that_cannot_show_a_letter_show_the_rest() -> None:
    done = seamount("$S targets show loihi1", PYTHONIOENCODING="ascii", COLUMNS="0")
    assert done.returncode == 0
    assert "loihi1: " in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("script", "code", "told"),
    [
        ("$S targets list >&-", 0, ""),
        ("$S targets list >/dev/full", 1, "error standard output: no space left"),
        ("$S --help >/dev/full", 1, "error standard output: no space left"),
        ("$S targets --help >/dev/full", 1, "error standard output: no space left"),
        ("$S --version >/dev/full", 1, "error standard output: no space left"),
        ("$S --help | (exec <&-); exit ${PIPESTATUS[0]}", 0, ""),
        ("$S targets --none 2>/dev/full", 2, ""),
        ("$S targets show none 2>&-", 2, ""),
        ("$S targets show none >/dev/full 2>/dev/full", 2, ""),
        ("$S targets show loihi1 --json | head -c 1; exit ${PIPESTATUS[0]}", 0, ""),
    ],
)
def test_closed_and_full_streams_leave_the_documented_code(script: str, code: int, told: str) -> None:
    done = seamount(script)
    assert done.returncode == code
    assert done.stderr.startswith(told)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_a_console_writes_where_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    console(stderr=True).print("a [b]")
    assert stream.getvalue() == "a [b]\n"
