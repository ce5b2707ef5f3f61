"""What is read of a run on Lava is what the simulator reads, with several inputs and without any."""

from __future__ import annotations

import numpy as np
import pytest
from lava_programs import integrator, lif

from seamount.compile.numbers import ints
from seamount.compile.program.program import Input, Population, Program, Readout, Reset
from seamount.compile.program.readout import Quantity
from seamount.compile.synapses.kinds import Dense, Synapses
from seamount.hardware_targets.lava import lava_status, run_on_lava
from seamount.hardware_targets.simulator import simulate

STATUS = lava_status(try_it=False)
pytestmark = [
    pytest.mark.lava,
    pytest.mark.skipif(not STATUS.present, reason=STATUS.message),
    pytest.mark.usefixtures("lava_imported_once"),
]

T = 6


def two_sensors(quantity: Quantity) -> Program:
    """Two inputs into one population, whose v or spikes are read."""
    random = np.random.default_rng(0)
    entries = (Input("left", (3,)), Input("right", (2,), bits=4))
    weights = {e.name: ints(2 * random.integers(-20, 30, (4, e.shape[0]))) for e in entries}
    synapses = [Synapses(f"s_{n}", n, "p", Dense(w), graded=n == "right") for n, w in weights.items()]
    neuron = lif(1500, dv=300)
    return Program(
        "pair",
        entries,
        (Population("p", (4,), neuron, Reset(T, 2)),),
        tuple(synapses),
        Readout("p", quantity),
        n_steps=T,
    )


@pytest.mark.parametrize("quantity", ["count", "sum", "max"])
def test_a_stream_of_two_inputs_is_read_as_by_the_simulator(quantity: Quantity) -> None:
    program, random = two_sensors(quantity), np.random.default_rng(1)
    inputs = {i.name: random.integers(0, i.high + 1, (T, 3, *i.shape)) for i in program.inputs}
    simulated, on_lava = simulate(program, inputs), run_on_lava(program, inputs, record=())
    assert simulated.readout is not None
    assert simulated.readout.any()
    assert np.array_equal(on_lava.readout, simulated.readout)


def test_a_program_without_input_runs() -> None:
    driver = lif(8, dv=0, bias_mant=ints(200))
    program = Program(
        "alone",
        (),
        (Population("a", (1,), driver), Population("b", (2,), integrator())),
        (Synapses("s", "a", "b", Dense(ints([[4], [6]]))),),
        Readout("b"),
        n_steps=8,
    )
    assert run_on_lava(program, None).readout.tolist() == simulate(program, None).readout.tolist() == [[512, 768]]
