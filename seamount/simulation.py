"""A program on samples: on the simulator, on Lava beside it, and two recorded runs compared.

Everything heavy is imported where it is used, so that the command line answers fast.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seamount.asked import Reading
from seamount.chip_samples import ChipSamples, data_for, require_data, samples_for
from seamount.compile.program.activity import EVERY_STATE, Activity, side_by_side
from seamount.compile.program.notebook import work
from seamount.compile.program.program import Program
from seamount.compile.program.symptoms import Symptoms, symptoms
from seamount.errors import InputError, plural
from seamount.hardware_targets.agreement import Agreement, sample_windows
from seamount.notebook import card, headed, line
from seamount.programs import load_any_program
from seamount.surroundings import undisturbed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

    from seamount.compile.program.difference import Difference

N_TRACED = 16
"""Samples whose states are looked at where a layer is silent."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Simulated:
    """A run of a program on samples.

    Attributes:
        accuracy: None without labels or readout.
        rmse: of the outputs after the last frame, in the readout's units; None without real targets.
        symptoms: signs that the network does not work.
    """

    program: Program
    samples: ChipSamples
    activity: Activity
    accuracy: float | None
    symptoms: Symptoms
    rmse: float | None = None

    def __repr__(self) -> str:
        return line("Simulated", self.program.name, self._facts())

    def _repr_html_(self) -> str:
        return card(f"{self.program.name}, simulated", " · ".join(self._facts()), headed(work(self.activity)))

    def _facts(self) -> list[str]:
        n = f"{self.samples.n:,} {plural(self.samples.n, 'sample')} of {self.samples.what}"
        told = self.symptoms.chance or self.symptoms.slight  # which begin with the accuracy
        accuracy = [] if self.accuracy is None or told else [f"accuracy {100 * self.accuracy:.2f} %"]
        return [n, *accuracy, *self.symptoms.lines(), *filter(None, (self.symptoms.slight,))]

    def table(self) -> DataFrame:
        """What each population did, see ``Activity.table``."""
        return self.activity.table()

    def plot(self, ax: Axes | None = None) -> Axes:
        """Spikes of every step, see ``Activity.plot``."""
        return self.activity.plot(ax)


@undisturbed
def simulate(
    program: Path | str,
    data: Path | str | None = None,
    *,
    target: str | None = None,
    readout: str | None = None,
    reading: Reading | None = None,
    n_samples: int | None = None,
    record: Collection[str] = (),
    populations: Collection[str] | None = None,
    device: str = "cpu",
    memory_limit_bytes: int | None = None,
    stream: bool = False,
    settings: Sequence[str] = (),
) -> Simulated | None:
    """Run a program on the simulator: exact integers, counts always, traces where asked for.

    Processes that torchrun started share the samples; the result is the first one's, the others get None.

    Args:
        target, readout, reading: of a network that is compiled on the spot, see ``load_any_program``.
        settings: of the data set, see ``samples_for``.
        stream: samples enter without a pause, and counts are of their windows; else each runs alone.
    """
    loaded, samples = _both(program, data, target, readout, reading, n_samples, settings)
    from seamount.distill.parallel import open_world  # after it, because they load torch
    from seamount.hardware_targets.simulator import simulate as alone
    from seamount.hardware_targets.simulator import simulate_stream

    run = partial(
        simulate_stream if stream else alone,
        loaded,
        record=record,
        populations=populations,
        device=device,
        memory_limit_bytes=memory_limit_bytes,
    )
    with open_world("cpu") as world:
        shares = _shares(samples, 1 if stream else world.size)
        mine = run(shares[world.rank]) if world.rank < len(shares) else None
        found = world.gathered(mine)
    if found is None:
        return None
    activity = side_by_side([part for part in found if part is not None])
    answers = None if activity.readout is None else activity.predictions()
    signs = symptoms(loaded, activity, answers, samples.labels)
    if signs.silent:  # how far the signal comes is in states, which are recorded of a few samples alone
        few = alone(
            loaded,
            samples.first(N_TRACED).inputs,
            record=(EVERY_STATE,),
            device=device,
            memory_limit_bytes=memory_limit_bytes,
        )
        signs = symptoms(loaded, activity, answers, samples.labels, few)
    if not stream:
        activity = replace(activity, windows=sample_windows(loaded, activity.n_steps))
    return Simulated(loaded, samples, activity, _accuracy(activity, samples), signs, _rmse(loaded, activity, samples))


