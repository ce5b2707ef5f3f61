"""Whole programs placed: worked cases, what binds, what is refused, objectives, chips."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.fit.place import OBJECTIVES, Placement, place, validate_placement
from seamount.compile.fit.place.placement import Assignment, limits
from seamount.compile.neurons.lif import Lif
from seamount.compile.neurons.relay import Relay
from seamount.compile.numbers import ints
from seamount.compile.program.program import Input, Population, Program, Readout
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Sparse, Synapses, Wire
from seamount.config import Placement as ConfiguredPlacement
from seamount.errors import ConfigError, DoesNotFit
from seamount.hardware_targets.target import load_target
from seamount.windows import Window

LIF = Lif(du=ints(4096), dv=ints(1024), v_th_mant=ints(64))
LOIHI1, LOIHI2 = load_target("loihi1"), load_target("loihi2")


def eight_bits(*shape: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return ints(2 * random.integers(1, 128, shape) * random.choice([-1, 1], shape))


def chain(*sizes: int) -> Program:
    """Dense layers; the first size is the input's."""
    names = ["in", *(f"p{n}" for n in range(1, len(sizes)))]
    return Program(
        "chain",
        (Input("in", sizes[:1]),),
        tuple(Population(name, (n,), LIF) for name, n in zip(names[1:], sizes[1:], strict=True)),
        tuple(
            Synapses(f"{a}>{b}", a, b, Dense(eight_bits(m, n)))
            for a, b, n, m in zip(names, names[1:], sizes, sizes[1:], strict=False)
        ),
        Readout(names[-1], "count"),
        4,
    )


def within_limits(placement: Placement) -> bool:
    return placement.fits and all(max(c.use.shares(LOIHI1.chip).values()) <= 1 for c in placement.cores)


def test_recurrent_neurons_pay_for_their_own_axons() -> None:
    # 1000 + 20 axons; a list of 112 takes 8 + ceil((52 x 8 + 10) / 64) = 15 words: 1020 x 15 = 15300 <= 16384;
    # 120 a tile would be the most (16 words: 16320), so 9 tiles; each neuron is sent to all 9
    program = Program(
        "recurrent",
        (Input("in", (20,)),),
        (Population("r", (1000,), LIF),),
        (
            Synapses("in>r", "in", "r", Dense(eight_bits(1000, 20))),
            Synapses("r>r", "r", "r", Dense(eight_bits(1000, 1000))),
        ),
    )
    placed = place(program, LOIHI1)
    assert within_limits(placed)
    assert placed.n_cores == 9
    first = placed.cores[0].use
    assert (first.input_axons, first.synapse_words, first.output_axons) == (1020, 15300, 112 * 9)
    assert (placed.layers[0].binding, round(placed.layers[0].binding_share, 3)) == ("synapse_words", 0.934)
    assert str(placed.layers[0]) == (
        "r: synapse words 93%, binding; fewer neurons in a tile, fewer weight bits, pruning"
    )


def test_fan_out_over_many_cores_splits_the_source() -> None:
    # 128 axons x 128 words is all memory: 16 entries of 60 = 960 neurons a core, 40000 / 960 -> 42 cores;
    # each of the 128 neurons is sent to 42 cores: 5376 output axons > 4096, so the source takes two
    program = chain(8, 128, 40000)
    placed = place(program, LOIHI1)
    assert within_limits(placed)
    tiles = {layer.population: layer.n_tiles for layer in placed.layers}
    assert tiles == {"p1": 2, "p2": 42}
    assert max(core.use.output_axons for core in placed.cores) == 64 * 42


def residual() -> Program:
    shape = (8, 6, 6)
    kind = Conv(eight_bits(8, 8, 3, 3), Window(padding=(1, 1)))
    return Program(
        "residual",
        (Input("in", (2, 6, 6)),),
        (
            Population("a", shape, LIF),
            Population("b", shape, LIF),
            Population("b.relay", shape, Relay()),
            Population("c", shape, LIF),
            Population("out", (5,), LIF),
        ),
        (
            Synapses("in>a", "in", "a", Conv(eight_bits(8, 2, 3, 3), Window(padding=(1, 1)))),
            Synapses("a>b", "a", "b", kind),
            Synapses("a>relay", "a", "b.relay", OneToOne(ints(1))),
            Synapses("b>c", "b", "c", kind),
            Synapses("relay>c", "b.relay", "c", OneToOne(ints(64))),
            Synapses("c>out", "c", "out", Dense(eight_bits(5, 288))),
        ),
        Readout("out", "count"),
        4,
    )


