"""Emulated soft resets on Lava: its integers are the simulator's, its spikes those of the float64 network."""

from __future__ import annotations

import numpy as np
import pytest

from seamount.hardware_targets.agreement import compare_runs
from seamount.hardware_targets.lava import lava_status, run_on_lava
from seamount.hardware_targets.simulator import simulate
from tests.compile.compile_networks import random_spikes
from tests.compile.soft_networks import exact_program, program_differs

STATUS = lava_status(try_it=False)
pytestmark = [
    pytest.mark.lava,
    pytest.mark.skipif(not STATUS.present, reason=STATUS.message),
    pytest.mark.usefixtures("lava_imported_once"),
]

RECORD = ("spikes", "v", "u")


@pytest.mark.parametrize("seed", [2, 8])
def test_an_emulated_soft_reset_is_the_floats_on_the_simulator_and_the_simulators_on_lava(seed: int) -> None:
    found = exact_program(seed)
    assert found is not None
    made, net = found
    x = random_spikes(seed, net, 8, 2)
    wrong, spikes = program_differs(made, net, x)
    assert wrong == 0
    assert spikes > 100
    inputs = x.astype(np.int64)
    simulated = simulate(made.program, inputs, record=RECORD)
    on_lava = run_on_lava(made.program, inputs, record=RECORD)
    agreement = compare_runs(made.program, ("simulator", simulated), ("Lava", on_lava))
    assert (agreement.n_differing, agreement.first_difference) == (0, None)
    assert agreement.n_compared > 5000
