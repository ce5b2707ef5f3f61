"""A network that cannot work is told so when it is compiled, and one that works is left alone."""

from typing import Any

import nir
import numpy as np
import pytest

from seamount.compile.neurons.lif import NEVER_FIRES, Lif
from seamount.compile.neurons.ternary_lif import TernaryLif
from seamount.compile.nir.presets import Discretisation
from seamount.compile.nir.read import NirOptions
from seamount.compile.numbers import ints
from seamount.compile.passes.cannot_work import USUAL_CAUSE, cannot_work
from seamount.compile.passes.range_analysis import analyse_ranges
from seamount.compile.pipeline import CompileOptions, compile_graph
from seamount.compile.program.program import Input, Population, Program, Readout, Reset
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Sparse, Synapses


def told(*populations: Population, synapses: tuple[Synapses, ...], quantity: str = "count") -> list[str]:
    readout = Readout(populations[-1].name, quantity)
    program = Program("p", (Input("x", (2,)),), populations, synapses, readout, 10)
    return list(cannot_work(program, analyse_ranges(program)))


def lif(threshold: int, **more: Any) -> Lif:
    return Lif(ints(4096), ints(0), ints(threshold), **more)


def dense(source: str, target: str, weights: Any) -> Synapses:
    return Synapses(f"{source}-{target}", source, target, Dense(ints(weights)))


FIRST = dense("x", "a", [[1, 2], [2, -1]])
SECOND = dense("a", "b", [[3, 0], [0, 3]])


def test_a_threshold_out_of_reach_is_told_with_the_numbers_and_what_follows() -> None:
    a = Population("a", (2,), lif(30), Reset(10, 2))  # 10 steps of at most 3: 30 is not above 30
    b = Population("b", (2,), lif(2), Reset(10, 3))
    assert told(a, b, synapses=(FIRST, SECOND)) == [
        "a: can never fire in 10 steps, v stays within -640 to 1920, not above its threshold of 1920; " + USUAL_CAUSE,
        "b: nothing can arrive, because a can never fire",
    ]
    a = Population("a", (2,), lif(29), Reset(10, 2))
    assert told(a, b, synapses=(FIRST, SECOND)) == [
        # neuron 1 gets at most 2 a step
        "a: 1 of 2 neurons can never fire in 10 steps, whatever arrives; did their weights vanish, or are they too "
        "small for the thresholds?",
    ]
    a = Population("a", (2,), lif(19), Reset(10, 2))
    assert told(a, b, synapses=(FIRST, SECOND)) == []


def test_signed_spikes_need_one_of_two_thresholds() -> None:
    def ternary(low: int, high: int) -> Population:
        return Population("a", (2,), TernaryLif(ints(4096), ints(0), ints(high), ints(low)), Reset(10, 2))

    (line,) = told(ternary(-10, 30), synapses=(FIRST,))
    assert line.startswith(
        "a: can never fire in 10 steps, v stays within -640 to 1920, not above its thresholds of -640"
    )
    for low, high in ((-9, 30), (-10, 29)):  # one neuron reaches one of its thresholds
        (line,) = told(ternary(low, high), synapses=(FIRST,))
        assert line.startswith("a: 1 of 2 neurons can never fire in 10 steps")
    assert told(ternary(-9, 19), synapses=(FIRST,)) == []


def test_a_bias_that_fires_at_every_step_is_told_unless_it_is_a_clock() -> None:
    def biased(mantissa: int) -> Population:
        return Population("a", (2,), lif(2, bias_mant=ints(mantissa)), Reset(10, 2))

    # the worst drive takes 64 away: 193 - 64 is above 128
    (line,) = told(biased(193), synapses=(FIRST,))
    assert line == (
        "a: must fire at every step, whatever arrives: its bias alone takes v above its threshold of 128; "
        + USUAL_CAUSE
    )
    assert told(biased(192), synapses=(FIRST,)) == []
    clock = Population("a", (2,), lif(2, bias_mant=ints(193)), Reset(10, 2))
    last = Population("b", (2,), lif(2), Reset(10, 3))
    assert told(clock, last, synapses=(SECOND,)) == []


