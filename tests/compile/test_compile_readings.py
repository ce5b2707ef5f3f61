"""What exporters write besides the network: axes of batch and time, placeholders, limits of their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import nir
import numpy as np
import pytest

from seamount.compile.network.interpret import run_network
from seamount.compile.neurons.lif import Lif
from seamount.compile.nir.file import from_graph
from seamount.compile.nir.presets import Discretisation
from seamount.compile.nir.read import NirOptions, read_nir
from seamount.compile.nir.timestep import dt_candidates
from seamount.compile.options import compile_options
from seamount.compile.pipeline import compile_graph
from seamount.errors import InputError
from seamount.hardware_targets.simulator import simulate

PER_STEP = NirOptions(discretisation=Discretisation(dt=1.0))


def lif(*shape: int) -> nir.LIF:
    return nir.LIF(
        tau=np.full(shape, 5.0),
        r=np.ones(shape),
        v_leak=np.zeros(shape),
        v_threshold=np.ones(shape),
        v_reset=np.zeros(shape),
    )


def conv(input_shape: Any = None) -> nir.Conv2d:
    return nir.Conv2d(input_shape, np.full((3, 2, 3, 3), 0.1), (1, 1), (1, 1), (1, 1), 1, np.zeros(3))


def valid_conv(n_out: int) -> nir.Conv2d:
    return nir.Conv2d(None, np.full((n_out, 2, 3, 3), 0.1), (1, 1), (0, 0), (1, 1), 1, np.zeros(n_out))


def chain(**nodes: Any) -> nir.NIRGraph:
    names = list(nodes)
    return nir.NIRGraph(nodes, list(pairwise(names)), type_check=False)


def vectors(shape: tuple[int, ...], neurons: nir.NIRNode) -> nir.NIRGraph:
    return chain(
        input=nir.Input(np.array(shape)),
        fc=nir.Linear(np.full((6, 50), 0.1)),
        lif=neurons,
        output=nir.Output(np.array([6])),
    )


def refused(graph: nir.NIRGraph, options: NirOptions = PER_STEP) -> str:
    with pytest.raises(InputError) as error:
        read_nir(graph, options)
    return str(error.value)


# ---------------------------------------------------------------------------------------- axes of batch and time


@pytest.mark.parametrize("shape", [(8, 50), (20, 1, 50), (1, 8, 50)])
def test_axes_of_batch_and_time_are_no_neurons(shape: tuple[int, ...]) -> None:
    told = refused(vectors(shape, lif(6)))
    assert f"input: shape {shape}, but fc takes (50,); NIR's shapes have no axes of batch and time" in told
    assert told.endswith("--set input_shape=50")


@pytest.mark.parametrize("shape", [(1, 50), (1, 1, 50)])
def test_axes_of_length_one_are_dropped_and_told(shape: tuple[int, ...]) -> None:
    network = read_nir(vectors(shape, lif(6)), PER_STEP)
    assert network.inputs[0].shape == (50,)
    assert network.population("lif").shape == (6,)
    assert any(note.startswith(f"input: shape {shape} read as (50,)") for note in network.assumptions)


def test_neurons_behind_a_flatten_have_the_shape_of_their_parameters() -> None:
    # a Flatten that says no shape lets nothing be seen at the Input
    graph = chain(input=nir.Input(np.array([8, 50])), lif=lif(50), output=nir.Output(np.array([50])))
    assert "input: shape (8, 50), but lif takes (50,)" in refused(graph)
    nodes = dict(vectors((8, 50), lif(6)).nodes)
    flat = nir.Flatten(start_dim=1, end_dim=-1, input_type={"input": np.array([])})
    told = refused(chain(input=nodes["input"], flat=flat, fc=nodes["fc"], lif=lif(6), output=nodes["output"]))
    assert "lif: parameters of shape (6,), but (8, 6) arrives (from input (8, 50))" in told


@pytest.mark.parametrize("told", [(2, 4, 4), (1, 2, 4, 4), (8, 2, 4, 4), (5, 8, 2, 4, 4)])
def test_a_flatten_that_counts_axes_of_batch_and_time_flattens_the_sample(told: tuple[int, ...]) -> None:
    flat = nir.Flatten({"input": np.array(told)}, start_dim=len(told) - 3, end_dim=-1)
    parts = {"input": nir.Input(np.array([2, 4, 4])), "flat": flat, "fc": nir.Linear(np.ones((6, 32)))}
    network = read_nir(chain(**parts, lif=lif(6), output=nir.Output(np.array([6]))), PER_STEP)
    assert network.population("lif").shape == (6,)
    noted = any(
        note.startswith("flat: the axes that it counts in front of (2, 4, 4)") for note in network.assumptions
    )
    assert noted == (len(told) > 3)


def test_a_map_with_a_batch_axis_names_the_convolution() -> None:
    graph = chain(input=nir.Input(np.array([4, 2, 8, 8])), c=conv(), lif=lif(3, 8, 8), output=nir.Output(None))
    assert "input: shape (4, 2, 8, 8), but c takes 3 axes" in refused(graph)
    assert "--set input_shape=2x8x8" in refused(graph)


def test_a_map_without_channels_says_how_to_add_them() -> None:
    pool = nir.SumPool2d(np.array([3, 3]), np.array([1, 1]), np.array([0, 0]))
    graph = chain(input=nir.Input(np.array([5, 5])), pool=pool, output=nir.Output(None))
    told = refused(graph)
    assert told == (
        "network: input: shape (5, 5), but pool takes 3 axes; "
        "where an axis of length 1 was left out, --set input_shape=1x5x5"
    )
    assert read_nir(graph, NirOptions(input_shape=(1, 5, 5))).population("output").shape == (1, 3, 3)


@pytest.mark.parametrize("neurons", [lif(6), lif(8, 6)])
def test_the_shape_that_the_user_says_wins(neurons: nir.NIRNode) -> None:
    shape = (50,) if neurons.tau.shape == (6,) else (8, 50)
    options = compile_options(settings=["dt=1", f"input_shape={'x'.join(map(str, shape))}"]).nir
    network = read_nir(vectors((8, 50), neurons), options)
    assert network.inputs[0].shape == shape
    assert network.population("lif").shape == neurons.tau.shape


def test_shapes_of_several_inputs_are_named() -> None:
    nodes = {
        "a": nir.Input(np.array([3, 4])),
        "b": nir.Input(np.array([2])),
        "wa": nir.Linear(np.ones((5, 4))),
        "wb": nir.Linear(np.ones((5, 2))),
        "lif": lif(5),
        "out": nir.Output(np.array([5])),
    }
    graph = nir.NIRGraph(
        nodes, [("a", "wa"), ("wa", "lif"), ("b", "wb"), ("wb", "lif"), ("lif", "out")], type_check=False
    )
    assert "--set input_shape.a=4" in refused(graph)
    network = read_nir(graph, compile_options(settings=["dt=1", "input_shape.a=4"]).nir)
    assert [i.shape for i in network.inputs] == [(4,), (2,)]
    with pytest.raises(InputError, match="the graph has 2 inputs"):
        read_nir(graph, compile_options(settings=["dt=1", "input_shape=4"]).nir)
    with pytest.raises(InputError, match="c is no input, possible are a, b"):
        read_nir(graph, compile_options(settings=["dt=1", "input_shape.c=4"]).nir)


# --------------------------------------------------------------------------------------------------- placeholders


@pytest.mark.parametrize("placeholder", [None, 0, [], [0, 0]])
def test_a_placeholder_is_no_shape(tmp_path: Path, placeholder: Any) -> None:
    path = tmp_path / "c.nir"
    graph = chain(
        input=nir.Input(np.array([2, 8, 8])), c=conv((8, 8)), lif=lif(3, 8, 8), output=nir.Output(np.array([3, 8, 8]))
    )
    nir.write(path, graph)
    with h5py.File(path, "a") as file:
        node = file["node/nodes/c"]
        del node["input_shape"]
        if placeholder is not None:
            node["input_shape"] = placeholder
    assert read_nir(path, PER_STEP).population("lif").shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("shape", "behind", "sample"),
    [
        (None, {"fc": nir.Linear(np.ones((3, 7))), "lif": lif(3)}, (7,)),
        (np.array([]), {"lif": lif(4)}, (4,)),
        (np.array([0]), {"c": conv((8, 6)), "lif": lif(3, 8, 6)}, (2, 8, 6)),
    ],
)
def test_an_input_without_a_shape_takes_what_stands_behind_it(
    shape: Any, behind: Mapping[str, Any], sample: tuple[int, ...]
) -> None:
    # as norse's exporter writes it since 2026
    network = read_nir(chain(input=nir.Input({"input": shape}), **behind, output=nir.Output(None)), PER_STEP)
    assert network.inputs[0].shape == sample
    assert any("input: no shape in the file" in note for note in network.assumptions)


def test_an_input_that_nothing_says_the_shape_of_is_refused() -> None:
    graph = chain(input=nir.Input({"input": None}), c=conv(), output=nir.Output(None))
    assert "no shape in the file, and nothing behind it says one" in refused(graph)
    assert read_nir(graph, NirOptions(input_shape=(2, 5, 5))).inputs[0].shape == (2, 5, 5)


def test_shapes_written_as_floats_are_read() -> None:
    graph = chain(input=nir.Input(np.array([2.0])), fc=nir.Linear(np.ones((1, 2))), output=nir.Output(np.array([1])))
    assert read_nir(graph).inputs[0].shape == (2,)


def test_modules_in_place_of_nodes_are_named() -> None:
    class Module:
        pass

    graph = SimpleNamespace(nodes={"a": Module(), "b": "text", "li": None}, edges=[("a", "b")])
    told = refused(graph)  # type: ignore[arg-type]
    assert "graph: a: a Module of" in told
    assert "graph: b: a str of builtins, not a node of NIR; export the network to NIR first" in told
    assert "graph: li: None: the exporter has no node for this module; read the torch module itself" in told


def test_a_file_whose_writing_broke_off_says_at_which_node(tmp_path: Path) -> None:
    graph = chain(input=nir.Input(np.array([2])), fc=nir.Linear(np.ones((1, 2))), output=nir.Output(np.array([1])))
    nir.write(tmp_path / "half.nir", graph)
    with h5py.File(tmp_path / "half.nir", "r+") as file:  # as nir 1.0.8 leaves it, which writes a node's type last
        for later in ("node/type", "node/nodes/fc/type", "node/nodes/output"):
            del file[later]
    with pytest.raises(InputError) as error:
        read_nir(tmp_path / "half.nir")
    told = (
        f"{tmp_path / 'half.nir'}: node/type is missing: writing it broke off at node fc; write it again and look at "
    )
    assert str(error.value).startswith(f"{told}what nir.write raises")


# ------------------------------------------------------------------------------ limits of a tool's parametrisation


def snntorch_leaky(beta: list[float], dtype: type = np.float32) -> nir.LIF:
    """As snnTorch 1.0.0 writes Leaky: tau = dt / (1 - beta), r = tau / dt, dt = 1e-4, in float32."""
    betas = np.array(beta, dtype=dtype)
    with np.errstate(divide="ignore"):
        tau = 1e-4 / (1 - betas)
    zero = 0 * betas
    return nir.LIF(tau=tau, r=tau / 1e-4, v_leak=zero, v_threshold=zero + dtype(1.0), v_reset=zero)


def snntorch_net(cell: nir.NIRNode, n: int) -> nir.NIRGraph:
    weight = np.linspace(-0.5, 1.2, 3 * n).reshape(n, 3).astype(np.float32)
    return chain(input=nir.Input(np.array([3])), fc=nir.Linear(weight), lif=cell, output=nir.Output(np.array([n])))


def leaky_run(x: np.ndarray[Any, Any], weight: Any, beta: list[float], alpha: list[float]) -> np.ndarray[Any, Any]:
    """snnTorch's Synaptic with reset "zero" and reset_delay False; alpha 0 is Leaky."""
    u = v = np.zeros((x.shape[1], len(beta)))
    spikes = []
    for arriving in x:
        u = np.array(alpha) * u + arriving @ np.asarray(weight, dtype=np.float64).T
        v = np.array(beta) * v + u
        spikes.append(v > 1.0)
        v = np.where(spikes[-1], 0.0, v)
    return np.array(spikes)


