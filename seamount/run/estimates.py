"""What a program would need of its target: cores, energy, latency, estimated from a run of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seamount.compile.fit.finding import Finding
from seamount.compile.fit.place import Placement, place
from seamount.compile.fit.verify import require, verify_program
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Program
from seamount.compile.program.streaming import why_not_streamed, windows_of
from seamount.config import TargetConfig
from seamount.errors import ConfigError, DoesNotFit, Unsupported
from seamount.hardware_targets.energy import EnergyReport, estimate_energy
from seamount.hardware_targets.target import Target


@dataclass(frozen=True)
class Estimates:
    """Cores and energy of a program, or why there are none.

    Attributes:
        does_not_fit: why ``placement`` is None.
        energy: of samples that are streamed, where the program keeps them apart; else as ``single``.
        single: of samples that run alone, where they do not have to; None where ``energy`` is of them.
        reasons: part of the report -> why it is missing.
    """

    findings: tuple[Finding, ...]
    placement: Placement | None
    does_not_fit: str | None
    energy: EnergyReport | None
    single: EnergyReport | None
    reasons: dict[str, str]

    def assumed(self) -> tuple[str, ...]:
        """What the verdict on the fit rests on."""
        return tuple(str(finding) for finding in self.findings if finding.severity == "assumption")


def estimates(
    program: Program, target: Target, asked: TargetConfig, counts: Activity | None, traced: Activity | None
) -> Estimates:
    """What ``target`` has to spend on a program.

    Args:
        counts: the run whose work is priced; None: energy is unknown.
        traced: a run with spikes, by which loads are known; None: cores are placed without them.
    """
    findings = tuple(verify_program(program, target))
    placement, does_not_fit = _placement(program, target, findings, asked, traced)
    if counts is None:
        return Estimates(findings, placement, does_not_fit, None, None, {"energy": "needs a run of the program"})
    alone = why_not_streamed(program)
    try:
        single = estimate_energy(program, counts, placement, target, asked.step_period_s)
        if alone is not None:
            return Estimates(findings, placement, does_not_fit, single, None, {"streaming": alone})
        passing = None if traced is None else windows_of(program, traced)
        placed = placement if passing is None else _placement(program, target, findings, asked, passing)[0]
        energy = estimate_energy(program, windows_of(program, counts), placed, target, asked.step_period_s)
    except (ConfigError, Unsupported) as error:
        return Estimates(findings, placement, does_not_fit, None, None, {"energy": str(error)})
    return Estimates(findings, placement, does_not_fit, energy, single, {})


def _placement(
    program: Program, target: Target, findings: Sequence[Finding], asked: TargetConfig, activity: Activity | None
) -> tuple[Placement | None, str | None]:
    try:
        require(findings)
        return place(program, target, objective=asked.placement, activity=activity), None
    except (DoesNotFit, Unsupported) as error:
        return None, str(error)
