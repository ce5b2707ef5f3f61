"""A reset by subtraction, emulated: the same spikes as the network that has it, in floats, integers and on Lava."""

from typing import Any

import numpy as np
import pytest

from seamount.compile.network.interpret import run_network
from seamount.compile.network.network import Connection, Linear, Network, NetworkInput, reals
from seamount.compile.neurons.lif import Lif
from seamount.compile.passes.emulate_soft_reset import emulate_soft_reset
from seamount.compile.pipeline import CompileOptions, compile_graph
from seamount.compile.synapses.kinds import Dense
from seamount.errors import Unsupported
from seamount.hardware_targets.simulator import simulate
from tests.compile.compile_networks import network, population, random_network, random_spikes
from tests.compile.soft_networks import exact_program, program_differs, random_soft_network

ONE = Linear(reals(np.eye(2)))
EMULATE = CompileOptions(soft_reset="emulate")


def distance(net: Network, x: np.ndarray) -> float:
    """How near the potential of any neuron comes to its threshold."""
    found = [np.inf]
    for name, trace in run_network(net, x).items():
        p = net.population(name)
        if p.v_th is not None:
            reached = trace.v + trace.spikes * p.v_th if p.reset == "subtract" else trace.v
            at = reached if p.reset != "value" else np.where(trace.spikes > 0, np.inf, reached)
            found.append(float(np.abs(at - p.v_th).min(initial=np.inf)))
    return min(found)


def differing(net: Network, x: np.ndarray) -> tuple[int, int]:
    """(spikes that differ in the rewritten network, spikes that there are)."""
    old, new = run_network(net, x), run_network(emulate_soft_reset(net), x)
    return (
        sum(int(np.sum(old[p.name].spikes != new[p.name].spikes)) for p in net.populations),
        sum(int(old[p.name].spikes.sum()) for p in net.populations),
    )


def test_rewritten_networks_of_dyadic_numbers_spike_alike() -> None:
    # 12 steps of rates in 1/8 take 36 bits behind the point: float64 is exact, ties with the threshold included
    spikes = 0
    for seed in range(60):
        net = random_soft_network(seed, (0.0, 0.125, 0.25, 0.5, 0.75, 1.0))
        n_differing, n_spikes = differing(net, random_spikes(seed, net, 12))
        assert n_differing == 0, seed
        spikes += n_spikes
    assert spikes > 30_000


def test_rewritten_networks_of_any_numbers_spike_alike_unless_tied() -> None:
    spikes = tied = 0
    for seed in range(60):
        net = random_soft_network(seed, (0.0, 0.1, 0.3, 0.7), uneven=True)
        x = random_spikes(seed, net, 30)
        if distance(net, x) < 1e-9:
            tied += 1
            continue
        n_differing, n_spikes = differing(net, x)
        assert n_differing == 0, seed
        spikes += n_spikes
    assert tied < 30
    assert spikes > 30_000


def test_synaptic_currents_become_delayed_synapses() -> None:
    # no more steps than copies: nothing is dropped, and what is left after k steps is a dyadic number
    spikes = copies = 0
    for seed in range(30):
        net = random_soft_network(seed, (0.0, 0.25, 0.5, 1.0), currents=(0.25, 0.5, 1.0)).with_(n_steps=10)
        n_differing, n_spikes = differing(net, random_spikes(seed, net, 10))
        assert n_differing == 0, seed
        spikes += n_spikes
        copies += len(emulate_soft_reset(net).connections) - len(net.connections)
    assert spikes > 10_000
    assert copies > 500


def test_a_dropped_tail_is_smaller_than_a_rate_of_decay_can_tell() -> None:
    net = random_soft_network(2, (0.1,), currents=(0.5,), uneven=True)
    x = random_spikes(2, net, 60)
    old, new = run_network(net, x), run_network(emulate_soft_reset(net), x)
    first = next(c.target for c in net.connections if net.population(c.target).reset != "value")
    assert {c.ops[0].steps.item() for c in emulate_soft_reset(net).into(first) if ".after" in c.name} == set(
        range(1, 12)
    )
    spikes = sum(t.spikes.sum() for t in old.values())
    assert spikes > 1000
    assert sum(int(np.sum(old[n].spikes != new[n].spikes)) for n in old) < 0.01 * spikes


