"""Worst-case sums and messages: nothing that a program can do leaves them, and something reaches them."""

import itertools

import numpy as np
import pytest

from seamount.compile.neurons.lif import Lif
from seamount.compile.neurons.model import PAYLOAD_BITS, SIGNED_SPIKES, SPIKES, Message
from seamount.compile.neurons.relay import Relay
from seamount.compile.neurons.ternary_lif import TernaryLif
from seamount.compile.numbers import ints
from seamount.compile.passes.range_analysis import analyse_ranges
from seamount.compile.program.messages import messages
from seamount.compile.program.program import Input, Population, Program
from seamount.compile.synapses.algebra import by_delay
from seamount.compile.synapses.bounds import drive_range, largest_sum, shifted_bound, sum_range, weight_sums
from seamount.compile.synapses.fan_out import fan_out
from seamount.compile.synapses.kinds import Conv, Dense, Kind, OneToOne, Sparse, Synapses, Wire
from seamount.compile.synapses.matrix import unrolled
from seamount.compile.synapses.shape import target_shape
from seamount.compile.synapses.sums import synapse_drive, weighted_sum
from seamount.windows import Window

Rng = np.random.Generator
Shape = tuple[int, ...]


def some_kind(rng: Rng, name: str) -> tuple[Kind, Shape, Shape]:
    """Few enough sources that every combination of extreme values can be tried."""
    match name:
        case "dense":
            return Dense(ints(rng.integers(-9, 10, (3, 4)))), (2, 2), (3,)
        case "sparse":  # two synapses between the same two neurons, and a target without any
            weights = rng.integers(-9, 10, 4)
            weights[:2] = np.abs(weights[:2])
            return Sparse(ints(weights), ints([0, 0, 1, 1]), ints([1, 1, 0, 3]), 3, 4), (4,), (3,)
        case "conv":
            kind = Conv(ints(rng.integers(-9, 10, (2, 1, 2, 2))), Window((1, 2), (1, 0), (1, 1), 1))
            return kind, (1, 2, 3), (2, 3, 1)
        case "one to one":
            return OneToOne(ints(rng.integers(-9, 10, (2, 1)))), (2, 2), (4,)
        case _:
            return Wire(), (2, 2), (4,)


KINDS = ("dense", "sparse", "conv", "one to one", "wire")


@pytest.mark.parametrize("name", KINDS)
def test_sums_stay_in_their_range_and_reach_it(name: str) -> None:
    rng = np.random.default_rng(len(name))
    for low, high in ((0, 1), (-1, 1), (-4, 3), (0, 7)):
        kind, source, target = some_kind(rng, name)
        n_source = int(np.prod(source))
        corners = np.array(list(itertools.product((low, 0, high), repeat=n_source))).reshape(-1, *source)
        sums = weighted_sum(kind, corners, target)
        lowest, highest = sum_range(kind, low, high, source, target)
        assert np.all(sums >= lowest)
        assert np.all(sums <= highest)
        reached = (sums.min(axis=0) == lowest) & (sums.max(axis=0) == highest)
        # a pixel at the border sees less than the whole kernel, for which the bound is
        assert reached.any() if name == "conv" else reached.all()
        assert np.abs(sums).max() <= largest_sum(kind, max(-low, high))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("exponent", [0, 2, -1, -3])
@pytest.mark.parametrize("graded", [False, True])
def test_drives_stay_in_their_range(name: str, exponent: int, graded: bool) -> None:
    rng = np.random.default_rng(exponent + 10)
    kind, source, target = some_kind(rng, name)
    delay = ints(rng.integers(0, 3, kind.weights.shape)) if isinstance(kind, Dense | Sparse) else ints(0)
    exponent = 0 if isinstance(kind, Wire) else exponent
    synapses = Synapses("s", "a", "b", kind, exponent, graded, delay)
    for low, high in ((0, 1), (-1, 1), (-8, 7), (0, 255)):
        lowest, highest = drive_range(synapses, low, high, source, target)
        corners = np.array(list(itertools.product((low, 0, high), repeat=int(np.prod(source))))).reshape(-1, *source)
        lows, highs = np.zeros(target, np.int64), np.zeros(target, np.int64)
        for _, part in by_delay(synapses):  # each delay hears another step, so all can be at their worst together
            drive, _ = synapse_drive(synapses, part, corners, target)
            lows, highs = lows + drive.min(axis=0), highs + drive.max(axis=0)
            assert np.abs(drive).max() <= shifted_bound(largest_sum(part, max(-low, high, 1)), exponent)
        assert np.all(lows >= lowest)
        assert np.all(highs <= highest)
        if name != "conv":
            assert np.array_equal(lows, lowest)
            assert np.array_equal(highs, highest)


