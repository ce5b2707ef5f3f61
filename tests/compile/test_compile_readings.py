"""What exporters write besides the network: axes of batch and time, placeholders, limits of their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import nir
import numpy as np
import pytest

from seamount.compile.nir.presets import Discretisation
from seamount.compile.nir.read import NirOptions, read_nir
from seamount.compile.options import compile_options
from seamount.errors import InputError

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

    graph = SimpleNamespace(nodes={"a": Module(), "b": "text"}, edges=[("a", "b")])
    told = refused(graph)  # type: ignore[arg-type]
    assert "graph: a: a Module of" in told
    assert "graph: b: a str of builtins, not a node of NIR; export the network to NIR first" in told