@pytest.mark.parametrize(
    "kind",
    [
        Dense(ints([[2, 3], [2, 3]])),
        Sparse(ints([2, 2]), ints([0, 1]), ints([1, 1]), 2, 2),
        OneToOne(ints([0, 0])),
    ],
)
def test_classes_that_hear_the_same_are_told(kind: Any) -> None:
    out = Population("out", (2,), lif(NEVER_FIRES), Reset(10, 2))
    (line,) = told(out, synapses=(Synapses("s", "x", "out", kind),), quantity="v")
    assert line == (
        "out: the answer can never differ between its classes, their weights and parameters are the same; "
        "are they too small for the scale?"
    )
    each = Population("out", (2,), lif(NEVER_FIRES, bias_mant=ints([1, 2])), Reset(10, 2))
    assert told(each, synapses=(Synapses("s", "x", "out", kind),), quantity="v") == []


@pytest.mark.parametrize(
    "kind", [Dense(ints([[2, 3], [2, 4]])), Sparse(ints([2, 2]), ints([0, 1]), ints([1, 0]), 2, 2), OneToOne(ints(1))]
)
def test_classes_that_differ_are_not_told(kind: Any) -> None:
    out = Population("out", (2,), lif(NEVER_FIRES), Reset(10, 2))
    assert told(out, synapses=(Synapses("s", "x", "out", kind),), quantity="v") == []


def test_maps_as_classes_are_compared_by_their_weights() -> None:
    out = Population("out", (2, 1, 2), lif(NEVER_FIRES), Reset(10, 2))
    for weight, n_lines in ((0, 1), (1, 0)):
        conv = Synapses("s", "x", "out", Conv(ints(np.full((2, 1, 1, 1), weight))))
        program = Program("p", (Input("x", (1, 1, 2)),), (out,), (conv,), Readout("out"), 10)
        assert len(list(cannot_work(program, analyse_ranges(program)))) == n_lines


def compiled(tau: float, decay: Any = "euler", n_steps: int | None = 20, dt: float = 1e-3) -> tuple[str, ...]:
    one = np.ones(3)
    nodes = {
        "in": nir.Input(np.array([2])),
        "fc": nir.Linear(np.array([[1.0, 2.0], [2.0, 1.0], [-1.0, 3.0]])),
        "lif": nir.LIF(tau=one * tau, r=one * (tau / dt), v_leak=0 * one, v_threshold=one, v_reset=0 * one),
        "out": nir.Output(np.array([3])),
    }
    graph = nir.NIRGraph(nodes, [("in", "fc"), ("fc", "lif"), ("lif", "out")])
    settings = Discretisation(dt=dt, decay=decay, reset="value")
    return compile_graph(
        graph, None, CompileOptions(nir=NirOptions(discretisation=settings, n_steps=n_steps))
    ).warnings


def test_time_constants_of_many_samples_or_less_than_a_step_are_told() -> None:
    assert compiled(5e-3) == compiled(2.0) == ()
    (line,) = compiled(10.0)
    assert line == (
        "lif: tau is up to 10000 steps, more than 100 samples of 20, so that it hardly decays in one; "
        "is the step (0.001, in s) another one?"
    )
    line, *_ = compiled(10.0, n_steps=None)
    assert (
        line
        == "lif: tau is up to 10000 steps, which the chip rounds to no decay; is the step (0.001, in s) another one?"
    )
    (line,) = compiled(5e-4, "exp")
    assert line == (
        "lif: tau is down to 0.5 of a step, too short to outlast one; is the step (0.001, in s) another one?"
    )
    assert compiled(float(np.float32(1e-3)), "exp") == ()
