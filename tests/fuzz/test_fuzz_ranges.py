"""What range analysis calls proven holds: against a search for the worst case, and where it once did not."""

from typing import Any

import numpy as np
import pytest

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.neurons.lif import NEVER_FIRES, Lif
from seamount.compile.neurons.relay import Relay
from seamount.compile.neurons.ternary_lif import TernaryLif
from seamount.compile.numbers import V_MAX, ints
from seamount.compile.passes.range_analysis import LayerRange, analyse_ranges
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Input, Population, Program, Readout, Reset
from seamount.compile.synapses.kinds import Conv, OneToOne, Synapses, Wire
from tests.fuzz.ranges import Found, try_program


@pytest.mark.parametrize("seed", range(100, 112))
def test_a_search_for_the_worst_case_breaks_no_bound(seed: int) -> None:
    found = Found()
    try_program(seed, found, n_climbers=20)
    assert found.violations == []
    assert found.n_bounds > 0


def worst(neuron: Any, *synapses: Synapses, entry: Input, value: int, **more: Any) -> tuple[LayerRange, Activity]:
    """The bounds of the last population and a run into which the input's value goes at every step."""
    shape = (1, 2, 2) if entry.shape == (1, 2, 2) else (1,)
    p = Population("p", shape, neuron, more.pop("reset", None))
    program = Program("worst", (entry,), (*more.pop("before", ()), p), synapses, **more)
    x = np.full((12, 1, *entry.shape), value)[: program.n_steps]
    n_steps = None if program.n_steps and program.readout else 12
    return analyse_ranges(program).layers[-1], run_definition(program, x, n_steps, record=("u", "v", "drive"))


def wired(bits: int, signed: bool = False) -> Input:
    return Input("x", (1,), bits, signed)


FORGETS = {"du": ints(4096), "dv": ints(4096)}


def test_a_sum_that_32_bits_do_not_hold_is_not_proved_by_its_exponent() -> None:
    group = Synapses("s", "x", "p", OneToOne(ints(1 << 10)), -16, graded=True)
    layer, run = worst(Lif(**FORGETS, v_th_mant=ints(9)), group, entry=wired(24), value=(1 << 24) - 1)
    assert run.events["p"].n_drive_wraps
    assert not layer.drive_proven
    assert not layer.u.proven
    assert not layer.v.proven


def test_a_convolution_wraps_at_24_bits() -> None:
    group = Synapses("s", "x", "p", Conv(ints([[[[1 << 16]]]])), -8, graded=True, wrap_bits=24)
    entry = Input("x", (1, 2, 2), 24)
    layer, run = worst(Relay(), group, entry=entry, value=(1 << 15) - 1)
    assert (layer.drive_proven, run.events["p"].n_drive_wraps) == (False, 0)
    layer, run = worst(Relay(), group, entry=entry, value=1 << 15)
    assert run.events["p"].n_drive_wraps


def test_what_a_wrapped_relay_sends_has_either_sign() -> None:
    before = Population("r", (1,), Relay())
    groups = (
        Synapses("xr", "x", "r", OneToOne(ints(1 << 8)), graded=True),
        Synapses("rp", "r", "p", OneToOne(ints(1)), -16, graded=True),
    )
    layer, run = worst(
        Lif(**FORGETS, v_th_mant=ints(9)), *groups, entry=wired(24), value=(1 << 24) - 1, before=(before,)
    )
    assert run.drive["p"].min() < 0
    assert layer.drive_low <= run.drive["p"].min()


def test_where_u_may_wrap_no_v_is_proved() -> None:
    layer, run = worst(
        Lif(ints(0), ints(0), ints(100)), Synapses("w", "x", "p", Wire()), entry=wired(17), value=1 << 16
    )
    assert run.events["p"].n_u_wraps
    assert run.v["p"].min() < 0 <= layer.v.low  # what the exact u would do, not what the wrapped one does
    assert (layer.u.proven, layer.v.proven) == (False, False)


