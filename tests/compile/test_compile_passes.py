"""Every pass on random networks: the same spikes and potentials before and after, and the form it promises."""

import sys
from collections.abc import Callable

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
    Op,
    Reshape,
    Scale,
    SumPool,
    chain_shapes,
    reals,
)
from seamount.compile.passes.balance_latency import balance_latency
from seamount.compile.passes.fold_pooling import composed, fold_pooling
from seamount.compile.passes.fold_scale import fold_scale
from seamount.compile.passes.merge_linear import merge_linear
from seamount.compile.passes.remove_unseen import remove_unseen
from seamount.errors import Unsupported
from seamount.windows import Window

SEEDS = range(25)


def require_same(before: Network, after: Network, seed: int) -> None:
    x = random_spikes(seed, before)
    old, new = run_network(before, x), run_network(after, x)
    for p in after.populations:
        assert np.array_equal(old[p.name].spikes, new[p.name].spikes), p.name
        assert np.array_equal(old[p.name].v, new[p.name].v), p.name


@pytest.mark.parametrize("a_pass", [remove_unseen, fold_scale, fold_pooling, merge_linear], ids=lambda p: p.__name__)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_pass_keeps_every_spike_and_potential(seed: int, a_pass: Callable[[Network], Network]) -> None:
    before = random_network(seed)
    require_same(before, a_pass(before), seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_all_passes_leave_one_operator_a_connection(seed: int) -> None:
    before = random_network(seed)
    after = merge_linear(fold_pooling(fold_scale(remove_unseen(before))))
    require_same(before, after, seed)
    for c in after.connections:
        core = [op for op in c.ops if not isinstance(op, Reshape)]
        assert len(core) <= 1, c
        assert not any(isinstance(op, SumPool) for op in core)


def test_random_networks_fire_and_hold_every_operator() -> None:
    kinds, spikes = set(), 0.0
    for seed in SEEDS:
        net = random_network(seed)
        kinds |= {type(op) for c in net.connections for op in c.ops}
        spikes += sum(t.spikes.sum() for t in run_network(net, random_spikes(seed, net)).values())
    assert kinds == {Linear, Convolution, SumPool, Scale, Reshape}
    assert spikes > 1000


def test_what_no_output_sees_is_removed() -> None:
    x = NetworkInput("x", (2,))
    one = Linear(reals(np.eye(2)))
    populations = [population(n, (2,)) for n in ("unseen", "a", "b")]
    connections = [
        Connection("c1", "x", "unseen", (one,)),
        Connection("c2", "x", "a", (one,)),
        Connection("c3", "a", "b", (one,)),
        Connection("c4", "a", "unseen", (one,), previous=True),
    ]
    after = remove_unseen(network(populations, connections, [x]))
    assert [p.name for p in after.populations] == ["a", "b"]
    assert [c.name for c in after.connections] == ["c2", "c3"]


@pytest.mark.parametrize("seed", range(60))
def test_two_convolutions_are_one_only_where_that_is_exact(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (2, int(rng.integers(5, 10)), int(rng.integers(5, 10)))
    ops = _two_convs(rng, shape)
    both = composed(ops[0], ops[1], shape)
    if both is None:
        return
    populations = [population("p", chain_shapes(ops, shape)[-1])]
    before = network(populations, [Connection("c", "x", "p", ops)], [NetworkInput("x", shape)])
    after = network(populations, [Connection("c", "x", "p", (both,))], [NetworkInput("x", shape)])
    require_same(before, after, seed)


def _two_convs(rng: np.random.Generator, shape: tuple[int, int, int]) -> tuple[Convolution, Convolution]:
    def conv(c_in: int, depthwise: bool) -> Convolution:
        k_h, k_w = int(rng.integers(1, 4)), int(rng.integers(1, 3))
        groups = c_in if depthwise else 1
        weight = rng.integers(-2, 3, (c_in if depthwise else int(rng.integers(1, 4)), c_in // groups, k_h, k_w))
        stride, padding, dilation = (
            tuple(int(n) for n in rng.integers(*span, 2)) for span in ((1, 4), (0, 2), (1, 2))
        )
        return Convolution(reals(weight), Window(stride, padding, dilation, groups))  # type: ignore[arg-type]

    while True:
        first = conv(shape[0], bool(rng.integers(2)))
        try:
            second = conv(chain_shapes((first,), shape)[-1][0], bool(rng.integers(2)))
            chain_shapes((first, second), shape)
        except Exception:
            continue
        return first, second


def test_pooling_before_a_padded_convolution_is_one_convolution() -> None:
    pool = Convolution(reals(np.ones((3, 1, 2, 2))), Window((2, 2), (0, 0), (1, 1), 3))
    conv = Convolution(reals(np.ones((4, 3, 3, 3))), Window((1, 1), (1, 1)))
    both = composed(pool, conv, (3, 8, 8))
    assert both is not None
    assert (both.weight.shape, both.window.stride, both.window.padding) == ((4, 3, 6, 6), (2, 2), (2, 2))
    assert composed(pool, conv, (3, 9, 9)) is None  # the row that pooling drops would come back in the padding


@pytest.mark.parametrize("shape", [(2, 5, 7), (2, 1, 1), (1, 1, 1), (1,), ()])
def test_a_scale_of_whole_maps_goes_behind_their_pooling(shape: tuple[int, ...]) -> None:
    of_channels = np.array([2.0, 3.0]).reshape(2, 1, 1) if shape[:1] == (2,) else np.array(2.0)
    ops = (Scale(reals(np.broadcast_to(of_channels, shape))), SumPool((2, 1), (2, 3)))
    before = network([population("p", (2, 2, 3))], [Connection("c", "x", "p", ops)], [NetworkInput("x", (2, 5, 7))])
    folded = fold_scale(before)
    assert isinstance(folded.connections[0].ops[0], SumPool)
    require_same(before, folded, 0)
    require_same(before, merge_linear(folded), 0)


def test_a_scale_that_differs_within_a_map_is_not_folded_into_a_convolution() -> None:
    rng = np.random.default_rng(0)
    uneven = Scale(reals(rng.integers(1, 4, (2, 6, 7))))
    ops = (uneven, Convolution(reals(rng.integers(-2, 3, (3, 2, 3, 3)))))
    before = network([population("p", (3, 4, 5))], [Connection("c", "x", "p", ops)], [NetworkInput("x", (2, 6, 7))])
    assert fold_scale(before).connections[0].ops == ops
    require_same(before, merge_linear(before), 0)


def test_uniform_delays_move_to_the_front() -> None:
    ops = (Linear(reals([[1, 2]])), Delay(np.array(2)), Scale(reals(3.0)), Delay(np.array(1)))
    before = network([population("p", (1,), v_th=4.0)], [Connection("c", "x", "p", ops)], [NetworkInput("x", (2,))])
    after = fold_scale(before)
    assert [type(op) for op in after.connections[0].ops] == [Delay, Linear]
    require_same(before, after, 3)


# ------------------------------------------------------------------------------------------------- latency


def chain_with_skip(extra: tuple[Connection, ...] = ()) -> Network:
    one = (Linear(reals(np.eye(2) * 3)),)
    populations = [population(n, (2,)) for n in ("a", "b", "c", "d")]
    connections = [Connection(f"{s}{t}", s, t, one) for s, t in ("xa", "ab", "bc", "cd")]
    return network(populations, [*connections, Connection("ad", "a", "d", one), *extra], [NetworkInput("x", (2,))])


def test_the_short_branch_waits() -> None:
    schedule = balance_latency(chain_with_skip())
    assert schedule.arrival == {"x": 0, "a": 1, "b": 2, "c": 3, "d": 4}
    assert {name: int(d) for name, d in schedule.delay.items()} == {"xa": 0, "ab": 0, "bc": 0, "cd": 0, "ad": 2}


def test_a_population_may_feed_itself_in_one_step() -> None:
    loop = Connection("bb", "b", "b", (Linear(reals(np.eye(2))),), previous=True)
    assert int(balance_latency(chain_with_skip((loop,))).delay["bb"]) == 0


def test_a_loop_over_two_populations_is_refused_and_printed() -> None:
    loop = Connection("cb", "c", "b", (Linear(reals(np.eye(2))),), previous=True)
    with pytest.raises(Unsupported) as caught:
        balance_latency(chain_with_skip((loop,)))
    assert str(caught.value) in (
        "net: the loop b -> c -> b takes 1 step in software, but 2 on the chip (one per synapse group); add a Delay "
        "of 1 to the loop before training, or join its populations into one recurrent population",
        "net: the loop c -> b -> c takes 1 step in software, but 2 on the chip (one per synapse group); add a Delay "
        "of 1 to the loop before training, or join its populations into one recurrent population",
    )


def test_a_delay_in_the_loop_pays_for_the_hop() -> None:
    ops = (Delay(np.array(1)), Linear(reals(np.eye(2))))
    schedule = balance_latency(chain_with_skip((Connection("cb", "c", "b", ops, previous=True),)))
    assert int(schedule.delay["cb"]) == 0


def test_a_long_chain_of_scales_is_folded_in_steps_that_grow_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    module, n_asked = sys.modules["seamount.compile.passes.fold_scale"], 0
    pair = module._pair

    def counted(first: Op, second: Op) -> tuple[Op, ...] | None:
        nonlocal n_asked
        n_asked += 1
        found: tuple[Op, ...] | None = pair(first, second)
        return found

    chain = (
        *(Scale(reals(2.0)) for _ in range(300)),
        Linear(reals(np.eye(2))),
        *(Scale(reals(0.5)) for _ in range(299)),
    )
    net = network([population("a", (2,))], [Connection("c", "in", "a", chain)], inputs=[NetworkInput("in", (2,))])
    monkeypatch.setattr(module, "_pair", counted)
    (folded,) = fold_scale(net).connections
    assert len(folded.ops) == 1
    assert np.array_equal(folded.ops[0].weight, 2 * np.eye(2))
    assert n_asked < 3 * len(chain)