BETAS = [0.0, 0.5, 1.0, 0.875]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_betas_of_zero_and_one_mean_what_snntorch_means(dtype: type) -> None:
    graph = snntorch_net(snntorch_leaky(BETAS, dtype), 4)
    options = compile_options(written_by="snntorch", settings=["reset=value"]).nir
    network = read_nir(graph, options)
    cell = network.population("lif")
    np.testing.assert_allclose(cell.a_m, [1.0, 0.5, 0.0, 0.125], rtol=1e-6)
    assert cell.a_m[[0, 2]].tolist() == [1, 0]
    np.testing.assert_allclose(cell.gain, 1.0, rtol=1e-6)
    x = np.random.default_rng(0).integers(0, 2, (40, 20, 3)).astype(np.float64)
    expected = leaky_run(x, graph.nodes["fc"].weight, BETAS, [0.0] * 4)
    np.testing.assert_array_equal(run_network(network, x)["lif"].spikes, expected)


def test_alphas_of_zero_and_one_mean_what_snntorch_means() -> None:
    alphas, betas = [0.0, 1.0, 0.0, 0.75], [0.0, 0.5, 1.0, 1.0]
    leak, current = snntorch_leaky(betas), snntorch_leaky(alphas)
    cell = nir.CubaLIF(
        tau_syn=current.tau,
        tau_mem=leak.tau,
        r=leak.r,
        w_in=current.r,
        v_leak=leak.v_leak,
        v_threshold=leak.v_threshold,
        v_reset=leak.v_reset,
    )
    graph = snntorch_net(cell, 4)
    compiled = compile_graph(
        graph, None, compile_options(written_by="snntorch", settings=["reset=value"], n_steps=12)
    )
    x = np.random.default_rng(1).integers(0, 2, (12, 20, 3))
    expected = leaky_run(x.astype(np.float64), graph.nodes["fc"].weight, betas, alphas)
    assert compiled.source is not None
    np.testing.assert_array_equal(run_network(compiled.source, x.astype(np.float64))["lif"].spikes, expected)
    lif = compiled.program.population("lif").neuron
    assert isinstance(lif, Lif)
    assert lif.du.tolist() == [4096, 0, 4096, 1024]
    assert lif.dv.tolist() == [4096, 2048, 0, 0]


