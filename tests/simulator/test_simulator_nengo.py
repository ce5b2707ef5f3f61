"""nengo-loihi's emulator, recorded with and without its floor of v: equal in every spike, u and v."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seamount.hardware_targets.simulator import simulate
from tests.vectors.lava import check_case, implementations, read_case

RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "golden" / "nengo"
FILES = sorted(RECORDINGS.glob("*.npz"))

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not FILES, reason="no recordings of nengo-loihi at ../shared/golden/nengo"),
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_emulators_values(path: Path) -> None:
    outcome = check_case(path, implementations())
    assert (outcome.n_differing, outcome.refused) == (0, "")
    assert outcome.n_compared >= 3 * 3 * 206 * 48


@pytest.mark.parametrize("path", [p for p in FILES if p.stem.endswith("_vmin")], ids=lambda path: path.stem)
def test_without_the_floor_the_recordings_with_it_are_missed(path: Path) -> None:
    case = read_case(path)
    (replay,) = case.replays
    free = replay.program.with_(
        populations=tuple(replace(p, neuron=replace(p.neuron, v_floor=None)) for p in replay.program.populations)
    )
    activity = simulate(free, replay.inputs, n_steps=replay.n_steps, record=("v",))
    voltages = [name for name in case.recorded if name.endswith(".voltage")]
    assert voltages
    for name in voltages:
        assert not np.array_equal(replay.trace(activity, name), case.recorded[name]), name
