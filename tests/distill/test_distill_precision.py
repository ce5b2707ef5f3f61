"""bf16 where the device multiplies it: what "auto" becomes, and what is said where bf16 is imitated."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from distill_worker import digits, train

from seamount.distill import checkpoint, precision
from seamount.distill.config import TeacherConfig, TrainConfig
from seamount.distill.parallel import World
from seamount.distill.train import train_teacher
from seamount.errors import ConfigError
from seamount.presets import PRESETS

ALONE = World(0, 1, torch.device("cpu"))


@pytest.mark.parametrize(
    ("features", "has"),
    [
        ({"avx2": True}, False),
        ({"avx512f": True, "avx512bw": True, "avx512bf16": False}, False),
        ({"avx512f": True, "avx512bf16": True}, True),
        ({"amx-bf16": True}, True),
        ({"neon": True, "bf16": True}, True),
    ],
)
def test_auto_is_bf16_where_the_processor_multiplies_it(
    features: dict[str, bool], has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "get_host_cpu_features", lambda: features)
    assert precision.settled(TrainConfig(precision="auto"), ALONE).precision == ("bf16" if has else "fp32")
    assert precision.settled(TrainConfig(precision="fp32"), ALONE).precision == "fp32"


@pytest.mark.parametrize(("most", "has"), [("AVX2", False), ("avx512_core", False), ("AVX512_CORE_AMX", True)])
def test_auto_follows_what_onednn_was_told_to_make_do_with(
    most: str, has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "get_host_cpu_features", lambda: {"avx512bf16": True})
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", most)
    assert precision.settled(TrainConfig(precision="auto"), ALONE).precision == ("bf16" if has else "fp32")


def test_bf16_that_was_asked_for_is_kept_and_told_where_it_is_imitated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "multiplies_bf16", lambda device: False)
    with pytest.warns(RuntimeWarning, match='cpu does not multiply bf16.* "auto" takes fp32'):
        assert precision.settled(TrainConfig(precision="bf16"), ALONE).precision == "bf16"
    monkeypatch.setattr(precision, "multiplies_bf16", lambda device: True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        precision.settled(TrainConfig(precision="bf16"), ALONE)


def test_a_training_remembers_what_auto_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere the rest would be learned in the other precision: that is refused, and names it."""
    monkeypatch.setattr(precision, "multiplies_bf16", lambda device: False)
    train(tmp_path / "auto", "hard", epochs=1, precision="auto")
    train(tmp_path / "fp32", "hard", epochs=1, precision="fp32")
    auto, fp32 = (checkpoint.load(tmp_path / name / "last.safetensors")[0] for name in ("auto", "fp32"))
    assert all(torch.equal(auto[name], fp32[name]) for name in fp32)
    monkeypatch.setattr(precision, "multiplies_bf16", lambda device: True)
    with pytest.raises(ConfigError, match=r"train\.precision"):
        train(tmp_path / "auto", "hard", epochs=1, precision="auto")


def test_a_teacher_decides_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "multiplies_bf16", lambda device: False)
    config = TeacherConfig(epochs=1, train={"precision": "auto"})
    train_teacher(digits(), config, TrainConfig(), tmp_path)
    state = checkpoint.load(tmp_path / "last.safetensors")[1]
    assert state["settings"]["train.precision"] == "fp32"


def test_no_preset_asks_for_bf16_of_a_processor_that_imitates_it() -> None:
    assert not [name for name, preset in PRESETS.items() if "'bf16'" in repr(preset)]