def test_a_residual_block_pays_for_its_relay() -> None:
    placed = place(residual(), LOIHI1)
    assert within_limits(placed)
    layers = {layer.population: layer for layer in placed.layers}
    assert layers["b.relay"].use.compartments == 288
    # into c: 36 pixels x 8 channels, or 36 shared, from b; and one axon for each of the 288 relays
    shared = 36 if layers["c"].axons["b>c"] == "population" else 288
    assert layers["c"].use.input_axons == shared + 288
    # a: one axon to the relay for every neuron, and its axons to b
    to_b = 2 * 36 if layers["b"].axons["a>b"] == "population" else 288
    assert layers["a"].use.output_axons == to_b + 288


def test_small_layers_share_a_core() -> None:
    placed = place(chain(50, 100, 50, 10), LOIHI1)
    assert placed.n_cores == 1
    assert [tile.population for tile in placed.cores[0].tiles] == ["p1", "p2", "p3"]
    assert placed.cores[0].use.compartments == 160


def pairs_of_cores() -> Program:
    """100 cores that each send to one of 100 others."""
    n = (100 * 1024,)
    return Program(
        "pairs",
        (Input("in", n),),
        (Population("p", n, LIF), Population("q", n, LIF)),
        (Synapses("in>p", "in", "p", OneToOne(ints(64))), Synapses("p>q", "p", "q", OneToOne(ints(64)))),
    )


def test_several_chips_and_the_axons_between_them() -> None:
    # in the order of the network chip 0 has all of p and 28 cores of q: 72 cores of p send to chip 1
    placed = place(pairs_of_cores(), LOIHI1)
    assert (placed.n_cores, placed.n_chips, placed.chip_crossings) == (200, 2, 72 * 1024)
    # partners side by side: nothing crosses
    closer = place(pairs_of_cores(), LOIHI1, objective="crossings")
    assert (closer.n_cores, closer.n_chips, closer.chip_crossings) == (200, 2, 0)


def test_the_load_objective_uses_the_free_cores_of_the_chip() -> None:
    program = chain(200, 300, 200, 10)
    inputs = (np.random.default_rng(0).random((4, 3, 200)) < 0.3).astype(int)
    activity = run_definition(program, inputs)
    few, spread = (place(program, LOIHI1, objective=o, activity=activity) for o in ("cores", "load"))
    assert few.n_cores < spread.n_cores <= 128
    assert within_limits(spread)
    assert max(c.load.sops for c in spread.cores if c.load) < max(c.load.sops for c in few.cores if c.load) / 4


def test_a_wider_beam_never_takes_more_cores() -> None:
    program = chain(300, 400, 300, 40)
    assert place(program, LOIHI1, beam=4).n_cores <= place(program, LOIHI1).n_cores


def test_a_neuron_with_too_many_inputs_is_refused_with_three_ways_out() -> None:
    with pytest.raises(DoesNotFit) as caught:
        place(chain(5000, 10), LOIHI1)
    assert str(caught.value) == (
        "p1: input axons 5000 for a single neuron, loihi1 holds 4096; fewer inputs to each neuron: smaller "
        "kernel, fewer input channels, pruning, or a convolution of stride 2 in front (average pooling is folded "
        "into the weights behind it and leaves as many); or population axons, if the target has them; "
        "or a target with more input axons a core"
    )
    assert place(chain(5000, 10), LOIHI2).n_cores == 1


def test_a_verdict_under_an_assumed_layout_says_so() -> None:
    placed = place(chain(50, 10), LOIHI2)
    assert placed.assumptions[0].startswith("loihi2 publishes no costs per core; assumed layout: netx tables")
    with pytest.raises(DoesNotFit, match=r"loihi2 holds 16000 \(assumed layout\)"):
        place(chain(16001, 2), LOIHI2)


def test_more_chips_than_allowed_is_refused() -> None:
    with pytest.raises(DoesNotFit) as caught:
        place(pairs_of_cores(), LOIHI1, max_chips=1)
    assert str(caught.value) == (
        "pairs: 200 cores on 2 chips, but the limit given is 1; q takes most (100 cores); fewer channels "
        "or a smaller map there; or fewer weight bits; or allow more chips or choose a larger target"
    )


def test_too_many_thresholds_in_a_core_are_cut_apart() -> None:
    # 40 distinct thresholds, 16 to a core: at least 3 cores, found by cutting
    lif = Lif(du=ints(4096), dv=ints(100), v_th_mant=ints(np.repeat(np.arange(40), 4) + 1))
    program = Program(
        "thresholds",
        (Input("in", (5,)),),
        (Population("p", (160,), lif),),
        (Synapses("s", "in", "p", Dense(eight_bits(160, 5))),),
    )
    placed = place(program, LOIHI1)
    assert placed.n_cores == 3
    assert max(core.use.threshold_configs for core in placed.cores) <= 16


