"""Runs the stages of a run directory that are not done yet, and makes its report."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any

from seamount import __version__
from seamount.config import Config, to_toml
from seamount.distill.parallel import open_world
from seamount.distill.progress import QUIET, Progress
from seamount.errors import ConfigError
from seamount.files import write_atomically, write_json
from seamount.run.folder import Run, open_run
from seamount.run.stages import (
    STAGES,
    Context,
    compile_stage,
    distill_stage,
    export_stage,
    lava_stage,
    quantise_stage,
    simulate_stage,
    teacher_stage,
)

STAGE_NAMES = tuple(stage.name for stage in STAGES)

STAGE_WORK: Mapping[str, Callable[[Context, Path], None]] = {
    "teacher": teacher_stage,
    "distill": distill_stage,
    "quantise": quantise_stage,
    "export": export_stage,
    "compile": compile_stage,
    "simulate": simulate_stage,
    "lava": lava_stage,
}

READS: Mapping[str, tuple[str, ...]] = {
    "teacher": ("run", "data", "teacher", "train", "distill"),
    "distill": ("run", "data", "student", "distill", "train"),
    "quantise": ("run", "data", "student", "distill", "train", "quant"),
    "export": ("student",),
    "compile": ("target",),
    "simulate": ("data", "report", "run"),
    "lava": ("data", "lava"),
}
"""Sections of the configuration that a stage depends on; a change in another one does not make it run again."""


TRAINING = ("teacher", "distill", "quantise")
"""Stages that all processes of torchrun work on together; the first process does the others alone."""


def run_stages(
    config: Config,
    folder: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    until: str = STAGE_NAMES[-1],
    progress: Progress = QUIET,
    tell: Callable[[str], None] = lambda text: None,
    command: str = "",
) -> Context | None:
    """Run the stages up to ``until`` that are not done yet; what is finished stays whatever happens later.

    Returns:
        The run; None in a process that torchrun started only to help with training.
    """
    if until not in STAGE_NAMES:
        raise ConfigError(f"--to {until}: no such stage; possible are {', '.join(STAGE_NAMES)}")
    world = open_world(config.run.device)
    leads = world.rank == 0
    if leads:
        run = open_run(folder, STAGES, resume=resume, overwrite=overwrite)
        write_atomically(run.folder / "resolved.toml", to_toml(config))
        write_json(run.folder / "manifest.json", manifest(config, command))
    world.wait()
    run = Run(folder, STAGES)
    context = Context(config, run, progress if leads else QUIET, leads)
    document = config.model_dump(mode="json")
    for stage in STAGES[: STAGE_NAMES.index(until) + 1]:
        together = stage.name in TRAINING
        if not leads and not together:
            return None
        inputs = run.inputs_hash(stage.name, {section: document[section] for section in READS[stage.name]})
        done = run.is_done(stage.name, inputs)
        if together:
            world.wait()  # everybody has looked before anything changes
        if leads:
            tell(f"{stage.name}: done before" if done else stage.name)
        if done:
            continue
        place = run.stage(stage.name, inputs) if leads else nullcontext(run.stage_folder(stage.name))
        with place as stage_folder:
            if together:
                world.wait()  # the folder is ready
            STAGE_WORK[stage.name](context, stage_folder)
        if together:
            world.wait()
    return context if leads else None


def manifest(config: Config, command: str) -> dict[str, Any]:
    """What a reader needs to repeat the run."""
    names = ("torch", "numpy", "norse", "nir", "numba", "lava-nc", "lava-dl")
    versions = {name: metadata.version(name) for name in names if _installed(name)}
    return {
        "schema": 1,
        "seamount": __version__,
        "command": command,
        "seed": config.run.seed,
        "python": platform.python_version(),
        "versions": versions,
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
