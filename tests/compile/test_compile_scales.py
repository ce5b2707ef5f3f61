"""Scales: of neurons and channels where they need them, on the grid where there is one, such as the chip can send."""

from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
import pytest
from compile_networks import network, population

from seamount.compile.fit.verify import verify_program
from seamount.compile.lower.neuron_scales import TOLERATED
from seamount.compile.network.interpret import run_network
from seamount.compile.network.network import Connection, Convolution, Linear, Network, NetworkInput, reals
from seamount.compile.nir.presets import Discretisation
from seamount.compile.nir.read import NirOptions
from seamount.compile.nir.write import graph_of
from seamount.compile.passes.split_populations import split_populations
from seamount.compile.pipeline import CompileOptions, compile_graph
from seamount.compile.program.file import load_program, save_program
from seamount.compile.program.program import Program
from seamount.errors import InputError
from seamount.hardware_targets.simulator import simulate
from seamount.hardware_targets.target import load_target
from seamount.report.evidence import window
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


# ------------------------------------------------------------------------------------------------- exact grids


def integers(bits: int, unit: float, seed: int = 0) -> Network:
    """Two layers of whole weights, thresholds and biases in some unit, with decays on the chip's grid."""
    rng = np.random.default_rng(seed)
    half = 1 << (bits - 1)
    layers = [rng.integers(-half, half, shape) for shape in ((24, 12), (6, 24))]
    for weight in layers:
        weight.flat[:2] = -half, half - 1
    cells = [
        population("a", (24,), a_m=1 / 16, v_th=2 * half * unit, bias=rng.integers(-4, 4, 24) * unit),
        population("b", (6,), a_m=1 / 16, v_th=3 * half * unit),
    ]
    connections = [
        Connection(f"into {t}", s, t, (Linear(reals(np.float32(weight * unit))),))
        for s, t, weight in zip("xa", "ab", layers, strict=True)
    ]
    return network(cells, connections, [NetworkInput("x", (12,))], n_steps=T)


@pytest.mark.parametrize("bits", [8, 6, 4])
@pytest.mark.parametrize("unit", [1.0, 1 / 127, 0.0123])
def test_a_network_of_integers_is_carried_over_exactly(bits: int, unit: float) -> None:
    made = compile_graph(integers(bits, unit), load_target("loihi1"))
    assert made.rounding is not None
    assert [row.grid for row in made.rounding.populations] == ["exact grid"] * 2
    assert made.warnings == ()
    plain = integers(bits, 1.0)
    x = (np.random.default_rng(1).random((T, 8, 12)) < 0.3).astype(np.int64)
    expected = run_network(plain, x.astype(np.float64))["b"].spikes
    run = simulate(made.program, x, record=("spikes",))
    assert expected.sum() > 100
    assert np.array_equal(window(made.program, run, "b", run.spikes["b"]), expected)


def test_the_table_says_exact_grid() -> None:
    made = compile_graph(integers(4, 1.0))
    lines = str(made.rounding).splitlines()
    assert lines[0] == "a: scale 64, du 4096, dv 256, v_th_mant 1024 (exact grid)"
    assert lines[1].endswith("exponent 1, off by 0 %")
    a = replace(made.network.population("a"), a_m=reals(0.2))  # type: ignore[union-attr]
    other = compile_graph(integers(4, 1.0).with_(populations=(a, integers(4, 1.0).population("b"))))
    assert "(exact grid but for its decays, a_m off by" in str(other.rounding)


@pytest.mark.parametrize("make", [dense, convolution])
def test_grids_of_neurons_and_channels_are_found_one_by_one(make: object) -> None:
    units = np.geomspace(1, 1e-3, 8)
    net = make(np.ones(8))  # type: ignore[operator]
    op = net.connections[0].ops[0]
    whole = np.rint(op.weight * 60)
    own = reals(whole * units.reshape(-1, *(1 for _ in whole.shape[1:])))
    cells = replace(net.populations[0], v_th=reals(150 * (units if make is dense else units[:, None, None])))
    scaled = net.with_(
        populations=(replace(cells, gain=reals(1.0), a_m=reals(0.125)),),
        connections=(replace(net.connections[0], ops=(replace(op, weight=own),)),),
    )
    made = compile_graph(scaled)
    assert made.rounding is not None
    assert made.rounding.populations[0].grid == "exact grid"
    held, whole = (x.reshape(8, -1) for x in (made.program.synapses[0].kind.weights, whole))
    assert np.array_equal(held * whole.max(1, keepdims=True), whole * held.max(1, keepdims=True))


