"""Runs some samples on Lava itself and compares every spike and membrane with the simulator."""

from __future__ import annotations

from dataclasses import asdict

import torch

from seamount.config import LavaConfig
from seamount.distill.config import DataConfig, Section
from seamount.files import write_json
from seamount.hardware_targets.agreement import compare_runs
from seamount.hardware_targets.lava import run_on_lava
from seamount.hardware_targets.simulator import simulate

from ..settings import Steps
from ..stage import Place, Stage
from .compile import COMPILE, compiled_program


class Reads(Section):
    data: DataConfig
    student: Steps
    lava: LavaConfig


def work(reads: Reads, place: Place) -> None:
    program, data = compiled_program(place.of(COMPILE)), place.data(reads.data, reads.student.n_steps)
    n = min(reads.lava.n_samples, len(data.test))
    if n == 0:
        write_json(place.folder / "proof.json", {"skipped": "lava.n_samples is 0"})
        return
    values = data.chip_inputs(data.test, torch.arange(n))
    on_lava = run_on_lava(program, values, record=("spikes", "v"), time_limit_s=reads.lava.time_limit_s)
    simulated = simulate(program, values, record=("spikes", "v"))
    agreement = compare_runs(program, ("simulator", simulated), ("Lava 0.10.0", on_lava))
    same = int((on_lava.predictions() != simulated.predictions()).sum())
    write_json(place.folder / "proof.json", {**asdict(agreement), "answers_compared": n, "answers_differing": same})


LAVA = Stage("lava", Reads, work, needs=(COMPILE,))
