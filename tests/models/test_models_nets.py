"""Students as graphs: sizes, orders of execution, what is refused, and what teachers there are."""

import pytest
import torch
from torch import nn

from seamount.errors import ConfigError, InputError
from seamount.models import choices
from seamount.models.cells import lif, lif_box
from seamount.models.spiking_net import SpikingNet, StudentOutput, Sum, Synapse
from seamount.models.students import SURROGATES
from seamount.models.teachers import TEACHERS, build_teacher
from seamount.models.zoo import STUDENTS, build_student

MILLIONS = {  # docs/students.md; parameters as published or counted in the authors' code
    "vgg8": (1.59, 7),
    "vgg9": (5.94, 8),
    "vgg11": (9.24, 8),
    "resnet18": (11.17, 17),
    "resnet19": (12.70, 18),
    "resnet19-sastc": (12.63, 18),
    "wrn16-2": (0.69, 13),
    "wrn16-2-sastc": (20.52, 14),
}


def small_inputs(name: str) -> tuple[tuple[int, ...], dict[str, object]]:
    shapes = {"recurrent": (5,), "conv1d": (2, 1, 13), "conv1d-recurrent": (1, 1, 16)}
    return shapes.get(name, (3, 32, 32)), {} if name == "small" or name in shapes else {"width": 0.1}


def test_what_can_be_chosen_is_what_can_be_built() -> None:
    assert set(choices.STUDENTS) == set(STUDENTS)
    assert set(choices.TEACHERS) == set(TEACHERS)
    assert set(choices.SURROGATES) == set(SURROGATES)


@pytest.mark.parametrize("name", MILLIONS)
def test_students_have_the_parameters_and_populations_of_their_papers(name: str) -> None:
    net = build_student(name, n_classes=10, input_shape=(3, 32, 32), n_steps=4)
    millions, populations = MILLIONS[name]
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 2) == millions
    assert len(net.spiking()) == populations


def test_the_students_of_lines_have_their_sizes_and_take_nothing_else() -> None:
    sizes = {"conv1d": 36026, "conv1d-recurrent": 52410}
    for name, size in sizes.items():
        net = build_student(name, n_classes=10, input_shape=(1, 1, 32), n_steps=4)
        assert sum(p.numel() for p in net.parameters()) == size
        assert net.shapes["conv2"] == (32, 1, 8)
        with pytest.raises(ConfigError, match=rf"{name}: input \(3, 32, 32\), needed is a line \(C, 1, L\)"):
            build_student(name, n_classes=10, input_shape=(3, 32, 32), n_steps=4)


def test_the_pre_activation_resnet34_of_seal_has_its_size() -> None:
    net = build_student("preact-resnet34", n_classes=1000, input_shape=(3, 224, 224), n_steps=4)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 2) == 21.81
    assert len(net.spiking()) == 32


@pytest.mark.parametrize("name", STUDENTS)
def test_layer_by_layer_equals_norse_step_by_step(name: str) -> None:
    torch.manual_seed(0)
    shape, options = small_inputs(name)
    net = build_student(name, n_classes=4, input_shape=shape, n_steps=3, **options)
    x = torch.rand(2, *shape)
    with torch.no_grad():
        net.train()(x)  # statistics that let layers fire
        net.eval()
        whole, stepped = net(x, record=True), net.step_through(x)
    assert whole.logits.shape == (3, 2, 4)
    assert torch.allclose(whole.logits, stepped.logits, atol=1e-4)
    assert set(whole.spikes) == set(net.spiking())
    assert all(s.shape == (3, 2, *net.shapes[n]) for n, s in whole.spikes.items())


def test_frames_and_a_still_image_agree_and_gradients_reach_everything() -> None:
    torch.manual_seed(0)
    net = build_student("resnet18", n_classes=4, input_shape=(2, 8, 8), n_steps=3, width=0.1)
    x = torch.rand(4, 2, 8, 8)
    still, frames = net(x), net(x.expand(3, *x.shape))
    assert torch.allclose(still.logits, frames.logits, atol=1e-5)
    still.logits.square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


def test_fused_and_stepped_cells_train_alike() -> None:
    gradients = []
    for fused in (True, False):
        torch.manual_seed(0)
        net = build_student("resnet18", n_classes=4, input_shape=(2, 8, 8), n_steps=3, width=0.1)
        for neurons in net.neurons().values():
            neurons.fused = fused
        net(torch.rand(4, 2, 8, 8)).logits.square().mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in net.parameters()]))
    assert (gradients[0] - gradients[1]).abs().max() <= 1e-5 * max(1, float(gradients[1].abs().max()))


def test_bf16_autocast_gives_finite_logits_near_fp32() -> None:
    torch.manual_seed(0)
    net = build_student("small", n_classes=4, input_shape=(1, 8, 8), n_steps=4)
    x = torch.rand(4, 1, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = net(x, record=True)
    assert narrow.spikes["conv1"].dtype == torch.bfloat16
    assert (narrow.logits.float() - net(x).logits).abs().max() < 0.5
    narrow.logits.float().square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


def test_record_returns_what_is_named() -> None:
    net = build_student("small", n_classes=4, input_shape=(1, 8, 8), n_steps=2)
    out = net(torch.rand(1, 1, 8, 8), record=net.features[:1])
    assert isinstance(out, StudentOutput)
    assert list(out.spikes) == ["conv1"]
    assert not net(torch.rand(1, 1, 8, 8)).spikes


def test_wrong_inputs_are_named() -> None:
    net = build_student("small", n_classes=4, input_shape=(1, 8, 8), n_steps=2)
    with pytest.raises(InputError, match=r"input of shape \(1, 9, 9\)"):
        net(torch.rand(1, 9, 9))
    with pytest.raises(InputError, match="no step or no sample"):
        net(torch.rand(0, 2, 1, 8, 8))
    with pytest.raises(InputError, match=r"type torch\.uint8"):
        net(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))


