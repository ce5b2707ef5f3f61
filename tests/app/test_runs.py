from pathlib import Path

import pytest

from seamount.errors import ConfigError, InputError
from seamount.run.folder import Run, Stage, open_run

STAGES = (Stage("teacher"), Stage("distill", ("teacher",)))


def new_run(tmp_path: Path) -> Run:
    run = open_run(tmp_path / "r", STAGES, resume=False, overwrite=False)
    (run.folder / "resolved.toml").write_text("")
    return run


def finish(run: Run, name: str, content: str, settings: dict[str, int]) -> str:
    inputs = run.inputs_hash(name, settings)
    with run.stage(name, inputs) as folder:
        (folder / "result.txt").write_text(content)
    return inputs


def test_a_finished_stage_is_skipped_until_its_inputs_change(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    inputs = finish(run, "teacher", "weights", {"epochs": 3})
    assert run.is_done("teacher", inputs)
    assert not run.is_done("teacher", run.inputs_hash("teacher", {"epochs": 4}))
    before = run.inputs_hash("distill", {})
    finish(run, "teacher", "other weights", {"epochs": 3})
    assert run.inputs_hash("distill", {}) != before


def test_a_stage_whose_file_was_changed_is_not_done(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    inputs = finish(run, "teacher", "weights", {})
    (run.stage_folder("teacher") / "result.txt").write_text("touched")
    assert not run.is_done("teacher", inputs)


def test_an_interrupted_stage_keeps_its_state_and_is_not_done(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    inputs = run.inputs_hash("teacher", {})

    def interrupted() -> None:
        with run.stage("teacher", inputs) as folder:
            (folder / "state").mkdir()
            (folder / "state" / "epoch").write_text("4")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert run.status("teacher") is None
    with run.stage("teacher", inputs) as folder:
        assert (folder / "state" / "epoch").read_text() == "4"
    with run.stage("teacher", "other inputs") as folder:
        assert not (folder / "state").exists()


def test_a_stage_whose_needs_have_not_finished_says_which(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stage teacher has not finished, distill needs it"):
        new_run(tmp_path).inputs_hash("distill", {})


def test_an_existing_run_is_not_overwritten_by_accident(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    with pytest.raises(ConfigError, match="--resume continues it, --overwrite starts anew"):
        open_run(run.folder, STAGES, resume=False, overwrite=False)
    finish(run, "teacher", "weights", {})
    assert open_run(run.folder, STAGES, resume=True, overwrite=False).status("teacher") is not None
    assert open_run(run.folder, STAGES, resume=False, overwrite=True).status("teacher") is None


def test_a_folder_that_is_no_run_is_never_removed(tmp_path: Path) -> None:
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter1.tex").write_text("...")
    with pytest.raises(ConfigError, match="is not a run directory"):
        open_run(precious, STAGES, resume=False, overwrite=True)
    assert (precious / "chapter1.tex").exists()