def test_the_host_may_write_an_input_without_axons() -> None:
    program = Program(
        "wired", (Input("in", (5,)),), (Population("p", (5,), LIF),), (Synapses("s", "in", "p", Wire()),)
    )
    placed = place(program, LOIHI1)
    assert placed.cores[0].use.input_axons == 0
    assert placed.assumptions == ("s: the host writes the values of in into p, no axons counted",)


def test_loops_over_several_populations_are_judged_whole() -> None:
    # p and q feed each other: whichever is cut first does not know its follower; the validator does
    program = Program(
        "loop",
        (Input("in", (4,)),),
        (Population("p", (2000,), LIF), Population("q", (2000,), LIF)),
        (
            Synapses("in>p", "in", "p", Dense(eight_bits(2000, 4))),
            Synapses("p>q", "p", "q", Dense(eight_bits(2000, 2000))),
            Synapses("q>p", "q", "p", Dense(eight_bits(2000, 2000))),
        ),
    )
    assert within_limits(place(program, LOIHI1))


def test_random_sparse_layers_keep_all_limits() -> None:
    random = np.random.default_rng(3)
    mask = random.random((700, 900)) < 0.2
    rows, columns = np.nonzero(mask)
    kind = Sparse(eight_bits(len(rows)), ints(rows), ints(columns), 700, 900)
    program = Program(
        "sparse", (Input("in", (900,)),), (Population("p", (700,), LIF),), (Synapses("s", "in", "p", kind),)
    )
    placed = place(program, LOIHI1)
    assert within_limits(placed)
    assert sum(core.use.compartments for core in placed.cores) == 700


def test_loads_and_messages_add_up_to_the_run() -> None:
    program = residual()
    inputs = (np.random.default_rng(0).random((4, 5, 2, 6, 6)) < 0.4).astype(int)
    activity = run_definition(program, inputs)
    small = replace(LOIHI1.chip, compartments=100)

    class Small:
        chip = small

    placed = place(program, Small(), activity=activity)
    assert placed.n_cores > 10
    loads = [core.load for core in placed.cores if core.load is not None]
    total = sum(e.sops.sum() for e in activity.events.values()) / 5
    assert sum(load.sops for load in loads) == pytest.approx(total)
    assert sum(load.messages_out for load in loads) == pytest.approx(placed.messages)
    assert placed.messages == pytest.approx(sum(load.messages_in for load in loads))
    # every spike of c goes to the one core that has `out`
    c = activity.events["c"].n_spikes.sum() / 5
    assert placed.layer_messages is not None
    assert placed.layer_messages["c"] == pytest.approx(c)
    assert placed.hops_ew is not None
    assert placed.busiest_link is not None
    assert 0 < placed.busiest_link <= placed.messages


@pytest.mark.parametrize(
    ("mesh", "east_west", "north_south"), [((8, 4), 7, 3), ((8, 1 << 62), 7, 3), (((1 << 63) - 1, 1), 31, 0)]
)
def test_hops_by_hand(mesh: tuple[int, int], east_west: int, north_south: int) -> None:
    # p on core 0 (router 0,0), q on core 127 (router 7,3 or 31,0): so many hops for every spike of p
    program = chain(3, 2, 2)
    activity = run_definition(program, np.ones((4, 1, 3), dtype=int))
    spikes = float(activity.events["p1"].n_spikes.sum())
    assert spikes > 0
    whole = place(program, LOIHI1)
    first, second = whole.cores[0].tiles
    wired = replace(LOIHI1.chip, mesh=mesh)

    class Wired:
        chip = wired

    placed = validate_placement(
        program, [Assignment(0, 0, (first,)), Assignment(0, 127, (second,))], Wired(), activity=activity
    )
    assert (placed.hops_ew, placed.hops_ns) == (east_west * spikes, north_south * spikes)
    assert placed.busiest_link == spikes


def test_an_unknown_objective_is_named() -> None:
    with pytest.raises(ConfigError, match="objective 'speed' is not one of cores, load, crossings"):
        place(chain(2, 2), LOIHI1, objective="speed")  # type: ignore[arg-type]


def test_a_placement_is_plain_data_for_a_report() -> None:
    plain = place(chain(50, 10), LOIHI1).to_dict()
    assert (plain["n_cores"], plain["fits"], plain["target"]) == (1, True, "loihi1")
    assert set(plain["layers"][0]["share"]) == set(limits(LOIHI1.chip))


def test_a_single_neuron_without_a_shape_is_placed() -> None:
    program = Program(
        "scalar", (Input("in", ()),), (Population("p", (), LIF),), (Synapses("s", "in", "p", OneToOne(ints(64))),)
    )
    assert place(program, LOIHI1).cores[0].use.compartments == 1


def test_a_configuration_may_choose_every_objective() -> None:
    assert get_args(ConfiguredPlacement) == OBJECTIVES
