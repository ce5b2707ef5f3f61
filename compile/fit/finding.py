"""What a chip cannot hold, and under which assumption it can."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from seamount.errors import DoesNotFit, Reason, SeamountError, Unsupported

Severity = Literal["does_not_fit", "unsupported", "assumption"]


@dataclass(frozen=True)
class Finding:
    """One place where a program and a chip disagree, or agree under an assumption.

    Attributes:
        layer: the population, synapse group or input, as the user named it.
        limit: what is exceeded, in words.
        value, allowed: what the program has, what the chip has.
        severity: does_not_fit (a number is too large), unsupported (no such thing on the chip), assumption (holds,
            provided that ``ways_out[0]``).
        ways_out: what to do, best first.
    """

    layer: str
    limit: str
    value: str
    allowed: str
    severity: Severity
    ways_out: tuple[str, ...]

    @property
    def reason(self) -> Reason:
        """As an error has it."""
        return Reason(f"{self.limit} {self.value}", self.layer, self.allowed, self.ways_out)

    def __str__(self) -> str:
        if self.severity == "assumption":  # its ways out are what is assumed
            return f"{self.layer}: {self.limit} {self.value}, {self.allowed}: {'; '.join(self.ways_out)}"
        return str(self.reason)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def require(findings: Iterable[Finding]) -> None:
    """Raises all findings that are errors, as one.

    Raises:
        Unsupported: if the chip lacks something. DoesNotFit: if only numbers are too large.
    """
    errors = [f for f in findings if f.severity != "assumption"]
    if not errors:
        return
    kind: type[SeamountError] = Unsupported if any(f.severity == "unsupported" for f in errors) else DoesNotFit
    raise kind.together(f.reason for f in errors)
