"""The command line as its users meet it: help, --json, errors of one line, exit codes."""

import errno
import json
import re
import shlex
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from seamount.cli import app
from seamount.cli.options import PlaceOptions
from seamount.cli.root import COMMANDS, load_command
from seamount.cli.shell import explained
from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import ints
from seamount.compile.program.activity import EVERY_STATE, Activity
from seamount.compile.program.file import load_program, save_program
from seamount.compile.program.program import Input, Population, Program, Readout, Reset
from seamount.compile.synapses.kinds import Dense, Synapses
from seamount.errors import ConfigError, InputError, Reason

NAMES = sorted(command.name for command in COMMANDS)


def run(*words: str) -> Result:
    with warnings.catch_warnings():
        return CliRunner().invoke(app, list(words))


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Two classes: the readout counts the spikes of two neurons that copy their input."""
    neuron = Lif(du=ints(4096), dv=ints(0), v_th_mant=ints(10))
    made = Program(
        "copy",
        (Input("in", (2,)),),
        (Population("out", (2,), neuron),),
        (Synapses("in-out", "in", "out", Dense(ints(20 * np.eye(2)))),),
        Readout("out", "count"),
        n_steps=3,
    )
    path = tmp_path / "copy.program.h5"
    save_program(made, path)
    return path


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Two samples of three steps: (T, B, N)."""
    x = np.zeros((3, 2, 2), dtype=np.int64)
    x[:, 0, 0] = 1
    x[:, 1, 1] = [1, 0, 1]
    path = tmp_path / "samples.npz"
    np.savez(path, x=x, y=np.array([0, 1]))
    return path


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_with_an_example_and_json(name: str) -> None:
    shown = run(name, "--help")
    assert shown.exit_code == 0
    text = re.sub(r"\s+", " ", shown.stdout)
    assert f"Example: seamount {name}" in text
    assert "--json" in text
    assert "--debug" in text


def test_help_lists_the_exit_codes() -> None:
    text = re.sub(r"[\s│]+", " ", run("--help").stdout)
    assert "Exit codes: 0 ok, 1 unexpected, 2 usage or input, 3 check failed, 4 does not fit, 5 unsupported" in text


def test_simulate_prints_one_json_document_and_nothing_else(program: Path, samples: Path) -> None:
    done = run("simulate", str(program), "--data", str(samples), "--json")
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert document["accuracy"] == 1.0
    assert document["populations"]["out"]["n_spikes"] == [0, 2, 1, 2]
    assert document["populations"]["out"]["sops"] == [2, 1, 2, 0]  # counted when sent, a step earlier


def test_simulate_streams_samples_that_a_reset_parts_and_refuses_others(program: Path, samples: Path) -> None:
    done = run("simulate", str(program), "--data", str(samples), "--stream")
    assert done.exit_code == 5
    told = " ".join(done.stderr.split())
    assert "copy: cannot be streamed: not all populations are reset, with one interval; run single samples" in told
    loaded = load_program(program)
    reset = replace(loaded.populations[0], reset=Reset(3, 2))
    save_program(loaded.with_(populations=(reset,)), program)
    done = run("simulate", str(program), "--data", str(samples), "--stream", "--json")
    document = json.loads(done.stdout)
    assert (document["streamed"], document["accuracy"], document["n_steps"]) == (True, 1.0, 3)
    assert document["populations"]["out"]["n_spikes"] == [2, 1, 2]


def test_simulate_writes_traces_that_diff_compares(program: Path, samples: Path, tmp_path: Path) -> None:
    a, b = tmp_path / "a.npz", tmp_path / "b.npz"
    recorded = ("simulate", str(program), "--data", str(samples), "--record", "spikes,v", "--out")
    for path in (a, b):
        assert run(*recorded, str(path)).exit_code == 0
    equal = run("diff", str(a), str(b))
    assert equal.exit_code == 0
    assert "0 differing values" in equal.stdout
    other = np.load(samples)["x"]
    other[1, 0, 1] = 1
    np.savez(samples, x=other)
    run(*recorded, str(b))
    found = run("diff", str(a), str(b), "--json")
    assert found.exit_code == 3
    assert json.loads(found.stdout)["equal"] is False


