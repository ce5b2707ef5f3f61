"""The methods' losses as modules of their own, and students deployed from Python."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from seamount import api, losses
from seamount.distill.config import StaTarget
from seamount.distill.methods import Lesson, Settings, WeightedSum, weights_of
from seamount.errors import ConfigError, InputError
from seamount.models.zoo import build_student
from seamount.run.contents import digest_of

LOGITS, LABELS, TEACHER = torch.randn(3, 4, 5), torch.tensor([0, 1, 2, 4]), torch.randn(4, 5)


@pytest.mark.parametrize(
    ("loss", "method"),
    [
        (losses.SealKD(), "seal-kd"),
        (losses.KD(), "kd"),
        (losses.KDPerStep(), "kd-per-step"),
        (losses.Hard(), "hard"),
        (losses.HardMean(), "hard-mean"),
        (losses.Method("twsnn"), "twsnn"),
    ],
)
def test_a_loss_is_its_method(loss: nn.Module, method: str) -> None:
    expected, _ = WeightedSum(weights_of(method), Settings())(Lesson(LOGITS, LABELS, TEACHER))
    assert torch.equal(loss(LOGITS, LABELS, TEACHER), expected)
    assert loss(LOGITS, LABELS, TEACHER).shape == ()


def test_sastc_takes_maps_by_name_and_has_parameters() -> None:
    loss = losses.Sastc({"conv": (2, 4, 4)}, {"layer": (3, 4, 4)})
    assert list(loss.parameters())
    maps = {"conv": torch.rand(3, 4, 2, 4, 4)}, {"layer": torch.rand(4, 3, 4, 4)}
    assert loss(LOGITS, LABELS, TEACHER, *maps).requires_grad
    with pytest.raises(InputError, match="Sastc: no maps, needed are student_maps and teacher_maps, by name"):
        loss(LOGITS, LABELS, TEACHER)


@pytest.mark.parametrize(
    ("logits", "labels", "teacher", "text"),
    [
        (LOGITS[0], LABELS, TEACHER, "SealKD: student's logits (4, 5), needed are (T, B, K); torch.stack() the "
         "logits of all steps"),
        (LOGITS, LABELS[:2], TEACHER, "SealKD: labels (2,) of torch.int64, needed are (4,) class numbers"),
        (LOGITS, LABELS, None, "SealKD: no logits of a teacher, needed are (4, 5)"),
        (LOGITS, LABELS, LOGITS, "SealKD: teacher's logits (3, 4, 5), needed are (4, 5), once for all steps"),
    ],
)  # fmt: skip
def test_wrong_shapes_are_named(
    logits: torch.Tensor, labels: torch.Tensor, teacher: torch.Tensor | None, text: str
) -> None:
    with pytest.raises(InputError) as caught:
        losses.SealKD()(logits, labels, teacher)
    assert str(caught.value) == text


def test_a_student_is_deployed_from_python(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x, y = torch.rand(12, 1, 8, 8), torch.arange(12) % 3
    student = build_student("small", n_classes=3, input_shape=(1, 8, 8), n_steps=3, width=0.25)
    chip = api.quantise(student.eval(), x)
    answers = chip.freeze()(x).logits.sum(0).argmax(-1)
    report = api.deploy(chip, (x, y), folder=tmp_path / "out", n_lava=0)
    rung = report.accuracy.rungs[-1]
    assert rung.accuracy.value == pytest.approx(100 * float((answers == y).float().mean()), abs=1e-3)
    assert api.report(tmp_path / "out").accuracy.rungs[-1] == rung
    api.deploy(chip, list(zip(x, y.tolist(), strict=True)), folder=tmp_path / "out", n_lava=0)


def test_a_student_of_spikes_is_deployed_on_spikes_alone(tmp_path: Path) -> None:
    """Not on pixels, every one of which would become a spike."""
    torch.manual_seed(0)
    student = build_student("recurrent", n_classes=3, input_shape=(6,), n_steps=3, hidden=8, input_bits=0)
    with torch.no_grad():
        for weight in student.parameters():
            weight *= 4
    y = np.arange(12) % 3
    spikes = torch.rand(12, 3, 6) < 0.5
    chip = api.quantise(student.eval(), spikes.swapaxes(0, 1).float()).freeze()
    answers = chip(spikes.swapaxes(0, 1).float()).logits.sum(0).argmax(-1).numpy()
    for x in (spikes, spikes.float(), spikes.numpy().astype(np.uint8)):
        report = api.deploy(chip, (x, y), folder=tmp_path / "out", n_lava=0)
        assert report.accuracy.rungs[-1].accuracy.value == pytest.approx(100 * float((answers == y).mean()), abs=1e-3)
    with pytest.raises(
        InputError, match=r"data: x has float32 values such as 0\.\d+, needed are whole numbers: of spikes"
    ):
        api.deploy(chip, (torch.rand(12, 3, 6), y), folder=tmp_path / "out", n_lava=0)
    with pytest.raises(InputError, match=r"data: x goes to 200, but the student takes spikes \(input_bits=0\)"):
        api.deploy(chip, (spikes.numpy() * np.uint8(200), y), folder=tmp_path / "out", n_lava=0)


def test_what_cannot_be_deployed_leaves_nothing(tmp_path: Path) -> None:
    student = build_student("small", n_classes=3, input_shape=(1, 8, 8), n_steps=3, width=0.25)
    with pytest.raises(InputError, match=r"data: samples \(1, 9, 9\), needed are \(1, 8, 8\), or \(3, 1, 8, 8\)"):
        api.deploy(student, (np.zeros((4, 1, 9, 9)), np.arange(4)), folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(
        InputError, match="student: a Linear, needed is a SpikingNet or a QuantisedStudent, or a file"
    ):
        api.deploy(nn.Linear(2, 2), None, folder=tmp_path / "out")
    with pytest.raises(InputError, match=r"student: a Linear, needed is a SpikingNet; from_module\(module"):
        api.quantise(nn.Linear(2, 2), torch.zeros(1, 2))


def test_what_cannot_be_quantised_is_refused() -> None:
    student = build_student("small", n_classes=3, input_shape=(1, 8, 8), n_steps=3, width=0.25)
    x = torch.rand(4, 1, 8, 8)
    with pytest.raises(InputError, match="small: input from nan to nan in units of the chip, possible are 0 to 255"):
        api.quantise(student, x * torch.nan)
    with pytest.raises(InputError, match=r"x: a ndarray, needed is a tensor; torch\.as_tensor\(x\)"):
        api.quantise(student, x.numpy())  # type: ignore[arg-type]
    for dtype in (torch.float64, torch.bfloat16):
        with pytest.raises(InputError, match=r"float\d+ weights, needed is float32; student\.float\(\)"):
            api.quantise(copy.deepcopy(student).to(dtype), x)
    for use in (api.quantise, api.deploy):
        with pytest.raises(InputError, match=r"weights without numbers \(device meta\); build it"):
            use(copy.deepcopy(student).to("meta"), (x if use is api.quantise else (x, torch.arange(4) % 3)))


def test_what_is_handed_over_is_known_by_its_content() -> None:
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    x, y = np.arange(8.0).reshape(4, 2) / 8, np.arange(4) % 2
    same = nn.Linear(2, 2)
    same.load_state_dict(a.state_dict())
    assert digest_of(a) == digest_of(same) != digest_of(b)
    assert digest_of((x, y)) == digest_of((x.copy(), y)) != digest_of((x, 1 - y))
    assert digest_of(list(zip(x, y, strict=True))) != digest_of(list(zip(x, 1 - y, strict=True)))
    assert digest_of(losses.SealKD) == digest_of(losses.SealKD)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (torch.tensor([0, 1, 2, 5]), "KD: labels from 0 to 5, needed are 0 to 4; leave others out"),
        (torch.tensor([0, -100, 2, 4]), "KD: labels from -100 to 4, needed are 0 to 4; leave others out"),
    ],
)
def test_no_label_is_passed_over(labels: torch.Tensor, text: str) -> None:
    with pytest.raises(InputError) as caught:
        losses.KD()(LOGITS, labels, TEACHER)
    assert str(caught.value) == text


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32])
def test_labels_are_whole_numbers_of_any_type(kind: torch.dtype) -> None:
    loss = losses.SealKD()
    assert torch.equal(loss(LOGITS, LABELS.to(kind), TEACHER), loss(LOGITS, LABELS, TEACHER))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_means_nothing_is_no_default(temperature: float) -> None:
    with pytest.raises(ConfigError, match=", more than 0 is possible"):
        losses.KD(temperature)


@pytest.mark.parametrize("target", ["logit-mixture", "weighted-kl"])
def test_autocast_leaves_losses_in_float32(target: StaTarget) -> None:
    loss = losses.SealKD(sta_target=target)
    expected = loss(LOGITS, LABELS, TEACHER)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(LOGITS, LABELS, TEACHER), expected)
