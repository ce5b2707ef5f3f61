"""The simulator: layer by layer, all steps of a layer at once, batched over samples."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from seamount.compile.activity import Activity, Array
from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.program import Program


def simulate(
    program: Program,
    inputs: Any,
    *,
    n_steps: int | None = None,
    record: Collection[str] = (),
    populations: Collection[str] | None = None,
    device: str = "cpu",
    memory_limit_bytes: int | None = None,
) -> Activity:
    """Run a program."""
    activity = run_definition(program, inputs, n_steps, record)
    if populations is None:
        return activity

    def chosen(traces: Mapping[str, Array]) -> dict[str, Array]:
        return {name: x for name, x in traces.items() if name in populations}

    return replace(
        activity,
        spikes=chosen(activity.spikes),
        v=chosen(activity.v),
        u=chosen(activity.u),
        drive=chosen(activity.drive),
    )
