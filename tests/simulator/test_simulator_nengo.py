"""nengo-loihi's emulator, recorded with and without its floor of v: equal in every spike, u and v."""

from pathlib import Path

import numpy as np
import pytest

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import ints
from seamount.compile.program.program import Input, Population, Program
from seamount.compile.synapses.kinds import Dense, Synapses
from seamount.hardware_targets.simulator import simulate

RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "golden" / "nengo"
FILES = sorted(RECORDINGS.glob("*.npz"))


def program_of(recording: dict[str, np.ndarray], block: str, n_sources: int, *, floor: bool) -> Program:
    """One block. Its weights are 64 times ours; its u has one more in the decay, its refractory delay one more."""
    part = {key.removeprefix(f"{block}."): x for key, x in recording.items() if key.startswith(f"{block}.")}
    n = len(part["vth"])
    lif = Lif(
        du=ints(part["decay_u"] + 1),
        dv=ints(part["decay_v"]),
        v_th_mant=ints(part["vth"] // 64),
        bias_mant=ints(part["bias"]),
        refractory_steps=int(part["refract_delay"][0]) - 1,
        v_floor=ints(part["vmin"]) if floor else None,
    )
    assert not np.any(part["vth"] % 64)
    assert not np.any(part["w0"] % 64)
    weights = [Synapses("in", "x", "b", Dense(ints(part["w0"].T // 64)))]
    if "w1" in part:  # from the block to itself
        weights.append(Synapses("back", "b", "b", Dense(ints(part["w1"].T // 64))))
    return Program("nengo", (Input("x", (n_sources,)),), (Population("b", (n,), lif),), tuple(weights))


@pytest.mark.shared
@pytest.mark.skipif(not FILES, reason="no recordings of nengo-loihi at ../shared/golden/nengo")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_emulators_values(path: Path) -> None:
    with np.load(path) as file:
        recording = {key: file[key] for key in file.files if key != "meta"}
    spikes = recording["x"]
    for block in sorted({key.split(".")[0] for key in recording if "." in key}):
        program = program_of(recording, block, spikes.shape[1], floor=True)
        x = spikes[:, None].astype(np.int64)
        n_steps = len(recording[f"{block}.spiked"])
        run = simulate(program, x[:n_steps], n_steps=n_steps, record=("spikes", "v", "u"))
        names = {"spiked": run.spikes["b"], "current": run.u["b"], "voltage": run.v["b"]}
        for name, found in names.items():
            assert np.array_equal(found[:, 0], recording[f"{block}.{name}"]), (block, name)
        slow = run_definition(program, x[:n_steps], n_steps)
        assert np.array_equal(slow.v["b"], run.v["b"])
        if recording[f"{block}.vmin"] == 0:
            free = simulate(
                program_of(recording, block, spikes.shape[1], floor=False),
                x[:n_steps],
                n_steps=n_steps,
                record=("v",),
            )
            assert not np.array_equal(free.v["b"][:, 0], recording[f"{block}.voltage"])
        spikes = recording[f"{block}.spiked"]