def test_a_hand_worked_soft_reset() -> None:
    # a_m = 1/2, threshold 2, drive 3 at every step: m = 3 fires, 1 -> 3.5 fires, 1.5 -> 3.75 fires, ...
    net = one_population(a_m=0.5, v_th=2.0, reset="subtract")
    trace = run_network(emulate_soft_reset(net), np.full((3, 1, 2), 3.0))["a"]
    assert trace.u[:, 0, 0].tolist() == [3, 3.5, 3.75]
    assert trace.spikes[:, 0, 0].tolist() == [1, 1, 1]
    # subtracted a step late, behind the decay: 3 fires, 1.5 + 3 - 2 = 2.5 fires, 1.25 + 3 - 2 = 2.25 fires
    late = one_population(a_m=0.5, v_th=2.0, reset="subtract-next-step")
    assert run_network(emulate_soft_reset(late), np.full((3, 1, 2), 3.0))["a"].u[:, 0, 0].tolist() == [3, 2.5, 2.25]


def one_population(n_steps: int | None = None, scales: dict[str, float] | None = None, **changes: Any) -> Network:
    extra = {"n_steps": n_steps, "scales": scales or {}}
    given = {"reset": "subtract"} | changes
    return network(
        [population("a", (2,), **given)], [Connection("xa", "x", "a", (ONE,))], [NetworkInput("x", (2,))], **extra
    )


# ----------------------------------------------------------------------------------------------- integers


def test_programs_on_grid_numbers_spike_as_the_soft_reset_does() -> None:
    spikes = compiled = 0
    for seed in range(60):
        found = exact_program(seed)
        if found is None:
            continue
        made, net = found
        wrong, n_spikes = program_differs(made, net, random_spikes(seed, net, 8))
        assert wrong == 0, seed
        spikes, compiled = spikes + n_spikes, compiled + 1
    assert compiled > 20
    assert spikes > 10_000


def test_programs_with_currents_on_grid_numbers_spike_as_the_soft_reset_does() -> None:
    spikes = compiled = 0
    for seed in range(100, 130):
        found = exact_program(seed, 4, (0.5,), 128.0)
        if found is None:
            continue
        made, net = found
        wrong, n_spikes = program_differs(made, net, random_spikes(seed, net, 4))
        assert wrong == 0, seed
        spikes, compiled = spikes + n_spikes, compiled + 1
    assert compiled > 5
    assert spikes > 500


def test_a_program_stays_within_the_truncation_of_its_float() -> None:
    # rates on the chip's grid but not dyadic to eight steps: u loses less than 1 a step, so less than 1 / a in all.
    # (1 - a) v_th is whole for a threshold mantissa of 4096, so the inhibition is exact, in two groups of 8 bits.
    rng = np.random.default_rng(0)
    n_steps, scale = 400, 1024.0
    a = rng.integers(40, 4000, 64) / 4096
    p = population("a", (64,), a_m=a, v_th=4.0, reset="subtract")
    weight = np.diag(rng.integers(1, 5, 64)) / 4
    net = network(
        [p], [Connection("xa", "x", "a", (Linear(reals(weight)),))], [NetworkInput("x", (64,))], scales={"a": scale}
    )
    made = compile_graph(net, options=EMULATE)
    assert [s.exponent for s in made.program.out_of("a")] == [4, 0]
    (never,) = made.warnings  # what a neuron takes back itself cannot wrap u
    assert never.startswith(f"a: {np.sum(np.diag(weight) / a <= 4)} of 64 neurons can never fire")
    x = rng.integers(0, 2, (n_steps, 1, 64)) * rng.integers(0, 2, (n_steps, 1, 1))
    expected = run_network(emulate_soft_reset(net), x.astype(float))["a"]
    run = simulate(made.program, x, n_steps=n_steps + 1, record=("spikes", "u"))
    alike = np.cumprod(run.spikes["a"][1:] == expected.spikes, axis=0).astype(bool)
    error = np.abs(run.u["a"][1:] - 64 * scale * expected.u)
    assert np.all((error < 1 / a)[alike])
    assert alike.mean() > 0.5


