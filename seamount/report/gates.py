"""What a run must hold to pass, for use in CI. What nobody checked has not passed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from seamount.errors import CheckFailed, DoesNotFit

from .parts.accuracy import Accuracy, loss, says_nothing, unanswered
from .parts.energy import DYNAMIC, Energy
from .parts.mapping import Mapping as Placed
from .parts.streaming import Streaming
from .parts.verdicts import WORKS
from .report import Report
from .schema import text
from .schema.quantities import unknown
from .schema.values import Missing, Quantity

Gate = Literal["accuracy", "bit-exact", "lava", "fit", "answers", "works", "energy", "spikes", "cores", "baseline"]
Metric = Literal["accuracy", "energy", "spikes", "cores"]
METRICS: tuple[Metric, ...] = ("accuracy", "energy", "spikes", "cores")
"""What a report is held against a baseline in."""

BEYOND_ROUNDING = 1e-9
"""Share by which a value may pass its limit: reports hold six digits."""


@dataclass(frozen=True)
class Gates:
    """What is asked for; None and False ask for nothing.

    Attributes:
        max_accuracy_drop_pp: from float student to deployed program, in percentage points.
        min_accuracy: of the deployed program [%].
        max_energy_j: on-chip dynamic, of an inference, by the middle set of constants [J].
        max_spikes: of an inference; max_spikes_per_synapse: of an inference, over the weights.
        baseline: a report that must be reached.
        tolerance: how much worse than the baseline a metric may be: accuracy in points, the others in per cent; 0
            where it is not named.
    """

    max_accuracy_drop_pp: float | None = None
    require_bit_exact: bool = False
    require_fit: bool = False
    require_lava: bool = False
    min_accuracy: float | None = None
    max_energy_j: float | None = None
    max_spikes: float | None = None
    max_spikes_per_synapse: float | None = None
    max_cores: int | None = None
    baseline: Report | None = None
    tolerance: Mapping[Metric, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """One gate, and what it found."""

    gate: Gate
    passed: bool
    message: str


def check(report: Report, gates: Gates) -> tuple[Outcome, ...]:
    """The outcome of every gate that is set, and failed ones for too few answers and for what does not work.

    Raises nothing, see ``enforce``.
    """
    outcomes = []
    if says_nothing(report.accuracy):
        outcomes.append(Outcome("answers", False, f"{report.run.name}: {unanswered(report.accuracy)}"))
    if gates.max_accuracy_drop_pp is not None:
        outcomes.append(_drop(report, gates.max_accuracy_drop_pp))
    outcomes += _limits(report, gates)
    if gates.require_bit_exact:
        outcomes.append(_bit_exact(report))
    if gates.require_lava:
        outcomes.append(_lava(report))
    if gates.require_fit:
        outcomes.append(_fit(report))
    if gates.baseline is not None:
        outcomes += _against(report, gates.baseline, gates.tolerance)
    # asked for by nobody, because nobody wants a network that does not work
    outcomes += [
        Outcome("works", False, f"{report.run.name}: {c.message}")
        for c in report.checks
        if c.code == WORKS and c.state == "error"
    ]
    return tuple(outcomes)


def enforce(outcomes: tuple[Outcome, ...]) -> None:
    """Raises what failed.

    Raises:
        CheckFailed: (exit code 3) any gate but the fit failed, or it does not work, whether or not it fits.
        DoesNotFit: (exit code 4) only the fit failed.
    """
    failed = [o for o in outcomes if not o.passed]
    if not failed:
        return
    message = "\n".join(o.message for o in failed)
    raise DoesNotFit(message) if all(o.gate == "fit" for o in failed) else CheckFailed(message)


# ------------------------------------------------------------------------------------------------ values


def deployed_accuracy(report: Report) -> Quantity:
    """Of the program, in per cent."""
    if isinstance(report.accuracy, Accuracy):
        found = next((rung.accuracy for rung in report.accuracy.rungs if rung.stage == "deployed"), None)
        return found or unknown("%", "the program answered no test set")
    return unknown("%", report.accuracy.missing)


def dynamic_energy(report: Report) -> Quantity:
    """On the chip, of an inference; of a streamed one where there is one."""
    if isinstance(report.energy, Energy):
        return next(b.energy_j for b in report.energy.boundaries if b.name == DYNAMIC)
    return unknown("J", report.energy.missing)


def spikes(report: Report) -> Quantity:
    """Of an inference; of a streamed one where there is one."""
    return report.streaming.costs[0].spikes if isinstance(report.streaming, Streaming) else report.run.spikes


def spikes_per_synapse(report: Report) -> Quantity:
    if isinstance(report.streaming, Streaming):
        return report.streaming.costs[0].spikes_per_synapse
    return unknown("spikes/synapse", report.streaming.missing)


def cores(report: Report) -> Quantity:
    if isinstance(report.mapping, Placed):
        return report.mapping.n_cores
    return unknown("cores", report.mapping.missing)


VALUES: Mapping[Metric, Callable[[Report], Quantity]] = {
    "accuracy": deployed_accuracy,
    "energy": dynamic_energy,
    "spikes": spikes,
    "cores": cores,
}


# ------------------------------------------------------------------------------------------------- gates


def _limits(report: Report, gates: Gates) -> Iterator[Outcome]:
    """Each value against its own limit."""
    if (least := gates.min_accuracy) is not None:
        found = deployed_accuracy(report)
        # so that a limit that is no number passes nothing
        passed = found.value is not None and found.value >= least - BEYOND_ROUNDING
        words = f"{report.run.name}: accuracy {_told(found)}, at least {least:g} % is asked for"
        yield Outcome("accuracy", passed, words)
    mark = report.energy.mark if isinstance(report.energy, Energy) else ""
    if (joules := gates.max_energy_j) is not None:
        allowed = f"{text.si(joules, 'J')}{mark}" if math.isfinite(joules) else f"{joules} J"
        yield _at_most("energy", report, dynamic_energy(report), joules, allowed)
    if (most := gates.max_spikes) is not None:
        yield _at_most("spikes", report, spikes(report), most, f"{most:g} an inference")
    if (most := gates.max_spikes_per_synapse) is not None:
        yield _at_most("spikes", report, spikes_per_synapse(report), most, f"{most:g} per synapse")
    if (n_cores := gates.max_cores) is not None:
        yield _at_most("cores", report, cores(report), n_cores, f"{n_cores}")


def _at_most(gate: Gate, report: Report, found: Quantity, limit: float, allowed: str) -> Outcome:
    passed = found.value is not None and found.value <= limit * (1 + BEYOND_ROUNDING)
    return Outcome(gate, passed, f"{report.run.name}: {gate} {_told(found, gate)}, at most {allowed} is allowed")


def _told(q: Quantity, gate: Gate = "accuracy") -> str:
    """A count without its unit, which the gate's name says."""
    if q.value is None:
        return f"unknown ({q.reason})"
    return text.quantity(q) if gate in ("accuracy", "energy") else text.number(q)


