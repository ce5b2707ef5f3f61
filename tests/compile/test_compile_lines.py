"""Conv1d is a convolution of height 1, whatever stands around it, and computes what torch computes."""

from itertools import pairwise

import nir
import numpy as np
import pytest
import torch
from compile_networks import network, population

from seamount.compile.network.interpret import run_network
from seamount.compile.network.network import (
    Connection,
    Convolution,
    Delay,
    Linear,
    Network,
    NetworkInput,
    Reals,
    Reshape,
    Scale,
    reals,
)
from seamount.compile.nir.presets import Discretisation
from seamount.compile.nir.read import NirOptions, read_nir
from seamount.compile.passes.lines_as_maps import lines_as_maps
from seamount.compile.pipeline import CompileOptions, compile_graph
from seamount.compile.synapses.kinds import Conv
from seamount.errors import InputError
from seamount.hardware_targets.simulator.simulate import simulate
from seamount.windows import Window

STEPS = Discretisation(dt=1.0)


def _graph(weights: list[np.ndarray], length: int, **settings: int) -> nir.NIRGraph:
    nodes: dict[str, object] = {"input": nir.Input(np.array([weights[0].shape[1], length]))}
    for i, weight in enumerate(weights):
        stride, padding, dilation = (settings.get(k, d) for k, d in (("stride", 1), ("padding", 0), ("dilation", 1)))
        nodes[f"c{i}"] = nir.Conv1d(length, weight, stride, padding, dilation, 1, np.zeros(len(weight)))
        length = (length + 2 * padding - dilation * (weight.shape[2] - 1) - 1) // stride + 1
        shape = (len(weight), length)
        nodes[f"n{i}"] = nir.IF(r=np.ones(shape), v_threshold=np.full(shape, 2.0), v_reset=np.zeros(shape))
    nodes["output"] = nir.Output(np.array(shape))
    keys = list(nodes)
    return nir.NIRGraph(nodes, list(pairwise(keys)), type_check=False)


@pytest.mark.parametrize("length", [40, 5000])
def test_a_conv1d_is_one_convolution_at_every_length(length: int) -> None:
    weights = [np.random.default_rng(0).normal(0, 0.5, (32, 16, 9))]
    options = CompileOptions(nir=NirOptions(n_steps=8, discretisation=STEPS))
    program = compile_graph(_graph(weights, length, padding=4), options=options).program
    assert [type(s.kind) for s in program.synapses] == [Conv]
    assert program.shape("input") == (16, 1, length)


@pytest.mark.parametrize("given", ["lines", "maps"])
def test_two_layers_spike_as_torch_does(given: str) -> None:
    rng = np.random.default_rng(1)
    weights = [rng.integers(-2, 3, (4, 3, 5)).astype(float), rng.integers(-2, 3, (2, 4, 3)).astype(float)]
    options = CompileOptions(nir=NirOptions(n_steps=8, discretisation=STEPS), scales={"n0": 64.0, "n1": 64.0})
    program = compile_graph(_graph(weights, 20, stride=2, padding=2, dilation=2), options=options).program
    x = rng.integers(0, 2, (8, 3, 3, 20))
    values, expected = torch.from_numpy(x.astype(np.float64)), []
    for weight in weights:
        drive = torch.stack([torch.conv1d(v, torch.from_numpy(weight), None, 2, 2, 2) for v in values])
        v, spikes = torch.zeros_like(drive[0]), torch.zeros_like(drive)
        for t, d in enumerate(drive):
            v = v + d
            spikes[t] = (v > 2).to(v.dtype)
            v = torch.where(v > 2, 0.0, v)
        expected.append(spikes)
        values = spikes
    assert all(0 < s.mean() < 1 for s in expected)
    activity = simulate(program, x if given == "lines" else x[..., None, :], record=("spikes",))
    for i, name in enumerate(("n0", "n1")):
        found = activity.spikes[name][i + 1 : i + 1 + len(x)]
        assert np.array_equal(found.squeeze(3), expected[i].numpy())