def test_a_grid_holds_all_weights_of_all_neurons() -> None:
    """More neurons, and weights of each, than are looked at at first."""
    rng, units = np.random.default_rng(0), np.geomspace(1, 1e-3, 40)
    whole = 2.0 * rng.integers(-60, 61, (40, 80))
    whole[:, 0] = 254
    cells = population("a", (40,), a_m=0.125, v_th=300 * units)
    for off, expected in ((0.0, "exact grid"), (0.3, "")):
        whole[-1, -1] = 2 + off
        op = Linear(reals(whole * units[:, None]))
        made = compile_graph(network([cells], [Connection("fc", "x", "a", (op,))], [NetworkInput("x", (80,))]))
        assert made.rounding is not None
        assert made.rounding.populations[0].grid == expected
        kind = made.program.synapses[0].kind
        assert np.array_equal(kind.weights, whole) == (not off)


def test_real_numbers_are_on_no_grid() -> None:
    for make in (dense, convolution):
        made = compile_graph(make(np.ones(8)))
        assert made.rounding is not None
        assert made.rounding.populations[0].grid == ""


# ------------------------------------------------------------------------------------------------ lost weights


def test_the_worst_neuron_is_told() -> None:
    weight = np.random.default_rng(0).normal(size=(4, 30))
    weight[2] /= 12
    connection = Connection("fc", "x", "a", (Linear(reals(weight)),))
    made = compile_graph(
        network([population("a", (4,), v_th=None)], [connection], [NetworkInput("x", (30,))], readout_quantity="v")
    )
    assert made.rounding is not None
    row = made.rounding.populations[0].groups[0]
    kind, s = made.program.synapses[0], made.program.scales["a"]
    error = kind.kind.weights * 2.0**kind.exponent / s - weight
    errors = np.sqrt(np.sum(error**2, 1) / np.sum(weight**2, 1))
    assert (row.worst_neuron, row.worst_error) == (2, pytest.approx(errors[2]))
    assert f"(neuron 2 by {100 * errors[2]:.3g} %)" in str(made.rounding)


def test_a_neuron_that_loses_all_weights_is_warned_of() -> None:
    weight = np.random.default_rng(0).normal(size=(6, 8))
    weight[3] *= 1e-5
    made = compile_graph(readout_of(weight))
    told = "fc: all weights of neuron 3 became 0; they are too small beside its threshold, or beside the largest"
    assert any(w.startswith(told) for w in made.warnings), made.warnings


def test_a_group_that_loses_most_of_its_weights_is_warned_of() -> None:
    weight = np.geomspace(1, 1e-9, 48).reshape(6, 8)
    made = compile_graph(readout_of(weight))
    assert any("of 48 weights became 0, beside the largest" in w for w in made.warnings), made.warnings


def readout_of(weight: np.ndarray) -> Network:
    connection = Connection("fc", "x", "a", (Linear(reals(weight)),))
    cells = population("a", weight.shape[:1], v_th=None)
    inputs = [NetworkInput("x", (weight.shape[1],))]
    return network([cells], [connection], inputs, readout_quantity="v", n_steps=9)


