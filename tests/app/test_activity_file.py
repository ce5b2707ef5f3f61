from pathlib import Path

import numpy as np
import pytest

from seamount.compile.program.activity import Activity, Events
from seamount.compile.program.activity_file import load_activity, save_activity
from seamount.errors import InputError


def small_activity() -> Activity:
    spikes = np.arange(12, dtype=np.uint8).reshape(3, 2, 2) % 2
    counts = np.array([1, 2, 3])
    return Activity(
        n_steps=3,
        n_samples=2,
        spikes={"hidden": spikes},
        states={"v": {"hidden": spikes.astype(np.int32) * -7}},
        readout=np.array([[1, 5], [4, 2]]),
        events={"hidden": Events(counts, 12, 4, counts * 2, counts * 3, n_v_saturations=1)},
    )


def test_a_trace_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    save_activity(small_activity(), tmp_path / "trace.npz")
    loaded = load_activity(tmp_path / "trace.npz")
    assert loaded.predictions().tolist() == [1, 0]
    np.testing.assert_array_equal(loaded.v["hidden"], small_activity().v["hidden"])
    assert loaded.events["hidden"].n_v_saturations == 1
    assert loaded.events["hidden"].sops.tolist() == [2, 4, 6]
    assert [p.name for p in tmp_path.iterdir()] == ["trace.npz"]


@pytest.mark.parametrize("damage", ["truncated", "foreign", "absent"])
def test_a_damaged_trace_file_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "trace.npz"
    save_activity(small_activity(), path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "foreign":
        np.savez(path, x=np.zeros(3))
    else:
        path.unlink()
    with pytest.raises(InputError, match=r"no such file|not a readable .npz file|not a trace file of Seamount"):
        load_activity(path)
