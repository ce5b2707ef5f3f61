"""Compiled programs against the float64 interpreter: whole numbers, so every spike and potential must be equal."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from compile_networks import network, population, random_network, random_spikes

from seamount.compile.network.interpret import run_network
from seamount.compile.network.network import (
    Connection,
    Convolution,
    Delay,
    Linear,
    Network,
    NetworkInput,
    Scale,
    reals,
)
from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import ints
from seamount.compile.pipeline import PASS_NAMES, Compiled, CompileOptions, compile_graph
from seamount.compile.program.program import Program, Reset
from seamount.errors import ConfigError, InputError, Unsupported
from seamount.hardware_targets.simulator import simulate
from seamount.windows import Window

ONE = Linear(reals(np.eye(2)))


def compiled(net: Network, scale: float = 2.0, n_steps: int | None = None) -> Compiled:
    """With exact scales: weights must be whole numbers on the grid."""
    return compile_graph(net.with_(scales={p.name: scale for p in net.populations}, n_steps=n_steps))


def require_same(made: Compiled, x: np.ndarray, n_fill: int = 0) -> None:
    """Program and network on x; the program sees the sample once (and again after ``n_fill`` steps, if streamed)."""
    net, program = made.network, made.program
    assert net is not None
    assert made.schedule is not None
    expected = run_network(net, x)
    n_steps = len(x)
    latest = max(made.schedule.arrival.values())
    run = simulate(program, x.astype(np.int64), n_steps=n_steps + latest, record=("spikes", "v"))
    for p in net.populations:
        window = slice(made.schedule.arrival[p.name], made.schedule.arrival[p.name] + n_steps)
        assert np.array_equal(run.spikes[p.name][window], expected[p.name].spikes), p.name
        scale = program.scales[p.name] * 64
        assert np.array_equal(run.v[p.name][window], (expected[p.name].v - p.v_reset) * scale), p.name


@pytest.mark.parametrize("seed", range(30))
def test_a_program_is_its_network_delayed_by_the_pipeline(seed: int) -> None:
    net = random_network(seed)
    try:
        made = compiled(net, n_steps=8)
    except InputError as error:  # composed kernels may leave the grid
        if "8-bit grid" not in str(error):
            raise
        return
    assert {name: step for name, step in made.program.arrivals().items() if name != "x"} == {
        name: step
        for name, step in made.schedule.arrival.items()
        if name != "x"  # type: ignore[union-attr]
    }
    require_same(made, random_spikes(seed, net, 8))


@pytest.mark.parametrize("seed", range(10))
def test_samples_that_follow_each_other_do_not_see_each_other(seed: int) -> None:
    net = random_network(seed, skips=True)
    try:
        made = compiled(net, n_steps=8)
    except InputError:
        return
    assert made.schedule is not None
    x = random_spikes(seed, net, 8, 4).astype(np.int64)
    stream = x.transpose(1, 0, *range(2, x.ndim)).reshape(32, 1, *x.shape[2:])
    latest = max(made.schedule.arrival.values())
    run = simulate(made.program, stream, n_steps=32 + latest, record=("spikes",))
    expected = run_network(net, x.astype(np.float64))
    recurrent = {c.target for c in net.connections if c.previous}
    for name, trace in expected.items():
        if recurrent:
            break  # a recurrent spike of the last step still arrives after the reset: samples need a gap
        window = slice(made.schedule.arrival[name], made.schedule.arrival[name] + 32)
        flat = run.spikes[name][window, 0].reshape(4, 8, *trace.spikes.shape[2:])
        assert np.array_equal(flat.swapaxes(0, 1), trace.spikes), name


def test_a_single_run_without_samples_solves_the_start_backwards() -> None:
    populations = [population("a", (2,), bias=1.0), population("b", (2,), bias=2.0, v_init=3.0)]
    connections = [Connection("xa", "x", "a", (ONE,)), Connection("ab", "a", "b", (ONE,))]
    net = network(populations, connections, [NetworkInput("x", (2,))])
    made = compiled(net)
    neuron = made.program.population("b").neuron
    assert isinstance(neuron, Lif)
    assert np.unique(neuron.v_init).tolist() == [64 * 2 * (3 - 2 * 2)]
    require_same(made, random_spikes(0, net, 12))


def test_a_bias_behind_a_current_is_exact_in_real_arithmetic() -> None:
    # a_s 1/4, a_m 1/8, scale so large that rounding towards zero stays far below the threshold's distance
    p = population(
        "a", (3,), a_s=0.25, a_m=0.125, gain=0.5, bias=[0.5, -0.25, 1.0], v_leak=0.25, v_reset=-0.5, v_th=1.0
    )
    net = network([p], [Connection("xa", "x", "a", (Linear(reals([[1], [2], [-1]])),))], [NetworkInput("x", (1,))])
    made = compile_graph(net, None, CompileOptions(scales={"a": 2048.0}))
    x = random_spikes(5, net, 40)
    expected = run_network(net, x)["a"]
    run = simulate(made.program, x.astype(np.int64), n_steps=41, record=("spikes", "v"))
    assert np.array_equal(run.spikes["a"][1:], expected.spikes)
    assert np.abs(run.v["a"][1:] / (64 * 2048) + -0.5 - expected.v).max() < 1e-4
    assert expected.spikes.sum() > 20


def test_the_state_before_the_fill_decays_to_the_state_at_rest() -> None:
    lif = Lif(
        du=ints(1000), dv=ints(400), v_th_mant=ints(5000), bias_mant=ints([100, -7, 0]), u_init=ints([9, -50, 3])
    )
    solved = lif.solved_back("p", 3)
    u, v = solved.u_init, solved.v_init

    from seamount.compile.numbers import decay

    for _ in range(3):
        u = decay(u, lif.du)
        v = decay(v, lif.dv) + u + lif.bias
    assert u.tolist() == [9, -50, 3]
    assert v.tolist() == [0, 0, 0]


def test_a_bias_that_would_fire_during_the_fill_comes_from_a_clock() -> None:
    populations = [
        population("a", (2,)),
        population("b", (2,), bias=[-7.0, 3.0], v_init=5.0),
        population("c", (2,), bias=9.0),  # begins low enough not to fire before it may
    ]
    pairs = (("x", "a"), ("a", "b"), ("b", "c"), ("a", "c"))
    net = network(populations, [Connection(s + t, s, t, (ONE,)) for s, t in pairs], [NetworkInput("x", (2,))])
    made = compiled(net)
    assert [p.name for p in made.program.populations] == ["a", "b.clock", "b", "c"]
    assert "b: a neuron that fires at every step brings its bias, which would act while the pipeline fills" in (
        made.assumptions
    )
    require_same(made, random_spikes(0, net, 12))


def test_a_bias_far_below_zero_is_held_down_and_cleared_where_spikes_are_remembered() -> None:
    populations = [
        population("a", (2,)),
        population("b", (2,), bias=[-90.0, 9.0]),  # 90 above its rest it would fire at once
        population("c", (2,)),
    ]
    pairs = (("x", "a"), ("a", "b"), ("b", "c"), ("c", "c"))
    connections = [Connection(s + t, s, t, (ONE,), previous=s == t) for s, t in pairs]
    net = network(populations, connections, [NetworkInput("x", (2,))])
    made = compiled(net, n_steps=12)
    assert [p.name for p in made.program.populations] == ["a", "b", "c"]
    b = made.program.populations[1]
    assert b.reset == Reset(12, 3)
    assert b.neuron.v_init.tolist() == [0, -2 * 9 * 2 * 64]  # two steps of 9 at scale 2, of which v holds 64ths
    require_same(made, random_spikes(0, net, 12))


@pytest.mark.parametrize("n_steps", [None, 150])
@pytest.mark.parametrize(("steps", "n_relays"), [(70, 1), ([70, 140, 63, 99], 2), ([0, 70, 62, 131], 2)])
def test_delays_beyond_what_a_synapse_holds_go_through_relays(
    steps: int | list[int], n_relays: int, n_steps: int | None
) -> None:
    rng = np.random.default_rng(0)
    late = (Delay(np.array(steps)), Linear(reals(rng.integers(-2, 4, (3, 4)))))
    net = network(
        [population("a", (4,), v_th=1.0), population("b", (3,), v_th=2.0), population("c", (3,), v_th=4.0)],
        [
            Connection("xa", "x", "a", (Linear(reals(2 * np.eye(4))),)),
            Connection("ab", "a", "b", late),
            Connection("bc", "b", "c", (Linear(reals(rng.integers(-2, 5, (3, 3)))),)),
        ],
        [NetworkInput("x", (4,))],
    )
    made = compiled(net, n_steps=n_steps)
    assert sum(p.name.startswith("ab.relay") for p in made.program.populations) == n_relays
    require_same(made, random_spikes(0, net, 150))


def test_pixels_that_wait_differently_are_convolved_exactly() -> None:
    rng = np.random.default_rng(0)
    wait = Delay(rng.integers(0, 70, (2, 4, 3)))
    kernel = Convolution(reals(rng.integers(-2, 4, (2, 2, 3, 3))), Window((2, 1), (1, 1)))
    net = network(
        [population("a", (2, 2, 3), v_th=5.0)],
        [Connection("xa", "x", "a", (wait, kernel))],
        [NetworkInput("x", (2, 4, 3))],
    )
    made = compiled(net, n_steps=100)
    assert {type(s.kind).__name__ for s in made.program.synapses} <= {"Sparse", "Dense", "OneToOne"}
    require_same(made, random_spikes(0, net, 100))


def test_a_start_that_falls_from_above_the_threshold_is_refused() -> None:
    populations = [population("a", (2,)), population("b", (2,), a_m=0.5, v_leak=-20.0, v_init=5.0)]
    connections = [Connection("xa", "x", "a", (ONE,)), Connection("ab", "a", "b", (ONE,))]
    with pytest.raises(Unsupported) as caught:
        compiled(network(populations, connections, [NetworkInput("x", (2,))]), n_steps=8)
    assert str(caught.value) == (
        "b: it fires while the pipeline fills, before the first input is there; let it begin where it stays without "
        "input: --set init=leak, --set init=reset, or v_leak = v_reset"
    )


def test_what_is_advised_to_a_population_that_fires_without_input_works() -> None:
    """A threshold below 0 has no other start; raised, with a bias as large in front of it, it means the same."""

    def made(v_th: float, bias: float) -> Network:
        a = population("a", (2,), a_m=1.0, v_th=v_th, v_reset=-9.0, bias=bias)
        b = population("b", (2,), v_th=1.5)
        signs = Linear(reals([[-1, 0], [0, 1]]))
        connections = [Connection("xa", "x", "a", (signs,)), Connection("ab", "a", "b", (ONE,))]
        return network([a, b], connections, [NetworkInput("x", (2,))])

    with pytest.raises(Unsupported) as caught:
        compiled(made(-0.5, 0.0), n_steps=8)
    assert str(caught.value) == (
        "a: it fires while the pipeline fills, before the first input is there; without input it is above its "
        "threshold: raise the threshold, and put a bias as large in front of it"
    )
    x = random_spikes(0, made(-0.5, 0.0), 8)
    advised = compiled(made(1.5, 2.0), n_steps=8)
    require_same(advised, x)
    expected = np.stack([x[..., 0] == 0, np.ones_like(x[..., 1], bool)], -1)  # -x > -0.5, x > -0.5
    assert np.array_equal(run_network(made(1.5, 2.0), x)["a"].spikes, expected)


def test_given_scales_that_do_not_fit_are_refused() -> None:
    net = network(
        [population("a", (2,))],
        [Connection("xa", "x", "a", (Linear(reals(np.eye(2) * 0.3)),))],
        [NetworkInput("x", (2,))],
    )
    with pytest.raises(InputError) as caught:
        compiled(net, 2.0)
    assert str(caught.value).startswith("xa: with the given scale the weights lie between 0 and 0.6, up to 0.4 off")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"v_init": [0.25, 0.3]}, "v_init: 38.4"),
        ({"v_reset": -0.3, "v_th": 3.7}, "v_init: 38.4"),
        ({"v_init": 4000.003}, "v_init: 512000.384"),
        ({"a_s": 0.5, "u_init": 0.3}, "u_init: 38.4"),
        # 128 * (-2 / 64) / (1 - 0.125): what lets the first of these biases come a step late
        ({"a_m": 0.125, "bias": 0.03125, "late_bias": 0.03125}, "v_init: -4.57142857"),
    ],
)
def test_first_states_off_the_grid_of_a_given_scale_are_refused(changes: dict[str, Any], told: str) -> None:
    """They were rounded: 38.4 of v's units became 38, and no one was told."""
    cells = replace(population("a", (2,)), **{key: reals(value) for key, value in changes.items()})
    net = network([cells], [Connection("xa", "x", "a", (ONE,))], [NetworkInput("x", (2,))])
    with pytest.raises(InputError) as caught:
        compiled(net)
    assert str(caught.value) == (
        f"a: {told} with the given scale, needed is a whole number; give it another with --set scale.a=NUMBER, as "
        "where input_scale is changed"
    )


