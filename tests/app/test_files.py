"""What is written is there whole, or not at all."""

import hashlib
import json
import os
from functools import partial
from pathlib import Path

import pytest

from seamount.asked import asked_in
from seamount.cli.shell import _run
from seamount.errors import ConfigError, InputError
from seamount.files import (
    check_apart,
    file_hash,
    make_folder,
    read_json,
    replacing,
    text_hash,
    write_atomically,
    write_json,
)
from seamount.programs import compile_source
from seamount.runs import load_report


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match="No space") as caught:
        write_atomically(path, "half")
    assert caught.value.filename == str(path)
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_an_interrupted_write_leaves_no_fresh_file(tmp_path: Path) -> None:
    def interrupted() -> None:
        with replacing(tmp_path / "a") as fresh:
            fresh.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_json(tmp_path / "a.json", {})
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o640


def test_a_file_that_cannot_be_written_is_named_as_the_user_named_it(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "a"
    with pytest.raises(FileNotFoundError) as caught, replacing(path):
        pass
    assert caught.value.filename == str(path)


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "a").symlink_to(tmp_path / "there" / "b")
    for content in ("new", "newer"):
        write_atomically(tmp_path / "a", content)
        assert (tmp_path / "a").is_symlink()
        assert (tmp_path / "there" / "b").read_text() == content


def test_a_device_a_pipe_and_a_folder_do_not_give_way_to_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "folder").mkdir()
    for name, kind in (("pipe", "a pipe"), ("null", "a device"), ("folder", "a folder")):
        with pytest.raises(InputError) as caught:
            write_atomically(tmp_path / name, "x")
        assert str(caught.value) == f"{tmp_path / name}: is {kind}, and cannot be replaced by a file"
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("address", ["s3://bucket/run", "https://example.org/a.h5", "gs://b"])
def test_an_address_does_not_become_a_folder(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = rf"{address.replace('//', '/')}: looks like an address \({address.partition('//')[0]}//\), and only this"
    for refused in (
        lambda: check_apart({"--out": Path(address)}, []),
        lambda: write_atomically(Path(address), "x"),
        lambda: make_folder(Path("runs") / address),
    ):
        with pytest.raises(ConfigError, match=f"(runs/)?{told}"):
            refused()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_called_so_is_one(tmp_path: Path) -> None:
    (tmp_path / "odd:").mkdir()
    write_atomically(tmp_path / "odd:" / "deep" / "file", "x")
    assert (tmp_path / "odd:" / "deep" / "file").read_text() == "x"


def test_nothing_is_written_over_what_is_read_or_over_one_another(tmp_path: Path) -> None:
    (tmp_path / "net.nir").write_text("trained for a week")
    (tmp_path / "link.nir").symlink_to("net.nir")
    net, link, other = (tmp_path / name for name in ("net.nir", "link.nir", "other.nir"))
    check_apart({"--out": other, "--net": None}, [net, None, "digits"])
    with pytest.raises(ConfigError) as caught:
        check_apart({"--out": link}, [str(net)])
    assert str(caught.value) == f"--out: {link} is what is read, and would be lost; choose another name"
    with pytest.raises(ConfigError, match=r"--net: .*other\.nir is what --out writes, and would be lost"):
        check_apart({"--out": other, "--net": other}, [net])
    for out in (net, link):
        assert _run(partial(compile_source, net, out=out), as_json=True, debug=False) == 2
    assert net.read_text() == "trained for a week"


def test_a_name_too_long_is_told_as_the_user_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 300)
    with pytest.raises(OSError, match="File name too long") as caught, replacing(path):
        pass
    assert caught.value.filename == str(path)


def test_text_with_names_that_are_no_utf8_is_written(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", "ä \udcff")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "ä \\udcff"


def test_names_that_are_no_utf8_have_a_hash() -> None:
    assert text_hash("a\udcff") != text_hash("a\udcfe")
    assert text_hash("ä") == hashlib.sha256("ä".encode()).hexdigest()


def test_a_hash_is_of_the_content_alone(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text("same")
    assert file_hash(tmp_path / "a") == file_hash(tmp_path / "b")


def test_json_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match=r"a\.json: not readable as JSON"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"[" * 100_000, "recursion"), (b"9" * 5000, "digits"), (b"\xff", "utf-8"), (b" ", "Expecting value")],
)
def test_json_that_is_none_is_refused(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    for read in (read_json, load_report):
        with pytest.raises(InputError, match=rf"a\.json: not readable as JSON \(.*{told}"):
            read(path)


def test_json_is_read_from_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")  # which nobody writes to: whoever opens it waits
    for read in (read_json, load_report):
        with pytest.raises(InputError, match=r"a\.json: not a file but a pipe"):
            read(tmp_path / "a.json")


@pytest.mark.parametrize("field", [{"n_samples": "x"}, {"reading": []}, {"data": 3}, {"reading": {"settings": 3}}])
def test_what_was_asked_is_checked_where_a_folder_says_it(field: dict[str, object], tmp_path: Path) -> None:
    write_json(tmp_path / "deployment.json", {"source": "a.nir", "reading": {"settings": []}, **field})
    with pytest.raises(InputError, match="does not say what was asked"):
        asked_in(tmp_path)
