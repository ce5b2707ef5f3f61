"""Single samples whose neurons are held outside their windows: what that saves, and that no value in them changes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from seamount.compile.passes.one_by_one import one_by_one
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Program
from seamount.compile.program.streaming import why_not_streamed
from seamount.hardware_targets.agreement import Agreement, compare_runs
from seamount.hardware_targets.simulator import simulate


@dataclass(frozen=True)
class Held:
    """A program made by ``one_by_one``, and a run of it without traces."""

    program: Program
    counts: Activity


def run_held(
    program: Program, inputs: Any, plain: Activity, record: Collection[str]
) -> tuple[Held, Agreement] | None:
    """Runs it and compares all windows; None where neurons cannot be held.

    Args:
        plain: a run of the program itself, of which ``record`` was recorded.
    """
    if why_not_streamed(program) is not None:
        return None
    held = one_by_one(program)
    run = simulate(held, inputs, record=record, populations=[p.name for p in program.populations])
    found = compare_runs(program, ("single samples", plain), ("the same, held outside their windows", run))
    return Held(held, replace(run, spikes={}, states={}, drive={}, final_states={})), found