def test_a_potential_cannot_be_sent() -> None:
    populations = [population("a", (2,), v_th=None), population("b", (2,))]
    connections = [Connection("xa", "x", "a", (ONE,)), Connection("ab", "a", "b", (ONE,))]
    with pytest.raises(Unsupported) as caught:
        compiled(network(populations, connections, [NetworkInput("x", (2,))]))
    assert str(caught.value) == (
        "ab: a emits its potential, not spikes, and b needs it; a chip of spikes cannot send it; put a spiking "
        "population between them, or make it the readout"
    )


@pytest.mark.parametrize(("reset", "multi"), [("subtract", False), ("value", True)])
def test_rules_the_chip_lacks_are_refused(reset: str, multi: bool) -> None:
    net = network(
        [population("a", (2,), reset=reset, multi_spike=multi)],
        [Connection("xa", "x", "a", (ONE,))],
        [NetworkInput("x", (2,))],
    )
    with pytest.raises(Unsupported, match="a: "):
        compiled(net)


def test_at_the_threshold_is_exact_where_v_moves_in_whole_steps() -> None:
    net = network(
        [population("a", (2,), fires_at_threshold=True, v_th=3.0)],
        [Connection("xa", "x", "a", (ONE,))],
        [NetworkInput("x", (2,))],
    )
    made = compiled(net)
    assert made.warnings == ()
    require_same(made, np.ones((10, 1, 2)))


