"""A set of samples, batch by batch and over several processes."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from pretended import processes

from seamount import api
from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import ints
from seamount.compile.program.activity_file import load_activity, save_activity
from seamount.compile.program.file import save_program
from seamount.compile.program.program import Input, Population, Program, Readout
from seamount.compile.synapses.kinds import Dense, Synapses
from seamount.distill import parallel
from seamount.distill.parallel import ALONE, World
from seamount.distill.progress import QUIET
from seamount.errors import InputError
from seamount.hardware_targets.simulator import simulate
from seamount.run.whole_set import WholeRun, run_all

N, SIZE = 23, 4
RANDOM = np.random.default_rng(0)
X = RANDOM.integers(0, 2, (6, N, 7)).astype(np.uint8)
PROGRAM = Program(
    "two",
    (Input("x", (7,), 0),),
    (Population("y", (3,), Lif(ints(4096), ints(400), ints(30))),),
    (Synapses("s", "x", "y", Dense(ints(RANDOM.integers(-9, 30, (3, 7))))),),
    Readout("y", "count"),
    6,
)


def whole(world: World = ALONE) -> WholeRun | None:
    batches = [partial(X.__getitem__, (slice(None), slice(k, k + SIZE))) for k in range(0, N, SIZE)]
    return run_all(PROGRAM, batches, N, progress=QUIET, world=world)


@pytest.mark.parametrize("size", [2, 4, 9])
def test_processes_that_share_the_batches_have_the_results_of_one(size: int) -> None:
    alone = whole()
    assert alone is not None
    assert alone.counts.n_samples == N
    *others, shared = map(whole, processes(size))
    assert others == [None] * (size - 1)
    assert shared is not None
    assert np.array_equal(shared.per_step, alone.per_step)
    assert np.array_equal(shared.margins, alone.margins)
    assert np.array_equal(shared.counts.readout, alone.counts.readout)
    assert np.array_equal(shared.counts.spike_counts["y"], alone.counts.spike_counts["y"])
    assert str(shared.counts.events) == str(alone.counts.events)


def test_a_whole_set_keeps_the_mean_of_its_counts_in_one_row(tmp_path: Path) -> None:
    counts = whole().counts  # type: ignore[union-attr]
    each = simulate(PROGRAM, X).spike_counts["y"]
    assert counts.spike_counts["y"].shape == (1, 3)
    assert np.array_equal(counts.spike_counts["y"][0], each.mean(axis=0))
    save_activity(counts, tmp_path / "counts.npz")
    read = load_activity(tmp_path / "counts.npz")
    assert read.n_samples == N
    assert np.array_equal(read.spike_counts["y"], counts.spike_counts["y"])
    save_activity(replace(counts, spike_counts={"y": each[:5]}), tmp_path / "short.npz")
    with pytest.raises(InputError, match=r"spike_counts:y has shape \(5, 3\), it has to begin with \(23,\)"):
        load_activity(tmp_path / "short.npz")


@pytest.mark.parametrize("n", [2, N])
def test_processes_that_simulate_share_the_samples(n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_program(PROGRAM, tmp_path / "p.program.h5")
    np.savez(tmp_path / "x.npz", x=X, y=np.arange(N) % 3)

    def simulated(name: str) -> api.Simulated | None:
        done = api.simulate(
            tmp_path / "p.program.h5", tmp_path / "x.npz", n_samples=n, record=("spikes", "states", "drive")
        )
        if done is not None:
            save_activity(done.activity, tmp_path / name)
        return done

    alone = simulated("alone.npz")
    for world in processes(3):
        monkeypatch.setattr(parallel, "open_world", lambda device, world=world: nullcontext(world))
        together = simulated("together.npz")
        assert (together is None) == (world.rank > 0)
    assert together.activity.n_samples == n
    assert together.accuracy == alone.accuracy
    assert str(together.activity.final_states) == str(alone.activity.final_states)
    assert (tmp_path / "together.npz").read_bytes() == (tmp_path / "alone.npz").read_bytes()
