"""A budget for spikes: counted as the energy model counts, kept to, and refused where no student can meet it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from seamount.compile.pipeline import compile_graph
from seamount.distill.budget import AIM, FanOut, SpikeBudget, check_silent, fan_out, spike_budget
from seamount.distill.config import DataConfig, DistillConfig, TrainConfig
from seamount.distill.data import load_data
from seamount.distill.quantised import QuantisedStudent
from seamount.distill.train import distill
from seamount.errors import ConfigError
from seamount.hardware_targets.simulator import simulate
from seamount.hardware_targets.target import load_target
from seamount.models.zoo import build_student
from seamount.run.budget import in_operations


@pytest.mark.parametrize(
    ("arch", "shape", "options"),
    [
        ("small", (1, 8, 8), {}),
        ("vgg9", (3, 16, 16), {"width": 0.125}),
        ("resnet18", (3, 8, 8), {"width": 0.0625}),
        ("recurrent", (12,), {}),
    ],
)
def test_operations_are_those_that_the_simulator_counts(
    arch: str, shape: tuple[int, ...], options: dict[str, float]
) -> None:
    torch.manual_seed(0)
    net = build_student(arch, n_classes=10, input_shape=shape, n_steps=3, **options)
    student = QuantisedStudent(net)
    x = torch.rand(3, 4, *shape)  # of steps that differ: a still image would let the biases fire the same
    student.calibrate(x)
    student.freeze()
    spikes = student.record(x).spikes
    fan = fan_out(student).of
    wanted = {name: float((spikes[name].sum(0).float() * fan[name]).sum()) for name in fan if name != "input"}
    sent = (student.to_input(x) != 0).sum(0).float()
    program = compile_graph(student.to_nir(), load_target("loihi1")).program
    inputs = student.to_input(x).numpy().astype(np.int64)
    ran = simulate(program, inputs, record=("spikes",))
    counted = sum(float(np.sum(events.sops)) for events in ran.events.values())
    # outside of its window a biased population may fire: what the budget leaves out
    outside = {
        name: float((ran.spikes[name].sum((0, 1)) * fan[name].numpy()).sum()) - wanted[name] for name in wanted
    }
    assert all(extra >= 0 for extra in outside.values())
    assert sum(wanted.values()) + sum(outside.values()) + float((sent * fan["input"]).sum()) == counted


def test_a_border_neuron_has_fewer_synapses_and_a_float_student_stores_no_zeros() -> None:
    net = build_student("small", n_classes=10, input_shape=(1, 8, 8), n_steps=2)
    fan = fan_out(net).of["input"][0]
    channels = net.shapes[net.order[0]][0]
    assert (fan[0, 0], fan[0, 3], fan[3, 3]) == (4 * channels, 6 * channels, 9 * channels)


def test_the_loss_is_the_excess_of_all_together_and_what_each_population_lacks_of_its_floor() -> None:
    fan = FanOut({"input": torch.ones(4), "a": torch.full((2,), 3.0), "b": torch.full((2,), 1.0)})
    budget = SpikeBudget(fan, 20.0, 4.0, floor=0.5)
    assert (budget.aim, budget.shares) == (AIM * 16.0, {"a": AIM * 12.0, "b": AIM * 4.0})
    spikes = {"a": torch.ones(3, 1, 2), "b": torch.zeros(3, 1, 2)}  # 18 operations and none
    loss, spent = budget(spikes)
    assert loss.item() == pytest.approx(2 * (18 / (AIM * 16) - 1) ** 2 + 1)
    assert float(spent) == 22
    # what one leaves of its share is another's to spend
    assert float(budget({"a": spikes["a"][:2], "b": torch.ones(1, 1, 2)})[0]) == pytest.approx(
        2 * (14 / 13.6 - 1) ** 2, rel=1e-4
    )
    assert float(budget({"a": spikes["a"][:1], "b": torch.ones(3, 1, 2)})[0]) == 0


def test_a_budget_below_what_the_input_spends_or_without_a_spike_for_all_is_refused() -> None:
    fan = FanOut({"input": torch.ones(4), "a": torch.full((2,), 3.0), "b": torch.full((2,), 1.0)})
    with pytest.raises(ConfigError) as error:
        SpikeBudget(fan, 4.0, 4.0, floor=0.0)
    assert str(error.value) == (
        "distill.spike_budget: 4 operations an inference, but the input alone causes 4: even a student that never "
        "spikes spends more; raise it, lower student.n_steps, or use a smaller first layer"
    )
    with pytest.raises(ConfigError) as poor:
        SpikeBudget(fan, 6.0, 4.0, floor=0.0)
    assert str(poor.value) == (
        "distill.spike_budget: of 6 operations an inference 2 are left beside the input, less than one spike of a, "
        "b: no student can meet it; raise it"
    )


def test_units_are_one_of_three_and_microjoules_need_a_target() -> None:
    assert DistillConfig(spike_budget={}).spike_budget is None  # takes a preset's away
    for wrong in ({"per_synapse": 1.0, "operations": 2.0}, {"spikes": 1.0}, {"per_synapse": 0.0}):
        with pytest.raises(ValidationError):
            DistillConfig(spike_budget=wrong)
    net = build_student("small", n_classes=10, input_shape=(1, 8, 8), n_steps=2)
    sent = torch.ones(1, 8, 8)
    by_ratio = spike_budget(net, DistillConfig(spike_budget={"per_synapse": 0.5}), sent)
    assert by_ratio is not None
    assert by_ratio.limit == 0.5 * fan_out(net).n_synapses
    with pytest.raises(ConfigError, match="microjoules need a target"):
        spike_budget(net, DistillConfig(spike_budget={"microjoules": 0.5}), sent)
    with pytest.raises(ConfigError, match="Linear is no student whose synapses can be counted"):
        spike_budget(nn.Linear(2, 2), DistillConfig(spike_budget={"operations": 9.0}), sent)


def test_a_student_learns_within_its_budget_and_the_loss_says_what_it_spends(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    data = load_data(DataConfig(max_train=200, augment=()), n_steps=2)
    spent = {}
    for name, budget in (("free", None), ("bound", {"per_synapse": 0.4})):
        torch.manual_seed(0)
        net = build_student("small", n_classes=10, input_shape=(1, 8, 8), n_steps=2, width=0.25)
        config = DistillConfig(method="hard", spike_budget=budget, budget_ramp=0.5)
        trained = distill(data, None, net, config, TrainConfig(epochs=6, batch_size=16), tmp_path / name)
        fan = fan_out(trained.network)
        with torch.no_grad():
            spikes = trained.network(data.inputs(data.val, range(20)).x, record=True).spikes
        spent[name] = sum(float((s.sum(0).mean(0) * fan.of[n]).sum()) for n, s in spikes.items() if n in fan.of)
        if budget:
            told = [epoch.terms["operations"] for epoch in trained.history]
            assert told[-1] < told[0]
    assert spent["bound"] < 0.7 * spent["free"]


def test_a_student_that_was_silenced_is_an_error_in_words(tmp_path: Path) -> None:
    config = DistillConfig(spike_budget={"per_synapse": 0.01})
    check_silent({"conv1": 0.0}, DistillConfig(), tmp_path)
    with pytest.raises(ConfigError) as error:
        check_silent({"conv1": 0.2, "conv2": 0.0}, config, "runs/s")
    assert str(error.value) == (
        "distill.spike_budget: conv2 never spikes under per_synapse = 0.01: no answer comes through; raise it or "
        "distill.budget_floor, lower distill.budget_weight, or train longer; runs/s is kept"
    )


def test_microjoules_become_operations_by_the_constants_of_loihi1_and_less_than_the_updates_is_refused() -> None:
    net = build_student("small", n_classes=10, input_shape=(1, 8, 8), n_steps=2)
    plain = DistillConfig(spike_budget={"operations": 5e4})
    assert in_operations(plain, net) is plain
    found = [in_operations(DistillConfig(spike_budget={"microjoules": e}), net).spike_budget for e in (2.0, 3.0)]
    assert all(budget is not None and set(budget) == {"operations"} for budget in found)
    per_microjoule = found[1]["operations"] - found[0]["operations"]
    # 20 to 43 pJ an operation: what the sets say of convolutions and matrices
    assert 2.3e4 < per_microjoule < 5e4
    with pytest.raises(ConfigError, match=r"0\.01 microjoules an inference, but the updates of all neurons"):
        in_operations(DistillConfig(spike_budget={"microjoules": 0.01}), net)


@pytest.mark.parametrize(
    ("arch", "shape", "n_matrix"), [("recurrent", (12,), None), ("small", (1, 8, 8), 64 * 2 * 2 * 10)]
)
@pytest.mark.parametrize("microjoules", [0.3, 1.0, 50.0])
def test_microjoules_are_the_middle_price_of_their_operations(
    arch: str, shape: tuple[int, ...], n_matrix: int | None, microjoules: float
) -> None:
    net = build_student(arch, n_classes=10, input_shape=shape, n_steps=2)
    found = in_operations(DistillConfig(spike_budget={"microjoules": microjoules}), net).spike_budget
    assert found is not None
    n_updates = 2 * sum(int(np.prod(net.shapes[name])) for name in net.order)
    share = 1.0 if n_matrix is None else n_matrix / fan_out(net).n_synapses
    # pJ an operation of a matrix, of a convolution, and an active update: Davies 2018, SANA-FE twice, keras-spiking
    sets = ((23.6, 23.6, 81), (35.5, 24.0, 72.8), (35.5, 35.5, 72.8), (27.1, 27.1, 81))
    prices = sorted(
        found["operations"] * (share * matrix + (1 - share) * kernel) + n_updates * update
        for matrix, kernel, update in sets
    )
    assert prices[1] == pytest.approx(1e6 * microjoules)
