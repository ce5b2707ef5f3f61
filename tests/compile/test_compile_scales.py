"""Scales: of neurons and channels where they need them, on the grid where there is one, such as the chip can send."""

from pathlib import Path

import numpy as np
import pytest
from compile_networks import network, population

from seamount.compile.fit.verify import verify_program
from seamount.compile.lower.neuron_scales import TOLERATED
from seamount.compile.network.network import Connection, Convolution, Linear, Network, NetworkInput, reals
from seamount.compile.nir.write import graph_of
from seamount.compile.passes.split_populations import split_populations
from seamount.compile.pipeline import CompileOptions, compile_graph
from seamount.compile.program.file import load_program, save_program
from seamount.compile.program.program import Program
from seamount.errors import InputError
from seamount.hardware_targets.simulator import simulate
from seamount.hardware_targets.target import load_target
from seamount.report.why import why

FACTORS = np.geomspace(1, 1e-3, 8)
T = 60


def dense(factors: np.ndarray, bias: float = 0.0, n_in: int = 12) -> Network:
    """Leaky neurons with weights, bias and threshold scaled by a factor each: all factors make the same network."""
    rng = np.random.default_rng(0)
    weight = rng.normal(0.3, 0.5, (len(factors), n_in)) * factors[:, None]
    cells = population("a", factors.shape, a_m=0.2, gain=0.2, v_th=factors, bias=bias * factors)
    return network(
        [cells], [Connection("fc", "x", "a", (Linear(reals(weight)),))], [NetworkInput("x", (n_in,))], n_steps=T
    )


def convolution(factors: np.ndarray) -> Network:
    """The same of channels."""
    rng = np.random.default_rng(0)
    kernel = Convolution(reals(rng.normal(0.3, 0.5, (len(factors), 2, 3, 3)) * factors[:, None, None, None]))
    cells = population("a", (len(factors), 2, 2), a_m=0.2, gain=0.2, v_th=factors[:, None, None])
    return network([cells], [Connection("fc", "x", "a", (kernel,))], [NetworkInput("x", (2, 4, 4))], n_steps=T)


def spikes(program: Program) -> np.ndarray:
    shape = (T, 8, *program.inputs[0].shape)
    x = np.random.default_rng(1).random(shape) < 0.4
    return simulate(program, x.astype(np.int64), record=("spikes",)).spikes["a"]


@pytest.mark.parametrize("make", [dense, convolution])
def test_factors_of_neurons_and_channels_leave_the_program_as_it_is(make: object) -> None:
    plain, scaled = (compile_graph(make(f)).program for f in (np.ones(8), FACTORS))  # type: ignore[operator]
    thresholds = [np.unique(p.population("a").neuron.v_th_mant).tolist() for p in (plain, scaled)]
    assert thresholds[0] == thresholds[1]
    assert np.array_equal(plain.synapses[0].kind.weights, scaled.synapses[0].kind.weights)
    assert np.array_equal(spikes(plain), spikes(scaled))
    own = np.asarray(scaled.scales["a"])
    assert own.shape == ((8,) if make is dense else (8, 1, 1))
    assert np.allclose(own.reshape(-1) * FACTORS, plain.scales["a"])


def test_biases_are_in_their_neurons_units() -> None:
    plain, scaled = (compile_graph(dense(f, bias=0.1)).program for f in (np.ones(8), FACTORS))
    bias = [np.broadcast_to(p.population("a").neuron.bias, (8,)) for p in (plain, scaled)]
    assert np.array_equal(*bias)


def test_neurons_that_are_alike_keep_one_scale() -> None:
    made = compile_graph(dense(np.geomspace(1, 0.8, 8)))
    assert np.ndim(made.program.scales["a"]) == 0


def test_small_weights_below_one_threshold_take_few_thresholds() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(0.3, 0.5, (64, 12)) * np.geomspace(1, 1 / 50, 64)[:, None]
    connection = Connection("fc", "x", "a", (Linear(reals(weight)),))
    made = compile_graph(network([population("a", (64,), v_th=1.0)], [connection], [NetworkInput("x", (12,))]))
    row = np.asarray(made.program.scales["a"])
    assert len(np.unique(row)) <= 7, "a core of loihi1 holds 16 thresholds"
    kind = made.program.synapses[0].kind
    held = kind.weights * 2.0 ** made.program.synapses[0].exponent / row[:, None]
    error = np.sqrt(np.sum((held - weight) ** 2, 1) / np.sum(weight**2, 1))
    assert error.max() < TOLERATED