def test_a_run_goes_on_until_the_answer_is_read() -> None:
    """Without a reset a layer integrates while the pipeline drains, too."""
    integrates = Lif(ints(4096), ints(0), ints(NEVER_FIRES), bias_mant=ints(1), bias_exp=ints(10))
    groups = (
        Synapses("xq", "x", "q", OneToOne(ints(3))),
        Synapses("qp", "q", "p", OneToOne(ints(1)), delay=ints(9)),
    )
    program = Program(
        "drains",
        (Input("x", (1,)),),
        (Population("q", (1,), integrates), Population("p", (1,), integrates)),
        groups,
        Readout("p"),
        n_steps=4,
    )
    layer, run = analyse_ranges(program).layers[0], run_definition(program, np.ones((4, 1, 1), np.int64))
    assert layer.n_steps == run.n_steps == 15
    assert run.v["q"].max() > 4 * 64 * 3 + 4 * 1024
    assert layer.v.high == 15 * (64 * 3 + 1024) >= run.v["q"].max()
    assert layer.rests_on == "x in 0..1, 15 steps"


def test_a_reset_between_a_spike_and_its_inhibition_takes_what_the_spike_left() -> None:
    groups = (
        Synapses("s", "x", "p", OneToOne(ints(200))),
        Synapses("own", "p", "p", OneToOne(ints(-100))),
    )
    neuron = Lif(ints(0), ints(4096), ints(100))
    layer, run = worst(neuron, groups[0], groups[1], entry=wired(0), value=1)
    assert run.u["p"].min() >= 0
    assert layer.u.low == -1  # the spike left more than its inhibition takes, but for the rounding
    program = Program(
        "resets", (wired(0),), (Population("p", (1,), neuron, Reset(4, 0)),), groups, Readout("p", "count"), n_steps=4
    )
    x = np.ones((2, 1, 1), np.int64)
    (layer,) = analyse_ranges(program).layers
    assert run_definition(program, x, 4, record=("u",)).u["p"].min() == -6400 == layer.u.low


def test_a_cut_is_harmless_only_where_a_spike_follows() -> None:
    wire = Synapses("w", "x", "p", Wire())
    given: dict[str, Any] = {"entry": wired(16), "value": (1 << 16) - 1, "n_steps": 6, "readout": Readout("p")}
    out_of_reach = TernaryLif(ints(4096), ints(0), ints(1 << 17), ints(-5))
    layer, run = worst(out_of_reach, wire, **given)
    assert run.events["p"].n_v_saturations
    assert not layer.v.proven
    within = TernaryLif(ints(4096), ints(0), ints((V_MAX >> 6) - 1), ints(-5))
    layer, run = worst(within, wire, **given)
    assert run.events["p"].n_v_saturations
    assert layer.v.proven


def test_thresholds_bound_v_on_both_sides() -> None:
    """A step begins between the thresholds, so that v ends at most one step's drive beyond them."""
    neuron = TernaryLif(ints(4096), ints(0), ints(50), ints(-20))
    layer, _ = worst(neuron, Synapses("w", "x", "p", Wire()), entry=wired(8, signed=True), value=-128)
    assert (layer.v.low, layer.v.high) == (-64 * (20 + 128), 64 * (50 + 127))
    assert layer.n_steps is None
    assert layer.v.proven


def test_a_first_v_above_the_threshold_is_in_the_bound() -> None:
    neuron = Lif(ints(4096), ints(0), ints(10), v_init=ints(5000))
    layer, _ = worst(neuron, Synapses("w", "x", "p", Wire()), entry=wired(4), value=15)
    assert layer.v.high == 5000 + 15 * 64


def test_a_bias_beyond_32_bits_leaves_nothing_known_of_v() -> None:
    neuron = Lif(ints(4096), ints(0), ints(10), bias_mant=ints(1 << 14), bias_exp=ints(17))
    layer, run = worst(neuron, Synapses("w", "x", "p", Wire()), entry=wired(4), value=15)
    assert run.v["p"].min() == -V_MAX
    assert layer.v.low == -np.inf
    assert (layer.u.proven, layer.v.proven, layer.always_sends) == (True, False, False)


def test_what_can_never_fire_does_not_fire_always() -> None:
    neuron = Lif(ints(4096), ints(0), ints(NEVER_FIRES), bias_mant=ints(1 << 14), bias_exp=ints(14))
    layer, run = worst(neuron, Synapses("w", "x", "p", Wire()), entry=wired(4), value=15)
    assert run.events["p"].n_v_saturations
    assert (layer.never_sends, layer.always_sends) == (True, False)
