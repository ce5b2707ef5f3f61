"""What Lava cannot hold exactly is refused before a process is started, and how the rest is laid out."""

from __future__ import annotations

import numpy as np
import pytest
from lava_programs import conv_net, lif, random_inputs, random_program, residual_net

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.neurons.lif import Lif
from seamount.compile.neurons.models import Neuron
from seamount.compile.neurons.relay import Relay
from seamount.compile.neurons.ternary_lif import TernaryLif
from seamount.compile.numbers import ints, weight_grid
from seamount.compile.program.program import Input, Population, Program, Reset
from seamount.compile.program.streaming import why_not_streamed
from seamount.compile.synapses.kinds import Conv, Dense, Kind, OneToOne, Sparse, Synapses, Wire
from seamount.compile.synapses.matrix import unrolled
from seamount.errors import Unsupported
from seamount.hardware_targets.agreement import compare_runs, sample_windows
from seamount.hardware_targets.lava.graph import Edge
from seamount.hardware_targets.lava.lower import lava_graph
from seamount.hardware_targets.lava.synapses import sign_mode


def one_layer(
    neuron: Neuron, kind: Kind, *, reset: Reset | None = None, bits: int = 0, **settings: object
) -> Program:
    synapses = Synapses("weights", "in", "hidden", kind, **settings)  # type: ignore[arg-type]
    return Program("p", (Input("in", (3,), bits),), (Population("hidden", (3,), neuron, reset),), (synapses,))


IDENTITY = Dense(ints(np.eye(3) * 2))
TERNARY = TernaryLif(ints(0), ints(0), ints(5), ints(-5))


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (
            one_layer(Lif(ints(0), ints(0), ints(5), v_floor=ints(-7)), IDENTITY),
            "hidden: v never falls below -7, Lava's LIF has no floor of v; leave v_floor out, or run the program on "
            "the simulator alone",
        ),
        (
            one_layer(Lif(ints(0), ints(0), ints(5), refractory_steps=2), IDENTITY),
            "hidden: rests 2 steps after a spike, Lava's fixed-point LIF has no refractory period; set it to 0, "
            "or run the program on the simulator alone",
        ),
        (
            one_layer(TERNARY, IDENTITY, reset=Reset(5, 1)),
            "hidden: Lava's TernaryLIF has no reset; run one sample at a time without",
        ),
        (
            one_layer(TernaryLif(ints(0), ints(0), ints([4, 5, 6]), ints(-5)), IDENTITY),
            "hidden: thresholds 4 to 6, Lava's TernaryLIF takes one for all neurons; split the population",
        ),
        (
            one_layer(lif(5), Dense(ints([[1, -1, 3]] * 3))),
            "weights: weights -1 to 3 are not on the 8-bit grid, which holds 0 to 255, -255 to 0, or even numbers "
            "from -256 to 254; quantise the program for a Loihi target",
        ),
        (
            one_layer(lif(5), Dense(ints(np.full((3, 3), 250))), graded=True, bits=16, wrap_bits=24),
            "weights: wraps to 24 bits and its sums can reach 49151250, Lava's Dense wraps to 32; "
            "lower the weights or the exponent",
        ),
        (
            Program(
                "p",
                (Input("in", (3,)),),
                (Population("r", (3,), Relay()), Population("hidden", (3,), lif(5))),
                (
                    Synapses("a", "in", "r", Wire()),
                    Synapses("b", "r", "hidden", Wire()),
                    Synapses("c", "in", "hidden", Wire()),
                ),
            ),
            "hidden: hears in twice in the same step, through different wires, Lava connects two ports once; "
            "double the weights instead",
        ),
    ],
)
def test_refused(program: Program, message: str) -> None:
    with pytest.raises(Unsupported) as error:
        lava_graph(program)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("weights", "mode"),
    [
        ([0, 255], "EXCITATORY"),
        ([0, 0], "EXCITATORY"),
        ([-255, 0], "INHIBITORY"),
        ([-256, 0], "MIXED"),  # an inhibitory matrix cannot hold -256
        ([-256, 254], "MIXED"),
    ],
)
def test_the_sign_mode_leaves_the_weights_as_they_are(weights: list[int], mode: str) -> None:
    assert sign_mode(ints(weights), "w") == mode
    assert weight_grid(weights, mode).tolist() == weights