def test_inspect_prints_a_program_a_line_an_item(program: Path) -> None:
    shown = run("inspect", str(program))
    assert shown.exit_code == 0
    assert "in-out" in shown.stdout


@pytest.mark.parametrize("command", [c.name for c in COMMANDS])
def test_help_cuts_no_word_in_sixty_columns(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "60"}, color=False)
    assert "…" not in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 60
    options = [option for p in load_command(command).params if not p.hidden for option in p.opts]
    assert [o for o in options if o.startswith("-") and f" {o} " not in shown.stdout] == []


def test_inspect_breaks_what_is_long_because_a_pipe_breaks_nothing(program: Path) -> None:
    passes = ", ".join(f"pass_{number}" for number in range(30))
    save_program(load_program(program).with_(provenance={"passes": passes}), program)
    lines = run("inspect", str(program)).stdout.partition("  passes: ")[2].splitlines()
    assert " ".join(line.strip() for line in lines) == passes
    assert max(map(len, lines)) <= 60


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["run", "absent.toml"], 2, "absent.toml: no such file; `seamount init absent.toml` writes one"),
        (["inspect", "absent.nir"], 2, "absent.nir"),
        (["report", "absent"], 2, "absent: no such file or folder"),
        (["targets", "show", "loihi7"], 2, "loihi7: no such target; there are loihi1, loihi2"),
        (["diff", "a.npz", "b.npz"], 2, "a.npz: no such file"),
    ],
)
def test_what_is_not_there_is_one_line_and_code_2(words: Sequence[str], code: int, message: str) -> None:
    done = run(*words)
    assert done.exit_code == code
    assert message in done.stderr
    assert "Traceback" not in done.output
    document = json.loads(run(*words, "--json").stdout)
    assert document["exit_code"] == code
    assert message in document["error"]
    assert "\n".join(str(Reason(**fields)) for fields in document["reasons"]) == document["error"]


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        (
            "[distill]\ntemprature = 2",
            "train.toml:distill.temprature: temprature is not a setting of [distill]; did you",
        ),
        ("[trian]\nepochs = 2", "train.toml:trian: trian is not a setting of the configuration; did you mean train?"),
        ("[train]\nepochs = 'many'", "train.toml:train.epochs: Input should be a valid integer"),
        ("[student]\nn_steps = 0", "train.toml:student.n_steps: Input should be greater than or equal to 1, found 0"),
        ("[run]\nseed = true", "train.toml:run.seed: true and false are no numbers, found True"),
        ("[train\nepochs = 2", "train.toml: not TOML:"),
    ],
)
def test_a_wrong_setting_is_named_with_file_key_and_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toml: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.toml").write_text(toml)
    done = run("run", "train.toml")
    assert done.exit_code == 2
    assert message in done.stderr
    assert not Path("runs").exists()


def test_an_error_as_json_has_the_fields_of_each_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.toml").write_text("[train]\nepoch = 2\n[student]\nn_steps = 0")
    document = json.loads(run("run", "train.toml", "--json").stdout)
    assert document["reasons"] == [
        {
            "where": "train.toml:student.n_steps",
            "found": "Input should be greater than or equal to 1, found 0",
            "possible": "",
            "ways_out": [],
        },
        {
            "where": "train.toml:train.epoch",
            "found": "epoch is not a setting of [train]",
            "possible": "",
            "ways_out": ["did you mean epochs?"],
        },
    ]
    assert document["error"].splitlines() == [
        "train.toml:student.n_steps: Input should be greater than or equal to 1, found 0",
        "train.toml:train.epoch: epoch is not a setting of [train]; did you mean epochs?",
    ]


