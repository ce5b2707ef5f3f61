"""Runs some samples on Lava itself and compares every spike and membrane with the simulator.

Where Lava is not installed, or cannot hold the program, the stage notes why, and the run ends with its report all the
same.
"""

from __future__ import annotations

from dataclasses import asdict

import torch

from seamount.compile.program.streaming import why_not_streamed
from seamount.distill.config import DataConfig, Section
from seamount.errors import Unsupported
from seamount.files import write_json
from seamount.hardware_targets.agreement import compare_runs
from seamount.hardware_targets.lava import lava_status, run_on_lava
from seamount.hardware_targets.simulator import simulate

from ..settings import LavaSamples, Steps
from ..stage import Place, Stage
from .compile import COMPILE, compiled_program


class Reads(Section):
    data: DataConfig
    student: Steps
    lava: LavaSamples


def work(reads: Reads, place: Place) -> None:
    program, data = compiled_program(place.of(COMPILE)), place.data(reads.data, reads.student.n_steps)
    n, status = min(reads.lava.n_samples, len(data.test)), lava_status(try_it=False)
    if n == 0 or not status.present:
        _skip(place, "lava.n_samples is 0" if n == 0 else status.message)
        return
    values = data.chip_inputs(data.test, torch.arange(n))
    try:
        on_lava = run_on_lava(program, values, record=("spikes", "v"), time_limit_s=reads.lava.time_limit_s)
    except Unsupported as error:
        _skip(place, str(error))
        return
    simulated = simulate(program, values, record=("spikes", "v"))
    lava = "Lava 0.10.0, as a stream" if n > 1 and why_not_streamed(program) is None else "Lava 0.10.0"
    agreement = compare_runs(program, ("simulator", simulated), (lava, on_lava))
    same = int((on_lava.predictions() != simulated.predictions()).sum())
    write_json(place.folder / "proof.json", {**asdict(agreement), "answers_compared": n, "answers_differing": same})


def _skip(place: Place, reason: str) -> None:
    write_json(place.folder / "proof.json", {"skipped": reason})


LAVA = Stage("lava", Reads, work, needs=(COMPILE,))
