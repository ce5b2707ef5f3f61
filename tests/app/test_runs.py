"""A run's folder: what is done, what has to run again and why, and what interruption leaves."""

import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from seamount.config import load_config
from seamount.distill.config import Section
from seamount.errors import ConfigError, InputError
from seamount.files import write_atomically
from seamount.run.folder import Inputs, Run, open_run
from seamount.run.lock import hold
from seamount.run.stage import Place, Stage
from seamount.run.stages import STAGES


class Nothing(Section):
    """Of the configuration."""


def idle(reads: Nothing, place: Place) -> None:
    """Does nothing."""


TEACHER = Stage("teacher", Nothing, idle)
DISTILL = Stage("distill", Nothing, idle, needs=(TEACHER,))
TWO = (TEACHER, DISTILL)


def new_run(tmp_path: Path) -> Run:
    run = open_run(tmp_path / "r", TWO, resume=False, overwrite=False)
    (run.folder / "resolved.toml").write_text("")
    return run


def inputs_of(run: Run, stage: Stage[Nothing], **settings: int) -> Inputs:
    return run.inputs(stage, {"train": settings}, {})


def finish(run: Run, stage: Stage[Nothing], content: str, **settings: int) -> Inputs:
    inputs = inputs_of(run, stage, **settings)
    with run.begin(stage, inputs) as folder:
        (folder / "result.txt").write_text(content)
    return inputs


