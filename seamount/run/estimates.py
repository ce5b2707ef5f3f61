"""What a program would need of its target: cores, energy, latency, from a run of it; and NeuroBench's metrics."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from seamount.compile.fit.finding import Finding
from seamount.compile.fit.place import Placement, place
from seamount.compile.fit.verify import require, verify_program
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Program
from seamount.compile.program.streaming import why_not_streamed, windows_of
from seamount.config import TargetConfig
from seamount.errors import ConfigError, DoesNotFit, InputError, Unsupported
from seamount.hardware_targets.energy import EnergyReport, estimate_energy
from seamount.hardware_targets.neurobench import NeuroBench, neurobench_metrics
from seamount.hardware_targets.target import Target

from .held import Held


@dataclass(frozen=True)
class Estimates:
    """Cores, energy and metrics of a program, or why there are none.

    Attributes:
        does_not_fit: why ``placement`` is None.
        energy: of samples that are streamed, where the program keeps them apart; else as ``single``.
        single: of samples that run alone, where they do not have to; None where ``energy`` is of them.
        held: of samples that run alone with neurons held outside their windows.
        reasons: part of the report -> why it is missing.
    """

    findings: tuple[Finding, ...]
    placement: Placement | None
    does_not_fit: str | None
    energy: EnergyReport | None
    single: EnergyReport | None
    held: EnergyReport | None
    neurobench: NeuroBench | None
    reasons: dict[str, str]

    def assumed(self) -> tuple[str, ...]:
        """What the verdict on the fit rests on."""
        return tuple(str(finding) for finding in self.findings if finding.severity == "assumption")


def estimates(
    program: Program,
    target: Target,
    asked: TargetConfig,
    counts: Activity | None,
    traced: Activity | None,
    *,
    held: Held | None = None,
    passes: int = 1,
) -> Estimates:
    """What ``target`` has to spend on a program.

    Args:
        counts: the run whose work is priced; None: energy is unknown.
        traced: a run with spikes, by which loads are known; None: cores are placed without them.
        held: samples one by one with neurons held outside their windows, placed by its own run.
        passes: of the ANN that energies are compared with, for one sample.
    """
    findings = tuple(verify_program(program, target))
    placement, does_not_fit = _placement(program, target, findings, asked, traced)
    reasons: dict[str, str] = {}
    energy, single, quiet, metrics = None, None, None, None
    if counts is None or traced is None:
        reasons |= dict.fromkeys(("energy", "neurobench"), "needs a run of the program")
        return Estimates(findings, placement, does_not_fit, energy, single, quiet, metrics, reasons)
    try:
        _require_priced(findings, target)
        energy, single = _energy(program, target, asked, findings, placement, counts, traced, passes, reasons)
        quiet = None if held is None else _held(held, target, asked, passes)
    except (ConfigError, Unsupported) as error:
        reasons["energy"] = str(error)
    try:
        metrics = neurobench_metrics(program, traced)
    except InputError as error:  # NeuroBench's definitions leave some programs out
        reasons["neurobench"] = str(error)
    return Estimates(findings, placement, does_not_fit, energy, single, quiet, metrics, reasons)


def _require_priced(findings: Sequence[Finding], target: Target) -> None:
    """A chip's prices say nothing of neurons and messages that it does not have."""
    foreign = [finding for finding in findings if finding.severity == "unsupported"]
    if foreign:
        first = foreign[0]
        found = f"has no {first.limit} {first.value}, which {first.layer} needs: nothing of it has a price there"
        raise Unsupported(found, where=target.name)


def _energy(
    program: Program,
    target: Target,
    asked: TargetConfig,
    findings: Sequence[Finding],
    placement: Placement | None,
    counts: Activity,
    traced: Activity,
    passes: int,
    reasons: dict[str, str],
) -> tuple[EnergyReport, EnergyReport | None]:
    """Of a stream and of a single sample; of a single sample alone where the program cannot be streamed."""
    priced = functools.partial(estimate_energy, step_period_s=asked.step_period_s, passes=passes)
    single = priced(program, counts, placement, target)
    alone = _why_alone(program, counts)
    if alone is not None:
        reasons["streaming"] = alone
        return single, None
    placed = _placement(program, target, findings, asked, windows_of(program, traced))[0]
    return priced(program, windows_of(program, counts), placed, target), single


def _held(held: Held, target: Target, asked: TargetConfig, passes: int) -> EnergyReport:
    placed = _placement(held.program, target, tuple(verify_program(held.program, target)), asked, held.counts)[0]
    return estimate_energy(held.program, held.counts, placed, target, asked.step_period_s, passes=passes)


def _why_alone(program: Program, counts: Activity) -> str | None:
    """Why an inference costs what the whole run does; None if it may cost what its windows do."""
    obstacle = why_not_streamed(program)
    if obstacle is not None:
        return obstacle
    assert program.n_steps is not None, "a program that can be streamed has samples"
    whole = counts.n_steps >= max(program.arrivals().values()) + program.n_steps
    return None if whole else "the run ends before a sample has left every population"


def _placement(
    program: Program, target: Target, findings: Sequence[Finding], asked: TargetConfig, activity: Activity | None
) -> tuple[Placement | None, str | None]:
    try:
        require(findings)
        return place(program, target, objective=asked.placement, activity=activity), None
    except (DoesNotFit, Unsupported) as error:
        return None, str(error)