def test_everything_on_lines_means_the_same_on_maps() -> None:
    rng = np.random.default_rng(2)

    def whole(*shape: int) -> Reals:
        return reals(rng.integers(-2, 3, shape))

    conv = (Reshape((3, 1, 8)), Convolution(whole(3, 3, 1, 3), Window(padding=(0, 1))), Reshape((3, 8)))
    chains = {
        "conv": conv,
        "scaled": (Scale(whole(3, 8)), *conv, Scale(whole(8))),
        "late": (Delay(np.arange(24).reshape(3, 8) % 3), Scale(whole(3, 1))),
        "matrix": (Linear(whole(8, 8)),),
        "matrices": (Linear(whole(3, 8, 8)),),
        "flat": (Reshape((24,)), Linear(whole(24, 24)), Reshape((3, 8))),
        "other": (Reshape((8, 3)), Linear(whole(3, 3)), Reshape((3, 8))),
    }
    populations = [population(n, (3, 8), v_th=rng.integers(3, 9, (3, 8))) for n in chains]
    connections = [Connection(f"c_{n}", "x", n, ops) for n, ops in chains.items()]
    connections += [Connection(f"s_{n}", "conv", n, ()) for n in chains if n != "conv"]
    before = network(populations, connections, [NetworkInput("x", (3, 8))])
    after = lines_as_maps(before)
    assert {p.shape for p in after.populations} == {(3, 1, 8)}
    assert after.connections[0].ops == (conv[1],)
    x = rng.integers(0, 2, (9, 2, 3, 8)).astype(np.float64)
    old, new = run_network(before, x), run_network(after, x)
    for name in chains:
        assert old[name].spikes.any()
        assert np.array_equal(old[name].spikes, new[name].spikes.squeeze(3))
        assert np.array_equal(old[name].v, new[name].v.squeeze(3))


def test_a_network_without_conv1d_keeps_its_shapes() -> None:
    before = network(
        [population("p", (3, 8))], [Connection("c", "x", "p", (Scale(reals(2.0)),))], [NetworkInput("x", (3, 8))]
    )
    assert lines_as_maps(before) is before


@pytest.mark.parametrize(
    ("shape", "node", "message"),
    [
        (
            (2, 20),
            nir.Conv1d(20, np.ones((4, 3, 3)), 1, 1, 1, 1, np.zeros(4)),
            "c: shape (2, 20) arrives, a Conv1d with weight (4, 3, 3) in 1 groups takes (3, L)",
        ),
        (
            (20,),
            nir.Conv1d(20, np.ones((4, 3, 3)), 1, 1, 1, 1, np.zeros(4)),
            "c: shape (20,) arrives, a Conv1d with weight (4, 3, 3) in 1 groups takes (3, L)",
        ),
    ],
)
def test_what_a_conv1d_cannot_take_is_said_in_its_terms(shape: tuple[int, ...], node: object, message: str) -> None:
    with pytest.raises(InputError) as refused:
        _read(shape, node)
    assert message in str(refused.value)


def test_pooling_of_lines_is_one_high() -> None:
    conv = nir.Conv1d(20, np.ones((4, 3, 3)), 1, 1, 1, 1, np.zeros(4))

    def pool(*kernel: int) -> nir.AvgPool2d:
        return nir.AvgPool2d(np.array(kernel), np.array(kernel), np.array([0, 0]))

    assert _read((3, 20), conv, pool(1, 2)).populations[0].shape == (4, 10)
    with pytest.raises(InputError, match=r"n1: windows \(2, 2\) .* on \(4, 20\), possible on \(C, L\) are windows 1"):
        _read((3, 20), conv, pool(2, 2))


def _read(shape: tuple[int, ...], *nodes: object) -> Network:
    names = ["c", *(f"n{i}" for i in range(1, len(nodes)))]
    chain = {"input": nir.Input(np.array(shape)), **dict(zip(names, nodes, strict=True))}
    chain["out"] = nir.Threshold(np.ones(1))
    chain["output"] = nir.Output(np.array([1]))
    return read_nir(nir.NIRGraph(chain, list(pairwise(chain)), type_check=False))