def test_a_delay_longer_than_a_synapse_holds_goes_over_relays() -> None:
    populations = [population(f"p{i}", (2,), v_th=1.0) for i in range(70)]
    connections = [
        Connection(f"c{i}", "x" if i == 0 else f"p{i - 1}", f"p{i}", (Scale(reals(2.0)),)) for i in range(70)
    ]
    skip = Connection("skip", "p0", "p69", (ONE,))
    net = network(populations, [*connections, skip], [NetworkInput("x", (2,))])
    made = compiled(net, n_steps=10)
    assert [p.name for p in made.program.populations if p.name not in {q.name for q in populations}] == [
        "skip.relay1"
    ]
    require_same(made, random_spikes(1, net, 10))


def test_the_readout_cannot_saturate_by_default() -> None:
    rng = np.random.default_rng(0)
    populations = [population("a", (64,), v_th=1.0), population("out", (4,), v_th=None)]
    connections = [
        Connection("xa", "x", "a", (Linear(reals(rng.normal(size=(64, 8)))),)),
        Connection("ao", "a", "out", (Linear(reals(rng.normal(size=(4, 64)))),)),
    ]
    net = network(populations, connections, [NetworkInput("x", (8,))], n_steps=50, readout_quantity="v")
    made = compile_graph(net)
    assert made.warnings == ()
    assert next(r for r in made.ranges.layers if r.name == "out").v.proven