@pytest.mark.parametrize(
    ("error", "text", "code"),
    [
        (KeyboardInterrupt(), "interrupted; what was finished is saved, continue with --resume", 130),
        (OSError(28, "No space left on device", "runs/a"), "runs/a: no space left; free some and run again", 1),
        (OSError(13, "Permission denied", "runs/a"), "runs/a: Permission denied", 2),
        (OSError(2, "No such file", ".a.123", None, "a"), "a: No such file", 2),
        (KeyError("x"), "unexpected KeyError: 'x'; this is a bug in Seamount, --debug shows where", 1),
    ],
)
def test_every_error_is_explained(error: BaseException, text: str, code: int) -> None:
    reasons, found = explained(error)
    assert found == code
    assert text in str(reasons[0])


def test_what_init_prints_next_runs_as_it_stands(tmp_path: Path) -> None:
    """In a folder with a space, which a shell would take apart."""
    (tmp_path / "my runs").mkdir()
    done = run("init", str(tmp_path / "my runs" / "train.toml"))
    told = done.output.replace("\n", "").split("next: ")[1]
    planned = run(
        *shlex.split(told)[1:], "--dry-run", "--set", "teacher.arch=nobody"
    )  # its settings are read, no more
    assert "nobody" in planned.output, planned.output
    assert "no such file" not in planned.output


def test_init_writes_every_setting_with_what_it_means(tmp_path: Path) -> None:
    path = tmp_path / "train.toml"
    run("init", str(path), "--set", "student.options={tau_mem_s=0.01}", "--set", 'data.root="café"')
    lines = path.read_text().splitlines()
    assert lines[:3] == [
        "[run]",
        "seed = 0                        # every random choice of the run follows from it",
        'device = "cpu"                  # "cpu" or "cuda"',
    ]
    assert "# What is learned from, and how it becomes spikes." in lines
    assert 'root = "café"                   # folder (or file) that holds the data; digits need none' in lines
    assert "# checkpoint = (not set)        # weights (.safetensors) to start from" in lines
    at = lines.index("[student.options]")
    assert lines[at - 1 : at + 3] == ["", "[student.options]", "tau_mem_s = 0.01", ""]


def test_init_writes_a_file_that_reads_back_as_the_defaults(tmp_path: Path) -> None:
    from seamount.config import load_config

    path = tmp_path / "train.toml"
    assert run("init", str(path)).exit_code == 0
    assert load_config(path) == load_config()
    assert run("init", str(path)).exit_code == 2


def test_init_writes_a_preset_that_can_be_changed_and_reads_back(tmp_path: Path) -> None:
    from seamount.config import load_config
    from seamount.presets import PRESETS

    for preset in PRESETS:
        path = tmp_path / f"{preset}.toml"
        done = run("init", str(path), "--preset", preset, "--set", "run.seed=3")
        assert done.exit_code == 0, done.output
        assert load_config(path) == load_config(None, ["run.seed=3"], preset=preset)
    found = load_config(tmp_path / "cifar10.toml")
    assert (found.teacher.arch, found.teacher.training(found.train).optimizer) == ("fast", "sgd")
    apart = run("init", str(tmp_path / "other.toml"), "--set", "teacher.train.schedule=steps")
    assert "defaults: [teacher.train] and what it leaves to [train] do not go together: milestones go" in apart.output
    wrong = run("init", str(tmp_path / "other.toml"), "--preset", "cifar")
    assert wrong.exit_code == 2
    assert "--preset: 'cifar' is none of cifar10, cifar10-small" in wrong.output


def test_a_foreign_or_damaged_file_is_refused(tmp_path: Path, program: Path, samples: Path) -> None:
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(program.read_bytes()[:-100])
    for path in (damaged, samples):
        done = run("simulate", str(path), "--data", str(samples))
        assert done.exit_code == 2
        assert path.name in done.stderr
        assert "Traceback" not in done.output


def test_samples_of_the_wrong_shape_say_what_is_needed(program: Path, tmp_path: Path) -> None:
    path = tmp_path / "wide.npz"
    np.savez(path, x=np.zeros((3, 2, 5), dtype=np.int64))
    done = run("simulate", str(program), "--data", str(path))
    assert done.exit_code == 2
    assert "x (3, 2, 5); the program needs (T, B, 2), or without T" in done.stderr