def test_no_leak_is_named_where_no_tool_is() -> None:
    way = "an infinite time constant is no leak (beta = 1) in some tools' files: say --from with the tool"
    assert refused(snntorch_net(snntorch_leaky([0.5, 1.0]), 2), PER_STEP) == (
        f"network: lif: r holds NaN or infinite values; {way}\nnetwork: lif: tau holds NaN or infinite values; {way}"
    )


@pytest.mark.parametrize(("preset", "gain"), [("spyx", 1.0), ("norse-head", 0.0), ("sinabs", 0.0)])
def test_an_infinite_time_constant_means_what_its_tool_means(preset: str, gain: float) -> None:
    # spyx adds what arrives as it is; norse and sinabs (norm_input) weigh it by the step over the time constant
    cell = lif(2)
    cell.tau = np.array([5.0, np.inf])
    graph = chain(input=nir.Input(np.array([2])), lif=cell, output=nir.Output(np.array([2])))
    population = read_nir(graph, NirOptions(preset, Discretisation(dt=1.0))).population("lif")
    assert population.a_m[1] == 0
    assert np.broadcast_to(population.gain, 2)[1] == gain


@pytest.mark.parametrize("dt", [1e-3, 1e-4, 0.1, 1 / 3, 1e-5])
@pytest.mark.parametrize("stored", [np.float32, np.float64])
def test_a_time_constant_of_one_step_keeps_nothing(dt: float, stored: type) -> None:
    cell = lif(2)
    cell.tau = np.full(2, dt, np.float32).astype(stored)
    graph = chain(input=nir.Input(np.array([2])), lif=cell, output=nir.Output(np.array([2])))
    population = read_nir(graph, NirOptions(discretisation=Discretisation(dt=dt))).population("lif")
    assert population.a_m == 1
    cell.tau = np.full(2, dt * (1 - 1e-6))
    assert "less than the time step" in refused(graph, NirOptions(discretisation=Discretisation(dt=dt)))


