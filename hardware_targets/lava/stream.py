"""When samples pass through a network that runs as one stream of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from seamount.compile.program.program import Program
from seamount.compile.program.streaming import reset_interval

from ..agreement import sample_windows


@dataclass(frozen=True)
class Schedule:
    """How samples follow each other along one run.

    Attributes:
        n_steps: steps of one sample's trace.
        period: steps from the start of a sample to that of the next.
        restart: every process puts its state back to the initial one at the start of a sample.
        windows: population -> first step (relative to its sample) and number of steps in which it shows the sample.
    """

    n_steps: int
    period: int
    restart: bool
    windows: Mapping[str, tuple[int, int]]


def fresh_schedule(program: Program, n_steps: int) -> Schedule:
    """Each sample from the initial state."""
    return Schedule(n_steps, n_steps, True, {p.name: (0, n_steps) for p in program.populations})


def streamed_schedule(program: Program, n_steps: int) -> Schedule:
    """Samples back to back; the program's own resets separate them. Only for programs that can be streamed."""
    period = reset_interval(program)
    assert period is not None, "why_not_streamed admits no other"
    return Schedule(n_steps, period, False, sample_windows(program, n_steps))