def test_sizes_are_read_with_their_units() -> None:
    from seamount.cli.program_commands import parse_bytes

    assert parse_bytes("4GiB") == 4 << 30
    assert parse_bytes("500 MB") == 500_000_000
    for text in ("-1KiB", "nan", "9" * 400 + "TiB"):
        with pytest.raises(ConfigError, match="is not a size; write it as 4GiB or 500MiB"):
            parse_bytes(text)


@pytest.mark.lava
def test_run_lava_says_bit_exact(program: Path, samples: Path) -> None:
    done = run("run-lava", str(program), "--data", str(samples), "--samples", "2")
    assert done.exit_code == 0
    assert "bit-exact: simulator = Lava, 2 samples, 0 of 12 spikes and 0 of 12 membrane values differ" in done.stdout


@pytest.mark.lava
def test_doctor_finds_lava_working() -> None:
    done = run("doctor", "--json")
    assert done.exit_code == 0
    assert {"Lava works", "torch", "GPU"} <= {finding["what"] for finding in json.loads(done.stdout)}


def test_brackets_in_names_are_shown_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "x[/red].toml"
    done = run("init", str(path))
    assert done.exit_code == 0
    assert "x[/red].toml" in done.stdout.replace("\n", "")


@pytest.mark.parametrize(
    ("y", "told"),
    [
        (
            [0.0, 1.0],
            "y (2,) of type float64, needed are whole numbers of classes, one a sample; write y.astype(int)",
        ),
        ([0.0, np.nan], "y (2,) of type float64, nan at sample 1, needed are whole numbers of classes, one a sample"),
    ],
)
def test_labels_as_real_numbers_are_no_outputs_of_several_classes(
    y: list[float], told: str, program: Path, samples: Path
) -> None:
    np.savez(samples, x=np.load(samples)["x"], y=np.array(y))
    done = run("simulate", str(program), "--data", str(samples))
    assert done.exit_code == 2
    assert told in done.stderr


def test_labels_that_are_one_hot_are_no_outputs(program: Path, samples: Path) -> None:
    x, y = np.load(samples)["x"], np.eye(2, dtype=np.float32)
    np.savez(samples, x=x, y=y)
    done = run("simulate", str(program), "--data", str(samples))
    assert done.exit_code == 2
    assert (
        "y (2, 2) of type float32 has a single 1 in each row, as one-hot labels have; write y.argmax(1); or where "
        "outputs are meant, y[None]" in done.stderr
    )
    said = load_program(program)
    assert said.readout is not None
    save_program(said.with_(readout=replace(said.readout, scale=1.0)), program)
    for outputs in (y[None], np.broadcast_to(y, (3, 2, 2)), y + 0.5, y * [[1], [0]], np.ones((2, 2)), -y):
        np.savez(samples, x=x, y=outputs)
        document = json.loads(run("simulate", str(program), "--data", str(samples), "--json").stdout)
        assert document["accuracy"] is None
        assert document["rmse"] is not None


def test_a_folder_of_no_run_is_no_data(program: Path, tmp_path: Path) -> None:
    done = run("simulate", str(program), "--data", str(tmp_path))
    assert done.exit_code == 2
    assert f"{tmp_path}: not the folder of a run (it has no resolved.toml); name a run, or a file (.npz, .npy, " in (
        done.stderr
    )
    assert f"or --data file --set data.root={tmp_path}" in done.stderr


def test_labels_of_another_length_are_refused(program: Path, samples: Path) -> None:
    np.savez(samples, x=np.load(samples)["x"], y=np.array([0, 1, 1]))
    done = run("simulate", str(program), "--data", str(samples))
    assert done.exit_code == 2
    assert (
        "y (3,), needed is (2,), a label for each of 2 samples; leave out what has no partner, or leave y out"
        in done.stderr
    )


def test_no_number_of_steps_below_one(tmp_path: Path) -> None:
    assert run("compile", "net.nir", "--steps", "0").exit_code == 2
    assert "at least 1 step" in run("compile", "net.nir", "--set", "n_steps=0").stderr