def _against(report: Report, baseline: Report, tolerance: Mapping[Metric, float]) -> Iterator[Outcome]:
    """Each metric that the baseline has, and what of it is worse by more than is tolerated."""
    name = f"{report.run.name} against {baseline.run.name}"
    if all(VALUES[metric](baseline).value is None for metric in METRICS):
        yield Outcome("baseline", False, f"{name}: the baseline has none of {', '.join(METRICS)}")
        return
    for metric in METRICS:
        before, now, allowed = VALUES[metric](baseline), VALUES[metric](report), tolerance.get(metric, 0.0)
        if before.value is None:
            if now.value is not None:  # said, so that nobody takes it for held
                told = f"{name}: {metric} {_told(now, metric)} now, not compared: the baseline has none"
                yield Outcome("baseline", True, told)
            continue
        words = f"{name}: {metric} {_told(before, metric)} before, {_told(now, metric)} now"
        if metric in ("energy", "cores") and report.run.target != baseline.run.target:
            targets = f"{baseline.run.target} and {report.run.target}"
            yield Outcome("baseline", False, f"{words}, which do not compare: of {targets}")
            continue
        worse = None if now.value is None else _worse(metric, float(before.value), float(now.value))
        unit = "pp" if metric == "accuracy" else "%"
        passed = worse is not None and worse <= allowed + BEYOND_ROUNDING
        yield Outcome("baseline", passed, f"{words}; at most {allowed:g} {unit} worse is allowed")


def _worse(metric: Metric, before: float, now: float) -> float:
    """By how much: points of accuracy, per cent of the others."""
    if metric == "accuracy":
        return before - now
    return 100 * (now - before) / before if before else float("inf") if now > 0 else 0.0


def _drop(report: Report, limit: float) -> Outcome:
    lost = loss(report.accuracy)
    name = report.run.name
    if lost.value is None:
        return Outcome("accuracy", False, f"{name}: accuracy drop unknown ({lost.reason}); finish the missing stages")
    if not lost.value <= limit:  # so that a limit that is no number passes nothing
        words = f"{name}: accuracy drop {lost.value:.2f} pp, at most {limit:g} pp is allowed"
        return Outcome(
            "accuracy", False, f"{words}; see section Divergence of report.html for the layer that loses it"
        )
    return Outcome("accuracy", True, f"{name}: accuracy drop {lost.value:.2f} pp, at most {limit:g} pp is allowed")


def _bit_exact(report: Report) -> Outcome:
    name = report.run.name
    if isinstance(report.proof, Missing):
        return Outcome("bit-exact", False, f"{name}: bit exactness was not checked ({report.proof.missing})")
    if not report.proof.bit_exact:
        return Outcome("bit-exact", False, f"{name}: not bit-exact: {report.proof.words}")
    alone = "" if report.proof.on_lava else " Lava was not run; --require-lava asks for it."
    return Outcome("bit-exact", True, f"{name}: bit-exact: {report.proof.words}{alone}")


def _lava(report: Report) -> Outcome:
    name, proof = report.run.name, report.proof
    if isinstance(proof, Missing):
        return Outcome("lava", False, f"{name}: simulator = Lava: not run ({proof.missing})")
    found = next((c for c in proof.comparisons if c.b.startswith("Lava")), None)
    if found is None:
        return Outcome(
            "lava", False, f"{name}: simulator = Lava: not run ({proof.lava_not_run or 'no reason was noted'})"
        )
    return Outcome("lava", found.exact, f"{name}: {found}")


def _fit(report: Report) -> Outcome:
    name, mapping = report.run.name, report.mapping
    if not isinstance(mapping, Placed):
        return Outcome("fit", False, f"{name}: whether it fits was not checked ({mapping.missing})")
    words = "fits" if mapping.fits else "does not fit"
    return Outcome("fit", mapping.fits, f"{name}: {words} {mapping.target}: {mapping.words}")