# ------------------------------------------------------------------------------------ options and refusals


def test_a_soft_reset_is_refused_by_default_and_the_message_names_the_option() -> None:
    with pytest.raises(Unsupported) as caught:
        compile_graph(one_population())
    assert str(caught.value) == (
        "a: reset 'subtract', the chip resets to one value; say --soft-reset emulate to have it emulated by a "
        "synapse from each neuron to itself, or --set reset=value if the file's tool meant that"
    )


def test_a_late_reset_to_a_value_is_refused_either_way() -> None:
    with pytest.raises(Unsupported, match="a: reset 'value-next-step', the chip resets to one value; train with"):
        compile_graph(one_population(reset="value-next-step"), options=EMULATE)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"a_s": 0.05},
            "a: reset 'subtract' with a synaptic current that keeps 0.95 a step; the membrane takes u, and delays of "
            "up to 62 steps cannot stand for so slow a current; train with a faster one or a reset to v_reset; or "
            "say --set reset=value if the tool meant that",
        ),
        (
            {"multi_spike": True},
            "a: several spikes in one step, the chip sends one; train with single spikes, or say --set "
            "multi_spike=off to compile it as if it had been",
        ),
        (
            {"gain": 0.0},
            "a: reset 'subtract' with thresholds down to 8 and gains down to 0, needed is above 0 to emulate it",
        ),
    ],
)
def test_what_cannot_be_emulated_says_why(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(Unsupported) as caught:
        compile_graph(one_population(**changes), options=EMULATE)
    assert str(caught.value) == told


def test_the_potential_of_an_emulated_population_is_no_readout() -> None:
    net = one_population().with_(readout_quantity="v")
    with pytest.raises(Unsupported, match="a: its v is the readout, and a soft reset is emulated with another v"):
        compile_graph(net, options=EMULATE)


def test_networks_without_a_soft_reset_are_left_alone() -> None:
    net = random_network(3)
    assert emulate_soft_reset(net) is net


def test_an_integrator_takes_its_bias_from_a_clock() -> None:
    net = one_population(8, bias=[1.0, 3.0], scales={"a": 16.0, "a.clock": 16.0})
    made = compile_graph(emulate_soft_reset(net))
    assert [p.name for p in made.program.populations] == ["a.clock", "a"]
    x = np.random.default_rng(0).integers(0, 3, (8, 4, 2)).astype(float)
    assert program_differs(made, net, x.clip(0, 1))[0] == 0


def test_at_the_threshold_is_exact_where_an_integrator_counts_whole_steps() -> None:
    net = one_population(v_th=3.0, fires_at_threshold=True, scales={"a": 2.0})
    made = compile_graph(net, options=EMULATE)
    assert not any("fires at" in text for text in made.warnings)
    wrong, spikes = program_differs(made, net, np.ones((12, 1, 2)))
    assert (wrong, spikes) == (0, 8)


def test_the_scale_search_leaves_room_for_an_emulated_integrator() -> None:
    rng = np.random.default_rng(0)
    net = network(
        [population("a", (32,), reset="subtract", v_th=1.0)],
        [Connection("xa", "x", "a", (Linear(reals(rng.normal(size=(32, 16)) / 4)),))],
        [NetworkInput("x", (16,))],
        n_steps=50,
    )
    made = compile_graph(net, options=EMULATE)
    assert made.warnings == ()
    x = random_spikes(0, net, 50)
    run = simulate(made.program, x.astype(np.int64))
    assert run.events["a"].n_u_wraps == 0
    # the weights were rounded; the soft reset of what they were rounded to is emulated without a difference
    lif, synapses = made.program.population("a").neuron, made.program.synapses[0]
    assert isinstance(lif, Lif)
    assert isinstance(synapses.kind, Dense)
    assert synapses.exponent >= 0
    rounded = Linear(reals(synapses.kind.weights << synapses.exponent))
    whole = network(
        [population("a", (32,), reset="subtract", v_th=float(lif.v_th_mant))],
        [Connection("xa", "x", "a", (rounded,))],
        [NetworkInput("x", (16,))],
    )
    wrong, spikes = program_differs(made, whole, x)
    assert wrong == 0
    assert spikes > 500