def test_a_convolution_as_a_matrix_gives_the_same_sums() -> None:
    program = conv_net()
    image, c1 = program.inputs[0].shape, program.shape("c1")
    synapses = program.synapses[0]
    assert isinstance(synapses.kind, Conv)
    matrix = Synapses("m", "image", "c1", unrolled(synapses.kind, image, c1, zeros=True), 0, True)
    inputs = random_inputs(program, 1)
    a = run_definition(program, inputs)
    b = run_definition(program.with_(synapses=(matrix, *program.synapses[1:])), inputs)
    assert compare_runs(program, ("a", a), ("b", b), whole=True).n_differing == 0


def test_a_map_keeps_its_layout_along_convolutions_and_changes_it_once_before_the_matrix() -> None:
    graph = lava_graph(conv_net())
    assert [node.type for node in graph.nodes.values()] == [
        "Source", "LIFReset", "LIFReset", "LIFReset", "Conv", "Conv", "Dense",
    ]  # fmt: skip
    assert graph.nodes["synapses/image-c1"].arrays["weight"].shape == (4, 3, 3, 2)  # (out, w, h, in)
    assert graph.nodes["synapses/image-c1"].settings["input_shape"] == (7, 8, 2)  # (W, H, C)
    assert graph.nodes["population/c1"].arrays["bias_mant"].shape == (7, 8, 4)
    changes = {(edge.source, edge.target): edge.changes for edge in graph.edges}
    assert changes["population/c1", "synapses/c1-c2"] == ()
    assert changes["population/c2", "synapses/c2-out"] == ("reverse", "flatten")


def test_a_delayed_convolution_listens_to_a_delay_line() -> None:
    graph = lava_graph(residual_net())
    assert graph.nodes["delay/a2/1"].type == "Sparse"
    assert Edge("delay/a2/1", "synapses/b.skip", ((4, 16, 16), "reverse")) in graph.edges


def test_every_edge_of_random_programs_joins_ports_of_one_size() -> None:
    for seed in range(60):
        graph = lava_graph(random_program(seed))
        assert all(edge.source in graph.nodes and edge.target in graph.nodes for edge in graph.edges)


def test_one_to_one_weights_become_a_diagonal() -> None:
    graph = lava_graph(one_layer(lif(5), OneToOne(ints([1, 2, 3])), exponent=-1))
    node = graph.nodes["synapses/weights"]
    assert (node.type, node.arrays["weights"].tolist(), node.arrays["rows"].tolist()) == (
        "Sparse",
        [1, 2, 3],
        [0, 1, 2],
    )
    assert isinstance(Sparse(ints([1]), ints([0]), ints([0]), 1, 1), Sparse)


# ------------------------------------------------------------------------------------------------ streaming


def test_the_window_of_a_population_starts_when_its_input_arrives() -> None:
    assert sample_windows(conv_net(6), 9) == {"c1": (1, 6), "c2": (2, 6), "out": (3, 6)}
    assert sample_windows(conv_net(6), 5) == {"c1": (1, 4), "c2": (2, 3), "out": (3, 2)}


def test_programs_that_leak_from_one_sample_into_the_next_are_not_streamed() -> None:
    program = conv_net()
    c1, c2, out = program.populations
    assert why_not_streamed(program) is None
    assert why_not_streamed(residual_net()) is None
    reasons = {
        "the program names no number of steps": program.with_(n_steps=None),
        "not all populations are reset, with one interval": program.with_(
            populations=(c1, c2, Population("out", (10,), out.neuron))
        ),
        "the reset interval 6 is shorter than a sample of 7 steps": program.with_(n_steps=7),
        "out feed back into themselves, and feedback is never reset": program.with_(
            synapses=(*program.synapses, Synapses("r", "out", "out", Dense(ints(np.eye(10)))))
        ),
        "skip brings spikes at another step than the longest path into out": program.with_(
            synapses=(*program.synapses, Synapses("skip", "c1", "out", Dense(ints(np.ones((10, 224))))))
        ),
    }
    for reason, leaking in reasons.items():
        assert why_not_streamed(leaking) == reason
