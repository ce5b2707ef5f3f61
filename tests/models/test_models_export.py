"""Students as NIR files: executed by the float64 interpreter, the file's graph gives the student's own spikes."""

import copy
import re
import warnings
from pathlib import Path

import nir
import norse
import numpy as np
import pytest
import torch
from norse.torch import LICell, LIFBoxCell, LIFCell, SequentialState
from torch import nn

from seamount.compile.network.interpret import run_network
from seamount.compile.nir.read import read_nir
from seamount.errors import Unsupported
from seamount.models import fold
from seamount.models.cells import li_box, lif_box
from seamount.models.export import to_nir
from seamount.models.from_module import from_module
from seamount.models.spiking_net import SpikingNet, Sum, Synapse
from seamount.models.zoo import build_student
from tests.lively import NETS, lively


@pytest.mark.parametrize("name", NETS)
def test_the_file_gives_the_students_spikes(name: str, tmp_path: Path) -> None:
    net, x = lively(name)
    path = tmp_path / "net.nir"
    nir.write(path, to_nir(net))
    nir.read(path)  # with nir's own type check
    exact = copy.deepcopy(net).double()
    with torch.no_grad():
        out = exact(x.double(), record=True)
    frames = x.double() if x.dim() == len(net.input_shape) + 2 else x.double().expand(net.n_steps, *x.shape)
    traces = run_network(read_nir(path), frames.numpy())
    assert sum(int(s.sum()) for s in out.spikes.values()) > 50
    for population, spikes in out.spikes.items():
        assert np.count_nonzero(traces[population].spikes != spikes.numpy()) == 0, population
    v = out.logits.cumsum(0) if isinstance(net.readout, Sum) else out.logits
    assert np.abs(traces["readout"].v - v.numpy()).max() < 1e-9


def test_cells_with_leak_and_reset_potentials_are_carried_over(tmp_path: Path) -> None:
    torch.manual_seed(0)
    neurons = lif_box(0.25, v_leak=0.2, v_reset=-0.3, v_th=0.8)
    net = SpikingNet(
        "leaky",
        input_shape=(6,),
        n_steps=20,
        populations={"a": neurons, "readout": li_box()},
        synapses=[Synapse("w", "input", "a", nn.Linear(6, 9)), Synapse("r", "a", "readout", nn.Linear(9, 3))],
        input_bits=0,
    )
    x = (torch.rand(20, 3, 6) < 0.5).double()
    nir.write(tmp_path / "net.nir", to_nir(net))
    out = net.double()(x, record=True)
    traces = run_network(read_nir(tmp_path / "net.nir"), x.numpy())
    assert out.spikes["a"].sum() > 20
    assert np.array_equal(traces["a"].spikes, out.spikes["a"].detach().numpy())


def test_everything_that_cannot_be_exported_is_named_at_once() -> None:
    net = build_student("preact-resnet34", n_classes=5, input_shape=(3, 32, 32), n_steps=2, width=0.1)
    with pytest.raises(Unsupported) as refused:
        to_nir(net)
    message = str(refused.value)
    assert message.startswith("preact-resnet34 cannot become a spiking program:\n  stem: a real-valued stream;")
    assert message.count("real-valued stream") == 17
    told = "put it right behind neurons, or use a convolution of stride 2 or average pooling"
    assert f"stem_in.2: MaxPool2d is not a weighted sum; {told}" in message


