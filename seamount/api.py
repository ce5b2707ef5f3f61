"""The typed functions behind the commands, with the same names; nothing here prints, but for a bar in a terminal or
notebook that ``told=Told()`` silences::

    from seamount import api
    report = api.run("train.toml", folder="runs/first")

Runs stand in ``runs``, networks and programs in ``programs``; this is the list of what may be relied on.
"""

from seamount.asked import Reading
from seamount.conversion import convert
from seamount.doctor import doctor
from seamount.hardware_targets.target import list_targets as targets
from seamount.hardware_targets.target import load_target as target
from seamount.programs import (
    ChipSamples,
    CompiledFile,
    LavaRun,
    RoundedAnswers,
    Simulated,
    arrays_of,
    compile_source,
    diff,
    inspect,
    load_any_program,
    rounded_answers,
    run_lava,
    samples_for,
    simulate,
    write_net,
    write_nir,
    write_one_by_one,
    write_split,
    write_standalone,
)
from seamount.run.told import Told
from seamount.runs import (
    DEMONSTRATION,
    StageAccuracy,
    check,
    compare,
    deploy,
    distill,
    init,
    load_report,
    plan,
    quantise,
    report,
    run,
    sweep,
    why,
)

__all__ = [
    "DEMONSTRATION",
    "ChipSamples",
    "CompiledFile",
    "LavaRun",
    "Reading",
    "RoundedAnswers",
    "Simulated",
    "StageAccuracy",
    "Told",
    "arrays_of",
    "check",
    "compare",
    "compile_source",
    "convert",
    "deploy",
    "diff",
    "distill",
    "doctor",
    "init",
    "inspect",
    "load_any_program",
    "load_report",
    "plan",
    "quantise",
    "report",
    "rounded_answers",
    "run",
    "run_lava",
    "samples_for",
    "simulate",
    "sweep",
    "target",
    "targets",
    "why",
    "write_net",
    "write_nir",
    "write_one_by_one",
    "write_split",
    "write_standalone",
]