def test_sums_of_nothing_are_nothing() -> None:
    empty = Sparse(ints([]), ints([]), ints([]), 3, 2)
    assert largest_sum(empty, 255) == 0
    assert [x.tolist() for x in weight_sums(empty)] == [[0, 0, 0]] * 2
    assert largest_sum(Dense(ints(np.zeros((2, 0)))), 7) == 0
    assert largest_sum(Wire(), 7) == 7


def lif() -> Lif:
    return Lif(ints(4096), ints(123), ints(80))


def with_relays(*synapses: Synapses, bits: int = 8, signed: bool = False) -> Program:
    return Program(
        name="relays",
        inputs=(Input("x", (2,), bits, signed), Input("spikes", (2,))),
        populations=(
            Population("r", (2,), Relay()),
            Population("q", (2,), Relay()),
            Population("p", (2,), lif()),
            Population("t", (2,), TernaryLif(ints(0), ints(0), ints(3), ints(-3))),
        ),
        synapses=synapses,
    )


def test_messages_are_followed_through_relays() -> None:
    one, two = OneToOne(ints(1)), OneToOne(ints(2))
    program = with_relays(Synapses("xr", "x", "r", Wire()), Synapses("rq", "r", "q", two, graded=True))
    sent = messages(program)
    assert (sent["x"], sent["r"]) == (Message(0, 255, 8), Message(0, 255, 8))
    assert sent["q"] == Message(0, 510, PAYLOAD_BITS)
    assert (sent["p"], sent["t"], sent["spikes"]) == (SPIKES, SIGNED_SPIKES, SPIKES)

    joined = with_relays(Synapses("xr", "x", "r", Wire()), Synapses("pr", "p", "r", two, -1), signed=True)
    assert messages(joined)["r"] == Message(-128, 128, PAYLOAD_BITS)

    counted = with_relays(Synapses("xr", "x", "r", one))  # not graded: any value counts as one spike
    assert messages(counted)["r"] == SPIKES

    silent = with_relays()
    assert messages(silent)["r"] == Message(0, 0, 0)


def test_a_loop_of_relays_is_bounded_by_32_bits() -> None:
    program = with_relays(
        Synapses("rq", "r", "q", OneToOne(ints(1)), graded=True),
        Synapses("qr", "q", "r", OneToOne(ints(1)), graded=True),
    )
    sent = messages(program)
    assert sent["r"].largest == sent["q"].largest == 1 << 31


def test_a_wired_input_of_24_bits_is_not_proved() -> None:
    """A bootstrap layer of lava-dl: the values of the input, not spikes, reach u."""
    program = Program(
        name="wired",
        inputs=(Input("x", (6,), 24, True),),
        populations=(Population("layer0", (6,), lif()),),
        synapses=(Synapses("w", "x", "layer0", Wire()),),
        n_steps=16,
    )
    (layer,) = analyse_ranges(program).layers
    assert (layer.drive_low, layer.drive_high) == (-(1 << 23), (1 << 23) - 1)
    assert layer.u_high == 64 * ((1 << 23) - 1)
    assert not layer.u_proven
    assert not layer.v_proven
    assert layer.sum_bits == 24


@pytest.mark.parametrize("seed", range(6))
def test_a_convolution_has_one_geometry(seed: int) -> None:
    """Shape, sums, fan-out and matrix of one window agree with each other."""
    rng = np.random.default_rng(seed)
    groups = int(rng.integers(1, 3))
    stride, dilation = ((int(a), int(b)) for a, b in rng.integers(1, 4, (2, 2)))
    padding = (int(rng.integers(0, 3)), int(rng.integers(0, 3)))
    weights = rng.integers(-3, 4, (2 * groups, 2, int(rng.integers(1, 4)), int(rng.integers(1, 3))))
    kind, source = Conv(ints(weights), Window(stride, padding, dilation, groups)), (2 * groups, 7, 8)
    target = target_shape(kind, source, "conv")
    assert isinstance(target, tuple)
    x = rng.integers(-5, 6, (3, *source))
    expected = weighted_sum(kind, x, target)
    for zeros in (False, True):
        assert np.array_equal(weighted_sum(unrolled(kind, source, target, zeros=zeros), x, target), expected)
    assert np.array_equal(fan_out(unrolled(kind, source, target, zeros=True), source), fan_out(kind, source))
    stored = fan_out(unrolled(kind, source, target, zeros=False), source)[:, 1]
    assert np.array_equal(stored, fan_out(kind, source)[:, 0])
