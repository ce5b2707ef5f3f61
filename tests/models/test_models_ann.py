"""A trained ANN as layers of weighted sums: what is found in a module, and what is refused by name."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from seamount.errors import InputError, Unsupported
from seamount.models.ann import ann_layers, as_trained, run_layers
from seamount.models.fast import Fast, FastOptions
from seamount.models.teachers import BasicBlock, SmallCnn, SmallMlp, WideBlock


def answers(module: nn.Module, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Of the module and of the layers that it is found to be."""
    torch.manual_seed(0)
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        nn.init.uniform_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2)
        nn.init.uniform_(norm.bias)
    x = torch.rand(3, *shape)
    layers = ann_layers(module, shape, "net")
    with torch.no_grad():
        return module.eval()(x).double(), run_layers(layers, x)[layers[-1].name]


class Functions(nn.Module):
    """Layers and functions as people mix them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 4, 3, padding=1, groups=2)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(x)))
        x = torch.relu(self.second(F.avg_pool2d(x, 2)))
        x = F.dropout(x.mean((2, 3)), 0.5, self.training)
        out: Tensor = self.head(x.view(x.size(0), -1))
        return out


class Skip(nn.Module):
    """A sum that is read twice, and a normalisation in front of a border of zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4, 2)
        self.blocks = nn.Sequential(WideBlock(4, 4, 1), WideBlock(4, 6, 2), BasicBlock(6, 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.first((x - 0.3) / 0.5))
        out: Tensor = 2 * self.head(x.amax((2, 3)))
        return out


class Difference(nn.Module):
    """What one branch has more than the other: of maps, of vectors, and of a sum as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.fc, self.head = nn.Conv2d(1, 3, 3), nn.Conv2d(1, 3, 3), nn.Linear(48, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x), self.b(x).relu()
        x = self.fc((a - b).relu().flatten(1))
        out: Tensor = torch.sub(self.head(x.relu() - x), self.head(F.alpha_dropout(x, 0.5, self.training)))
        return out


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (Difference(), (1, 6, 6)),
        (
            nn.Sequential(
                *(nn.AlphaDropout(), nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AvgPool2d(2, ceil_mode=True)),
                *(nn.FeatureAlphaDropout(), nn.MaxPool2d(1, 2, ceil_mode=True), nn.Flatten(), nn.Linear(2, 2)),
            ),
            (1, 6, 6),
        ),
        (Skip(), (1, 8, 8)),
        (nn.Sequential(nn.Conv2d(1, 3, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(3, 2, 2)), (1, 6, 6)),
        (
            nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Flatten(), nn.Linear(8, 2)),
            (1, 5, 5),
        ),
        (nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(1, 2, 2), nn.Conv2d(2, 2, 2)), (1, 6, 6)),
        (Fast(4, (3, 16, 16), FastOptions(width=0.1, depth=3)), (3, 16, 16)),
    ],
)
def test_skips_and_largest_values_are_layers_too(module: nn.Module, shape: tuple[int, ...]) -> None:
    theirs, ours = answers(module, shape)
    assert float(theirs.std()) > 0
    assert torch.allclose(theirs.flatten(1), ours.flatten(1), atol=1e-5)


def test_the_largest_of_four_is_a_tournament() -> None:
    layers = ann_layers(nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU(), nn.MaxPool2d(2)), (1, 4, 4), "net")
    assert [layer.name for layer in layers] == ["layer0", "layer2_max0", "layer2_max1", "layer2_max2", "layer2"]
    assert [len(layer.parts) for layer in layers] == [1, 1, 1, 3, 3]
    assert all(part.only_adds for layer in layers[1:] for part in layer.parts)


@pytest.mark.parametrize(
    ("module", "shape", "names"),
    [
        (Functions(), (2, 9, 9), ["conv", "second_pool", "second", "head"]),
        (SmallCnn(5, (1, 12, 12)), (1, 12, 12), ["layer1_0", "layer2_0", "layer3_0", "head_1", "head_4"]),
        (SmallMlp(4, (6,)), (6,), ["layers_1", "layers_3", "layers_5"]),
        (nn.Sequential(nn.Linear(5, 3), nn.ReLU()), (5,), ["layer0"]),
        (nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(9, 2)), (1, 6, 6), ["layer2"]),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AvgPool2d(2)), (1, 6, 6), ["layer0", "layer2"]),
    ],
)
def test_a_chain_answers_as_its_module(module: nn.Module, shape: tuple[int, ...], names: list[str]) -> None:
    theirs, ours = answers(module, shape)
    assert [layer.name for layer in ann_layers(module, shape, "net")] == names
    assert torch.allclose(theirs.flatten(1), ours.flatten(1), atol=1e-5)


class Joined(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).relu()
        out: Tensor = self.b(torch.cat([x, x * x], 1))
        return out


class Live(nn.Module):
    """Its dropout goes on outside of training."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.a(x), 0.1)


class Choice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) if x.sum() > 0 else x