def test_folded_chains_equal_torch() -> None:
    torch.manual_seed(0)
    conv_norm = nn.Sequential(nn.Conv2d(4, 6, 3, 2, 1), nn.BatchNorm2d(6))
    grouped = nn.Conv2d(4, 6, (3, 5), padding=(1, 2), groups=2)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 7), nn.Linear(7, 3), nn.BatchNorm1d(3))
    for chain in (conv_norm, grouped, head, nn.Sequential(nn.AvgPool2d(2), conv_norm), nn.BatchNorm2d(4)):
        x = torch.randn(5, 4, 8, 8)
        with torch.no_grad():
            chain.train()(x)
        chain = copy.deepcopy(chain).eval().double()
        ops = fold.fold(chain, (4, 8, 8), "chain")
        one = fold.merge(ops, (4, 8, 8), "chain")
        wanted = chain(x.double())
        assert torch.allclose(fold.apply(ops, x.double()), wanted, atol=1e-12)
        merged = [one] if isinstance(one, fold.FoldedConv) else [fold.Flatten(), one]
        assert torch.allclose(fold.apply(merged, x.double()), wanted, atol=1e-12)
        if isinstance(one, fold.FoldedConv):
            assert torch.allclose(fold.apply([fold.square(one, "conv")], x.double()), wanted, atol=1e-12)


def test_layers_that_are_no_weighted_sums_say_why() -> None:
    for layer, why in [
        (nn.ReLU(), "ReLU is not a weighted sum of spikes"),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), "padding_mode 'reflect'; only zeros"),
        (nn.AvgPool2d(2, ceil_mode=True), "ceil_mode"),
        (nn.AvgPool2d(3, padding=1, count_include_pad=False), "does not count its padding"),
        (nn.Flatten(2), r"Flatten\(2, -1\)"),
        (nn.BatchNorm2d(1, track_running_stats=False), "without running statistics"),
    ]:
        with pytest.raises(Unsupported, match=f"chain: .*{why}"):
            fold.fold(layer, (1, 4, 4), "chain")


