"""One's own code read as text: what is told before it is run, and what is left to its import."""

import sys
from pathlib import Path

import pytest

from seamount import own
from seamount.errors import ConfigError
from seamount.own_source import check_source

HEAD = '"""Nets."""\nfrom __future__ import annotations\nimport json, os.path\nfrom . import other\n'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


@pytest.mark.parametrize(
    ("code", "setting", "options", "text"),
    [
        ("def make_net(): ...\nWIDTH = 3", "teacher.arch", {}, "it.py has no make_nett; did you mean make_net?"),
        ("def f(): ...\nclass G: ...\nW = 3", "teacher.arch", {}, "it.py has no make_nett, there are f, G"),
        ("from json import dumps", "teacher.arch", {}, "it.py has no make_nett, nor any other name"),
        ("1 +", "teacher.arch", {}, "it.py cannot be imported, SyntaxError: invalid syntax (it.py, line 1)"),
        (
            "import none_such.b",
            "teacher.arch",
            {},
            "it.py cannot be imported, ModuleNotFoundError: No module named 'none_such' (it.py, line 1)",
        ),
        (
            "import beside",
            "teacher.arch",
            {},
            "it.py cannot be imported, ModuleNotFoundError: No module named 'none_such' (beside.py, line 2)",
        ),
    ],
)
def test_what_the_text_shows_is_refused(
    here: Path, code: str, setting: str, options: dict[str, object], text: str
) -> None:
    (here / "it.py").write_text(code)
    (here / "beside.py").write_text("import os\nfrom none_such import x")
    with pytest.raises(ConfigError) as refused:
        check_source("it.py:make_nett", setting, options)
    assert str(refused.value) == f"{setting}: {text}"


@pytest.mark.parametrize(
    ("code", "setting", "text"),
    [
        ("def f(n_classes, widht=3): ...", "teacher.arch", "it.py:f takes no width; did you mean widht?"),
        ("def f(): ...", "student.arch", "it.py:f takes no width; it takes nothing"),
        ("class f:\n    def __init__(self, size): ...", "data.name", "it.py:f takes no width; it takes size"),
        ("class f: ...", "data.name", "it.py:f takes no width; it takes nothing"),
        (
            "async def g(): ...\nif True:\n    def f(width, depth): ...",
            "data.name",
            "it.py:f needs depth, it is called with root, n_steps and data.options; set data.options.depth, or give "
            "it a default",
        ),
        (
            "def f(*, width, logits): ...\ndef f(*, width, other): ...",
            "distill.method",
            "it.py:f needs other, it is called with distill.options; set distill.options.other, or give it a default",
        ),
    ],
)
def test_options_are_held_against_the_signature(here: Path, code: str, setting: str, text: str) -> None:
    (here / "it.py").write_text(code)
    with pytest.raises(ConfigError) as refused:
        check_source("it.py:f", setting, {"width": 3})
    assert str(refused.value).partition(": ")[2] == text


@pytest.mark.parametrize(
    "code",
    [
        "def f(width): ...",
        "def f(n_classes, /, input_shape, *rest, width=1, **others): ...",
        "class f:\n    def __init__(self, input_shape, *, width): ...",
        "from json import dumps as f",
        "from beside import *",
        "import functools\n@functools.cache\ndef f(): ...",
        "class Base:\n    def __init__(self, width): ...\nclass f(Base): ...",
        "class Kind(type): ...\nclass f(metaclass=Kind): ...",
        "class f:\n    def __new__(cls, width): ...",
        "def g(width): ...\nf = g",
        "def g(width): ...\n(a, [f, *b]) = 1, [g, 3]",
        "with open(__file__) as f: ...",
        "for f in [1]: ...",
        "try:\n    import none_such\nexcept ImportError:\n    def f(width): ...",
        "def __getattr__(name): ...",
        "globals()['f'] = 1",
        "def g():\n    global f\n    f = 1\ng()",
        "if (f := 3): ...",
        "match 3:\n    case f: ...",
        "import sys\nsys.path.append('elsewhere')\nimport none_such\ndef f(width): ...",
        "if 0:\n    import none_such\ndef f(width): ...",
        "import namespace.part\ndef f(width): ...",
        "f: int = 3",
    ],
)
def test_what_the_text_leaves_open_is_left_to_the_import(here: Path, code: str) -> None:
    (here / "it.py").write_text(code)
    (here / "beside.py").write_text("")
    (here / "namespace").mkdir()
    check_source("it.py:f", "teacher.arch", {"width": 3})


def test_nothing_is_run_of_a_package(here: Path) -> None:
    (here / "unrun" / "nets").mkdir(parents=True)
    for file in ("unrun/__init__.py", "unrun/nets/__init__.py", "unrun/nets/tiny.py"):
        (here / file).write_text("raise RuntimeError\ndef make(): ...")
    (here / "unrun" / "__init__.py").write_text("raise RuntimeError")
    check_source("unrun.nets.tiny:make", "teacher.arch", {})
    check_source("unrun.nets:make", "teacher.arch", {})
    assert "unrun" not in sys.modules
    with pytest.raises(ConfigError, match=r"teacher\.arch: unrun\.nets has no mak; did you mean make\?"):
        check_source("unrun.nets:mak", "teacher.arch", {})
    with pytest.raises(ConfigError, match=r"teacher\.arch: unrun cannot be imported, RuntimeError"):
        own.find("unrun:make", "teacher.arch")
