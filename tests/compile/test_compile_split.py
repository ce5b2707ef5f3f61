"""Split programs: the same integers, neuron by neuron, and every piece within a core."""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest

from seamount.compile.fit.chip import Chip
from seamount.compile.fit.place import place
from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import ints
from seamount.compile.passes.split_populations import Split, split_populations, written_out
from seamount.compile.program.program import Input, Population, Program, Readout
from seamount.compile.synapses.kinds import Conv, Dense, Sparse, Synapses, Wire
from seamount.compile.synapses.shape import target_shape
from seamount.errors import DoesNotFit, Unsupported
from seamount.hardware_targets.simulator import simulate
from seamount.hardware_targets.target import load_target
from seamount.windows import Window
from tests.simulator.random_programs import random_case

RECORD = ("spikes", "v", "u")
LIF = Lif(du=ints(4096), dv=ints(300), v_th_mant=ints(200))


@dataclass(frozen=True)
class Target:
    chip: Chip


LOIHI1 = load_target("loihi1")
SMALL = Target(
    replace(
        LOIHI1.chip,
        compartments=12,
        input_axons=200,
        output_axons=400,
        synapse_words=400,
        synapse_formats=64,
        compartment_configs=64,
        threshold_configs=64,
        max_chips=100,
    )
)


def require_same(program: Program, split: Split, inputs: dict[str, np.ndarray], n_steps: int) -> None:
    before = simulate(program, inputs, n_steps=n_steps, record=RECORD)
    after = simulate(split.program, inputs, n_steps=n_steps, record=RECORD)
    for trace, pieces in ((before.spikes, after.spikes), (before.v, after.v), (before.u, after.u)):
        for name, values in trace.items():
            assert np.array_equal(split.joined(name, pieces), values), name


def require_whole(split: Split, target: Target) -> None:
    for layer in place(split.program, target).layers:
        assert layer.n_tiles == 1, layer


def test_random_programs_split_into_the_same_integers() -> None:
    outcome: Counter[str] = Counter()
    kinds = set()
    for seed in range(50):
        program, inputs, n_steps = random_case(seed)
        program = program.with_(readout=None)
        try:
            split = split_populations(program, SMALL)
        except (Unsupported, DoesNotFit) as error:
            outcome[type(error).__name__] += 1
            continue
        if len(split.program.populations) == len(program.populations):
            continue
        outcome["split"] += 1
        kinds |= {type(s.kind).__name__ for s in program.synapses}
        require_same(program, split, inputs, n_steps)
        require_whole(split, SMALL)
    assert outcome["split"] > 15
    assert kinds >= {"Conv", "Dense", "Sparse", "OneToOne"}


def test_channels_are_cut_before_maps() -> None:
    # 4 channels of 3 x 4 neurons, 12 a core: 4 pieces, and every part of the convolutions is a convolution
    rng = np.random.default_rng(0)
    program = Program(
        "net",
        (Input("in", (2, 3, 4)),),
        (Population("a", (4, 3, 4), LIF), Population("b", (4, 3, 4), LIF)),
        (
            Synapses(
                "in-a",
                "in",
                "a",
                Conv(ints(2 * rng.integers(-60, 60, (4, 2, 3, 3))), Window(padding=(1, 1))),
                wrap_bits=24,
            ),
            Synapses(
                "a-b",
                "a",
                "b",
                Conv(ints(2 * rng.integers(-60, 60, (4, 4, 3, 3))), Window(padding=(1, 1))),
                wrap_bits=24,
            ),
        ),
    )
    split = split_populations(program, SMALL)
    assert [p.name for p in split.program.populations] == ["a.0", "a.1", "a.2", "a.3", "b.0", "b.1", "b.2", "b.3"]
    assert {type(s.kind) for s in split.program.synapses} == {Conv}
    assert [s.name for s in split.program.into("b.1")] == ["a-b.4", "a-b.5", "a-b.6", "a-b.7"]
    assert split.where("a", (2, 1, 3)) == ("a.2", (0, 1, 3))
    assert split.program.provenance["pieces of a"] == (
        "a.0 0:1 x 0:3 x 0:4; a.1 1:2 x 0:3 x 0:4; a.2 2:3 x 0:3 x 0:4; a.3 3:4 x 0:3 x 0:4"
    )
    x = rng.integers(0, 2, (9, 3, 2, 3, 4))
    require_same(program, split, {"in": x}, 12)
    require_whole(split, SMALL)