@pytest.mark.parametrize("spiking", [True, False])
@pytest.mark.parametrize(
    ("outlier", "clipped"), [(30.0, ""), (1e4, "; 1 of them clipped to 64 times the largest other one")]
)
def test_one_outlier_does_not_take_the_others_weights(spiking: bool, outlier: float, clipped: str) -> None:
    weight = np.random.default_rng(0).normal(0.2, 0.3, (6, 8))
    weight[0, 5] = outlier
    net = readout_of(weight)
    if spiking:
        net = net.with_(populations=(population("a", (6,), a_m=0.2, v_th=1.0),), readout_quantity="count", n_steps=T)
    made = compile_graph(net)
    told = (
        f"fc: 1 weight up to {outlier:.4g} would cost the others most of their bits and stands in a synapse group of "
        f"its own, fc.large{clipped}"
    )
    assert made.warnings[0] == told
    rest = next(s for s in made.program.synapses if s.name == "fc").kind.weights
    assert np.count_nonzero(rest) >= 45, "of 47; what is near 0 may become 0"
    x = (np.random.default_rng(1).random((T, 8, 8)) < 0.3).astype(np.int64)
    if spiking:
        expected = run_network(net, x.astype(np.float64))["a"].spikes
        run = simulate(made.program, x, record=("spikes",))
        found = window(made.program, run, "a", run.spikes["a"])
        assert np.sum(found != expected) <= 0.02 * expected.sum(), "rounding and clipping moved 1.4 %"


def test_what_lies_on_a_grid_but_for_outliers_is_exact() -> None:
    weight = np.random.default_rng(5).integers(-8, 8, (6, 16)).astype(np.float64)
    weight[0, 0] = 1e4  # decides by itself, also clipped to 64 * 8
    net = readout_of(weight).with_(
        populations=(population("a", (6,), a_m=0.0, v_th=11.0),), readout_quantity="count", n_steps=T
    )
    made = compile_graph(net)
    assert [s.name for s in made.program.synapses] == ["fc", "fc.large"]
    assert made.rounding is not None
    assert "exact grid" in next(made.rounding.lines())
    x = (np.random.default_rng(1).random((T, 8, 16)) < 0.3).astype(np.int64)
    run = simulate(made.program, x, record=("spikes",))
    expected = run_network(net, x.astype(np.float64))["a"].spikes
    np.testing.assert_array_equal(window(made.program, run, "a", run.spikes["a"]), expected)


def test_units_between_which_no_scale_lies_are_refused() -> None:
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "fc": nir.Linear(np.full((1, 2), 1e-200)),
        "lif": nir.LIF(np.full(1, 5e-3), np.full(1, 5.0), np.zeros(1), np.ones(1), np.zeros(1)),
        "output": nir.Output({"output": np.array([1])}),
    }
    graph = nir.NIRGraph(nodes, [("input", "fc"), ("fc", "lif"), ("lif", "output")])
    options = CompileOptions(nir=NirOptions(discretisation=Discretisation(dt=1e-3), n_steps=4))
    with pytest.raises(
        InputError, match=r"fc: weights of [\d.]+e-\d+, possible is 1e-30 to 1e\+30; give the network usual units"
    ):
        compile_graph(graph, options=options)


@pytest.mark.parametrize("at_threshold", [False, True])
def test_a_threshold_between_two_whole_potentials_fires_as_the_network_does(at_threshold: bool) -> None:
    # weights are odd, so v takes every whole number; no neuron of these may fire a step early or late
    thresholds = np.array([10.0, 10.4, 10.6, 11.0])
    weight = np.random.default_rng(0).integers(-3, 8, (4, 12)) * 2 + 1
    cells = population("a", (4,), v_th=thresholds, fires_at_threshold=at_threshold)
    whole = network(
        [cells], [Connection("fc", "x", "a", (Linear(reals(weight)),))], [NetworkInput("x", (12,))], n_steps=T
    )
    compiled = compile_graph(whole, options=CompileOptions(scales={"a": 1.0}))
    x = np.random.default_rng(1).random((T, 8, 12)) < 0.3
    expected = run_network(whole, x.astype(np.float64))["a"].spikes
    run = simulate(compiled.program, x.astype(np.int64), record=("spikes",))
    assert np.array_equal(window(compiled.program, run, "a", run.spikes["a"]), expected != 0)
    held = compiled.program.population("a").neuron.v_th_mant
    assert held.tolist() == ([9, 10, 10, 10] if at_threshold else [10, 10, 10, 11])
