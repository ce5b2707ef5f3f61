"""A stage depends on what stands in the files that its settings name."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from seamount.config import Config, load_config
from seamount.distill.config import Section
from seamount.files import file_hash
from seamount.hardware_targets.target import FOLDER
from seamount.run import contents as c
from seamount.run.contents import contents
from seamount.run.stage import Stage
from seamount.run.stages import COMPILE, DISTILL, LAVA, QUANTISE, SIMULATE, STAGES, TEACHER


def digests(config: Config) -> dict[str, dict[str, str]]:
    """Of every stage."""
    return {stage.name: contents(stage.settings(config), file_hash) for stage in STAGES}


def changed(config: Config, change: Callable[[], object]) -> list[str]:
    """Stages whose inputs are others once ``change`` has been called."""
    before = digests(config)
    change()
    after = digests(config)
    return [name for name in before if before[name] != after[name]]


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text((FOLDER / "loihi1.toml").read_text())
    return path


def test_an_edited_target_compiles_again(target: Path) -> None:
    config = load_config(None, [f'target.name="{target}"'])
    before = "input_axons_per_core = { value = 4096"
    assert changed(config, partial(replace, target, before, before.replace("4096", "4095"))) == [COMPILE.name]


def test_an_edited_number_format_reaches_the_student_in_integers(target: Path) -> None:
    config = load_config(None, [f'target.name="{target}"'])
    found = changed(config, partial(replace, target, "bias_exp_max = { value = 7", "bias_exp_max = { value = 6"))
    assert found == ["quantise", "export", "compile", "simulate"]


def test_a_comment_in_a_target_changes_nothing(target: Path) -> None:
    config = load_config(None, [f'target.name="{target}"'])
    assert changed(config, lambda: target.write_text(target.read_text() + "\n# seen on Monday\n")) == []


@pytest.mark.parametrize(("setting", "stage"), [("teacher", TEACHER), ("student", DISTILL)])
def test_an_edited_checkpoint_is_read_again_by_its_stage(tmp_path: Path, setting: str, stage: Stage[Section]) -> None:
    path = tmp_path / "weights.pt"
    path.write_text("1")
    config = load_config(None, [f'{setting}.checkpoint="{path}"'])
    assert changed(config, lambda: path.write_text("2")) == [stage.name]
    assert changed(config, path.unlink) == [stage.name]


def test_an_edited_data_file_reaches_all_who_read_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, x=np.zeros(3))
    config = load_config(None, ['data.name="file"', f'data.root="{path}"'])
    found = changed(config, lambda: np.savez(path, x=np.ones(3)))
    assert found == [stage.name for stage in STAGES if stage is not COMPILE]
    assert {TEACHER.name, DISTILL.name, QUANTISE.name, SIMULATE.name, LAVA.name} <= set(found)


@pytest.mark.parametrize(("name", "ending"), [("event-folder", ".bin"), ("audio-folder", ".wav")])
def test_a_folder_of_recordings_is_known_by_what_was_recorded(name: str, ending: str, tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    recording = tmp_path / "cat" / f"a{ending}"
    recording.write_bytes(b"12")
    made = tmp_path / "made"
    config = load_config(None, [f'data.name="{name}"', f'data.root="{tmp_path}"', f'data.cache="{made}"'])

    def keep_frames() -> None:
        for folder in (made, tmp_path / ".seamount-frames"):
            folder.mkdir()
            (folder / "all.npy").write_bytes(b"frames")

    assert changed(config, keep_frames) == []
    assert TEACHER.name in changed(config, lambda: recording.write_bytes(b"13"))
    assert TEACHER.name in changed(config, lambda: recording.rename(tmp_path / "cat" / f"b{ending}"))


def test_of_large_data_a_new_time_is_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c, "WHOLE_BYTES", 1)
    path = tmp_path / "mine.npz"
    path.write_bytes(b"12")
    config = load_config(None, ['data.name="file"', f'data.root="{path}"'])
    assert changed(config, lambda: None) == []
    assert TEACHER.name in changed(config, lambda: os.utime(path, (1, 1)))


def test_a_public_data_set_is_its_name(tmp_path: Path) -> None:
    config = load_config(None, ['data.name="mnist"', f'data.root="{tmp_path}"'])
    assert all("data.root" not in found for found in digests(config).values())
