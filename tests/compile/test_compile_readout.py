"""How an answer is read: by a rule of the graph, or as it is asked for; the float network as its tool reads it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import nir
import numpy as np
import pytest

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.nir.read import NirOptions
from seamount.compile.options import compile_options
from seamount.compile.pipeline import Compiled, CompileOptions, compile_graph
from seamount.compile.program.program import Readout
from seamount.errors import InputError
from seamount.programs import rounded_answers

T = 12


def lif(*shape: int) -> nir.LIF:
    one = np.ones(shape)
    return nir.LIF(tau=5e-3 * one, r=5 * one, v_leak=0 * one, v_threshold=one, v_reset=0 * one)


def graph(**tail: Any) -> nir.NIRGraph:
    """4 inputs, 6 neurons, then ``tail``, which ends in the Output "output"."""
    random = np.random.default_rng(0)
    nodes = {"input": nir.Input(np.array([4])), "fc": nir.Linear(random.normal(0.4, 0.5, (6, 4))), "lif": lif(6)}
    nodes |= {**tail, "output": nir.Output(np.array([3]))}
    keys = list(nodes)
    return nir.NIRGraph(nodes, list(pairwise(keys)), type_check=False)


def head() -> dict[str, nir.Affine]:
    weight = np.random.default_rng(1).normal(0, 0.6, (3, 6))
    return {"head": nir.Affine(weight, np.array([0.05, 0.0, -0.05]))}


def li() -> dict[str, Any]:
    one = np.ones(3)
    return {"to_li": nir.Linear(np.eye(3, 6)), "li": nir.LI(tau=5e-3 * one, r=one, v_leak=0 * one)}


def options(readout: str | None = None) -> CompileOptions:
    return compile_options(settings=["dt=1e-3"], n_steps=T, readout=readout)


def compiled(tail: dict[str, Any], readout: str | None = None) -> Compiled:
    return compile_graph(graph(**tail), None, options(readout))


def inputs(n: int = 40) -> np.ndarray:
    return (np.random.default_rng(2).random((T, n, 4)) < 0.5).astype(np.int8)


FLAT = {"flat": nir.Flatten({"input": np.array([6])}, 0, -1)}


@pytest.mark.parametrize(
    ("tail", "readout", "populations"),
    [
        ({}, Readout("lif", "count"), ["lif"]),
        (FLAT, Readout("lif", "count"), ["lif"]),
        ({"scale": nir.Scale(np.full(6, 2.0)), **FLAT}, Readout("lif", "count"), ["lif"]),
        # what is weighed by class can change the answer: it is a head
        ({"scale": nir.Scale(np.array([1.0, 2, 1, 1, 1, 1]))}, Readout("output", "v"), ["lif", "output"]),
        ({"scale": nir.Scale(np.full(6, -1.0))}, Readout("output", "v"), ["lif", "output"]),
        (head(), Readout("output", "v"), ["lif", "output"]),
        (li(), Readout("li", "v"), ["lif", "li"]),
        ({**li(), **FLAT}, Readout("li", "v"), ["lif", "li"]),
    ],
)
def test_the_default_follows_what_the_graph_ends_in(
    tail: dict[str, Any], readout: Readout, populations: list[str]
) -> None:
    program = compiled(tail).program
    assert program.readout == readout
    assert [p.name for p in program.populations] == populations


@pytest.mark.parametrize(
    ("tail", "note"),
    [
        (FLAT, "readout = count of lif: the graph ends in neurons that fire"),
        (head(), "readout = sum over time of output: the graph ends in a head without neurons"),
        (li(), "readout = last v of li: the graph ends in integrators"),
    ],
)
def test_what_nobody_chose_stands_with_the_assumptions(tail: dict[str, Any], note: str) -> None:
    assert note in compiled(tail).assumptions


def test_an_integrator_as_fast_as_a_step_is_still_one() -> None:
    one = np.ones(3)
    tail = {"to_li": nir.Linear(np.eye(3, 6)), "li": nir.LI(tau=1e-3 * one, r=one, v_leak=0 * one)}
    assert "readout = last v of li: the graph ends in integrators" in compiled(tail).assumptions


def test_a_head_is_summed_over_the_sample_with_its_bias() -> None:
    program = compiled(head()).program
    activity = run_definition(program, inputs())
    (weights,) = (s.kind.weights << s.exponent for s in program.synapses if s.target == "output")
    neuron = program.population("output").neuron
    bias = (neuron.bias_mant << neuron.bias_exp).reshape(-1)
    # the spikes of the T steps in which lif shows the sample
    spikes = activity.spikes["lif"][1 : 1 + T].astype(np.int64)
    assert bias.any()
    assert np.array_equal(activity.readout, 64 * (spikes.sum(0) @ weights.T) + T * bias)


@pytest.mark.parametrize(
    ("tail", "asked", "readout"),
    [
        (head(), "output:mean", Readout("output", "v")),  # an integrator's; the same classes as the sum
        (head(), "output:max", Readout("output", "max")),
        (head(), "output:last", Readout("output", "v")),
        (li(), "li:sum", Readout("li", "sum")),
        (li(), "li:mean", Readout("li", "mean")),
        (li(), "output:max", Readout("li", "max")),  # by the name of the Output
        (li(), "li:final", Readout("li", "v")),
        (li(), ":max", Readout("li", "max")),
        (li(), "lif", Readout("lif", "count")),
        (head(), "lif:sum", Readout("lif", "count")),
        (head(), "lif:mean", Readout("lif", "count")),
        (head(), "lif:final", Readout("lif", "v")),
    ],
)
def test_what_is_asked_for_is_read(tail: dict[str, Any], asked: str, readout: Readout) -> None:
    assert compiled(tail, asked).program.readout == readout


def test_the_last_step_of_a_head_is_not_its_sum() -> None:
    integrator, memoryless = (
        compiled(head(), f"output:{word}").program.population("output").neuron for word in ("sum", "last")
    )
    assert (integrator.dv.max(), memoryless.dv.min()) == (0, 4096)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("ghost", "network: readout 'ghost' is not there, possible are li, lif, output"),
        ("ghost:sum", "network: readout 'ghost' is not there, possible are li, lif, output"),
        ("li:best", "network: readout_quantity 'best', possible are count, sum, mean, max, last, final, v"),
        (
            "li:count",
            "li: never fires, so that there are no spikes to count, possible are sum, mean, max, last, final",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(asked: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        compiled(li(), asked)
    assert str(caught.value) == message


def two_outputs() -> nir.NIRGraph:
    nodes = {
        "input": nir.Input(np.array([4])),
        "fc": nir.Linear(np.eye(4)),
        "a": lif(4),
        "fc2": nir.Linear(np.eye(4)),
    }
    nodes |= {"b": lif(4), "out_a": nir.Output(np.array([4])), "out_b": nir.Output(np.array([4]))}
    edges = [("input", "fc"), ("fc", "a"), ("a", "fc2"), ("fc2", "b"), ("a", "out_a"), ("b", "out_b")]
    return nir.NIRGraph(nodes, edges, type_check=False)


def test_of_two_outputs_none_is_guessed() -> None:
    made = compile_graph(two_outputs(), None, options())
    assert made.program.readout is None
    assert "no readout, because the graph has several outputs (out_a, out_b)" in made.assumptions
    assert compile_graph(two_outputs(), None, options("out_b:count")).program.readout == Readout("b", "count")
    with pytest.raises(InputError) as caught:
        compile_graph(
            two_outputs(), None, CompileOptions(nir=NirOptions(**vars(options().nir) | {"readout": ":max"}))
        )
    assert str(caught.value) == (
        "network: readout 'max' of 2 outputs, possible are out_a, out_b; name one, as --readout out_a:max"
    )


def test_the_float_network_is_read_as_its_tool_does_so_that_a_wrong_readout_shows() -> None:
    x = inputs(200)
    source = compiled(head())
    found = rounded_answers(source, x, None)
    assert found is not None
    assert found.readout == found.float_readout == "sum of output"
    assert found.n_same == found.n_same_read_alike > 180

    wrong = rounded_answers(compiled(head(), "output:last"), x, np.zeros(200, int))
    assert wrong is not None
    assert wrong.n_same < 185 < 195 < wrong.n_same_read_alike
    assert wrong.float_accuracy != wrong.accuracy
    assert f"{wrong.n_same} of 200 answers are the float network's (sum of output), " in str(wrong)
