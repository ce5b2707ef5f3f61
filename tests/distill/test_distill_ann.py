"""A student that learns as an ANN before it spikes, and in one step before it takes all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from distill_worker import N_STEPS, digits, student, teacher
from torch import Tensor, nn

from seamount.distill.config import DistillConfig, TrainConfig
from seamount.distill.train import distill, rehearse, train_as_ann
from seamount.errors import ConfigError
from seamount.models.spiking_net import SpikingNet
from seamount.models.zoo import build_student


def test_as_an_ann_a_student_sends_relus_of_its_drives() -> None:
    torch.manual_seed(0)
    net = build_student("small", n_classes=10, input_shape=(1, 8, 8), n_steps=3, width=0.5).eval()
    layers: list[nn.Module] = []
    for name in net.order:
        layers += [net.synapses[net.into(name)[0][0]], nn.ReLU()]
    x = torch.rand(5, 1, 8, 8)
    with net.as_ann():
        found = net(x, record=True)
    assert torch.equal(found.logits, nn.Sequential(*layers[:-1])(x).expand(3, 5, 10))
    assert found.spikes["conv2"].unique().numel() > 2
    with net.as_ann():
        rehearse(digits(), None, net, DistillConfig(method="hard", ann_epochs=1), TrainConfig())
        net.eval()
        assert net(x, record=True).spikes["conv2"].unique().numel() > 2, "a check inside does not end it"
    assert set(net(x, record=True).spikes["conv2"].unique().tolist()) <= {0.0, 1.0}, "spikes again behind it"


def test_a_drive_that_fires_at_once_is_one_whatever_the_cell_makes_of_it() -> None:
    for options in ({"decay": 0.5}, {"decay": 0.25}):
        neurons = build_student("small", n_classes=2, input_shape=(1, 8, 8), n_steps=1, **options).neurons()["conv1"]
        drive = torch.tensor([[-1.0, 0.99, 1.01, 2.0]])
        assert neurons(drive).tolist() == [[0, 0, 1, 1]]
        assert neurons.rectified(drive).tolist() == [pytest.approx([0, 0.99, 1.01, 2])]


def test_ann_epochs_are_the_start_of_the_spikes_and_a_second_call_changes_nothing(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    data, settings = digits(), TrainConfig(epochs=1, batch_size=20)

    def run(config: DistillConfig, folder: Path, net: nn.Module) -> dict[str, torch.Tensor]:
        return dict(distill(data, teacher(), net, config, settings, folder).network.state_dict())

    config = DistillConfig(method="kd", ann_epochs=2, spike_budget={"per_synapse": 0.5})
    whole = run(config, tmp_path / "whole", student())
    net = student()
    ann = train_as_ann(data, teacher(), net, config, settings, tmp_path / "parts" / "ann")
    assert len(ann.history) == 2
    assert "operations" not in ann.history[0].terms
    parts = run(config.model_copy(update={"ann_epochs": 0}), tmp_path / "spikes", net)
    again = run(config, tmp_path / "whole", student())
    for name, value in whole.items():
        assert torch.equal(value, parts[name])
        assert torch.equal(value, again[name])


def test_students_without_such_a_form_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    data, config = digits(), DistillConfig(method="hard", ann_epochs=1)
    recurrent = build_student("recurrent", n_classes=10, input_shape=(64,), n_steps=N_STEPS, hidden=8)
    with pytest.raises(ConfigError, match=r"recurrent, which no ANN unfolds; set distill\.ann_epochs to 0"):
        rehearse(data, None, recurrent, config, TrainConfig())
    with pytest.raises(ConfigError, match=r"distill\.ann_epochs: Linear has no form as an ANN; set it to 0"):
        distill(data, None, nn.Linear(4, 2), config, TrainConfig(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_in_one_step_a_student_learns_what_a_student_of_one_step_learns(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    data, settings = digits(), TrainConfig(epochs=2, batch_size=20, schedule="constant")

    def answers(net: SpikingNet, one_step_epochs: int, name: str) -> list[Tensor]:
        seen: list[Tensor] = []
        net.register_forward_hook(
            lambda net, _, output: seen.append(output.logits.detach()) if net.training else None
        )
        config = DistillConfig(method="kd", one_step_epochs=one_step_epochs)
        distill(replace(data, n_steps=net.n_steps), teacher(), net, config, settings, tmp_path / name)
        return seen

    alone = student()
    alone.n_steps = 1
    growing, of_one_step = answers(student(), 1, "growing"), answers(alone, 0, "one step")
    half = len(growing) // 2
    assert [len(logits) for logits in growing] == [1] * half + [N_STEPS] * half
    assert all(torch.equal(got, wanted) for got, wanted in zip(growing[:half], of_one_step[:half], strict=True))


def test_one_step_needs_still_images_and_epochs_behind_it(tmp_path: Path) -> None:
    data = digits()
    net, train = student(), TrainConfig(epochs=2)
    rehearse(data, None, net, DistillConfig(method="hard", one_step_epochs=1), train)
    with pytest.raises(
        ConfigError, match=r"distill\.one_step_epochs: 2 of 2 epochs, needed is at least one.*; lower it"
    ):
        rehearse(data, None, net, DistillConfig(method="hard", one_step_epochs=2), train)
    frames = replace(data, encoding="frames")
    with pytest.raises(ConfigError, match=r"one_step_epochs: digits comes as 3 frames"):
        distill(frames, None, net, DistillConfig(method="hard", one_step_epochs=1), train, tmp_path)
    assert not list(tmp_path.iterdir())
