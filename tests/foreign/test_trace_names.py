"""Names of populations survive in a file of traces, or are refused where a program is made."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from seamount.compile.program.activity_file import load_activity, save_activity
from seamount.errors import InputError
from seamount.hardware_targets.simulator import simulate
from tests.fuzz.meaning import same
from tests.simulator.random_programs import random_case


def test_a_name_that_a_trace_file_cannot_hold_is_refused() -> None:
    program, _, _ = random_case(3)
    odd = dataclasses.replace(program.populations[0], name="a\0b")
    with pytest.raises(InputError, match="holds a zero byte, which names of files end at"):
        dataclasses.replace(program, populations=(odd,), synapses=(), readout=None)


@pytest.mark.parametrize("name", ["a:b", "a/b", "", "../up", "a.npy", "events:x:n_spikes"])
def test_odd_names_come_back_from_a_trace_file(name: str, tmp_path: Path) -> None:
    program, _, _ = random_case(3)
    only = dataclasses.replace(program.populations[0], name=name)
    odd = dataclasses.replace(program, populations=(only,), synapses=(), readout=None, n_steps=None)
    inputs = {i.name: np.zeros((4, 2, *i.shape), np.int64) for i in odd.inputs}
    found = simulate(odd, inputs, n_steps=4, record=("spikes", "v"))
    save_activity(found, tmp_path / "traces.npz")
    same(found, load_activity(tmp_path / "traces.npz"))