def test_what_has_no_place_in_a_chain_is_refused_by_name() -> None:
    refused = {
        "net: 1: Sigmoid, possible is ReLU": (nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 2)), (4,)),
        "net: 1: pads sums that may lie below 0, where a 0 would win; put ReLU before it; or leave out its padding": (
            nn.Sequential(nn.Conv2d(1, 1, 3), nn.MaxPool2d(2, padding=1)),
            (1, 6, 6),
        ),
        "net: 1: MaxPool2d with ceil_mode, dilation or indices, plain windows of one size are possible": (
            nn.Sequential(nn.Conv2d(1, 1, 3), nn.MaxPool2d(2, ceil_mode=True)),
            (1, 7, 7),
        ),
        "net: 1: AvgPool2d with ceil_mode or divisor_override; use plain windows": (
            nn.Sequential(nn.Conv2d(1, 1, 3), nn.AvgPool2d(2, ceil_mode=True)),
            (1, 7, 7),
        ),
        "net: has neither a Linear nor a Conv2d": (nn.Sequential(nn.ReLU()), (4,)),
        "net: cannot be followed for x (B, 4): symbolically traced variables cannot be used as inputs to control "
        "flow; let its forward pass call layers, without a choice that depends on values": (Choice(), (4,)),
        "net: cannot be followed for x (B, 4): mat1 and mat2 shapes cannot be multiplied (2x4 and 3x2); let its "
        "forward pass call layers, without a choice that depends on values": (nn.Sequential(nn.Linear(3, 2)), (4,)),
        "net: dropout: dropout outside of training, too; give it training=self.training": (Live(), (4,)),
        "net: compiled by torch.jit, which hides its layers; give the nn.Module that it was made of": (
            torch.jit.trace(nn.Linear(4, 2), torch.zeros(1, 4)),
            (4,),
        ),
        "net: 0: DeQuantize, quantised by torch; give the network before that: weights are rounded to 8 bits here": (
            nn.Sequential(torch.ao.nn.quantized.DeQuantize()),
            (4,),
        ),
        "net: 0: DataParallel within the network; put there what it wraps (its ._orig_mod or .module)": (
            nn.Sequential(nn.DataParallel(nn.Linear(4, 2))),
            (4,),
        ),
    }
    for message, (module, shape) in refused.items():
        with pytest.raises(Unsupported) as error:
            ann_layers(module, shape, "net")
        assert str(error.value) == message


@pytest.mark.parametrize("layer", [nn.LazyLinear(2), nn.Linear(4, 2, device="meta")])
def test_weights_that_are_not_there_yet_are_named(layer: nn.Module) -> None:
    with pytest.raises(InputError) as error:
        ann_layers(nn.Sequential(layer), (4,), "net")
    assert str(error.value) == "net: 0.weight has no values yet; load its trained weights first"


def test_what_wraps_a_network_is_taken_off() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    expected = ann_layers(net, (4,), "net")
    compiled = nn.Module()
    compiled._orig_mod = net
    for wrapped in (nn.DataParallel(net), AveragedModel(nn.DataParallel(net)), compiled):
        found = ann_layers(wrapped, (4,), "net")
        assert [layer.name for layer in found] == [layer.name for layer in expected]
        assert isinstance(as_trained(wrapped), nn.Sequential)


def test_a_failing_pass_prints_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Unsupported):
        ann_layers(nn.Sequential(nn.Linear(3, 2)), (4,), "net")
    assert capfd.readouterr() == ("", "")


def test_a_product_of_activations_is_refused() -> None:
    with pytest.raises(Unsupported) as error:
        ann_layers(Joined(), (4,), "net")
    assert [str(reason) for reason in error.value.reasons] == [
        "net: mul: mul is no layer of a chain, possible are Linear, Conv2d, BatchNorm, pooling, Flatten, Dropout, "
        "ReLU, sums and differences of them",
        "net: cat: joins relu, mul, only sums and differences of two equal shapes are possible",
    ]


class Halves(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.a(x).chunk(2, 1)
        out: Tensor = self.b((first + second).relu())
        return out


@pytest.mark.parametrize(
    ("module", "shape", "messages"),
    [
        (Halves(), (4,), ["net: chunk: makes several tensors, one is possible"]),
        (
            nn.Sequential(nn.Conv2d(1, 2, 3), nn.GLU(1), nn.Flatten(), nn.Linear(9, 3), nn.Tanh(), nn.Linear(3, 2)),
            (1, 5, 5),
            [
                "net: 1: GLU is not a weighted sum of spikes; "
                "possible are Conv2d, Linear, BatchNorm, average pooling",
                "net: 4: Tanh, possible is ReLU",
            ],
        ),
    ],
)
def test_what_follows_a_refused_change_of_shape_is_looked_at_too(
    module: nn.Module, shape: tuple[int, ...], messages: list[str]
) -> None:
    with pytest.raises(Unsupported) as error:
        ann_layers(module, shape, "net")
    assert [str(reason) for reason in error.value.reasons] == messages


def test_two_reasons_are_told_at_once() -> None:
    with pytest.raises(Unsupported) as error:
        ann_layers(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.GELU()), (4,), "net")
    assert [str(reason) for reason in error.value.reasons] == [
        "net: 1: Tanh, possible is ReLU",
        "net: 3: GELU, possible is ReLU",
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(value: float) -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    with torch.no_grad():
        net[0].weight[1, 2] = value
    with pytest.raises(InputError) as error:
        ann_layers(net, (3,), "net")
    assert str(error.value) == "net: 0.weight holds NaN or infinity; train it again, or take an earlier checkpoint"


def test_a_hook_that_changes_what_a_layer_gives_is_refused() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    nn.init.ones_(net[0].weight)  # at random, all three neurons may be silent, and the hook doubles nothing
    net[0].register_forward_hook(lambda layer, given, out: 2 * out)
    with pytest.raises(Unsupported, match=r"forward pass calls; take away hooks \(handle\.remove\(\)\)"):
        ann_layers(net, (4,), "net")