def test_a_file_with_some_neurons_that_keep_nothing_shows_its_time_step() -> None:
    graph = snntorch_net(snntorch_leaky([0.0, 0.5, 1.0]), 3)
    raw = from_graph(graph)
    assert dt_candidates(raw, "lava") == {"tau / r": 1e-4}


# ---------------------------------------------------------------------------------------------------------- delays


@pytest.mark.parametrize("bias", [0.0, 0.75])
def test_a_bias_behind_a_delay_acts_from_the_first_step_on(bias: float) -> None:
    graph = chain(
        input=nir.Input(np.array([3])),
        wait=nir.Delay(np.full(3, 3.0)),
        fc=nir.Affine(np.array([[2.0, 0, 1], [0, 2, 1], [1, 1, 1]]), np.full(3, bias)),
        cell=nir.IF(r=np.ones(3), v_threshold=np.full(3, 4.0), v_reset=np.zeros(3)),
        output=nir.Output(np.array([3])),
    )
    compiled = compile_graph(graph, None, compile_options(settings=["dt=1"]))
    assert compiled.source is not None
    assert compiled.schedule is not None
    x = np.random.default_rng(0).integers(0, 2, (12, 5, 3))
    expected = run_network(compiled.source, x.astype(np.float64))["cell"].spikes
    start = compiled.schedule.arrival["cell"]
    got = simulate(compiled.program, x, n_steps=start + 12, record=("spikes",)).spikes["cell"]
    np.testing.assert_array_equal(got[start:], expected)
    assert expected.any()