def test_print_after_hands_over_the_state_of_every_step() -> None:
    told: list[str] = []
    net = random_network(2)
    for name in PASS_NAMES:
        compile_graph(net, None, CompileOptions(print_after=name, printer=told.append))
    assert [text.split("\n")[0] for text in told] == [f"after {name}:" for name in PASS_NAMES]
    shown = {name: text.split("\n")[1].split()[0] for name, text in zip(PASS_NAMES, told, strict=True)}
    assert shown == {
        **dict.fromkeys(PASS_NAMES[: PASS_NAMES.index("known_scales")], "network"),
        "known_scales": "scale",
        "split_outliers": "network",
        "balance_latency": "arrival",
        "choose_scales": "scale",
        "quantise": "program",
        "align_startup": "program",
        "range_analysis": shown["range_analysis"],
    }


def test_print_after_shows_a_network_that_needs_clocks_once_and_a_refused_one_as_well() -> None:
    told: list[str] = []
    options = CompileOptions(print_after="clock_biases", printer=told.append)
    net = network(
        [population("a", (2,)), population("b", (2,), bias=[-7.0, 3.0], v_init=5.0)],
        [Connection(s + t, s, t, (ONE,)) for s, t in (("x", "a"), ("a", "b"))],
        [NetworkInput("x", (2,))],
    )
    compile_graph(net, None, options)
    assert len(told) == 1
    assert "b.clock" in told[0]
    with pytest.raises(ConfigError):
        compile_graph(net, None, replace(options, scales={"nobody": 1.0}))
    assert len(told) == 2


@pytest.mark.parametrize(("scale", "found"), [(-5.0, "-5"), (0.0, "0"), (math.nan, "nan"), (math.inf, "inf")])
def test_a_scale_that_turns_signs_or_keeps_nothing_is_refused(scale: float, found: str) -> None:
    net = network([population("a", (2,), v_th=1e-6)], [Connection("xa", "x", "a", (ONE,))], [NetworkInput("x", (2,))])
    with pytest.raises(ConfigError) as refused:
        compile_graph(net, None, CompileOptions(scales={"a": scale}))
    assert str(refused.value) == f"scales: found a = {found}, needed are numbers above 0"


def test_print_after_an_unknown_step_names_those_there_are() -> None:
    with pytest.raises(ConfigError) as refused:
        compile_graph(random_network(2), None, CompileOptions(print_after="fold"))
    assert str(refused.value) == f"print_after: no pass 'fold', possible are {', '.join(PASS_NAMES)}"


def test_compiling_twice_gives_the_same_program() -> None:
    net = random_network(11)
    a, b = compile_graph(net).program, compile_graph(net).program
    assert str(a) == str(b)
    assert isinstance(a, Program)