def _both(
    path: Path | str,
    data: Path | str | None,
    target: str | None,
    readout: str | None,
    reading: Reading | None,
    n_samples: int | None,
    settings: Sequence[str],
) -> tuple[Program, ChipSamples]:
    """The program and its samples; that they are there is seen before anything is lowered."""
    if not Path(path).exists():
        raise InputError("no such file", where=path)
    named = data_for(path, data)
    require_data(named, settings)
    program = load_any_program(path, target, readout=readout, reading=reading)
    return program, samples_for(program, named, n_samples, settings)


def _shares(samples: ChipSamples, n_processes: int) -> list[dict[str, Ints]]:
    """Consecutive samples for each process, at least one each."""
    n = min(n_processes, max(1, samples.n))
    borders = [samples.n * k // n for k in range(n + 1)]
    return [{name: x[:, a:b] for name, x in samples.inputs.items()} for a, b in pairwise(borders)]


def _accuracy(activity: Activity, samples: ChipSamples) -> float | None:
    if samples.labels is None or activity.readout is None:
        return None
    return float(np.mean(activity.predictions() == samples.labels))


def _rmse(program: Program, activity: Activity, samples: ChipSamples) -> float | None:
    if samples.targets is None or activity.readout is None or program.readout is None:
        return None
    outputs = program.readout.real(activity.readout.reshape(activity.n_samples, -1))
    return float(np.sqrt(np.mean((outputs - samples.targets[-1]) ** 2)))


@dataclass(frozen=True)
class LavaRun:
    """The same samples on Lava and on the simulator, and how far they agree."""

    lava: Activity
    simulated: Activity
    agreement: Agreement
    accuracy: float | None

    def __repr__(self) -> str:
        return f"<LavaRun {self.agreement}>"

    def _repr_html_(self) -> str:
        accuracy = "" if self.accuracy is None else f"accuracy {100 * self.accuracy:.2f} %"
        return card(str(self.agreement), accuracy, headed(work(self.lava)))


@undisturbed
def run_lava(
    program: Path | str,
    data: Path | str | None = None,
    *,
    target: str | None = None,
    readout: str | None = None,
    reading: Reading | None = None,
    n_samples: int = 20,
    time_limit_s: float = 600.0,
    settings: Sequence[str] = (),
) -> LavaRun:
    """Run a program on Lava's fixed-point processes and compare every spike and membrane with the simulator."""
    loaded, samples = _both(program, data, target, readout, reading, n_samples, settings)
    from seamount.hardware_targets.agreement import compare_runs
    from seamount.hardware_targets.lava import run_on_lava
    from seamount.hardware_targets.simulator import simulate as run  # after the files, because it loads torch

    traces = ("spikes", EVERY_STATE)
    on_lava = run_on_lava(loaded, samples.inputs, record=traces, time_limit_s=time_limit_s)
    simulated = run(loaded, samples.inputs, record=traces)
    agreement = compare_runs(loaded, ("simulator", simulated), ("Lava", on_lava))
    windows = sample_windows(loaded, on_lava.n_steps)
    on_lava, simulated = (replace(run, windows=windows) for run in (on_lava, simulated))
    return LavaRun(on_lava, simulated, agreement, _accuracy(on_lava, samples))


def diff(a: Path | str, b: Path | str) -> Difference | None:
    """The first step, population and neuron in which two trace files differ; None if they are equal.

    Of runs of one program, only the steps are compared in which populations answer to the sample.
    """
    from seamount.compile.program.activity_file import load_activity
    from seamount.compile.program.difference import first_difference

    return first_difference(load_activity(Path(a)), load_activity(Path(b)))