@pytest.mark.parametrize("wrong", [1.5, -1.0])
def test_a_delay_of_no_whole_steps_is_named_among_others(wrong: float) -> None:
    graph = chain(
        input=nir.Input(np.array([3])),
        wait=nir.Delay(np.array([2.0, wrong, 0.0])),
        cell=lif(3),
        output=nir.Output(np.array([3])),
    )
    with pytest.raises(InputError) as caught:
        compile_graph(graph, None, compile_options(settings=["dt=1"]))
    assert str(caught.value) == (
        f"network: wait: delays of {min(wrong, 0.0):g} to 2 time steps, one of them of {wrong:g}, possible are whole "
        "numbers from 0"
    )


@pytest.mark.parametrize("groups", ["", np.inf, 1.5])
def test_groups_that_are_no_number_are_named(groups: object, tmp_path: Path) -> None:
    path = tmp_path / "conv.nir"
    nir.write(path, chain(input=nir.Input(np.array([2, 8, 8])), conv=conv((8, 8)), lif=lif(3, 8, 8)))
    with h5py.File(path, "r+") as file:
        del file["node/nodes/conv/groups"]
        file["node/nodes/conv/groups"] = groups
    with pytest.raises(InputError, match=r"conv.*groups"):
        read_nir(path, PER_STEP)


# --------------------------------------------------------------------------------------------- one number a channel


@pytest.mark.parametrize("settings", [PER_STEP, replace(PER_STEP, input_shape=(2, 6, 6))])
def test_one_number_a_channel_is_never_taken_along_the_width(settings: NirOptions) -> None:
    neurons = lif(4)
    neurons.tau = np.array([2.0, 3.0, 4.0, 5.0])
    maps, output = nir.Input(np.array([2, 6, 6])), nir.Output(np.array([4, 4, 4]))
    graph = chain(input=maps, conv=valid_conv(4), lif=neurons, output=output)
    told = refused(graph, settings)
    assert "lif: tau of shape (4,) on (4, 4, 4); one number a channel is written (4, 1, 1)" in told
    neurons.tau = neurons.tau.reshape(4, 1, 1)
    cell = read_nir(graph, settings).population("lif")
    assert np.allclose(np.broadcast_to(cell.a_m, cell.shape)[:, 1, 2], [1 / 2, 1 / 3, 1 / 4, 1 / 5])


def test_numbers_of_sixteen_bits_are_compared_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    neurons = lif(6)
    neurons.tau = neurons.tau.astype(np.float16)
    read_nir(vectors((50,), neurons), PER_STEP)
    assert not recwarn.list
