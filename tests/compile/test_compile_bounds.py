"""Worst-case sums and messages: nothing that a program can do leaves them, and something reaches them."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seamount.compile.arithmetic.synapses import largest_sums
from seamount.compile.neurons.lif import Lif
from seamount.compile.neurons.model import PAYLOAD_BITS, SIGNED_SPIKES, SPIKES, Message
from seamount.compile.neurons.relay import Relay
from seamount.compile.neurons.ternary_lif import TernaryLif
from seamount.compile.numbers import Ints, ints, shift
from seamount.compile.passes.range_analysis import analyse_ranges
from seamount.compile.program.messages import messages
from seamount.compile.program.program import Input, Population, Program
from seamount.compile.synapses.algebra import by_delay
from seamount.compile.synapses.bounds import (
    drive_range,
    largest_sum,
    may_wrap,
    reads_payload,
    shifted_bound,
    sum_range,
    weight_sums,
)
from seamount.compile.synapses.fan_out import fan_out
from seamount.compile.synapses.kinds import Conv, Dense, Kind, OneToOne, Sparse, Synapses, Wire
from seamount.compile.synapses.matrix import unrolled
from seamount.compile.synapses.shape import target_shape
from seamount.compile.synapses.sums import payload, synapse_drive, weighted_sum
from seamount.windows import Window

Rng = np.random.Generator
Shape = tuple[int, ...]


KINDS = ("dense", "sparse", "conv", "one to one", "wire")


@dataclass(frozen=True)
class Case:
    """Synapses with few enough sources that every combination of extreme values can be tried."""

    synapses: Synapses
    source: Shape
    target: Shape
    low: int
    high: int

    @property
    def corners(self) -> Ints:
        """Every combination of the lowest value, silence and the highest: (n, *source)."""
        values = itertools.product((self.low, 0, self.high), repeat=int(np.prod(self.source)))
        return ints(list(values)).reshape(-1, *self.source)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    largest = draw(st.sampled_from([1, 9, 255]))
    kind, source, target = some_kind(rng, draw(st.sampled_from(KINDS)), largest)
    delay = ints(0)
    if isinstance(kind, Dense | Sparse) and draw(st.booleans()):
        delay = ints(rng.integers(0, 3, kind.weights.shape))
    wire = isinstance(kind, Wire)
    exponent = 0 if wire else draw(st.integers(-4, 3))
    wrap_bits = 32 if wire else draw(st.sampled_from([6, 9, 12, 24, 32]))
    entry = Input("a", source, draw(st.sampled_from([1, 2, 5, 8, 24])), draw(st.booleans()))
    # what neurons send, too: a spike, a signed one, and what a relay of weights makes of them
    low, high = draw(st.sampled_from([(entry.low, entry.high), (0, 1), (-1, 1), (-7, 2), (0, 0)]))
    synapses = Synapses("s", "a", "b", kind, exponent, draw(st.booleans()), delay, wrap_bits)
    return Case(synapses, source, target, low, high)


def some_kind(rng: Rng, name: str, largest: int) -> tuple[Kind, Shape, Shape]:
    def weights(*shape: int) -> Ints:
        return ints(rng.integers(-largest, largest + 1, shape))

    match name:
        case "dense":
            n = int(rng.integers(1, 4))
            return Dense(weights(n, 4)), (2, 2), (n,)
        case "sparse":  # several synapses between the same two neurons, of one sign, and a target without any
            n = int(rng.integers(1, 7))
            rows, columns = rng.integers(0, 2, n), rng.integers(0, 4, n)
            signs = rng.choice([-1, 1], (3, 4))[rows, columns]
            return Sparse(ints(signs * np.abs(weights(n))), ints(rows), ints(columns), 3, 4), (4,), (3,)
        case "conv":
            groups, stride, dilation = (int(x) for x in rng.integers(1, 3, 3))
            kind = Conv(weights(2, 2 // groups, 1, 2), Window((1, stride), (0, 1), (1, dilation), groups))
            source = (2, 1, 3)
            return kind, source, (2, *kind.window.size(source[1:], (1, 2)))
        case "one to one":
            return OneToOne(weights(2, int(rng.integers(1, 3)))), (2, 2), (4,)
        case _:
            return Wire(), (2, 2), (4,)


@given(cases())
@settings(max_examples=300)
def test_sums_stay_in_their_range_and_reach_it(case: Case) -> None:
    kind = case.synapses.kind
    sums = weighted_sum(kind, case.corners, case.target)
    lowest, highest = sum_range(kind, case.low, case.high, case.source, case.target)
    assert np.all(sums >= lowest)
    assert np.all(sums <= highest)
    if not isinstance(kind, Conv):  # a pixel at the border sees less than the whole kernel, for which the bound is
        assert np.array_equal(sums.min(axis=0), lowest)
        assert np.array_equal(sums.max(axis=0), highest)
    largest = max(-case.low, case.high)
    bound = largest_sum(kind, largest)
    assert np.abs(sums).max() <= bound
    if isinstance(kind, Dense | Conv):  # what training asks of its tensors
        assert largest_sums({"s": torch.from_numpy(np.array(kind.weights))}, {"s": largest}) == {"s": bound}


@given(cases())
@settings(max_examples=300)
def test_drives_stay_in_their_range_and_wrap_where_it_says(case: Case) -> None:
    s, target = case.synapses, case.target
    lowest, highest = drive_range(s, case.low, case.high, case.source, target)
    lows, highs, wrapped = np.zeros(target, np.int64), np.zeros(target, np.int64), 0
    for _, part in by_delay(s):  # each delay hears another step, so all can be at their worst together
        drive = shift(weighted_sum(part, payload(case.corners, s), target), s.exponent)
        lows, highs = lows + drive.min(axis=0), highs + drive.max(axis=0)
        heard = max(-case.low, case.high) if reads_payload(s) else 1
        assert np.abs(drive).max() <= shifted_bound(largest_sum(part, heard), s.exponent)
        wrapped += synapse_drive(s, part, case.corners, target)[1]
    assert np.all(lows >= lowest)
    assert np.all(highs <= highest)
    says = may_wrap(s, case.low, case.high, case.source, target)
    assert says or not wrapped
    if not isinstance(s.kind, Conv):
        assert np.array_equal(lows, lowest)
        assert np.array_equal(highs, highest)
        assert says == bool(wrapped)


@given(cases())
@settings(max_examples=100)
def test_what_a_relay_sends_is_what_can_reach_it(case: Case) -> None:
    """The message behind any synapses is their drive: proved, unless it may wrap."""
    relay = Population("b", case.target, Relay())
    entry = Input("a", case.source, 1 + max(-case.low, case.high).bit_length(), True)
    program = Program("p", (entry,), (relay,), (case.synapses,))
    sent = messages(program)["b"]
    if may_wrap(case.synapses, entry.low, entry.high, case.source, case.target):
        assert (sent.low, sent.high) == (-(1 << 31), 1 << 31)
        return
    drives = [synapse_drive(case.synapses, part, case.corners, case.target)[0] for _, part in by_delay(case.synapses)]
    assert sent.low <= sum(d.min(axis=0) for d in drives).min()
    assert sent.high >= sum(d.max(axis=0) for d in drives).max()


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
    assert layer.u.high == 64 * ((1 << 23) - 1)
    assert not layer.u.proven
    assert not layer.v.proven
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