def graph(*synapses: Synapse, **populations: nn.Module) -> SpikingNet:
    everything = {**populations, "readout": Sum()}
    return SpikingNet("net", input_shape=(3,), n_steps=2, populations=everything, synapses=synapses)


def test_graphs_that_cannot_run_are_refused_with_the_reason() -> None:
    into, out = Synapse("w", "input", "a", nn.Linear(3, 2)), Synapse("r", "a", "readout", nn.Linear(2, 2))
    for synapses, populations, message in [
        (
            (into, out, Synapse("s", "b", "a", nn.Linear(3, 2))),
            {},
            "s: b does not exist, there are a, input, readout",
        ),
        ((into,), {}, "nothing drives readout"),
        ((into, out, Synapse("w", "a", "readout", nn.Linear(2, 2))), {}, "used for more than one thing: w"),
        ((Synapse("w", "input", "a", nn.Linear(4, 2)), out), {}, r"w does not take input \(3,\)"),
        ((into, out, Synapse("l", "a", "a", nn.Linear(2, 2))), {}, "l: recurrence of a needs a Linear without bias"),
        (
            (into, out, Synapse("x", "a", "b", nn.Linear(2, 2)), Synapse("y", "b", "a", nn.Linear(2, 2))),
            {"b": lif_box()},
            "loop through a, b, readout, only a population's own recurrence",
        ),
    ]:
        with pytest.raises(ConfigError, match=message):
            graph(*synapses, a=lif(), **populations)
    with pytest.raises(ConfigError, match='needs a population "readout"'):
        SpikingNet("net", input_shape=(3,), n_steps=2, populations={"a": lif()}, synapses=[into])


def test_unknown_names_and_options_list_the_possible_ones() -> None:
    shape = {"n_classes": 10, "input_shape": (3, 32, 32)}
    with pytest.raises(ConfigError, match=r"student 'vgg99' is none of small, vgg8, vgg9.*did you mean vgg9"):
        build_student("vgg99", n_steps=4, **shape)
    with pytest.raises(ConfigError, match=r"option 'widht' is none of width.*did you mean width"):
        build_student("vgg9", n_steps=4, widht=1, **shape)
    with pytest.raises(ConfigError, match="0 steps, at least 1"):
        build_student("small", n_steps=0, **shape)
    with pytest.raises(ConfigError, match="1 classes; at least 2"):
        build_student("small", n_classes=1, input_shape=(3, 32, 32), n_steps=1)
    with pytest.raises(ConfigError, match="teacher 'vgg' is none of small-cnn"):
        build_teacher("vgg", **shape)
    with pytest.raises(ConfigError, match=r"vgg11: input \(1, 8, 8\); it halves the image five times"):
        build_teacher("vgg11", n_classes=10, input_shape=(1, 8, 8))


@pytest.mark.parametrize("name", TEACHERS)
def test_teachers_give_logits(name: str) -> None:
    teacher = build_teacher(name, n_classes=7, input_shape=(3, 32, 32)).eval()
    with torch.no_grad():
        assert teacher(torch.rand(2, 3, 32, 32)).shape == (2, 7)


def test_the_fast_teacher_starts_by_whitening_the_patches_of_the_data() -> None:
    torch.manual_seed(0)
    images = torch.rand(40, 3, 16, 16).cumsum(-1) / 16  # neighbours alike, as in pictures
    network = build_teacher("fast", n_classes=10, input_shape=(3, 16, 16), width=0.25, depth=3)
    network.start_from(images)
    with torch.no_grad():
        white = network.whiten((images - network.mean) / network.std)[:, :12].transpose(0, 1).flatten(1)
    assert torch.allclose(white @ white.T / white.shape[1], torch.eye(12), atol=0.15)
    assert network(images).shape == (40, 10)
    assert not network.whiten.weight.requires_grad
    with pytest.raises(ConfigError, match=r"teacher fast: input \(1, 8, 8\), needed is \(C, H, W\)"):
        build_teacher("fast", n_classes=10, input_shape=(1, 8, 8))
    with pytest.raises(ConfigError, match=r"teacher fast: option 'widht' is none of width, depth"):
        build_teacher("fast", n_classes=10, input_shape=(3, 32, 32), widht=2)
    with pytest.raises(ConfigError, match=r"teacher resnet18: has no option width"):
        build_teacher("resnet18", n_classes=10, input_shape=(3, 32, 32), width=2)


def test_torchvision_state_dicts_load() -> None:
    import torchvision  # here, because it takes a second to load

    own = build_teacher("resnet34", n_classes=1000, input_shape=(3, 224, 224))
    own.load_state_dict(torchvision.models.resnet34().state_dict())
    assert (
        round(
            sum(p.numel() for p in build_teacher("resnet34", n_classes=10, input_shape=(3, 32, 32)).parameters())
            / 1e6,
            2,
        )
        == 21.28
    )