def test_a_readout_of_potentials_has_one_scale() -> None:
    net = dense(FACTORS)
    for changes in ({"v_th": None}, {}):
        cells = population("a", (8,), a_m=0.2, gain=0.2, **({"v_th": FACTORS} | changes))
        made = compile_graph(net.with_(populations=(cells,), readout_quantity="v"))
        assert np.ndim(made.program.scales["a"]) == 0, "its potentials are compared with each other"


def test_scales_of_neurons_are_kept_by_the_file(tmp_path: Path) -> None:
    program = compile_graph(dense(FACTORS)).program
    save_program(program, tmp_path / "p.h5")
    again = load_program(tmp_path / "p.h5")
    assert np.array_equal(again.scales["a"], program.scales["a"])
    assert np.shape(again.scales["a"]) == (8,)
    with pytest.raises(InputError) as refused:
        program.with_(scales={"a": reals(np.ones(3))})
    assert str(refused.value) == "a: scales (3,) do not broadcast to (8,)"


def test_scales_of_neurons_follow_them_into_the_pieces_of_a_split() -> None:
    target = load_target("loihi1")
    factors = np.geomspace(1, 1e-3, 1100)
    program = compile_graph(dense(factors).with_(readout=None), options=CompileOptions(whole_sums=True)).program
    split = split_populations(program, target)
    joined = split.joined("a", {name: np.asarray(s) for name, s in split.program.scales.items()})
    assert len(split.pieces["a"]) > 1
    assert np.array_equal(joined, program.scales["a"])


def test_why_puts_every_neuron_back_into_its_own_unit() -> None:
    x = (np.random.default_rng(1).random((T, 8, 12)) < 0.4).astype(np.int64)
    told = []
    for factors in (np.ones(8), FACTORS):
        made = compile_graph(dense(factors, bias=0.1))
        assert made.network is not None
        told.append(why(made.network, made.program, x, "a"))
    assert told[0] == told[1]
    assert told[1].rounded.value is not None
    assert float(told[1].rounded.value) < 5


@pytest.mark.parametrize("weights", [[1.0, 0.5, 0.25, 0.125], [1.0, 1.0, 1.0, 1.0], [2.0, -1.0, 0.3, 0.1]])
@pytest.mark.parametrize("bits", [8, 4, 5])
def test_pixels_of_eight_bits_reach_loihi1_whatever_the_weights(weights: list[float], bits: int) -> None:
    cells = population("a", (1,), a_m=0.2, gain=0.2, v_th=0.5)
    connection = Connection("fc", "x", "a", (Linear(reals([weights])),))
    net = network([cells], [connection], [NetworkInput("x", (4,), 8, 255.0)], n_steps=20)
    target = load_target("loihi1")
    program = compile_graph(net, target, CompileOptions(weight_bits=bits)).program
    assert [f for f in verify_program(program, target) if f.severity != "assumption"] == []
    assert np.abs(program.synapses[0].kind.weights).max() > 100


def test_a_scale_that_was_told_is_not_bent_to_what_can_be_sent() -> None:
    cells = population("a", (1,), a_m=0.2, gain=0.2, v_th=0.05)
    connection = Connection("fc", "x", "a", (Linear(reals([[1.0, 0.5]])),))
    net = network([cells], [connection], [NetworkInput("x", (2,), 8, 255.0)], n_steps=20)
    target = load_target("loihi1")
    program = compile_graph(net, target, CompileOptions(scales={"a": 200 * 255 * 5 * 4.0})).program
    assert (program.synapses[0].kind.weights << program.synapses[0].exponent).tolist() == [[800, 400]]
    assert [f.severity for f in verify_program(program, target)].count("unsupported") == 1


def test_scales_of_neurons_come_with_a_nir_file() -> None:
    program = compile_graph(dense(np.ones(8)), options=CompileOptions(scales={"a": 64.0})).program
    graph = graph_of(program)
    graph.metadata["quantised"]["scale"]["a"] = np.ones(3)
    with pytest.raises(
        InputError, match=r"scales of shape \(3,\), needed is one, or an array that broadcasts to \(8,\)"
    ):
        compile_graph(graph)