class Residual(nn.Module):
    """A user's own net: one step, cells called as norse's users call them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.first, self.second = LIFBoxCell(), LIFCell()
        self.inner = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.head = nn.Linear(4 * 36, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, _ = self.first(self.conv(x))
        b, _ = self.second(self.inner(a) + a)
        return self.head(torch.flatten(b, 1))


@pytest.mark.parametrize("kind", ["traced", "sequential"])
def test_a_users_own_module_becomes_the_same_spikes(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = (2, 6, 6)
    module: nn.Module = Residual()
    if kind == "sequential":
        module = SequentialState(
            nn.Conv2d(2, 4, 3), LIFCell(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 3, bias=False), LICell()
        )
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(12)
    net = from_module(module.eval(), input_shape=shape, n_steps=12)
    x = (torch.rand(12, 3, *shape) < 0.5).double()
    nir.write(tmp_path / "net.nir", to_nir(net))
    nir.read(tmp_path / "net.nir")
    out = copy.deepcopy(net).double()(x, record=True)
    traces = run_network(read_nir(tmp_path / "net.nir"), x.numpy())
    assert sum(int(s.sum()) for s in out.spikes.values()) > 100
    for population, spikes in out.spikes.items():
        assert np.array_equal(traces[population].spikes, spikes.detach().numpy()), population
    if kind == "sequential":  # norse runs the module itself
        state, seen = None, []
        for frame in x.float():
            v, state = module(frame, state)
            seen.append(v)
        assert torch.allclose(torch.stack(seen), net(x.float()).logits, atol=1e-4)


def test_a_users_module_that_cannot_be_carried_over_names_everything() -> None:
    before, behind = (nn.Conv2d(1, 2, 3), nn.MaxPool2d(2)), (nn.Flatten(), nn.Linear(2, 2))
    chain = nn.Sequential(*before, nn.ReLU(), LIFBoxCell(), *behind)
    with pytest.raises(Unsupported) as refused:
        from_module(chain, input_shape=(1, 4, 4), n_steps=2)
    assert "layer2: ReLU is not a weighted sum of spikes" in str(refused.value)
    assert "layer1: MaxPool2d is not a weighted sum" in str(refused.value)
    assert not fold.max_pool_problems(nn.MaxPool2d(2), "pool")
    assert fold.max_pool_problems(nn.MaxPool2d(2, ceil_mode=True), "pool")


def test_output_spikes_are_counted() -> None:
    net = from_module(nn.Sequential(nn.Linear(3, 2), LIFCell()), input_shape=(3,), n_steps=2)
    assert net.edges == (("layer0", "input", "layer1"), ("layer1_to_readout", "layer1", "readout"))


def test_norse_reads_back_what_it_can_read() -> None:
    # norse 1.1.0 skips the integrator at the end (it reads it as nothing), so its output is the integrator's drive
    torch.manual_seed(0)
    net = from_module(nn.Sequential(nn.Linear(5, 30), LIFBoxCell(), nn.Linear(30, 4)), input_shape=(5,), n_steps=30)
    graph = to_nir(net)
    for node in graph.nodes.values():  # it takes float32 alone
        for key, value in vars(node).items():
            if isinstance(value, np.ndarray) and value.dtype == np.float64:
                setattr(node, key, value.astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = norse.torch.from_nir(graph, dt=1e-3)
        x, state, seen = (torch.rand(30, 2, 5) < 0.5).float() * 5, None, []
        for frame in x:
            out, state = theirs(frame, state)
            seen.append(out)
    own = net(x, record=True)
    assert own.spikes["layer1"].sum() > 30
    assert torch.allclose(torch.stack(seen), own.logits, atol=1e-4)


def test_a_users_max_pooling_of_spikes_is_a_population_of_its_own(tmp_path: Path) -> None:
    torch.manual_seed(0)
    cells = [LIFBoxCell(), LIFBoxCell()]
    layers = (nn.Conv2d(2, 3, 3), cells[0], nn.MaxPool2d(3, 2, 1), nn.Conv2d(3, 4, 2), cells[1], nn.Flatten())
    net = from_module(nn.Sequential(*layers, nn.Linear(64, 2)), input_shape=(2, 12, 12), n_steps=6).double()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                module.weight *= 20
    nir.write(tmp_path / "net.nir", to_nir(net))
    graph = nir.read(tmp_path / "net.nir")
    assert [type(graph.nodes[n]).__name__ for n in ("layer2_in", "layer2")] == ["SumPool2d", "Threshold"]
    x = (torch.rand(6, 3, 2, 12, 12) < 0.3).double()
    out = net(x, record=True)
    assert out.spikes["layer2"].unique().tolist() == [0, 1]
    traces = run_network(read_nir(tmp_path / "net.nir"), x.numpy())
    for name, spikes in out.spikes.items():
        assert np.array_equal(traces[name].spikes, spikes.detach().numpy()), name


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        (
            [nn.MaxPool2d(2), nn.Conv2d(2, 3, 3), LIFBoxCell(), nn.Flatten(), nn.Linear(48, 2)],
            "layer0_in: max-pooling of 8-bit values; only that of spikes is possible",
        ),
        ([LIFBoxCell(), nn.Flatten(), nn.Linear(288, 2)], "input_to_layer0: the input drives a population without w"),
        ([nn.Linear(12, 3), LIFBoxCell(), nn.Flatten(), nn.Linear(72, 2)], "Linear along the last axis of (2, 1"),
        ([nn.Conv2d(2, 3, (1, 2)), LIFBoxCell(), nn.Flatten(), nn.Linear(396, 2)], "kernel 1 x 2 (with its pad"),
        ([nn.ZeroPad2d(1), nn.Flatten(), nn.Linear(392, 2), LIFBoxCell(), nn.Linear(2, 2)], "ZeroPad2d in fr"),
    ],
)
def test_what_no_file_holds_is_refused_before_any_training(layers: list[nn.Module], told: str) -> None:
    with pytest.raises(Unsupported, match=re.escape(told)):
        from_module(nn.Sequential(*layers), input_shape=(2, 12, 12), n_steps=2, input_bits=8)


CONVS = {
    "same, even kernels": [nn.Conv2d(2, 3, (2, 4), padding="same")],
    "same, dilated": [nn.Conv2d(2, 3, (4, 3), padding="same", dilation=(3, 2))],
    "padding of every side": [nn.ZeroPad2d((0, 3, 2, 1)), nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2)],
    "padding, dilated": [nn.ZeroPad2d((2, 0, 0, 1)), nn.Conv2d(2, 3, 2, dilation=3)],
    "transposed": [nn.ConvTranspose2d(2, 3, (3, 2), padding=(1, 0))],
    "transposed, grouped": [nn.ConvTranspose2d(4, 6, 3, groups=2, dilation=2, output_padding=1)],
    "adaptive, windows that overlap": [nn.AdaptiveAvgPool2d((3, 2))],
    "adaptive, the whole map": [nn.AdaptiveAvgPool2d(1)],
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", CONVS)
def test_padding_of_any_side_transposed_and_adaptive_layers_are_one_operator(name: str) -> None:
    torch.manual_seed(0)
    chain = nn.Sequential(*CONVS[name]).double()
    shape = (4 if "grouped" in name else 2, 7, 9)
    ops = fold.fold(chain, shape, "chain")
    assert len(ops) == 1
    x = torch.randn(3, *shape, dtype=torch.float64)
    assert torch.allclose(fold.apply(ops, x), chain(x), atol=1e-12)
    assert fold.op_shape(ops[0], shape) == tuple(chain(x).shape[1:])


WRITTEN_OUT = {
    "transposed, stride 2": ((2, 3, 4), [nn.ConvTranspose2d(2, 3, (3, 2), stride=2, padding=(1, 0)), nn.Flatten()]),
    "transposed, all of it": (
        (4, 3, 2),
        [
            nn.ConvTranspose2d(4, 6, 3, (2, 3), 1, (1, 0), groups=2, bias=False, dilation=(2, 1)),
            nn.BatchNorm2d(6),
            nn.Flatten(),
        ],
    ),
    "adaptive, windows of several sizes": ((3, 5, 7), [nn.AdaptiveAvgPool2d((3, 2)), nn.Flatten(), nn.Linear(18, 4)]),
    "resized": ((2, 3, 4), [nn.Upsample(scale_factor=2), nn.Conv2d(2, 3, 3, padding=1), nn.Flatten()]),
    "resized, between": ((2, 3, 4), [nn.Upsample((5, 7), mode="bilinear", align_corners=True), nn.Flatten()]),
    "from a vector": ((12,), [nn.Unflatten(1, (3, 2, 2)), nn.Conv2d(3, 4, 2, padding=1), nn.Flatten()]),
}


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_what_nir_has_no_node_for_is_a_matrix(name: str) -> None:
    torch.manual_seed(0)
    shape, layers = WRITTEN_OUT[name]
    chain = nn.Sequential(*layers).double().eval()
    ops = fold.fold(chain, shape, "chain")
    assert [type(op).__name__ for op in ops] == (["Linear"] if len(shape) == 1 else ["Flatten", "Linear"])
    x = torch.randn(3, *shape, dtype=torch.float64)
    assert torch.allclose(fold.apply(ops, x), chain(x), atol=1e-12)
    assert (len(ops[-1].weight),) == tuple(chain(x).shape[1:])
    assert fold.merge(ops, shape, "chain") is ops[-1]


def test_layers_that_are_no_single_operator_say_why() -> None:
    for layer in (nn.ConvTranspose2d(2, 3, 2, stride=2), nn.AdaptiveAvgPool2d(3)):
        with pytest.raises(
            Unsupported,
            match=r"up: no convolution or pooling makes such a map; put nn.Flatten\(\) behind it",
        ):
            fold.fold(layer, (2, 5, 5), "up")
    assert "nearest and bilinear, to a size or by a whole" in fold.problems(nn.Upsample(scale_factor=1.5), "up")[0]
    with pytest.raises(Unsupported, match="ZeroPad2d at the end"):
        fold.fold(nn.ZeroPad2d(1), (2, 5, 5), "pad")
    with pytest.raises(Unsupported, match="ZeroPad2d in front of AvgPool2d; put it before a Conv2d"):
        fold.fold(nn.Sequential(nn.ZeroPad2d(1), nn.AvgPool2d(2)), (2, 5, 5), "pool")
