"""What a run must hold to pass, for use in CI: `seamount check`. What nobody checked has not passed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seamount.errors import CheckFailed, DoesNotFit

from .parts.accuracy import loss, says_nothing, unanswered
from .parts.mapping import Mapping
from .parts.verdicts import WORKS
from .report import Report
from .schema.values import Missing


@dataclass(frozen=True)
class Gates:
    """``max_accuracy_drop_pp``: from float student to deployed program, in percentage points."""

    max_accuracy_drop_pp: float | None = None
    require_bit_exact: bool = False
    require_fit: bool = False
    require_lava: bool = False


@dataclass(frozen=True)
class Outcome:
    """One gate, and what it found."""

    gate: Literal["accuracy", "bit-exact", "lava", "fit", "answers", "works"]
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
        outcomes.append(_accuracy(report, gates.max_accuracy_drop_pp))
    if gates.require_bit_exact:
        outcomes.append(_bit_exact(report))
    if gates.require_lava:
        outcomes.append(_lava(report))
    if gates.require_fit:
        outcomes.append(_fit(report))
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
        CheckFailed: (exit code 3) accuracy or bit exactness failed, or it does not work, whether or not it fits.
        DoesNotFit: (exit code 4) only the fit failed.
    """
    failed = [o for o in outcomes if not o.passed]
    if not failed:
        return
    message = "\n".join(o.message for o in failed)
    raise DoesNotFit(message) if all(o.gate == "fit" for o in failed) else CheckFailed(message)


def _accuracy(report: Report, limit: float) -> Outcome:
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
    return Outcome("bit-exact", True, f"{name}: bit-exact: {report.proof.words}")


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
    if not isinstance(mapping, Mapping):
        return Outcome("fit", False, f"{name}: whether it fits was not checked ({mapping.missing})")
    words = "fits" if mapping.fits else "does not fit"
    return Outcome("fit", mapping.fits, f"{name}: {words} {mapping.target}: {mapping.words}")
