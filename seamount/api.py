"""The typed functions behind the commands, with the same names; nothing here prints, but for a bar in a terminal or
notebook that ``told=Told()`` silences::

    from seamount import api
    report = api.run("train.toml", folder="runs/first")

Runs stand in ``runs``, networks and programs in ``programs``, their runs on samples in ``simulation``; this is the
list of what may be relied on. A name brings its module when it is first asked for: who compiles a network does not
load what trains one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seamount.asked import Reading
    from seamount.chip_samples import ChipSamples, arrays_of, samples_for
    from seamount.conversion import convert
    from seamount.doctor import doctor
    from seamount.hardware_targets.target import list_targets as targets
    from seamount.hardware_targets.target import load_target as target
    from seamount.programs import (
        CompiledFile,
        RoundedAnswers,
        compile_source,
        inspect,
        load_any_program,
        rounded_answers,
        write_net,
        write_nir,
        write_one_by_one,
        write_split,
        write_standalone,
    )
    from seamount.report.gates import Gates
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
    from seamount.simulation import LavaRun, Simulated, diff, run_lava, simulate

__all__ = [
    "DEMONSTRATION",
    "ChipSamples",
    "CompiledFile",
    "Gates",
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

# the same as the imports above; a test compares them
_HOMES = {
    "DEMONSTRATION": "seamount.runs.DEMONSTRATION",
    "ChipSamples": "seamount.chip_samples.ChipSamples",
    "CompiledFile": "seamount.programs.CompiledFile",
    "Gates": "seamount.report.gates.Gates",
    "LavaRun": "seamount.simulation.LavaRun",
    "Reading": "seamount.asked.Reading",
    "RoundedAnswers": "seamount.programs.RoundedAnswers",
    "Simulated": "seamount.simulation.Simulated",
    "StageAccuracy": "seamount.runs.StageAccuracy",
    "Told": "seamount.run.told.Told",
    "arrays_of": "seamount.chip_samples.arrays_of",
    "check": "seamount.runs.check",
    "compare": "seamount.runs.compare",
    "compile_source": "seamount.programs.compile_source",
    "convert": "seamount.conversion.convert",
    "deploy": "seamount.runs.deploy",
    "diff": "seamount.simulation.diff",
    "distill": "seamount.runs.distill",
    "doctor": "seamount.doctor.doctor",
    "init": "seamount.runs.init",
    "inspect": "seamount.programs.inspect",
    "load_any_program": "seamount.programs.load_any_program",
    "load_report": "seamount.runs.load_report",
    "plan": "seamount.runs.plan",
    "quantise": "seamount.runs.quantise",
    "report": "seamount.runs.report",
    "rounded_answers": "seamount.programs.rounded_answers",
    "run": "seamount.runs.run",
    "run_lava": "seamount.simulation.run_lava",
    "samples_for": "seamount.chip_samples.samples_for",
    "simulate": "seamount.simulation.simulate",
    "sweep": "seamount.runs.sweep",
    "target": "seamount.hardware_targets.target.load_target",
    "targets": "seamount.hardware_targets.target.list_targets",
    "why": "seamount.runs.why",
    "write_net": "seamount.programs.write_net",
    "write_nir": "seamount.programs.write_nir",
    "write_one_by_one": "seamount.programs.write_one_by_one",
    "write_split": "seamount.programs.write_split",
    "write_standalone": "seamount.programs.write_standalone",
}


if not TYPE_CHECKING:  # type checkers have the imports above, and refuse names that are none

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, _, attribute = _HOMES[name].rpartition(".")
        found = globals()[name] = getattr(import_module(module), attribute)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