def test_a_layer_beyond_a_core_of_loihi1_is_split_in_two() -> None:
    # 512 x 256 weights of 8 bits take 17920 words with their headers, a core holds 16384
    rng = np.random.default_rng(0)
    weights = ints(2 * rng.integers(1, 128, (256, 512)) * rng.choice([-1, 1], (256, 512)))
    program = Program(
        "net",
        (Input("in", (512,)),),
        (Population("a", (256,), LIF), Population("out", (4,), LIF)),
        (Synapses("in-a", "in", "a", Dense(weights)), Synapses("a-out", "a", "out", Dense(weights[:4, :256]))),
        Readout("out", "count"),
        8,
    )
    split = split_populations(program, LOIHI1)
    assert {name: len(pieces) for name, pieces in split.pieces.items()} == {"a": 2, "out": 1}
    require_same(program, split, {"in": rng.integers(0, 2, (8, 4, 512))}, 10)
    run = [simulate(p, rng.integers(0, 2, (8, 4, 512)) * 0 + 1).readout for p in (program, split.program)]
    assert np.array_equal(run[0], run[1])


@pytest.mark.parametrize("seed", range(20))
def test_a_convolution_written_out_is_the_convolution(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = int(rng.choice([1, 2]))
    kind = Conv(
        ints(rng.integers(-9, 10, (4, 4 // groups, *(int(k) for k in rng.integers(1, 4, 2))))),
        Window(
            (int(rng.integers(1, 3)), int(rng.integers(1, 3))),
            (int(rng.integers(0, 3)), int(rng.integers(0, 3))),
            (1, int(rng.integers(1, 3))),
            groups,
        ),
    )
    shape = (4, 6, 7)
    made = target_shape(kind, shape, "conv")
    assert isinstance(made, tuple)
    program = Program("net", (Input("in", shape),), (Population("a", made, LIF),), (Synapses("s", "in", "a", kind),))
    out = written_out(kind, shape, made, "s")
    assert isinstance(out, Sparse)
    sparse = program.with_(synapses=(Synapses("s", "in", "a", out),))
    x = rng.integers(0, 2, (5, 2, *shape))
    one, other = (simulate(p, x, n_steps=6, record=("v",)).v["a"] for p in (program, sparse))
    assert np.array_equal(one, other)


def two_layers(exponent: int, weights: np.ndarray) -> Program:
    return Program(
        "net",
        (Input("in", (20,)),),
        (Population("a", (20,), LIF), Population("b", (4,), LIF)),
        (
            Synapses("in-a", "in", "a", Dense(ints(np.eye(20) * 100))),
            Synapses("a-b", "a", "b", Dense(ints(weights)), exponent),
        ),
    )


def test_a_sum_that_is_rounded_down_as_a_whole_is_refused() -> None:
    with pytest.raises(Unsupported) as caught:
        split_populations(two_layers(-2, np.full((4, 20), 6)), SMALL)
    assert str(caught.value) == (
        "a-b: a exceeds a core, but with exponent -2 its sum is rounded down as a whole; compile it with --split, "
        "which gives weights no exponent below 0, or with a larger scale"
    )


def test_a_delayed_matrix_whose_sums_leave_32_bits_is_not_cut() -> None:
    """Lava wraps the sums of a matrix without delays and the products of one with: a part of this one has none."""
    delay = ints(np.repeat([0, 1], 10)[:, None] * np.ones((1, 4), int))
    group = Synapses("in-a", "in", "a", Dense(ints(np.full((20, 4), 254))), -8, graded=True, delay=delay)
    program = Program("net", (Input("in", (4,), 8, True),), (Population("a", (20,), LIF),), (group,))
    x = np.random.default_rng(0).integers(-128, 128, (4, 2, 4))
    require_same(program, split_populations(program, SMALL), {"in": x}, 8)
    with pytest.raises(Unsupported) as caught:
        split_populations(program.with_(inputs=(Input("in", (4,), 24, True),)), SMALL)
    assert str(caught.value) == (
        "in-a: cut to fit a core, and with exponent -8 its sum may leave 32 bits where no part's does; "
        "choose a smaller scale"
    )


def test_a_sum_that_rounding_cannot_change_is_rewritten() -> None:
    program = two_layers(-2, np.full((4, 20), 40))
    split = split_populations(program, SMALL)
    assert {s.exponent for s in split.program.synapses} == {0}
    require_same(program, split, {"in": np.random.default_rng(0).integers(0, 2, (9, 2, 20))}, 11)


def test_a_readout_beyond_a_core_is_refused() -> None:
    program = two_layers(0, np.full((4, 20), 6)).with_(readout=Readout("a", "count"))
    with pytest.raises(Unsupported, match="a: the readout exceeds a core, and a program reads one population"):
        split_populations(program, SMALL)


def test_a_wire_between_different_cuts_is_refused() -> None:
    program = two_layers(0, np.full((4, 20), 6))
    wired = program.with_(synapses=(Synapses("wire", "in", "a", Wire()), program.synapses[1]))
    with pytest.raises(
        Unsupported, match="wire: in and a are connected within a step and exceed a core in different"
    ):
        split_populations(wired, SMALL)