def test_the_trace_of_a_silent_network_keeps_the_limits_of_its_run(
    program: Path, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import seamount.hardware_targets.simulator as simulator

    whole, asked = simulator.simulate, []

    def seen(*args: Any, **kwargs: Any) -> Activity:
        asked.append((tuple(kwargs["record"]), kwargs["device"], kwargs["memory_limit_bytes"]))
        return whole(*args, **kwargs)

    monkeypatch.setattr(simulator, "simulate", seen)
    np.savez(samples, x=np.zeros((3, 2, 2), np.int64))
    done = run("simulate", str(program), "--data", str(samples), "--memory-limit", "1MiB")
    assert "silent: out (no spike in 2 samples)" in done.stdout
    assert asked == [((), "cpu", 1 << 20), ((EVERY_STATE,), "cpu", 1 << 20)]


def test_json_has_no_nan() -> None:
    from seamount.cli.shell import finite

    assert finite({"a": [float("nan"), 1.5], "b": (float("inf"),)}) == {"a": [None, 1.5], "b": [None]}


@pytest.mark.parametrize("width", ["60", "80"])
def test_a_targets_figures_are_readable_at_any_width(width: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", width)
    lines = run("targets", "show", "loihi1").stdout.splitlines()
    broken = [line for line in lines if len(line) > int(width) and "https://" not in line]
    assert not broken
    assert any(line.startswith("formats.u_bits  ") for line in lines)
    assert any("Dey and Dimitrov, Mapping and Validating" in line for line in lines)


@pytest.mark.parametrize("width", ["60", "80"])
def test_the_table_of_populations_fits_the_terminal(
    program: Path, samples: Path, width: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    lines = run("simulate", str(program), "--data", str(samples)).stdout.splitlines()
    head = next(i for i, line in enumerate(lines) if "saturated" in line)
    row = next(i for i, line in enumerate(lines) if line.strip().startswith("out"))
    assert [line for line in lines[head : row + 1] if len(line) > int(width) or "…" in line] == []


@pytest.mark.parametrize(("ending", "option"), [(".nir", "--nir"), (".net", "--net")])
def test_a_program_is_not_written_under_the_name_of_a_network(
    program: Path, tmp_path: Path, ending: str, option: str
) -> None:
    out = tmp_path / f"net{ending}"
    with pytest.raises(InputError, match=f"name it net.program.h5; {option} writes a {ending} file, too"):
        save_program(load_program(program), out)
    assert not out.exists()


def test_a_command_that_cannot_be_resumed_is_not_said_to_be() -> None:
    assert [str(r) for r in explained(KeyboardInterrupt(), resumes=False)[0]] == ["interrupted"]
    full = OSError(errno.ENOSPC, "No space left on device", "a.h5")
    assert [str(r) for r in explained(full, resumes=False)[0]] == ["a.h5: no space left; free some and run again"]
    full = OSError(errno.EDQUOT, "Disk quota exceeded", "a.h5")
    assert "a.h5: the quota for this disk is used up; free some and run again" in str(explained(full)[0][0])
    assert explained(full)[1] == 1


def test_a_run_goes_where_out_says_as_every_result_does(tmp_path: Path) -> None:
    assert PlaceOptions().folder("a") == Path("runs/a")
    assert PlaceOptions(out=tmp_path).folder("a") == tmp_path
    assert PlaceOptions(name="b").folder("a") == Path("runs/b")  # the earlier spelling, which no help shows
    both = run("run", "a.toml", "--out", "b", "--name", "c")
    assert both.exit_code == 2
    assert "error --name c: says the same as --out; leave one of both out" in both.stderr
    assert "--name" not in run("run", "--help").stdout


@pytest.mark.parametrize("limit", ["inf", "1e300"])
def test_a_time_limit_is_one_that_can_be_waited_for(limit: str, program: Path, samples: Path) -> None:
    refused = run("run-lava", str(program), "--data", str(samples), "--time-limit", limit)
    assert refused.exit_code == 2
    assert "time limit: " in refused.stderr
    assert "possible are up to 1e+09 s" in refused.stderr
