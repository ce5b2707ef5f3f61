"""A student that learns as an ANN before it spikes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from distill_worker import N_STEPS, digits, student, teacher
from torch import nn

from seamount.distill.config import DistillConfig, TrainConfig
from seamount.distill.train import distill, rehearse, train_as_ann
from seamount.errors import ConfigError
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
