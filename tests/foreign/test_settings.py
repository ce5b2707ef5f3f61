"""Settings and surroundings that nobody means: refused in words, before anything starts."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from pydantic import BaseModel

from seamount.config import Config, load_config
from seamount.distill.data import load_data
from seamount.distill.parallel import open_world, separately
from seamount.errors import ConfigError, InputError
from seamount.run.sweep import grid


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        (f"run.seed={1 << 63}", "run.seed: Input should be less than 9223372036854775808"),
        (f"data.seed={10**26}", "data.seed: Input should be"),
        ('run.device="meta"', "run.device: String should match pattern"),
        ('run.device="mps"', "run.device: String should match pattern"),
        ('run.device="cuda:0\\u0007"', "run.device: String should match pattern"),
        ("run.n_threads=100000000", "run.n_threads: Input should be less than or equal to 1024"),
        ("train.n_workers=10000000", "train.n_workers: Input should be less than or equal to 1024"),
        ("student.n_steps=1000000000000", "student.n_steps: Input should be less than 2147483648"),
        ("target.step_period_s=inf", "target.step_period_s: Input should be a finite number"),
        ("lava.time_limit_s=nan", "lava.time_limit_s: Input should be"),
        (f"report.n_compared={10**21}", "report.n_compared: Input should be"),
        ("data.validation=nan", "data.validation: Input should be"),
        ('data.root="a\\u0000b"', "data.root: a character of zeros, which no name and no path holds"),
        ('teacher.train.optimizer="\\u0000"', "teacher.train.optimizer: a character of zeros"),
        ('data.root="a\udcff"', "data.root: a name with bytes that are no UTF-8; rename the file or folder"),
    ],
)
def test_settings_out_of_range_are_named(setting: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(None, [setting])
    assert told in str(error.value)


def numbers(section: type[BaseModel] = Config, prefix: str = "") -> Iterator[str]:
    """Settings that are numbers, or lists or tables of some."""
    for name, entry in section.model_fields.items():
        if isinstance(entry.annotation, type) and issubclass(entry.annotation, BaseModel):
            yield from numbers(entry.annotation, f"{prefix}{name}.")
        elif re.search(r"\b(int|float)\b", repr(entry.annotation)):
            yield f"{prefix}{name}"


def test_no_setting_takes_a_number_that_nobody_means() -> None:
    tables = {"distill.method": "{{kd = {}}}", "distill.spike_budget": "{{per_synapse = {}}}"}
    lists = {"data.sensor": "[{}, 1]", "train.milestones": "[{}]"}
    odd = ("nan", "inf", "-inf", "1e308", "-1e308", "1e-320", "-1", str(1 << 63), str(10**26), "true")
    later = {"quant.weight_bits": {str(1 << 63), str(10**26)}}  # the target refuses them, and says what it has
    found = list(numbers())
    assert len(found) > 40
    for name in found:
        taken = set()
        for value in odd:
            with suppress(ConfigError):
                given = {**tables, **lists}.get(name, "{}").format(value)
                load_config(None, ['train.schedule="steps"'] * (name == "train.milestones") + [f"{name}={given}"])
                taken.add(value)
        assert taken == later.get(name, set()), name


@pytest.mark.parametrize("name", ["file", "cifar10", "mnist", "event-folder"])
def test_a_home_that_nobody_has_is_named(name: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_data(load_config(None, [f"data.name={name}", "data.root=~nobody-of-that-name/x"]).data, n_steps=1)
    assert str(error.value) == "data.root: no home ~nobody-of-that-name; write the whole path"


def test_the_largest_seed_and_a_named_device_are_settings() -> None:
    run = load_config(None, [f"run.seed={(1 << 63) - 1}", 'run.device="cuda:1"']).run
    assert (run.seed, run.device) == ((1 << 63) - 1, "cuda:1")


def test_a_configuration_is_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(InputError, match="not a file but a pipe"):
        load_config(tmp_path / "pipe.toml")


@pytest.mark.parametrize("value", ["x", "", "-1", "0", "9" * 5000])
def test_numbers_of_processes_that_are_none_are_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", value)
    told = (
        f"WORLD_SIZE: {value[:40]!r}, whole numbers of processes are possible; start them with torchrun; or unset it"
    )
    for opened in (lambda: open_world("cpu"), separately):
        with pytest.raises(ConfigError) as error, opened():
            pass
        assert str(error.value).startswith(told)


def test_processes_without_a_place_to_meet_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="WORLD_SIZE: several processes are asked for, but "), open_world("cpu"):
        pass


def test_training_has_values_whatever_the_callers_default() -> None:
    torch.set_default_device("meta")
    try:
        with open_world("cpu"):
            assert torch.zeros(1).device.type == "cpu"
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize(
    ("over", "told"),
    [
        (
            "teacher.checkpoint=a/b,a_b",
            "teacher.checkpoint=a/b and teacher.checkpoint=a_b both make the folder teacher.checkpoint=a_b",
        ),
        ("student.n_steps=2,4,2", "student.n_steps=2 and student.n_steps=2 both make the folder student.n_steps=2"),
        (f"student.checkpoint={'a' * 300}", "a name of 319 bytes"),
    ],
)
def test_points_whose_names_meet_are_refused(over: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        grid([over])
    assert told in str(error.value)