def test_a_finished_stage_is_done_until_its_inputs_change(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    inputs = inputs_of(run, TEACHER, epochs=3)
    assert run.stale(TEACHER, inputs) == "not finished"
    finish(run, TEACHER, "weights", epochs=3)
    assert run.stale(TEACHER, inputs) is None
    assert run.stale(TEACHER, inputs_of(run, TEACHER, epochs=4)) == "changed: [train]"
    finish(run, DISTILL, "student")
    finish(run, TEACHER, "other weights", epochs=3)
    assert run.stale(DISTILL, inputs_of(run, DISTILL)) == "changed: output of teacher"


def test_a_stage_whose_file_was_changed_is_not_done(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    inputs = finish(run, TEACHER, "weights")
    (run.of(TEACHER) / "result.txt").write_text("touched")
    assert run.stale(TEACHER, inputs) == "changed or gone: result.txt"
    (run.of(TEACHER) / "result.txt").unlink()
    assert run.stale(TEACHER, inputs) == "changed or gone: result.txt"


def test_an_interrupted_stage_keeps_its_state_and_is_not_done(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    inputs = inputs_of(run, TEACHER)

    def interrupted() -> None:
        with run.begin(TEACHER, inputs) as folder:
            (folder / "state").mkdir()
            (folder / "state" / "epoch").write_text("4")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert run.status(TEACHER) is None
    with run.begin(TEACHER, inputs) as folder:
        assert (folder / "state" / "epoch").read_text() == "4"
    with run.begin(TEACHER, inputs_of(run, TEACHER, epochs=4)) as folder:
        assert not (folder / "state").exists()


def test_what_a_killed_process_left_is_no_output(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    inputs = inputs_of(run, TEACHER)
    with suppress(KeyboardInterrupt), run.begin(TEACHER, inputs) as folder:
        (folder / ".weights.npz.0123abcd").write_text("half")  # as a kill in the middle of ``replacing`` leaves it
        raise KeyboardInterrupt
    finish(run, TEACHER, "weights")
    status = run.status(TEACHER)
    assert status is not None
    assert list(status["outputs"]) == ["result.txt"]
    assert not (run.of(TEACHER) / ".weights.npz.0123abcd").exists()


def test_a_stage_whose_needs_have_not_finished_says_which(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stage teacher has not finished, distill needs it; run with --resume"):
        inputs_of(new_run(tmp_path), DISTILL)


def test_a_folder_of_0_1_0_is_read_and_says_why_its_stages_run_again(tmp_path: Path) -> None:
    # one digest of all inputs: nothing says what it was made of
    run = new_run(tmp_path)
    folder = run.of(TEACHER)
    folder.mkdir(parents=True)
    (folder / "result.txt").write_text("weights")
    (folder / "begun.json").write_text('{"inputs": "9f86d081884c"}')
    status = {"inputs": "9f86d081884c", "outputs": {"result.txt": "60303ae22b99"}, "seconds": 1.5}
    (folder / "status.json").write_text(json.dumps(status))
    assert run.status(TEACHER) == status
    assert run.stale(TEACHER, inputs_of(run, TEACHER)) == "made by an earlier version"
    finish(run, TEACHER, "new weights")
    assert run.stale(TEACHER, inputs_of(run, TEACHER)) is None


@pytest.mark.parametrize("text", ["[]", "{}", '{"inputs": {}}'])
def test_a_foreign_status_is_named_with_the_way_out(tmp_path: Path, text: str) -> None:
    run = new_run(tmp_path)
    finish(run, TEACHER, "weights")
    path = run.of(TEACHER) / "status.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        run.status(TEACHER)
    assert str(caught.value) == (
        f"{path}: not the status of a stage; remove {path.parent} to have the stage run again"
    )


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_what_a_stage_reads_is_in_the_configuration(stage: Stage[Section]) -> None:
    config = load_config()
    for name, section in stage.settings(config):
        whole = getattr(config, name).model_dump()
        assert section.model_dump().items() <= whole.items()
    assert {earlier.name for earlier in stage.needs} <= {s.name for s in STAGES[: STAGES.index(stage)]}


def test_an_existing_run_is_not_overwritten_by_accident(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    with pytest.raises(ConfigError, match="--resume continues it, --overwrite starts anew"):
        open_run(run.folder, TWO, resume=False, overwrite=False)
    finish(run, TEACHER, "weights")
    assert open_run(run.folder, TWO, resume=True, overwrite=False).status(TEACHER) is not None
    assert open_run(run.folder, TWO, resume=False, overwrite=True).status(TEACHER) is None


def test_overwriting_that_was_killed_in_the_middle_can_be_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(tmp_path)
    finish(run, TEACHER, "weights")

    def killed(path: Path) -> None:
        (path / "resolved.toml").unlink(missing_ok=True)  # what is removed first is up to the system
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        open_run(run.folder, TWO, resume=False, overwrite=True)
    monkeypatch.undo()
    for overwrite in (False, True):
        open_run(run.folder, TWO, resume=not overwrite, overwrite=overwrite)
    assert list(run.folder.iterdir()) == []


def test_a_first_file_that_is_half_written_is_no_strangers(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".resolved.toml.0123abcd").write_text("half")
    assert open_run(tmp_path / "run", TWO, resume=True, overwrite=False).status(TEACHER) is None
    assert list((tmp_path / "run").iterdir()) == []


def test_a_link_to_another_disk_stays_one_and_leads_to_the_new_run(tmp_path: Path) -> None:
    link, disk = tmp_path / "r", tmp_path / "disk"
    link.symlink_to(disk)
    for overwrite in (False, True):
        run = open_run(link, TWO, resume=False, overwrite=overwrite)
        assert list(disk.iterdir()) == []
        write_atomically(run.folder / "resolved.toml", "")
        (disk / "old").write_text("")
    assert link.is_symlink()


def test_a_link_in_a_circle_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "r").symlink_to("r")
    told = r"r: a link that leads to itself; remove it; or choose another name"
    with pytest.raises(ConfigError, match=told), hold(tmp_path / "r"):
        pass
    with pytest.raises(ConfigError, match=told):
        open_run(tmp_path / "r", TWO, resume=False, overwrite=True)


def test_a_folder_that_is_no_run_is_never_removed(tmp_path: Path) -> None:
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter1.tex").write_text("...")
    with pytest.raises(ConfigError, match="is not a run directory"):
        open_run(precious, TWO, resume=False, overwrite=True)
    assert (precious / "chapter1.tex").exists()
