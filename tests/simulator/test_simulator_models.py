"""Neuron models without loops of their own: stepped by their definition, they give the same integers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
from random_programs import random_case

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.fit.place.rules import groups
from seamount.compile.neurons.lif import Lif
from seamount.compile.neurons.model import Arriving, Message, NeuronModel, Settings, State, StateRange, Step
from seamount.compile.numbers import Ints, ints
from seamount.compile.passes.range_analysis import analyse_ranges
from seamount.compile.program import file as program_file
from seamount.compile.program.activity import Activity
from seamount.compile.program.file import load_program, save_program
from seamount.compile.program.messages import messages
from seamount.compile.program.program import Input, Population, Program, Readout
from seamount.compile.synapses.kinds import Dense, OneToOne, Synapses
from seamount.errors import InputError
from seamount.hardware_targets.simulator import plan, simulate
from seamount.hardware_targets.target import load_target


@dataclass(frozen=True)
class Product(NeuronModel):
    """A toy of two drives: adds their product to an unbounded memory, sends it whole where it is above ``least``."""

    states: ClassVar[tuple[str, ...]] = ("memory",)
    drives: ClassVar[tuple[str, ...]] = ("left", "right")

    least: Ints

    def step(self, state: State, drives: Sequence[Ints]) -> Step:
        memory = state["memory"] + drives[0] * drives[1]
        sent = np.where(np.abs(memory) > self.least, memory, 0)
        never = np.zeros(memory.shape, np.bool_)
        return Step({"memory": memory}, sent, {"memory": memory}, never, never)

    def sends(self, arriving: Sequence[Message]) -> Message:
        return Message(-(1 << 23), (1 << 23) - 1, 24)

    def bounds(self, arriving: Sequence[Arriving], n_steps: int | None) -> Mapping[str, StateRange]:
        most = float(arriving[0].high.max() * arriving[1].high.max()) * (n_steps or np.inf)
        return {"memory": StateRange(-most, most, most < 1 << 23)}

    def settings(self) -> Settings:
        return Settings(thresholds=(self.least,))


def toy() -> Program:
    one = OneToOne(ints(1))
    product: Any = Product(ints([2, 0, 5]))
    return Program(
        name="toy",
        inputs=(Input("x", (3,), 4, True), Input("y", (2,))),
        populations=(
            Population("p", (3,), product),
            Population("q", (3,), Lif(ints(4096), ints(100), ints(9))),
        ),
        synapses=(
            Synapses("xp", "x", "p", one, graded=True, drive="left"),
            Synapses("yp", "y", "p", Dense(ints([[1, -2], [3, 0], [1, 1]])), drive="right", delay=ints(1)),
            Synapses("pq", "p", "q", one, graded=True),
            Synapses("qp", "q", "p", one, drive="right"),
        ),
        readout=Readout("p", "v"),
        n_steps=9,
    )


def same(found: Activity, expected: Activity) -> None:
    for trace in ("spikes", "v", "u", "drive", "spike_counts", "final_u", "final_v"):
        left, right = getattr(found, trace), getattr(expected, trace)
        assert set(left) == set(right), trace
        for name in left:
            assert left[name].dtype == right[name].dtype, (trace, name)
            assert np.array_equal(left[name], right[name]), (trace, name)
    assert (found.readout is None) == (expected.readout is None)
    if found.readout is not None:
        assert np.array_equal(found.readout, expected.readout)
    for name, events in expected.events.items():
        for field, value in vars(events).items():
            assert np.array_equal(getattr(found.events[name], field), value), (name, field)


@pytest.mark.parametrize("seed", range(12))
def test_known_models_give_the_same_without_their_loops(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    program, inputs, n_steps = random_case(seed)
    record = ("spikes", "v", "u", "drive")
    expected = simulate(program, inputs, n_steps=n_steps, record=record)
    monkeypatch.setattr(plan, "Scanned", ())
    same(simulate(replace(program, name="stepped"), inputs, n_steps=n_steps, record=record), expected)


def test_a_model_that_nobody_knows_runs() -> None:
    program, rng = toy(), np.random.default_rng(1)
    inputs = {"x": rng.integers(-8, 8, (9, 2, 3)), "y": rng.integers(0, 2, (9, 2, 2))}
    record = ("spikes", "v", "u")  # no drive: p has two, which no one trace can hold
    expected = run_definition(program, inputs, 14, record=record)
    assert expected.spikes["p"].any()
    for memory in (None, 1 << 15):
        found = simulate(program, inputs, n_steps=14, record=record, memory_limit_bytes=memory)
        same(found, expected)


def test_a_model_that_nobody_knows_is_bounded_placed_stored_and_listed(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = toy()
    sent = messages(program)
    assert sent["p"].bits == 24
    layer = analyse_ranges(program).layers[0]
    assert (layer.u.proven, layer.v.proven) == (True, True)
    planes = {group.name: group.planes for group in groups(program, load_target("loihi1").chip)}
    assert planes == {"xp": 4, "yp": 1, "pq": 24, "qp": 1}
    assert "  product p 3 least 0..5" in str(program).splitlines()
    assert "  onetoone xp x -> p 1 1 graded into left" in str(program).splitlines()
    monkeypatch.setitem(program_file.NEURONS, "Product", Product)
    save_program(program, tmp_path / "toy.h5")
    assert str(load_program(tmp_path / "toy.h5")) == str(program)


def test_a_drive_that_the_model_does_not_have_is_refused() -> None:
    program = toy()
    synapses = (replace(program.synapses[0], drive="middle"), *program.synapses[1:])
    with pytest.raises(InputError) as caught:
        program.with_(synapses=synapses)
    assert str(caught.value) == "xp: adds to the drive 'middle' of p, possible are 'left', 'right'"
